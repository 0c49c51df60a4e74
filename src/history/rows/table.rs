//! The tables of two states, and which of them are the same.

use std::collections::HashSet;

use crate::database::{
    self, EntryKind, PageRows, Pages, ReadRow, Schema, SchemaEntry, TableReader, TextEncoding,
    TreeKind, TreePages, table_definition,
};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, Pgno};

use super::Error;

/// A table as one state has it.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The root page of its b-tree.
    pub root: Pgno,
    /// The kind of its b-tree.
    pub kind: TreeKind,
    /// Its CREATE statement.
    pub sql: String,
    /// Its row id in `sqlite_schema`.
    schema_row_id: i64,
    /// Reads its records.
    pub reader: TableReader,
}

/// What one state of a database defines.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Its schema.
    pub schema: Schema,
    /// Its tables that have a b-tree, in the order of the schema.
    pub tables: Vec<Table>,
    /// Its header.
    pub header: DatabaseHeader,
}

/// One state of a database, whose rows are compared with those of another.
#[derive(Clone, Copy)]
pub struct State<'a> {
    /// Its pages.
    pub pages: &'a dyn Pages,
    /// What it defines.
    pub catalog: &'a Catalog,
}

impl Catalog {
    /// Reads the schema of `pages`. A database without a page has none.
    ///
    /// # Errors
    /// When a page cannot be read, or a row of the schema cannot be understood.
    pub fn read(pages: &dyn Pages) -> Result<Self, Error> {
        let is_empty = pages.size_pages()? == 0;
        let header = match is_empty {
            true => DatabaseHeader::decode(&[0; DATABASE_HEADER_BYTES]),
            false => database::header(pages)?,
        };
        let schema = match is_empty {
            true => Schema::default(),
            false => {
                all_rows_are_there(pages)?;
                Schema::read(pages)?
            }
        };
        if let Some(&row_id) = schema.unclear.first() {
            return Err(Error::Schema { row_id });
        }
        let encoding = TextEncoding::of_header(header.text_encoding);
        let mut tables = Vec::new();
        for entry in &schema.entries {
            if let Some(kind) = entry.kind.tree().filter(|kind| kind.is_table()) {
                let table = Table::of(entry, kind, encoding);
                tables.push(table.ok_or(Error::Schema { row_id: entry.row_id })?);
            }
        }
        Ok(Self { schema, tables, header })
    }

    /// The encoding of its text.
    #[must_use]
    pub fn encoding(&self) -> TextEncoding {
        TextEncoding::of_header(self.header.text_encoding)
    }

    /// The virtual table that `name` is a shadow table of, by SQLite's own modules.
    #[must_use]
    pub fn shadowed_by(&self, name: &str) -> Option<&SchemaEntry> {
        self.schema.entries.iter().find(|entry| {
            let (start, rest) = name.split_at_checked(entry.name.len()).unwrap_or((name, ""));
            let is_shadow = |rest: &str| SHADOWS.iter().any(|it| rest.eq_ignore_ascii_case(it));
            entry.kind == EntryKind::Virtual
                && start.eq_ignore_ascii_case(&entry.name)
                && rest.strip_prefix('_').is_some_and(is_shadow)
        })
    }
}

/// Refuses a schema of which rows cannot be read: their tables would seem not to be there.
fn all_rows_are_there(pages: &dyn Pages) -> Result<(), Error> {
    let lost = |page: Pgno| Error::Unreadable { table: "sqlite_schema".to_owned(), page };
    let tree = TreePages::read(pages, Pgno::FIRST, TreeKind::Table)?;
    if let Some(&page) = tree.unreadable.first() {
        return Err(lost(page));
    }
    let mut rows = PageRows::new(pages, TreeKind::Table, &tree.leaves)?;
    while let Some(row) = rows.next_row(|_| {})? {
        if let ReadRow::Unreadable(page) = row {
            return Err(lost(page));
        }
    }
    Ok(())
}

/// What follows the name of a virtual table of fts3, fts4, fts5, rtree and geopoly.
const SHADOWS: [&str; 12] = [
    "content", "segments", "segdir", "docsize", "stat", "data", "idx", "config", "node", "rowid",
    "parent", "vocab",
];

impl Table {
    fn of(entry: &SchemaEntry, kind: TreeKind, encoding: TextEncoding) -> Option<Self> {
        let definition = table_definition(&entry.sql)?;
        Some(Self {
            name: entry.name.clone(),
            root: Pgno(u32::try_from(entry.root).ok()?),
            kind,
            sql: entry.sql.clone(),
            schema_row_id: entry.row_id,
            reader: TableReader::new(definition, encoding),
        })
    }

    /// Columns of unique indexes; `None` where one has expressions.
    pub(super) fn unique_columns(&self, catalog: &Catalog) -> Option<HashSet<usize>> {
        let definition = self.reader.definition();
        let mut unique: HashSet<usize> = HashSet::new();
        let entries = catalog.schema.entries.iter();
        let own = entries.clone().find(|entry| {
            entry.kind.tree().is_some_and(TreeKind::is_table)
                && entry.name.eq_ignore_ascii_case(&self.name)
        })?;
        let indexes = entries
            .filter(|it| it.kind == EntryKind::Index && it.table.eq_ignore_ascii_case(&self.name));
        for index in indexes.filter(|index| index.is_unique) {
            // By its WHERE clause, any column may bring a row into it.
            if index.is_partial() {
                return None;
            }
            for name in catalog.schema.keys_of(index, own)? {
                unique.insert(definition.place_of(&name)?);
            }
        }
        if self.kind == TreeKind::WithoutRowid {
            unique.extend(definition.key_columns());
        }
        Some(unique)
    }

