//! One step back: the rows that differ between the state before a transaction and the one after it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::database::{self, PageRows, Pages, ReadRow, TreeKind, TreePages, is_pointer_map};
use crate::format::Pgno;

use super::acts::{Loss, Stopped, TableActs, TransactionRows};
use super::compare::{count_rows, visit_rows};
use super::event::{RowEvent, TableCounts};
use super::owners::{Between, Owners, Sides, TreeNo};
use super::pages::Comparison;
use super::table::{Catalog, State, TablePages, TablePair};
use super::{ChangedPages, Error};

/// More changed pages than this are read in the order of their tables, not held.
const MANY_PAGES: usize = 8192;

/// Who is told of rows, each with its table.
pub type Visit<'v, E> = dyn FnMut(&TablePair<'_>, RowEvent) -> Result<(), E> + 'v;

/// What is known of one state: whose its pages are.
pub(super) struct Known {
    catalog: Catalog,
    owners: Owners,
    /// `None` as long as nobody has asked.
    chains: Option<Chains>,
}

/// The overflow pages of all tables.
#[derive(Default)]
struct Chains {
    /// The leaf of each.
    leaf_of: HashMap<Pgno, Pgno>,
    /// Those of each leaf that has some.
    of_leaf: HashMap<Pgno, Vec<Pgno>>,
    /// Those of rows of several leaves.
    shared: HashSet<Pgno>,
    /// Trees of which rows cannot be read, and why: these may be on any other page.
    unknown: BTreeMap<TreeNo, Loss>,
}

impl Known {
    /// Learns it.
    pub(super) fn of(pages: &dyn Pages) -> Result<Self, Error> {
        let catalog = Catalog::read(pages)?;
        let owners = Owners::learn(pages, &catalog)?;
        Ok(Self { catalog, owners, chains: None })
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Goes from the state `after` to the one `before`, between which `pages` differ: tells the
    /// rows that differ, or where nobody asks for them, only counts them.
    pub(super) fn go_back<E: From<Error>>(
        &mut self,
        (before, after): (&dyn Pages, &dyn Pages),
        pages: &HashSet<Pgno>,
        schema: &mut dyn FnMut(&Catalog, &Catalog) -> Result<(), E>,
        mut visit: Option<&mut Visit<'_, E>>,
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
                compare(before, after, table, &self.catalog, visit.as_deref_mut(), done)?;
            }
            let owners = Owners::learn(before, &earlier)?;
            *self = Self { catalog: earlier, owners, chains: None };
            return Ok(());
        }
        let step = self.owners.step(&between)?;
        let mut trees = step.trees;
        let mut unknown = self.add_overwritten(after, &step.unowned, &mut trees)?;
        if let Some(chains) = &mut self.chains {
            // All of them first: a page that leaves one tree may come to another.
            trees.values().for_each(|sides| chains.forget(&sides.from));
        }
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
                _ if let Some(loss) = unknown.remove(&number) => {
                    done.loss = Some(loss);
                    done.tables.push(acts(pair.name(), &self.catalog, None));
                }
                Ok(lists) => {
                    let (table, visit) = (&(pair, lists), visit.as_deref_mut());
                    compare(before, after, table, &self.catalog, visit, done)?;
                }
                Err(error) => not_known(pair.name(), &self.catalog, Stopped::Rows(error), done)?,
            }
            if let Some(chains) = &mut self.chains {
                chains.enter(before, (number, tree.kind, pair.name()), &to)?;
            }
        }
        Ok(())
    }

    /// Adds leaves that stayed as they are while an overflow page of one of their rows changed.
    /// Returns trees that may have such a leaf among those that cannot be read, and why; they are
    /// in `trees`, too.
    fn add_overwritten(
        &mut self,
        after: &dyn Pages,
        unowned: &[Pgno],
        trees: &mut BTreeMap<TreeNo, Sides>,
    ) -> Result<BTreeMap<TreeNo, Loss>, Error> {
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
            return Ok(BTreeMap::new());
        }
        let chains = match &mut self.chains {
            Some(chains) => chains,
            none => none.insert(Chains::of(after, &self.catalog, &self.owners)?),
        };
        let mut is_explained = true;
        let mut leaves = BTreeSet::new();
        for page in &open {
            match chains.leaf_of.get(page) {
                Some(leaf) if !chains.shared.contains(page) => {
                    leaves.insert(*leaf);
                }
                Some(_) | None => is_explained = false,
            }
        }
        for leaf in leaves {
            let Some(tree) = self.owners.tree_of(leaf) else { continue };
            let sides = trees.entry(tree).or_default();
            if !sides.from.contains(&leaf) && !sides.to.contains(&leaf) {
                sides.from.push(leaf);
                sides.to.push(leaf);
            }
        }
        if is_explained {
            return Ok(BTreeMap::new());
        }
        for tree in chains.unknown.keys() {
            trees.entry(*tree).or_default();
        }
        Ok(chains.unknown.clone())
    }
}

