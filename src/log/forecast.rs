//! The loss forecast: what SQLite will drop, and which pages cannot be recovered.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::format::{FrameNo, Pgno};
use crate::scan::{self, Watch};
use crate::storage::File;

use super::link::{FrameFault, Link};
use super::state::{Slot, SlotState, Slots};
use super::tail::{Break, Certainty, Tail};
use super::{LogShape, Prefix};

/// A damaged frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedFrame {
    /// The frame.
    pub frame: FrameNo,
    /// What is wrong in it.
    pub what: FrameFault,
}

/// How much of what SQLite drops could be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recoverable {
    /// Every page of the newest state: corrected by checksum, or written again later.
    All,
    /// Something, or all of it under a doubt.
    Some,
    /// Nothing: no frame after the damage is intact.
    None,
}

/// What SQLite will drop without a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// How sure that is.
    pub certainty: Certainty,
    /// Frames after the last commit that SQLite sees, up to the last commit that was written.
    pub frames: u32,
    /// Commit frames among them, intact or damaged.
    pub transactions: u32,
    /// How much could be recovered.
    pub recoverable: Recoverable,
    /// Pages of which no intact copy is left.
    pub pages: Vec<Pgno>,
    /// Damaged frames of which only the simplest explanation is known.
    pub likely_frames: u32,
}

/// Damaged frames and the loss they cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forecast {
    /// Damaged frames, ascending.
    pub damaged: Vec<DamagedFrame>,
    /// The loss, if commits are lost.
    pub lost: Option<Lost>,
}

/// Reads the slots after the prefix again and tells what is damaged and lost.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn forecast(
    file: &dyn File,
    shape: &LogShape,
    prefix: &Prefix,
    tail: &Tail,
    watch: &dyn Watch,
) -> Result<Forecast, scan::Error> {
    let mut loss = LossFold::new(tail);
    let facts = shape.facts(file, prefix.stop.frame..shape.extent.end(), watch);
    for slot in Slots::after_prefix(facts, shape, prefix, tail) {
        loss.push(&slot?);
    }
    Ok(loss.finish(prefix))
}

struct LossFold<'a> {
    tail: &'a Tail,
    damaged: Vec<DamagedFrame>,
    damaged_commits: u32,
    intact_frames: u32,
    /// Pages whose newest write was lost; a later intact write removes them.
    missing: BTreeSet<Pgno>,
    /// Frames that hold nobody knows which page.
    nameless_frames: u32,
    likely_frames: u32,
    final_size_pages: u32,
}

impl<'a> LossFold<'a> {
    fn new(tail: &'a Tail) -> Self {
        Self {
            tail,
            damaged: Vec::new(),
            damaged_commits: 0,
            intact_frames: 0,
            missing: BTreeSet::new(),
            nameless_frames: 0,
            likely_frames: 0,
            final_size_pages: 0,
        }
    }

    fn push(&mut self, slot: &Slot) {
        let frame = slot.judged.facts.frame;
        if let Some(what) = slot.fault() {
            self.damaged.push(DamagedFrame { frame, what });
        }
        if Some(frame) > self.tail.last_lost_commit {
            return;
        }
        let header = &slot.judged.header;
        let is_commit = header.commit_size_pages != 0;
        if slot.judged.is_proven() {
            self.intact_frames += 1;
            self.likely_frames += u32::from(slot.judged.is_only_likely());
            self.missing.remove(&header.page);
            if is_commit {
                self.final_size_pages = header.commit_size_pages;
            }
        } else if let Some(page) = slot.judged.page_without_image() {
            self.missing.insert(page);
            self.likely_frames += u32::from(!self.tail.cures.is_shown_damaged(frame));
        } else {
            self.nameless_frames += 1;
        }
        let of_this_generation = slot.judged.link != Link::Foreign;
        self.damaged_commits +=
            u32::from(slot.state == SlotState::Damaged && of_this_generation && is_commit);
    }

    fn finish(self, prefix: &Prefix) -> Forecast {
        let (Break::Losing(certainty), Some(last)) = (self.tail.broken, self.tail.last_lost_commit)
        else {
            return Forecast { damaged: self.damaged, lost: None };
        };
        let size = self.final_size_pages;
        let pages: Vec<Pgno> = self.missing.into_iter().filter(|page| page.0 <= size).collect();
        let recoverable = if self.intact_frames == 0 {
            Recoverable::None
        } else if pages.is_empty()
            && self.nameless_frames == 0
            && self.likely_frames == 0
            && certainty != Certainty::Possible
        {
            Recoverable::All
        } else {
            Recoverable::Some
        };
        let lost = Lost {
            certainty,
            frames: last.0 - prefix.mx_frame,
            transactions: self.tail.intact_commits + self.damaged_commits,
            recoverable,
            pages,
            likely_frames: self.likely_frames,
        };
        Forecast { damaged: self.damaged, lost: Some(lost) }
    }
}
