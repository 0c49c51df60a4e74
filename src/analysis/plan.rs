//! What can be got back of a damaged log, step by step, and how sure each step is.
//!
//! Behind the break every frame is judged by itself. A frame whose right bytes the checksums show is
//! taken, corrected where need be; one that cannot be had is dropped if a later intact frame writes
//! its page again. A state is complete at a commit behind which no page is missing.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::format::{FrameNo, Pgno};
use crate::scan::{self, Watch};
use crate::storage::File;

use super::copied;
use super::correction::{Correction, Corrections, Word};
use super::cure::{Cure, Cured, ImageSource};
use super::link::{Fault, Link};
use super::snapshot::{self, Snapshot, Target, snapshot};
use super::state::{Slot, StateFold};
use super::tail::{Break, Certainty};
use super::{Examination, LogShape, Verdict};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Puts the pages back that a hot rollback journal holds.
    RollBackJournal,
    /// Sets a journal aside whose transaction had committed.
    SetJournalAside,
    /// Leaves out what the database file has already.
    SkipCopied,
    /// Takes page size, byte order, salts and sums from the frames.
    RestoreHeader,
    /// Puts the salts of the generation into a frame.
    RestoreSalt,
    /// Puts the computed sum into a frame.
    RestoreChecksum,
    /// Changes the one word that explains the sums.
    CorrectWord,
    /// Takes another image of the page, or a part of it, which gives the stored sum.
    TakeImage,
    /// Takes the frame from the slot in which it stands.
    TakeFrame,
    /// Gives a frame the only header that fits between its neighbours.
    SolveHeader,
    /// Leaves a frame out whose page is written again later.
    DropFrame,
    /// Gives up everything behind the last complete state.
    DropBehind,
    /// Leaves out what a crash has torn or a transaction has not committed.
    CutTail,
}

/// Why a step is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// Checksums show what the right bytes are.
    Checksum,
    /// Everything else is intact; that the damage is confined to the frame's image is assumed.
    Evidence,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// The frame that it changes or leaves out.
    pub frame: Option<FrameNo>,
    /// Pages that it is about.
    pub pages: Vec<Pgno>,
    /// The result equals what was written.
    pub lossless: bool,
    /// Why that is believed; `None` for a step that loses something.
    pub proof: Option<Proof>,
    /// Why it is done.
    pub reason: String,
    /// What it gains.
    pub gains: String,
}

/// What replaces the image that a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// One word is changed.
    Word(Correction),
    /// The right bytes stand elsewhere.
    Cure(Cure),
}

/// A state of the database, as frames of the log and what is to be changed in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Pages and frames.
    pub snapshot: Snapshot,
    /// Changes to the images of some of them.
    pub fixes: BTreeMap<FrameNo, Fix>,
}

/// A repair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Its steps, in file order.
    pub steps: Vec<Step>,
    /// The newest complete state that the steps reach.
    pub restored: Restored,
    /// Transactions that SQLite sees without any repair.
    pub transactions_before: u32,
    /// How likely it is that a correction of one word fits by chance: the sum over all of them.
    pub error_bound: f64,
}

impl Plan {
    /// Whether nothing is given up.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        self.steps.iter().all(|step| step.lossless)
    }

    /// Plans the repair of an examined log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn of(
        log: &dyn File,
        examination: &Examination,
        database: Option<&dyn File>,
        watch: &dyn Watch,
    ) -> Result<Self, snapshot::Error> {
        let Some(shape) = &examination.shape else { return Ok(Self::default()) };
        let prefix = &examination.prefix;
        let seen = if prefix.mx_frame == 0 {
            Snapshot::default()
        } else {
            snapshot(log, shape, prefix, Target::Last, watch)?
        };
        let copied_to = match database {
            Some(database) => copied::copied_to(log, database, examination, watch)?,
            None => None,
        };
        let mut planner = Planner::new(seen, shape, examination, copied_to);
        planner.read(log, watch)?;
        Ok(planner.finish())
    }
}

