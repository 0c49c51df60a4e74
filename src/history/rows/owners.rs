//! Which b-tree each page belongs to, kept up from state to state.
//!
//! An interior page names its children, so only interior pages that changed have to be read again.
//! Neither direction of time is preferred: whoever knows the owners of one state gets those of the
//! next one, or of the one before.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::database::{EntryKind, Error as ReadError, Pages, TreeKind, TreePages, page_children};
use crate::format::Pgno;
use crate::history::page_map::PageMap;

use super::Error;
use super::table::Catalog;

/// A b-tree of a state, by its place in a list that does not change as long as the schema does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TreeNo(u32);

impl TreeNo {
    /// Nobody.
    const NONE: Self = Self(u32::MAX);
    /// The schema itself.
    pub(super) const SCHEMA: Self = Self(0);

    /// Its place in [`Owners::trees`].
    pub(super) fn place(self) -> usize {
        self.0 as usize
    }
}

/// A b-tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub root: Pgno,
    pub kind: TreeKind,
    /// The place of its table among those of the catalog; `None` for the schema and for indexes.
    pub table: Option<usize>,
}

/// The owners of all pages in one state.
pub(super) struct Owners {
    pub trees: Vec<Tree>,
    of: PageMap<TreeNo>,
}

/// Pages of a tree that have to be read on either side of a step.
#[derive(Default)]
pub(super) struct Sides {
    /// In the state that was known.
    pub from: Vec<Pgno>,
    /// In the state that the step leads to.
    pub to: Vec<Pgno>,
}

/// What a step found.
pub(super) struct Step {
    /// By tree, the pages that changed, left it or came to it.
    pub trees: BTreeMap<TreeNo, Sides>,
    /// Changed pages that are of no tree in either state.
    pub unowned: Vec<Pgno>,
}

/// The two states of a step, and the pages whose images differ.
pub(super) struct Between<'s> {
    pub from: &'s dyn Pages,
    pub to: &'s dyn Pages,
    pub changed: &'s HashSet<Pgno>,
}

impl Owners {
    /// The owners in the state of `catalog`, learned from its interior pages.
    pub(super) fn learn(pages: &dyn Pages, catalog: &Catalog) -> Result<Self, Error> {
        let mut trees = vec![Tree { root: Pgno::FIRST, kind: TreeKind::Table, table: None }];
        for (place, table) in catalog.tables.iter().enumerate() {
            trees.push(Tree { root: table.root, kind: table.kind, table: Some(place) });
        }
        let indexes = catalog.schema.entries.iter().filter(|it| it.kind == EntryKind::Index);
        trees.extend(indexes.map(|index| {
            let root = Pgno(u32::try_from(index.root).unwrap_or_default());
            Tree { root, kind: TreeKind::Index, table: None }
        }));
        let mut owners = Self { trees: Vec::new(), of: PageMap::default() };
        if pages.size_pages()? == 0 {
            return Ok(owners);
        }
        for (tree, number) in trees.iter().zip((0..).map(TreeNo)) {
            let found = TreePages::read(pages, tree.root, tree.kind)?;
            let name = |tree: &Tree| {
                let table = tree.table.and_then(|place| catalog.tables.get(place));
                table.map_or("sqlite_schema", |table| &table.name).to_owned()
            };
            if let (Some(&page), false) = (found.unreadable.first(), tree.kind == TreeKind::Index) {
                return Err(Error::Unreadable { table: name(tree), page });
            }
            for &page in found.interior.iter().chain(&found.leaves) {
                let other = owners.tree_of(page).and_then(|other| trees.get(other.place()));
                // Pages of two indexes have no rows that are told.
                let both = other.map(|other| [tree, other]);
                let of_table = |tree: &&&Tree| tree.kind != TreeKind::Index;
                if let Some(shared) = both.as_ref().and_then(|both| both.iter().find(of_table)) {
                    return Err(Error::Shared { table: name(shared), page });
                }
                owners.of.insert(page, number);
            }
        }
        owners.trees = trees;
        Ok(owners)
    }

    /// The tree of `page`.
    pub(super) fn tree_of(&self, page: Pgno) -> Option<TreeNo> {
        self.of.get(page).copied().filter(|tree| *tree != TreeNo::NONE)
    }

