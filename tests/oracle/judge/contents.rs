//! Everything that a database holds, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::histories::schema::{ALIASES, quoted};
use crate::see::open;

/// Most differences that are told of one table.
const TOLD: usize = 3;

/// Longer values are told by a sum.
const LONG: usize = 80;

#[derive(Clone, PartialEq, PartialOrd, Eq, Ord)]
pub(super) struct Row {
    /// Where the rowid has a name of its own.
    pub(super) rowid: Option<i64>,
    pub(super) cells: Vec<String>,
    /// A column of the primary key is NULL.
    pub(super) null_key: bool,
}

pub(super) struct Table {
    pub(super) sql: String,
    pub(super) has_key: bool,
    pub(super) without_rowid: bool,
    /// The name of the rowid, if it has one.
    pub(super) alias: Option<&'static str>,
    /// In the order of the cells of a row.
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// What SQLite says where it cannot read the rows.
    pub(super) unread: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its place in the primary key, from 1 on.
    pub(super) key: u32,
    /// It is made of others when it is read.
    pub(super) is_virtual: bool,
}

pub(super) struct Contents {
    pub(super) schema: BTreeSet<[String; 4]>,
    pub(super) tables: BTreeMap<String, Table>,
}

impl Contents {
    pub(super) fn read(path: &Path) -> Self {
        let connection = open(path);
        let sql = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema";
        let mut statement = connection.prepare(sql).unwrap();
        let row =
            |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
        let schema: BTreeSet<[String; 4]> =
            statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        let tables = schema
            .iter()
            .filter(|[kind, ..]| kind == "table")
            .map(|[_, name, _, sql]| (name.clone(), Table::read(&connection, name, sql)))
            .collect();
        Self { schema, tables }
    }

    /// Leaves the rows only what their columns hold.
    pub(super) fn forget_rowids(&mut self) {
        for table in self.tables.values_mut() {
            table.rows.iter_mut().for_each(|row| row.rowid = None);
            table.rows.sort();
        }
    }

    /// How this one differs from the one that was wanted, in words. The tables `aside` and what
    /// is on them are not looked at.
    pub(super) fn differences(&self, wanted: &Self, aside: &[String]) -> Vec<String> {
        let is_aside = |[_, name, table, _]: &&[String; 4]| {
            !aside.iter().any(|it| it.eq_ignore_ascii_case(name) || it.eq_ignore_ascii_case(table))
        };
        let told = |what: &str, [kind, name, _, sql]: &[String; 4]| {
            format!("{what}: {kind} {name:?}: {sql}")
        };
        let more = self.schema.difference(&wanted.schema).filter(is_aside);
        let less = wanted.schema.difference(&self.schema).filter(is_aside);
        let mut found: Vec<String> = more.map(|it| told("not wanted", it)).collect();
        found.extend(less.map(|it| told("missing", it)));
        for (name, table) in &wanted.tables {
            let Some(made) = self.tables.get(name) else { continue };
            // A virtual table shows what is in tables like `name_data`.
            let its = format!("{name}_");
            let is_virtual = table.sql.starts_with("CREATE VIRTUAL");
            let shows_it = |it: &String| is_virtual && it.starts_with(&its);
            if !aside.iter().any(|it| it.eq_ignore_ascii_case(name) || shows_it(it)) {
                found.extend(made.differences(table, name, |_| true));
            }
        }
        found
    }
}

