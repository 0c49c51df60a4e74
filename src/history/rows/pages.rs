//! The pages that have to be read to compare the rows of two states.

use std::collections::HashSet;

use crate::database::{self, TreeKind, TreePages};
use crate::format::Pgno;

use super::compare::{visit_known_rows, visit_rows};
use super::event::RowEvent;
use super::table::{State, Table, TablePages, TablePair, pairs};
use super::{ChangedPages, Error, overwritten};

/// All pages of a table, on the side afterwards.
pub(super) fn all_pages(state: &State<'_>, table: &Table) -> Result<TablePages, Error> {
    let after = with_rows(table.kind, tree_pages(state, table)?);
    Ok(TablePages { after, ..TablePages::default() })
}

fn with_rows(kind: TreeKind, pages: TreePages) -> Vec<Pgno> {
    match kind {
        TreeKind::Table => pages.leaves,
        TreeKind::WithoutRowid | TreeKind::Index => [pages.interior, pages.leaves].concat(),
    }
}

/// Two states, and what differs between them.
pub struct Comparison<'s> {
    /// The state before.
    pub before: State<'s>,
    /// The state afterwards.
    pub after: State<'s>,
    /// Its tables, with the pages that are to be read.
    pub tables: Vec<(TablePair<'s>, TablePages)>,
    /// Whether rows that were overwritten in place could be looked for.
    pub all_looked_at: bool,
    missing: Missing,
}

/// What becomes of a comparison where a page is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It fails.
    Fails,
    /// A row whose other state may have been on the page is told as present.
    Present,
}

/// The pages of the two trees of a table.
struct Trees<'s> {
    pair: TablePair<'s>,
    before: TreePages,
    after: TreePages,
}

impl<'s> Comparison<'s> {
    /// Tells `visit` of every row of a table of this comparison that differs; returns whether rows
    /// may be missing because pages are gone.
    ///
    /// # Errors
    /// As [`visit_rows`].
    pub fn visit<E: From<Error>>(
        &self,
        table: &(TablePair<'_>, TablePages),
        visit: &mut dyn FnMut(RowEvent) -> Result<(), E>,
    ) -> Result<bool, E> {
        let (before, after) = (self.before.pages, self.after.pages);
        match self.missing {
            Missing::Fails => visit_rows(before, after, table, visit).map(|()| false),
            Missing::Present => {
                let is_partial = visit_known_rows(before, after, table, visit)?;
                Ok(is_partial || !self.all_looked_at)
            }
        }
    }

    /// Finds out what has to be read. `changed` are the pages whose images differ.
    ///
    /// # Errors
    /// When a page cannot be read, or is not what its tree says.
    pub fn new(before: State<'s>, after: State<'s>, changed: &ChangedPages) -> Result<Self, Error> {
        Self::with_missing(before, after, changed, Missing::Fails)
    }

    /// The same where pages may be gone.
    ///
    /// # Errors
    /// As [`Comparison::new`], but for what `missing` says.
    pub fn with_missing(
        before: State<'s>,
        after: State<'s>,
        changed: &ChangedPages,
        missing: Missing,
    ) -> Result<Self, Error> {
        let mut trees = Vec::new();
        for pair in pairs(&before.catalog.tables, &after.catalog.tables) {
            trees.push(Trees::of(pair, (&before, &after), changed, missing)?);
        }
        let mut reread = overwritten::Search::new(after, changed)?;
        for tree in &trees {
            reread.claim(tree.after.interior.iter().chain(&tree.after.leaves));
        }
        let overwritten = reread.leaves(trees.iter().filter_map(|tree| {
            let table = tree.pair.after?;
            Some((table.kind, &tree.after))
        }));
        let (overwritten, all_looked_at) = match (overwritten, missing) {
            (Err(Error::Pages(database::Error::Gone { .. })), Missing::Present) => {
                (HashSet::new(), false)
            }
            (overwritten, _) => (overwritten?, true),
        };
        let is_read = |page: &Pgno| changed.contains(*page) || overwritten.contains(page);
        let tables = trees.into_iter().map(|trees| (trees.pair, trees.differing(is_read)));
        Ok(Self { before, after, tables: tables.collect(), all_looked_at, missing })
    }
}

impl<'s> Trees<'s> {
    fn of(
        pair: TablePair<'s>,
        (before, after): (&State<'_>, &State<'_>),
        changed: &ChangedPages,
        missing: Missing,
    ) -> Result<Self, Error> {
        let read = |state: &State<'_>, table: Option<&Table>| match (table, missing) {
            (Some(table), Missing::Fails) => tree_pages(state, table),
            (Some(table), Missing::Present) => {
                let pages = TreePages::read_known(state.pages, table.root, table.kind)?;
                all_readable(pages, table)
            }
            (None, _) => Ok(TreePages::default()),
        };
        let ours = read(before, pair.before)?;
        let same_root = pair.before.map(|table| table.root) == pair.after.map(|table| table.root);
        let is_kept = same_root
            && ours.gone.is_empty()
            && !ours.interior.iter().any(|page| changed.contains(*page));
        // A root that is a leaf may have become an interior page.
        let root_is_kept = pair.before.is_some_and(|table| !changed.contains(table.root));
        let theirs = match is_kept && root_is_kept {
            true => ours.clone(),
            false => read(after, pair.after)?,
        };
        Ok(Self { pair, before: ours, after: theirs })
    }

    /// The pages that only one tree has, and those that `is_read` says.
    fn differing(self, is_read: impl Fn(&Pgno) -> bool) -> TablePages {
        let kind = self.pair.newest().map_or(TreeKind::Table, |table| table.kind);
        let are_part = [&self.before, &self.after].map(|tree| !tree.gone.is_empty());
        let (mut before, mut after) = (with_rows(kind, self.before), with_rows(kind, self.after));
        let sorted = |pages: &[Pgno]| {
            let mut pages = pages.to_vec();
            pages.sort_unstable();
            pages
        };
        if before == after && are_part == [false; 2] {
            before.retain(&is_read);
            return TablePages { after: before.clone(), before, are_part };
        }
        let (ours, theirs) = (sorted(&before), sorted(&after));
        before.retain(|page| is_read(page) || theirs.binary_search(page).is_err());
        after.retain(|page| is_read(page) || ours.binary_search(page).is_err());
        TablePages { before, after, are_part }
    }
}

/// The pages of a table's tree, all of which are what they should be.
fn tree_pages(state: &State<'_>, table: &Table) -> Result<TreePages, Error> {
    all_readable(TreePages::read(state.pages, table.root, table.kind)?, table)
}

fn all_readable(pages: TreePages, table: &Table) -> Result<TreePages, Error> {
    match pages.unreadable.first() {
        Some(&page) => Err(Error::Unreadable { table: table.name.clone(), page }),
        None => Ok(pages),
    }
}
