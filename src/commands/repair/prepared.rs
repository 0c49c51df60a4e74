//! A repair before it is carried out: what was read, the plan, and its states.

use crate::access::files::Files;
use crate::access::live::Reading;
use crate::database::check::Health;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;
use crate::format::Pgno;
use crate::history::view::View;
use crate::log::Verdict;
use crate::output::quantity::counted;
use crate::repair::plan::choice::Choice;
use crate::repair::plan::{Action, Candidate, CandidateKind, Plan, Restored, Step};
use crate::storage::File;
use std::collections::BTreeSet;
use std::path::Path;

use super::base::Base;

/// What the plan is made from, and what it is.
pub(super) struct Prepared {
    pub(super) base: Option<Base>,
    pub(super) reading: Option<Reading>,
    pub(super) plan: Plan,
    pub(super) candidates: Vec<Choice>,
    /// What does not fit in the result, and cannot be set right.
    pub(super) findings: Vec<Finding>,
}

impl Prepared {
    pub(super) fn is_damaged(&self) -> bool {
        let verdict = self.reading.as_ref().map(|read| read.examination.verdict);
        matches!(verdict, Some(Verdict::Damaged | Verdict::BadHeader))
    }

    pub(super) fn chosen(&self) -> Option<&Choice> {
        self.candidates.iter().find(|choice| choice.chosen)
    }

    /// The state that is given.
    pub(super) fn restored(&self) -> &Restored {
        let number = self.chosen().map_or(0, |choice| choice.number);
        let candidate = number.checked_sub(1).and_then(|index| self.plan.candidates.get(index));
        candidate.map_or(&self.plan.restored, |candidate| &candidate.restored)
    }

    /// Whether every page of the newest state can be read, so that its rows can be counted.
    pub(super) fn newest_is_whole(&self) -> bool {
        let newest = self.plan.candidates.first();
        newest.is_some_and(|it| {
            it.old_pages.is_empty() && it.guessed.is_empty() && it.nameless.is_empty()
        })
    }

    pub(super) fn journal(&self) -> Option<&Path> {
        self.base.as_ref().and_then(|base| base.journal.as_deref())
    }

    /// Whether the newest state is given, with nothing in it that is less than evident.
    pub(super) fn is_newest_evident(&self) -> bool {
        self.chosen().is_none() && self.plan.is_lossless() && !self.plan.is_likely()
    }

    /// The state that says most about whether log and database belong together: damage must not
    /// look like a contradiction. Empty where no state is whole.
    pub(super) fn intact(&self) -> &Restored {
        if self.is_newest_evident() {
            return &self.plan.restored;
        }
        let view = self.plan.candidates.iter().find(|one| one.kind == CandidateKind::SqliteView);
        view.map_or(&self.plan.restored, |view| &view.restored)
    }

    /// The database that `restored` is; `None` without a database and a log. `pages` are those that
    /// a journal puts back.
    pub(super) fn view<'a>(
        &'a self,
        restored: &'a Restored,
        pages: &'a BTreeSet<Pgno>,
    ) -> Option<View<'a>> {
        self.view_over(self.base.as_ref().map(Base::file), restored, pages)
    }

    /// The database that a candidate is.
    pub(super) fn view_of<'a>(
        &'a self,
        candidate: &'a Candidate,
        pages: &'a BTreeSet<Pgno>,
    ) -> Option<View<'a>> {
        let base = self.base.as_ref().map(|base| base.file_of(candidate.kind));
        self.view_over(base, &candidate.restored, pages)
    }

    pub(super) fn view_over<'a>(
        &'a self,
        base: Option<&'a dyn File>,
        restored: &'a Restored,
        pages: &'a BTreeSet<Pgno>,
    ) -> Option<View<'a>> {
        let shape = self.reading.as_ref().and_then(|read| read.examination.shape.as_ref());
        let page_size = match (shape, &self.base) {
            (Some(shape), _) => shape.page_size(),
            (None, Some(base)) => base.page_size,
            (None, None) => return None,
        };
        let log = self.reading.as_ref().map(|read| read.file.as_ref()).zip(shape);
        Some(View {
            fixes: &restored.fixes,
            base_pages: pages,
            page_count: restored.page_count,
            ..View::new(page_size, log, &restored.snapshot, base)
        })
    }
}

/// The database is broken, and what may be the reason is lost.
pub(super) fn unsound(files: &Files, health: &Health) -> Finding {
    let database = files.database.as_deref().unwrap_or(&files.wal).to_owned();
    let message = format!(
        "the database has {} in its structure, and the header of its rollback journal is zeros: it \
         may have been lost before the rollback",
        counted(health.problem_count, "problem")
    );
    Finding::new(Rule::Structure, database, message)
}

/// What the choice of a state gives up.
pub(super) fn lossy_step(choice: &Choice, plan: &Plan) -> Step {
    let drop = plan.steps.iter().find(|step| step.action == Action::DropBehind);
    let why = match drop {
        Some(step) => step.reason.clone(),
        None if plan.is_likely() => "the newest state is likely at best".to_owned(),
        None => "another state than the newest is taken".to_owned(),
    };
    let candidate = choice.number.checked_sub(1).and_then(|index| plan.candidates.get(index));
    let nameless = candidate.map_or(0, |candidate| candidate.nameless.len());
    let list = |pages: &[Pgno]| {
        let shown: Vec<String> = pages.iter().take(8).map(|page| page.to_string()).collect();
        let more = if pages.len() > shown.len() { ", ..." } else { "" };
        let word = if pages.len() == 1 { "page" } else { "pages" };
        format!("{word} {}{more}", shown.join(", "))
    };
    let (action, reason, gains) = match choice.kind {
        CandidateKind::NewestLikely | CandidateKind::NewestWithOldPages => (
            Action::TakeOldPages,
            why,
            match (choice.old_pages.as_slice(), choice.guessed_frames.as_slice(), nameless) {
                ([], [], 1) => "the newest state; one page of it may be older".to_owned(),
                ([], [], frames @ 2..) => {
                    format!("the newest state; up to {frames} pages of it may be older")
                }
                ([], _, _) => {
                    "the newest state, with the likeliest correction where several fit".to_owned()
                }
                (pages, _, _) => {
                    format!("the newest state, with older copies of {}", list(pages))
                }
            },
        ),
        CandidateKind::NewestComplete => {
            (Action::DropBehind, why, "the newest complete state before it".to_owned())
        }
        CandidateKind::DatabaseAlone => {
            (Action::DropLog, why, "the database file as it is".to_owned())
        }
        CandidateKind::RolledBack | CandidateKind::SqliteView => {
            (Action::DropBehind, why, "what SQLite sees without a repair".to_owned())
        }
    };
    Step {
        action,
        frame: drop.and_then(|step| step.frame),
        pages: choice.old_pages.clone(),
        lossless: false,
        proof: None,
        rivals: 0,
        reason,
        gains,
    }
}
