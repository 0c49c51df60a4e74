//! Frames that were read and found valid, kept so that whoever needs them next need not read and
//! sum them once more.

use crate::format::{Checksum, FrameHeader, FrameNo, Pgno, Salts};

use super::{FrameFacts, Joiner};

/// What the frames of a log follow from.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Joins their sums.
    pub joiner: Joiner,
    /// The salts that they carry.
    pub salts: Salts,
    /// The sum that frame 1 continues from.
    pub start: Checksum,
}

/// The first frames of the valid prefix, up to a limit that bounds the memory.
#[derive(Clone, Debug, Default)]
pub struct KnownFrames {
    frames: Vec<KnownFrame>,
    limit: usize,
}

/// What of a valid frame does not follow from the frames before it.
#[derive(Clone, Copy, Debug)]
struct KnownFrame {
    page: Pgno,
    commit_size_pages: u32,
    checksum: Checksum,
    kind_byte: u8,
}

impl KnownFrames {
    /// Keeps none.
    #[must_use]
    pub const fn none() -> Self {
        Self { frames: Vec::new(), limit: 0 }
    }

    /// Frames that are kept at most: 8 MB. Those after them are read again.
    pub const LIMIT: usize = 400_000;

    /// Keeps up to `limit` frames.
    #[must_use]
    pub fn up_to(limit: usize) -> Self {
        Self { frames: Vec::new(), limit }
    }

    /// Makes room for the frames of a log of `slots`, of which none need be valid.
    pub fn expect(&mut self, slots: u32) {
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        // Without it, there is room frame by frame as long as there is any.
        let _ = self.frames.try_reserve(slots.min(self.limit));
    }

    /// Takes the next frame of the prefix; does nothing at the limit.
    pub fn push(&mut self, facts: &FrameFacts) {
        let room = self.frames.len() < self.limit && self.frames.try_reserve(1).is_ok();
        if room && facts.frame == self.end() {
            let FrameHeader { page, commit_size_pages, checksum, .. } = facts.header;
            let kind_byte = facts.kind_byte;
            self.frames.push(KnownFrame { page, commit_size_pages, checksum, kind_byte });
        }
    }

    /// The frame after the last that is known.
    #[must_use]
    pub fn end(&self) -> FrameNo {
        FrameNo(u32::try_from(self.frames.len()).map_or(u32::MAX, |frames| frames + 1))
    }

    /// The header of the last known frame, in a log whose frames carry `salts`.
    #[must_use]
    pub fn last(&self, salts: Salts) -> Option<FrameHeader> {
        let &KnownFrame { page, commit_size_pages, checksum, .. } = self.frames.last()?;
        Some(FrameHeader { page, commit_size_pages, salts, checksum })
    }

    /// The facts of the known frames from `first` to before `end`, as reading them again would give
    /// them: what a frame sums to is the step from the stored sum before it to its own.
    pub fn facts(
        &self,
        chain: Chain,
        first: FrameNo,
        end: FrameNo,
    ) -> impl Iterator<Item = FrameFacts> {
        let Chain { joiner, salts, start } = chain;
        let at = |frame: FrameNo| (frame.0 as usize).saturating_sub(1).min(self.frames.len());
        let (first, end) = (first.max(FrameNo::FIRST), end.max(FrameNo::FIRST));
        let (skipped, known) = self.frames.split_at(at(first));
        let known = known.get(..at(end).saturating_sub(at(first))).unwrap_or_default();
        let mut before = skipped.last().map_or(start, |frame| frame.checksum);
        (first.0..).zip(known).map(move |(frame, known)| {
            let &KnownFrame { page, commit_size_pages, checksum, kind_byte } = known;
            let content = joiner.step(before, checksum);
            before = checksum;
            FrameFacts {
                frame: FrameNo(frame),
                header: FrameHeader { page, commit_size_pages, salts, checksum },
                content,
                blank: false,
                kind_byte,
            }
        })
    }
}
