//! What became of a row.

use serde::Serialize;

use crate::database::SqlValue;

/// What a change did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It is new.
    Insert,
    /// It has other values.
    Update,
    /// It is gone.
    Delete,
}

impl Op {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// A row that differs between two states. Values are by columns as each state declares them.
#[derive(Clone, Debug, PartialEq)]
pub struct RowEvent {
    /// Its row id; `None` in a table without.
    pub row_id: Option<i64>,
    /// Its values before; `None` where it was not there.
    pub before: Option<Vec<SqlValue>>,
    /// Its values afterwards; `None` where it is gone.
    pub after: Option<Vec<SqlValue>>,
}

impl RowEvent {
    /// What happened to it.
    #[must_use]
    pub fn op(&self) -> Op {
        match (&self.before, &self.after) {
            (None, _) => Op::Insert,
            (Some(_), None) => Op::Delete,
            (Some(_), Some(_)) => Op::Update,
        }
    }
}

/// How many rows of a table differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableCounts {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows with other values.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
}

impl TableCounts {
    /// Counts one row.
    pub fn count(&mut self, op: Op) {
        *match op {
            Op::Insert => &mut self.inserted,
            Op::Update => &mut self.updated,
            Op::Delete => &mut self.deleted,
        } += 1;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.inserted + self.updated + self.deleted
    }
}
