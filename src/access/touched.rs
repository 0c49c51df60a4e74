//! The tables that transactions changed, and the b-trees that frames are of, for lists of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::format::Salts;
use crate::history::past::Past;
use crate::history::rows::{Backward, FrameTrees};
use crate::scan::{self, KnownFrames};

use super::Context;
use super::files::Files;
use super::held::{self, Held, HoldArgs};
use super::states::States;

/// How long locks are waited for: a list is worth something without tables, too.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tables by transaction.
#[derive(Debug, Default)]
pub struct Touched {
    /// The salts of the log that the transactions are of.
    pub salts: Option<Salts>,
    tables: BTreeMap<u32, Vec<String>>,
}

impl Touched {
    /// The tables with rows that a transaction changed; `None` where that is not known, or not for
    /// all of them.
    #[must_use]
    pub fn of(&self, txn: u32) -> Option<&[String]> {
        self.tables.get(&txn).map(Vec::as_slice)
    }

    /// Characters of the longest list of names.
    #[must_use]
    pub fn longest_names(&self) -> usize {
        let lists = self.tables.values().map(|names| names.join(", ").chars().count());
        lists.max().unwrap_or_default()
    }
}

/// The tables that transactions from `first_txn` on changed, as far as that can be told: where
/// `can_be_told` fails, of none.
///
/// # Errors
/// When the watcher stops it.
pub fn touched_tables(
    files: &Files,
    first_txn: u32,
    can_be_told: &dyn Fn(&Held) -> Result<()>,
    context: &Context,
) -> Result<Touched> {
    let found = of_past(files, can_be_told, context, |salts, past| {
        let mut touched = Touched { salts, ..Touched::default() };
        let mut backward = Backward::new(past)?;
        while backward.txn() >= first_txn.max(1) {
            if context.watch.is_interrupted() {
                return Err(scan::Error::Interrupted.into());
            }
            let done = backward.step(&mut |_, _| Ok::<_, anyhow::Error>(()), None)?;
            let Some(done) = done else { break };
            if done.loss.is_none() {
                let names = done.tables.into_iter().map(|table| table.name).collect();
                touched.tables.insert(done.txn, names);
            }
        }
        Ok(touched)
    });
    found.map(Option::unwrap_or_default)
}

/// The b-trees of the frames of transactions from `first_txn` on, for the log with these salts; as
/// far as they can be told, like [`touched_tables`].
///
/// # Errors
/// When the watcher stops it.
pub fn frame_trees(
    files: &Files,
    first_txn: u32,
    own: Salts,
    can_be_told: &dyn Fn(&Held) -> Result<()>,
    context: &Context,
) -> Result<FrameTrees> {
    let found = of_past(files, can_be_told, context, |salts, past| match salts == Some(own) {
        true => Ok(FrameTrees::learn(past, first_txn, context.watch)?),
        false => Ok(FrameTrees::default()),
    });
    found.map(Option::unwrap_or_default)
}

/// What `look` finds in the states of a log with commits, and its salts; `None` where nothing can
/// be told: without a database, or while somebody has it alone.
fn of_past<T>(
    files: &Files,
    can_be_told: &dyn Fn(&Held) -> Result<()>,
    context: &Context,
    mut look: impl FnMut(Option<Salts>, &Past<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let hold = HoldArgs { timeout: PATIENCE, ..HoldArgs::default() };
    let found = held::hold(files, &hold, KnownFrames::LIMIT, context, |held| {
        can_be_told(held)?;
        let states = States::of(held, files, context)?;
        if states.frames().transactions() == 0 {
            return Ok(None);
        }
        look(states.salts(), &states.past(0, context)?).map(Some)
    });
    match found {
        Err(error) if context.watch.is_interrupted() => Err(error),
        found => Ok(found.ok().flatten()),
    }
}