impl Chains {
    /// Those of all rows of a state.
    fn of(pages: &dyn Pages, catalog: &Catalog, owners: &Owners) -> Result<Self, Error> {
        let mut chains = Self::default();
        for (tree, number) in owners.numbered() {
            let Some(table) = tree.table.and_then(|place| catalog.tables.get(place)) else {
                continue;
            };
            match TreePages::read(pages, tree.root, tree.kind) {
                Ok(found) => {
                    let with_rows = [found.interior, found.leaves].concat();
                    chains.enter(pages, (number, tree.kind, &table.name), &with_rows)?;
                    let table = table.name.clone();
                    let lost = found.unreadable.first();
                    if let Some(&page) = lost {
                        chains.lose(number, Error::Unreadable { table, page })?;
                    }
                }
                Err(error) => chains.lose(number, error.into())?,
            }
        }
        Ok(chains)
    }

    /// Enters the overflow pages of all rows on `list`, pages of a tree, as far as they can be
    /// read.
    fn enter(
        &mut self,
        pages: &dyn Pages,
        (number, kind, name): (TreeNo, TreeKind, &str),
        list: &[Pgno],
    ) -> Result<(), Error> {
        let mut rows = PageRows::new(pages, kind, list)?;
        let mut chain = Vec::new();
        loop {
            match rows.next_row(|page| chain.push(page)) {
                Ok(Some(ReadRow::Row(row))) => {
                    if !chain.is_empty() {
                        self.of_leaf.entry(row.page).or_default().extend(&chain);
                    }
                    for page in chain.drain(..) {
                        let other = self.leaf_of.insert(page, row.page);
                        if other.is_some_and(|other| other != row.page) {
                            self.shared.insert(page);
                            let table = name.to_owned();
                            self.lose(number, Error::Shared { table, page })?;
                        }
                    }
                }
                Ok(Some(ReadRow::Unreadable(page))) => {
                    chain.clear();
                    let table = name.to_owned();
                    self.lose(number, Error::Unreadable { table, page })?;
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    chain.clear();
                    self.lose(number, error.into())?;
                }
            }
        }
    }

    /// Forgets the rows of leaves: a page that they have left may be of a row that is not known.
    fn forget(&mut self, leaves: &[Pgno]) {
        for leaf in leaves {
            for page in self.of_leaf.remove(leaf).unwrap_or_default() {
                if self.leaf_of.get(&page) == Some(leaf) {
                    self.leaf_of.remove(&page);
                }
            }
        }
    }

    /// A row of a tree cannot be read.
    fn lose(&mut self, tree: TreeNo, why: Error) -> Result<(), Error> {
        let loss = Stopped::<Error>::Rows(why).loss()?;
        self.unknown.entry(tree).or_insert(loss);
        Ok(())
    }
}

/// Tells `visit` of the rows of a table that differ, and counts them.
fn compare<E: From<Error>>(
    before: &dyn Pages,
    after: &dyn Pages,
    table: &(TablePair<'_>, TablePages),
    catalog: &Catalog,
    visit: Option<&mut Visit<'_, E>>,
    done: &mut TransactionRows,
) -> Result<(), Stopped<E>> {
    let pair = &table.0;
    let counted = match visit {
        None => count_rows(before, after, table).map_err(Stopped::Rows),
        Some(visit) => {
            let mut counts = TableCounts::default();
            let told = visit_rows(before, after, table, &mut |event| {
                counts.count(event.op());
                visit(pair, event).map_err(Stopped::Taker)
            });
            told.map(|()| counts)
        }
    };
    match counted {
        Ok(counts) if counts.total() == 0 => {}
        Ok(counts) => done.tables.push(acts(pair.name(), catalog, Some(counts))),
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
    let rows = PageRows::new(pages, kind, &[])?;
    let mut keyed = Vec::with_capacity(list.len());
    for page in list {
        keyed.push((rows.first_row_id(page)?, page));
    }
    keyed.sort_unstable();
    Ok(keyed.into_iter().map(|(_, page)| page).collect())
}
