//! What a rollback journal does to a plan: both of its readings where SQLite's rule settles
//! nothing, and what can be said of the loss.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::access::Context;
use crate::database;
use crate::database::opaque::looks_encrypted;
use crate::repair::plan::{Candidate, CandidateKind};

use super::Prepared;
use super::base::JournalDoubt;

impl Prepared {
    pub(super) fn has_readings_of_journal(&self) -> bool {
        self.plan.candidates.iter().any(|candidate| candidate.kind == CandidateKind::RolledBack)
    }

    /// Adds both readings of a journal to the plan, where SQLite's rule does not settle which is
    /// right. Where the log leaves a choice, too, SQLite's rule stays.
    pub(super) fn offer_readings_of_journal(&mut self, context: &Context) -> Result<JournalDoubt> {
        let Some(base) = &self.base else { return Ok(JournalDoubt::None) };
        let is_sound = || -> Result<bool> {
            let pages = BTreeSet::new();
            let Some(view) = self.view(&self.plan.restored, &pages) else { return Ok(true) };
            Ok(looks_encrypted(&view)? || database::check(&view, context.watch)?.is_sound())
        };
        let doubt = base.doubt(is_sound)?;
        if doubt == JournalDoubt::None || !self.plan.candidates.is_empty() {
            return Ok(doubt);
        }
        let candidate = |kind| Candidate {
            kind,
            restored: self.plan.restored.clone(),
            old_pages: Vec::new(),
            guessed: Vec::new(),
            nameless: Vec::new(),
        };
        let both = [CandidateKind::RolledBack, CandidateKind::SqliteView].map(candidate);
        self.plan.candidates.extend(both);
        Ok(doubt)
    }
}
