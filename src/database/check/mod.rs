//! Is a database image sound? Checked without SQLite, page by page.
//!
//! What `PRAGMA integrity_check` says of the b-trees, the freelist, the pointer map and the schema
//! (btree.c sqlite3BtreeIntegrityCheck, checkTreePage, checkList, checkPtrmap), over any [`Pages`]:
//! a file, or a file with a log over it. No page is looked at twice, so garbage ends; memory is
//! bounded by the pages that are used, not by what a header promises.
//!
//! DIFFERS: not judged, because it needs the SQL of the schema: NOT NULL, CHECK, UNIQUE, declared
//! types. What else of a database is not looked at is listed with the result ([`Unchecked`]).

use serde::Serialize;

use crate::database::{Error, Pages, Schema, TreeKind};
use crate::format::Pgno;
use crate::scan::Watch;

mod ahead;
mod automatic;
mod chain;
mod checker;
mod entries;
mod key_order;
mod owners;
mod page;
mod page_rules;
mod pass;
mod pointer_map;
mod problem;
mod tree;
mod unchecked;

pub use owners::{Owner, Owners};
pub use page_rules::{PageRules, Soundness};
pub use pointer_map::is_pointer_map;
pub use problem::{HeaderField, MAX_PROBLEMS, Problem, StructureFault};
pub use unchecked::Unchecked;

use checker::Checker;

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// Pages of the database, by its header where that is to be trusted.
    pub size_pages: u32,
    /// The first [`MAX_PROBLEMS`] problems.
    pub problems: Vec<Problem>,
    /// How many there are.
    pub problem_count: u64,
    /// Every b-tree that the schema names, the schema itself first.
    pub trees: Vec<Tree>,
    /// What of it was not checked.
    pub unchecked: Vec<Unchecked>,
    /// Who uses each page.
    #[serde(skip)]
    pub owners: Owners,
}

/// A b-tree of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tree {
    /// Name of the table or index.
    pub name: String,
    /// The table; its own name for a table.
    pub table: String,
    /// Table or index.
    pub kind: TreeKind,
    /// Its root page.
    pub root: Pgno,
    /// Its b-tree pages; overflow pages are told by [`Health::owners`].
    pub pages: u32,
    /// Rows of a table, entries of an index, as far as they could be read.
    pub rows: u64,
}

impl Health {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    /// The table or index that uses `page`, or what else does; `None` where nobody is known to.
    #[must_use]
    pub fn owner_name(&self, page: Pgno) -> Option<String> {
        let tree = |root: Pgno| {
            let tree = self.trees.iter().find(|tree| tree.root == root)?;
            let kind = if tree.kind.is_table() { "table" } else { "index" };
            Some(format!("{kind} {}", tree.name))
        };
        match self.owners.of(page) {
            Owner::Unknown => None,
            Owner::LockByte => Some("the lock bytes".to_owned()),
            Owner::PointerMap => Some("the pointer map".to_owned()),
            Owner::FreelistTrunk | Owner::FreelistLeaf => Some("the freelist".to_owned()),
            Owner::Btree(root) | Owner::Overflow(root) => tree(root),
        }
    }

    /// The tables, the schema table first.
    pub fn tables(&self) -> impl Iterator<Item = &Tree> {
        self.trees.iter().filter(|tree| tree.kind.is_table())
    }
}

/// Checks the database that `pages` are.
///
/// # Errors
/// When a page cannot be read, or the watcher stops it. Whatever the pages hold is no error.
pub fn check(pages: &dyn Pages, watch: &dyn Watch) -> Result<Health, Error> {
    check_with(pages, Entries::Compared, watch)
}

/// The same without the values of the entries of indexes and the order of keys, as `PRAGMA
/// quick_check` does it.
///
/// # Errors
/// As [`check`].
pub fn quick_check(pages: &dyn Pages, watch: &dyn Watch) -> Result<Health, Error> {
    check_with(pages, Entries::LeftOut, watch)
}

/// Whether the entries of indexes are compared with each other and with the rows of their tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    Compared,
    LeftOut,
}

fn check_with(pages: &dyn Pages, entries: Entries, watch: &dyn Watch) -> Result<Health, Error> {
    let mut checker = Checker::new(pages, entries, watch)?;
    if !checker.header() {
        return Ok(checker.finish());
    }
    let schema = Schema::read(pages)?;
    checker.schema(&schema);
    if entries == Entries::LeftOut {
        checker.leave_entries_out();
    }
    checker.pass.freelist()?;
    checker.roots()?;
    checker.trees()?;
    checker.counts();
    checker.unused();
    Ok(checker.finish())
}

/// Checks the header and the b-tree of the schema, and nothing else: all that SQLite reads before
/// the first row of a table.
///
/// # Errors
/// As [`check`].
pub fn check_schema(pages: &dyn Pages, watch: &dyn Watch) -> Result<Health, Error> {
    let mut checker = Checker::new(pages, Entries::Compared, watch)?;
    if checker.header() {
        checker.schema(&Schema::default());
        checker.trees()?;
    }
    Ok(checker.finish())
}
