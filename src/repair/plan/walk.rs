//! The walk after the break of a log, from frame to frame.

use crate::format::{FrameNo, Pgno};
use crate::history::snapshot::Snapshot;
use crate::log::correction::{Corrections, Word};
use crate::log::cure::{Cure, Cured};
use crate::log::link::{Judged, Link};
use crate::log::state::Slot;
use crate::log::{Break, Certainty, Examination, LogShape, StopReason, Verdict};
use crate::scan::{self, Watch};
use crate::storage::File;

use super::nameless::Nameless;
use super::steps::{self, FirstFrames, Gap, LogEnd};
use super::track::Track;
use super::{Action, Candidate, CandidateKind, Plan, Proof, Restored, Step};

/// What a plan is made from.
pub(super) struct Source<'a> {
    pub log: &'a dyn File,
    pub shape: &'a LogShape,
    pub examination: &'a Examination,
    /// The database file has everything up to this commit.
    pub copied_to: Option<FrameNo>,
}

/// Plans from what SQLite sees of the log.
pub(super) fn plan(
    source: &Source<'_>,
    seen: Snapshot,
    watch: &dyn Watch,
) -> Result<Plan, scan::Error> {
    let mut planner = Planner::new(source, seen);
    planner.read(watch)?;
    Ok(planner.finish())
}

/// Walks after the break.
struct Planner<'a> {
    source: &'a Source<'a>,
    shape: &'a LogShape,
    examination: &'a Examination,
    seen: Snapshot,
    steps: Vec<Step>,
    /// Frames of the transaction that is being read.
    open: Vec<(Pgno, FrameNo)>,
    /// Frames of it that are left out, and the pages that they name.
    dropped: Vec<(Pgno, FrameNo)>,
    track: Track,
    /// Frames whose page number is unknown: nothing after the first is complete.
    nameless: Vec<Nameless>,
    /// Those of the transaction that is being read.
    open_nameless: Vec<FrameNo>,
    /// How likely it is that some cure fits by chance; `None` where that is no number.
    chance: Option<f64>,
    transactions_before: u32,
    /// Frames of this generation after the last commit that do not follow.
    torn_tail: bool,
    /// An image is damaged in more than one word. Old blocks that were written over newer frames
    /// end in such a one.
    may_be_seam: bool,
    /// The slot before is an intact frame after the last commit.
    follows_open: bool,
    /// A slot of zeros is between it and the last commit.
    follows_blank: bool,
}

impl<'a> Planner<'a> {
    fn new(source: &'a Source<'a>, seen: Snapshot) -> Self {
        let Source { shape, examination, .. } = source;
        let transactions_before = seen.to_txn;
        let start = Restored { snapshot: seen.clone(), ..Restored::default() };
        Self {
            source,
            seen,
            shape,
            examination,
            steps: Vec::new(),
            open: Vec::new(),
            dropped: Vec::new(),
            track: Track::new(start),
            nameless: Vec::new(),
            open_nameless: Vec::new(),
            chance: Some(0.0),
            transactions_before,
            torn_tail: examination.verdict == Verdict::TornTail,
            may_be_seam: false,
            follows_open: false,
            follows_blank: false,
        }
    }

    fn read(&mut self, watch: &dyn Watch) -> Result<(), scan::Error> {
        let log = self.source.log;
        let (prefix, tail) = (&self.examination.prefix, &self.examination.tail);
        let Some(last) = tail.last_lost_commit else { return Ok(()) };
        self.undo_shifts();
        let is_older = self.examination.displacement.header_is_older;
        if self.examination.verdict == Verdict::BadHeader || is_older {
            self.restore_header();
        }
        // Intact frames of the transaction in which the break lies.
        let before = FrameNo(prefix.mx_frame).next()..prefix.stop.frame;
        for facts in self.shape.facts(log, before, watch) {
            let facts = facts?;
            self.open.push((facts.header.page, facts.frame));
        }
        for slot in self.examination.slots_after_prefix(log, self.shape.extent.end(), watch) {
            self.place(&slot?, last);
        }
        // A frame was begun after the last one.
        let end = Some(FrameNo(self.shape.extent.slot_frames));
        self.torn_tail |=
            self.shape.extent.trailing_bytes > 0 && (Some(last) == end || tail.last_current == end);
        Ok(())
    }

