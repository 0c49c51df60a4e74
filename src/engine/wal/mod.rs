//! The surface of wal.c on an already open database file: open, close, read, write, checkpoint,
//! snapshots.
//!
//! A [`Wal`] is one connection to one log. Names, order of locks, order of stores and retries are
//! those of wal.c (SQLite 3.54); where they are not, `DIFFERS:` says why.

mod block;
mod checkpoint;
mod copy;
mod exclusive;
mod index;
mod read;
mod recover;
mod savepoint;
mod snapshot;
mod unreliable;
mod write;

use std::path::Path;

use super::page_checksum::PageChecksums;
use super::{Error, Result};
use crate::format::{IndexHeader, PageSize, Salts};
use crate::scan::Watch;
use crate::storage::{
    Access, DeleteShm, File, LockLevel, Locked, OpenMode, Region, SyncDirectory, SyncKind, Vfs,
};

pub use checkpoint::{Busy, Checkpoint, CheckpointMode, Mend, Request, Rot, Verify};
pub use read::Cache;
pub use recover::KnownLog;
pub use savepoint::Savepoint;
pub(super) use snapshot::zeroed;
pub use snapshot::{SnapshotMark, SnapshotRequest};
pub use write::{Page, WriteKind};

/// How far writes must be on the disk before they count (`PRAGMA synchronous`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Never waits for the disk: a power loss may damage the database.
    Off,
    /// Waits in checkpoints only: a power loss may take the last transactions.
    Normal,
    /// Waits for every commit.
    #[default]
    Full,
    /// As `Full`; the difference is in rollback journals.
    Extra,
}

/// Which syncs a call does (pager.c sqlite3PagerSetFlags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncFlags {
    /// At each commit (`WAL_SYNC_FLAGS`).
    pub commit: Option<SyncKind>,
    /// Around a checkpoint, and after a new header of the log (`CKPT_SYNC_FLAGS`).
    pub checkpoint: Option<SyncKind>,
}

impl Synchronous {
    /// The syncs of this level.
    #[must_use]
    pub fn flags(self) -> SyncFlags {
        let normal = Some(SyncKind::Normal);
        match self {
            Self::Off => SyncFlags { commit: None, checkpoint: None },
            Self::Normal => SyncFlags { commit: None, checkpoint: normal },
            Self::Full | Self::Extra => SyncFlags { commit: normal, checkpoint: normal },
        }
    }
}

/// Where the wal-index lives and whether locks are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Locking {
    /// Shared memory and locks (`WAL_NORMAL_MODE`).
    Normal,
    /// Shared memory, but the database lock makes all others superfluous (`WAL_EXCLUSIVE_MODE`).
    Exclusive,
    /// Private memory and no locks (`WAL_HEAPMEMORY_MODE`).
    HeapMemory,
}

/// Whether the wal-index is shared with other processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedMemory {
    /// In the `-shm` file.
    Use,
    /// In private memory; the caller holds EXCLUSIVE on the database.
    Avoid,
}

/// What a connection is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the wal-index lives.
    pub shared_memory: SharedMemory,
    /// The size in bytes to which the log is cut after a commit that began it again
    /// (`PRAGMA journal_size_limit`); `None` leaves it.
    pub journal_size_limit_bytes: Option<u64>,
    /// Who cares for the checksums of pages that a checkpoint writes.
    pub page_checksums: PageChecksums,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            shared_memory: SharedMemory::Use,
            journal_size_limit_bytes: None,
            page_checksums: PageChecksums::Leave,
        }
    }
}

/// What the last close does before it leaves.
#[derive(Clone, Copy)]
pub enum Closing<'w> {
    /// Leaves the log as it is, and the wal-index, too, unless it is to be deleted and EXCLUSIVE on
    /// the database shows that nobody else is attached.
    Leave(DeleteShm),
    /// If nobody else is attached: copies everything into the database and deletes both files.
    Checkpoint {
        /// Page size of the database.
        page_size: PageSize,
        /// Syncs of the checkpoint.
        sync: SyncFlags,
        /// May stop it between pages.
        watch: &'w dyn Watch,
    },
}

