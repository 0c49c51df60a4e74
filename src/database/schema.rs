//! The schema: which b-trees there are (fileformat2.html section 2.6, prepare.c
//! sqlite3InitCallback).

use serde::Serialize;

use crate::format::Pgno;
use crate::format::record::{self, Value};

use super::rows::Rows;
use super::sql::{self, Constraint, Sql, TableColumn};
use super::{Error, Pages};

/// Bytes of a schema row that are read. Root page and kind are at its beginning.
const MAX_ROW_BYTES: u64 = 8 << 20;

/// What the name of an index begins with that a constraint needs.
pub(super) const AUTOMATIC_INDEX: &str = "sqlite_autoindex_";

/// The rows of `sqlite_schema`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Those that could be understood, by row id.
    pub entries: Vec<SchemaEntry>,
    /// Row ids of the others.
    pub unclear: Vec<i64>,
}

/// What a b-tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreeKind {
    /// Rows by row id; the schema is one of them.
    Table,
    /// Rows by primary key (WITHOUT ROWID), in a b-tree of the index kind.
    WithoutRowid,
    /// Entries of an index.
    Index,
}

impl TreeKind {
    /// Whether its rows are a table's.
    #[must_use]
    pub fn is_table(self) -> bool {
        match self {
            Self::Table | Self::WithoutRowid => true,
            Self::Index => false,
        }
    }
}

/// What a row of the schema defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A table with row ids.
    Table,
    /// A table without.
    WithoutRowid,
    /// An index.
    Index,
    /// A virtual table: other tables hold what it has.
    Virtual,
    /// A view: no b-tree.
    View,
    /// A trigger: no b-tree.
    Trigger,
}

impl EntryKind {
    /// The b-tree that it has.
    #[must_use]
    pub fn tree(self) -> Option<TreeKind> {
        match self {
            Self::Table => Some(TreeKind::Table),
            Self::WithoutRowid => Some(TreeKind::WithoutRowid),
            Self::Index => Some(TreeKind::Index),
            Self::Virtual | Self::View | Self::Trigger => None,
        }
    }

    /// A view or a trigger.
    pub(crate) fn is_statement(self) -> bool {
        matches!(self, Self::View | Self::Trigger)
    }

    /// A table with a b-tree of its own.
    pub(crate) fn is_table(self) -> bool {
        self.tree().is_some_and(TreeKind::is_table)
    }
}

/// Whether a b-tree has something for every row of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Whole,
    /// A partial index.
    Partial,
}

impl SchemaEntry {
    /// Whether it is an index with a WHERE clause.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.statement == Statement::Partial
    }

    /// Whether statements tell that the entries of this index of `table` are in ascending order
    /// under BINARY.
    #[must_use]
    pub fn is_in_plain_order(&self, table: &Self) -> bool {
        self.plain_order && table.plain_order
    }

    /// The column of a table that has this name.
    pub(super) fn column(&self, name: &str) -> Option<&TableColumn> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// A row of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaEntry {
    /// Its row id in `sqlite_schema`.
    pub row_id: i64,
    /// What it defines.
    pub kind: EntryKind,
    /// Its name.
    pub name: String,
    /// The table that it is about.
    pub table: String,
    /// Its root page; 0 without one.
    pub root: i64,
    /// Its statement; empty for an index that a constraint needs.
    pub sql: String,
    /// The columns of a table.
    pub columns: Vec<TableColumn>,
    /// Kind, name and table of the row are those of its statement (build.c
    /// sqlite3CheckObjectName): otherwise SQLite calls the schema malformed. Nothing is
    /// compared of views and triggers.
    pub agrees: bool,
    /// Its statement has nothing at a place where it has no meaning.
    pub is_understood: bool,
    /// An index of which no two rows have the same keys.
    pub is_unique: bool,
    /// Its keys are columns in BINARY order, as far as its own statement tells.
    pub(super) plain_order: bool,
    pub(super) statement: Statement,
    /// Columns that are the keys of an index, where its own statement tells.
    pub(super) keys: Option<Vec<String>>,
    /// Constraints of a table that need an index.
    pub(super) constraints: Vec<Constraint>,
}