/// Walks behind the break.
struct Planner<'a> {
    shape: &'a LogShape,
    examination: &'a Examination,
    steps: Vec<Step>,
    /// Frames of the transaction that is being read.
    open: Vec<(Pgno, FrameNo)>,
    current: Restored,
    complete: Restored,
    /// Pages whose newest frame cannot be had, and no later one has written again.
    missing: BTreeSet<Pgno>,
    /// A frame of which nobody knows the page, and so nothing behind it is complete.
    nameless: Option<FrameNo>,
    corrected_words: u32,
    /// How likely it is that some cure fits by chance.
    chance: f64,
    transactions_before: u32,
    /// The database file has everything up to this commit.
    copied_to: Option<FrameNo>,
    /// Frames of this generation behind the last commit that do not follow.
    torn_tail: bool,
}

impl<'a> Planner<'a> {
    fn new(
        seen: Snapshot,
        shape: &'a LogShape,
        examination: &'a Examination,
        copied_to: Option<FrameNo>,
    ) -> Self {
        let transactions_before = seen.to_txn;
        let current = Restored { snapshot: seen, fixes: BTreeMap::new() };
        Self {
            shape,
            examination,
            steps: Vec::new(),
            open: Vec::new(),
            complete: current.clone(),
            current,
            missing: BTreeSet::new(),
            nameless: None,
            corrected_words: 0,
            chance: 0.0,
            transactions_before,
            copied_to,
            torn_tail: examination.verdict == Verdict::TornTail,
        }
    }

    fn read(&mut self, log: &dyn File, watch: &dyn Watch) -> Result<(), scan::Error> {
        let (prefix, tail) = (&self.examination.prefix, &self.examination.tail);
        let Some(last) = tail.last_lost_commit else { return Ok(()) };
        if tail.broken == Break::Losing(Certainty::Possible) {
            // Perhaps an abandoned history: nothing of it is taken.
            return Ok(());
        }
        if self.examination.verdict == Verdict::BadHeader {
            self.restore_header();
        }
        // Intact frames of the transaction in which the break lies.
        let before = FrameNo(prefix.mx_frame).next()..prefix.stop.frame;
        for facts in self.shape.facts(log, before, watch) {
            let facts = facts?;
            self.open.push((facts.header.page, facts.frame));
        }
        let mut fold = StateFold::behind_prefix(self.shape, prefix, tail);
        // One more: a frame is judged with a look at the one behind it.
        for facts in self.shape.facts(log, prefix.stop.frame..self.shape.extent.end(), watch) {
            if let Some(slot) = fold.push(facts?) {
                self.place(&slot, last);
            }
        }
        if let Some(slot) = fold.finish() {
            self.place(&slot, last);
        }
        Ok(())
    }

    fn place(&mut self, slot: &Slot, last: FrameNo) {
        if slot.judged.facts.frame <= last {
            self.take(slot);
        } else if matches!(slot.judged.link, Link::Broken { .. } | Link::Unproven) {
            self.torn_tail = true;
        }
    }

    fn restore_header(&mut self) {
        let proven = self.examination.tail.broken == Break::Losing(Certainty::Proven);
        self.steps.push(Step {
            action: Action::RestoreHeader,
            frame: None,
            pages: Vec::new(),
            lossless: true,
            proof: Some(if proven { Proof::Checksum } else { Proof::Evidence }),
            reason: "the header is not valid, and SQLite ignores the whole log".to_owned(),
            gains: "the frames tell page size, byte order, salts and the sum before frame 1"
                .to_owned(),
        });
    }

