//! The one error of the storage floor.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{FileType, NotRegular};

/// Result of a storage call.
pub type Result<T> = std::result::Result<T, Error>;

/// Which call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// [`super::Vfs::open`].
    Open,
    /// [`super::Vfs::delete`].
    Delete,
    /// [`super::Vfs::rename`].
    Rename,
    /// [`super::Vfs::exists`], [`super::Vfs::file_type`] and [`super::Vfs::full_path`].
    Access,
    /// [`super::Vfs::randomness`].
    Randomness,
    /// [`super::File::read_at`].
    Read,
    /// [`super::File::write_at`].
    Write,
    /// [`super::File::truncate`].
    Truncate,
    /// [`super::File::sync`].
    Sync,
    /// [`super::File::size`].
    Size,
    /// [`super::File::lock`], [`super::File::unlock`] and [`super::File::lock_holder`].
    Lock,
    /// [`super::File::file_control`].
    FileControl,
    /// [`super::File::shm_map`], when it opens the wal-index.
    ShmOpen,
    /// [`super::File::shm_map`], when it grows the wal-index.
    ShmSize,
    /// [`super::File::shm_map`], when it maps the wal-index.
    ShmMap,
    /// [`super::File::shm_lock`] and [`super::File::shm_unlock`].
    ShmLock,
    /// [`super::File::shm_unmap`].
    ShmUnmap,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Delete => "delete",
            Self::Rename => "rename",
            Self::Access => "access",
            Self::Randomness => "random bytes",
            Self::Read => "read",
            Self::Write => "write",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::Size => "size",
            Self::Lock => "lock",
            Self::FileControl => "file control",
            Self::ShmOpen => "open wal-index",
            Self::ShmSize => "grow wal-index",
            Self::ShmMap => "map wal-index",
            Self::ShmLock => "lock wal-index",
            Self::ShmUnmap => "leave wal-index",
        })
    }
}

/// A storage call that failed, with the system's own error as its source.
#[derive(Debug, thiserror::Error)]
#[error("{}: {verb}{}", path.display(), at(*.offset_bytes))]
pub struct Error {
    /// The call.
    pub verb: Verb,
    /// The file it was made on. Shared, so that an error allocates nothing: it may be the answer to
    /// a memory that is exhausted.
    pub path: Arc<Path>,
    /// Where in the file, for reads and writes.
    pub offset_bytes: Option<u64>,
    /// What the system said; its raw code is in `raw_os_error`.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// An error of a call that has no offset.
    pub fn new(verb: Verb, path: impl Into<Arc<Path>>, source: io::Error) -> Self {
        Self { verb, path: path.into(), offset_bytes: None, source }
    }

    /// An error of a read or write at `offset_bytes`.
    pub fn at(
        verb: Verb,
        path: impl Into<Arc<Path>>,
        offset_bytes: u64,
        source: io::Error,
    ) -> Self {
        Self { verb, path: path.into(), offset_bytes: Some(offset_bytes), source }
    }

    /// Whether the file was there but may not be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
        )
    }

    /// What was found instead of a regular file; `None` when that is not what failed.
    #[must_use]
    pub fn not_regular(&self) -> Option<FileType> {
        let refused = self.source.get_ref()?.downcast_ref::<NotRegular>()?;
        Some(refused.0)
    }

    /// Whether symbolic links lead in a circle.
    #[must_use]
    pub fn is_link_loop(&self) -> bool {
        self.source.raw_os_error() == Some(nix::libc::ELOOP)
    }

    /// Whether the file was not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// What came of asking for a file; `None` when nothing is there.
///
/// # Errors
/// Every other one.
pub fn if_there<T>(asked: Result<T>) -> Result<Option<T>> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn at(offset_bytes: Option<u64>) -> String {
    offset_bytes.map(|offset| format!(" at offset {offset}")).unwrap_or_default()
}