/// Whether a close deleted the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It and the wal-index are deleted: everything is in the database.
    Deleted,
    /// It stays: others are attached, or it was not asked for.
    Left,
}

/// A connection to a log.
#[derive(Debug)]
pub struct Wal<'a> {
    vfs: &'a dyn Vfs,
    database: &'a dyn File,
    log: Box<dyn File>,
    path: &'a Path,
    /// Mapped blocks of the wal-index (`apWiData`).
    regions: Vec<Option<Region>>,
    /// Page size of the log (`szPage`); `None` before any header was seen.
    page_size: Option<PageSize>,
    /// The reader slot whose lock is held (`readLock`).
    read_slot: Option<usize>,
    locking: Locking,
    /// W is held (`writeLock`).
    write_lock: bool,
    /// C is held (`ckptLock`).
    checkpoint_lock: bool,
    /// The wal-index is mapped for reading (`WAL_SHM_RDONLY`).
    shm_read_only: bool,
    /// Private memory replaces a wal-index that nobody keeps right (`bShmUnreliable`).
    shm_unreliable: bool,
    /// The next commit may cut the log to its limit (`truncateOnCommit`).
    truncate_on_commit: bool,
    journal_size_limit_bytes: Option<u64>,
    page_checksums: PageChecksums,
    /// The private copy of the header: the snapshot, plus what this writer has added (`hdr`).
    header: IndexHeader,
    /// Frames before it are in the database file already (`minFrame`).
    min_frame: u32,
    /// First frame whose checksum must be computed again at commit (`iReCksum`).
    rechecksum_from: Option<u32>,
    /// Resets of the log by this connection (`nCkpt`).
    checkpoint_seq: u32,
    /// Frames in the log after the last commit of this connection (`iCallback`).
    committed_frames: Option<u32>,
    /// Frames that the last recovery found.
    recovered_frames: Option<u32>,
    /// Generation and last frame of what a recovery within the present checkpoint has summed.
    summed: Option<(Salts, u32)>,
    /// Generation and commit that the database file is, as a recovery within the present checkpoint
    /// has been told.
    in_database: Option<(Salts, u32)>,
    /// What the next recovery need not read.
    known: Option<KnownLog>,
    snapshot: SnapshotRequest,
}

impl<'a> Wal<'a> {
    /// Opens the log at `path`, which is created empty when it is not there (sqlite3WalOpen). The
    /// caller holds SHARED on `database`. Nothing is read, mapped or locked yet.
    ///
    /// # Errors
    /// When the log can be neither opened nor created.
    pub fn open(
        vfs: &'a dyn Vfs,
        database: &'a dyn File,
        path: &'a Path,
        options: Options,
    ) -> Result<Self> {
        let log = vfs.open(path, OpenMode::CreateElseReadOnly)?;
        let locking = match options.shared_memory {
            SharedMemory::Use => Locking::Normal,
            SharedMemory::Avoid => Locking::HeapMemory,
        };
        Ok(Self {
            vfs,
            database,
            log,
            path,
            regions: Vec::new(),
            page_size: None,
            read_slot: None,
            locking,
            write_lock: false,
            checkpoint_lock: false,
            shm_read_only: false,
            shm_unreliable: false,
            truncate_on_commit: false,
            journal_size_limit_bytes: options.journal_size_limit_bytes,
            page_checksums: options.page_checksums,
            header: IndexHeader::ZERO,
            min_frame: 0,
            rechecksum_from: None,
            checkpoint_seq: 0,
            committed_frames: None,
            recovered_frames: None,
            summed: None,
            in_database: None,
            known: None,
            snapshot: SnapshotRequest::Newest,
        })
    }

    /// Changes the size to which the log is cut (sqlite3WalLimit).
    pub fn limit(&mut self, journal_size_limit_bytes: Option<u64>) {
        self.journal_size_limit_bytes = journal_size_limit_bytes;
    }

    /// The log file (sqlite3WalFile).
    #[must_use]
    pub fn file(&self) -> &dyn File {
        self.log.as_ref()
    }

