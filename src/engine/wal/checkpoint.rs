//! Copies the log into the database (wal.c sqlite3WalCheckpoint, walCheckpoint).

use super::index::{ALL_READERS, one, reader};
use super::read::Cache;
use super::{SyncFlags, Wal};
use crate::engine::page_checksum::Wanted;
use crate::engine::{Corruption, Error, Result};
use crate::format::lock_bytes::{WAL_CKPT_LOCK, WAL_READ_LOCK_0, WAL_WRITE_LOCK};
use crate::format::wal_index::{READER_SLOTS, READMARK_NOT_USED, block_of};
use crate::format::{FrameNo, IndexHeader, PageSize, Pgno, Salts};
use crate::scan::{Extent, FrameFacts, Frames, Joiner, Nobody, Watch};
use crate::storage::{FileControl, LockMode, Locked};

/// How far a checkpoint goes (`SQLITE_CHECKPOINT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointMode {
    /// Reports only.
    Noop,
    /// Copies what is safe now, and waits for nobody.
    Passive,
    /// Waits for the writer and for readers, and copies everything.
    Full,
    /// As `Full`, and waits until the next writer can begin the log again.
    Restart,
    /// As `Restart`, and cuts the log to nothing.
    Truncate,
}

/// Whether frames are checked before they are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Each frame must have the checksum that follows from the one before it. SQLite does not do
    /// this: what rots after recovery goes into the database.
    Frames,
    /// Copies what is there.
    Nothing,
}

/// What the caller says to a lock that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Try again.
    Retry,
    /// Go on without it.
    GiveUp,
}

/// What a checkpoint is asked for.
pub struct Request<'r> {
    /// How far it goes.
    pub mode: CheckpointMode,
    /// Page size of the database.
    pub page_size: PageSize,
    /// Its syncs.
    pub sync: SyncFlags,
    /// Whether frames are checked first.
    pub verify: Verify,
    /// Copies frames again that are marked as copied and are not in the database, in the modes from
    /// `Full` on.
    pub mend: Option<Mend>,
    /// Asked when a lock is in the way, in all modes but `Noop` and `Passive`.
    pub busy: Option<&'r mut dyn FnMut() -> Busy>,
    /// Sees bytes read by a recovery or a verification and bytes copied, of all that are to be, and
    /// may stop between two reads or writes.
    pub watch: &'r dyn Watch,
}

impl Request<'_> {
    /// What an automatic checkpoint and the last close ask for.
    #[must_use]
    pub fn passive(page_size: PageSize, sync: SyncFlags) -> Self {
        let mode = CheckpointMode::Passive;
        Self {
            mode,
            page_size,
            sync,
            verify: Verify::Nothing,
            mend: None,
            busy: None,
            watch: &Nobody,
        }
    }
}

/// A state of the log in which the wal-index counts frames as copied that are not in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mend {
    /// Its generation.
    pub salts: Salts,
    /// Its last commit: in a later one, pages may have been written without those that are missing.
    pub mx_frame: u32,
}

/// What a checkpoint came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The promise of the mode was not kept, because a lock was in the way.
    pub busy: bool,
    /// Frames in the log; `None` when the checkpoint did not run.
    pub log_frames: Option<u32>,
    /// Frames of it that are in the database.
    pub checkpointed_frames: Option<u32>,
    /// Pages that this checkpoint wrote.
    pub copied_pages: u32,
    /// A frame that is not what its checksum says, with all after it left in the log.
    pub rot: Option<Rot>,
    /// Frames were marked as copied that were not in the database; they were copied again.
    pub backfill_repaired: bool,
}

/// A frame that has changed since it was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rot {
    /// The frame.
    pub frame: FrameNo,
    /// Its page by the wal-index.
    pub page: Pgno,
    /// Last frame of the transaction before it.
    pub last_good_commit: u32,
}

/// A page, and its newest frame.
pub(super) type Pair = (Pgno, FrameNo);

/// What is copied, and what each page gets.
struct Copies {
    pairs: Vec<Pair>,
    wanted: Wanted,
}

