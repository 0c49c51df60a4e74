//! Which of several incomplete states to give: the newest that is sound and keeps every row that
//! SQLite alone would keep.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::database::check::{Health, Owner, Tree};
use crate::database::opaque::looks_encrypted;
use crate::database::{self, Pages as _, RowChange, RowChanges, Rows};
use crate::format::btree::BtreeHeader;
use crate::format::{FrameNo, PageKind, Pgno};
use crate::history::view::View;
use crate::scan::{self, Watch};

use super::nameless::MayBeOlder;
use super::{Candidate, CandidateKind, Plan};

/// A candidate, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// Its number, for `--choose`.
    pub number: usize,
    /// What it is.
    pub kind: CandidateKind,
    /// Its last commit frame; 0 for the database file alone.
    pub to_frame: u32,
    /// Transactions of the log that it has.
    pub transactions: u32,
    /// Pages of which it has an older copy.
    pub old_pages: Vec<Pgno>,
    /// Frames of which the likeliest of several corrections was taken.
    pub guessed_frames: Vec<FrameNo>,
    /// Problems that the structure check finds in it; `None` where it is encrypted.
    pub problems: Option<u64>,
    /// Rows of SQLite's own view that it lacks, or has with other values, though no intact page
    /// shows that a later transaction deleted or changed them. `None` where it is encrypted.
    pub rows_missing: Option<u64>,
    /// Rows by table that the newest state has in pages that can be read, and this one lacks.
    pub rows_lost_by_table: Vec<TableLoss>,
    /// It is the one that is given.
    pub chosen: bool,
}

/// Rows of one table that are given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableLoss {
    /// The table.
    pub table: String,
    /// Rows that are missing, or older.
    pub rows: u64,
}

/// Judges every candidate of a plan with loss and chooses one: `wanted` by number, or else the
/// newest that is sound and either is complete or keeps every row of SQLite's view, or else that
/// view. `views` are the databases that the candidates are, in the same order.
///
/// # Errors
/// When a file cannot be read.
pub fn choose(
    plan: &Plan,
    views: &[View<'_>],
    wanted: Option<usize>,
    watch: &dyn Watch,
) -> Result<Vec<Choice>, scan::Error> {
    let states =
        views.iter().map(|view| CheckedView::new(*view, watch)).collect::<Result<Vec<_>, _>>()?;
    let Some((sqlite, newest)) = states.last().zip(states.first()) else { return Ok(Vec::new()) };
    let (mut choices, mut inventive) = (Vec::new(), BTreeSet::new());
    for (number, (candidate, state)) in (1..).zip(plan.candidates.iter().zip(&states)) {
        let snapshot = &candidate.restored.snapshot;
        let is_readable = !looks_encrypted(&state.view)?;
        let rows_missing = match is_readable {
            true => Some(state.doubtful_rows(candidate, sqlite, plan.is_doubtful)?),
            false => None,
        };
        // A database that is rolled back and one that is not are no earlier and later states.
        let rows_lost_by_table = match is_about_a_journal(plan) {
            true => Vec::new(),
            false => state.lost_against(newest)?,
        };
        if state.may_invent(candidate) {
            inventive.insert(number);
        }
        choices.push(Choice {
            number,
            kind: candidate.kind,
            to_frame: snapshot.to_frame,
            transactions: snapshot.to_txn,
            old_pages: candidate.old_pages.clone(),
            guessed_frames: candidate.guessed.clone(),
            problems: Some(state.problems()).filter(|_| is_readable),
            rows_missing,
            rows_lost_by_table,
            chosen: false,
        });
    }
    let view_is_sound = sqlite.problems() == 0 && !sqlite.is_empty;
    let good = |choice: &&mut Choice| match wanted {
        Some(number) => choice.number == number,
        None => {
            // A complete later state lacks only what its transactions have deleted.
            let complete = choice.kind == CandidateKind::NewestComplete && !plan.is_doubtful;
            let invents = inventive.contains(&choice.number);
            let keeps = complete || (choice.rows_missing == Some(0) && !invents);
            match choice.kind {
                CandidateKind::SqliteView => true,
                // Any page is more than none.
                CandidateKind::RolledBack if sqlite.is_empty => true,
                CandidateKind::RolledBack => choice.problems == Some(0) && !view_is_sound,
                CandidateKind::NewestLikely
                | CandidateKind::NewestWithOldPages
                | CandidateKind::NewestComplete
                | CandidateKind::DatabaseAlone => match choice.problems {
                    Some(problems) => problems == 0 && keeps,
                    // Only the sums speak.
                    None => complete || choice.kind == CandidateKind::NewestLikely,
                },
            }
        }
    };
    if let Some(choice) = choices.iter_mut().find(good) {
        choice.chosen = true;
    }
    Ok(choices)
}

/// Whether the candidates differ in whether a journal is rolled back.
fn is_about_a_journal(plan: &Plan) -> bool {
    plan.candidates.iter().any(|candidate| candidate.kind == CandidateKind::RolledBack)
}

impl Candidate {
    /// Pages of which it may not have the newest image.
    fn doubtful_pages(&self) -> impl Iterator<Item = Pgno> {
        let frames = &self.restored.snapshot.pages;
        let guessed = frames.iter().filter(|(_, frame)| self.guessed.contains(frame));
        self.old_pages.iter().copied().chain(guessed.map(|(page, _)| *page))
    }
}

/// A database, and what the structure check says of it.
struct CheckedView<'a> {
    view: View<'a>,
    /// It has no page.
    is_empty: bool,
    health: Health,
}

