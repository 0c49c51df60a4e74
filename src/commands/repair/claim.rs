//! The one place that says whether a repair loses nothing.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::access::Context;
use crate::access::files::Files;
use crate::access::live::{self, Reading};
use crate::database::check::Health;
use crate::database::{self, FilePages};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rails;
use crate::history::snapshot::Target;
use crate::history::standing::newer::{self, Age, FileAge};
use crate::log::cure::Cure;
use crate::repair::plan::Restored;

use super::base::Base;
use super::{Hold, Prepared};

impl Prepared {
    /// Whether the result is all that was committed; `None` where that cannot be known.
    ///
    /// It is claimed on three conditions: every step is proven or evident; the result has no
    /// problem in its structure that what SQLite sees without a repair does not have; and nothing
    /// that was found contradicts it, a database file that is newer than the state of the log among
    /// it (`age`). `is_sound` is what [`Self::is_sound`] says.
    pub(super) fn lossless(
        &self,
        is_sound: bool,
        age: FileAge,
        is_empty: bool,
        is_encrypted: bool,
    ) -> Option<bool> {
        let by_journal = self.journal().is_some();
        let restored = self.restored();
        let is_unsummed = |frame| restored.fixes.get(frame) == Some(&Cure::Unsummed);
        let by_unsummed = restored.snapshot.pages.values().any(is_unsummed);
        let is_given_up = !self.plan.is_lossless() || !self.findings.is_empty();
        if is_given_up || !is_sound {
            return Some(false);
        }
        if age == FileAge::Newer {
            return Some(false);
        }
        let by_base = self.base.as_ref().is_some_and(Base::is_unknown);
        let is_unseen = is_encrypted && !self.plan.steps.is_empty();
        // Where a log is damaged, what comes after its last commit may be damage as well.
        let examination = self.reading.as_ref().map(|read| &read.examination);
        let is_open =
            examination.is_some_and(|it| it.tail.is_blank_after || it.tail.is_open_after());
        let is_unknown = self.plan.is_likely()
            || is_open
            || by_base
            || by_unsummed
            || is_unseen
            || age == FileAge::MayBeNewer;
        (!(is_unknown || by_journal && is_empty)).then_some(true)
    }

    /// Whether the result has no problem in its structure that SQLite's own view does not have.
    /// `health` is that of the result, and `None` where nothing needs a repair or nobody can see
    /// the structure.
    pub(super) fn is_sound(&self, health: Option<&Health>, context: &Context) -> Result<bool> {
        Ok(match health {
            Some(health) if !health.is_sound() => {
                self.journal().is_none() && self.is_no_worse(health, context)?
            }
            Some(_) | None => true,
        })
    }

    /// Whether each problem of the result is one that SQLite's own view has as well.
    fn is_no_worse(&self, health: &Health, context: &Context) -> Result<bool> {
        let (no_pages, Some(reading)) = (BTreeSet::new(), &self.reading) else {
            return Ok(false);
        };
        let snapshot = reading.snapshot(Target::Last, context.watch)?.into_owned();
        let seen = Restored { snapshot, ..Restored::default() };
        let Some(view) = self.view(&seen, &no_pages) else { return Ok(false) };
        // A log that makes a sound file unsound was not written on it.
        if let Some(base) = &self.base {
            let alone = FilePages::new(base.file(), view.page_size)?;
            if database::check(&alone, context.watch)?.is_sound() {
                return Ok(false);
            }
        }
        let known = database::check(&view, context.watch)?;
        let words = |health: &Health| -> BTreeSet<String> {
            health.problems.iter().map(ToString::to_string).collect()
        };
        let all_are_listed = health.problem_count == health.problems.len() as u64;
        Ok(all_are_listed && words(health).is_subset(&words(&known)))
    }

    /// The result ends before what a wal-index of the same salts, which nobody uses, has committed.
    pub(super) fn cut_log(
        &self,
        files: &Files,
        hold: Hold<'_>,
        context: &Context,
    ) -> Result<Option<Finding>> {
        let is_attached = matches!(hold, Hold::Held(held) if held.index.is_some());
        let Some(Reading { examination, .. }) = &self.reading else { return Ok(None) };
        if is_attached || self.chosen().is_some() {
            return Ok(None);
        }
        let known = live::commit_of_index(files, examination, context)?;
        let given = self.restored().snapshot.to_frame;
        let known = known.filter(|&known| known > given);
        Ok(known.map(|known| Finding {
            next: None,
            ..Finding::from(rails::cut_log(files, known, given))
        }))
    }

    /// Whether the database file has pages that the result takes back to an older state.
    pub(super) fn file_age(&self, context: &Context) -> Result<Age> {
        let (Some(reading), Some(base)) = (&self.reading, &self.base) else {
            return Ok(Age::default());
        };
        if self.restored().snapshot.pages.is_empty() {
            return Ok(Age::default());
        }
        let (log, examination) = (reading.file.as_ref(), &reading.examination);
        Ok(newer::file_age(log, base.file(), examination, true, context.watch)?)
    }
}
