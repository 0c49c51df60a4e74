//! What is wrong with a database.

use std::fmt;

use serde::Serialize;

use crate::format::database_header::DatabaseHeaderFault;
use crate::format::{PageKind, Pgno};

/// Most problems that are listed; the others are counted (`SQLITE_INTEGRITY_CHECK_ERROR_MAX`).
pub const MAX_PROBLEMS: usize = 100;

/// A problem, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The page that it was found on.
    pub page: Option<Pgno>,
    /// Root of the b-tree that the page was reached from.
    pub root: Option<Pgno>,
    /// Name of the table or index of that b-tree.
    pub name: Option<String>,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: StructureFault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(page) = self.page {
            write!(f, "page {page}")?;
        }
        match (&self.name, self.page) {
            (Some(name), Some(_)) => write!(f, " of {name}: ")?,
            (Some(name), None) => write!(f, "{name}: ")?,
            (None, Some(_)) => write!(f, ": ")?,
            (None, None) => {}
        }
        self.fault.fmt(f)
    }
}

/// A field of the database header (fileformat2.html section 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderField {
    /// Offset 0.
    Magic,
    /// Offset 16: no page size, or not that of the pages.
    PageSize,
    /// Offset 19.
    ReadVersion,
    /// Offset 20.
    ReservedBytes,
    /// Offset 21.
    PayloadFractions,
    /// Offset 44.
    SchemaFormat,
}

