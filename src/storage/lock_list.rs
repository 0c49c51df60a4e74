//! Who holds which byte-range lock of a file, by the kernel's own lists.
//!
//! `/proc/locks` names the process of a POSIX lock. An open-file-description lock has no process
//! there; its line stands again in the `fdinfo` of every process that has the description open,
//! where permission allows to look.

use std::fs;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::lock::LockMode;
use super::{Error, Result, Verb};

/// A lock that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// How.
    pub mode: LockMode,
    /// Which bytes.
    pub bytes: RangeInclusive<u64>,
    /// Who.
    pub holder: Holder,
}

/// The process behind a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Its pid in our pid namespace.
    Process(i32),
    /// Not to be known, and why.
    Unknown(&'static str),
}

/// A line of a kernel lock list, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    has_process: bool,
    mode: LockMode,
    pid: i32,
    file: (u32, u32, u64),
    bytes: RangeInclusive<u64>,
}

/// The locks on `path`.
///
/// # Errors
/// When the file or the kernel's list cannot be read.
pub fn held_locks(path: &Path) -> Result<Vec<HeldLock>> {
    let failed = |source| Error::new(Verb::Lock, path, source);
    let metadata = fs::metadata(path).map_err(failed)?;
    let device = metadata.dev();
    let major = u32::try_from(nix::sys::stat::major(device)).unwrap_or_default();
    let minor = u32::try_from(nix::sys::stat::minor(device)).unwrap_or_default();
    let file = (major, minor, metadata.ino());
    let list = fs::read_to_string("/proc/locks").map_err(failed)?;
    let lines = list.lines().filter_map(parse).filter(|line| line.file == file);
    let mut locks = Vec::new();
    let mut described = None;
    for line in lines {
        let HeldLock { mode, bytes, .. } =
            HeldLock { mode: line.mode, bytes: line.bytes.clone(), holder: Holder::Process(0) };
        if line.has_process {
            let holder = match line.pid {
                pid if pid > 0 => Holder::Process(pid),
                _ => Holder::Unknown("the process lives in another pid namespace"),
            };
            locks.push(HeldLock { mode, bytes, holder });
            continue;
        }
        let described = described.get_or_insert_with(|| descriptions(file));
        let owners = described.iter().filter(|(_, other)| {
            other.bytes == line.bytes && other.mode == line.mode && !other.has_process
        });
        let mut pids: Vec<i32> = owners.map(|&(pid, _)| pid).collect();
        pids.dedup();
        if pids.is_empty() {
            let why = "no process that we may look into has the file description open";
            locks.push(HeldLock { mode, bytes, holder: Holder::Unknown(why) });
            continue;
        }
        for pid in pids {
            let holder = Holder::Process(pid);
            locks.push(HeldLock { mode, bytes: bytes.clone(), holder });
        }
    }
    // Several descriptions of one process with the same lock are one holder.
    let mut distinct: Vec<HeldLock> = Vec::new();
    for lock in locks {
        if !distinct.contains(&lock) {
            distinct.push(lock);
        }
    }
    Ok(distinct)
}

/// The lock lines on `file` in the descriptors of all processes that we may look into.
fn descriptions(file: (u32, u32, u64)) -> Vec<(i32, Line)> {
    let mut found = Vec::new();
    let entries = |path: &str| fs::read_dir(path).into_iter().flatten().filter_map(io::Result::ok);
    for process in entries("/proc") {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        for descriptor in entries(&format!("/proc/{pid}/fdinfo")) {
            let Ok(info) = fs::read_to_string(descriptor.path()) else { continue };
            let lines = info.lines().filter_map(|line| parse(line.strip_prefix("lock:")?.trim()));
            found.extend(lines.filter(|line| line.file == file).map(|line| (pid, line)));
        }
    }
    found
}

/// Parses `1: POSIX  ADVISORY  READ 4711 08:01:1234 128 128`; lines of waiters are left out.
fn parse(line: &str) -> Option<Line> {
    let mut words = line.split_whitespace().skip(1);
    let kind = words.next()?;
    let has_process = match kind {
        "POSIX" => true,
        "OFDLCK" => false,
        _ => return None,
    };
    let mode = match words.nth(1)? {
        "READ" => LockMode::Shared,
        "WRITE" => LockMode::Exclusive,
        _ => return None,
    };
    let pid = words.next()?.parse().ok()?;
    let mut file = words.next()?.split(':');
    let major = u32::from_str_radix(file.next()?, 16).ok()?;
    let minor = u32::from_str_radix(file.next()?, 16).ok()?;
    let inode = file.next()?.parse().ok()?;
    let first = words.next()?.parse().ok()?;
    let last = match words.next()? {
        "EOF" => u64::MAX,
        last => last.parse().ok()?,
    };
    Some(Line { has_process, mode, pid, file: (major, minor, inode), bytes: first..=last })
}

/// Mode and bytes of a line of a kernel lock list, whoever holds it.
pub(super) fn parse_lock(line: &str) -> Option<(LockMode, Range<u64>)> {
    let Line { mode, bytes, .. } = parse(line)?;
    Some((mode, *bytes.start()..bytes.end().saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::os::OsVfs;
    use crate::storage::{LockLevel, Locked, OpenMode, Vfs};

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = parse("7: OFDLCK ADVISORY  WRITE -1 fe:0a:1234567 124 127").unwrap();
        assert_eq!((line.has_process, line.mode, line.pid), (false, LockMode::Exclusive, -1));
        assert_eq!((line.file, line.bytes), ((0xfe, 0x0a, 1_234_567), 124..=127));
        assert_eq!(parse("1: -> POSIX  ADVISORY  WRITE 9 08:01:1 0 EOF"), None);
        let whole = parse("1: POSIX  ADVISORY  WRITE 9 08:01:1 0 EOF").unwrap();
        assert_eq!((whole.pid, whole.bytes), (9, 0..=u64::MAX));
    }

    #[test]
    fn a_lock_of_ours_is_found_with_our_pid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let file = OsVfs.open(&path, OpenMode::CreateNew).unwrap();
        assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
        let locks = held_locks(&path).unwrap();
        let ours = i32::try_from(std::process::id()).unwrap();
        assert_eq!(locks.len(), 1);
        assert_eq!((locks[0].mode, locks[0].holder), (LockMode::Shared, Holder::Process(ours)));
    }
}
