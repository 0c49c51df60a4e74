//! The walk behind the break of a log, from frame to frame.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::correction::{Corrections, Word};
use crate::analysis::cure::{Cure, Cured, ImageSource};
use crate::analysis::link::{Fault, Link};
use crate::analysis::snapshot::Snapshot;
use crate::analysis::state::{Slot, StateFold};
use crate::analysis::tail::{Break, Certainty};
use crate::analysis::{Examination, LogShape, StopReason, Verdict};
use crate::format::{FrameNo, Pgno};
use crate::scan::{self, Watch};
use crate::storage::File;

use super::guess;
use super::{Action, Candidate, CandidateKind, Plan, Proof, Restored, Step};

/// What a plan is made from.
pub(super) struct Source<'a> {
    pub log: &'a dyn File,
    pub database: Option<&'a dyn File>,
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

/// Walks behind the break.
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
    current: Restored,
    complete: Restored,
    /// Pages whose newest frame cannot be had, and no later one has written again.
    missing: BTreeSet<Pgno>,
    /// A frame of which nobody knows the page, and so nothing behind it is complete.
    nameless: Option<FrameNo>,
    /// Such frames, guessed ones left out.
    nameless_frames: u32,
    corrected_words: u32,
    /// How likely it is that some cure fits by chance.
    chance: f64,
    transactions_before: u32,
    /// Frames of which the likeliest correction was taken.
    guessed: BTreeSet<FrameNo>,
    /// Frames of this generation behind the last commit that do not follow.
    torn_tail: bool,
}

