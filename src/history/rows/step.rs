//! One step back: the rows that differ between the state before a transaction and the one after it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::database::{
    self, Error as ReadError, PageRows, Pages, ReadRow, TreeKind, TreePages, is_pointer_map,
};
use crate::format::Pgno;

use super::acts::{Stopped, TableActs, TransactionRows};
use super::compare::visit_rows;
use super::event::{RowEvent, TableCounts};
use super::owners::{Between, Owners, Sides, TreeNo};
use super::pages::Comparison;
use super::table::{Catalog, State, TablePages, TablePair};
use super::{ChangedPages, Error};

/// More changed pages than this are read in the order of their tables, not held.
const MANY_PAGES: usize = 8192;

/// What is known of one state: whose its pages are.
pub(super) struct Known {
    catalog: Catalog,
    owners: Owners,
    /// The leaf of each overflow page; `None` as long as nobody has asked.
    leaf_of: Option<HashMap<Pgno, Pgno>>,
}

impl Known {
    /// Learns it.
    pub(super) fn of(pages: &dyn Pages) -> Result<Self, Error> {
        let catalog = Catalog::read(pages)?;
        let owners = Owners::learn(pages, &catalog)?;
        Ok(Self { catalog, owners, leaf_of: None })
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Goes from the state `after` to the one `before`, between which `pages` differ: tells the
    /// rows that differ.
    pub(super) fn go_back<E: From<Error>>(
        &mut self,
        (before, after): (&dyn Pages, &dyn Pages),
        pages: &HashSet<Pgno>,
        schema: &mut dyn FnMut(&Catalog, &Catalog) -> Result<(), E>,
        visit: &mut dyn FnMut(&TablePair<'_>, RowEvent) -> Result<(), E>,
        done: &mut TransactionRows,
    ) -> Result<(), Stopped<E>> {
        let between = Between { from: after, to: before, changed: pages };
        let is_ddl = self.owners.changes_schema(&between, &self.catalog)?;
        if is_ddl || pages.len() > MANY_PAGES {
            let earlier = Catalog::read(before)?;
            // The freelist is another one than where the schema was read.
            self.catalog.header = database::header(after)?;
            if is_ddl {
                schema(&earlier, &self.catalog).map_err(Stopped::Taker)?;
            }
            let state = State { pages: before, catalog: &earlier };
            let later = State { pages: after, catalog: &self.catalog };
            let comparison = Comparison::new(state, later, &ChangedPages::These(pages.clone()))?;
            for table in &comparison.tables {
                compare(before, after, table, &self.catalog, visit, done)?;
            }
            let owners = Owners::learn(before, &earlier)?;
            *self = Self { catalog: earlier, owners, leaf_of: None };
            return Ok(());
        }
        let step = self.owners.step(&between)?;
        let mut trees = step.trees;
        self.add_overwritten(after, &step.unowned, &mut trees)?;
        for (number, Sides { from, to }) in trees {
            let Some(tree) = self.owners.tree(number) else { continue };
            let Some(table) = tree.table.and_then(|place| self.catalog.tables.get(place)) else {
                continue;
            };
            let pair = TablePair { before: Some(table), after: Some(table) };
            let sorted = |pages, list| in_order(pages, tree.kind, list);
            let lists = sorted(before, to.clone()).and_then(|before| {
                Ok(TablePages { before, after: sorted(after, from)?, ..TablePages::default() })
            });
            match lists {
                Ok(lists) => {
                    compare(before, after, &(pair, lists), &self.catalog, visit, done)?;
                }
                Err(error) => not_known(pair.name(), &self.catalog, Stopped::Rows(error), done)?,
            }
            if let Some(leaf_of) = &mut self.leaf_of {
                enter_chains(before, tree.kind, &to, leaf_of)?;
            }
        }
        Ok(())
    }

    /// Adds leaves that stayed as they are while an overflow page of one of their rows changed.
    fn add_overwritten(
        &mut self,
        after: &dyn Pages,
        unowned: &[Pgno],
        trees: &mut BTreeMap<TreeNo, Sides>,
    ) -> Result<(), Error> {
        let page_size = after.page_size();
        let header = &self.catalog.header;
        let usable = page_size.in_memory() - usize::from(header.reserved_bytes);
        let is_other = |page: &Pgno| {
            *page == page_size.lock_byte_page()
                || header.largest_root != 0 && is_pointer_map(page_size, usable, *page)
        };
        let size_pages = after.size_pages()?;
        let open: Vec<Pgno> = unowned
            .iter()
            .copied()
            .filter(|page| page.0 <= size_pages && !is_other(page))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        if self.leaf_of.is_none() {
            let mut leaf_of = HashMap::new();
            for tree in self.owners.trees.iter().filter(|tree| tree.table.is_some()) {
                let found = TreePages::read(after, tree.root, tree.kind)?;
                let with_rows = [found.interior, found.leaves].concat();
                enter_chains(after, tree.kind, &with_rows, &mut leaf_of)?;
            }
            self.leaf_of = Some(leaf_of);
        }
        let Some(leaf_of) = &self.leaf_of else { return Ok(()) };
        let leaves: HashSet<Pgno> =
            open.iter().filter_map(|page| leaf_of.get(page).copied()).collect();
        for leaf in leaves {
            let Some(tree) = self.owners.tree_of(leaf) else { continue };
            let sides = trees.entry(tree).or_default();
            if !sides.from.contains(&leaf) && !sides.to.contains(&leaf) {
                sides.from.push(leaf);
                sides.to.push(leaf);
            }
        }
        Ok(())
    }
}

/// Tells `visit` of the rows of a table that differ, and counts them.
fn compare<E: From<Error>>(
    before: &dyn Pages,
    after: &dyn Pages,
    table: &(TablePair<'_>, TablePages),
    catalog: &Catalog,
    visit: &mut dyn FnMut(&TablePair<'_>, RowEvent) -> Result<(), E>,
    done: &mut TransactionRows,
) -> Result<(), Stopped<E>> {
    let pair = &table.0;
    let mut counts = TableCounts::default();
    let told = visit_rows(before, after, table, &mut |event| {
        counts.count(event.op());
        visit(pair, event).map_err(Stopped::Taker)
    });
    match told {
        Ok(()) if counts.total() == 0 => {}
        Ok(()) => done.tables.push(acts(pair.name(), catalog, Some(counts))),
        Err(stopped) => not_known(pair.name(), catalog, stopped, done)?,
    }
    Ok(())
}

fn acts(name: &str, catalog: &Catalog, counts: Option<TableCounts>) -> TableActs {
    let shadow_of = catalog.shadowed_by(name).map(|entry| entry.name.clone());
    TableActs { name: name.to_owned(), shadow_of, counts }
}

/// Of a table, rows are gone or damaged: others may be known all the same.
fn not_known<E: From<Error>>(
    name: &str,
    catalog: &Catalog,
    stopped: Stopped<E>,
    done: &mut TransactionRows,
) -> Result<(), Stopped<E>> {
    done.loss = Some(stopped.loss().map_err(Stopped::Taker)?);
    done.tables.push(acts(name, catalog, None));
    Ok(())
}

/// Pages of a table in the order of their rows; of others, as they are.
fn in_order(pages: &dyn Pages, kind: TreeKind, list: Vec<Pgno>) -> Result<Vec<Pgno>, Error> {
    if kind != TreeKind::Table || list.len() < 2 {
        return Ok(list);
    }
    let mut rows = PageRows::new(pages, kind, &[])?;
    let mut keyed = Vec::with_capacity(list.len());
    for page in list {
        keyed.push((rows.first_row_id(page)?, page));
    }
    keyed.sort_unstable();
    Ok(keyed.into_iter().map(|(_, page)| page).collect())
}

/// Enters the overflow pages of all rows on `list`, as far as they can be read.
fn enter_chains(
    pages: &dyn Pages,
    kind: TreeKind,
    list: &[Pgno],
    leaf_of: &mut HashMap<Pgno, Pgno>,
) -> Result<(), Error> {
    let mut rows = PageRows::new(pages, kind, list)?;
    let mut chain = Vec::new();
    loop {
        match rows.next_row(|page| chain.push(page)) {
            Ok(Some(ReadRow::Row(row))) => {
                leaf_of.extend(chain.drain(..).map(|page| (page, row.page)));
            }
            Ok(Some(ReadRow::Unreadable(_))) => chain.clear(),
            Ok(None) | Err(ReadError::Gone { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
