//! A file that appears whole or not at all: written beside its target, synced, renamed.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Error, Result, Verb};

/// What happens to a file that stands at the target already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and publishing fails.
    Keep,
    /// It is replaced; the new file takes its permissions and owner.
    Replace,
}

/// A file in the making. Dropped without [`NewFile::publish`], it leaves no trace.
#[derive(Debug)]
pub struct NewFile {
    target: PathBuf,
    file: NamedTempFile,
}

impl NewFile {
    /// Begins a file that will appear at `target`.
    ///
    /// # Errors
    /// When nothing can be created in the target's directory.
    pub fn beside(target: &Path) -> Result<Self> {
        let directory = directory_of(target);
        let file = tempfile::Builder::new()
            .prefix(".walsmith-")
            .suffix(".new")
            .tempfile_in(&directory)
            .map_err(|source| Error::new(Verb::Open, target, source))?;
        Ok(Self { target: target.to_owned(), file })
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When the system reports one, a full disk above all.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let file = self.file.as_file();
        file.write_all_at(bytes, offset)
            .map_err(|source| Error::at(Verb::Write, self.target.as_path(), offset, source))
    }

    /// Cuts or extends it to `size_bytes`.
    ///
    /// # Errors
    /// When the system reports one.
    pub fn truncate(&self, size_bytes: u64) -> Result<()> {
        let file = self.file.as_file();
        file.set_len(size_bytes)
            .map_err(|source| Error::new(Verb::Truncate, self.target.as_path(), source))
    }

    /// Makes the file durable under its name, with the permissions (and, for root, the owner) of
    /// the file it replaces or else of `like`.
    ///
    /// # Errors
    /// When it cannot be synced or renamed, or the target exists and is to be kept.
    pub fn publish(self, existing: Existing, like: Option<&Path>) -> Result<()> {
        let Self { target, file } = self;
        let failed = |source| Error::new(Verb::Open, target.as_path(), source);
        let model = [Some(target.as_path()), like];
        let model = model.into_iter().flatten().find_map(|path| fs::metadata(path).ok());
        if let Some(model) = model {
            file.as_file().set_permissions(model.permissions()).map_err(failed)?;
            // Only root may give files away; for others the owner is theirs already.
            let _ = chown(file.path(), Some(model.uid()), Some(model.gid()));
        }
        file.as_file()
            .sync_all()
            .map_err(|source| Error::new(Verb::Sync, target.as_path(), source))?;
        match existing {
            Existing::Keep => file.persist_noclobber(&target),
            Existing::Replace => file.persist(&target),
        }
        .map_err(|error| failed(error.error))?;
        sync_directory(&target)
    }
}

/// Makes the names in the directory of `path` durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<()> {
    let failed = |source| Error::new(Verb::Sync, path, source);
    fs::File::open(directory_of(path)).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Whether both paths lead to the same file, or would.
#[must_use]
pub fn is_same_file(one: &Path, two: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(two)) {
        (Ok(one), Ok(two)) => (one.dev(), one.ino()) == (two.dev(), two.ino()),
        _ => resolved(one).is_some_and(|one| Some(one) == resolved(two)),
    }
}

fn resolved(path: &Path) -> Option<PathBuf> {
    let directory = fs::canonicalize(directory_of(path)).ok()?;
    Some(directory.join(path.file_name()?))
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}