    /// All trees, with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (&Tree, TreeNo)> {
        self.trees.iter().zip((0..).map(TreeNo))
    }

    pub(super) fn tree(&self, number: TreeNo) -> Option<&Tree> {
        self.trees.get(number.place())
    }

    /// Whether a row of the schema differs. `catalog` is that of the state that is known.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub(super) fn changes_schema(
        &self,
        between: &Between<'_>,
        catalog: &Catalog,
    ) -> Result<bool, Error> {
        let Between { from, to, changed } = *between;
        let of_schema =
            |page: &&Pgno| self.trees.is_empty() || self.tree_of(**page) == Some(TreeNo::SCHEMA);
        for &page in changed.iter().filter(of_schema) {
            if page != Pgno::FIRST || to.size_pages()? == 0 {
                return Ok(true);
            }
            let bytes = to.page_size().in_memory();
            let (mut ours, mut theirs) = (vec![0; bytes], vec![0; bytes]);
            to.read(page, &mut ours)?;
            from.read(page, &mut theirs)?;
            // What comes after the database header is the root page of the schema.
            let root = 100..bytes - usize::from(catalog.header.reserved_bytes);
            if ours.get(root.clone()) != theirs.get(root) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Goes from the state that is known to another with the same schema.
    ///
    /// # Errors
    /// When a page that tells what trees others are of cannot be read.
    pub(super) fn step(&mut self, between: &Between<'_>) -> Result<Step, Error> {
        let mut moving = Moving { owners: self, between, before: HashMap::new() };
        let removed = moving.let_go()?;
        moving.take()?;
        moving.let_go_below(removed)?;
        let before = moving.before;
        let mut step = Step { trees: BTreeMap::new(), unowned: Vec::new() };
        let touched: HashSet<Pgno> = between.changed.iter().chain(before.keys()).copied().collect();
        let mut touched: Vec<Pgno> = touched.into_iter().collect();
        touched.sort_unstable();
        for page in touched {
            let now = self.tree_of(page);
            let then = match before.get(&page) {
                Some(tree) => Some(*tree).filter(|tree| *tree != TreeNo::NONE),
                None => now,
            };
            let is_read = between.changed.contains(&page) || now != then;
            if let Some(tree) = then.filter(|_| is_read) {
                step.trees.entry(tree).or_default().from.push(page);
            }
            if let Some(tree) = now.filter(|_| is_read) {
                step.trees.entry(tree).or_default().to.push(page);
            }
            if now.is_none() && then.is_none() {
                step.unowned.push(page);
            }
        }
        Ok(step)
    }
}

struct Moving<'o, 's> {
    owners: &'o mut Owners,
    between: &'s Between<'s>,
    /// The trees that touched pages were of.
    before: HashMap<Pgno, TreeNo>,
}

impl Moving<'_, '_> {
    /// Gives `page` to a tree; returns the one that it was of before the step.
    fn set(&mut self, page: Pgno, tree: TreeNo) -> TreeNo {
        let was = self.owners.of.get(page).copied().unwrap_or(TreeNo::NONE);
        self.owners.of.insert(page, tree);
        *self.before.entry(page).or_insert(was)
    }

    fn kind_of(&self, tree: TreeNo) -> TreeKind {
        self.owners.tree(tree).map_or(TreeKind::Table, |tree| tree.kind)
    }

    fn is_root(&self, page: Pgno, tree: TreeNo) -> bool {
        self.owners.tree(tree).is_some_and(|tree| tree.root == page)
    }

    /// The changed pages, in an order that is the same in every run: the first that cannot be read
    /// is told.
    fn changed(&self) -> Vec<Pgno> {
        let mut changed: Vec<Pgno> = self.between.changed.iter().copied().collect();
        changed.sort_unstable();
        changed
    }

    /// Takes the children of changed interior pages from their trees.
    fn let_go(&mut self) -> Result<Vec<(Pgno, TreeNo)>, Error> {
        let mut removed = Vec::new();
        let changed = self.changed().into_iter();
        let owned: Vec<(Pgno, TreeNo)> =
            changed.filter_map(|page| Some((page, self.owners.tree_of(page)?))).collect();
        for (page, tree) in owned {
            let children = page_children(self.between.from, page, self.kind_of(tree))?;
            for child in children.unwrap_or_default() {
                self.set(child, TreeNo::NONE);
                removed.push((child, tree));
            }
        }
        Ok(removed)
    }

    /// Gives the children that changed pages have in the other state to their trees.
    fn take(&mut self) -> Result<(), Error> {
        let mut work = self.changed();
        work.retain(|&page| self.owners.tree_of(page).is_some());
        let mut done = HashSet::new();
        while let Some(page) = work.pop() {
            let Some(tree) = self.owners.tree_of(page) else { continue };
            if !done.insert(page) {
                continue;
            }
            for child in self.children_there(page, tree)? {
                let was = self.set(child, tree);
                if self.between.changed.contains(&child) {
                    work.push(child);
                } else if was != tree {
                    let kind = self.kind_of(tree);
                    let below = TreePages::read(self.between.to, child, kind)?;
                    // A page that cannot be read is said where it counts, as above.
                    let pages = below.interior.into_iter().chain(below.leaves);
                    for page in pages.chain(below.unreadable) {
                        self.set(page, tree);
                    }
                }
            }
        }
        Ok(())
    }

    /// The children of a changed page in the state that the step leads to.
    fn children_there(&self, page: Pgno, tree: TreeNo) -> Result<Vec<Pgno>, Error> {
        let kind = self.kind_of(tree);
        match page_children(self.between.to, page, kind) {
            Ok(Some(children)) => Ok(children),
            // It is said where it counts: whoever reads its rows finds the same.
            Ok(None) => Ok(Vec::new()),
            // Its parent stayed as it is, so the level of its children did.
            Err(ReadError::Gone { .. })
                if !self.is_root(page, tree)
                    && !self.before.contains_key(&page)
                    && page_children(self.between.from, page, kind)?
                        .is_some_and(|children| children.is_empty()) =>
            {
                Ok(Vec::new())
            }
            // Of an index, only the pages are wanted, and one that is not known is of no table.
            Err(ReadError::Gone { .. }) if kind == TreeKind::Index => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// What was below a page that has left its tree has left it, too, unless it was taken up again.
    fn let_go_below(&mut self, removed: Vec<(Pgno, TreeNo)>) -> Result<(), Error> {
        let is_gone = |it: &Self, page| it.owners.tree_of(page).is_none();
        let mut gone: Vec<(Pgno, TreeNo)> =
            removed.into_iter().filter(|(page, _)| is_gone(self, *page)).collect();
        while let Some((page, tree)) = gone.pop() {
            // The children of a changed page were let go already.
            if self.between.changed.contains(&page) {
                continue;
            }
            let children = page_children(self.between.from, page, self.kind_of(tree))?;
            for child in children.unwrap_or_default() {
                let is_left = self.owners.tree_of(child) == Some(tree);
                if is_left && !self.before.contains_key(&child) {
                    self.set(child, TreeNo::NONE);
                    gone.push((child, tree));
                }
            }
        }
        Ok(())
    }
}
