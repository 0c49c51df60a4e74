//! Finds databases and logs below directories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

use crate::access::files::{Kind, kind_of, with_suffix};
use crate::storage::os::OsVfs;

/// The paths to verify: files as given; below directories every log, and every database without
/// one. A log is known by its content or, when that is destroyed, by its name.
pub(super) fn expand(paths: &[PathBuf], recursive: bool) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() && recursive {
            all.extend(below(path)?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

fn below(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(directory) {
        let entry = entry.with_context(|| format!("{}: search", directory.display()))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.into_path();
        let named_wal = path.as_os_str().to_string_lossy().ends_with("-wal");
        // A file that cannot be opened is reported when it is verified, if its name says log.
        let kind = kind_of(&OsVfs, &path).unwrap_or(Kind::Other);
        let alone = || !with_suffix(&path, "-wal").exists();
        if named_wal || kind == Kind::Wal || (kind == Kind::Database && alone()) {
            found.insert(path);
        }
    }
    Ok(found)
}
