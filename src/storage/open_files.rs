//! Which processes have a file open or mapped, by `/proc`: locks lie, open files do not.
//!
//! A process can have a database open and hold no lock on it: POSIX drops every lock of a process
//! when it closes any descriptor of the file. Files are known by device and inode, so other names
//! of the same file (hard links, bind mounts, containers) count, and deleted files by the name that
//! they had.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::lock::LockMode;
use super::lock_list::parse_lock;
use super::process::full_name;

/// A use of one file by one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUse {
    /// The process.
    pub pid: i32,
    /// The file, by its place in the list that was asked for.
    pub file: usize,
    /// What it is of the file that has the name now.
    pub identity: Identity,
    /// Descriptors, ascending; none where it is only mapped.
    pub descriptors: Vec<i32>,
    /// A descriptor is open for writing.
    pub is_writable: bool,
    /// It is mapped.
    pub is_mapped: bool,
    /// Locks of the process on it; `None` where the system did not tell.
    pub locks: Option<Vec<(LockMode, Range<u64>)>>,
}

/// Which file a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// The one that has the name.
    Same,
    /// One that was deleted or replaced under this name.
    Gone,
}

/// What could be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// Every use, by process and file. Our own process is left out.
    pub uses: Vec<FileUse>,
    /// Processes that we may not look into.
    pub unseen_processes: u32,
}

impl FileUse {
    /// Whether the process holds a lock on any of `bytes`; `None` where that is not known.
    #[must_use]
    pub fn holds(&self, bytes: &Range<u64>) -> Option<bool> {
        let locks = self.locks.as_ref()?;
        Some(locks.iter().any(|(_, held)| held.start < bytes.end && bytes.start < held.end))
    }
}

/// A file that is asked for.
struct Wanted {
    /// Device and inode of what has the name; `None` where nothing has it.
    inode: Option<(u64, u64)>,
    /// The name as the kernel shows it.
    name: PathBuf,
}

/// Who has any of `paths` open or mapped, as far as we may look into other processes.
#[must_use]
pub fn open_files(paths: &[&Path]) -> OpenFiles {
    let wanted: Vec<Wanted> = paths.iter().map(|path| Wanted::of(path)).collect();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = OpenFiles::default();
    for pid in processes().filter(|&pid| pid != own) {
        match look_into(pid, &wanted) {
            Ok(uses) => found.uses.extend(uses),
            // Whoever has ended meanwhile uses nothing.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                found.unseen_processes += 1;
            }
            Err(_) => {}
        }
    }
    found
}

impl Wanted {
    fn of(path: &Path) -> Self {
        let inode = fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        Self { inode, name: full_name(path).unwrap_or_else(|| path.to_owned()) }
    }
}

/// Numbers of all processes that `/proc` shows, ascending.
fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(io::Result::ok);
    let mut all: Vec<i32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable();
    all.into_iter()
}

fn look_into(pid: i32, wanted: &[Wanted]) -> io::Result<Vec<FileUse>> {
    let mut uses: BTreeMap<(usize, Identity), FileUse> = BTreeMap::new();
    let mut of = |file: usize, identity: Identity, change: &mut dyn FnMut(&mut FileUse)| {
        change(uses.entry((file, identity)).or_insert_with(|| FileUse {
            pid,
            file,
            identity,
            descriptors: Vec::new(),
            is_writable: false,
            is_mapped: false,
            locks: Some(Vec::new()),
        }));
    };
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(io::Result::ok) {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        if !target.is_absolute() {
            continue;
        }
        let inode = fs::metadata(entry.path()).ok().map(|it| (it.dev(), it.ino()));
        let Some((file, identity)) = which(wanted, &target, inode) else { continue };
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let info = number.and_then(|number: i32| {
            fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()
        });
        of(file, identity, &mut |used| {
            used.descriptors.extend(number);
            match &info {
                Some(info) => {
                    used.is_writable |= is_writable(info);
                    if let Some(locks) = &mut used.locks {
                        locks.extend(locks_of(info));
                    }
                }
                // What is not known must not pass for harmless.
                None => (used.is_writable, used.locks) = (true, None),
            }
        });
    }
    for (name, inode) in mappings(pid) {
        let Some((file, identity)) = which(wanted, &name, Some(inode)) else { continue };
        of(file, identity, &mut |used| used.is_mapped = true);
    }
    Ok(uses
        .into_values()
        .map(|mut used| {
            used.descriptors.sort_unstable();
            used
        })
        .collect())
}

