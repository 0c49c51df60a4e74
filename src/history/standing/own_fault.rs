//! Faults that the log has of its own: an application, or its memory, has damaged a page before
//! SQLite summed it. They do not tell that the log was written on another file.

use std::collections::HashSet;

use crate::database::check::{Health, Owner};
use crate::database::{Error, check};
use crate::format::{FrameNo, Pgno};
use crate::history::snapshot::Snapshot;
use crate::history::view::View;
use crate::scan::Watch;

use super::beginning::{Beginning, snapshot_at};
use super::structure::{table_of, used_again};
use super::{Pair, structure};

/// What is wrong in the first unsound state of the log over the file, up to the one at `unsound`;
/// `None` where it may come of the file.
///
/// A transaction reads the state before it. Where that is sound over this file, and the pages that
/// the transaction wrote for the first time are of no table with a fault, the pages with a fault
/// replace others of the log, which fitted to this file: what it wrote is wrong over any.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub(super) fn of_log(
    pair: &Pair,
    beginning: &Beginning,
    unsound: FrameNo,
    watch: &dyn Watch,
) -> Result<Option<Health>, Error> {
    let file_is_sound = check(&pair.file, watch)?.is_sound();
    let commits = beginning.known_states(pair, file_is_sound);
    let commits = commits.get(..=commits.partition_point(|&commit| commit < unsound));
    let Some((&earliest, later)) = commits.and_then(<[FrameNo]>::split_first) else {
        return Ok(None);
    };
    let Some(mut before) = State::at(pair, earliest, watch)?.filter(|it| it.health.is_sound())
    else {
        return Ok(None);
    };
    let (mut later, mut after) = (later, None);
    while !later.is_empty() {
        let (first_half, second_half) = later.split_at(later.len() / 2);
        let Some((&middle, second_half)) = second_half.split_first() else { break };
        let Some(state) = State::at(pair, middle, watch)? else { return Ok(None) };
        match state.health.is_sound() {
            true => (before, later) = (state, second_half),
            false => (after, later) = (Some(state), first_half),
        }
    }
    Ok(after.filter(|after| !may_come_of_file(&before, after)).map(|after| after.health))
}

/// A state of the log over the file.
struct State {
    snapshot: Snapshot,
    health: Health,
}

impl State {
    /// The state at `commit`; `None` where the frames do not give it.
    fn at(pair: &Pair, commit: FrameNo, watch: &dyn Watch) -> Result<Option<Self>, Error> {
        let Some(snapshot) = snapshot_at(pair, commit, watch)? else { return Ok(None) };
        let view = View::plain(pair.log, pair.shape, &snapshot, Some(pair.base));
        let health = check(&view, watch)?;
        Ok(Some(Self { snapshot, health }))
    }
}

/// Whether a page that the file gives to the state `before`, and that the log has in the one
/// `after`, was in use by what has a fault.
fn may_come_of_file(before: &State, after: &State) -> bool {
    let new = after.snapshot.pages.keys().filter(|page| !before.snapshot.pages.contains_key(page));
    let problems = &after.health.problems;
    let places: HashSet<Pgno> =
        problems.iter().flat_map(|it| it.page.into_iter().chain(used_again(it))).collect();
    let tables: HashSet<Option<String>> =
        problems.iter().map(|it| table_of(&after.health, it)).collect();
    new.filter(|page| before.snapshot.db_size_pages >= Some(page.0)).any(|&page| {
        let table = match before.health.owners.of(page) {
            Owner::Unknown | Owner::LockByte | Owner::FreelistTrunk | Owner::FreelistLeaf => {
                return places.contains(&page);
            }
            Owner::PointerMap => None,
            Owner::Btree(root) | Owner::Overflow(root) => structure::table_at(&before.health, root),
        };
        places.contains(&page) || tables.contains(&None) || tables.contains(&table)
    })
}
