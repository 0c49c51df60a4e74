//! What lies after the prefix: is it a break, and how sure is that?

use serde::Serialize;

use crate::format::{FrameNo, Salts};

use super::correction::Corrections;
use super::cure::{Cure, Cures};
use super::link::{FrameFault, Judged, Link};

use super::prefix::Prefix;

/// How sure it is that the frames after a break belong to the history before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The break follows directly on a commit: SQLite may have recovered here and gone on writing,
    /// and then what lies after is an abandoned history.
    Possible,
    /// It lies inside a transaction whose commit frame is after it, or a single damaged word
    /// explains it.
    Likely,
    /// Checksums show what the right bytes are.
    Proven,
}

/// Whether the frame at the stop is damaged, and what follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The prefix ends as it should; current frames after it are residue.
    None,
    /// The last transaction is torn, as a crash leaves it; no intact commit is after it.
    Torn,
    /// Committed transactions come after it.
    Losing(Certainty),
}

/// The facts of a log after its prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// Whether and how the log is broken.
    pub broken: Break,
    /// Intact commit frames of this generation after the stop.
    pub intact_commits: u32,
    /// The last of them.
    pub last_intact_commit: Option<FrameNo>,
    /// Last frame that a repair could commit: intact, or damaged and proven complete.
    pub last_lost_commit: Option<FrameNo>,
    /// Zeros come directly after it: what was written there may never have reached the disk.
    pub is_blank_after: bool,
    /// Last slot of this generation after the stop.
    pub last_current: Option<FrameNo>,
    /// The stop.
    pub stop: FrameNo,
    /// The prefix ends inside a transaction.
    pub inside_transaction: bool,
    /// How the frame at the stop follows its predecessor; `None` without a whole slot there.
    pub stop_link: Option<Link>,
    /// The frame at the stop has neither salts nor a sum: one that an open transaction wrote over,
    /// or one whose header lost bytes.
    pub stop_is_unsummed: bool,
    /// Every slot from the stop on, up to the last one of the file, is a frame of this generation
    /// that follows, or one whose right bytes are known and after which the next one follows:
    /// nothing is off its place.
    pub is_explained: bool,
    /// Frames whose right bytes are known from elsewhere.
    pub cures: Cures,
}

impl Tail {
    /// Whether frames of this generation come after the last commit that SQLite loses: those of a
    /// transaction without a commit frame.
    #[must_use]
    pub fn is_open_after(&self) -> bool {
        self.last_lost_commit.is_some() && self.last_current > self.last_lost_commit
    }
}

/// Folds judged frames from the stop on into a [`Tail`].
#[derive(Debug)]
pub(super) struct TailFold {
    tail: Tail,
    salts: Salts,
    at_stop: Option<Judged>,
    /// A frame of this generation that is not proven says that it was to commit.
    has_lost_commit: bool,
    /// In the slot after the stop is nothing that any generation can have left over.
    no_frame_follows: bool,
    /// In any slot after it is neither a frame of whatever generation nor zeros.
    has_other_bytes: bool,
    /// A slot of zeros is there.
    has_blank: bool,
    /// And something after it: SQLite writes slots one after the other, so that zeros were written
    /// over one.
    is_overwritten: bool,
    /// The slot before follows from the one before it.
    last_is_linked: bool,
}

impl TailFold {
    /// Starts at the stop of `prefix`.
    #[must_use]
    pub(super) fn new(prefix: &Prefix, salts: Salts, cures: Cures) -> Self {
        let tail = Tail {
            broken: Break::None,
            intact_commits: 0,
            last_intact_commit: None,
            last_lost_commit: None,
            is_blank_after: false,
            last_current: None,
            stop: prefix.stop.frame,
            inside_transaction: prefix.valid_frames > prefix.mx_frame,
            stop_link: None,
            stop_is_unsummed: false,
            is_explained: true,
            cures,
        };
        Self {
            tail,
            salts,
            at_stop: None,
            has_lost_commit: false,
            no_frame_follows: false,
            has_other_bytes: false,
            has_blank: false,
            is_overwritten: false,
            last_is_linked: true,
        }
    }