impl Schema {
    /// Reads the schema, as far as it can be.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn read(pages: &dyn Pages) -> Result<Self, Error> {
        let encoding = super::header(pages)?.text_encoding & 3;
        let mut rows = Rows::new(pages, Pgno::FIRST)?;
        let mut schema = Self::default();
        let mut bytes = Vec::new();
        while let Some(found) = rows.find()? {
            let Some(row_id) = found.row_id else { break };
            bytes.clear();
            rows.payload(&found, MAX_ROW_BYTES, |part| bytes.extend_from_slice(part))?;
            match entry(row_id, &bytes, encoding) {
                Some(entry) => schema.entries.push(entry),
                None => schema.unclear.push(row_id),
            }
        }
        Ok(schema)
    }

    /// The columns of an index: those of its statement, or of the constraint that needs it
    /// (build.c sqlite3CreateIndex). `None` where a key is an expression, or statements do not
    /// tell.
    #[must_use]
    pub fn keys_of(&self, index: &SchemaEntry, table: &SchemaEntry) -> Option<Vec<String>> {
        if !index.sql.is_empty() {
            return index.keys.clone();
        }
        let has_index = |constraint: &&Constraint| {
            let is_row_id = |name: &String| table.column(name).is_some_and(|column| column.row_id);
            let alias = matches!(&constraint.columns[..], [only] if is_row_id(only));
            !(constraint.primary && alias)
        };
        let constraints: Vec<_> = table.constraints.iter().filter(has_index).collect();
        // One of two equal constraints has no index, and WITHOUT ROWID the table is that of one.
        if table.kind != EntryKind::Table
            || self.automatic_indexes(table).count() != constraints.len()
        {
            return None;
        }
        let (_, number) = index.name.rsplit_once('_')?;
        let place = number.parse::<usize>().ok()?.checked_sub(1)?;
        Some(constraints.get(place)?.columns.clone()).filter(|columns| !columns.is_empty())
    }

    /// The indexes that constraints of `table` need: those without a statement.
    pub(super) fn automatic_indexes<'s>(
        &'s self,
        table: &'s SchemaEntry,
    ) -> impl Iterator<Item = &'s SchemaEntry> {
        self.entries.iter().filter(|entry| {
            entry.kind == EntryKind::Index
                && entry.sql.is_empty()
                && entry.table.eq_ignore_ascii_case(&table.name)
        })
    }

    /// The table that `entry` is about.
    pub(super) fn table_of(&self, entry: &SchemaEntry) -> Option<&SchemaEntry> {
        let is_it =
            |it: &&SchemaEntry| it.kind.is_table() && it.name.eq_ignore_ascii_case(&entry.table);
        self.entries.iter().find(is_it)
    }
}

fn entry(row_id: i64, row: &[u8], encoding: u32) -> Option<SchemaEntry> {
    let values = record::values(row);
    let text = |place: usize| match values.get(place) {
        Some(Value::Text { bytes, .. }) => Some(decoded(bytes, encoding)),
        Some(Value::Null | Value::Int(_) | Value::Float(_) | Value::Blob { .. })
        | Some(Value::Unknown { .. })
        | None => None,
    };
    let cut = match values.get(4) {
        Some(Value::Text { bytes, length_bytes }) => (bytes.len() as u64) < *length_bytes,
        Some(_) | None => false,
    };
    let &Value::Int(root) = values.get(3)? else { return None };
    let (kind, name, table) = (text(0)?, text(1)?, text(2)?);
    let said = [kind, name.clone(), table.clone()];
    let is_said = |statement: [&str; 3]| {
        said.iter().zip(statement).all(|(one, other)| one.eq_ignore_ascii_case(other))
    };
    let sql = match values.get(4)? {
        Value::Null => String::new(),
        _ => text(4)?,
    };
    if sql.is_empty() {
        // SQLite finds it by its name alone, which has that of its table.
        let (head, rest) = name.split_at_checked(AUTOMATIC_INDEX.len())?;
        let table = rest.rsplit_once('_').map_or(table, |(table, _)| table.to_owned());
        return head.eq_ignore_ascii_case(AUTOMATIC_INDEX).then_some(SchemaEntry {
            row_id,
            kind: EntryKind::Index,
            name,
            table,
            root,
            sql,
            columns: Vec::new(),
            agrees: true,
            is_understood: true,
            is_unique: true,
            plain_order: true,
            statement: Statement::Whole,
            keys: None,
            constraints: Vec::new(),
        });
    }
    let parsed = sql::read(&sql)?;
    let mut entry = SchemaEntry {
        row_id,
        kind: EntryKind::View,
        name,
        table,
        root,
        sql: String::new(),
        columns: Vec::new(),
        agrees: true,
        is_understood: true,
        is_unique: false,
        plain_order: false,
        statement: Statement::Whole,
        keys: None,
        constraints: Vec::new(),
    };
    match parsed {
        Sql::Table { name, without_rowid, plain_order, columns, constraints, understood } => {
            entry.agrees = is_said(["table", &name, &name]);
            entry.is_understood = understood;
            let kind = if without_rowid { EntryKind::WithoutRowid } else { EntryKind::Table };
            entry.table.clone_from(&name);
            (entry.columns, entry.constraints) = (columns, constraints);
            (entry.kind, entry.name, entry.plain_order) = (kind, name, plain_order);
        }
        Sql::Index { name, table, unique, partial, plain_order, keys, understood } => {
            entry.is_unique = unique;
            entry.agrees = is_said(["index", &name, &table]);
            entry.is_understood = understood;
            (entry.kind, entry.keys) = (EntryKind::Index, keys);
            (entry.name, entry.table, entry.plain_order) = (name, table, plain_order);
            entry.statement = if partial { Statement::Partial } else { Statement::Whole };
        }
        Sql::Virtual { name } => {
            entry.agrees = is_said(["table", &name, &name]);
            (entry.kind, entry.name) = (EntryKind::Virtual, name);
        }
        Sql::View => {}
        Sql::Trigger => entry.kind = EntryKind::Trigger,
    }
    // The end of a statement that was cut says whether it is WITHOUT ROWID or partial.
    if cut {
        return None;
    }
    entry.sql = sql;
    Some(entry)
}

/// Text in the encoding of the database; what is no text of it becomes replacement characters.
fn decoded(bytes: &[u8], encoding: u32) -> String {
    let units = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|&two| unit(two)).collect();
        String::from_utf16_lossy(&units)
    };
    match encoding {
        2 => units(u16::from_le_bytes),
        3 => units(u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}
