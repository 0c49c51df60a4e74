//! Rows whose overflow pages were overwritten while the page that they are on stayed as it was:
//! incremental writes of blobs, and updates of equal size (btree.c btreeOverwriteCell).

use std::collections::HashSet;

use crate::database::{
    EntryKind, PageRows, ReadRow, TreeKind, TreePages, free_pages, is_pointer_map,
};
use crate::format::Pgno;

use super::table::State;
use super::{ChangedPages, Error};

/// Looks for changed pages that no page of a tree explains.
pub(super) struct Search<'s> {
    state: State<'s>,
    changed: &'s ChangedPages,
    /// Changed pages that are explained by nothing so far.
    left: HashSet<Pgno>,
}

impl<'s> Search<'s> {
    pub(super) fn new(state: State<'s>, changed: &'s ChangedPages) -> Result<Self, Error> {
        let size_pages = state.pages.size_pages()?;
        let mut left: HashSet<Pgno> = match changed {
            ChangedPages::These(pages) => pages.clone(),
            // No page is the same in both.
            ChangedPages::All => HashSet::new(),
        };
        left.retain(|page| page.0 <= size_pages);
        left.remove(&Pgno::FIRST);
        left.remove(&state.pages.page_size().lock_byte_page());
        if state.catalog.header.largest_root != 0 {
            let usable = state.pages.page_size().in_memory()
                - usize::from(state.catalog.header.reserved_bytes);
            left.retain(|&page| !is_pointer_map(state.pages.page_size(), usable, page));
        }
        Ok(Self { state, changed, left })
    }

    /// `pages` are pages of a tree.
    pub(super) fn claim<'p>(&mut self, pages: impl Iterator<Item = &'p Pgno>) {
        pages.for_each(|page| {
            self.left.remove(page);
        });
    }

    /// Unchanged leaves, among those of all tables, that have a row on a page that is left.
    pub(super) fn leaves<'t>(
        mut self,
        tables: impl Iterator<Item = (TreeKind, &'t TreePages)> + Clone,
    ) -> Result<HashSet<Pgno>, Error> {
        if self.left.is_empty() {
            return Ok(HashSet::new());
        }
        let mut indexes = Vec::new();
        for entry in
            self.state.catalog.schema.entries.iter().filter(|it| it.kind == EntryKind::Index)
        {
            let root = Pgno(u32::try_from(entry.root).unwrap_or_default());
            indexes.push(TreePages::read(self.state.pages, root, TreeKind::Index)?);
        }
        for index in &indexes {
            self.claim(index.interior.iter().chain(&index.leaves));
        }
        let trunk = Pgno(self.state.catalog.header.first_trunk);
        let is_left = |page| self.left.contains(&page);
        let (free, _) = free_pages(self.state.pages, trunk, usize::MAX, is_left)?;
        self.claim(free.iter());
        for (kind, tree) in tables.clone() {
            self.claim_chains(kind, tree)?;
        }
        for index in &indexes {
            self.claim_chains(TreeKind::Index, index)?;
        }
        let mut found = HashSet::new();
        for (kind, tree) in tables {
            self.find(kind, tree, &mut found)?;
        }
        Ok(found)
    }

    /// Claims the overflow pages of rows on changed pages.
    fn claim_chains(&mut self, kind: TreeKind, tree: &TreePages) -> Result<(), Error> {
        if self.left.is_empty() {
            return Ok(());
        }
        let pages: Vec<Pgno> =
            with_rows(tree).filter(|page| self.changed.contains(*page)).collect();
        let mut rows = PageRows::new(self.state.pages, kind, &pages)?;
        let left = &mut self.left;
        while rows
            .next_row(|page| {
                left.remove(&page);
            })?
            .is_some()
        {}
        Ok(())
    }

    fn find(
        &self,
        kind: TreeKind,
        tree: &TreePages,
        found: &mut HashSet<Pgno>,
    ) -> Result<(), Error> {
        if self.left.is_empty() {
            return Ok(());
        }
        let pages: Vec<Pgno> =
            with_rows(tree).filter(|page| !self.changed.contains(*page)).collect();
        let mut rows = PageRows::new(self.state.pages, kind, &pages)?;
        loop {
            let mut is_overwritten = false;
            let row = rows.next_row(|page| is_overwritten |= self.left.contains(&page))?;
            match row {
                Some(ReadRow::Row(row)) if is_overwritten => {
                    found.insert(row.page);
                }
                Some(ReadRow::Row(_)) => {}
                // What cannot be read is read again where it counts.
                Some(ReadRow::Unreadable(page)) => {
                    found.insert(page);
                }
                None => return Ok(()),
            }
        }
    }
}

fn with_rows(tree: &TreePages) -> impl Iterator<Item = Pgno> {
    tree.interior.iter().chain(&tree.leaves).copied()
}
