//! Rows that differ between two states of a database.
//!
//! Only pages whose images differ are read, and interior pages, which tell what tree a page is of:
//! a leaf that both trees of a table have with one image has the same rows in both. Rows are
//! compared by their key over all other pages of the table, so rows that moved from page to page
//! cancel out. A row whose overflow pages were overwritten while its leaf stayed is found by one
//! pass over the leaves, where pages are left that nothing else explains.

use std::collections::HashSet;

use serde::Serialize;

use crate::database;
use crate::format::Pgno;

mod acts;
mod changeset;
mod compare;
mod event;
mod frame_trees;
mod key;
mod overwritten;
mod owners;
mod pages;
mod schema_changes;
mod script;
mod step;
mod table;
mod transactions;
mod tree_of;
mod unlike;

pub use acts::{Loss, TableActs, TransactionRows};
pub use changeset::{SetFormat, put_table};
pub use compare::visit_rows;
pub use event::{Op, RowEvent, TableCounts};
pub use frame_trees::FrameTrees;
pub use pages::{Comparison, Missing};
pub use schema_changes::{SchemaChange, schema_changes};
pub use script::{Where, Written, put_script};
pub use step::Visit;
pub use table::{Catalog, State, Table, TablePages, TablePair, pairs};
pub use transactions::Backward;
pub use tree_of::{TreeName, tables_of, tree_of};
pub use unlike::unlike_pages;

/// Pages whose images differ, or may differ, between two states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedPages {
    /// These, and no others.
    These(HashSet<Pgno>),
    /// Any: the states have nothing in common but their tables.
    All,
}

impl ChangedPages {
    /// Whether `page` is one of them.
    #[must_use]
    pub fn contains(&self, page: Pgno) -> bool {
        match self {
            Self::These(pages) => pages.contains(&page),
            Self::All => true,
        }
    }
}

/// Something that an output does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The name of the table.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Why rows could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error(transparent)]
    Pages(#[from] database::Error),
    /// A row of the schema says nothing that SQLite would understand.
    #[error("row {row_id} of sqlite_schema cannot be understood")]
    Schema {
        /// Its row id.
        row_id: i64,
    },
    /// A page of a table is none of its b-tree, or has a row that cannot be read.
    #[error("page {page} of table {table} cannot be read as rows")]
    Unreadable {
        /// The table.
        table: String,
        /// The page.
        page: Pgno,
    },
    /// A page of a table is of another b-tree, too: what changes in it changes in both.
    #[error("page {page} of table {table} is a page of another table or index, too")]
    Shared {
        /// The table.
        table: String,
        /// The page.
        page: Pgno,
    },
    /// A script asks for all values of the rows that it changes, and a table is written anew.
    #[error(
        "table {table} would be written anew, since its definition differs or its rows have no \
         name: rows that were changed since would be lost"
    )]
    WrittenAnew {
        /// The table.
        table: String,
    },
    /// Rows end before a column whose default is not a literal.
    #[error("table {table}: the default of a column that was added later is no literal")]
    UnknownDefault {
        /// The table.
        table: String,
    },
}