    /// Page size of the log; `None` before a frame or header was seen.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        self.page_size
    }

    /// The header of the snapshot that is read, with what this connection has added to it.
    #[must_use]
    pub fn header(&self) -> &IndexHeader {
        &self.header
    }

    /// The reader slot that is held: 0 means the database file alone is read.
    #[must_use]
    pub fn read_slot(&self) -> Option<usize> {
        self.read_slot
    }

    /// Frames in the log after the last commit of this connection, once a commit
    /// (sqlite3WalCallback). The caller decides by it about an automatic checkpoint.
    pub fn take_committed_frames(&mut self) -> Option<u32> {
        self.committed_frames.take()
    }

    /// Committed frames that a recovery by this connection has found, once a recovery; `None` when
    /// there were none (`SQLITE_NOTICE_RECOVER_WAL`).
    pub fn take_recovered_frames(&mut self) -> Option<u32> {
        self.recovered_frames.take()
    }

    /// Whether the log or its wal-index may only be read.
    fn is_read_only(&self) -> bool {
        self.shm_read_only || self.log.access() == Access::ReadOnly
    }

    /// Leaves the log (sqlite3WalClose). With [`Closing::Checkpoint`], and if EXCLUSIVE on the
    /// database shows that nobody else is attached, everything is copied into the database and both
    /// files are deleted; EXCLUSIVE is still held then.
    ///
    /// # Errors
    /// [`Error::Busy`] when others are attached, or what kept the checkpoint from its work. The log
    /// is left either way, and both files stay.
    pub fn close(mut self, closing: Closing<'_>) -> Result<Closed> {
        let mut delete = DeleteShm::No;
        let mut result = Ok(Closed::Left);
        match closing {
            Closing::Leave(DeleteShm::No) => {}
            Closing::Leave(DeleteShm::Yes) => {
                if self.database.lock(LockLevel::Exclusive)? == Locked::Granted {
                    delete = DeleteShm::Yes;
                }
            }
            Closing::Checkpoint { page_size, sync, watch } => {
                let request = Request { watch, ..Request::passive(page_size, sync) };
                result = self.last_checkpoint(request);
                if matches!(result, Ok(Closed::Deleted)) {
                    delete = DeleteShm::Yes;
                }
            }
        }
        self.leave_index(delete);
        let (vfs, path) = (self.vfs, self.path);
        drop(self);
        if matches!(result, Ok(Closed::Deleted)) {
            // A log that is left is harmless: all of it is in the database.
            let _ = vfs.delete(path, SyncDirectory::No);
        }
        result
    }

    fn last_checkpoint(&mut self, mut request: Request<'_>) -> Result<Closed> {
        if self.database.lock(LockLevel::Exclusive)? == Locked::Busy {
            return Err(Error::Busy);
        }
        if self.locking == Locking::Normal {
            self.locking = Locking::Exclusive;
        }
        let copied = self.checkpoint(&mut request)?;
        if copied.busy {
            return Err(Error::Busy);
        }
        if self.database.persists_wal() {
            if self.journal_size_limit_bytes.is_some() {
                // Cutting it to the limit would leave a log that cannot be parsed.
                self.cut_log(0);
            }
            return Ok(Closed::Left);
        }
        Ok(Closed::Deleted)
    }

    /// Gives the wal-index back (walIndexClose).
    fn leave_index(&mut self, delete: DeleteShm) {
        self.regions.clear();
        if self.locking != Locking::HeapMemory {
            // Nothing depends on it: the next one who attaches alone rebuilds what is left.
            let _ = self.database.shm_unmap(delete);
            // Nothing is shared any more.
            self.locking = Locking::HeapMemory;
        }
    }

    /// Cuts the log to `size_bytes` if it is longer (walLimitSize). A log that stays long is
    /// harmless, so a failure is.
    fn cut_log(&self, size_bytes: u64) {
        if self.log.size().is_ok_and(|size| size > size_bytes) {
            let _ = self.log.truncate(size_bytes);
        }
    }
}

impl Drop for Wal<'_> {
    /// A connection that is dropped without a close leaves both files, and no lock.
    fn drop(&mut self) {
        self.leave_index(DeleteShm::No);
    }
}
