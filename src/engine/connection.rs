//! What pager.c does around the log: database locks, hot-journal test, first open, page access,
//! automatic checkpoints, last close.
//!
//! No page cache and no SQL: whoever uses a [`Connection`] reads and writes whole pages.

use std::fmt;
use std::path::{Path, PathBuf};

use super::rollback::{has_hot_journal, is_empty};
use super::wal::{
    Cache, Checkpoint, Closed, Closing, Options, Page, Request, Savepoint, SnapshotRequest,
    SyncFlags, Synchronous, Wal, WriteKind, zeroed,
};
use super::{Error, Result};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, IndexHeader, PageSize, Pgno};
use crate::scan::{Nobody, Watch};
use crate::storage::{DeleteShm, File, LockLevel, Locked, Vfs};

/// Frames in the log from which SQLite checkpoints by itself (`PRAGMA wal_autocheckpoint`).
pub const AUTO_CHECKPOINT_FRAMES: u32 = 1000;

/// The files beside a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The log.
    pub wal: PathBuf,
    /// The rollback journal.
    pub journal: PathBuf,
}

impl Paths {
    /// The files beside `database`, whose symbolic links are resolved already.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        let with = |suffix: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { wal: with("-wal"), journal: with("-journal") }
    }
}

/// What happens after a commit, decided by the commit hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCommit {
    /// A passive checkpoint runs when the read transaction has ended.
    Checkpoint,
    /// Nothing.
    Nothing,
}

/// Sees the number of frames in the log after each commit (sqlite3_wal_hook).
pub type CommitHook<'a> = Box<dyn FnMut(u32) -> AfterCommit + 'a>;

/// A connection to a database in WAL mode. It holds SHARED on the database for life, and every lock
/// is dropped with it.
pub struct Connection<'a> {
    database: &'a dyn File,
    wal: Wal<'a>,
    database_page_size: Option<PageSize>,
    sync: SyncFlags,
    hook: CommitHook<'a>,
    checkpoint_is_due: bool,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("wal", &self.wal).finish_non_exhaustive()
    }
}

impl<'a> Connection<'a> {
    /// Attaches to the log of `database`; `None` when the database is not in WAL mode. The log is
    /// created when the database says WAL and there is none, as SQLite does. The wal-index is
    /// attached, and rebuilt if need be, by the first transaction.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody works in exclusive mode, [`Error::HotJournal`], or what the
    /// storage reports. No lock is left behind.
    pub fn attach(
        vfs: &'a dyn Vfs,
        database: &'a dyn File,
        paths: &'a Paths,
        options: Options,
    ) -> Result<Option<Self>> {
        if database.lock(LockLevel::Shared)? == Locked::Busy {
            return Err(Error::Busy);
        }
        let attached = Self::attach_shared(vfs, database, paths, options);
        if !matches!(attached, Ok(Some(_))) {
            database.unlock(LockLevel::None)?;
        }
        attached
    }

    fn attach_shared(
        vfs: &'a dyn Vfs,
        database: &'a dyn File,
        paths: &'a Paths,
        options: Options,
    ) -> Result<Option<Self>> {
        if has_hot_journal(vfs, database, &paths.journal)? {
            return Err(Error::HotJournal);
        }
        // DIFFERS: SQLite deletes a log beside an empty database. It may be the only copy left.
        if is_empty(database)? {
            return Ok(None);
        }
        let mut bytes = [0; DATABASE_HEADER_BYTES];
        let whole = database.read_at(&mut bytes, 0)? == bytes.len();
        let header = Some(DatabaseHeader::decode(&bytes)).filter(|_| whole);
        let says_wal = header.is_some_and(|header| header.read_version == 2);
        if !vfs.exists(&paths.wal)? && !says_wal {
            return Ok(None);
        }
        Ok(Some(Self {
            database,
            wal: Wal::open(vfs, database, &paths.wal, options)?,
            database_page_size: header.and_then(|header| header.page_size()),
            sync: Synchronous::default().flags(),
            hook: Box::new(|frames| {
                let due = frames >= AUTO_CHECKPOINT_FRAMES;
                if due { AfterCommit::Checkpoint } else { AfterCommit::Nothing }
            }),
            checkpoint_is_due: false,
        }))
    }

