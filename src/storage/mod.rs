//! The outside world behind SQLite's own verbs.
//!
//! [`Vfs`] and [`File`] follow `sqlite3_vfs` and `sqlite3_file` so that the engine can run on real
//! files, in memory, under injected faults, or on SQLite's own VFS. Floors above see only these
//! traits. No `Sync` bound: a parallel scan opens its own read-only handles.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

mod error;
mod lock;
pub mod lock_list;
pub mod memory;
pub mod new_file;
pub mod os;
pub mod process;

pub use error::{Error, Result, Verb};
pub use lock::{LockHolder, LockLevel, LockMode, Locked};

/// How a file is to be opened; `SQLITE_OPEN_*` as a sum type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reading only. Nothing is ever created or written.
    ReadOnly,
    /// Existing file, reading and writing.
    ReadWrite,
    /// Reading and writing; created when it does not exist.
    Create,
    /// Reading and writing; an error when it exists already.
    CreateNew,
}

/// What a sync must make durable (`SQLITE_SYNC_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// Content and size of the file.
    Normal,
    /// As `Normal`, and through the drive's cache where the system offers that.
    Full,
}

/// Whether a deletion must be durable before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncDirectory {
    /// Sync the directory after the deletion.
    Yes,
    /// Leave that to the file system.
    No,
}

/// A file system.
pub trait Vfs {
    /// Opens `path`.
    ///
    /// # Errors
    /// When the file is missing (unless `mode` creates it), exists already
    /// ([`OpenMode::CreateNew`]), is a directory, or permission is lacking.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>>;

    /// Deletes `path`.
    ///
    /// # Errors
    /// When it does not exist or cannot be unlinked, or the directory cannot be synced.
    fn delete(&self, path: &Path, sync: SyncDirectory) -> Result<()>;

    /// Whether something exists at `path`.
    ///
    /// # Errors
    /// When the directory cannot be searched.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// The path beside which SQLite looks for the log: a symbolic link is followed to its end,
    /// anything else stays as it was given.
    ///
    /// # Errors
    /// When the link cannot be followed.
    fn full_path(&self, path: &Path) -> Result<PathBuf>;

    /// Fills `buffer` with random bytes.
    ///
    /// # Errors
    /// When the system's source of randomness fails.
    fn randomness(&self, buffer: &mut [u8]) -> Result<()>;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration);

    /// Time since the Unix epoch.
    fn now(&self) -> Duration;
}

/// An open file.
pub trait File: std::fmt::Debug {
    /// Reads at `offset` until `buffer` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    /// When the system reports one; the end of the file is not an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file when needed.
    ///
    /// # Errors
    /// When the system reports one; a part of `bytes` may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Cuts or extends (with zeros) the file to `size_bytes`.
    ///
    /// # Errors
    /// When the system reports one.
    fn truncate(&self, size_bytes: u64) -> Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the system reports one; nothing is known then of the bytes since the last sync.
    fn sync(&self, kind: SyncKind) -> Result<()>;

    /// Size of the file in bytes.
    ///
    /// # Errors
    /// When the system reports one.
    fn size(&self) -> Result<u64>;

    /// Takes a lock on the database file that this handle holds until it is unlocked or dropped.
    /// Never waits.
    ///
    /// # Errors
    /// When the system reports one; a lock in the way is [`Locked::Busy`].
    fn lock(&self, level: LockLevel) -> Result<Locked>;

    /// Drops the lock on the database file.
    ///
    /// # Errors
    /// When the system reports one.
    fn unlock(&self) -> Result<()>;

    /// Who would be in the way of a `wanted` lock on `bytes`. A question only: no lock is set, and
    /// a handle for reading is enough.
    ///
    /// # Errors
    /// When the system reports one.
    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>>;

    /// The path it was opened under, for messages.
    fn path(&self) -> &Path;
}
