//! States that are not written: they may be none that ever was.

use anyhow::{Context as _, Result};

use super::{Ends, Rewind};
use crate::access::Context;
use crate::access::attach::AttachTarget;
use crate::access::failure::{About, Failure};
use crate::access::generation::rewind_command;
use crate::access::held::Held;
use crate::database;
use crate::diagnosis::{MAY_BE_NEWER, StateDoubt, doubt_about_states};
use crate::history::snapshot::Snapshot;
use crate::output::text::command;

impl Rewind {
    /// Refuses where pages of the file are not those that the log was written on, or where nothing
    /// tells and that was not accepted; whether it was. A state that the log has whole takes
    /// nothing from the file.
    pub(super) fn is_accepted(
        &self,
        ends: &Ends<'_>,
        (held, target): (&Held, &AttachTarget),
        context: &Context,
    ) -> Result<bool> {
        let database = &target.database;
        let takes_pages = ends.wanted.takes_pages_from_file(ends.past.page_size());
        let (why, hint) = match doubt_about_states(&target.files, held, context)? {
            Some(StateDoubt::Proven(doubt)) => {
                let why = format!("{}: an earlier state would be none that ever was", doubt.why);
                (why, command("doctor", database))
            }
            Some(StateDoubt::Open) if takes_pages && self.accept_foreign => {
                context.warn(MAY_BE_NEWER);
                return Ok(true);
            }
            Some(StateDoubt::Open) if takes_pages => {
                let again = rewind_command(database, ends.wanted.to_txn, ends.salts);
                let hint = format!("{again} --accept-foreign goes back all the same");
                (MAY_BE_NEWER.to_owned(), hint)
            }
            Some(StateDoubt::Unproven) if takes_pages => {
                context.warn(
                    "nothing proves that the file is the one that the log was written on, and has \
                     no later pages, though all fits; if not, the state that is written is none \
                     that ever was",
                );
                return Ok(false);
            }
            Some(StateDoubt::Open | StateDoubt::Unproven) | None => return Ok(false),
        };
        Err(Failure::refused(database, why, hint).into())
    }
}

/// A sound database is not made unsound: a state that is so over this file may be none that ever
/// was.
pub(super) fn stays_sound(ends: &Ends<'_>, target: &AttachTarget, context: &Context) -> Result<()> {
    let is_sound = |snapshot: &Snapshot| {
        let state = ends.past.state(snapshot)?;
        match database::quick_check(&state, context.watch) {
            Ok(health) => Ok(health.is_sound()),
            // A page that is gone is not written either: it is a free one.
            Err(error) if error.is_of_the_state() => Ok(true),
            Err(error) => Err(error),
        }
    };
    let about = || About(target.database.clone());
    if is_sound(ends.wanted).with_context(about)? || !is_sound(ends.newest).with_context(about)? {
        return Ok(());
    }
    let txn = ends.wanted.to_txn;
    let why = format!("the state after transaction {txn} is not sound here, and the newest one is");
    let next = command(&format!("check --at {txn}"), &target.database);
    Err(Failure::refused(&target.database, why, format!("what is wrong with it: {next}")).into())
}
