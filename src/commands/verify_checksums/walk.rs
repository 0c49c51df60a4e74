//! Finds databases and logs below directories.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::access::files::{kind_of, with_suffix};
use crate::access::kind::Kind;
use crate::storage::{Error, Verb, Vfs};

/// A path to verify, or one that could not be looked at.
pub(super) struct FoundPath {
    /// The path.
    pub path: PathBuf,
    /// Why it could not be looked at.
    pub error: Option<anyhow::Error>,
    /// It is a directory.
    pub is_directory: bool,
}

impl FoundPath {
    fn file(path: PathBuf, error: Option<anyhow::Error>) -> Self {
        Self { path, error, is_directory: false }
    }
}

/// The paths to verify: files as given; below directories every log, every database without one,
/// and whatever could not be looked at. A log is known by its content or, when that is destroyed,
/// by its name.
pub(super) fn expand(paths: &[PathBuf], recursive: bool, vfs: &dyn Vfs) -> Vec<FoundPath> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() && recursive {
            all.extend(below(path, vfs));
        } else {
            all.push(FoundPath::file(path.clone(), None));
        }
    }
    all
}

fn below(directory: &Path, vfs: &dyn Vfs) -> impl Iterator<Item = FoundPath> {
    let mut found = BTreeMap::new();
    for entry in WalkDir::new(directory) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(directory).to_owned();
                found.insert(path.clone(), unsearchable(path, error));
                continue;
            }
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.into_path();
        let is_named_log = path.as_os_str().to_string_lossy().ends_with("-wal");
        let is_alone = || !with_suffix(&path, "-wal").exists();
        let entry = match kind_of(vfs, &path) {
            Ok(Kind::Wal) => FoundPath::file(path.clone(), None),
            Ok(_) if is_named_log => FoundPath::file(path.clone(), None),
            Ok(Kind::Database) if is_alone() => FoundPath::file(path.clone(), None),
            Ok(_) => continue,
            // What cannot be read could be a log.
            Err(error) => FoundPath::file(path.clone(), Some(error.into())),
        };
        found.insert(path, entry);
    }
    found.into_values()
}

fn unsearchable(path: PathBuf, error: walkdir::Error) -> FoundPath {
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links"));
    let error = Error::new(Verb::Open, path.as_path(), source);
    FoundPath { path, error: Some(error.into()), is_directory: true }
}
