//! The statements that change rows of one table.

use std::collections::HashSet;

use crate::database::{Generated, SqlValue, TextEncoding, TreeKind};
use crate::history::rows::event::RowEvent;
use crate::history::rows::table::{Catalog, Table};

use super::literal::{literal, quoted};

/// What a statement asks of the row that it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Where {
    /// Its key
    #[default]
    Key,
    /// All its values: a row that was changed since is left as it is
    Full,
}

/// Writes statements for one table.
pub(super) struct Statements<'t> {
    table: &'t Table,
    by: Where,
    encoding: TextEncoding,
    /// The name of the row id, where it has one.
    row_id: Option<String>,
    /// Columns that can be written.
    columns: Vec<usize>,
    /// Columns whose values no two rows may share; `None` where expressions make it any.
    unique: Option<HashSet<usize>>,
}

impl<'t> Statements<'t> {
    pub(super) fn new(
        table: &'t Table,
        catalog: &Catalog,
        (encoding, by): (TextEncoding, Where),
    ) -> Self {
        let definition = table.reader.definition();
        let columns = definition.columns.iter().enumerate();
        let columns = columns.filter(|(_, column)| column.generated == Generated::No);
        Self {
            table,
            by,
            encoding,
            row_id: Self::row_id_name(table),
            columns: columns.map(|(place, _)| place).collect(),
            unique: table.unique_columns(catalog),
        }
    }

    /// The quoted name of the row id of a table; `None` where it has none that no column hides.
    pub(super) fn row_id_name(table: &Table) -> Option<String> {
        let definition = table.reader.definition();
        if table.kind != TreeKind::Table {
            return None;
        }
        if let Some(alias) = definition.row_id.and_then(|place| definition.columns.get(place)) {
            return Some(quoted(&alias.name));
        }
        let names = ["rowid", "_rowid_", "oid"];
        let free = names.into_iter().find(|name| definition.place_of(name).is_none());
        free.map(str::to_owned)
    }

    fn name(&self) -> String {
        quoted(&self.table.name)
    }

    fn column(&self, place: usize) -> String {
        let column = self.table.reader.definition().columns.get(place);
        column.map_or_else(String::new, |column| quoted(&column.name))
    }

    fn literal(&self, values: &[SqlValue], place: usize) -> String {
        literal(values.get(place).unwrap_or(&SqlValue::Null), self.encoding)
    }

    /// Whether an update of any row may do that: see [`Self::moves_unique`].
    pub(super) fn may_move_unique(&self) -> bool {
        self.unique.as_ref().is_none_or(|unique| !unique.is_empty())
    }

    /// Whether an update gives a row a value that another row may still have.
    pub(super) fn moves_unique(&self, event: &RowEvent) -> bool {
        event.changes(self.unique.as_ref())
    }

    /// The condition that is true for the row as it was before.
    fn condition(&self, event: &RowEvent) -> String {
        let values = event.before.as_deref().unwrap_or_default();
        let mut terms = Vec::new();
        match (&self.row_id, event.row_id) {
            (Some(name), Some(row_id)) => terms.push(format!("{name}={row_id}")),
            _ => {
                for place in self.table.reader.definition().key_columns() {
                    terms.push(self.term(values, place));
                    terms.extend(self.exact_term(values, place));
                }
            }
        }
        if self.by == Where::Full {
            let key = self.table.reader.definition().row_id;
            let others = self.columns.iter().filter(|place| Some(**place) != key);
            terms.extend(others.map(|&place| self.term(values, place)));
        }
        // A chain of AND is as deep as it is long, and SQLite limits that.
        match terms.len() {
            0..500 => terms.join(" AND "),
            _ => {
                let groups = terms.chunks(400).map(|group| format!("({})", group.join(" AND ")));
                groups.collect::<Vec<_>>().join(" AND ")
            }
        }
    }

    fn term(&self, values: &[SqlValue], place: usize) -> String {
        let (column, literal) = (self.column(place), self.literal(values, place));
        let kind = match values.get(place) {
            None | Some(SqlValue::Null) => return format!("{column} IS NULL"),
            Some(SqlValue::Integer(_)) => "integer",
            Some(SqlValue::Real(_)) => "real",
            Some(SqlValue::Text(_) | SqlValue::BrokenText(_)) => "text",
            Some(SqlValue::Blob(_)) => "blob",
        };
        match self.by {
            Where::Key => format!("{column} IS {literal}"),
            // 1 and 1.0 are equal, and so are other texts under the collation of the column.
            Where::Full => {
                format!("{column} IS {literal} COLLATE BINARY AND typeof({column})='{kind}'")
            }
        }
    }

    /// Texts that are equal under the collation of a column may be two keys under that of the
    /// PRIMARY KEY. The other term lets SQLite use the key's own order.
    fn exact_term(&self, values: &[SqlValue], place: usize) -> Option<String> {
        let column = self.table.reader.definition().columns.get(place)?;
        let collation = column.collation.as_ref()?;
        let is_text = matches!(values.get(place)?, SqlValue::Text(_) | SqlValue::BrokenText(_));
        let is_needed =
            self.by == Where::Key && is_text && !collation.eq_ignore_ascii_case("BINARY");
        let (column, literal) = (self.column(place), self.literal(values, place));
        is_needed.then(|| format!("{column} IS {literal} COLLATE BINARY"))
    }

    pub(super) fn delete(&self, event: &RowEvent) -> String {
        format!("DELETE FROM {} WHERE {};", self.name(), self.condition(event))
    }

    pub(super) fn delete_all(&self) -> String {
        format!("DELETE FROM {};", self.name())
    }

    pub(super) fn update(&self, event: &RowEvent) -> String {
        let before = event.before.as_deref().unwrap_or_default();
        let after = event.after.as_deref().unwrap_or_default();
        let changed = self.columns.iter().filter(|place| before.get(**place) != after.get(**place));
        let set: Vec<String> = changed
            .map(|&place| format!("{}={}", self.column(place), self.literal(after, place)))
            .collect();
        let set = set.join(", ");
        format!("UPDATE {} SET {set} WHERE {};", self.name(), self.condition(event))
    }

    pub(super) fn insert(&self, row_id: Option<i64>, values: Option<&[SqlValue]>) -> String {
        let values = values.unwrap_or_default();
        let is_column = self.table.reader.definition().row_id.is_some();
        let own = self.row_id.as_ref().zip(row_id).filter(|_| !is_column);
        let mut names: Vec<String> = own.iter().map(|(name, _)| (*name).clone()).collect();
        let mut literals: Vec<String> = own.iter().map(|(_, row_id)| row_id.to_string()).collect();
        for &place in &self.columns {
            names.push(self.column(place));
            literals.push(self.literal(values, place));
        }
        let (names, literals) = (names.join(","), literals.join(","));
        format!("INSERT INTO {}({names}) VALUES({literals});", self.name())
    }
}
