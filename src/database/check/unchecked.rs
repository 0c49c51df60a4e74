//! What a check leaves out: "sound" says nothing of it.

use std::fmt;

use serde::Serialize;

/// Something that SQLite's own check looks at, or a query, and this one does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Unchecked {
    /// Whether the entries of an index are those of the rows: it is partial, has expressions for
    /// keys, or its table has computed columns, defaults in old rows or rows of more than 1 MiB, or
    /// they were not asked for.
    IndexValues {
        /// The index.
        index: String,
    },
    /// Whether keys are in order, and none is there twice: they have another collation or order
    /// than BINARY, ascending, or it was not asked for.
    KeyOrder {
        /// The index, or the table without row ids.
        tree: String,
    },
    /// Whether SQLite takes the statement of a table or index: something in it is not understood.
    Statement {
        /// The table or index.
        name: String,
    },
    /// Whether each constraint of a table has its index: some have the same columns, and share one
    /// where collations are the same, too.
    AutomaticIndexes {
        /// The table.
        table: String,
    },
    /// Whether the tables in which a virtual table keeps its content fit each other.
    VirtualTable {
        /// The virtual table.
        table: String,
    },
    /// The statements of views and triggers.
    Statements {
        /// How many.
        statements: u32,
    },
    /// The columns of records whose header goes on on overflow pages, and that have more than 1
    /// MiB.
    LongRecords {
        /// Their table or index.
        tree: String,
        /// How many.
        records: u64,
    },
}

impl fmt::Display for Unchecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexValues { index } => write!(f, "the values of index {index}"),
            Self::KeyOrder { tree } => write!(f, "the order of {tree}"),
            Self::Statement { name } => write!(f, "the statement of {name}"),
            Self::AutomaticIndexes { table } => write!(f, "the constraints of {table}"),
            Self::VirtualTable { table } => write!(f, "the content of virtual table {table}"),
            Self::Statements { statements: 1 } => f.write_str("the SQL of a view or trigger"),
            Self::Statements { statements } => {
                write!(f, "the SQL of {statements} views and triggers")
            }
            Self::LongRecords { tree, records: 1 } => {
                write!(f, "the columns of a long record of {tree}")
            }
            Self::LongRecords { tree, records } => {
                write!(f, "the columns of {records} long records of {tree}")
            }
        }
    }
}