impl From<DatabaseHeaderFault> for HeaderField {
    fn from(fault: DatabaseHeaderFault) -> Self {
        match fault {
            DatabaseHeaderFault::Magic => Self::Magic,
            DatabaseHeaderFault::PageSize => Self::PageSize,
            DatabaseHeaderFault::ReadVersion => Self::ReadVersion,
            DatabaseHeaderFault::PayloadFractions => Self::PayloadFractions,
            DatabaseHeaderFault::ReservedBytes => Self::ReservedBytes,
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum StructureFault {
    /// SQLite refuses the file (btree.c lockBtree).
    #[error("the database header has a wrong {field:?}")]
    Header {
        /// The field.
        field: HeaderField,
    },
    /// The header counts more pages than there are: SQLite refuses the file.
    #[error("the header counts {header_pages} pages, but there are {size_pages}")]
    PageCount {
        /// Pages by the header.
        header_pages: u32,
        /// Pages that are there.
        size_pages: u32,
    },
    /// An auto-vacuum database knows its largest root page.
    #[error("the header names root page {header} as the largest, but it is {largest}")]
    LargestRoot {
        /// By the header.
        header: u32,
        /// By the schema.
        largest: u32,
    },
    /// Incremental vacuum without a pointer map.
    #[error("incremental vacuum is on without auto-vacuum")]
    IncrementalVacuum,
    /// A row of the schema says nothing that could be understood.
    #[error("row {row_id} of the schema cannot be understood")]
    SchemaEntry {
        /// Its row id.
        row_id: i64,
    },
    /// A table or index whose root page cannot be.
    #[error("root page {root} cannot be")]
    RootPage {
        /// The root page by the schema.
        root: i64,
    },
    /// A row of the schema says another kind, name or table than its statement: SQLite calls the
    /// schema malformed (build.c sqlite3CheckObjectName).
    #[error("its row of the schema and its statement say different things")]
    SchemaRow,
    /// SQLite does not take the statement of a table (build.c sqlite3AddColumn,
    /// sqlite3AddPrimaryKey).
    #[error("its statement has {why}")]
    SchemaStatement {
        /// What there may not be.
        why: &'static str,
    },
    /// A second table, index or view of that name: SQLite calls the schema malformed.
    #[error("the name is there already")]
    SameName,
    /// The constraints of a table need other indexes than the schema has.
    #[error("its constraints need {needed} indexes, and the schema has {found} of such names")]
    AutomaticIndexes {
        /// Indexes of the table without a statement that have the names of such.
        found: usize,
        /// How many its constraints need.
        needed: usize,
    },
    /// An index, and before it in the schema there is no such table.
    #[error("an index of table {table}, which is not in the schema before it")]
    OrphanIndex {
        /// The table.
        table: String,
    },
    /// A page number that is 0 or after the end.
    #[error("there is no page {target}")]
    NoSuchPage {
        /// The number.
        target: Pgno,
    },
    /// The page is used already.
    #[error("page {target} is used already")]
    UsedTwice {
        /// The page.
        target: Pgno,
    },
    /// Nothing refers to the page.
    #[error("never used")]
    NeverUsed,
    /// A page of the pointer map is used for something else.
    #[error("a page of the pointer map is used for something else")]
    PointerMapUsed,
    /// More levels than a b-tree can have.
    #[error("the b-tree is too deep")]
    TooDeep,
    /// The children of a page have different heights.
    #[error("the subtree at page {child} has a different height from those beside it")]
    Height {
        /// The child.
        child: Pgno,
    },
    /// No page of this b-tree.
    #[error("{} where a page of the {} is wanted", found.word(), wanted)]
    Kind {
        /// What it is.
        found: PageKind,
        /// Of what b-tree it should be.
        wanted: &'static str,
    },
    /// A page without cells that is not a root.
    #[error("no cells on a page that is not the root")]
    Empty,
    /// More cells than a page can hold.
    #[error("{cells} cells are more than a page can hold")]
    CellCount {
        /// How many.
        cells: u16,
    },
    /// The start of the cells, the free blocks or their sum cannot be (btreeComputeFreeSpace).
    #[error("the free space does not add up")]
    FreeSpace,
    /// A cell pointer out of range.
    #[error("cell {cell} at offset {offset} is out of range")]
    CellOffset {
        /// Its place.
        cell: usize,
        /// Its offset.
        offset: usize,
    },
    /// A cell that leaves the page.
    #[error("cell {cell} leaves the page")]
    CellOutside {
        /// Its place.
        cell: usize,
    },
    /// The header of a record does not fit its length.
    #[error("the record in cell {cell} does not fit its length")]
    Record {
        /// Its place.
        cell: usize,
    },
    /// Two cells or free blocks share bytes.
    #[error("byte {offset} has several uses")]
    SharedBytes {
        /// The first such byte.
        offset: usize,
    },
    /// The fragments do not add up.
    #[error("{found} bytes in fragments are counted as {stored}")]
    Fragments {
        /// Bytes between cells and free blocks.
        found: usize,
        /// The page's own count.
        stored: u8,
    },
    /// A row id out of order.
    #[error("row id {row_id} in cell {cell} is out of order")]
    RowIdOrder {
        /// Its place.
        cell: usize,
        /// The row id.
        row_id: i64,
    },
    /// A key out of order.
    #[error("the key in cell {cell} is out of order")]
    KeyOrder {
        /// Its place.
        cell: usize,
    },
    /// An overflow chain that is too short or too long.
    #[error("the overflow chain of cell {cell} has {pages} pages instead of {wanted}")]
    OverflowLength {
        /// The cell's place.
        cell: usize,
        /// Pages in the chain.
        pages: u32,
        /// Pages that the payload needs.
        wanted: u32,
    },
    /// A freelist that is too short or too long.
    #[error("the freelist has {pages} pages instead of {wanted}")]
    FreelistLength {
        /// Pages on it.
        pages: u32,
        /// Pages by the header.
        wanted: u32,
    },
    /// A trunk that counts more leaves than fit.
    #[error("{leaves} freelist leaves do not fit on a page")]
    FreelistLeaves {
        /// The count.
        leaves: u32,
    },
    /// A wrong entry of the pointer map.
    #[error(
        "the pointer map has ({kind}, {parent}) for page {target} instead of ({wanted_kind}, \
         {wanted_parent})"
    )]
    PointerMap {
        /// The page that the entry is about.
        target: Pgno,
        /// The kind that it says: 1 root, 2 free, 3 first and 4 later overflow, 5 b-tree.
        kind: u8,
        /// The parent that it says.
        parent: Pgno,
        /// The right kind.
        wanted_kind: u8,
        /// The right parent.
        wanted_parent: Pgno,
    },
    /// An index with more or fewer entries than its table has rows.
    #[error("{entries} entries for {rows} rows")]
    EntryCount {
        /// Entries of the index.
        entries: u64,
        /// Rows of the table.
        rows: u64,
    },
    /// An index with as many entries as its table has rows, but of other rows.
    #[error("the entries are not those of the table's rows")]
    EntryRows,
    /// An index with an entry for each row of its table, but with other values.
    #[error("entries have other values than the table's rows")]
    EntryValues,
}

/// Problems as they are found: the first ones and their count.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub problems: Vec<Problem>,
    pub count: u64,
}

impl Ledger {
    pub(super) fn add(&mut self, problem: Problem) {
        self.count += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}
