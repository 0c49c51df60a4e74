//! Problems of the log over the file that the file alone does not have.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::database::check::{Health, MAX_PROBLEMS, Owner, Problem};
use crate::database::{self, Pages};
use crate::format::{DatabaseHeader, Pgno};
use crate::scan::Error;

use super::own_fault::OwnFaults;
use super::problem::{evidence_of, table_at, table_of, used_again};
use super::{Evidence, Pair, Reason, SpeaksFor};

/// Whether nothing of the result comes from the file: every page is in the log, but free ones.
pub(super) fn is_self_contained(pair: &Pair, both: &Health) -> bool {
    both.is_sound() && missing(pair, both, 1).next().is_none()
}

/// Pages from `first` on that the result uses and the log does not hold.
fn missing(pair: &Pair, both: &Health, first: u32) -> impl Iterator<Item = Pgno> {
    (first..=both.size_pages).map(Pgno).filter(|page| {
        let free = matches!(both.owners.of(*page), Owner::FreelistLeaf | Owner::LockByte);
        !free && !pair.snapshot.pages.contains_key(page)
    })
}

/// The database grows while the log is written, so the log has every page by which it grows, unless
/// it was freed before it was written. Only asked of a file that is as long as its
/// own header says: a file that was cut misses pages as well.
///
/// # Errors
/// When the size of the file cannot be read.
pub(super) fn growth(
    pair: &Pair,
    both: &Health,
    file: &DatabaseHeader,
) -> Result<Option<Reason>, Error> {
    let file_pages = pair.file.size_pages()?;
    if file.page_count() != Some(file_pages) {
        return Ok(None);
    }
    let missing: Vec<Pgno> = missing(pair, both, file_pages.saturating_add(1)).collect();
    Ok(missing.first().map(|page| Reason {
        speaks_for: SpeaksFor::Foreign,
        evidence: Evidence::CommitSize,
        table: None,
        page: None,
        count: missing.len() as u64,
        example: format!(
            "page {page} is neither in the file of {file_pages} pages nor in the log that grows it"
        ),
    }))
}

/// The same where the pages are too many to be looked at: as many as the freelist counts may be
/// free ones.
///
/// # Errors
/// When the size of the file or page 1 cannot be read.
pub(super) fn growth_at_least(pair: &Pair, file: &DatabaseHeader) -> Result<Option<Reason>, Error> {
    let file_pages = pair.file.size_pages()?;
    if file.page_count() != Some(file_pages) || pair.size_pages <= file_pages {
        return Ok(None);
    }
    let first = Pgno(file_pages.saturating_add(1));
    let grown = pair.snapshot.pages.range(first..=Pgno(pair.size_pages)).count();
    let lock_byte_page = pair.shape.page_size().lock_byte_page();
    let is_lock_byte = (first..=Pgno(pair.size_pages)).contains(&lock_byte_page);
    let unwritten = (pair.size_pages - file_pages) as usize;
    let unwritten = unwritten.saturating_sub(grown).saturating_sub(usize::from(is_lock_byte));
    let free = database::header(pair.both)?.freelist_pages as usize;
    Ok((unwritten > free).then(|| Reason {
        speaks_for: SpeaksFor::Foreign,
        evidence: Evidence::CommitSize,
        table: None,
        page: None,
        count: (unwritten - free) as u64,
        example: format!(
            "pages after the file's {file_pages} are neither in it nor in the log that grows it"
        ),
    }))
}

/// One contradiction for each kind of problem and table, `former_names` being those of the tables
/// that the file has under another name, without what the log has made itself. When the file alone
/// has more problems than are listed, all of them are one.
pub(super) fn problems(
    both: &Health,
    file: &Health,
    former_names: &HashMap<String, String>,
    own: &OwnFaults,
) -> Vec<Reason> {
    let known: HashSet<(Evidence, Option<String>)> =
        file.problems.iter().map(|problem| key(file, problem)).collect();
    let twice: HashSet<Pgno> = used_twice(file).collect();
    let harmed = tables_of(&twice, both);
    let mut found: BTreeMap<(String, Option<String>), Reason> = BTreeMap::new();
    for problem in &both.problems {
        let (evidence, table) = key(both, problem);
        let former = table.as_ref().map(|name| former_names.get(name).unwrap_or(name).clone());
        let is_of_twice = used_again(problem).is_some_and(|page| twice.contains(&page))
            || table.as_ref().is_some_and(|name| harmed.contains(name));
        if own.has(both, problem) || is_of_twice || known.contains(&(evidence, former)) {
            continue;
        }
        let place = (format!("{evidence:?}"), table.clone());
        found.entry(place).and_modify(|reason| reason.count += 1).or_insert_with(|| Reason {
            speaks_for: SpeaksFor::Foreign,
            evidence,
            table,
            page: None,
            count: 1,
            example: format!("with the log over the file: {problem}"),
        });
    }
    let listed = if file.problem_count > MAX_PROBLEMS as u64 { 1 } else { usize::MAX };
    found.into_values().take(listed).collect()
}

/// Pages that the file uses twice: what SQLite writes in one use harms the other.
pub(super) fn used_twice(file: &Health) -> impl Iterator<Item = Pgno> {
    file.problems.iter().filter_map(used_again)
}

/// The tables that use such pages.
fn tables_of(twice: &HashSet<Pgno>, both: &Health) -> HashSet<String> {
    let first_uses = twice.iter().filter_map(|&page| match both.owners.of(page) {
        Owner::Btree(root) | Owner::Overflow(root) => table_at(both, root),
        _ => None,
    });
    let again = |it: &&Problem| used_again(it).is_some_and(|page| twice.contains(&page));
    let again = both.problems.iter().filter(again);
    first_uses.chain(again.filter_map(|problem| table_of(both, problem))).collect()
}

/// The kind of a problem, and the table that it is about.
fn key(health: &Health, problem: &Problem) -> (Evidence, Option<String>) {
    (evidence_of(problem), table_of(health, problem))
}
