//! Named snapshots (wal.c sqlite3WalSnapshotGet and its sisters, `SQLITE_ENABLE_SNAPSHOT`).

use super::Wal;
use super::index::one;
use super::read::{Cache, image_offset};
use crate::engine::{Error, Result};
use crate::format::lock_bytes::WAL_CKPT_LOCK;
use crate::format::wal_index::block_of;
use crate::format::{Checksum, FrameNo, IndexHeader, Pgno, Salts};
use crate::storage::{LockMode, Locked};

/// A snapshot that can be opened again, as long as no checkpoint and no reset has touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotMark(IndexHeader);

impl SnapshotMark {
    /// The snapshot that this header describes.
    #[must_use]
    pub fn of(header: IndexHeader) -> Self {
        Self(header)
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &IndexHeader {
        &self.0
    }

    /// Older, the same or newer, within the generations of one log (sqlite3_snapshot_cmp).
    #[must_use]
    pub fn age(&self) -> (u32, u32) {
        (self.0.salts.salt1, self.0.mx_frame)
    }
}

/// Which snapshot the next read transaction shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotRequest {
    /// The newest.
    #[default]
    Newest,
    /// The newest, held in a way that it can be named (`bGetSnapshot`).
    Nameable,
    /// This one.
    At(SnapshotMark),
}

impl Wal<'_> {
    /// Names the snapshot that is being read (sqlite3WalSnapshotGet).
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] when the log never held a commit.
    pub fn get_snapshot(&self) -> Result<SnapshotMark> {
        assert!(self.read_slot.is_some(), "a snapshot is named while it is read");
        let no_salts = Salts { salt1: 0, salt2: 0 };
        if self.header.frame_checksum == Checksum::ZERO && self.header.salts == no_salts {
            return Err(Error::NoSnapshot);
        }
        Ok(SnapshotMark(self.header))
    }

    /// Asks for the snapshot of the next read transaction (sqlite3WalSnapshotOpen).
    pub fn open_snapshot(&mut self, request: SnapshotRequest) {
        self.snapshot = request;
    }

    /// Begins a read of `snapshot`. C is held shared meanwhile, so that no checkpoint moves.
    pub(super) fn begin_read_at(&mut self, snapshot: SnapshotMark) -> Result<Cache> {
        let same = self.header == snapshot.0;
        if self.lock(one(WAL_CKPT_LOCK), LockMode::Shared)? == Locked::Busy {
            return Err(Error::Busy);
        }
        let mut cache = Cache::Current;
        let begun = self.begin_newest(&mut cache);
        let begun = begun.and_then(|()| self.go_back_to(snapshot, same, cache));
        self.unlock(one(WAL_CKPT_LOCK), LockMode::Shared);
        begun
    }

    fn go_back_to(&mut self, snapshot: SnapshotMark, same: bool, cache: Cache) -> Result<Cache> {
        if self.header == snapshot.0 {
            return Ok(cache);
        }
        let attempted = self.live()?.backfill_attempted();
        let there = snapshot.0.salts == self.header.salts && snapshot.0.mx_frame >= attempted;
        // What a checkpoint has begun to copy is not after the snapshot, so all of the log counts.
        self.min_frame = 1;
        if !there {
            self.end_read();
            return Err(Error::SnapshotGone);
        }
        self.header = snapshot.0;
        Ok(if same { Cache::Current } else { Cache::Stale })
    }

    /// Whether `snapshot` can still be opened (sqlite3WalSnapshotCheck). If so, C stays held shared
    /// until [`Wal::unlock_snapshot`].
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody checkpoints, [`Error::SnapshotGone`].
    pub fn check_snapshot(&self, snapshot: &SnapshotMark) -> Result<()> {
        if self.lock(one(WAL_CKPT_LOCK), LockMode::Shared)? == Locked::Busy {
            return Err(Error::Busy);
        }
        let attempted = self.live().map(|live| live.backfill_attempted());
        match attempted {
            Ok(attempted)
                if snapshot.0.salts == self.header.salts && snapshot.0.mx_frame >= attempted =>
            {
                Ok(())
            }
            other => {
                self.unlock_snapshot();
                other.and(Err(Error::SnapshotGone))
            }
        }
    }

    /// Lets checkpoints go on (sqlite3WalSnapshotUnlock).
    pub fn unlock_snapshot(&self) {
        self.unlock(one(WAL_CKPT_LOCK), LockMode::Shared);
    }

    /// Lowers `nBackfillAttempted`, which recovery has set to all frames, to the frames that really
    /// are in the database, so that snapshots of before a crash can be opened
    /// (sqlite3WalSnapshotRecover).
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody checkpoints, or what reading reports.
    pub fn recover_snapshots(&mut self) -> Result<()> {
        assert!(self.read_slot.is_some(), "snapshots are recovered inside a read transaction");
        self.lock_exclusive(one(WAL_CKPT_LOCK))?;
        self.checkpoint_lock = true;
        let recovered = self.lower_attempted();
        self.checkpoint_lock = false;
        self.unlock(one(WAL_CKPT_LOCK), LockMode::Exclusive);
        recovered
    }

    fn lower_attempted(&mut self) -> Result<()> {
        let page_size = self.page_size.ok_or(Error::NotAttached)?;
        let mut in_log = zeroed(page_size.in_memory())?;
        let mut in_database = zeroed(page_size.in_memory())?;
        let database_bytes = self.database.size()?;
        let mut frame = self.live()?.backfill_attempted();
        while frame > self.live()?.backfill() {
            let page = Pgno(self.block(block_of(frame))?.page_of(frame));
            let offset_bytes = page.offset_bytes(page_size);
            if offset_bytes + page_size.bytes_u64() <= database_bytes {
                let frame = FrameNo(frame);
                let log_offset = image_offset(frame, page_size);
                if self.log.read_at(&mut in_log, log_offset)? < in_log.len() {
                    return Err(Error::ShortRead { frame, offset_bytes: log_offset });
                }
                let read = self.database.read_at(&mut in_database, offset_bytes)?;
                if read < in_database.len() {
                    return Err(Error::ShortRead { frame, offset_bytes });
                }
                if in_log == in_database {
                    break;
                }
            }
            frame -= 1;
            self.live()?.set_backfill_attempted(frame);
        }
        Ok(())
    }
}

/// A buffer of `len` zeros.
pub(in crate::engine) fn zeroed(len: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len)?;
    buffer.resize(len, 0);
    Ok(buffer)
}
