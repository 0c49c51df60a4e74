//! Frames of which nobody knows which page they were to write.
//!
//! SQLite writes the pages of a commit in the order of their numbers (pager.c `pagerWalFrames`,
//! `sqlite3PcacheDirtyList`), so the frames around such a frame bound its page. That is no proof: a
//! transaction that spilled its cache wrote in another order, and where the lost frame was a
//! commit, what comes after it is another transaction.

use std::collections::BTreeMap;

use crate::format::{FrameNo, Pgno};

/// Most pages that are named for a frame; beyond them it may be of any page.
const MAX_PAGES: u32 = 4096;

/// Most frames whose pages are bounded; beyond them each may be of any page.
const MAX_FRAMES: usize = 64;

/// A frame that cannot be recovered, and whose page is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// The frame.
    pub frame: FrameNo,
    /// Pages that it may have been of, where its transaction is in their order.
    between: Option<(Pgno, Pgno)>,
}

impl Nameless {
    /// The frames `lost` of a transaction whose other frames are `known`, and which commits
    /// `size_pages` pages.
    pub(super) fn of_transaction(
        lost: &[FrameNo],
        mut known: Vec<(Pgno, FrameNo)>,
        size_pages: u32,
    ) -> impl Iterator<Item = Self> {
        known.sort_unstable_by_key(|(_, frame)| *frame);
        let in_order = known.is_sorted_by(|(one, _), (next, _)| one < next);
        lost.iter().map(move |&frame| {
            let place = known.partition_point(|(_, other)| *other < frame);
            let after = place.checked_sub(1).and_then(|last| known.get(last));
            let first = after.map_or(Pgno::FIRST, |(page, _)| Pgno(page.0 + 1));
            let last = known.get(place).map_or(size_pages, |(page, _)| page.0 - 1);
            let is_narrow = first.0 <= last && last - first.0 < MAX_PAGES;
            Self { frame, between: (in_order && is_narrow).then_some((first, Pgno(last))) }
        })
    }
}

/// Pages of a state that may be older than it, because a frame without a name may have been theirs.
#[derive(Debug)]
pub(super) struct MayBeOlder<'a> {
    /// Those whose page is bounded.
    bounded: &'a [Nameless],
    newest: &'a BTreeMap<Pgno, FrameNo>,
    /// The last of the frames that may be of any page.
    of_any: Option<FrameNo>,
}

impl<'a> MayBeOlder<'a> {
    /// Of a state whose pages come from the frames `newest`.
    pub(super) fn new(frames: &'a [Nameless], newest: &'a BTreeMap<Pgno, FrameNo>) -> Self {
        let is_many = frames.len() > MAX_FRAMES;
        let is_any = |it: &&Nameless| is_many || it.between.is_none();
        let of_any = frames.iter().filter(is_any).map(|it| it.frame).max();
        Self { bounded: if is_many { &[] } else { frames }, newest, of_any }
    }

    /// Whether a frame after the one that `page` has may have been of it.
    pub(super) fn has(&self, page: Pgno) -> bool {
        let newest = self.newest.get(&page).copied();
        let is_after = |lost: FrameNo| newest.is_none_or(|frame| frame < lost);
        self.of_any.is_some_and(is_after)
            || self.bounded.iter().any(|it| {
                let between = it.between;
                between.is_some_and(|(first, last)| (first..=last).contains(&page))
                    && is_after(it.frame)
            })
    }

    /// Those pages that can be named, and whether any other may be one.
    pub(super) fn named(&self) -> (impl Iterator<Item = Pgno> + use<'_, 'a>, bool) {
        let ranges = self.bounded.iter().filter_map(|it| it.between);
        let pages = ranges.flat_map(|(first, last)| (first.0..=last.0).map(Pgno));
        (pages.filter(|page| self.has(*page)), self.of_any.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(lost: u32, known: &[(u32, u32)], size_pages: u32) -> Nameless {
        let known = known.iter().map(|&(page, frame)| (Pgno(page), FrameNo(frame))).collect();
        Nameless::of_transaction(&[FrameNo(lost)], known, size_pages).next().unwrap()
    }

    #[test]
    fn the_frames_around_it_bound_its_page() {
        let between = |first, last| Some((Pgno(first), Pgno(last)));
        assert_eq!(one(7, &[(2, 6), (9, 8)], 20).between, between(3, 8));
        assert_eq!(one(6, &[(4, 7), (9, 8)], 20).between, between(1, 3));
        assert_eq!(one(9, &[(4, 7), (9, 8)], 20).between, between(10, 20));
        // It spilled.
        assert_eq!(one(9, &[(9, 7), (4, 8)], 20).between, None);
        // Nothing is between them.
        assert_eq!(one(7, &[(2, 6), (3, 8)], 20).between, None);
    }

    #[test]
    fn a_page_that_was_written_again_is_not_older() {
        let frames = [one(7, &[(2, 6), (9, 8)], 20)];
        let newest = BTreeMap::from([(Pgno(4), FrameNo(11)), (Pgno(5), FrameNo(3))]);
        let older = MayBeOlder::new(&frames, &newest);
        let pages: Vec<u32> = older.named().0.map(|page| page.0).collect();
        assert_eq!((pages, older.named().1), (vec![3, 5, 6, 7, 8], false));
        let frames = [one(9, &[(9, 7), (4, 8)], 20)];
        let older = MayBeOlder::new(&frames, &newest);
        assert!(older.has(Pgno(5)) && older.has(Pgno(20)) && !older.has(Pgno(4)));
    }
}
