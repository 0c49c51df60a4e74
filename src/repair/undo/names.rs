//! The names of the files of an undo set.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The file of the undo set of `database`.
#[must_use]
pub fn path_of(database: &Path) -> PathBuf {
    suffixed(database, "-walsmith-undo")
}

/// The database of the undo set at `set`.
#[must_use]
pub fn database_of(set: &Path) -> PathBuf {
    let name = set.as_os_str().as_bytes();
    let database = name.strip_suffix(b"-walsmith-undo").unwrap_or(name);
    PathBuf::from(OsStr::from_bytes(database))
}

/// Where the set keeps the log.
#[must_use]
pub fn kept_wal(database: &Path) -> PathBuf {
    suffixed(database, "-walsmith-undo-wal")
}

/// Where the set keeps the rollback journal.
#[must_use]
pub fn kept_journal(database: &Path) -> PathBuf {
    suffixed(database, "-walsmith-undo-journal")
}

/// `path` with something after its name.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
