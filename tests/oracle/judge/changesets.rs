//! Changesets, applied by SQLite.

use std::path::Path;

use rusqlite::config::DbConfig;
use serde_json::{Value, json};

use super::contents::Contents;
use super::{copy, shell};
use crate::session::{Session, apply};

/// What became of a copy of `from`: the error and the conflicts, and how the tables that a
/// changeset can change differ from those of `to`.
pub(super) fn judged(from: &Path, to: &Path, changeset: &mut [u8]) -> Value {
    let (_folder, path) = copy(from);
    let connection = shell(&path);
    // What triggers did is in the changeset.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    let applied = apply(&connection, changeset);
    drop(connection);
    let (before, mut made, mut wanted) =
        (Contents::read(from), Contents::read(&path), Contents::read(to));
    // A rowid that is no column is not in a changeset.
    [&mut made, &mut wanted].into_iter().for_each(Contents::forget_rowids);
    let mut differences = Vec::new();
    for (name, table) in &wanted.tables {
        let same = before.tables.get(name).is_some_and(|it| it.sql == table.sql);
        if same && table.has_key && !table.sql.starts_with("CREATE VIRTUAL") {
            let made = &made.tables[name];
            differences.extend(made.differences(table, name, |row| !row.null_key));
        }
    }
    json!({
        "error": applied.error,
        "conflicts": applied.conflicts,
        "differences": differences,
    })
}

/// The same with what SQLite finds between the two.
pub(super) fn own(from: &Path, to: &Path) -> Value {
    let (_folder, path) = copy(to);
    let connection = shell(&path);
    connection.execute("ATTACH ? AS before", [from.to_str().unwrap()]).unwrap();
    let sql = "SELECT name FROM main.sqlite_schema JOIN before.sqlite_schema b USING (name, sql)
               WHERE b.type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
    let mut statement = connection.prepare(sql).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    let changeset = Session::between(&connection, "before", &names).changeset();
    drop(statement);
    judged(from, to, &mut changeset.unwrap_or_default())
}
