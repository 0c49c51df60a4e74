//! What differs between two schemas.

use serde::Serialize;

use crate::database::{EntryKind, SchemaEntry};

use super::table::Catalog;

/// A row of the schema that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// `created`, `dropped` or `altered`.
    pub change: &'static str,
    /// Its statement afterwards; that before where it was dropped.
    pub sql: String,
}

fn kind_word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Table | EntryKind::WithoutRowid | EntryKind::Virtual => "table",
        EntryKind::Index => "index",
        EntryKind::View => "view",
        EntryKind::Trigger => "trigger",
    }
}

/// What differs in the schema: created and altered entries in their order, then dropped ones.
#[must_use]
pub fn schema_changes(before: &Catalog, after: &Catalog) -> Vec<SchemaChange> {
    let is_same = |one: &SchemaEntry, other: &SchemaEntry| {
        kind_word(one.kind) == kind_word(other.kind) && one.name == other.name
    };
    let change = |entry: &SchemaEntry, change| SchemaChange {
        kind: kind_word(entry.kind),
        name: entry.name.clone(),
        change,
        sql: entry.sql.clone(),
    };
    let mut found = Vec::new();
    // What a constraint needs has no statement of its own.
    for entry in after.schema.entries.iter().filter(|entry| !entry.sql.is_empty()) {
        match before.schema.entries.iter().find(|other| is_same(entry, other)) {
            None => found.push(change(entry, "created")),
            Some(old) if old.sql != entry.sql => found.push(change(entry, "altered")),
            Some(_) => {}
        }
    }
    for entry in before.schema.entries.iter().filter(|entry| !entry.sql.is_empty()) {
        if !after.schema.entries.iter().any(|other| is_same(entry, other)) {
            found.push(change(entry, "dropped"));
        }
    }
    found
}
