//! The one state of every slot, and the streaming pass that gives it.

use serde::Serialize;

use crate::format::Salts;
use crate::scan::{self, FrameFacts};

use super::link::{FrameFault, Judged, Link, Links};
use super::tail::{Break, Certainty, Tail};
use super::{LogShape, Prefix};

/// What a slot of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SlotState {
    /// Fewer bytes than a frame at the end of the file.
    Partial,
    /// All zero bytes.
    Blank,
    /// In the valid prefix, at or before the last commit.
    Committed,
    /// In the valid prefix, after the last commit.
    Uncommitted,
    /// Of the current generation, but its content, salts or stored sum are wrong.
    Damaged,
    /// Current salts, but the sum before it is lost: nothing can be said.
    Unproven,
    /// Intact and current, but after a break: SQLite ignores it.
    Unreachable,
    /// An aborted, spilled or abandoned transaction after the prefix. Normal.
    Residue,
    /// Left from an older generation.
    Stale,
}

impl SlotState {
    /// Every state, in the order of the table that defines them.
    pub const ALL: [Self; 9] = [
        Self::Partial,
        Self::Blank,
        Self::Committed,
        Self::Uncommitted,
        Self::Damaged,
        Self::Unproven,
        Self::Unreachable,
        Self::Residue,
        Self::Stale,
    ];

    /// The word for it in tables, JSON and options.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Blank => "blank",
            Self::Committed => "committed",
            Self::Uncommitted => "uncommitted",
            Self::Damaged => "damaged",
            Self::Unproven => "unproven",
            Self::Unreachable => "unreachable",
            Self::Residue => "residue",
            Self::Stale => "stale",
        }
    }
}

/// A frame with its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// The frame and its link.
    pub judged: Judged,
    /// Its state.
    pub state: SlotState,
    /// The transaction it belongs to, counted from 1; `None` outside the prefix.
    pub txn: Option<u32>,
    /// 0 for the current generation, others by first appearance; `None` for blank slots and beyond
    /// [`Generations::LIMIT`].
    pub generation: Option<u32>,
}

impl Slot {
    /// What is wrong with a damaged frame; `None` in every other state.
    #[must_use]
    pub fn fault(&self) -> Option<FrameFault> {
        (self.state == SlotState::Damaged).then_some(match self.judged.link {
            Link::Broken { fault, .. } => fault,
            Link::Linked | Link::Unproven | Link::Blank | Link::Foreign => FrameFault::Unknown,
        })
    }
}

/// Numbers the generations whose frames are in a log.
#[derive(Clone, Debug)]
pub struct Generations {
    seen: Vec<Salts>,
}

impl Generations {
    /// Generations that are counted; garbage could otherwise fill the memory with salts.
    pub const LIMIT: usize = 4096;

    fn new(current: Salts) -> Self {
        Self { seen: vec![current] }
    }

    fn number(&mut self, salts: Salts) -> Option<u32> {
        let known = self.seen.iter().rposition(|&seen| seen == salts);
        let index = match known {
            Some(index) => index,
            None if self.seen.len() < Self::LIMIT => {
                self.seen.push(salts);
                self.seen.len() - 1
            }
            None => return None,
        };
        u32::try_from(index).ok()
    }
}

/// The slots of a log with their states, in file order.
#[derive(Debug)]
pub struct Slots<I> {
    links: Links<I>,
    prefix: Prefix,
    tail: Tail,
    generations: Generations,
    commits: u32,
    follows_commit: bool,
}

impl<I: Iterator<Item = Result<FrameFacts, scan::Error>>> Slots<I> {
    /// Of `facts` from frame 1 on.
    pub fn new(facts: I, shape: &LogShape, prefix: &Prefix, tail: &Tail) -> Self {
        Self {
            links: Links::new(facts, shape, shape.start, tail.cures.clone()),
            prefix: *prefix,
            tail: tail.clone(),
            generations: Generations::new(shape.salts),
            commits: 0,
            follows_commit: false,
        }
    }