/// Which file it is that a process has open under the link `target`.
fn which(wanted: &[Wanted], target: &Path, inode: Option<(u64, u64)>) -> Option<(usize, Identity)> {
    let same = wanted.iter().position(|it| it.inode.is_some() && it.inode == inode);
    if let Some(file) = same {
        return Some((file, Identity::Same));
    }
    let name = target.as_os_str().as_bytes().strip_suffix(b" (deleted)")?;
    let gone = wanted.iter().position(|it| it.name.as_os_str().as_bytes() == name);
    gone.map(|file| (file, Identity::Gone))
}

/// The access mode in `flags:`, in octal: 0 is reading only.
fn is_writable(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & 3 != 0)
}

fn locks_of(info: &str) -> impl Iterator<Item = (LockMode, Range<u64>)> {
    info.lines().filter_map(|line| parse_lock(line.strip_prefix("lock:")?.trim()))
}

/// Names and inodes of the files that a process has mapped.
fn mappings(pid: i32) -> Vec<(PathBuf, (u64, u64))> {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let lines = maps.split(|&byte| byte == b'\n');
    lines.filter_map(mapping).collect()
}

/// Parses `7f..-7f.. rw-s 00000000 fe:00 1234    /path`; names keep their blanks, and `\012` stands
/// for a line feed in them.
fn mapping(line: &[u8]) -> Option<(PathBuf, (u64, u64))> {
    let slash = line.iter().position(|&byte| byte == b'/')?;
    let (head, name) = line.split_at(slash);
    let mut words = std::str::from_utf8(head).ok()?.split_ascii_whitespace().skip(3);
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let device = nix::sys::stat::makedev(number(major)?, number(minor)?);
    let inode = words.next()?.parse().ok()?;
    Some((PathBuf::from(std::ffi::OsStr::from_bytes(name)), (device, inode)))
}

/// The open files of a process on which it holds a lock of any of `bytes`, whatever their names:
/// each by its place in `/proc`, once for every file.
#[must_use]
pub fn locked_files(pid: i32, bytes: &Range<u64>) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let mut found: Vec<(PathBuf, (u64, u64))> = Vec::new();
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let info = path.file_name().and_then(|number| {
            fs::read_to_string(Path::new(&format!("/proc/{pid}/fdinfo")).join(number)).ok()
        });
        let touches =
            |(_, held): (LockMode, Range<u64>)| held.start < bytes.end && bytes.start < held.end;
        if !info.is_some_and(|info| locks_of(&info).any(touches)) {
            continue;
        }
        let Ok(status) = fs::metadata(&path) else { continue };
        let inode = (status.dev(), status.ino());
        if !found.iter().any(|(_, known)| *known == inode) {
            found.push((path, inode));
        }
    }
    found.into_iter().map(|(path, _)| path).collect()
}

/// The process that has started `pid`; `None` where the system does not tell.
#[must_use]
pub fn parent_of(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().filter(|&parent| parent > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_mapping_is_read() {
        let line = b"7f00-7f10 rw-s 00000000 fe:01 4711        /a b/x.db-shm (deleted)";
        let (name, (device, inode)) = mapping(line).unwrap();
        assert_eq!(name, Path::new("/a b/x.db-shm (deleted)"));
        assert_eq!((device, inode), (nix::sys::stat::makedev(0xfe, 1), 4711));
        assert_eq!(mapping(b"7f00-7f10 rw-p 00000000 00:00 0      [heap]"), None);
    }

    #[test]
    fn a_process_with_a_file_open_is_seen_also_after_the_file_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, b"x").unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec 7<>\"$0\"; echo; read line"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = open_files(&[&path]).uses;
        let [only] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((only.pid, only.identity, only.is_writable), (pid, Identity::Same, true));
        assert_eq!(only.descriptors, [7]);
        assert_eq!((only.is_mapped, only.holds(&(0..10))), (false, Some(false)));
        fs::remove_file(&path).unwrap();
        let seen = open_files(&[&path]).uses;
        assert_eq!(
            seen.iter().map(|it| (it.pid, it.identity)).collect::<Vec<_>>(),
            [(pid, Identity::Gone)]
        );
        fs::write(&path, b"new").unwrap();
        let seen = open_files(&[&path]).uses;
        assert_eq!(seen.iter().map(|it| it.identity).collect::<Vec<_>>(), [Identity::Gone]);
        assert_eq!(parent_of(pid), i32::try_from(std::process::id()).ok());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
