//! How SQLite describes the columns of a table.

use std::io::{self, BufRead, Write};

use rusqlite::Connection;
use serde_json::{Value, json};

/// For each line of stdin, a JSON list of statements that make and change the table `t`: its stored
/// statement and the rows of `PRAGMA table_xinfo`, or null where SQLite refuses one.
pub(crate) fn columns() {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let statements: Vec<String> = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = described(&statements).unwrap_or(Value::Null);
        writeln!(answers, "{answer}").unwrap();
        answers.flush().unwrap();
    }
}

fn described(statements: &[String]) -> rusqlite::Result<Value> {
    let connection = Connection::open_in_memory()?;
    for statement in statements {
        connection.execute_batch(statement)?;
    }
    let sql: String =
        connection
            .query_row("SELECT sql FROM sqlite_schema WHERE name = 't'", [], |it| it.get(0))?;
    let mut columns = connection.prepare("SELECT * FROM pragma_table_xinfo('t')")?;
    let columns = columns.query_map([], |row| {
        Ok(json!({
            "name": row.get::<_, String>(1)?,
            "type": row.get::<_, String>(2)?,
            "not_null": row.get::<_, i64>(3)? != 0,
            "default": row.get::<_, Option<String>>(4)?,
            "key": row.get::<_, i64>(5)?,
            "hidden": row.get::<_, i64>(6)?,
        }))
    })?;
    let columns: Vec<Value> = columns.collect::<Result<_, _>>()?;
    let list = "SELECT wr, strict FROM pragma_table_list('t')";
    let (without_rowid, strict): (bool, bool) =
        connection.query_row(list, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // A primary key without an index is the row id.
    let indexes = "SELECT count(*) FROM pragma_index_list('t') WHERE origin = 'pk'";
    let indexes: i64 = connection.query_row(indexes, [], |row| row.get(0))?;
    let key = columns.iter().position(|column| column["key"] == 1);
    let row_id = key.filter(|_| indexes == 0 && !without_rowid);
    Ok(json!({
        "sql": sql,
        "columns": columns,
        "without_rowid": without_rowid,
        "strict": strict,
        "row_id": row_id,
    }))
}
