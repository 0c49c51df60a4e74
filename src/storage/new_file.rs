//! A file that appears whole or not at all: written without a name, synced, then named.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::libc;
use nix::unistd::{LinkatFlags, linkat};
use tempfile::NamedTempFile;

use super::regular::{FileType, file_type};
use super::{Error, Result, Verb};

/// What happens to a file that is at the target already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and publishing fails.
    Keep,
    /// It is replaced; the new file takes its permissions and owner.
    Replace,
}

/// A file in the making. Dropped without [`NewFile::publish`], it leaves no trace.
pub trait NewFile: std::fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// When the system reports one, a full disk above all.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Cuts or extends it to `size_bytes`.
    ///
    /// # Errors
    /// When the system reports one.
    fn truncate(&self, size_bytes: u64) -> Result<()>;

    /// Makes the file durable under its name, with the permissions (and, for root, the owner) of
    /// the file it replaces or else of `like`.
    ///
    /// # Errors
    /// When it cannot be synced or renamed, or the target exists and is to be kept.
    fn publish(self: Box<Self>, existing: Existing, like: Option<&Path>) -> Result<()>;
}

/// A file of the machine in the making. Where the file system has files without names (Linux
/// `O_TMPFILE`), it leaves no trace even when the process is killed.
#[derive(Debug)]
pub(super) struct OsNewFile {
    target: PathBuf,
    staged: Staged,
}

#[derive(Debug)]
enum Staged {
    Unnamed(fs::File),
    Named(NamedTempFile),
}

impl Staged {
    fn file(&self) -> &fs::File {
        match self {
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }
}

impl OsNewFile {
    /// Begins a file that will appear at `target`.
    ///
    /// # Errors
    /// When nothing can be created in the target's directory, or the target is there and no file:
    /// a device or a pipe would be replaced by one.
    pub(super) fn beside(target: &Path) -> Result<Self> {
        if let Ok(Some(found)) = file_type(target)
            && !matches!(found, FileType::Regular | FileType::Directory)
        {
            let why = format!("it is {}, and no file that can be replaced", found.words());
            let source = io::Error::new(io::ErrorKind::AlreadyExists, why);
            return Err(Error::new(Verb::Open, target, source));
        }
        let directory = directory_of(target);
        let staged = match unnamed(&directory) {
            Some(file) => Staged::Unnamed(file),
            None => Staged::Named(
                temporary()
                    .tempfile_in(&directory)
                    .map_err(|source| Error::new(Verb::Open, target, source))?,
            ),
        };
        Ok(Self { target: target.to_owned(), staged })
    }
}

impl NewFile for OsNewFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let file = self.staged.file();
        file.write_all_at(bytes, offset)
            .map_err(|source| Error::at(Verb::Write, self.target.as_path(), offset, source))
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        let file = self.staged.file();
        file.set_len(size_bytes)
            .map_err(|source| Error::new(Verb::Truncate, self.target.as_path(), source))
    }

    fn publish(self: Box<Self>, existing: Existing, like: Option<&Path>) -> Result<()> {
        let Self { target, staged } = *self;
        let failed = |source| Error::new(Verb::Open, target.as_path(), source);
        let model = [Some(target.as_path()), like];
        let model = model.into_iter().flatten().find_map(|path| fs::metadata(path).ok());
        let file = staged.file();
        if let Some(model) = model {
            file.set_permissions(model.permissions()).map_err(failed)?;
            // Only root may give files away; for others the owner is theirs already.
            let _ = fchown(file, Some(model.uid()), Some(model.gid()));
        }
        file.sync_all().map_err(|source| Error::new(Verb::Sync, target.as_path(), source))?;
        match (staged, existing) {
            (Staged::Unnamed(file), Existing::Keep) => link(&file, &target).map_err(failed)?,
            (Staged::Unnamed(file), Existing::Replace) => {
                // A link never replaces; a rename does, and needs a name of its own before.
                let name = temporary()
                    .make_in(directory_of(&target), |name| link(&file, name))
                    .map_err(failed)?;
                name.persist(&target).map(|_| ()).map_err(|error| failed(error.error))?;
            }
            (Staged::Named(file), Existing::Keep) => {
                file.persist_noclobber(&target).map(|_| ()).map_err(|e| failed(e.error))?;
            }
            (Staged::Named(file), Existing::Replace) => {
                file.persist(&target).map(|_| ()).map_err(|error| failed(error.error))?;
            }
        }
        sync_directory(&target)
    }
}

/// A file without a name in `directory`; `None` where that cannot be made, or not be named later.
fn unnamed(directory: &Path) -> Option<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let file = options.open(directory).ok()?;
    fs::symlink_metadata(path_in_proc(&file)).is_ok().then_some(file)
}

/// Gives a file its name; an error when the name is taken.
fn link(file: &fs::File, name: &Path) -> io::Result<()> {
    let flags = LinkatFlags::AT_SYMLINK_FOLLOW;
    Ok(linkat(AT_FDCWD, &path_in_proc(file), AT_FDCWD, name, flags)?)
}

fn path_in_proc(file: &fs::File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Names of what is in the making.
pub(super) fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".walsmith-").suffix(".new");
    builder
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

pub(super) fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_or_a_device_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for target in [fifo.as_path(), Path::new("/dev/null")] {
            let error = OsNewFile::beside(target).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("no file that can be replaced"), "{source}");
        }
        assert!(OsNewFile::beside(&folder.path().join("new")).is_ok());
    }
}
