//! Read transactions (wal.c walTryBeginRead, walIndexReadHdr, walFindFrame, sqlite3WalReadFrame).

use std::time::Duration;

use super::index::{Look, one, reader};
use super::{Locking, SnapshotRequest, Wal};
use crate::engine::{Corruption, Error, Result};
use crate::format::lock_bytes::{WAL_RECOVER_LOCK, WAL_WRITE_LOCK};
use crate::format::wal_header::WAL_FORMAT_VERSION;
use crate::format::wal_index::{READER_SLOTS, block_of};
use crate::format::{FRAME_HEADER_BYTES, FrameNo, IndexHeader, PageSize, Pgno};
use crate::scan::{Nobody, Watch};
use crate::storage::{LockMode, Locked};

/// Whether pages that the caller has kept from an earlier transaction are still right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Nobody has committed since.
    Current,
    /// They must be read again.
    Stale,
}

/// Attempts before [`Error::Protocol`].
const MAX_ATTEMPTS: u32 = 100;

/// What one attempt to begin came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// A slot is held.
    Begun,
    /// Somebody was faster; another attempt may do better.
    Retry,
}

/// Where the header of a new read comes from (`useWal`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// It is loaded; slot 0 will do if everything is in the database.
    Index,
    /// A writer keeps the one it has, and needs a slot of the log.
    Writer,
}

/// How long to wait before attempt `attempt`, counted from 1 (wal.c walTryBeginRead): about ten
/// seconds in all.
#[must_use]
pub(super) fn pause_before(attempt: u32) -> Duration {
    match attempt {
        0..=5 => Duration::ZERO,
        6..=9 => Duration::from_micros(1),
        _ => {
            let steps = u64::from(attempt - 9);
            Duration::from_micros(steps * steps * 39)
        }
    }
}

/// The slot whose mark is the largest that does not lie after `mx_frame`, and that mark. Slot 0 is
/// never chosen; of equal marks the last counts.
#[must_use]
pub(super) fn choose_read_mark(marks: &[u32; READER_SLOTS], mx_frame: u32) -> Option<(usize, u32)> {
    let usable = marks.iter().copied().enumerate().skip(1).filter(|&(_, mark)| mark <= mx_frame);
    usable.max_by_key(|&(_, mark)| mark)
}

