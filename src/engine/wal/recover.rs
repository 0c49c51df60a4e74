//! Rebuilds the wal-index from the log (wal.c walIndexRecover).

use std::ops::Range;

use super::Wal;
use super::block::Block;
use super::index::{one, reader};
use crate::engine::{Error, Result};
use crate::format::lock_bytes::{WAL_CKPT_LOCK, WAL_RECOVER_LOCK, WAL_WRITE_LOCK};
use crate::format::wal_header::WAL_FORMAT_VERSION;
use crate::format::wal_index::{READER_SLOTS, READMARK_NOT_USED, block_of};
use crate::format::{
    Checksum, FRAME_HEADER_BYTES, FrameHeader, FrameNo, IndexHeader, PageSize, WAL_HEADER_BYTES,
    WalHeader, WalHeaderFault,
};
use crate::scan::{Chain, Extent, FrameFacts, Joiner, KnownFrames, Scan, Watch};
use crate::storage::{LockMode, Locked, Region};

/// What recovery takes from the header of a log.
enum Begin {
    /// The log holds nothing.
    Empty,
    /// Frames may follow.
    Frames(PageSize, WalHeader),
}

/// The beginning of a log as the caller has read it a moment ago.
#[derive(Clone, Debug)]
pub struct KnownLog {
    /// Its header.
    pub header: WalHeader,
    /// Its first frames, all of them valid.
    pub frames: KnownFrames,
    /// The database file is what this commit gives, byte by byte: nothing up to it is copied.
    pub in_database: Option<FrameNo>,
}