impl Wal<'_> {
    /// Copies the log into the database, as far as `request` asks and others allow. The wal-index
    /// is attached, and rebuilt if need be, where no transaction has done that yet.
    ///
    /// Order of steps that must not change: the header is loaded after C is taken; salts are
    /// compared again under L0, because a writer may have reset the log since (the WAL-reset bug of
    /// SQLite before 3.51.3); `nBackfillAttempted` is set before the first page is written and
    /// `nBackfill` after the last is durable.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::Interrupted`], [`Corruption`], or what the storage reports.
    /// `nBackfill` is unchanged then: what was copied is copied again, which is harmless. A lock in
    /// the way is no error, but [`Checkpoint::busy`].
    pub fn checkpoint(&mut self, request: &mut Request<'_>) -> Result<Checkpoint> {
        assert!(!self.checkpoint_lock && !self.write_lock, "checkpoints run by themselves");
        let mut cache = Cache::Current;
        (self.summed, self.in_database) = (None, None);
        let result = self.checkpoint_locked(request, &mut cache);
        if cache == Cache::Stale {
            // The next read transaction must not take its cached pages for current ones.
            self.header = IndexHeader::ZERO;
        }
        self.end_write();
        if self.checkpoint_lock {
            self.unlock(one(WAL_CKPT_LOCK), LockMode::Exclusive);
            self.checkpoint_lock = false;
        }
        match result {
            Err(Error::Busy) => Ok(Checkpoint { busy: true, ..Checkpoint::default() }),
            other => other,
        }
    }

    fn checkpoint_locked(
        &mut self,
        request: &mut Request<'_>,
        cache: &mut Cache,
    ) -> Result<Checkpoint> {
        let mut mode = request.mode;
        self.map_block(0)?;
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        if mode > CheckpointMode::Noop {
            self.lock_exclusive(one(WAL_CKPT_LOCK))?;
            self.checkpoint_lock = true;
        }
        if mode <= CheckpointMode::Passive {
            request.busy = None;
        } else if self.lock_patiently(WAL_WRITE_LOCK, request)? == Locked::Granted {
            self.write_lock = true;
        } else {
            mode = CheckpointMode::Passive;
            request.busy = None;
        }
        while self.load_header(cache, request.watch)? == super::read::Attempt::Retry {}
        if request.watch.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let mut done = Checkpoint::default();
        if self.header.mx_frame > 0 {
            self.agree_on_page_size(request.page_size)?;
        }
        if mode > CheckpointMode::Noop {
            match request.mend {
                Some(mend) if self.write_lock => {
                    self.mend_backfill(mend, request)?;
                    *cache = Cache::Stale;
                    done.backfill_repaired = true;
                }
                Some(_) => return Err(Error::Busy),
                None => self.refuse_wrong_backfill()?,
            }
            self.copy(request, &mut done)?;
            done.busy = !self.finish(mode, request)?;
        }
        done.busy |= mode != request.mode;
        done.log_frames = Some(self.header.mx_frame);
        done.checkpointed_frames = Some(self.live()?.backfill().min(self.header.mx_frame));
        Ok(done)
    }

    fn lock_patiently(&self, byte: u64, request: &mut Request<'_>) -> Result<Locked> {
        self.lock_range_patiently(one(byte), request)
    }

    /// Takes an exclusive lock, and asks the caller as long as somebody is in the way
    /// (walBusyLock).
    fn lock_range_patiently(
        &self,
        bytes: std::ops::Range<u64>,
        request: &mut Request<'_>,
    ) -> Result<Locked> {
        loop {
            if self.lock(bytes.clone(), LockMode::Exclusive)? == Locked::Granted {
                return Ok(Locked::Granted);
            }
            match request.busy.as_mut().map(|busy| busy()) {
                Some(Busy::Retry) => {}
                Some(Busy::GiveUp) | None => return Ok(Locked::Busy),
            }
        }
    }

    /// More frames marked as copied than the log has is the trace of the WAL-reset bug: the pages
    /// of the frames below the mark are not all in the database. W is needed to know, because a
    /// reset publishes its header first; while somebody else writes, nothing is said.
    ///
    /// DIFFERS: SQLite takes such a log for copied, and loses its frames with the next reset. It is
    /// not mended by the way: connections keep pages of before as long as the header is the same,
    /// and a later commit may have been made without the pages that are missing.
    pub(super) fn refuse_wrong_backfill(&self) -> Result<()> {
        if self.live()?.backfill() <= self.header.mx_frame || self.is_read_only() {
            return Ok(());
        }
        let held = self.write_lock;
        if !held && self.lock(one(WAL_WRITE_LOCK), LockMode::Exclusive)? == Locked::Busy {
            return Ok(());
        }
        let live = self.live()?;
        let (backfill, mx_frame) = (live.backfill(), live.header().mx_frame);
        if !held {
            self.unlock(one(WAL_WRITE_LOCK), LockMode::Exclusive);
        }
        match backfill > mx_frame {
            true => Err(Corruption::Backfill { backfill, mx_frame }.into()),
            false => Ok(()),
        }
    }

    /// Makes every frame count as not copied, under W, C and the locks of all readers, and
    /// publishes a header that differs from the one before: whoever has read without these frames
    /// forgets his pages.
    fn mend_backfill(&mut self, mend: Mend, request: &mut Request<'_>) -> Result<()> {
        let readers = WAL_READ_LOCK_0..ALL_READERS.end;
        if self.lock_range_patiently(readers.clone(), request)? == Locked::Busy {
            return Err(Error::Busy);
        }
        let same = self.header.salts == mend.salts && self.header.mx_frame == mend.mx_frame;
        let mended = match same && self.is_current()? {
            true => {
                self.live()?.set_backfill(0);
                self.header.change = self.header.change.wrapping_add(1);
                self.publish_header()
            }
            // Somebody has committed or reset since it was looked at.
            false => Err(Error::Busy),
        };
        self.unlock(readers, LockMode::Exclusive);
        mended
    }

    /// The copy phase: as far as readers allow.
    fn copy(&mut self, request: &mut Request<'_>, done: &mut Checkpoint) -> Result<()> {
        let mx_frame = self.header.mx_frame;
        if self.live()?.backfill() >= mx_frame {
            return Ok(());
        }
        let wanted = self.page_checksums_wanted(request)?;
        let mut safe = mx_frame;
        for slot in 1..READER_SLOTS {
            let mark = self.live()?.read_mark(slot);
            if mark >= safe {
                continue;
            }
            if self.lock_range_patiently(reader(slot), request)? == Locked::Granted {
                // Nobody reads with this mark: it is raised or freed, for whoever comes next.
                let mark = if slot == 1 { safe } else { READMARK_NOT_USED };
                self.live()?.set_read_mark(slot, mark);
                self.unlock(reader(slot), LockMode::Exclusive);
            } else {
                safe = mark;
                request.busy = None;
            }
        }
        if self.live()?.backfill() >= safe {
            return Ok(());
        }
        let pairs = self.pages_to_copy(wanted)?;
        if self.lock_range_patiently(reader(0), request)? == Locked::Granted {
            let copied = self.copy_locked(request, Copies { pairs, wanted }, safe, done);
            self.unlock(reader(0), LockMode::Exclusive);
            copied?;
        }
        Ok(())
    }

    /// Under C and L0: nobody resets the log, and nobody reads the database without the log.
    fn copy_locked(
        &mut self,
        request: &Request<'_>,
        mut copies: Copies,
        mut safe: u32,
        done: &mut Checkpoint,
    ) -> Result<()> {
        let live = self.live()?;
        if live.header().salts != self.header.salts {
            // A writer has reset the log since the header was loaded.
            return Ok(());
        }
        let backfill = live.backfill();
        if request.verify == Verify::Frames
            && let Some(rot) = self.find_rot(request, backfill, safe)?
        {
            safe = rot.last_good_commit;
            done.rot = Some(rot);
            if safe <= backfill {
                return Ok(());
            }
        }
        copies.pairs.retain(|&(_, frame)| frame.0 > backfill && frame.0 <= safe);
        self.live()?.set_backfill_attempted(safe);
        if let Some(kind) = request.sync.checkpoint {
            self.log.sync(kind)?;
        }
        // Hints: whoever does not understand one ignores it, and so do we.
        let _ = self.database.file_control(FileControl::CheckpointStart);
        let copied = self
            .announce_growth(request)
            .and_then(|()| self.copy_pages(request, &copies.pairs, copies.wanted));
        let _ = self.database.file_control(FileControl::CheckpointDone);
        done.copied_pages = copied?;
        if safe == self.live()?.header().mx_frame {
            let size_bytes = u64::from(self.header.db_size_pages) * request.page_size.bytes_u64();
            self.database.truncate(size_bytes)?;
            if let Some(kind) = request.sync.checkpoint {
                self.database.sync(kind)?;
            }
        }
        self.live()?.set_backfill(safe);
        Ok(())
    }

    /// Refuses a size that the log cannot account for, and tells the file system what will come.
    fn announce_growth(&self, request: &Request<'_>) -> Result<()> {
        let page_bytes = request.page_size.bytes_u64();
        let wanted_bytes = u64::from(self.header.db_size_pages) * page_bytes;
        let database_bytes = self.database.size()?;
        if database_bytes >= wanted_bytes {
            return Ok(());
        }
        let log_bytes = u64::from(self.header.mx_frame) * page_bytes;
        if database_bytes + 65_536 + log_bytes < wanted_bytes {
            return Err(Corruption::Growth { wanted_bytes, database_bytes }.into());
        }
        let _ = self.database.file_control(FileControl::SizeHint(wanted_bytes));
        Ok(())
    }

    /// The first frame after `backfill`, up to `safe`, that does not have the salts, the page and
    /// the checksum that it was committed with.
    fn find_rot(&self, request: &Request<'_>, backfill: u32, safe: u32) -> Result<Option<Rot>> {
        if self.summed.is_some_and(|(salts, last)| salts == self.header.salts && last >= safe) {
            // Summed within this call, and C is held since: in this generation they are as they
            // were.
            return Ok(None);
        }
        let page_size = request.page_size;
        let file_bytes = self.log.size()?;
        let Some(extent) = Extent::of(file_bytes, page_size) else { return Ok(None) };
        let order = self.header.byte_order();
        let joiner = Joiner::new(page_size, order);
        let mut sum = self.stored_sum_before(backfill.saturating_add(1), page_size)?;
        let mut last_good_commit = backfill;
        let frames = FrameNo(backfill).next()..FrameNo(safe).next();
        let judge = move |frame, slot: &[u8]| FrameFacts::judge(frame, slot, order);
        for facts in Frames::new(self.log.as_ref(), extent, frames, request.watch, judge) {
            let facts = facts?;
            let (frame, head) = (facts.frame, &facts.header);
            let page = Pgno(self.mapped_block(block_of(frame.0))?.page_of(frame.0));
            let intact =
                joiner.follows(&facts, sum) && head.salts == self.header.salts && head.page == page;
            if !intact {
                return Ok(Some(Rot { frame, page, last_good_commit }));
            }
            sum = head.checksum;
            if head.commit_size_pages != 0 {
                last_good_commit = frame.0;
            }
        }
        Ok(None)
    }

    /// What a mode does after the copy; whether its promise was kept.
    fn finish(&mut self, mode: CheckpointMode, request: &mut Request<'_>) -> Result<bool> {
        if mode <= CheckpointMode::Passive {
            return Ok(true);
        }
        assert!(self.write_lock, "W is held in all modes that wait");
        if self.live()?.backfill() < self.header.mx_frame {
            return Ok(false);
        }
        if mode < CheckpointMode::Restart {
            return Ok(true);
        }
        let mut salt = [0; 4];
        self.vfs.randomness(&mut salt)?;
        if self.lock_range_patiently(ALL_READERS, request)? == Locked::Busy {
            return Ok(false);
        }
        let emptied = match mode {
            CheckpointMode::Truncate => self
                .restart_header(u32::from_be_bytes(salt))
                .and_then(|()| Ok(self.log.truncate(0)?)),
            _ => Ok(()),
        };
        self.unlock(ALL_READERS, LockMode::Exclusive);
        emptied.map(|()| true)
    }
}