impl<'a> CheckedView<'a> {
    fn new(view: View<'a>, watch: &dyn Watch) -> Result<Self, scan::Error> {
        let health = database::check(&view, watch)?;
        let is_empty = view.size_pages()? == 0;
        Ok(Self { view, is_empty, health })
    }

    /// Problems that the structure check finds. An empty database has none.
    fn problems(&self) -> u64 {
        if self.is_empty { 0 } else { self.health.problem_count }
    }

    /// Rows of `other` that this one lacks, or has with other values, by table. A table is the
    /// same by its name.
    fn lost_against(&self, other: &Self) -> Result<Vec<TableLoss>, scan::Error> {
        let mut losses = Vec::new();
        let named: BTreeSet<&str> = other.health.tables().map(|tree| tree.name.as_str()).collect();
        for name in named {
            let theirs = other.health.tables().find(|tree| tree.name == name);
            let ours = self.health.tables().find(|tree| tree.name == name);
            let rows = match (theirs, ours) {
                (Some(theirs), Some(ours)) => {
                    let changes = self.changes(ours, other, theirs)?;
                    changes.missing + changes.altered
                }
                (Some(theirs), None) => theirs.rows,
                (None, _) => 0,
            };
            if rows > 0 {
                losses.push(TableLoss { table: name.to_owned(), rows });
            }
        }
        Ok(losses)
    }

    /// Rows of SQLite's view that may be lost in this state, which is `candidate`. A later
    /// transaction changed or deleted a row if the newest image of the page on which it would be
    /// is intact; where it is doubtful whether there was a later transaction, every row counts.
    fn doubtful_rows(
        &self,
        candidate: &Candidate,
        sqlite: &Self,
        is_doubtful: bool,
    ) -> Result<u64, scan::Error> {
        let doubtful: BTreeSet<Pgno> = candidate.doubtful_pages().collect();
        let may_be_older = MayBeOlder::new(&candidate.nameless, &candidate.restored.snapshot.pages);
        let newest = [CandidateKind::NewestLikely, CandidateKind::NewestWithOldPages];
        if is_doubtful || !newest.contains(&candidate.kind) {
            let losses = self.lost_against(sqlite)?;
            return Ok(losses.iter().map(|loss| loss.rows).sum());
        }
        let mut rows = 0_u64;
        for theirs in sqlite.health.tables() {
            let Some(ours) = self.health.tables().find(|tree| tree.name == theirs.name) else {
                rows += theirs.rows;
                continue;
            };
            let of_table = |page: &Pgno| {
                [self, sqlite].iter().any(|state| match state.health.owners.of(*page) {
                    Owner::Btree(root) | Owner::Overflow(root) => {
                        root == ours.root || root == theirs.root
                    }
                    Owner::Unknown => true,
                    Owner::LockByte
                    | Owner::PointerMap
                    | Owner::FreelistTrunk
                    | Owner::FreelistLeaf => false,
                })
            };
            let (mut named, any) = may_be_older.named();
            if !any && !named.any(|page| of_table(&page)) && !doubtful.iter().any(of_table) {
                continue;
            }
            // Where a page is no leaf with row ids, any row may have gone with it.
            let sure = self.are_leaves(&doubtful)?;
            let (before, after) =
                (Rows::new(&sqlite.view, theirs.root)?, Rows::new(&self.view, ours.root)?);
            let is_intact = |page: Option<Pgno>| {
                page.is_none_or(|page| !doubtful.contains(&page) && !may_be_older.has(page))
            };
            database::compare_rows(before, after, |change| {
                let explained = match change {
                    RowChange::Kept | RowChange::Added => true,
                    RowChange::Altered(row) => sure && is_intact(Some(row.page)),
                    RowChange::Missing { before: None, after: None } => false,
                    RowChange::Missing { before, after } => {
                        sure && is_intact(before) && is_intact(after)
                    }
                };
                rows += u64::from(!explained);
            })?;
        }
        Ok(rows)
    }

    /// Whether an overflow page may be older than its row: the row would be none that ever was.
    fn may_invent(&self, candidate: &Candidate) -> bool {
        let may_be_older = MayBeOlder::new(&candidate.nameless, &candidate.restored.snapshot.pages);
        let is_older_overflow = |page: Pgno| {
            matches!(self.health.owners.of(page), Owner::Overflow(_)) && may_be_older.has(page)
        };
        let pages = (1..=self.health.size_pages).map(Pgno);
        !candidate.nameless.is_empty() && pages.into_iter().any(is_older_overflow)
    }

    /// Whether all of `pages` are leaves of tables with row ids.
    fn are_leaves(&self, pages: &BTreeSet<Pgno>) -> Result<bool, scan::Error> {
        let mut image = vec![0; self.view.page_size.in_memory()];
        for &page in pages {
            self.view.read(page, &mut image)?;
            let header = BtreeHeader::decode(page, self.view.page_size, &image);
            if header.is_none_or(|header| header.kind != PageKind::TableLeaf) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn changes(&self, ours: &Tree, other: &Self, theirs: &Tree) -> Result<RowChanges, scan::Error> {
        let before = Rows::new(&other.view, theirs.root)?;
        let after = Rows::new(&self.view, ours.root)?;
        database::row_changes(before, after)
    }
}
