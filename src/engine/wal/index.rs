//! Access to the wal-index: blocks, the header and its double copy, checkpoint information, locks.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::block::Block;
use super::{Locking, Wal};
use crate::engine::{Corruption, Error, Result};
use crate::format::IndexHeader;
use crate::format::lock_bytes::WAL_READ_LOCK_0;
use crate::format::wal_header::WAL_FORMAT_VERSION;
use crate::format::wal_index::{INDEX_HEADER_WORDS, READER_SLOTS, READMARK_NOT_USED};
use crate::storage::{Access, Extend, LockMode, Locked, Region, ShmMap};

/// Word of the second copy of the header.
const SECOND_COPY: usize = INDEX_HEADER_WORDS;
/// Word of `nBackfill`.
const BACKFILL: usize = 24;
/// Word of `aReadMark[0]`.
const READ_MARKS: usize = 25;
/// Word of `nBackfillAttempted`.
const BACKFILL_ATTEMPTED: usize = 32;

/// The locks of all readers of the log, as one range.
pub(super) const ALL_READERS: Range<u64> = WAL_READ_LOCK_0 + 1..WAL_READ_LOCK_0 + 5;

/// The lock byte alone, as a range.
pub(super) fn one(byte: u64) -> Range<u64> {
    byte..byte + 1
}

/// The lock byte of reader slot `slot`.
pub(super) fn reader(slot: usize) -> Range<u64> {
    one(WAL_READ_LOCK_0 + slot as u64)
}

/// The words of block 0 that all connections share: headers and checkpoint information.
#[derive(Clone, Copy)]
pub(super) struct Live<'r>(&'r [AtomicU32]);

impl Live<'_> {
    fn word(&self, index: usize) -> u32 {
        self.0.get(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn set(&self, index: usize, value: u32) {
        if let Some(word) = self.0.get(index) {
            word.store(value, Ordering::Release);
        }
    }

    fn copy(&self, start: usize) -> IndexHeader {
        let mut words = [0; INDEX_HEADER_WORDS];
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.word(start + index);
        }
        IndexHeader::from_words(words)
    }

    /// The first copy of the header. Exact only while W is held or the reader's slot protects it;
    /// otherwise good for comparing.
    pub(super) fn header(&self) -> IndexHeader {
        self.copy(0)
    }

    fn second_header(&self) -> IndexHeader {
        self.copy(SECOND_COPY)
    }

    fn store(&self, start: usize, header: &IndexHeader) {
        for (index, word) in header.to_words().into_iter().enumerate() {
            self.set(start + index, word);
        }
    }

    /// `nBackfill`: frames that are in the database. Raised under C and L0.
    pub(super) fn backfill(&self) -> u32 {
        self.word(BACKFILL)
    }

    pub(super) fn set_backfill(&self, frames: u32) {
        self.set(BACKFILL, frames);
    }

    /// `nBackfillAttempted`: frames that a checkpoint has begun to copy. Set under C and L0.
    pub(super) fn backfill_attempted(&self) -> u32 {
        self.word(BACKFILL_ATTEMPTED)
    }

    pub(super) fn set_backfill_attempted(&self, frames: u32) {
        self.set(BACKFILL_ATTEMPTED, frames);
    }

    /// `aReadMark[slot]`; [`READMARK_NOT_USED`] when it is not.
    pub(super) fn read_mark(&self, slot: usize) -> u32 {
        self.word(READ_MARKS + slot)
    }

    pub(super) fn set_read_mark(&self, slot: usize, mark: u32) {
        self.set(READ_MARKS + slot, mark);
    }

    /// All five marks.
    pub(super) fn read_marks(&self) -> [u32; READER_SLOTS] {
        std::array::from_fn(|slot| self.read_mark(slot))
    }

    /// The marks of a log that begins again: slot 1 is before its first frame.
    pub(super) fn reset_checkpoint_info(&self) {
        self.set_backfill(0);
        self.set_backfill_attempted(0);
        self.set_read_mark(1, 0);
        for slot in 2..READER_SLOTS {
            self.set_read_mark(slot, READMARK_NOT_USED);
        }
    }
}

/// What a look at the header found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Both copies agree, and their checksum is right.
    Good(IndexHeader),
    /// It is being written, was never written, or was cut.
    Bad,
}