    /// Of `facts` from the stop of the prefix on.
    pub fn after_prefix(facts: I, shape: &LogShape, prefix: &Prefix, tail: &Tail) -> Self {
        let shape = LogShape { start: prefix.end_sum, ..*shape };
        Self::new(facts, &shape, prefix, tail)
    }
}

impl<I> Slots<I> {
    fn place(&mut self, judged: Judged) -> Slot {
        let frame = judged.facts.frame.0;
        let state = if frame <= self.prefix.mx_frame {
            SlotState::Committed
        } else if frame <= self.prefix.valid_frames {
            SlotState::Uncommitted
        } else {
            self.tail.state_of(&judged, self.follows_commit)
        };
        let txn = (frame <= self.prefix.valid_frames).then_some(self.commits + 1);
        let is_commit = judged.facts.commit_size_pages().is_some();
        self.commits += u32::from(is_commit && txn.is_some());
        self.follows_commit = is_commit && judged.link == Link::Linked;
        let generation = match state {
            SlotState::Blank | SlotState::Partial => None,
            SlotState::Damaged => Some(0),
            SlotState::Residue if judged.facts.is_in_progress() => Some(0),
            SlotState::Committed
            | SlotState::Uncommitted
            | SlotState::Unproven
            | SlotState::Unreachable
            | SlotState::Residue
            | SlotState::Stale => self.generations.number(judged.facts.header.salts),
        };
        Slot { judged, state, txn, generation }
    }
}

impl<I: Iterator<Item = Result<FrameFacts, scan::Error>>> Iterator for Slots<I> {
    type Item = Result<Slot, scan::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let judged = self.links.next()?;
        Some(judged.map(|judged| self.place(judged)))
    }
}

impl Tail {
    /// The state of a frame after the prefix.
    fn state_of(&self, judged: &Judged, follows_commit: bool) -> SlotState {
        let frame = judged.facts.frame;
        let commit_follows = self.last_lost_commit > Some(frame);
        match judged.link {
            Link::Blank => SlotState::Blank,
            Link::Linked if self.is_sure() => SlotState::Unreachable,
            Link::Linked => SlotState::Residue,
            Link::Broken { fault: FrameFault::Salt, .. } => SlotState::Damaged,
            Link::Broken { .. } if frame == self.stop => match self.broken {
                _ if judged.cured.is_some() => SlotState::Damaged,
                Break::None => SlotState::Residue,
                Break::Torn if !self.inside_transaction && !judged.shows_damage() => {
                    SlotState::Residue
                }
                Break::Torn | Break::Losing(_) => SlotState::Damaged,
            },
            // What a rollback leaves can look like one damaged word.
            Link::Broken { .. } if self.broken == Break::None && judged.cured.is_none() => {
                SlotState::Residue
            }
            Link::Broken { .. } if commit_follows || judged.is_proven() => SlotState::Damaged,
            Link::Broken { .. } if self.is_sure() && follows_commit => SlotState::Unproven,
            Link::Broken { .. } if self.is_sure() => SlotState::Damaged,
            Link::Broken { .. } => SlotState::Residue,
            Link::Unproven if commit_follows || self.broken != Break::None => SlotState::Unproven,
            Link::Unproven => SlotState::Residue,
            Link::Foreign => self.state_of_foreign(judged, commit_follows),
        }
    }

    fn state_of_foreign(&self, judged: &Judged, commit_follows: bool) -> SlotState {
        let frame = judged.facts.frame;
        let current_follows = self.last_current > Some(frame);
        if judged.facts.is_in_progress() && !(commit_follows && self.is_sure()) {
            SlotState::Residue
        } else if commit_follows || (current_follows && self.broken != Break::None) {
            SlotState::Damaged
        } else {
            SlotState::Stale
        }
    }

    /// A proven or likely break is at the stop.
    fn is_sure(&self) -> bool {
        match self.broken {
            Break::None | Break::Losing(Certainty::Possible) => false,
            Break::Torn | Break::Losing(Certainty::Likely | Certainty::Proven) => true,
        }
    }
}
