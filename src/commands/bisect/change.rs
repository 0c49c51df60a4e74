//! What is told of the transaction that made a change.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Result;
use serde::Serialize;

use crate::access::files::Files;
use crate::access::generation::rewind_command;
use crate::access::states::{StateAt, StateName, States};
use crate::database::Pages;
use crate::format::{FrameNo, Pgno};
use crate::history::bisect::Turn;
use crate::history::past::Past;
use crate::history::rows::{self, tables_of};
use crate::history::snapshot::Snapshot;
use crate::output::text::command;

use super::asking::Look;

/// A change of what was asked, and the transactions that made it.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    /// The transaction; `None` where states between could not be looked at, or were not.
    pub(super) txn: Option<u32>,
    /// The last state before.
    pub(super) from: StateAt,
    /// The first state after it.
    pub(super) to: StateAt,
    /// The later state is unsound, or the query is true of it; or the earlier one.
    pub(super) holds: bool,
    /// The first frame of what lies between them.
    pub(super) first_frame: FrameNo,
    /// Its last frame.
    pub(super) last_frame: FrameNo,
    /// Frames in it.
    pub(super) frames: u32,
    /// Different pages among them.
    pub(super) pages: usize,
    /// The tables that these are of, or an index of theirs; `None` where neither state tells that.
    pub(super) tables: Option<BTreeSet<String>>,
    /// How many problems the structure of the later state has.
    pub(super) problem_count: Option<u64>,
    /// The first of them.
    pub(super) problems: Vec<String>,
    /// The command that shows what was changed.
    pub(super) diff: String,
    /// The command that goes back to the earlier state; `None` where that cannot be, or is not to
    /// be wished.
    pub(super) rewind: Option<String>,
    /// All states between were looked at.
    #[serde(skip)]
    pub(super) is_settled: bool,
}

/// What a change is told of.
pub(super) struct Told<'t> {
    pub(super) files: &'t Files,
    /// Options that commands to type need, each with a space before it.
    pub(super) options: String,
    pub(super) states: &'t States<'t>,
    pub(super) past: &'t Past<'t>,
    /// The database is at the name that goes with its log.
    pub(super) can_rewind: bool,
}

/// What made the change.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn change(turn: &Turn, looks: &BTreeMap<u32, Look>, told: &Told<'_>) -> Result<Change> {
    let from = told.states.snapshot(StateName::Txn(turn.from))?;
    let to = told.states.snapshot(StateName::Txn(turn.to))?;
    let frames = told.states.frames();
    let between = from.to_frame + 1..=to.to_frame;
    let pages: HashSet<Pgno> =
        between.clone().filter_map(|frame| frames.page(FrameNo(frame))).collect();
    let tables = tables(&pages, [&from, &to], told.past)?;
    let look = looks.get(&turn.to);
    let path = told.files.database.as_ref().unwrap_or(&told.files.wal);
    let range = format!("{}..{}", turn.from, turn.to);
    let diff = format!("{} {range}{}", command("diff", path), told.options);
    let rewind = turn.comes.then(|| rewind(&from, told)).transpose()?.flatten();
    Ok(Change {
        txn: turn.exact(),
        from: StateAt::from(&from),
        to: StateAt::from(&to),
        holds: turn.comes,
        first_frame: FrameNo(*between.start()),
        last_frame: FrameNo(*between.end()),
        frames: to.to_frame - from.to_frame,
        pages: pages.len(),
        tables,
        problem_count: look.and_then(|look| look.problem_count),
        problems: look.map(|look| look.problems.clone()).unwrap_or_default(),
        diff,
        rewind,
        is_settled: turn.is_settled,
    })
}

/// The tables that `pages` are of, as far as one of the two states tells it.
fn tables(
    pages: &HashSet<Pgno>,
    states: [&Snapshot; 2],
    past: &Past<'_>,
) -> Result<Option<BTreeSet<String>>> {
    let mut known: Option<BTreeSet<String>> = None;
    for snapshot in states {
        match tables_of(&past.state(snapshot)?, pages) {
            Ok(tables) => known.get_or_insert_default().extend(tables),
            Err(rows::Error::Pages(error)) if !error.is_of_the_state() => return Err(error.into()),
            // What is gone or damaged tells nothing.
            Err(_) => {}
        }
    }
    Ok(known)
}

/// The command that goes back to a state, where all is there that it takes.
fn rewind(to: &Snapshot, told: &Told<'_>) -> Result<Option<String>> {
    let database = told.files.database.as_ref().filter(|_| told.can_rewind);
    let (Some(database), Some(salts)) = (database, told.states.salts()) else { return Ok(None) };
    let pages = told.past.state(to)?;
    let size_pages = pages.size_pages()?;
    let frames = told.states.frames();
    let last = frames.commit(frames.transactions()).map_or(0, |commit| commit.last_frame.0);
    let later = (to.to_frame + 1..=last).filter_map(|frame| frames.page(FrameNo(frame)));
    let mut image = vec![0; pages.page_size().in_memory()];
    for page in later.filter(|page| page.0 <= size_pages).collect::<HashSet<Pgno>>() {
        match pages.read(page, &mut image) {
            Ok(()) => {}
            Err(error) if error.is_of_the_state() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(rewind_command(database, to.to_txn, salts)))
}
