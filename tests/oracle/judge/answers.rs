//! What SQLite answers to many statements about a state, and which: everything in it by bytes and
//! type, sums of it, its schema, and how it differs from another state.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use crate::histories::schema::{ALIASES, quoted};
use crate::see::open;

/// The statements with what SQLite answers: `sql`, and `rows` or an `error`. In them, `main` is the
/// database of `at` and `other` that of `also`. A `refusal` instead where SQLite does not attach
/// the other.
pub(super) fn of(at: &Path, also: &Path) -> Value {
    let connection = open(at);
    if let Err(error) = connection.execute("ATTACH ? AS other", [also.to_str().unwrap()]) {
        return json!({"refusal": error.to_string()});
    }
    let answer = |sql: String| match rows(&connection, &sql) {
        Ok(rows) => json!({"sql": sql, "rows": rows}),
        Err(error) => json!({"sql": sql, "error": error.to_string()}),
    };
    statements(&connection).into_iter().map(answer).collect()
}

fn statements(connection: &Connection) -> Vec<String> {
    let schema = "type, hex(name), hex(tbl_name), rootpage, hex(sql)";
    let mut all = vec![
        format!("SELECT {schema} FROM sqlite_schema ORDER BY rowid"),
        format!(
            "SELECT {schema} FROM other.sqlite_schema EXCEPT SELECT {schema} FROM sqlite_schema"
        ),
        "PRAGMA integrity_check".to_owned(),
        "SELECT user_version, encoding FROM pragma_user_version, pragma_encoding".to_owned(),
    ];
    let sql = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type <> 'view'";
    let mut statement = connection.prepare(sql).unwrap();
    let table = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
    let tables = statement.query_map([], table).unwrap();
    for (name, without_rowid) in tables.filter_map(Result::ok) {
        of_table(connection, &name, without_rowid, &mut all);
    }
    all
}

fn of_table(connection: &Connection, name: &str, without_rowid: bool, all: &mut Vec<String>) {
    let list = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1";
    let mut statement = connection.prepare(list).unwrap();
    let columns = statement.query_map([name], |row| row.get(0)).unwrap();
    let columns: Vec<String> = columns.filter_map(Result::ok).collect();
    let Some(first) = columns.first() else { return };
    let free = |alias: &&str| columns.iter().all(|it| !it.eq_ignore_ascii_case(alias));
    let alias = ALIASES.into_iter().find(|alias| !without_rowid && free(alias));
    let table = quoted(name);
    let exact = |it: &String| {
        let it = quoted(it);
        format!(
            "typeof({it}), CASE typeof({it}) WHEN 'text' THEN hex(CAST({it} AS BLOB)) \
             ELSE quote({it}) END"
        )
    };
    let cells: Vec<String> = columns.iter().map(exact).collect();
    let cells = cells.join(", ");
    all.push(match alias {
        Some(alias) => format!("SELECT {alias}, {cells} FROM main.{table} ORDER BY {alias}"),
        None => format!("SELECT {cells} FROM main.{table}"),
    });
    let sum = |it: &String| {
        let it = quoted(it);
        format!("count({it}), hex(max({it})), sum(length(CAST({it} AS BLOB)))")
    };
    let sums: Vec<String> = columns.iter().map(sum).collect();
    let first = quoted(first);
    all.push(format!(
        "SELECT typeof({first}), count(*), {} FROM main.{table} GROUP BY typeof({first})",
        sums.join(", ")
    ));
    // Where the other state has such a table; otherwise both say that there is none.
    for (one, minus) in [("main", "other"), ("other", "main")] {
        all.push(format!(
            "SELECT {cells} FROM {one}.{table} EXCEPT SELECT {cells} FROM {minus}.{table}"
        ));
    }
}

fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Vec<Value>>> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cell = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(blob) => panic!("{sql}: {} bytes", blob.len()),
            })
        };
        rows.push((0..columns).map(cell).collect::<rusqlite::Result<_>>()?);
    }
    Ok(rows)
}
