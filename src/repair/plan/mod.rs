//! What can be recovered of a damaged log, step by step, and how sure each step is.
//!
//! After the break every frame is judged by itself. A frame whose right bytes the checksums show
//! is taken, corrected where need be; one that cannot be recovered is dropped if a later intact
//! frame writes its page again. A state is complete at a commit after which no page is missing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::{FrameNo, Pgno};
use crate::history::copied;
use crate::history::snapshot::{self, Snapshot, Target, snapshot};
use crate::log::cure::Cure;
use crate::log::{Examination, Verdict};
use crate::scan::Watch;
use crate::storage::File;

pub mod choice;
mod nameless;
mod steps;
mod track;
mod walk;

pub use crate::log::proof::Proof;
pub use nameless::Nameless;

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
    /// Puts the bytes of the log back to their places.
    UndoShift,
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
    /// Takes the frame from the slot in which it is.
    TakeFrame,
    /// Takes frames that SQLite left without salts and sums as they are.
    TakeUnsummed,
    /// Gives a frame the only header that fits between its neighbours.
    SolveHeader,
    /// Leaves a frame out whose page is written again later.
    DropFrame,
    /// Takes an older copy of pages of which no newer one is left.
    TakeOldPages,
    /// Gives up everything after the last complete state.
    DropBehind,
    /// Gives up the whole log: the database file is newer than what SQLite would make of both.
    DropLog,
    /// Removes a wal-index that belongs to no log.
    RemoveIndex,
    /// Takes another size for the last commit, the one that page 1 counts.
    CorrectCommitSize,
    /// Lets page 1 count the pages that there are.
    CorrectPageCount,
    /// Leaves out what a crash has torn or a transaction has not committed.
    CutTail,
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
    /// Other explanations that the sums leave; none of them where it is proven.
    pub rivals: u32,
    /// Why it is done.
    pub reason: String,
    /// What it gains.
    pub gains: String,
}

/// A state of the database, as frames of the log and what is to be changed in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Pages and frames.
    pub snapshot: Snapshot,
    /// Changes to the images of some of them.
    pub fixes: BTreeMap<FrameNo, Cure>,
    /// Pages that page 1 is to count; `None` leaves it as it is.
    pub page_count: Option<u32>,
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
    /// How likely it is that something in it fits by chance: the sum over all steps. `None` where
    /// that cannot be put into a number.
    pub error_bound: Option<f64>,
    /// What a plan with loss could give instead, the newest first; none without loss. The last is
    /// what SQLite sees.
    pub candidates: Vec<Candidate>,
    /// What lies after the break may be an abandoned history.
    pub is_doubtful: bool,
    /// Whether the log is broken, so that SQLite may lose something of it.
    pub log_is_broken: bool,
}

/// A state that a plan with loss could give.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it is.
    pub kind: CandidateKind,
    /// Its pages.
    pub restored: Restored,
    /// Pages of which it has an older copy, because the newest cannot be recovered.
    pub old_pages: Vec<Pgno>,
    /// Frames of which the likeliest of several one-word corrections was taken.
    pub guessed: Vec<FrameNo>,
    /// Frames of which nobody knows which page they were to write, guessed ones left out.
    pub nameless: Vec<Nameless>,
}

/// What a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateKind {
    /// The newest commit, with explanations of some frames that are only likely.
    NewestLikely,
    /// The newest commit, with older copies of the pages that cannot be recovered.
    NewestWithOldPages,
    /// The newest commit after which no page is missing.
    NewestComplete,
    /// The database file without the log.
    DatabaseAlone,
    /// The database with the pages of a rollback journal that SQLite would delete unread.
    RolledBack,
    /// What SQLite sees without a repair.
    SqliteView,
}

impl Plan {
    /// Whether a step is only likely.
    #[must_use]
    pub fn is_likely(&self) -> bool {
        are_likely(&self.steps)
    }

    /// The steps, where the structure of the result speaks against them: a frame that only other
    /// images and structure told is likely at best.
    #[must_use]
    pub fn doubted_steps(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        let actions = [Action::CorrectWord, Action::TakeImage, Action::TakeFrame];
        let is_told = |step: &&mut Step| {
            let changes = actions.contains(&step.action) || step.action == Action::SolveHeader;
            changes && step.proof == Some(Proof::Evidence)
        };
        for step in steps.iter_mut().filter(is_told) {
            step.proof = Some(Proof::Likelihood);
            step.reason.push_str("; but the structure of the result is damaged");
            "the frame as it may have been written".clone_into(&mut step.gains);
        }
        steps
    }

    /// Whether nothing is given up. A plan for a broken log that gets no transaction back says
    /// nothing of what was lost.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        let regains = self.restored.snapshot.to_txn > self.transactions_before;
        (regains || !self.log_is_broken) && self.steps.iter().all(|step| step.lossless)
    }

    /// Plans the repair of an examined log, beside `database` where there is one.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(
        log: &dyn File,
        examination: &Examination,
        database: Option<&dyn File>,
        watch: &dyn Watch,
    ) -> Result<Self, snapshot::Error> {
        let log_is_broken = match examination.verdict {
            Verdict::Damaged | Verdict::BadHeader | Verdict::TornTail => true,
            Verdict::Unreadable
            | Verdict::Absent
            | Verdict::UncommittedTail
            | Verdict::Empty
            | Verdict::Clean => false,
        };
        let mut plan = Self::of_frames(log, examination, database, watch)?;
        plan.log_is_broken = log_is_broken;
        if plan.steps.is_empty() && log_is_broken {
            plan.steps.push(Step::give_up());
        }
        Ok(plan)
    }

    fn of_frames(
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
        let source = walk::Source { log, shape, examination, copied_to };
        let plan = walk::plan(&source, seen, watch)?;
        Ok(match examination.verdict {
            // SQLite drops what was not committed, as it should.
            Verdict::UncommittedTail => Self { steps: Vec::new(), ..plan },
            Verdict::Unreadable
            | Verdict::Absent
            | Verdict::BadHeader
            | Verdict::Damaged
            | Verdict::TornTail
            | Verdict::Empty
            | Verdict::Clean => plan,
        })
    }
}

/// Whether one of `steps` is only likely.
#[must_use]
pub fn are_likely(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.proof == Some(Proof::Likelihood))
}

impl Step {
    /// Nothing of a broken log is known.
    fn give_up() -> Self {
        Self {
            action: Action::DropLog,
            frame: None,
            pages: Vec::new(),
            lossless: false,
            proof: None,
            rivals: 0,
            reason: "no frame of the log proves another, so nobody can tell what was in it"
                .to_owned(),
            gains: "what SQLite sees without a repair".to_owned(),
        }
    }
}
