//! Who holds which byte-range lock of a file, by the kernel's own lists.
//!
//! `/proc/locks` names the process of a POSIX lock. An open-file-description lock has no process
//! there; its line is also in the `fdinfo` of every process that has the description open, where
//! permission allows to look.
//!
//! The kernel hands `/proc/locks` out a page at a time and counts lines from the start at each page
//! (`seq_read_iter`). Where a lock of an earlier page was released in between, a line is skipped.
//! So a list of more than a page is read until two readings agree, and what `fdinfo` knows is
//! added.

use std::fs;
use std::io::{self, Read as _};
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

/// The process that holds a lock.
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

/// A first reading of `/proc/locks` that is shorter than this did not end because a page was full:
/// it is the whole list, written under one hold of the kernel's own lock. (A page less a line.)
const ATOMIC_LIST_BYTES: usize = 4096 - 256;
/// Readings of a longer list before the last two are taken together.
const MOST_READINGS: usize = 8;

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
    let (lines, is_whole) = listed(file).map_err(failed)?;
    let has_descriptions = lines.iter().any(|line| !line.has_process);
    let described = if has_descriptions || !is_whole { descriptions(file) } else { Vec::new() };
    let mut locks = Vec::new();
    for line in &lines {
        locks.extend(line.held(&described));
    }
    if !is_whole {
        let skipped = described.iter().filter(|(_, line)| !lines.contains(line));
        locks.extend(skipped.map(|(pid, line)| line.held_by(Holder::Process(*pid))));
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

/// The lines of `/proc/locks` on `file`, and whether no line can have been skipped.
fn listed(file: (u32, u32, u64)) -> io::Result<(Vec<Line>, bool)> {
    let mut before: Option<Vec<Line>> = None;
    for _ in 0..MOST_READINGS {
        let (text, is_whole) = read_list()?;
        let now: Vec<Line> =
            text.lines().filter_map(parse).filter(|line| line.file == file).collect();
        if is_whole {
            return Ok((now, true));
        }
        if before.as_ref() == Some(&now) {
            return Ok((now, false));
        }
        before = Some(now);
    }
    Ok((before.unwrap_or_default(), false))
}

/// The text of `/proc/locks`, and whether the kernel has written it at once.
fn read_list() -> io::Result<(String, bool)> {
    let mut file = fs::File::open("/proc/locks")?;
    let mut text = Vec::new();
    // Not `read_to_string`, which asks for a few bytes first: they would be a page of their own.
    let mut page = vec![0; 1 << 16];
    let first = file.read(&mut page)?;
    text.extend(page.iter().take(first));
    file.read_to_end(&mut text)?;
    let is_whole = text.len() == first && first < ATOMIC_LIST_BYTES;
    Ok((String::from_utf8_lossy(&text).into_owned(), is_whole))
}

impl Line {
    fn held_by(&self, holder: Holder) -> HeldLock {
        HeldLock { mode: self.mode, bytes: self.bytes.clone(), holder }
    }

    /// The lock with each process that holds it; `described` as [`descriptions`] finds them.
    fn held(&self, described: &[(i32, Self)]) -> Vec<HeldLock> {
        if self.has_process {
            return vec![self.held_by(match self.pid {
                pid if pid > 0 => Holder::Process(pid),
                _ => Holder::Unknown("the process lives in another pid namespace"),
            })];
        }
        let owners = described.iter().filter(|(_, other)| {
            other.bytes == self.bytes && other.mode == self.mode && !other.has_process
        });
        let mut pids: Vec<i32> = owners.map(|&(pid, _)| pid).collect();
        pids.dedup();
        if pids.is_empty() {
            let why = "no process that we may look into has the file description open";
            return vec![self.held_by(Holder::Unknown(why))];
        }
        pids.into_iter().map(|pid| self.held_by(Holder::Process(pid))).collect()
    }
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
    use std::sync::atomic::{AtomicBool, Ordering};

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
    fn no_lock_is_overlooked_while_others_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("x.db"), folder.path().join("y.db"));
        let file = OsVfs.open(&path, OpenMode::CreateNew).unwrap();
        assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let many = OsVfs.open(&other, OpenMode::CreateNew).unwrap();
                // A list of several pages, of which early lines come and go.
                while !ends.load(Ordering::Relaxed) {
                    for byte in (0..300).map(|place| 2 * place) {
                        assert_eq!(
                            many.lock_bytes(byte..byte + 1, LockMode::Shared).unwrap(),
                            Locked::Granted
                        );
                    }
                    many.unlock_bytes(0..600).unwrap();
                }
            });
            let missed = (0..60).filter(|_| held_locks(&path).unwrap().is_empty()).count();
            ends.store(true, Ordering::Relaxed);
            assert_eq!(missed, 0);
        });
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