    fn place(&mut self, slot: &Slot, last: FrameNo) {
        if slot.judged.facts.frame <= last {
            return self.take(slot);
        }
        let directly_after = slot.judged.facts.frame == last.next();
        let is_other = matches!(slot.judged.link, Link::Blank | Link::Foreign);
        // SQLite never extends a log with zeros, and nothing else than frames is left over: a
        // transaction that is followed by either was cut off.
        let is_residue = slot.judged.link != Link::Blank && !slot.judged.is_no_frame;
        self.torn_tail |= self.follows_open && !is_residue;
        // Zeros that something follows were written over.
        self.torn_tail |= self.follows_blank && slot.judged.link != Link::Blank;
        self.follows_blank |= slot.judged.link == Link::Blank;
        self.follows_open = slot.judged.link == Link::Linked;
        self.torn_tail |= matches!(slot.judged.link, Link::Broken { .. } | Link::Unproven)
            || (directly_after && slot.judged.is_no_frame)
            || (directly_after && is_other && self.reaches_end(last))
            || (directly_after
                && slot.judged.link == Link::Blank
                && self.examination.tail.cures.get(last).is_some());
    }

    /// Whether the damage of a frame reaches the end of its slot: then it went on in the next.
    fn reaches_end(&self, frame: FrameNo) -> bool {
        let page_bytes = self.shape.page_size().bytes();
        match self.examination.tail.cures.get(frame).map(|cured| cured.cure) {
            Some(Cure::Image { end_byte, .. }) => end_byte >= page_bytes,
            Some(Cure::Word(only)) => only.word == Word::Image(page_bytes / 4 - 1),
            Some(Cure::Moved(_)) => true,
            Some(Cure::Header | Cure::Field(_) | Cure::Unsummed) | None => false,
        }
    }

    fn undo_shifts(&mut self) {
        let displacement = &self.examination.displacement;
        if !displacement.is_none() {
            self.chance = self.chance.map(|chance| chance + displacement.chance);
            self.steps.push(steps::undo_shifts(displacement));
        }
    }

    fn restore_header(&mut self) {
        let proof = match self.examination.tail.broken == Break::Losing(Certainty::Proven) {
            true => Proof::Checksum,
            false => Proof::Evidence,
        };
        let is_older = self.examination.displacement.header_is_older;
        self.steps.push(steps::restore_header(proof, is_older, self.may_be_replaced()));
    }

    fn take(&mut self, slot: &Slot) {
        let judged = &slot.judged;
        let (frame, header) = (judged.facts.frame, &judged.header);
        if judged.is_proven() {
            self.repair(judged);
            self.track.missing.remove(&header.page);
            self.open.push((header.page, frame));
            if header.commit_size_pages != 0 {
                self.commit(frame, header.commit_size_pages);
            }
        } else if let Some(page) = judged.page_without_image() {
            self.may_be_seam |=
                matches!(judged.link, Link::Broken { corrections: Corrections::None, .. });
            self.track.missing.insert(page);
            self.dropped.push((page, frame));
            let is_shown = self.examination.tail.cures.is_shown_damaged(frame);
            self.steps.push(steps::dropped(judged, page, is_shown));
        } else {
            self.open_nameless.push(frame);
        }
    }

    /// Makes a frame right whose right bytes are known.
    fn repair(&mut self, judged: &Judged) {
        let Some(step) = steps::of_frame(judged) else { return };
        let frame = judged.facts.frame;
        let cure = match (judged.cured, judged.link) {
            (Some(Cured { cure, .. }), _) => Some(cure),
            (None, Link::Broken { corrections: Corrections::Unique(only), .. }) => {
                matches!(only.word, Word::Image(_)).then_some(Cure::Word(only))
            }
            (None, _) => None,
        };
        if let Some(cure) = cure {
            self.may_be_seam |= matches!(cure, Cure::Image { .. });
            self.track.fix(frame, cure);
        }
        let chance = match judged.cured {
            Some(Cured { chance, .. }) => chance,
            None if step.proof == Some(Proof::Checksum) => Some(0.0),
            None => None,
        };
        self.chance = self.chance.zip(chance).map(|(all, one)| all + one);
        if step.proof == Some(Proof::Likelihood) {
            self.track.likely.insert(frame);
        }
        match self.steps.last_mut() {
            // One step for all such frames of a transaction.
            Some(last) if step.action == Action::TakeUnsummed && last.action == step.action => {
                last.pages.extend(step.pages);
            }
            Some(_) | None => self.steps.push(step),
        }
    }

    fn commit(&mut self, frame: FrameNo, size_pages: u32) {
        let lock_byte_page = self.shape.page_size().lock_byte_page();
        let impossible = |page: Pgno| page.0 > size_pages || page == lock_byte_page;
        let (renamed, named): (Vec<_>, Vec<_>) =
            self.dropped.drain(..).partition(|(page, _)| impossible(*page));
        // Their headers are not right either, and they were to write other pages.
        self.open_nameless.extend(renamed.into_iter().map(|(_, frame)| frame));
        if !self.open_nameless.is_empty() {
            let known = self.open.iter().chain(&named).copied().collect();
            let mut lost = std::mem::take(&mut self.open_nameless);
            lost.sort_unstable();
            self.nameless.extend(Nameless::of_transaction(&lost, known, size_pages));
        }
        self.track.commit(frame, size_pages, std::mem::take(&mut self.open));
        if self.source.copied_to == Some(frame) {
            self.skip_copied(frame);
        }
        if self.track.missing.is_empty() && self.nameless.is_empty() {
            self.track.mark_complete();
        }
    }

