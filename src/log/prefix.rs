//! The unbroken prefix that SQLite's recovery accepts (wal.c walIndexRecover, walDecodeFrame).

use serde::Serialize;

use crate::format::{Checksum, FrameNo, Pgno, Salts, WAL_HEADER_BYTES};
use crate::scan::{self, FrameFacts, Joiner};

use super::LogShape;
use super::link::{MOST_LIKELY_AGE, MOST_LIKELY_PAGES};

/// Most generations by which a single frame may be later: garbage looks so once in 2^28 slots.
const MOST_LATER: u32 = 16;

/// Why recovery stops at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The file ends with the slot before.
    Eof,
    /// Fewer bytes than a frame are left.
    Short,
    /// The salts are not those of the header.
    Salt,
    /// The page number is 0.
    PageNumber,
    /// The sum does not follow from the frame before.
    Checksum,
    /// The header of the log is not valid.
    Header,
}

/// The first slot that recovery does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// The slot.
    pub frame: FrameNo,
    /// Its offset in the file.
    pub offset_bytes: u64,
    /// Why.
    pub reason: StopReason,
}

/// What SQLite's recovery makes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Frames of the unbroken prefix.
    pub valid_frames: u32,
    /// Last commit frame of the prefix; 0 without one.
    pub mx_frame: u32,
    /// Commit frames of the prefix, padding included.
    pub transactions: u32,
    /// Commit size of frame `mx_frame`.
    pub db_size_pages: Option<u32>,
    /// Newest committed image of page 1; `None` where the log has none.
    pub page_one: Option<FrameNo>,
    /// The chain's sum after the last valid frame.
    pub end_sum: Checksum,
    /// Where it ends.
    pub stop: Stop,
    /// Last slot at or after the stop that carries the salts of this generation.
    pub last_current: Option<FrameNo>,
    /// Salts of frames that follow from each other after the stop, and that only a generation after
    /// that of the header can have: the header is an old one.
    pub later: Option<Salts>,
    /// A frame after the stop with such salts, which need not follow from any: a later generation
    /// was begun, and may be lost.
    pub later_frame: Option<FrameNo>,
}

impl Prefix {
    /// The prefix of a log whose header or size lets recovery read no frame.
    #[must_use]
    pub fn none(start: Checksum, reason: StopReason) -> Self {
        let stop = Stop { frame: FrameNo::FIRST, offset_bytes: WAL_HEADER_BYTES as u64, reason };
        Self {
            valid_frames: 0,
            mx_frame: 0,
            transactions: 0,
            db_size_pages: None,
            page_one: None,
            end_sum: start,
            stop,
            last_current: None,
            later: None,
            later_frame: None,
        }
    }
}

/// Folds facts in file order into a [`Prefix`].
#[derive(Debug)]
pub(super) struct PrefixFold {
    joiner: Joiner,
    salts: Salts,
    prefix: Prefix,
    /// Newest image of page 1, committed or not.
    page_one: Option<FrameNo>,
    stopped: Option<StopReason>,
    /// The slot before, if its salts count on from ours.
    later: Option<FrameFacts>,
}

impl PrefixFold {
    /// Starts before frame 1.
    #[must_use]
    pub(super) fn new(shape: &LogShape) -> Self {
        Self {
            joiner: shape.joiner(),
            salts: shape.salts,
            prefix: Prefix::none(shape.start, StopReason::Eof),
            page_one: None,
            stopped: None,
            later: None,
        }
    }

    /// A frame of a later generation among `facts`, as [`Prefix::later_frame`]: what a log of
    /// `shape` has whose header is damaged.
    pub(super) fn later_frame_of(
        shape: &LogShape,
        facts: impl Iterator<Item = Result<FrameFacts, scan::Error>>,
    ) -> Result<Option<FrameNo>, scan::Error> {
        let fold = Self::new(shape);
        for facts in facts {
            let facts = facts?;
            if fold.is_of_later_generation(&facts) {
                return Ok(Some(facts.frame));
            }
        }
        Ok(None)
    }

    /// Takes the next slot; whether it belongs to the prefix.
    pub(super) fn push(&mut self, facts: &FrameFacts) -> bool {
        let current = facts.header.salts == self.salts;
        if self.stopped.is_none() {
            // In the order of walDecodeFrame.
            self.stopped = if !current {
                Some(StopReason::Salt)
            } else if facts.header.page.0 == 0 {
                Some(StopReason::PageNumber)
            } else if !self.joiner.follows(facts, self.prefix.end_sum) {
                Some(StopReason::Checksum)
            } else {
                self.accept(facts);
                return true;
            };
        }
        if current && !facts.blank {
            self.prefix.last_current = Some(facts.frame);
        }
        self.look_for_later(facts);
        false
    }

    /// The header of a generation is written before its first frame (wal.c walFrames), and its
    /// first salt counts on (walRestartHdr), so such frames cannot be left over. The newest counts.
    fn look_for_later(&mut self, facts: &FrameFacts) {
        let salts = facts.header.salts;
        let by = self.later_by(salts);
        let is_later = (1..=MOST_LIKELY_AGE).contains(&by) && facts.header.page.0 != 0;
        if self.is_of_later_generation(facts) {
            self.prefix.later_frame = self.prefix.later_frame.or(Some(facts.frame));
        }
        let is_newest = is_later && self.prefix.later.is_none_or(|known| by > self.later_by(known));
        let before = std::mem::replace(&mut self.later, is_later.then_some(*facts));
        if let Some(before) = before.filter(|_| is_newest)
            && before.header.salts == salts
            && self.joiner.follows(facts, before.header.checksum)
        {
            self.prefix.later = Some(salts);
        }
    }

    /// How many generations those of `salts` are after this one.
    fn later_by(&self, salts: Salts) -> u32 {
        salts.salt1.wrapping_sub(self.salts.salt1)
    }

    /// Only a later generation can have written it, whatever the frames around it are.
    fn is_of_later_generation(&self, facts: &FrameFacts) -> bool {
        (1..=MOST_LATER).contains(&self.later_by(facts.header.salts))
            && (1..=MOST_LIKELY_PAGES).contains(&facts.header.page.0)
    }

    fn accept(&mut self, facts: &FrameFacts) {
        if facts.header.page == Pgno::FIRST {
            self.page_one = Some(facts.frame);
        }
        let prefix = &mut self.prefix;
        prefix.valid_frames = facts.frame.0;
        prefix.end_sum = facts.header.checksum;
        if let Some(pages) = facts.commit_size_pages() {
            prefix.mx_frame = facts.frame.0;
            prefix.transactions += 1;
            prefix.db_size_pages = Some(pages);
            prefix.page_one = self.page_one;
        }
    }

    /// The prefix of a log of `shape`, all of whose slots were pushed.
    #[must_use]
    pub(super) fn finish(self, shape: &LogShape) -> Prefix {
        let frame = FrameNo(self.prefix.valid_frames + 1);
        let at_end =
            if shape.extent.trailing_bytes > 0 { StopReason::Short } else { StopReason::Eof };
        let stop = Stop {
            frame,
            offset_bytes: frame.offset_bytes(shape.page_size()),
            reason: self.stopped.unwrap_or(at_end),
        };
        Prefix { stop, ..self.prefix }
    }
}
