//! A table as its CREATE statement describes it: what `PRAGMA table_xinfo` answers, and what rows
//! need to be read (build.c sqlite3AddColumn, sqlite3AddDefaultValue, sqlite3AddPrimaryKey,
//! sqlite3EndTable).

use super::declared_type::Affinity;

/// Whether a column is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// It has values of its own.
    No,
    /// When it is read; it is in no record.
    Virtual,
    /// When the row is written; it is in the record.
    Stored,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type as declared; empty without one.
    pub declared_type: String,
    /// How its values are stored.
    pub affinity: Affinity,
    /// NULL is refused.
    pub not_null: bool,
    /// The expression of its default, as SQL text.
    pub default: Option<String>,
    /// Its place in the primary key, from 1 on; 0 where it is not part of it.
    pub key: u32,
    /// Whether it is computed.
    pub generated: Generated,
    /// Its collation, where one is named.
    pub collation: Option<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDefinition {
    /// Its columns, as declared.
    pub columns: Vec<ColumnDefinition>,
    /// The column that is the row id, and NULL in every record.
    pub row_id: Option<usize>,
    /// Its rows are the entries of its primary key.
    pub without_rowid: bool,
    /// Values have the declared types.
    pub strict: bool,
    /// Row ids are never given twice.
    pub autoincrement: bool,
    /// A constraint says ON CONFLICT REPLACE: a row may take the place of others.
    pub replaces_rows: bool,
    /// Nothing is at a place where it has no meaning, outside of expressions.
    pub is_understood: bool,
}

impl TableDefinition {
    /// The column of this name.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether this column is computed when it is read: no record has it.
    #[must_use]
    pub fn is_virtual(&self, name: &str) -> bool {
        let column = self.place_of(name).and_then(|place| self.columns.get(place));
        column.is_some_and(|column| column.generated == Generated::Virtual)
    }

    /// The columns of the primary key, in its order.
    #[must_use]
    pub fn key_columns(&self) -> Vec<usize> {
        let mut keys: Vec<(u32, usize)> = Vec::new();
        for (place, column) in self.columns.iter().enumerate() {
            if column.key > 0 {
                keys.push((column.key, place));
            }
        }
        keys.sort_unstable();
        keys.into_iter().map(|(_, place)| place).collect()
    }

    /// What is only known when the whole statement is read (build.c sqlite3EndTable).
    pub(super) fn end(&mut self, keys: &[usize]) {
        let mut ordinal = 0;
        for &place in keys {
            ordinal += 1;
            if let Some(column) = self.columns.get_mut(place)
                && column.key == 0
            {
                column.key = ordinal;
            } else if self.without_rowid {
                // A column that is named twice is in the key once.
                ordinal -= 1;
            }
        }
        if self.without_rowid {
            self.row_id = None;
        }
        let row_id = self.row_id;
        if self.strict {
            let any = self.columns.iter_mut().filter(|column| column.declared_type == "ANY");
            any.for_each(|column| column.affinity = Affinity::Blob);
        }
        if self.without_rowid || self.strict {
            let columns = self.columns.iter_mut().enumerate();
            for (_, column) in columns.filter(|(place, _)| Some(*place) != row_id) {
                column.not_null |= column.key > 0;
            }
        }
    }

    /// Where the primary key is one column of type INTEGER, it is the row id. By an old mistake
    /// that stays, not for `INTEGER PRIMARY KEY DESC` (build.c sqlite3AddPrimaryKey).
    pub(super) fn primary_key(&mut self, columns: &[usize], descends: bool) {
        let [only] = columns else { return };
        let is_integer = self
            .columns
            .get(*only)
            .is_some_and(|column| column.declared_type.eq_ignore_ascii_case("INTEGER"));
        if is_integer && !descends {
            self.row_id = Some(*only);
        }
    }
}
