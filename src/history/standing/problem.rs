//! What a problem of the structure is about.

use crate::database::check::{Health, Problem, StructureFault};
use crate::format::Pgno;

use super::Evidence;

/// The table that the tree with this root is of.
pub(super) fn table_at(health: &Health, root: Pgno) -> Option<String> {
    health.trees.iter().find(|tree| tree.root == root).map(|tree| tree.table.clone())
}

/// The table that a problem is about.
pub(super) fn table_of(health: &Health, problem: &Problem) -> Option<String> {
    problem.root.and_then(|root| table_at(health, root)).or_else(|| problem.name.clone())
}

/// The kind of a problem.
pub(super) fn evidence_of(problem: &Problem) -> Evidence {
    match &problem.fault {
        StructureFault::Header { .. } | StructureFault::IncrementalVacuum => Evidence::Header,
        StructureFault::PageCount { .. } => Evidence::CommitSize,
        StructureFault::SchemaEntry { .. }
        | StructureFault::RootPage { .. }
        | StructureFault::SchemaRow
        | StructureFault::SchemaStatement { .. }
        | StructureFault::SameName
        | StructureFault::AutomaticIndexes { .. }
        | StructureFault::OrphanIndex { .. } => Evidence::Schema,
        StructureFault::NoSuchPage { .. }
        | StructureFault::UsedTwice { .. }
        | StructureFault::NeverUsed
        | StructureFault::FreelistLength { .. }
        | StructureFault::FreelistLeaves { .. } => Evidence::PageUse,
        StructureFault::TooDeep
        | StructureFault::Height { .. }
        | StructureFault::Kind { .. }
        | StructureFault::Empty
        | StructureFault::CellCount { .. }
        | StructureFault::FreeSpace
        | StructureFault::CellOffset { .. }
        | StructureFault::CellOutside { .. }
        | StructureFault::SharedBytes { .. }
        | StructureFault::Fragments { .. } => Evidence::Btree,
        StructureFault::Record { .. } => Evidence::Columns,
        StructureFault::RowIdOrder { .. } | StructureFault::KeyOrder { .. } => Evidence::Order,
        StructureFault::OverflowLength { .. } => Evidence::Overflow,
        StructureFault::LargestRoot { .. }
        | StructureFault::PointerMapUsed
        | StructureFault::PointerMap { .. } => Evidence::PointerMap,
        StructureFault::EntryCount { .. }
        | StructureFault::EntryRows
        | StructureFault::EntryValues => Evidence::IndexEntries,
    }
}

/// The page that is used for the second time.
pub(super) fn used_again(problem: &Problem) -> Option<Pgno> {
    match problem.fault {
        StructureFault::UsedTwice { target } => Some(target),
        _ => None,
    }
}
