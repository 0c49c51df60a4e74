//! How SQLite describes the indexes of a table.

use std::io::{self, BufRead, Write};
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

/// For each line of stdin, the path of a new database and a JSON list of statements that make the
/// table `t` and its indexes: what `PRAGMA index_list` and `index_xinfo` say, or null where SQLite
/// refuses a statement.
pub(crate) fn indexes() {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let (path, statements): (String, Vec<String>) =
            serde_json::from_str(&line.unwrap()).unwrap();
        let answer = described(Path::new(&path), &statements).unwrap_or(Value::Null);
        writeln!(answers, "{answer}").unwrap();
        answers.flush().unwrap();
    }
}

fn described(path: &Path, statements: &[String]) -> rusqlite::Result<Value> {
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN")?;
    for statement in statements {
        connection.execute_batch(statement)?;
    }
    connection.execute_batch("COMMIT")?;
    let list = "SELECT name, \"unique\", partial FROM pragma_index_list('t')";
    let mut indexes = connection.prepare(list)?;
    let indexes = indexes.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, row.get::<_, bool>(2)?))
    })?;
    let mut all = Vec::new();
    for index in indexes {
        let (name, unique, partial) = index?;
        let sql =
            "SELECT cid, name, desc, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno";
        let mut keys = connection.prepare(sql)?;
        let keys = keys.query_map([&name], |row| {
            Ok(json!({
                "cid": row.get::<_, i64>(0)?,
                "name": row.get::<_, Option<String>>(1)?,
                "desc": row.get::<_, bool>(2)?,
                "collation": row.get::<_, String>(3)?,
            }))
        })?;
        let keys: Vec<Value> = keys.collect::<Result<_, _>>()?;
        all.push(json!({"name": name, "unique": unique, "partial": partial, "keys": keys}));
    }
    Ok(all.into())
}
