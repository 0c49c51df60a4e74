//! One block of the wal-index: page numbers of frames, and the hash table that finds them (wal.c
//! walHashGet, walIndexAppend, walCleanupHash, walFindFrame).

use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use crate::engine::Corruption;
use crate::format::wal_index::{
    BLOCK_FRAMES, BLOCK_SLOTS, WAL_INDEX_HEADER_BYTES, frame_before_block, hash_of,
};
use crate::storage::Region;

/// A view of a block in shared or private memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'r> {
    number: u32,
    /// `aPgno`: the page of each frame of the block.
    pages: &'r [AtomicU32],
    /// `aHash`: 0 where free, otherwise the frame's place in the block, from 1.
    slots: &'r [AtomicU16],
    /// `iZero`: the frame before the first.
    before: u32,
}

/// Index of a hash slot or page number in memory.
fn at(index: u32) -> usize {
    // At most BLOCK_SLOTS where it is used.
    index as usize
}

impl<'r> Block<'r> {
    /// Block `number` in `region`.
    pub(super) fn of(number: u32, region: &'r Region) -> Self {
        let header_words = if number == 0 { WAL_INDEX_HEADER_BYTES / 4 } else { 0 };
        let pages = region.words().get(header_words..).unwrap_or_default();
        Self { number, pages, slots: region.slots(), before: frame_before_block(number) }
    }

    /// The last frame that the block can hold.
    pub(super) fn last_frame(&self) -> u32 {
        self.before.saturating_add(u32::try_from(self.pages.len()).unwrap_or(BLOCK_FRAMES))
    }

    /// The first frame of the block.
    pub(super) fn first_frame(&self) -> u32 {
        self.before.saturating_add(1)
    }

