//! Reading with a wal-index that may only be read and that nobody keeps right: a private one is
//! built from the log (wal.c walBeginShmUnreliable).

use super::index::reader;
use super::read::{Attempt, Cache};
use super::{Locking, Wal};
use crate::engine::{Error, Result};
use crate::format::{
    FRAME_HEADER_BYTES, FrameHeader, FrameNo, PageSize, Salts, WAL_HEADER_BYTES, WalHeader,
};
use crate::scan::{Chunks, Extent};
use crate::storage::{Extend, LockMode, Locked, ShmMap};

impl Wal<'_> {
    /// The end of loading a header: the private wal-index needs no locks while it is built, and is
    /// given up when that failed.
    pub(super) fn settle_unreliable(&mut self, loaded: Result<()>) -> Result<Attempt> {
        if !self.shm_unreliable {
            return loaded.map(|()| Attempt::Begun);
        }
        self.locking = Locking::Normal;
        match loaded {
            Ok(()) => Ok(Attempt::Begun),
            Err(error) => {
                self.forget_private_index();
                match error {
                    // The log became shorter while it was read.
                    Error::ShortRead { .. } => Ok(Attempt::Retry),
                    error => Err(error),
                }
            }
        }
    }

    fn forget_private_index(&mut self) {
        self.regions.clear();
        self.shm_unreliable = false;
    }

    /// Begins a read on the private wal-index. Slot 0 is held, which keeps checkpoints away; what
    /// the log says must still be what the index was built from.
    pub(super) fn begin_unreliable(&mut self, cache: &mut Cache) -> Result<Attempt> {
        let begun = self.try_unreliable(cache);
        if !matches!(begun, Ok(Attempt::Begun)) {
            self.forget_private_index();
            self.end_read();
            *cache = Cache::Stale;
        }
        begun
    }

    fn try_unreliable(&mut self, cache: &mut Cache) -> Result<Attempt> {
        if self.lock(reader(0), LockMode::Shared)? == Locked::Busy {
            return Ok(Attempt::Retry);
        }
        self.read_slot = Some(0);
        match self.database.shm_map(0, Extend::No)? {
            ShmMap::CannotInitialize => {}
            // A writer has come meanwhile, and keeps the real one right.
            ShmMap::Mapped(..) | ShmMap::Absent(_) => return Ok(Attempt::Retry),
            ShmMap::Busy => return Err(Error::Busy),
        }
        self.header = self.live()?.header();
        let size_bytes = self.log.size()?;
        if size_bytes < WAL_HEADER_BYTES as u64 {
            // An empty log is right for a snapshot without frames only.
            *cache = Cache::Stale;
            return Ok(if self.header.mx_frame == 0 { Attempt::Begun } else { Attempt::Retry });
        }
        if self.log_salts()? != self.header.salts {
            return Ok(Attempt::Retry);
        }
        match self.page_size {
            Some(page_size) if self.has_newer_commit(page_size, size_bytes)? => Ok(Attempt::Retry),
            Some(_) | None => Ok(Attempt::Begun),
        }
    }

    fn log_salts(&self) -> Result<Salts> {
        let mut bytes = [0; WAL_HEADER_BYTES];
        if self.log.read_at(&mut bytes, 0)? < bytes.len() {
            return Err(Error::ShortRead { frame: FrameNo(0), offset_bytes: 0 });
        }
        Ok(WalHeader::decode(&bytes).salts)
    }

    /// Whether a transaction has been completed after the last frame that the index knows.
    fn has_newer_commit(&self, page_size: PageSize, size_bytes: u64) -> Result<bool> {
        let Some(extent) = Extent::of(size_bytes, page_size) else { return Ok(false) };
        let slot_len = page_size.in_memory() + FRAME_HEADER_BYTES;
        let (order, mut sum) = (self.header.byte_order(), self.header.frame_checksum);
        let next = FrameNo(self.header.mx_frame).next();
        let mut chunks = Chunks::new(self.log.as_ref(), extent, next..extent.end());
        while let Some((_, slots)) = chunks.read()? {
            for slot in slots.chunks_exact(slot_len) {
                let Some((head, image)) = slot.split_first_chunk::<FRAME_HEADER_BYTES>() else {
                    return Ok(false);
                };
                let head = FrameHeader::decode(head);
                sum = head.sum_from(sum, order, image);
                if head.salts != self.header.salts || head.page.0 == 0 || sum != head.checksum {
                    return Ok(false);
                }
                if head.commit_size_pages != 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
