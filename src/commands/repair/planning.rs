//! How a repair is planned: what is read, the plan for the log, and what a journal, the choice of a
//! state and contradicting sizes make of it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::access::failure::{About, Failure};
use crate::access::files::Files;
use crate::access::live::{LogOptions, Reading};
use crate::access::{Context, missing};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rails;
use crate::repair::plan::choice::{self, Choice};
use crate::repair::plan::{Action, CandidateKind, Plan, Proof, Step};

use super::base::Base;
use super::prepared::{Prepared, lossy_step};
use super::{Hold, Repair, sizes};

impl Repair {
    /// Reads and plans; nothing is written.
    pub(super) fn prepare(
        &self,
        files: &Files,
        hold: Hold<'_>,
        context: &Context,
    ) -> Result<Prepared> {
        let base = Base::open(files, context)?;
        let witness = base.as_ref().map(Base::file);
        let reading = match hold {
            Hold::Held(held) => held.read_log(files, witness, context)?,
            Hold::Offline(_) => Reading::of(files, LogOptions::alone(witness), context)?,
        };
        let reading = reading.map(Reading::with_shift_undone);
        let mut plan = match &reading {
            Some(Reading { file, examination, .. }) => {
                Plan::of(file.as_ref(), examination, witness, context.watch)
                    .with_context(|| About(files.wal.clone()))?
            }
            None => Plan::default(),
        };
        if reading.is_none() && has_orphan_index(files, hold, context)? {
            plan.steps.push(remove_index(files, context)?);
        }
        let (candidates, findings) = (Vec::new(), Vec::new());
        let mut prepared = Prepared { base, reading, plan, candidates, findings };
        let doubt = prepared.offer_readings_of_journal(context)?;
        prepared.candidates = self.choices(&prepared, context)?;
        let kind = prepared.chosen().map(|choice| choice.kind);
        if let Some(base) = &mut prepared.base {
            if let Some(kind) = kind {
                base.take(kind);
            }
            let step = base.step(doubt);
            prepared.plan.steps.splice(0..0, step);
        }
        prepared.give_up_for_choice();
        self.judge_result(&mut prepared, files, context)?;
        prepared.findings.extend(prepared.cut_log(files, hold, context)?);
        Ok(prepared)
    }

    /// The states that a plan with loss could give, with the one that is given.
    fn choices(&self, prepared: &Prepared, context: &Context) -> Result<Vec<Choice>> {
        let plan = &prepared.plan;
        if let Some(number) = self.choose
            && !(1..=plan.candidates.len()).contains(&number)
        {
            let why = match plan.candidates.len() {
                0 => "--choose: the plan loses nothing, there is nothing to choose".to_owned(),
                most => format!("--choose {number}: the plan has the states 1 to {most}"),
            };
            return Err(Failure::Usage(why).into());
        }
        let pages = BTreeSet::new();
        let views: Vec<_> = plan
            .candidates
            .iter()
            .filter_map(|candidate| prepared.view_of(candidate, &pages))
            .collect();
        choice::choose(plan, &views, self.choose, context.watch).context("choosing a state")
    }

    /// What of the result contradicts itself or is thrown away by SQLite: set right where that can
    /// be done, or else a finding.
    fn judge_result(
        &self,
        prepared: &mut Prepared,
        files: &Files,
        context: &Context,
    ) -> Result<()> {
        let discarded = match &prepared.reading {
            Some(log) => {
                let database = prepared.base.as_ref().map(Base::file);
                rails::discarded_log(files, log, database, context)?
            }
            None => None,
        };
        // Of a log that SQLite throws away, sizes do not matter.
        let sizes = match discarded {
            Some(_) => None,
            None => sizes::correct(prepared, context)?,
        };
        match sizes {
            Some((_, Some(corrected))) if prepared.chosen().is_none() => {
                prepared.plan.steps.push(corrected.step);
                prepared.plan.restored = corrected.restored;
            }
            Some((found, _)) => {
                let database = files.database.as_deref().unwrap_or(&self.path).to_owned();
                let (rule, message) = (found.rule(), found.to_string());
                prepared.findings.push(Finding::new(rule, database, message));
            }
            None => {}
        }
        let no_pages = BTreeSet::new();
        let danger = match (discarded, prepared.view(prepared.restored(), &no_pages)) {
            (Some(discarded), _) => Some(discarded),
            (None, Some(view)) => rails::page_one_of_file(files, &view)?,
            (None, None) => None,
        };
        prepared.findings.extend(danger.map(Finding::from));
        Ok(())
    }
}

impl Prepared {
    /// Leaves out the steps that the chosen state does not need, and says what it gives up.
    fn give_up_for_choice(&mut self) {
        let is_about_journal = self.has_readings_of_journal();
        let is_lossy =
            |choice: &&Choice| !is_about_journal && choice.kind != CandidateKind::NewestLikely;
        let Some(choice) = self.chosen().filter(is_lossy) else { return };
        let (step, kept) = (lossy_step(choice, &self.plan), choice.to_frame);
        let is_newest = choice.kind == CandidateKind::NewestWithOldPages;
        let steps = &mut self.plan.steps;
        steps.retain(|step| {
            let is_kept = is_newest || step.frame.is_none_or(|frame| frame.0 <= kept);
            step.action != Action::DropBehind
                && (is_kept || matches!(step.action, Action::CutTail | Action::UndoShift))
        });
        let tail = steps.iter().position(|step| step.action == Action::CutTail);
        steps.insert(tail.unwrap_or(steps.len()), step);
    }
}

/// Whether a wal-index is there that nobody is attached to.
fn has_orphan_index(files: &Files, hold: Hold<'_>, context: &Context) -> Result<bool> {
    let Some(shm) = &files.shm else { return Ok(false) };
    let is_free = match hold {
        Hold::Offline(_) => true,
        Hold::Held(held) => held.index.is_none(),
    };
    Ok(is_free && context.vfs.exists(shm)?)
}

/// The step for a wal-index without a log.
fn remove_index(files: &Files, context: &Context) -> Result<Step> {
    // An index that knows of commits is all that is left of them.
    let missing = missing::find(files, context)?;
    Ok(Step {
        action: Action::RemoveIndex,
        frame: None,
        pages: Vec::new(),
        lossless: missing.is_none(),
        proof: missing.is_none().then_some(Proof::Evidence),
        rivals: 0,
        reason: missing.map_or_else(
            || "there is a wal-index without a log, and nobody uses it".to_owned(),
            |missing| missing.to_string(),
        ),
        gains: "nothing is left that could be taken for one in use".to_owned(),
    })
}
