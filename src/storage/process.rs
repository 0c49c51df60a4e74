//! What the system tells of a process.

use std::fs;
use std::io;
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

/// Who still has a file open that was deleted under the name `path`, as far as we may look into
/// other processes.
#[must_use]
pub fn holders_of_deleted(path: &Path) -> Vec<i32> {
    let Some(full) = full_name(path) else { return Vec::new() };
    let mut name = full.into_os_string();
    name.push(" (deleted)");
    let entries = |path: &str| fs::read_dir(path).into_iter().flatten().filter_map(io::Result::ok);
    let mut holders: Vec<i32> = entries("/proc")
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            entries(&format!("/proc/{pid}/fd"))
                .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
                .any(|target| target.as_os_str() == name)
        })
        .collect();
    holders.sort_unstable();
    holders
}

/// `path` as the kernel names it: its directory without symbolic links.
fn full_name(path: &Path) -> Option<PathBuf> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Some(fs::canonicalize(directory).ok()?.join(path.file_name()?))
}