    /// Whether its statement is as ALTER TABLE RENAME leaves it, which quotes the name (alter.c
    /// renameTableFunc).
    fn is_renamed(&self) -> bool {
        let name = self.name.replace('"', "\"\"");
        self.sql.starts_with(&format!("CREATE TABLE \"{name}\""))
    }

    /// Whether its rows have row ids.
    #[must_use]
    pub fn has_row_ids(&self) -> bool {
        self.kind == TreeKind::Table
    }

    /// Whether rows of both have the same columns: the statements are the same but for space and
    /// the like.
    #[must_use]
    pub fn is_defined_as(&self, other: &Self) -> bool {
        self.sql == other.sql
    }

    fn has_name_of(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
    }

    /// Whether rows of both are compared by the same key.
    fn has_key_of(&self, other: &Self) -> bool {
        let key = |table: &Self| -> Vec<String> {
            let definition = table.reader.definition();
            let columns = definition.key_columns();
            let names = columns.iter().filter_map(|&place| definition.columns.get(place));
            names.map(|column| column.name.to_ascii_lowercase()).collect()
        };
        self.kind == other.kind && (self.kind == TreeKind::Table || key(self) == key(other))
    }
}

/// Pages of one table, in key order, that have all the rows in which its two states differ.
#[derive(Clone, Debug, Default)]
pub struct TablePages {
    /// Of the state before.
    pub before: Vec<Pgno>,
    /// Of the state afterwards.
    pub after: Vec<Pgno>,
    /// Pages that are gone would name more of the state before, and of the one afterwards.
    pub are_part: [bool; 2],
}

/// A table in two states; absent where one does not have it.
#[derive(Clone, Copy, Debug)]
pub struct TablePair<'t> {
    /// As it was.
    pub before: Option<&'t Table>,
    /// As it is afterwards.
    pub after: Option<&'t Table>,
}

impl<'t> TablePair<'t> {
    /// Its name: the later one.
    #[must_use]
    pub fn name(&self) -> &'t str {
        self.after.or(self.before).map_or("", |table| table.name.as_str())
    }

    /// Its name before, where that was another.
    #[must_use]
    pub fn renamed_from(&self) -> Option<&'t str> {
        let [before, after] = [self.before?, self.after?];
        (before.name != after.name).then_some(before.name.as_str())
    }

    /// The table as it is afterwards, or was before.
    #[must_use]
    pub fn newest(&self) -> Option<&'t Table> {
        self.after.or(self.before)
    }

    /// Whether both states have it, defined alike and under one name.
    #[must_use]
    pub fn is_unaltered(&self) -> bool {
        match (self.before, self.after) {
            (Some(before), Some(after)) => before.name == after.name && before.is_defined_as(after),
            _ => false,
        }
    }
}

/// Which table of `before` is which of `after`: by name, and after a renaming by its row of the
/// schema. Those that only `before` has come last.
///
/// Where a table has lost its name to a renamed one, and is none of `after` itself, both are told
/// by their names: one name never means two tables of one state.
#[must_use]
pub fn pairs<'t>(before: &'t [Table], after: &'t [Table]) -> Vec<TablePair<'t>> {
    let mut taken = vec![false; before.len()];
    let mut take = |is_it: &dyn Fn(&Table) -> bool| {
        let place = before.iter().position(is_it)?;
        let free = !std::mem::replace(taken.get_mut(place)?, true);
        free.then_some(place)
    };
    // Names first: a renamed table must not take the place of one that kept its name.
    let by_name: Vec<Option<usize>> = after
        .iter()
        .map(|table| take(&|it| it.has_name_of(table) && it.has_key_of(table)))
        .collect();
    let mut places: Vec<(&Table, Option<usize>)> = Vec::new();
    for (table, same) in after.iter().zip(by_name) {
        let renamed = || {
            take(&|it| {
                it.schema_row_id == table.schema_row_id
                    && it.has_key_of(table)
                    && it.reader.definition() == table.reader.definition()
                    && table.is_renamed()
            })
        };
        places.push((table, same.or_else(renamed)));
    }
    let is_lost = |(table, place): &(&Table, Option<usize>), taken: &[bool]| {
        let old = place.and_then(|place| before.get(place));
        let mut left = before.iter().zip(taken).filter(|(_, taken)| !**taken);
        old.is_some_and(|old| !old.has_name_of(table))
            && left.any(|(other, _)| other.has_name_of(table))
    };
    while let Some(lost) = places.iter().position(|it| is_lost(it, &taken)) {
        let place = places.get_mut(lost).and_then(|(_, place)| place.take());
        if let Some(taken) = place.and_then(|place| taken.get_mut(place)) {
            *taken = false;
        }
    }
    let pair = |(table, place): (&'t Table, Option<usize>)| TablePair {
        before: place.and_then(|place| before.get(place)),
        after: Some(table),
    };
    let gone = before.iter().zip(&taken).filter(|(_, taken)| !**taken);
    let gone = gone.map(|(table, _)| TablePair { before: Some(table), after: None });
    places.into_iter().map(pair).chain(gone).collect()
}