impl Table {
    fn read(connection: &Connection, name: &str, sql: &str) -> Self {
        let list = "SELECT name, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1";
        let mut statement = connection.prepare(list).unwrap();
        let column = |row: &rusqlite::Row<'_>| {
            let is_virtual = row.get::<_, u32>(2)? == 2;
            Ok(Column { name: row.get(0)?, key: row.get(1)?, is_virtual })
        };
        let columns: Vec<Column> =
            statement.query_map([name], column).unwrap().map(Result::unwrap).collect();
        let wr = "SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'";
        let without_rowid: bool = connection.query_row(wr, [name], |row| row.get(0)).unwrap();
        let free = |alias: &&str| columns.iter().all(|it| !it.name.eq_ignore_ascii_case(alias));
        let alias = ALIASES.into_iter().find(|alias| !without_rowid && free(alias));
        let cells: Vec<String> = columns
            .iter()
            .map(|column| quoted(&column.name))
            .map(|it| {
                let bytes = format!("CASE typeof({it}) WHEN 'text' THEN CAST({it} AS BLOB)");
                format!("{bytes} ELSE {it} END, typeof({it})")
            })
            .collect();
        let select = format!(
            "SELECT {}, {} FROM {}",
            alias.unwrap_or("NULL"),
            cells.join(", "),
            quoted(name)
        );
        let mut unread = None;
        let mut rows = read(connection, &select, &columns).unwrap_or_else(|error| {
            unread = Some(error.to_string());
            vec![Row { rowid: None, cells: vec![error.to_string()], null_key: false }]
        });
        rows.sort();
        // Sessions say the key of this one themselves.
        let has_key = name == "sqlite_stat1" || columns.iter().any(|it| it.key > 0);
        Self { sql: sql.to_owned(), has_key, without_rowid, alias, columns, rows, unread }
    }

    /// Rows that only one of the two has, of those that `counts`.
    pub(super) fn differences(
        &self,
        wanted: &Self,
        name: &str,
        counts: impl Fn(&Row) -> bool,
    ) -> Vec<String> {
        let (more, less) = apart(&self.rows, &wanted.rows);
        let told = |what: &str, rows: Vec<&Row>| {
            let rows: Vec<&Row> = rows.into_iter().filter(|row| counts(row)).collect();
            let several = format!("{name:?}: {} rows {what}", rows.len());
            let some = rows.iter().take(TOLD).map(|row| row.told()).collect::<Vec<_>>();
            (!rows.is_empty()).then(|| format!("{several}: {}", some.join("; ")))
        };
        told("not wanted", more).into_iter().chain(told("missing", less)).collect()
    }
}

/// The rows that only the first has, and those that only the second has; both are sorted.
pub(super) fn apart<'a>(one: &'a [Row], other: &'a [Row]) -> (Vec<&'a Row>, Vec<&'a Row>) {
    let (mut only_one, mut only_other) = (Vec::new(), Vec::new());
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(left), Some(right)) = (one.peek(), other.peek()) {
        match left.cmp(right) {
            std::cmp::Ordering::Less => only_one.extend(one.next()),
            std::cmp::Ordering::Greater => only_other.extend(other.next()),
            std::cmp::Ordering::Equal => {
                one.next();
                other.next();
            }
        }
    }
    only_one.extend(one);
    only_other.extend(other);
    (only_one, only_other)
}

impl Row {
    fn told(&self) -> String {
        let rowid = self.rowid.map(|it| format!("{it}: ")).unwrap_or_default();
        format!("({rowid}{})", self.cells.join(", "))
    }
}

fn read(connection: &Connection, select: &str, columns: &[Column]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare(select)?;
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut cells = Vec::new();
        let mut null_key = false;
        for (place, column) in columns.iter().enumerate() {
            let value = row.get_ref(1 + 2 * place)?;
            null_key |= column.key > 0 && value == ValueRef::Null;
            let kind = row.get_ref(2 + 2 * place)?;
            cells.push(cell(value, kind == ValueRef::Text(b"text")));
        }
        rows.push(Row { rowid: row.get(0)?, cells, null_key });
    }
    Ok(rows)
}

/// A value with its type; text comes as its bytes.
pub(super) fn cell(value: ValueRef<'_>, is_text: bool) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let kind = if is_text { "text" } else { "blob" };
            let sum = crc32fast::hash(bytes);
            match bytes {
                _ if bytes.len() > LONG => {
                    format!("{kind} of {} bytes, sum {sum:08x}", bytes.len())
                }
                _ if is_text => format!("'{}'", bytes.escape_ascii()),
                _ => {
                    bytes.iter().fold("x'".to_owned(), |text, byte| text + &format!("{byte:02x}"))
                        + "'"
                }
            }
        }
    }
}
