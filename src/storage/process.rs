//! What the system tells of a process.

use std::fs;
use std::path::{Path, PathBuf};

/// The command line of a process, where the system tells it.
#[must_use]
pub fn command_of(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|&byte| byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// The name of the user that a process runs as; the number where it has no name.
#[must_use]
pub fn user_of(pid: i32) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    Some(user.map_or(uid.to_string(), |user| user.name))
}

/// `path` as the kernel names it: its directory without symbolic links.
pub(super) fn full_name(path: &Path) -> Option<PathBuf> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Some(fs::canonicalize(directory).ok()?.join(path.file_name()?))
}