impl Wal<'_> {
    /// Makes block `number` accessible; whether it is there. It is added when W is held
    /// (walIndexPage).
    pub(super) fn map_block(&mut self, number: u32) -> Result<bool> {
        let at = number as usize;
        if self.regions.get(at).is_some_and(Option::is_some) {
            return Ok(true);
        }
        if self.regions.len() <= at {
            let more = at + 1 - self.regions.len();
            self.regions.try_reserve(more)?;
            self.regions.resize_with(at + 1, || None);
        }
        let region = self.new_region(number)?;
        let there = region.is_some();
        if let Some(place) = self.regions.get_mut(at) {
            *place = region;
        }
        Ok(there)
    }

    fn new_region(&mut self, number: u32) -> Result<Option<Region>> {
        if self.locking == Locking::HeapMemory {
            return Ok(Some(Region::heap()?));
        }
        let extend = if self.write_lock { Extend::Yes } else { Extend::No };
        match self.database.shm_map(number, extend)? {
            ShmMap::Mapped(region, access) => {
                self.shm_read_only |= access == Access::ReadOnly;
                Ok(Some(region))
            }
            ShmMap::Absent(access) => {
                self.shm_read_only |= access == Access::ReadOnly;
                Ok(None)
            }
            ShmMap::Busy => Err(Error::Busy),
            ShmMap::CannotInitialize => {
                self.shm_read_only = true;
                Err(Error::ReadOnlyCannotInitialize)
            }
        }
    }

    /// Block `number`, mapped if it was not yet.
    pub(super) fn block(&mut self, number: u32) -> Result<Block<'_>> {
        if !self.map_block(number)? {
            return Err(Corruption::MissingBlock { block: number }.into());
        }
        self.mapped_block(number)
    }

    /// Block `number`, which is mapped already.
    pub(super) fn mapped_block(&self, number: u32) -> Result<Block<'_>> {
        let region = self.regions.get(number as usize).and_then(Option::as_ref);
        let region = region.ok_or(Corruption::MissingBlock { block: number })?;
        Ok(Block::of(number, region))
    }

    /// The shared words of block 0.
    pub(super) fn live(&self) -> Result<Live<'_>> {
        let region = self.regions.first().and_then(Option::as_ref);
        region.map(|region| Live(region.words())).ok_or(Error::NotAttached)
    }

    /// Whether the private header is still the live one: nobody has committed since.
    pub(super) fn is_current(&self) -> Result<bool> {
        Ok(self.live()?.header() == self.header)
    }

    pub(super) fn barrier(&self) {
        if self.locking != Locking::HeapMemory {
            self.database.shm_barrier();
        }
    }

    /// Reads the header without a lock (walIndexTryHdr): first copy, barrier, second copy; writers
    /// go the other way.
    pub(super) fn look_at_header(&self) -> Result<Look> {
        let live = self.live()?;
        let first = live.header();
        self.barrier();
        let second = live.second_header();
        let good = first == second && first.is_init != 0;
        let good = good && first.computed_checksum() == first.checksum;
        Ok(if good { Look::Good(first) } else { Look::Bad })
    }

    /// Publishes the private header (walIndexWriteHdr). W is held.
    pub(super) fn publish_header(&mut self) -> Result<()> {
        assert!(self.write_lock, "the header is written under W");
        self.header.is_init = 1;
        self.header.version = WAL_FORMAT_VERSION;
        self.header.checksum = self.header.computed_checksum();
        let live = self.live()?;
        live.store(SECOND_COPY, &self.header);
        self.barrier();
        live.store(0, &self.header);
        Ok(())
    }

    /// Takes a lock of the wal-index; nothing to take in the exclusive modes.
    pub(super) fn lock(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        match self.locking {
            Locking::Normal => Ok(self.database.shm_lock(bytes, mode)?),
            Locking::Exclusive | Locking::HeapMemory => Ok(Locked::Granted),
        }
    }

    /// Drops a lock of the wal-index. A failure is not reported: the lock falls with the file at
    /// the latest.
    pub(super) fn unlock(&self, bytes: Range<u64>, mode: LockMode) {
        if self.locking == Locking::Normal {
            let _ = self.database.shm_unlock(bytes, mode);
        }
    }

    /// Drops locks of the wal-index as [`Wal::unlock`] does, at once if possible.
    pub(super) fn unlock_all(&self, locks: &[(Range<u64>, LockMode)]) {
        if self.locking == Locking::Normal {
            let _ = self.database.shm_unlock_all(locks);
        }
    }

    /// Makes an exclusive lock of the wal-index a shared one. Nothing is held if somebody was
    /// faster, or after an error.
    pub(super) fn downgrade(&self, bytes: Range<u64>) -> Result<Locked> {
        match self.locking {
            Locking::Normal => {
                let downgraded = self.database.shm_downgrade(bytes.clone());
                if downgraded.is_err() {
                    self.unlock(bytes, LockMode::Exclusive);
                }
                Ok(downgraded?)
            }
            Locking::Exclusive | Locking::HeapMemory => Ok(Locked::Granted),
        }
    }

    /// Takes an exclusive lock or says [`Error::Busy`].
    pub(super) fn lock_exclusive(&self, bytes: Range<u64>) -> Result<()> {
        match self.lock(bytes, LockMode::Exclusive)? {
            Locked::Granted => Ok(()),
            Locked::Busy => Err(Error::Busy),
        }
    }
}