    /// Sets how far writes must be on the disk (`PRAGMA synchronous`).
    pub fn set_synchronous(&mut self, synchronous: Synchronous) {
        self.sync = synchronous.flags();
    }

    /// Replaces the commit hook, which by default asks for a checkpoint from
    /// [`AUTO_CHECKPOINT_FRAMES`] on.
    pub fn set_commit_hook(&mut self, hook: CommitHook<'a>) {
        self.hook = hook;
    }

    /// The log.
    #[must_use]
    pub fn wal(&self) -> &Wal<'a> {
        &self.wal
    }

    /// The log, for calls that have no counterpart here.
    pub fn wal_mut(&mut self) -> &mut Wal<'a> {
        &mut self.wal
    }

    /// Page size of the database: that of the log, where the log has pages.
    ///
    /// # Errors
    /// [`Error::NotAttached`] when neither tells.
    pub fn page_size(&self) -> Result<PageSize> {
        self.wal.page_size().or(self.database_page_size).ok_or(Error::NotAttached)
    }

    /// Begins a read transaction; see [`Wal::begin_read`].
    ///
    /// # Errors
    /// As there.
    pub fn begin_read(&mut self) -> Result<Cache> {
        self.wal.begin_read()
    }

    /// Asks for the snapshot of the next read transaction.
    pub fn open_snapshot(&mut self, request: SnapshotRequest) {
        self.wal.open_snapshot(request);
    }

    /// Ends the read transaction, and runs the checkpoint that a commit in it has asked for.
    ///
    /// # Errors
    /// What the checkpoint reports; the read transaction has ended all the same.
    pub fn end_read(&mut self) -> Result<()> {
        self.wal.end_read();
        if std::mem::take(&mut self.checkpoint_is_due) {
            let page_size = self.page_size()?;
            self.wal.checkpoint(&mut Request::passive(page_size, self.sync))?;
        }
        Ok(())
    }

    /// Size of the database in pages in this snapshot.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn db_size_pages(&self) -> Result<u32> {
        if let Some(pages) = self.wal.db_size_pages() {
            return Ok(pages);
        }
        let pages = self.database.size()?.div_ceil(self.page_size()?.bytes_u64());
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// Reads `page` of this snapshot. Where the database file ends before it, it is zeros.
    ///
    /// # Errors
    /// What the log or the storage reports.
    pub fn read_page(&mut self, page: Pgno, image: &mut [u8]) -> Result<()> {
        if let Some(frame) = self.wal.find_frame(page)? {
            return self.wal.read_frame(frame, image);
        }
        let read = self.database.read_at(image, page.offset_bytes(self.page_size()?))?;
        image.iter_mut().skip(read).for_each(|byte| *byte = 0);
        Ok(())
    }

    /// Begins a write transaction inside the read transaction; see [`Wal::begin_write`].
    ///
    /// # Errors
    /// As there.
    pub fn begin_write(&mut self) -> Result<()> {
        self.wal.begin_write()
    }

    /// Writes pages to the log before the transaction is complete.
    ///
    /// # Errors
    /// See [`Wal::frames`]; the transaction must be rolled back then.
    pub fn spill(&mut self, pages: &[Page<'_>]) -> Result<()> {
        let page_size = self.page_size()?;
        self.wal.frames(page_size, pages, WriteKind::Spill, self.sync)
    }

    /// Writes the last pages of the transaction and commits it; the read transaction goes on. Pages
    /// after the new size are left out; a commit without pages writes page 1, so that there is a
    /// commit frame (pager.c pagerWalFrames). After an error the transaction must be rolled back.
    ///
    /// # Errors
    /// See [`Wal::frames`].
    pub fn commit(&mut self, pages: &[Page<'_>], db_size_pages: u32) -> Result<()> {
        self.write_commit(pages, db_size_pages)?;
        self.wal.end_write();
        Ok(())
    }

    /// As [`Connection::commit`] and [`Connection::end_read`]: what a statement does that is a
    /// transaction of its own. Both locks are dropped at once.
    ///
    /// # Errors
    /// See [`Wal::frames`]; the transaction is still there then ([`Wal::is_writing`]) and must be
    /// rolled back. What the checkpoint reports; the commit is valid then, and both have ended.
    pub fn commit_and_end(&mut self, pages: &[Page<'_>], db_size_pages: u32) -> Result<()> {
        self.write_commit(pages, db_size_pages)?;
        self.end_read()
    }

    fn write_commit(&mut self, pages: &[Page<'_>], db_size_pages: u32) -> Result<()> {
        let page_size = self.page_size()?;
        let mut list: Vec<Page<'_>> =
            pages.iter().filter(|page| page.pgno.0 <= db_size_pages).copied().collect();
        list.sort_unstable_by_key(|page| page.pgno);
        let mut first;
        if list.is_empty() {
            first = zeroed(page_size.in_memory())?;
            self.read_page(Pgno::FIRST, &mut first)?;
            list.push(Page { pgno: Pgno::FIRST, image: &first });
        }
        self.wal.frames(page_size, &list, WriteKind::Commit { db_size_pages }, self.sync)?;
        if let Some(frames) = self.wal.take_committed_frames() {
            self.checkpoint_is_due |= (self.hook)(frames) == AfterCommit::Checkpoint;
        }
        Ok(())
    }

    /// Forgets what this transaction has written, and ends it.
    ///
    /// # Errors
    /// When the wal-index is not attached.
    pub fn rollback(&mut self) -> Result<()> {
        let undone = self.wal.undo(|_| Ok(()));
        self.wal.end_write();
        undone
    }

    /// The present point of the write transaction.
    #[must_use]
    pub fn savepoint(&self) -> Savepoint {
        self.wal.savepoint()
    }

    /// Goes back to `savepoint`.
    ///
    /// # Errors
    /// When the wal-index is not attached.
    pub fn rollback_to(&mut self, savepoint: &mut Savepoint) -> Result<()> {
        self.wal.undo_to(savepoint)
    }

    /// Runs a checkpoint; see [`Wal::checkpoint`].
    ///
    /// # Errors
    /// As there.
    pub fn checkpoint(&mut self, request: &mut Request<'_>) -> Result<Checkpoint> {
        self.wal.checkpoint(request)
    }

    /// Builds the wal-index from scratch; see [`Wal::rebuild_index`].
    ///
    /// # Errors
    /// As there.
    pub fn rebuild_index(&mut self, watch: &dyn Watch) -> Result<IndexHeader> {
        self.wal.rebuild_index(watch)
    }

    /// Leaves the database. If nobody else is attached, everything is copied into it and log and
    /// wal-index are deleted (pager.c sqlite3PagerClose); not if the database file was moved away
    /// meanwhile, because the log under its old name may be somebody else's by now.
    ///
    /// # Errors
    /// What the last checkpoint reports; both files stay then.
    pub fn close(mut self) -> Result<Closed> {
        self.wal.end_read();
        let closing = match self.page_size() {
            Ok(page_size) if !self.database.has_moved()? => {
                Closing::Checkpoint { page_size, sync: self.sync, watch: &Nobody }
            }
            Ok(_) | Err(_) => Closing::Leave(DeleteShm::No),
        };
        self.leave(closing)
    }

    /// Leaves the database with its log as it is; the wal-index is deleted if that is asked for and
    /// nobody else is attached.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn detach(mut self, delete: DeleteShm) -> Result<()> {
        self.wal.end_read();
        self.leave(Closing::Leave(delete)).map(drop)
    }

    fn leave(self, closing: Closing<'_>) -> Result<Closed> {
        let Self { database, wal, .. } = self;
        let closed = match wal.close(closing) {
            Err(Error::Busy) => Ok(Closed::Left),
            other => other,
        };
        database.unlock(LockLevel::None)?;
        closed
    }
}