    fn take(&mut self, slot: &Slot) {
        let judged = &slot.judged;
        let (frame, header) = (judged.facts.frame, &judged.header);
        if judged.is_proven() {
            self.repair(slot);
            self.missing.remove(&header.page);
            self.open.push((header.page, frame));
            if header.commit_size_pages != 0 {
                self.commit(frame, header.commit_size_pages);
            }
            return;
        }
        if let Some(page) = judged.page_without_image() {
            self.missing.insert(page);
            self.steps.push(Step {
                action: Action::DropFrame,
                frame: Some(frame),
                pages: vec![page],
                lossless: true,
                proof: Some(Proof::Evidence),
                reason: "its image is damaged and cannot be corrected; its sum is right".to_owned(),
                gains: format!("page {page} is written again by a later intact frame"),
            });
        } else {
            self.nameless = self.nameless.or(Some(frame));
        }
    }

    /// The step that makes a proven frame right, if it is not.
    fn repair(&mut self, slot: &Slot) {
        let judged = &slot.judged;
        let (frame, page) = (judged.facts.frame, judged.header.page);
        let (action, reason) = match judged.link {
            _ if judged.cured.is_some() => return self.cure(slot),
            Link::Broken { fault: Fault::Salt, .. } => {
                (Action::RestoreSalt, "its salts are wrong; its sum proves the rest")
            }
            Link::Broken { corrections: Corrections::Unique(only), .. } => {
                self.corrected_words += 1;
                match only.word {
                    Word::StoredA | Word::StoredB => {
                        (Action::RestoreChecksum, "one word of its stored sum is wrong")
                    }
                    Word::PageNumber | Word::CommitSize => {
                        (Action::CorrectWord, "one word of its header is wrong")
                    }
                    Word::Image(_) => {
                        self.current.fixes.insert(frame, Fix::Word(only));
                        (Action::CorrectWord, "one word of its image is wrong")
                    }
                }
            }
            Link::Broken { fault: Fault::ChecksumField, .. } => {
                (Action::RestoreChecksum, "its stored sum is wrong; the next frame proves it")
            }
            Link::Broken { .. } | Link::Linked | Link::Unproven | Link::Blank | Link::Foreign => {
                return;
            }
        };
        let gains = "the frame is as it was written".to_owned();
        self.steps.push(Step {
            action,
            frame: Some(frame),
            pages: vec![page],
            lossless: true,
            proof: Some(Proof::Checksum),
            reason: reason.to_owned(),
            gains,
        });
    }

    /// The step that takes a frame's right bytes from elsewhere.
    fn cure(&mut self, slot: &Slot) {
        let Some(Cured { cure, header, chance }) = slot.judged.cured else { return };
        let frame = slot.judged.facts.frame;
        self.current.fixes.insert(frame, Fix::Cure(cure));
        self.chance += chance;
        let (action, proof, reason, gains) = match cure {
            Cure::Image { source, first_byte, end_byte } => {
                let reason = "its image is damaged".to_owned();
                let from = match source {
                    ImageSource::Frame(other) => format!("those of frame {other}"),
                    ImageSource::Database => "those of the database file".to_owned(),
                };
                let gains = format!("with {from}, bytes {first_byte} to {end_byte} give its sum");
                (Action::TakeImage, Proof::Checksum, reason, gains)
            }
            Cure::Moved(other) => {
                let reason =
                    format!("another frame stands in its slot; its own is in slot {other}");
                let gains = "the frame follows from the one before it".to_owned();
                (Action::TakeFrame, Proof::Checksum, reason, gains)
            }
            Cure::Header => {
                let gains = format!(
                    "its image, the frame before and the one behind leave one header: page {}, \
                     commit size {}",
                    header.page, header.commit_size_pages
                );
                (Action::SolveHeader, Proof::Checksum, "its header is lost".to_owned(), gains)
            }
        };
        self.steps.push(Step {
            action,
            frame: Some(frame),
            pages: vec![header.page],
            lossless: true,
            proof: Some(proof),
            reason,
            gains,
        });
    }

