//! Faults that the log has of its own: an application, or its memory, has damaged a page before
//! SQLite summed it. They do not tell that the log was written on another file.

use std::collections::HashSet;

use crate::database::check::{Health, Owner, Problem};
use crate::database::{Error, check};
use crate::format::{FrameNo, Pgno};
use crate::history::snapshot::Snapshot;
use crate::history::view::View;
use crate::scan::Watch;

use super::problem::{evidence_of, table_at, table_of, used_again};
use super::{Evidence, Pair};

/// Most times that a first state with something else wrong is looked for.
const MAX_FAULTS: usize = 8;

/// What is wrong because the log has made it so.
#[derive(Default)]
pub(super) struct OwnFaults {
    /// Of a damaged table nothing that comes later tells anything.
    tables: HashSet<String>,
    /// Kinds of what is wrong with no table.
    kinds: HashSet<Evidence>,
}

impl OwnFaults {
    /// Finds those of the states of the log over the file at `commits`, as far as they cannot come
    /// of the file.
    ///
    /// A transaction reads the state before it. Where nothing is wrong in that, and the pages that
    /// the transaction wrote for the first time are of no table with a fault, the pages with a
    /// fault replace others of the log, which fitted to this file: what it wrote is wrong over any.
    ///
    /// # Errors
    /// When a file cannot be read, or the watcher stops it.
    pub(super) fn find(pair: &Pair, commits: &[FrameNo], watch: &dyn Watch) -> Result<Self, Error> {
        let mut found = Self::default();
        let Some((&earliest, mut later)) = commits.split_first() else { return Ok(found) };
        let Some(mut before) = State::at(pair, earliest, watch)? else { return Ok(found) };
        for _ in 0..MAX_FAULTS {
            if !found.all(&before) {
                break;
            }
            let first = first_with_another(&found, pair, (&mut before, later), watch)?;
            let own = first.filter(|(after, _)| !found.may_come_of_file(&before, after));
            let Some((after, place)) = own else { break };
            found.add(&after.health);
            before = after;
            later = later.get(place + 1..).unwrap_or_default();
        }
        Ok(found)
    }

    /// Whether a problem is one of them.
    pub(super) fn has(&self, health: &Health, problem: &Problem) -> bool {
        match table_of(health, problem) {
            Some(table) => self.tables.contains(&table),
            None => self.kinds.contains(&evidence_of(problem)),
        }
    }

    fn all(&self, state: &State) -> bool {
        state.health.problems.iter().all(|problem| self.has(&state.health, problem))
    }

    fn add(&mut self, health: &Health) {
        for problem in &health.problems {
            match table_of(health, problem) {
                Some(table) => drop(self.tables.insert(table)),
                None => drop(self.kinds.insert(evidence_of(problem))),
            }
        }
    }

    /// Whether a page that the file gives to the state `before`, and that the log has in the one
    /// `after`, was in use by what has another fault.
    fn may_come_of_file(&self, before: &State, after: &State) -> bool {
        let is_in_file = |page: &Pgno| !before.snapshot.pages.contains_key(page);
        let new = after.snapshot.pages.keys().filter(|page| is_in_file(page));
        let problems = &after.health.problems;
        let others = || problems.iter().filter(|it| !self.has(&after.health, it));
        // What is not listed may be of any table.
        if after.health.problem_count > problems.len() as u64 {
            return true;
        }
        let places: HashSet<Pgno> =
            others().flat_map(|it| it.page.into_iter().chain(used_again(it))).collect();
        let tables: HashSet<Option<String>> =
            others().map(|it| table_of(&after.health, it)).collect();
        new.filter(|page| before.snapshot.db_size_pages >= Some(page.0)).any(|&page| {
            let table = match before.health.owners.of(page) {
                Owner::Unknown | Owner::LockByte | Owner::FreelistTrunk | Owner::FreelistLeaf => {
                    return places.contains(&page);
                }
                Owner::PointerMap => None,
                Owner::Btree(root) | Owner::Overflow(root) => table_at(&before.health, root),
            };
            places.contains(&page) || tables.contains(&None) || tables.contains(&table)
        })
    }
}

/// A state of the log over the file.
struct State {
    snapshot: Snapshot,
    health: Health,
}

impl State {
    /// The state at `commit`; `None` where the frames do not give it.
    fn at(pair: &Pair, commit: FrameNo, watch: &dyn Watch) -> Result<Option<Self>, Error> {
        let Some(snapshot) = pair.snapshot_at(commit, watch)? else { return Ok(None) };
        let view = View::plain(pair.log, pair.shape, &snapshot, Some(pair.base));
        let health = check(&view, watch)?;
        Ok(Some(Self { snapshot, health }))
    }
}

/// The first of the `later` states in which something is wrong that is not known, and its place
/// there; `before` becomes the state before it. By halves: what is wrong stays so.
fn first_with_another(
    known: &OwnFaults,
    pair: &Pair,
    (before, later): (&mut State, &[FrameNo]),
    watch: &dyn Watch,
) -> Result<Option<(State, usize)>, Error> {
    let (mut first, mut from, mut to) = (None, 0, later.len());
    while from < to {
        let middle = from.midpoint(to);
        let Some(&commit) = later.get(middle) else { break };
        let Some(state) = State::at(pair, commit, watch)? else { return Ok(None) };
        match known.all(&state) {
            true => (*before, from) = (state, middle + 1),
            false => (first, to) = (Some((state, middle)), middle),
        }
    }
    Ok(first)
}
