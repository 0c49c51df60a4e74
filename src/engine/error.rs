//! The error of the engine: SQLite's result codes as a sum type.

use std::collections::TryReserveError;

use super::page_checksum::Doubt;
use crate::format::{FrameNo, PageSize};
use crate::{scan, storage};

/// Result of an engine call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an engine call did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lock is held by somebody else (`SQLITE_BUSY`).
    #[error("a lock is held by another connection")]
    Busy,
    /// Somebody else rebuilds the wal-index (`SQLITE_BUSY_RECOVERY`).
    #[error("another connection rebuilds the wal-index")]
    BusyRecovery,
    /// The snapshot that was read is not the newest any more, so nothing may be written on it
    /// (`SQLITE_BUSY_SNAPSHOT`).
    #[error("the log has been written since this snapshot was taken")]
    BusySnapshot,
    /// A hundred attempts to begin a read were overtaken (`SQLITE_PROTOCOL`).
    #[error("the locking protocol did not let a read begin in 100 attempts")]
    Protocol,
    /// The log or the wal-index may only be read (`SQLITE_READONLY`).
    #[error("the database, its log or its wal-index may only be read")]
    ReadOnly,
    /// The wal-index must be rebuilt and may only be read (`SQLITE_READONLY_RECOVERY`).
    #[error("the wal-index needs recovery and may only be read")]
    ReadOnlyRecovery,
    /// The wal-index may only be read, and nobody keeps it right (`SQLITE_READONLY_CANTINIT`).
    #[error("the wal-index may only be read, and nobody is attached who keeps it right")]
    ReadOnlyCannotInitialize,
    /// The log or the wal-index has a version that SQLite does not know (`SQLITE_CANTOPEN`).
    #[error("unknown format version {version} (known: 3007000)")]
    Version {
        /// What was found.
        version: u32,
    },
    /// What is found contradicts the format (`SQLITE_CORRUPT`).
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// A file is shorter than the wal-index says (`SQLITE_IOERR_SHORT_READ`).
    #[error("the log ends inside frame {frame} at offset {offset_bytes}")]
    ShortRead {
        /// The frame; 0 for the header of the log.
        frame: FrameNo,
        /// Where the read began.
        offset_bytes: u64,
    },
    /// The caller asked to stop (`SQLITE_INTERRUPT`).
    #[error("interrupted")]
    Interrupted,
    /// There is no memory (`SQLITE_NOMEM`).
    #[error("out of memory")]
    OutOfMemory,
    /// A snapshot of an empty log cannot be named (`SQLITE_ERROR`).
    #[error("there is no snapshot to get: nothing was ever committed to this log")]
    NoSnapshot,
    /// The snapshot has been overwritten or copied over (`SQLITE_ERROR_SNAPSHOT`).
    #[error("the snapshot is no longer available")]
    SnapshotGone,
    /// A call that needs the wal-index came before a transaction had attached to it.
    #[error("the wal-index is not attached")]
    NotAttached,
    /// A rollback journal must be played back first.
    #[error("a hot rollback journal must be rolled back first")]
    HotJournal,
    /// What the pages get in the database is not known; nothing was written.
    #[error(transparent)]
    PageChecksums(#[from] Doubt),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// What contradicts the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corruption {
    /// Database and log have different page sizes.
    #[error("the log has pages of {log} bytes, the database of {database}")]
    PageSize {
        /// Page size of the log.
        log: PageSize,
        /// Page size of the database.
        database: PageSize,
    },
    /// A block of the wal-index that its header implies is not there.
    #[error("block {block} of the wal-index is missing")]
    MissingBlock {
        /// The block, from 0.
        block: u32,
    },
    /// A hash table of the wal-index has no free slot: it cannot have been written by SQLite.
    #[error("the hash table in block {block} of the wal-index is full")]
    FullHash {
        /// The block, from 0.
        block: u32,
    },
    /// The log would make the database far larger than log and database together.
    #[error("the log says {wanted_bytes} bytes, the database has {database_bytes}")]
    Growth {
        /// Size of the database after the last commit.
        wanted_bytes: u64,
        /// Size of the database file.
        database_bytes: u64,
    },
    /// More frames are marked as copied than the log has (the WAL-reset bug of SQLite before
    /// 3.51.3, or a rogue writer).
    #[error("{backfill} frames are marked as copied of a log with {mx_frame}")]
    Backfill {
        /// `nBackfill`.
        backfill: u32,
        /// `mxFrame`.
        mx_frame: u32,
    },
}

impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<scan::Error> for Error {
    fn from(error: scan::Error) -> Self {
        match error {
            scan::Error::Storage(error) => Self::Storage(error),
            scan::Error::Shrunk { frame, offset_bytes, .. } => {
                Self::ShortRead { frame, offset_bytes }
            }
            // The engine reads the newest state, and no page of that is gone.
            scan::Error::Gone { frame, .. } => Self::ShortRead { frame, offset_bytes: 0 },
            scan::Error::CutOff { .. } => Self::ShortRead { frame: FrameNo(0), offset_bytes: 0 },
            scan::Error::Broken { frame, offset_bytes, .. } => {
                Self::ShortRead { frame, offset_bytes }
            }
            scan::Error::OutOfMemory => Self::OutOfMemory,
            scan::Error::Interrupted => Self::Interrupted,
        }
    }
}