    fn page_cell(&self, place: u32) -> Option<&'r AtomicU32> {
        self.pages.get(at(place.checked_sub(1)?))
    }

    /// The page of `frame`; 0 where nothing was entered or the frame lies in another block.
    pub(super) fn page_of(&self, frame: u32) -> u32 {
        let place = frame.saturating_sub(self.before);
        self.page_cell(place).map_or(0, |page| page.load(Ordering::Relaxed))
    }

    /// Empties the block.
    pub(super) fn clear(&self) {
        self.pages.iter().for_each(|page| page.store(0, Ordering::Relaxed));
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }

    /// Enters `page` for `frame`. What a writer that died or rolled back left after `mx_frame` is
    /// removed first.
    pub(super) fn insert(&self, frame: u32, page: u32, mx_frame: u32) -> Result<(), Corruption> {
        let full = Corruption::FullHash { block: self.number };
        let place = frame.saturating_sub(self.before);
        let (cell, stored) = self.page_cell(place).zip(u16::try_from(place).ok()).ok_or(full)?;
        if place == 1 {
            self.clear();
        }
        if cell.load(Ordering::Relaxed) != 0 {
            self.remove_after(mx_frame);
        }
        let mut slot = hash_of(page);
        for _ in 0..=place {
            let Some(free) = self.slots.get(at(slot)) else { return Err(full) };
            if free.load(Ordering::Relaxed) == 0 {
                cell.store(page, Ordering::Relaxed);
                // The page number must be there for whoever finds the slot.
                free.store(stored, Ordering::Release);
                return Ok(());
            }
            slot = (slot + 1) & (BLOCK_SLOTS - 1);
        }
        Err(full)
    }

    /// Removes the entries of all frames of this block after `mx_frame`.
    pub(super) fn remove_after(&self, mx_frame: u32) {
        let limit = mx_frame.saturating_sub(self.before);
        for slot in self.slots {
            if u32::from(slot.load(Ordering::Relaxed)) > limit {
                slot.store(0, Ordering::Relaxed);
            }
        }
        let after = self.pages.get(at(limit)..).unwrap_or_default();
        after.iter().for_each(|page| page.store(0, Ordering::Relaxed));
    }

    /// The newest frame of `page` in this block that lies in `min_frame..=last_frame`. Slots of
    /// other frames may be garbage or half written: that test makes a search without locks safe.
    pub(super) fn find(
        &self,
        page: u32,
        min_frame: u32,
        last_frame: u32,
    ) -> Result<Option<u32>, Corruption> {
        let mut found = None;
        let mut slot = hash_of(page);
        for _ in 0..=BLOCK_SLOTS {
            let place = match self.slots.get(at(slot)).map(|slot| slot.load(Ordering::Acquire)) {
                None | Some(0) => return Ok(found),
                Some(place) => u32::from(place),
            };
            let frame = self.before.saturating_add(place);
            let wanted = (min_frame..=last_frame).contains(&frame);
            if wanted && self.page_of(frame) == page {
                found = Some(frame);
            }
            slot = (slot + 1) & (BLOCK_SLOTS - 1);
        }
        Err(Corruption::FullHash { block: self.number })
    }

    /// Makes this block equal to `source`. Words that do not change are not written, so that
    /// readers of older snapshots are not disturbed (`SQLITE_SAFER_WALINDEX_RECOVERY`).
    pub(super) fn copy_from(&self, source: &Block<'_>) {
        for (to, from) in self.pages.iter().zip(source.pages) {
            let page = from.load(Ordering::Relaxed);
            if to.load(Ordering::Relaxed) != page {
                to.store(page, Ordering::Relaxed);
            }
        }
        for (to, from) in self.slots.iter().zip(source.slots) {
            let place = from.load(Ordering::Relaxed);
            if to.load(Ordering::Relaxed) != place {
                to.store(place, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::wal_index::FIRST_BLOCK_FRAMES;

    #[test]
    fn a_block_holds_its_frames_and_finds_the_newest_in_range() {
        for number in [0, 1, 2] {
            let region = Region::heap().unwrap();
            let block = Block::of(number, &region);
            let frames = block.first_frame()..=block.last_frame();
            let count = if number == 0 { FIRST_BLOCK_FRAMES } else { BLOCK_FRAMES };
            assert_eq!(frames.clone().count(), count as usize);
            for frame in frames.clone() {
                block.insert(frame, frame % 97 + 1, frame - 1).unwrap();
            }
            let (first, last) = (*frames.start(), *frames.end());
            for page in 1..=97 {
                let newest = frames.clone().rev().find(|frame| frame % 97 + 1 == page);
                assert_eq!(block.find(page, first, last).unwrap(), newest);
                assert_eq!(
                    block.find(page, first, newest.unwrap() - 1).unwrap(),
                    Some(newest.unwrap() - 97)
                );
            }
            assert_eq!(block.find(98, first, last).unwrap(), None);
            block.remove_after(first + 9);
            assert_eq!(block.page_of(first + 9), (first + 9) % 97 + 1);
            assert_eq!(block.page_of(first + 10), 0);
            let page = (first + 20) % 97 + 1;
            assert_eq!(block.find(page, first, last).unwrap(), None);
        }
    }

    #[test]
    fn what_a_dead_writer_left_is_removed_before_it_is_overwritten() {
        let region = Region::heap().unwrap();
        let block = Block::of(0, &region);
        for frame in 1..=20 {
            block.insert(frame, 100 + frame, 0).unwrap();
        }
        block.insert(6, 7, 5).unwrap();
        assert_eq!(block.find(106, 1, 20).unwrap(), None);
        assert_eq!(block.find(120, 1, 20).unwrap(), None);
        assert_eq!(block.find(7, 1, 20).unwrap(), Some(6));
        assert_eq!(block.find(105, 1, 20).unwrap(), Some(5));
    }

    #[test]
    fn a_hash_without_a_free_slot_is_corrupt_not_endless() {
        let region = Region::heap().unwrap();
        region.slots().iter().for_each(|slot| slot.store(9, Ordering::Relaxed));
        let block = Block::of(1, &region);
        assert_eq!(block.find(3, 1, 9000), Err(Corruption::FullHash { block: 1 }));
        assert_eq!(block.insert(4064, 3, 4064), Err(Corruption::FullHash { block: 1 }));
    }
}
