//! What the system tells of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The command line of a process, where the system tells it.
#[must_use]
pub fn command_of(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// A command line for a sentence or a table: the program without its folder, then its arguments, at
/// most 60 characters.
#[must_use]
pub fn brief(command: &str) -> String {
    const MOST_CHARS: usize = 60;
    let (program, rest) = command.split_at(command.find(' ').unwrap_or(command.len()));
    let name = program.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(program);
    let mut chars = name.chars().chain(rest.chars());
    let mut brief: String = chars.by_ref().take(MOST_CHARS).collect();
    if chars.next().is_some() {
        brief.push_str("...");
    }
    brief
}

/// The name of the user that a process runs as; the number where it has no name.
#[must_use]
pub fn user_of(pid: i32) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    Some(user.map_or(uid.to_string(), |user| user.name))
}

/// When a process was started; `None` where the system does not tell (proc(5): field 22 of `stat`,
/// in clock ticks since boot, and `btime`).
#[must_use]
pub fn started_at(pid: i32) -> Option<SystemTime> {
    // The kernel shows times to users in this unit, whatever it counts in itself.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let ticks = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse::<u64>().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let since_boot = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot) + since_boot)
}

/// Whether this process ignores `signal`, as its parent has set it.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let bit = u32::try_from(signal - 1).ok().and_then(|bit| 1_u64.checked_shl(bit));
    bit.is_some_and(|bit| mask & bit != 0)
}

/// `path` as the kernel names it: its directory without symbolic links.
pub(super) fn full_name(path: &Path) -> Option<PathBuf> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Some(fs::canonicalize(directory).ok()?.join(path.file_name()?))
}

/// A file that a process has open, by its place in `/proc`: `/proc/PID/fd/N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// Its place in `/proc`; opening it opens the very file, whatever its name leads to.
    pub path: PathBuf,
    /// The name under which it was opened, as the kernel shows it; without ` (deleted)`.
    pub name: PathBuf,
    /// That name leads to it no more.
    pub is_deleted: bool,
}

impl OpenFile {
    /// The open file at `path`; `None` when that is no such place, or nothing is there.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let mut parts = path.components();
        let (number, kind) = (parts.next_back()?, parts.next_back()?);
        let is_number = number.as_os_str().as_bytes().iter().all(u8::is_ascii_digit);
        if !is_number || kind.as_os_str() != "fd" || !parts.as_path().starts_with("/proc") {
            return None;
        }
        let target = fs::read_link(path).ok()?.into_os_string().into_vec();
        let deleted = target.strip_suffix(b" (deleted)");
        Some(Self {
            path: path.to_owned(),
            name: std::ffi::OsString::from_vec(deleted.unwrap_or(&target).to_vec()).into(),
            is_deleted: deleted.is_some(),
        })
    }

    /// The same process's open file of the name `name`: a deleted one before one that is still
    /// there. `None` where it has none, or different files under it.
    #[must_use]
    pub fn beside(&self, name: &Path) -> Option<Self> {
        let entries = fs::read_dir(self.path.parent()?).ok()?.filter_map(Result::ok);
        let named: Vec<Self> =
            entries.filter_map(|e| Self::at(&e.path())).filter(|file| file.name == name).collect();
        let (deleted, living): (Vec<_>, Vec<_>) = named.into_iter().partition(|f| f.is_deleted);
        let mut found = if deleted.is_empty() { living } else { deleted };
        found.sort_by(|one, two| one.path.cmp(&two.path));
        let first = found.first()?;
        let same =
            found.iter().all(|other| super::new_file::is_same_file(&first.path, &other.path));
        same.then(|| first.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_brief() {
        assert_eq!(brief("/usr/bin/sqlite3 /data/app.db"), "sqlite3 /data/app.db");
        assert_eq!(brief("/"), "/");
        assert_eq!(brief(&"x".repeat(61)), "x".repeat(60) + "...");
    }

    #[test]
    fn this_process_was_started_a_moment_ago() {
        let started = started_at(i32::try_from(std::process::id()).unwrap()).unwrap();
        let age = SystemTime::now().duration_since(started).unwrap_or_default();
        assert!(age < Duration::from_secs(3600), "{age:?}");
        assert_eq!(started_at(i32::MAX), None);
    }

    #[test]
    fn nothing_is_ignored_by_default_here() {
        assert!(!is_ignored(15) && !is_ignored(0) && !is_ignored(-1));
        // Rust's start-up ignores SIGPIPE.
        assert!(is_ignored(13));
    }
}