impl Wal<'_> {
    /// Rebuilds the wal-index and publishes it. W is held, and C where a checkpoint needs it.
    ///
    /// # Errors
    /// [`Error::Busy`] when somebody checkpoints or recovers, [`Error::Version`], or what the
    /// storage reports. The wal-index stays invalid then, and the next one tries again.
    pub(super) fn recover(&mut self, watch: &dyn Watch) -> Result<()> {
        assert!(self.write_lock, "recovery holds W");
        let locks: Range<u64> = if self.checkpoint_lock {
            one(WAL_RECOVER_LOCK)
        } else {
            WAL_CKPT_LOCK..WAL_RECOVER_LOCK + 1
        };
        self.lock_exclusive(locks.clone())?;
        let recovered = self.recover_locked(watch);
        self.unlock(locks, LockMode::Exclusive);
        recovered
    }

    /// Tells the next recovery what it need not read and sum again.
    pub fn know(&mut self, log: KnownLog) {
        self.known = Some(log);
    }

    /// Builds the wal-index from scratch although its header may be valid. Readers of the same
    /// generation go on: words that do not change are not written, and marks that are held stay.
    /// Every frame counts as not copied afterwards.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody writes, checkpoints or recovers, or what the storage reports.
    pub fn rebuild_index(&mut self, watch: &dyn Watch) -> Result<IndexHeader> {
        assert!(self.read_slot.is_none(), "an index is rebuilt outside of transactions");
        self.map_block(0)?;
        self.lock_exclusive(one(WAL_WRITE_LOCK))?;
        self.write_lock = true;
        let rebuilt = self.map_block(0).and_then(|_| self.recover(watch));
        self.end_write();
        rebuilt.map(|()| self.header)
    }

    fn recover_locked(&mut self, watch: &dyn Watch) -> Result<()> {
        self.header = IndexHeader::ZERO;
        let size_bytes = self.log.size()?;
        let last_sum = match self.read_log_header(size_bytes)? {
            Begin::Empty => Checksum::ZERO,
            Begin::Frames(page_size, header) => {
                let known = self.still_known(&header, page_size)?;
                self.index_frames(page_size, size_bytes, &known, watch)?
            }
        };
        self.header.frame_checksum = last_sum;
        self.publish_header()?;
        self.renew_checkpoint_info()?;
        self.summed = Some((self.header.salts, self.header.mx_frame));
        self.recovered_frames = Some(self.header.mx_frame).filter(|&frames| frames > 0);
        Ok(())
    }

    /// Adopts page size, salts and sequence of a header that can be parsed, even when its checksum
    /// is wrong and the log counts as empty.
    fn read_log_header(&mut self, size_bytes: u64) -> Result<Begin> {
        if size_bytes <= WAL_HEADER_BYTES as u64 {
            return Ok(Begin::Empty);
        }
        let mut bytes = [0; WAL_HEADER_BYTES];
        if self.log.read_at(&mut bytes, 0)? < bytes.len() {
            return Err(Error::ShortRead { frame: FrameNo(0), offset_bytes: 0 });
        }
        let header = WalHeader::decode(&bytes);
        let fault = header.validate().err();
        let page_size = match (fault, header.page_size()) {
            (Some(WalHeaderFault::Magic | WalHeaderFault::PageSize), _) | (_, None) => {
                return Ok(Begin::Empty);
            }
            (_, Some(page_size)) => page_size,
        };
        self.header.big_endian_checksum = u8::from(header.magic & 1 == 1);
        self.page_size = Some(page_size);
        self.checkpoint_seq = header.checkpoint_seq;
        self.header.salts = header.salts;
        self.header.frame_checksum = header.computed_checksum();
        match fault {
            None => Ok(Begin::Frames(page_size, header)),
            Some(WalHeaderFault::Version) => {
                assert!(header.format_version != WAL_FORMAT_VERSION, "the version is at fault");
                Err(Error::Version { version: header.format_version })
            }
            Some(_) => Ok(Begin::Empty),
        }
    }

    /// What is known of the log, if it is the same log still: a generation has salts of its own,
    /// and the sum of a frame depends on every frame before it, so the last known one speaks for
    /// all.
    fn still_known(&mut self, header: &WalHeader, page_size: PageSize) -> Result<KnownFrames> {
        let Some(known) = self.known.take().filter(|known| known.header == *header) else {
            return Ok(KnownFrames::default());
        };
        let last = FrameNo(known.frames.end().0 - 1);
        let mut bytes = [0; FRAME_HEADER_BYTES];
        let there = last >= FrameNo::FIRST
            && self.log.read_at(&mut bytes, last.offset_bytes(page_size))? == bytes.len()
            && known.frames.last(header.salts) == Some(FrameHeader::decode(&bytes));
        if !there {
            return Ok(KnownFrames::default());
        }
        let salts = header.salts;
        self.in_database = known.in_database.filter(|&to| to <= last).map(|to| (salts, to.0));
        Ok(known.frames)
    }

    /// Enters every frame of the unbroken chain, block by block: built in private memory and copied
    /// over the shared block, so that readers of older snapshots see no gap. Returns the sum of the
    /// last commit frame.
    fn index_frames(
        &mut self,
        page_size: PageSize,
        size_bytes: u64,
        known: &KnownFrames,
        watch: &dyn Watch,
    ) -> Result<Checksum> {
        let slots = (size_bytes - WAL_HEADER_BYTES as u64) / page_size.slot_bytes();
        // Frame numbers have 31 bits; what lies after them cannot be reached by anybody.
        let slots = u32::try_from(slots).unwrap_or(u32::MAX).min((1 << 31) - 1);
        let extent =
            Extent { page_size, file_bytes: size_bytes, slot_frames: slots, trailing_bytes: 0 };
        let private = Region::heap()?;
        let order = self.header.byte_order();
        let judge = move |frame, slot: &[u8]| FrameFacts::judge(frame, slot, order);
        let mut scan = Scan::new(self.log.as_ref(), extent, known.end()..extent.end(), judge);
        let joiner = Joiner::new(page_size, order);
        let chain = Chain { joiner, salts: self.header.salts, start: self.header.frame_checksum };
        let mut known = known.facts(chain, FrameNo::FIRST, extent.end());
        let mut last_sum = Checksum::ZERO;
        for number in 0..=block_of(slots) {
            self.map_block(number)?;
            let block = Block::of(number, &private);
            block.clear();
            let frames = slots.min(block.last_frame()).saturating_add(1) - block.first_frame();
            let mut whole = true;
            for _ in 0..frames {
                let read = || scan.next(self.log.as_ref(), watch);
                let Some(facts) = known.next().map(Ok).or_else(read).transpose()? else { break };
                whole = self.index_frame(&block, &facts, &joiner, &mut last_sum)?;
                if !whole {
                    break;
                }
            }
            self.block(number)?.copy_from(&block);
            if !whole {
                break;
            }
        }
        Ok(last_sum)
    }

    /// Enters the next frame of the chain in its block; whether it belongs to the chain.
    fn index_frame(
        &mut self,
        block: &Block<'_>,
        facts: &FrameFacts,
        joiner: &Joiner,
        last_sum: &mut Checksum,
    ) -> Result<bool> {
        let head = &facts.header;
        let follows = head.salts == self.header.salts
            && head.page.0 != 0
            && joiner.follows(facts, self.header.frame_checksum);
        if !follows {
            return Ok(false);
        }
        block.insert(facts.frame.0, head.page.0, self.header.mx_frame)?;
        if head.commit_size_pages != 0 {
            self.header.mx_frame = facts.frame.0;
            self.header.db_size_pages = head.commit_size_pages;
            self.header.page_size_field = joiner.page_size().to_wal_index_field();
            *last_sum = head.checksum;
        }
        self.header.frame_checksum = head.checksum;
        Ok(true)
    }

    /// Nothing counts as copied any more, and every slot that no reader holds is free.
    fn renew_checkpoint_info(&mut self) -> Result<()> {
        let mx_frame = self.header.mx_frame;
        let live = self.live()?;
        live.set_backfill(0);
        live.set_backfill_attempted(mx_frame);
        live.set_read_mark(0, 0);
        for slot in 1..READER_SLOTS {
            if self.lock(reader(slot), LockMode::Exclusive)? == Locked::Granted {
                let mark = if slot == 1 && mx_frame > 0 { mx_frame } else { READMARK_NOT_USED };
                self.live()?.set_read_mark(slot, mark);
                self.unlock(reader(slot), LockMode::Exclusive);
            }
        }
        Ok(())
    }
}
