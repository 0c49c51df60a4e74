//! The tables that a history has at the moment, for the statements to come.

use rusqlite::Connection;

#[derive(Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    /// Place in the primary key, from 1 on.
    pub(super) key: u32,
    pub(super) generated: bool,
}

#[derive(Clone)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) sql: String,
    /// A name of the rowid that no column has.
    pub(super) alias: Option<&'static str>,
}

/// A name in quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Strings of one column.
pub(super) fn strings(connection: &Connection, sql: &str) -> Vec<String> {
    let Ok(mut statement) = connection.prepare(sql) else { return Vec::new() };
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.filter_map(Result::ok).collect()
}

/// A number, or none where SQLite refuses the statement.
pub(super) fn number(connection: &Connection, sql: &str) -> Option<i64> {
    connection.query_row(sql, [], |row| row.get(0)).ok()
}

/// Names of the objects of a kind, those of SQLite's own aside.
pub(super) fn names(connection: &Connection, kind: &str) -> Vec<String> {
    let sql = format!(
        "SELECT name FROM sqlite_schema WHERE type = '{kind}' AND name NOT LIKE 'sqlite_%'
         ORDER BY rowid"
    );
    strings(connection, &sql)
}

/// The names of a rowid.
pub(crate) const ALIASES: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// Every ordinary table: no virtual ones, and none of theirs.
pub(super) fn tables(connection: &Connection) -> Vec<Table> {
    let sql = "SELECT t.name FROM pragma_table_list t JOIN sqlite_schema s ON s.name = t.name
               WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'
               ORDER BY s.rowid";
    strings(connection, sql).into_iter().map(|name| table(connection, name)).collect()
}

fn table(connection: &Connection, name: String) -> Table {
    let sql = "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)";
    let mut statement = connection.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Column {
            name: row.get(0)?,
            kind: row.get(1)?,
            key: row.get(2)?,
            generated: row.get::<_, u32>(3)? > 1,
        })
    };
    let columns: Vec<Column> =
        statement.query_map([&name], row).unwrap().map(Result::unwrap).collect();
    let sql = "SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'";
    let without_rowid: bool = connection.query_row(sql, [&name], |row| row.get(0)).unwrap();
    let free = |alias: &&str| columns.iter().all(|it| !it.name.eq_ignore_ascii_case(alias));
    let alias = ALIASES.into_iter().find(|alias| !without_rowid && free(alias));
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?";
    let sql = connection.query_row(sql, [&name], |row| row.get(0)).unwrap();
    Table { name, columns, sql, alias }
}

impl Table {
    /// The columns that a statement may write.
    pub(super) fn written(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.generated).collect()
    }

    /// What tells one row from another: the rowid, the key, or the first column.
    pub(super) fn handle(&self) -> String {
        if let Some(alias) = self.alias {
            return alias.to_owned();
        }
        let mut keys: Vec<&Column> = self.columns.iter().filter(|it| it.key > 0).collect();
        if keys.is_empty() {
            keys.extend(self.written().first());
        }
        let names: Vec<String> = keys.iter().map(|it| quoted(&it.name)).collect();
        names.join(", ")
    }
}
