//! What differs between two schemas.

use serde::Serialize;

use crate::database::{EntryKind, SchemaEntry};

use super::table::{Catalog, TablePair, pairs};

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
    /// The name before of a table that has its name by ALTER TABLE RENAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// The name afterwards of a table that is not dropped, but renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_to: Option<String>,
}

impl SchemaChange {
    /// Whether people see it on a line of its own: a renamed table has one, by its new name.
    #[must_use]
    pub fn has_line(&self) -> bool {
        self.renamed_to.is_none()
    }
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
        renamed_from: None,
        renamed_to: None,
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
    for pair in pairs(&before.tables, &after.tables) {
        name_renamed(&pair, &mut found);
    }
    found
}

/// Puts the other name into the changes of a table that was renamed.
fn name_renamed(pair: &TablePair<'_>, changes: &mut [SchemaChange]) {
    let (Some(before), after) = (pair.renamed_from(), pair.name()) else { return };
    for change in changes.iter_mut().filter(|change| change.kind == "table") {
        if change.change == "dropped" && change.name == before {
            change.renamed_to = Some(after.to_owned());
        } else if change.change != "dropped" && change.name == after {
            change.renamed_from = Some(before.to_owned());
        }
    }
}
