//! The states that a walk over a log comes through, without a copy of each.

use std::collections::BTreeSet;

use crate::format::{FrameNo, Pgno};
use crate::log::cure::Cure;

use super::Restored;

/// A page that was changed, and the frame that it had before.
type Undo = (Pgno, Option<FrameNo>);

/// A state to which one can go back.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Changes before it.
    changes: usize,
    to_frame: u32,
    to_txn: u32,
    db_size_pages: Option<u32>,
}

/// The newest state, and the way back to two earlier ones.
pub(super) struct Track {
    current: Restored,
    undo: Vec<Undo>,
    /// The last state of which no page is missing.
    complete: Mark,
    /// The last of those in which nothing is only likely.
    certain: Mark,
    /// Pages whose newest frame cannot be recovered, and no later one has written again.
    pub missing: BTreeSet<Pgno>,
    /// Frames of which only the likeliest explanation was taken.
    pub likely: BTreeSet<FrameNo>,
}

impl Track {
    pub(super) fn new(start: Restored) -> Self {
        let mark = Mark::of(&start, 0);
        Self {
            current: start,
            undo: Vec::new(),
            complete: mark,
            certain: mark,
            missing: BTreeSet::new(),
            likely: BTreeSet::new(),
        }
    }

    /// The newest state.
    pub(super) fn current(&self) -> &Restored {
        &self.current
    }

    /// Takes a frame's right bytes from elsewhere.
    pub(super) fn fix(&mut self, frame: FrameNo, cure: Cure) {
        self.current.fixes.insert(frame, cure);
    }

    /// A transaction commits a database of `size_pages`, with those frames.
    pub(super) fn commit(&mut self, frame: FrameNo, size_pages: u32, frames: Vec<(Pgno, FrameNo)>) {
        let snapshot = &mut self.current.snapshot;
        for (page, frame) in frames {
            self.undo.push((page, snapshot.pages.insert(page, frame)));
        }
        while let Some(last) = snapshot.pages.last_entry().filter(|last| last.key().0 > size_pages)
        {
            let (page, frame) = last.remove_entry();
            self.undo.push((page, Some(frame)));
        }
        snapshot.to_frame = frame.0;
        snapshot.to_txn += 1;
        snapshot.db_size_pages = Some(size_pages);
        while self.missing.last().is_some_and(|page| page.0 > size_pages) {
            self.missing.pop_last();
        }
    }

    /// Nothing is missing in the newest state.
    pub(super) fn mark_complete(&mut self) {
        self.complete = Mark::of(&self.current, self.undo.len());
        if self.likely.is_empty() {
            self.certain = self.complete;
            self.undo.clear();
            (self.complete.changes, self.certain.changes) = (0, 0);
        }
    }

    /// The database file has the newest state: no frame is needed for it.
    pub(super) fn clear(&mut self) {
        self.current.snapshot.pages.clear();
        self.current.fixes.clear();
        self.missing.clear();
        self.likely.clear();
        self.undo.clear();
        let mark = Mark::of(&self.current, 0);
        (self.complete, self.certain) = (mark, mark);
    }

    /// The last commit frame of the last complete state.
    pub(super) fn complete_to(&self) -> u32 {
        self.complete.to_frame
    }

    /// The last complete state.
    pub(super) fn complete(&self) -> Restored {
        self.back_to(self.complete)
    }

    /// The last complete state in which nothing is only likely.
    pub(super) fn certain(&self) -> Restored {
        self.back_to(self.certain)
    }

    fn back_to(&self, mark: Mark) -> Restored {
        let mut state = self.current.clone();
        for (page, frame) in self.undo.iter().skip(mark.changes).rev() {
            match frame {
                Some(frame) => state.snapshot.pages.insert(*page, *frame),
                None => state.snapshot.pages.remove(page),
            };
        }
        state.snapshot.to_frame = mark.to_frame;
        state.snapshot.to_txn = mark.to_txn;
        state.snapshot.db_size_pages = mark.db_size_pages;
        state.fixes.retain(|frame, _| frame.0 <= mark.to_frame);
        state
    }
}

impl Mark {
    fn of(state: &Restored, changes: usize) -> Self {
        let snapshot = &state.snapshot;
        Self {
            changes,
            to_frame: snapshot.to_frame,
            to_txn: snapshot.to_txn,
            db_size_pages: snapshot.db_size_pages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by a copy at each commit.
    #[test]
    fn states_on_the_way_are_given_back() {
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..200 {
            let mut track = Track::new(Restored::default());
            let (mut complete, mut certain) = (Restored::default(), Restored::default());
            let mut frame = FrameNo(0);
            for _ in 0..random.u32(1..20) {
                let size_pages = random.u32(1..12);
                let frames = (0..random.u32(0..5)).map(|_| {
                    frame = frame.next();
                    (Pgno(random.u32(1..=size_pages)), frame)
                });
                let frames: Vec<_> = frames.collect();
                frame = frame.next();
                track.fix(frame, Cure::Header);
                track.commit(frame, size_pages, frames);
                if random.u32(..9) == 0 {
                    track.likely.insert(frame);
                }
                if random.bool() {
                    track.mark_complete();
                    complete = track.current().clone();
                    if track.likely.is_empty() {
                        certain = complete.clone();
                    }
                }
                assert_eq!(track.complete(), complete);
                assert_eq!(track.certain(), certain);
            }
        }
    }
}
