//! What a page is of.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use crate::database::{EntryKind, Pages, TreeKind};
use crate::format::Pgno;

use super::Error;
use super::owners::{Owners, Tree};
use super::table::Catalog;

/// The b-tree that a page is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TreeName {
    /// The name of the table or index; `sqlite_schema` for the schema.
    pub name: String,
    /// What it is.
    pub kind: TreeKind,
}

/// The b-tree that `page` is of in a state; `None` for pages of none, overflow pages among them.
///
/// # Errors
/// When a page cannot be read, or is not what its tree says.
pub fn tree_of(pages: &dyn Pages, page: Pgno) -> Result<Option<TreeName>, Error> {
    let catalog = Catalog::read(pages)?;
    let owners = Owners::learn(pages, &catalog)?;
    let tree = owners.tree_of(page).and_then(|number| owners.tree(number));
    Ok(tree.and_then(|tree| name_of(tree, &catalog)))
}

/// The tables of which a page of `of` is, of their own b-tree or of an index of theirs;
/// `sqlite_schema` for the schema. Overflow pages are not looked up.
///
/// # Errors
/// When a page cannot be read, or is not what its tree says.
pub fn tables_of(pages: &dyn Pages, of: &HashSet<Pgno>) -> Result<BTreeSet<String>, Error> {
    let catalog = Catalog::read(pages)?;
    let owners = Owners::learn(pages, &catalog)?;
    let trees = of.iter().filter_map(|page| owners.tree(owners.tree_of(*page)?));
    let names = trees.filter_map(|tree| name_of(tree, &catalog)).map(|tree| {
        let mut entries = catalog.schema.entries.iter();
        let index = entries.find(|it| it.kind == EntryKind::Index && it.name == tree.name);
        match index.filter(|_| tree.kind == TreeKind::Index) {
            Some(index) => index.table.clone(),
            None => tree.name,
        }
    });
    Ok(names.collect())
}

/// The name of a b-tree in the state of `catalog`.
pub(super) fn name_of(tree: &Tree, catalog: &Catalog) -> Option<TreeName> {
    let name = match (tree.table, tree.kind) {
        (Some(place), _) => catalog.tables.get(place)?.name.clone(),
        (None, TreeKind::Index) => {
            let root = i64::from(tree.root.0);
            let mut entries = catalog.schema.entries.iter();
            entries.find(|it| it.kind == EntryKind::Index && it.root == root)?.name.clone()
        }
        (None, TreeKind::Table | TreeKind::WithoutRowid) => "sqlite_schema".to_owned(),
    };
    Some(TreeName { name, kind: tree.kind })
}
