//! What became of a row.

use std::collections::HashSet;

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
    /// It is there in one state, and a page of the other state that may have had it is gone.
    Present,
}

impl Op {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Present => "present",
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
    /// Whether and how the other state has it is not known: one of the two has no values.
    pub other_is_gone: bool,
}

impl RowEvent {
    /// What happened to it.
    #[must_use]
    pub fn op(&self) -> Op {
        match (&self.before, &self.after) {
            _ if self.other_is_gone => Op::Present,
            (None, _) => Op::Insert,
            (Some(_), None) => Op::Delete,
            (Some(_), Some(_)) => Op::Update,
        }
    }

    /// Whether it is an update of one of `places`; `None` for any update.
    pub(super) fn changes(&self, places: Option<&HashSet<usize>>) -> bool {
        let (Some(before), Some(after)) = (&self.before, &self.after) else { return false };
        places.is_none_or(|places| places.iter().any(|&it| before.get(it) != after.get(it)))
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
    /// Rows whose other state is gone.
    #[serde(skip_serializing_if = "is_zero")]
    pub present: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TableCounts {
    /// Counts one row.
    pub fn count(&mut self, op: Op) {
        *match op {
            Op::Insert => &mut self.inserted,
            Op::Update => &mut self.updated,
            Op::Delete => &mut self.deleted,
            Op::Present => &mut self.present,
        } += 1;
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.inserted + self.updated + self.deleted + self.present
    }
}