impl Wal<'_> {
    /// Begins a read transaction on the newest snapshot, or on the one that was asked for with
    /// [`Wal::open_snapshot`] (sqlite3WalBeginReadTransaction). Runs recovery where it is needed.
    ///
    /// # Errors
    /// [`Error::BusyRecovery`] while somebody else recovers, [`Error::Protocol`] after a hundred
    /// attempts, [`Error::SnapshotGone`], or what the storage reports. No slot is held then, and
    /// the caller must take his pages as stale.
    pub fn begin_read(&mut self) -> Result<Cache> {
        assert!(!self.checkpoint_lock, "no read begins inside a checkpoint");
        match self.snapshot {
            SnapshotRequest::At(snapshot) => self.begin_read_at(snapshot),
            SnapshotRequest::Newest | SnapshotRequest::Nameable => {
                let mut cache = Cache::Current;
                self.begin_newest(&mut cache)?;
                Ok(cache)
            }
        }
    }

    pub(super) fn begin_newest(&mut self, cache: &mut Cache) -> Result<()> {
        let mut attempt = 0;
        while self.try_begin(cache, Source::Index, &mut attempt)? == Attempt::Retry {}
        Ok(())
    }

    /// A writer that holds slot 0 takes a slot of the log instead, for the header it has.
    pub(super) fn begin_as_writer(&mut self) -> Result<()> {
        let (mut attempt, mut cache) = (0, Cache::Current);
        while self.try_begin(&mut cache, Source::Writer, &mut attempt)? == Attempt::Retry {}
        Ok(())
    }

    fn try_begin(
        &mut self,
        cache: &mut Cache,
        source: Source,
        attempt: &mut u32,
    ) -> Result<Attempt> {
        assert!(self.read_slot.is_none(), "one read transaction at a time");
        *attempt += 1;
        if *attempt > MAX_ATTEMPTS {
            return Err(Error::Protocol);
        }
        let pause = pause_before(*attempt);
        if !pause.is_zero() {
            self.vfs.sleep(pause);
        }
        if source == Source::Index {
            if !self.shm_unreliable {
                match self.load_header(cache, &Nobody) {
                    Ok(Attempt::Begun) => {}
                    Ok(Attempt::Retry) => return Ok(Attempt::Retry),
                    Err(Error::Busy) => return self.why_header_is_busy(),
                    Err(error) => return Err(error),
                }
            }
            if self.shm_unreliable {
                return self.begin_unreliable(cache);
            }
            if let Some(begun) = self.take_slot_0()? {
                return Ok(begun);
            }
        }
        self.take_log_slot()
    }

    fn why_header_is_busy(&self) -> Result<Attempt> {
        if self.live().is_err() {
            // Somebody is cutting the wal-index at this moment.
            return Ok(Attempt::Retry);
        }
        match self.lock(one(WAL_RECOVER_LOCK), LockMode::Shared)? {
            Locked::Granted => {
                self.unlock(one(WAL_RECOVER_LOCK), LockMode::Shared);
                Ok(Attempt::Retry)
            }
            Locked::Busy => Err(Error::BusyRecovery),
        }
    }

    /// Everything is in the database: slot 0, if nobody copies into it at this moment. `None` means
    /// that a slot of the log must do.
    fn take_slot_0(&mut self) -> Result<Option<Attempt>> {
        let backfill = self.live()?.backfill();
        if backfill > self.header.mx_frame {
            // DIFFERS: SQLite goes on and would not find a single frame. It is a reset in progress,
            // or damage.
            self.refuse_wrong_backfill()?;
            return Ok(Some(Attempt::Retry));
        }
        let nameable = self.snapshot != SnapshotRequest::Newest && self.header.mx_frame != 0;
        if backfill != self.header.mx_frame || nameable {
            return Ok(None);
        }
        let locked = self.lock(reader(0), LockMode::Shared)?;
        self.barrier();
        if locked == Locked::Busy {
            return Ok(None);
        }
        if !self.is_current()? {
            // Somebody has committed between the two looks: his pages are not in the database.
            self.unlock(reader(0), LockMode::Shared);
            return Ok(Some(Attempt::Retry));
        }
        self.read_slot = Some(0);
        Ok(Some(Attempt::Begun))
    }

    fn take_log_slot(&mut self) -> Result<Attempt> {
        let mut mx_frame = self.header.mx_frame;
        if let SnapshotRequest::At(snapshot) = self.snapshot {
            mx_frame = mx_frame.min(snapshot.header().mx_frame);
        }
        let chosen = choose_read_mark(&self.live()?.read_marks(), mx_frame);
        let mut raised = None;
        if !self.shm_read_only && chosen.is_none_or(|(_, mark)| mark < mx_frame) {
            raised = self.raise_a_mark(mx_frame)?;
        }
        let Some((slot, mark)) = raised.or(chosen) else {
            return match self.shm_read_only {
                true => Err(Error::ReadOnlyCannotInitialize),
                false => Ok(Attempt::Retry),
            };
        };
        let locked = match raised {
            Some(_) => self.downgrade(reader(slot))?,
            None => self.lock(reader(slot), LockMode::Shared)?,
        };
        if locked == Locked::Busy {
            return Ok(Attempt::Retry);
        }
        // The order matters: the number of copied frames first, then the proof that the header was
        // still the live one. A checkpoint that copied more than this snapshot has seen would show.
        self.min_frame = self.live()?.backfill().saturating_add(1);
        self.barrier();
        if self.live()?.read_mark(slot) != mark || !self.is_current()? {
            self.unlock(reader(slot), LockMode::Shared);
            return Ok(Attempt::Retry);
        }
        self.read_slot = Some(slot);
        Ok(Attempt::Begun)
    }

    /// Sets the mark of the first slot that nobody holds to `mx_frame`, and holds it exclusively.
    fn raise_a_mark(&self, mx_frame: u32) -> Result<Option<(usize, u32)>> {
        for slot in 1..READER_SLOTS {
            if self.lock(reader(slot), LockMode::Exclusive)? == Locked::Granted {
                self.live()?.set_read_mark(slot, mx_frame);
                return Ok(Some((slot, mx_frame)));
            }
        }
        Ok(None)
    }

    /// Loads the header, and rebuilds the wal-index when it is invalid (walIndexReadHdr).
    pub(super) fn load_header(&mut self, cache: &mut Cache, watch: &dyn Watch) -> Result<Attempt> {
        let loaded = self.load_or_recover(cache, watch);
        self.settle_unreliable(loaded)
    }

    fn load_or_recover(&mut self, cache: &mut Cache, watch: &dyn Watch) -> Result<()> {
        let there = match self.map_block(0) {
            Ok(there) => there,
            Err(Error::ReadOnlyCannotInitialize) => {
                // Nobody keeps the wal-index right: a private one is built from the log.
                self.shm_unreliable = true;
                self.locking = Locking::HeapMemory;
                *cache = Cache::Stale;
                false
            }
            Err(error) => return Err(error),
        };
        let look = if there { self.look_at_header()? } else { Look::Bad };
        if let Look::Good(header) = look {
            return self.adopt(header, cache);
        }
        if self.shm_read_only && !self.shm_unreliable {
            return match self.lock(one(WAL_WRITE_LOCK), LockMode::Shared)? {
                Locked::Granted => {
                    self.unlock(one(WAL_WRITE_LOCK), LockMode::Shared);
                    Err(Error::ReadOnlyRecovery)
                }
                Locked::Busy => Err(Error::Busy),
            };
        }
        let held = self.write_lock;
        if !held {
            self.lock_exclusive(one(WAL_WRITE_LOCK))?;
            self.write_lock = true;
        }
        let loaded = self.look_again_or_recover(cache, watch);
        if !held {
            self.write_lock = false;
            self.unlock(one(WAL_WRITE_LOCK), LockMode::Exclusive);
        }
        loaded
    }

    /// Under W: nobody else changes the header now.
    fn look_again_or_recover(&mut self, cache: &mut Cache, watch: &dyn Watch) -> Result<()> {
        self.map_block(0)?;
        match self.look_at_header()? {
            Look::Good(header) => self.adopt(header, cache),
            Look::Bad => {
                *cache = Cache::Stale;
                self.recover(watch)
            }
        }
    }

    fn adopt(&mut self, header: IndexHeader, cache: &mut Cache) -> Result<()> {
        if header != self.header {
            *cache = Cache::Stale;
            self.header = header;
            self.page_size = header.page_size();
        }
        match header.version {
            WAL_FORMAT_VERSION => Ok(()),
            version => Err(Error::Version { version }),
        }
    }

    /// Ends the read transaction, and a write transaction in it (sqlite3WalEndReadTransaction).
    pub fn end_read(&mut self) {
        let Some(slot) = self.read_slot.take() else { return };
        if self.forget_write() {
            let write = (one(WAL_WRITE_LOCK), LockMode::Exclusive);
            self.unlock_all(&[write, (reader(slot), LockMode::Shared)]);
        } else {
            self.unlock(reader(slot), LockMode::Shared);
        }
    }

    /// The newest frame of `page` in this snapshot; `None` when the page is to be read from the
    /// database file (sqlite3WalFindFrame).
    ///
    /// # Errors
    /// [`Corruption`] of the wal-index, or what mapping it reports.
    pub fn find_frame(&mut self, page: Pgno) -> Result<Option<FrameNo>> {
        let last = self.header.mx_frame;
        if last == 0 || (self.read_slot == Some(0) && !self.shm_unreliable) || page.0 == 0 {
            return Ok(None);
        }
        for number in (block_of(self.min_frame)..=block_of(last)).rev() {
            let min_frame = self.min_frame;
            if let Some(frame) = self.block(number)?.find(page.0, min_frame, last)? {
                return Ok(Some(FrameNo(frame)));
            }
        }
        Ok(None)
    }

    /// Reads the page image of `frame` (sqlite3WalReadFrame). A buffer longer than a page of the
    /// log is filled with zeros after it.
    ///
    /// # Errors
    /// [`Error::ShortRead`] when the log ends before, or what reading reports.
    pub fn read_frame(&self, frame: FrameNo, image: &mut [u8]) -> Result<()> {
        let page_size = self.header.page_size().ok_or(Error::NotAttached)?;
        let (page, after) = image.split_at_mut(image.len().min(page_size.in_memory()));
        after.fill(0);
        let offset_bytes = image_offset(frame, page_size);
        if self.log.read_at(page, offset_bytes)? < page.len() {
            return Err(Error::ShortRead { frame, offset_bytes });
        }
        Ok(())
    }

    /// Size of the database in pages in this snapshot; `None` when the log does not tell
    /// (sqlite3WalDbsize).
    #[must_use]
    pub fn db_size_pages(&self) -> Option<u32> {
        self.read_slot.and(Some(self.header.db_size_pages)).filter(|&pages| pages != 0)
    }

    /// Fails when the page size of the database is not that of the log.
    pub(super) fn agree_on_page_size(&self, database: PageSize) -> Result<()> {
        match self.page_size {
            Some(log) if log != database => Err(Corruption::PageSize { log, database }.into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// Where the page image of `frame` lies.
pub(super) fn image_offset(frame: FrameNo, page_size: PageSize) -> u64 {
    frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::wal_index::READMARK_NOT_USED as NONE;

    #[test]
    fn the_largest_mark_that_is_not_ahead_is_chosen() {
        let table = [
            ([0, NONE, NONE, NONE, NONE], 9, None),
            ([0, 3, 5, 4, NONE], 9, Some((2, 5))),
            ([0, 3, 5, 4, NONE], 4, Some((3, 4))),
            ([0, 5, 5, NONE, NONE], 5, Some((2, 5))),
            ([0, 0, NONE, NONE, NONE], 0, Some((1, 0))),
            ([0, 10, 11, 12, 13], 9, None),
        ];
        for (marks, mx_frame, chosen) in table {
            assert_eq!(choose_read_mark(&marks, mx_frame), chosen, "{marks:?} {mx_frame}");
        }
    }

    #[test]
    fn pauses_grow_to_about_ten_seconds_in_all() {
        let pauses: Vec<Duration> = (1..=100).map(pause_before).collect();
        assert!(pauses[..5].iter().all(Duration::is_zero));
        assert_eq!(pauses[5], Duration::from_micros(1));
        assert_eq!(pauses[9], Duration::from_micros(39));
        assert_eq!(pauses[99], Duration::from_micros(91 * 91 * 39));
        let all: Duration = pauses.iter().sum();
        assert_eq!(all.as_millis(), 9958);
    }
}