    /// Nothing up to here is needed from the log, damaged or not.
    fn skip_copied(&mut self, frame: FrameNo) {
        self.track.clear();
        (self.nameless, self.chance) = (Vec::new(), Some(0.0));
        self.steps.retain(|step| matches!(step.action, Action::RestoreHeader | Action::UndoShift));
        let lost = if self.examination.displacement.frames_missing || self.may_be_replaced() {
            FirstFrames::MayBeNewer
        } else if self.may_be_seam {
            FirstFrames::MayBeWrittenOver
        } else {
            FirstFrames::AreTheseOnes
        };
        self.steps.push(steps::skip_copied(frame, lost));
    }

    /// A frame of a later generation is there, and the log is not taken for that of it.
    fn may_be_replaced(&self) -> bool {
        let is_of_it = self.examination.displacement.header_is_older;
        self.examination.prefix.later_frame.is_some() && !is_of_it
    }

    fn finish(mut self) -> Plan {
        let tail = &self.examination.tail;
        let doubtful = tail.broken == Break::Losing(Certainty::Possible);
        let last = tail.last_lost_commit.map_or(0, |frame| frame.0);
        let complete_to = self.track.complete_to();
        let gives_up = last > 0 && (doubtful || complete_to < last);
        let mut candidates = Vec::new();
        let mut restored = self.track.complete();
        if gives_up || !self.track.likely.is_empty() {
            candidates = self.candidates(gives_up, &restored);
        }
        if gives_up {
            let kept = if doubtful { 0 } else { complete_to };
            self.steps.retain(|step| {
                let of_all = step.action == Action::UndoShift && !doubtful;
                of_all || step.frame.is_none_or(|frame| frame.0 <= kept)
            });
            if doubtful {
                restored = Restored { snapshot: self.seen.clone(), ..Restored::default() };
            }
            self.steps.push(self.drop_rest(doubtful));
        }
        if self.torn_tail || self.examination.verdict == Verdict::UncommittedTail {
            self.steps.push(self.cut_tail(last));
        }
        Plan {
            steps: self.steps,
            restored,
            transactions_before: self.transactions_before,
            error_bound: self.chance,
            candidates,
            is_doubtful: doubtful,
            log_is_broken: false,
        }
    }

    /// What could be given instead, the newest first. Each differs from the others.
    fn candidates(&self, gives_up: bool, complete: &Restored) -> Vec<Candidate> {
        let track = &self.track;
        let kind = match gives_up {
            true => CandidateKind::NewestWithOldPages,
            false => CandidateKind::NewestLikely,
        };
        let newest = Candidate {
            kind,
            restored: if gives_up { track.current().clone() } else { complete.clone() },
            old_pages: track.missing.iter().copied().collect(),
            guessed: track.likely.iter().copied().collect(),
            nameless: self.nameless.clone(),
        };
        let plain = |kind, restored| Candidate {
            kind,
            restored,
            old_pages: Vec::new(),
            guessed: Vec::new(),
            nameless: Vec::new(),
        };
        let of = |snapshot| Restored { snapshot, ..Restored::default() };
        let mut all = vec![newest];
        let rest = [
            plain(CandidateKind::NewestComplete, track.certain()),
            plain(CandidateKind::DatabaseAlone, of(Snapshot::default())),
            plain(CandidateKind::SqliteView, of(self.seen.clone())),
        ];
        for candidate in rest {
            let is_view = candidate.kind == CandidateKind::SqliteView;
            if is_view || all.iter().all(|known| known.restored != candidate.restored) {
                all.push(candidate);
            }
        }
        all
    }

    fn cut_tail(&self, last_commit: u32) -> Step {
        let prefix = &self.examination.prefix;
        let end = match prefix.stop.reason {
            _ if self.torn_tail => LogEnd::Torn,
            StopReason::Eof | StopReason::Short => LogEnd::Ended,
            StopReason::Salt
            | StopReason::PageNumber
            | StopReason::Checksum
            | StopReason::Header => LogEnd::Open,
        };
        steps::cut_tail(FrameNo(last_commit.max(prefix.mx_frame)).next(), end)
    }

    fn drop_rest(&self, is_doubtful: bool) -> Step {
        let gap = match self.nameless.first() {
            _ if is_doubtful => Gap::Doubtful,
            Some(first) => Gap::Nameless(first.frame),
            None => Gap::Missing,
        };
        let first = FrameNo(self.track.complete_to()).next();
        steps::drop_rest(first, &self.track.missing, gap)
    }
}