    fn commit(&mut self, frame: FrameNo, size_pages: u32) {
        let snapshot = &mut self.current.snapshot;
        snapshot.pages.extend(self.open.drain(..));
        snapshot.pages.retain(|page, _| page.0 <= size_pages);
        snapshot.to_frame = frame.0;
        snapshot.to_txn += 1;
        snapshot.db_size_pages = Some(size_pages);
        if self.copied_to == Some(frame) {
            self.skip_copied(frame);
        }
        self.missing.retain(|page| page.0 <= size_pages);
        if self.missing.is_empty() && self.nameless.is_none() {
            self.complete = self.current.clone();
        }
    }

    /// Nothing up to here is needed from the log, damaged or not.
    fn skip_copied(&mut self, frame: FrameNo) {
        self.current.snapshot.pages.clear();
        self.current.fixes.clear();
        self.missing.clear();
        self.nameless = None;
        (self.corrected_words, self.chance) = (0, 0.0);
        self.steps.retain(|step| step.action == Action::RestoreHeader);
        self.steps.push(Step {
            action: Action::SkipCopied,
            frame: Some(frame),
            pages: Vec::new(),
            lossless: true,
            proof: Some(Proof::Evidence),
            reason:
                "the database file has every page as of this frame: the log was copied before it \
                     was damaged"
                    .to_owned(),
            gains: "no frame up to here is needed".to_owned(),
        });
    }

    fn finish(mut self) -> Plan {
        let tail = &self.examination.tail;
        let doubtful = tail.broken == Break::Losing(Certainty::Possible);
        let last = tail.last_lost_commit.map_or(0, |frame| frame.0);
        if last > 0 && (doubtful || self.complete.snapshot.to_frame < last) {
            let kept = self.complete.snapshot.to_frame;
            self.steps.retain(|step| step.frame.is_none_or(|frame| frame.0 <= kept));
            self.steps.push(self.drop_behind(doubtful));
        }
        if self.torn_tail || self.examination.verdict == Verdict::UncommittedTail {
            self.steps.push(self.cut_tail(last));
        }
        let words = f64::from(self.shape.page_size().bytes() / 4 + 4);
        let error_bound = f64::from(self.corrected_words) * words / 4_294_967_296.0 + self.chance;
        Plan {
            steps: self.steps,
            restored: self.complete,
            transactions_before: self.transactions_before,
            error_bound,
        }
    }

    /// An open transaction is rightly dropped. A torn one may have been acknowledged, if what tore it
    /// was not the crash of its writer: nobody can know.
    fn cut_tail(&self, last_commit: u32) -> Step {
        let torn = self.torn_tail;
        let reason = match torn {
            true => {
                "it is torn, and no intact commit follows: what a crash leaves, or a damaged end"
            }
            false => "no commit follows: SQLite drops it, as it should",
        };
        Step {
            action: Action::CutTail,
            frame: Some(FrameNo(last_commit.max(self.examination.prefix.mx_frame)).next()),
            pages: Vec::new(),
            lossless: !torn,
            proof: (!torn).then_some(Proof::Evidence),
            reason: reason.to_owned(),
            gains: "it cannot come back behind a later commit".to_owned(),
        }
    }

    fn drop_behind(&self, doubtful: bool) -> Step {
        let reason = if doubtful {
            "the break may be a place where SQLite recovered already and went on: what lies behind \
             it may be an abandoned history"
                .to_owned()
        } else if let Some(frame) = self.nameless {
            format!("frame {frame} cannot be had, and nobody knows which page it was to write")
        } else {
            let pages: Vec<String> = self.missing.iter().map(|page| page.to_string()).collect();
            format!("of page {} no intact copy is left", pages.join(", "))
        };
        Step {
            action: Action::DropBehind,
            frame: Some(FrameNo(self.complete.snapshot.to_frame).next()),
            pages: self.missing.iter().copied().collect(),
            lossless: false,
            proof: None,
            reason,
            gains: "the newest complete state before it".to_owned(),
        }
    }
}
