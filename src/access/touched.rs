//! The tables that transactions changed, for lists of transactions.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::format::Salts;
use crate::history::rows::Backward;
use crate::scan::{self, KnownFrames};

use super::Context;
use super::files::Files;
use super::held::{self, Held, HoldArgs};
use super::states::States;

/// How long locks are waited for: a list of transactions is worth something without tables, too.
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
    let hold = HoldArgs { timeout: PATIENCE, ..HoldArgs::default() };
    let found = held::hold(files, &hold, KnownFrames::LIMIT, context, |held| {
        can_be_told(held)?;
        let states = States::of(held, files, context)?;
        let mut touched = Touched { salts: states.salts(), ..Touched::default() };
        if states.frames().transactions() == 0 {
            return Ok(touched);
        }
        let past = states.past(0, context)?;
        let mut backward = Backward::new(&past)?;
        while backward.txn() >= first_txn.max(1) {
            if context.watch.is_interrupted() {
                return Err(scan::Error::Interrupted.into());
            }
            let done = backward.step(&mut |_, _| Ok::<_, anyhow::Error>(()), &mut |_, _| {
                Ok::<_, anyhow::Error>(())
            })?;
            let Some(done) = done else { break };
            if done.loss.is_none() {
                let names = done.tables.into_iter().map(|table| table.name).collect();
                touched.tables.insert(done.txn, names);
            }
        }
        Ok(touched)
    });
    match found {
        Ok(touched) => Ok(touched),
        Err(error) if context.watch.is_interrupted() => Err(error),
        // Without a database, or while somebody has it alone.
        Err(_) => Ok(Touched::default()),
    }
}