impl<'a> Planner<'a> {
    fn new(source: &'a Source<'a>, seen: Snapshot) -> Self {
        let Source { shape, examination, .. } = source;
        let transactions_before = seen.to_txn;
        let current = Restored { snapshot: seen.clone(), ..Restored::default() };
        Self {
            source,
            seen,
            guessed: BTreeSet::new(),
            shape,
            examination,
            steps: Vec::new(),
            open: Vec::new(),
            dropped: Vec::new(),
            complete: current.clone(),
            current,
            missing: BTreeSet::new(),
            nameless: None,
            nameless_frames: 0,
            corrected_words: 0,
            chance: 0.0,
            transactions_before,
            torn_tail: examination.verdict == Verdict::TornTail,
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
        let mut fold = StateFold::behind_prefix(self.shape, prefix, tail);
        // One more: a frame is judged with a look at the one behind it.
        for facts in self.shape.facts(log, prefix.stop.frame..self.shape.extent.end(), watch) {
            if let Some(slot) = fold.push(facts?) {
                self.place(&slot, last)?;
            }
        }
        if let Some(slot) = fold.finish() {
            self.place(&slot, last)?;
        }
        // A frame was begun after the last one.
        let end = Some(FrameNo(self.shape.extent.slot_frames));
        self.torn_tail |=
            self.shape.extent.trailing_bytes > 0 && (Some(last) == end || tail.last_current == end);
        Ok(())
    }

    fn place(&mut self, slot: &Slot, last: FrameNo) -> Result<(), scan::Error> {
        if slot.judged.facts.frame <= last {
            return self.take(slot);
        }
        let directly_behind = slot.judged.facts.frame == last.next();
        self.torn_tail |= matches!(slot.judged.link, Link::Broken { .. } | Link::Unproven)
            || (directly_behind && slot.judged.is_no_frame);
        Ok(())
    }

    /// One step for all: they are undone together.
    fn undo_shifts(&mut self) {
        let displacement = &self.examination.displacement;
        if displacement.is_none() {
            return;
        }
        let reason = match displacement.line_ends {
            Some(added) => format!(
                "every line feed became a carriage return and a line feed: {added} bytes were inserted"
            ),
            None => displacement.places(),
        };
        let missing = match displacement.frames_missing {
            true => "; frames are missing, and how many is not known",
            false => "",
        };
        let gains = format!("{} follow from each other there{missing}", displacement.counts());
        self.chance += displacement.chance;
        self.steps.push(Step {
            action: Action::UndoShift,
            frame: displacement.shifts.first().map(|shift| shift.first_frame),
            pages: Vec::new(),
            lossless: true,
            proof: Some(Proof::Checksum),
            reason,
            gains,
        });
    }

    fn restore_header(&mut self) {
        let proven = self.examination.tail.broken == Break::Losing(Certainty::Proven);
        let is_older = self.examination.displacement.header_is_older;
        self.steps.push(Step {
            action: Action::RestoreHeader,
            frame: None,
            pages: Vec::new(),
            lossless: true,
            proof: Some(if proven { Proof::Checksum } else { Proof::Evidence }),
            reason: match is_older {
                true => {
                    "the header is that of the generation before, and SQLite ignores the frames"
                }
                false => "the header is not valid, and SQLite ignores the whole log",
            }
            .to_owned(),
            gains: "the frames tell page size, byte order, salts and the sum before frame 1"
                .to_owned(),
        });
    }

    fn take(&mut self, slot: &Slot) -> Result<(), scan::Error> {
        let judged = &slot.judged;
        let (frame, header) = (judged.facts.frame, &judged.header);
        if judged.is_proven() {
            self.repair(slot);
            self.missing.remove(&header.page);
            self.open.push((header.page, frame));
            if header.commit_size_pages != 0 {
                self.commit(frame, header.commit_size_pages);
            }
            return Ok(());
        }
        let guess = guess::likeliest(self.source, &self.current.snapshot, judged)?;
        if let Some(page) = judged.page_without_image() {
            self.missing.insert(page);
            self.dropped.push((page, frame));
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
            self.nameless_frames += u32::from(guess.is_none());
        }
        if let Some(guess::Guess { header, fix, pages }) = guess {
            self.guessed.insert(frame);
            self.current.fixes.extend(fix.map(|fix| (frame, fix)));
            self.missing.extend(pages);
            self.open.push((header.page, frame));
            if header.commit_size_pages != 0 {
                self.commit(frame, header.commit_size_pages);
            }
        }
        Ok(())
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
                        self.current.fixes.insert(frame, Cure::Word(only));
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
        self.current.fixes.insert(frame, cure);
        self.chance += chance;
        let (action, proof, reason, gains) = match cure {
            Cure::Image { source, first_byte, end_byte } => {
                let reason = match slot.judged.facts.header == header {
                    true => "its image is damaged".to_owned(),
                    false => {
                        format!("its image is damaged, and its header, of page {}", header.page)
                    }
                };
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
            Cure::Word(_) => {
                let reason = "one word is wrong: a run of bytes would explain the sums as well, but \
                              its image shows none";
                let gains = "the frame is as it was written".to_owned();
                (Action::CorrectWord, Proof::Checksum, reason.to_owned(), gains)
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
        let lock_byte_page = self.shape.page_size().lock_byte_page();
        let impossible = |page: Pgno| page.0 > size_pages || page == lock_byte_page;
        if let Some((_, frame)) = self.dropped.drain(..).find(|(page, _)| impossible(*page)) {
            // Its header is not right either, and it was to write another page.
            self.nameless = self.nameless.or(Some(frame));
            self.nameless_frames += 1;
        }
        let snapshot = &mut self.current.snapshot;
        snapshot.pages.extend(self.open.drain(..));
        snapshot.pages.retain(|page, _| page.0 <= size_pages);
        snapshot.to_frame = frame.0;
        snapshot.to_txn += 1;
        snapshot.db_size_pages = Some(size_pages);
        if self.source.copied_to == Some(frame) {
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
        (self.nameless, self.nameless_frames) = (None, 0);
        (self.corrected_words, self.chance) = (0, 0.0);
        self.steps.retain(|step| matches!(step.action, Action::RestoreHeader | Action::UndoShift));
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
        let mut candidates = Vec::new();
        if last > 0 && (doubtful || self.complete.snapshot.to_frame < last) {
            candidates = self.candidates();
            let kept = if doubtful { 0 } else { self.complete.snapshot.to_frame };
            self.steps.retain(|step| {
                let of_all = step.action == Action::UndoShift && !doubtful;
                of_all || step.frame.is_none_or(|frame| frame.0 <= kept)
            });
            if doubtful {
                let fixes = BTreeMap::new();
                self.complete = Restored { snapshot: self.seen.clone(), fixes, page_count: None };
            }
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
            candidates,
            is_doubtful: doubtful,
            log_is_broken: false,
        }
    }

    /// What could be given instead, the newest first. Each differs from the others.
    fn candidates(&self) -> Vec<Candidate> {
        let unnamed = self.missing.iter().filter(|page| {
            let frame = self.current.snapshot.pages.get(page);
            frame.is_none_or(|frame| !self.guessed.contains(frame))
        });
        let newest = Candidate {
            kind: CandidateKind::NewestWithOldPages,
            restored: self.current.clone(),
            old_pages: unnamed.copied().collect(),
            guessed: self.guessed.iter().copied().collect(),
            nameless: self.nameless_frames,
        };
        let plain = |kind, restored| Candidate {
            kind,
            restored,
            old_pages: Vec::new(),
            guessed: Vec::new(),
            nameless: 0,
        };
        let of = |snapshot| Restored { snapshot, ..Restored::default() };
        let mut all = vec![newest];
        let rest = [
            plain(CandidateKind::NewestComplete, self.complete.clone()),
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

    /// An open transaction is rightly dropped. A torn one may have been acknowledged, if what tore it
    /// was not the crash of its writer, and so may one behind which the log ends: nobody can know.
    fn cut_tail(&self, last_commit: u32) -> Step {
        let at_end =
            matches!(self.examination.prefix.stop.reason, StopReason::Eof | StopReason::Short);
        let unknown = self.torn_tail || at_end;
        let reason = if self.torn_tail {
            "it is torn, and no intact commit follows: what a crash leaves, or a damaged end"
        } else if at_end {
            "no commit follows, and the log ends there: a transaction that was open, or whose end was \
             cut off"
        } else {
            "no commit follows: SQLite drops it, as it should"
        };
        Step {
            action: Action::CutTail,
            frame: Some(FrameNo(last_commit.max(self.examination.prefix.mx_frame)).next()),
            pages: Vec::new(),
            lossless: !unknown,
            proof: (!unknown).then_some(Proof::Evidence),
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
            let word = if pages.len() == 1 { "page" } else { "pages" };
            format!("of {word} {} no intact copy is left", pages.join(", "))
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