    /// Takes the next frame.
    pub(super) fn push(&mut self, judged: &Judged) {
        let frame = judged.facts.frame;
        if frame == self.tail.stop {
            self.at_stop = Some(*judged);
            self.tail.stop_link = Some(judged.link);
            self.tail.stop_is_unsummed = judged.facts.is_in_progress();
        }
        self.no_frame_follows |= frame == self.tail.stop.next() && judged.is_no_frame;
        self.has_other_bytes |= judged.is_no_frame;
        self.is_overwritten |= self.has_blank && !judged.facts.blank;
        self.has_blank |= judged.facts.blank;
        let is_next = self.tail.last_lost_commit.map(FrameNo::next) == Some(frame);
        self.tail.is_blank_after |= is_next && judged.link == Link::Blank;
        let is_linked = judged.link == Link::Linked;
        let is_known = judged.is_proven() && !judged.is_only_likely();
        self.tail.is_explained &= is_linked || (is_known && self.last_is_linked);
        self.last_is_linked = is_linked;
        let of_this_generation = match judged.link {
            Link::Linked | Link::Broken { .. } | Link::Unproven => true,
            Link::Blank | Link::Foreign => false,
        };
        if of_this_generation {
            self.tail.last_current = Some(frame);
        }
        if judged.header.commit_size_pages == 0 {
            return;
        }
        if judged.link == Link::Linked {
            self.tail.intact_commits += 1;
            self.tail.last_intact_commit = Some(frame);
        }
        if judged.is_proven() {
            self.tail.last_lost_commit = Some(frame);
            self.tail.is_blank_after = false;
        } else if of_this_generation {
            self.has_lost_commit = true;
        }
    }

    /// The tail; `partial_salts` are those of a partial slot at the end of the file.
    #[must_use]
    pub(super) fn finish(self, partial_salts: Option<Salts>) -> Tail {
        let partial_is_current = partial_salts == Some(self.salts);
        let broken = if self.tail.last_lost_commit.is_some() {
            Break::Losing(self.certainty())
        } else if partial_is_current || self.is_torn() {
            Break::Torn
        } else {
            Break::None
        };
        let is_explained = self.tail.is_explained && self.last_is_linked;
        Tail { broken, is_explained, ..self.tail }
    }

    fn certainty(&self) -> Certainty {
        let Some(at_stop) = &self.at_stop else { return Certainty::Possible };
        let is_unsummed = at_stop.cured.is_some_and(|cured| cured.cure == Cure::Unsummed);
        if is_unsummed && at_stop.facts.frame == FrameNo::FIRST {
            // Nobody has gone on writing after a recovery: frame 1 would be another.
            return Certainty::Likely;
        }
        if at_stop.is_proven() && at_stop.link != Link::Linked && !is_unsummed {
            return match at_stop.is_only_likely() {
                true => Certainty::Likely,
                false => Certainty::Proven,
            };
        }
        match at_stop.link {
            _ if self.tail.inside_transaction => Certainty::Likely,
            // DIFFERS from the plain rule "directly after a commit means possible": a seam between
            // two histories has a one-word explanation by chance once in four million times.
            Link::Broken { corrections: Corrections::Several { .. }, .. } => Certainty::Likely,
            Link::Linked | Link::Broken { .. } | Link::Unproven | Link::Blank | Link::Foreign => {
                Certainty::Possible
            }
        }
    }

    fn is_torn(&self) -> bool {
        let Some(at_stop) = &self.at_stop else { return false };
        let more_follows = self.tail.last_current > Some(self.tail.stop);
        // Residue of a transaction that was rolled back has no commit frame.
        let was_to_commit = self.tail.inside_transaction || self.has_lost_commit;
        match at_stop.link {
            Link::Broken {
                fault: FrameFault::Salt | FrameFault::Unsummed | FrameFault::ChecksumField,
                ..
            } => true,
            Link::Broken {
                corrections: Corrections::Unique(_) | Corrections::Several { .. },
                ..
            } => true,
            Link::Broken { .. } if at_stop.is_no_frame => true,
            // What is left over of a rollback is followed by frames, by zeros, or by nothing.
            Link::Broken { .. } => was_to_commit || self.no_frame_follows || self.is_overwritten,
            Link::Unproven => was_to_commit,
            // Room that was made holds nothing else.
            Link::Blank => was_to_commit || self.has_other_bytes || self.is_overwritten,
            // Nothing ties it to this generation, but nothing was left over here either.
            Link::Foreign if at_stop.is_no_frame => true,
            Link::Foreign => was_to_commit && more_follows && !at_stop.facts.is_in_progress(),
            Link::Linked => false,
        }
    }
}
