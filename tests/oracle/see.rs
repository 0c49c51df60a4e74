//! What SQLite sees of a database and its log.

use std::io::{self, BufRead, Write};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

/// Most pages that are listed: a damaged commit size may promise billions.
const LISTED_PAGES: u32 = 512;

/// Reads paths of private copies from stdin, one a line; answers each with a line of JSON.
pub(crate) fn see() {
    let mut answers = io::stdout().lock();
    for path in io::stdin().lock().lines() {
        let answer = answer(Path::new(&path.unwrap()));
        writeln!(answers, "{answer}").unwrap();
        answers.flush().unwrap();
    }
}

/// Opens without the checkpoint and deletion of the last close.
pub(crate) fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(path, flags).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    connection
}

/// Reads paths of private copies from stdin, one a line; answers each with the rows of
/// `PRAGMA integrity_check` or of `pragma`, or with the error instead, in a JSON list.
pub(crate) fn check(pragma: Option<&str>) {
    let pragma = format!("PRAGMA {}", pragma.unwrap_or("integrity_check"));
    let mut answers = io::stdout().lock();
    for path in io::stdin().lock().lines() {
        let found = problems(&open(Path::new(&path.unwrap())), &pragma);
        let found = found.unwrap_or_else(|error| vec![format!("error: {error}")]);
        writeln!(answers, "{}", Value::from(found)).unwrap();
        answers.flush().unwrap();
    }
}

/// Reads lists of a path and an expression from stdin, one a line; answers each with whether WHERE
/// takes it for true, or with null where SQLite refuses it.
pub(crate) fn is_true() {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let (path, value): (String, String) = serde_json::from_str(&line.unwrap()).unwrap();
        let sql = format!("SELECT count(*) FROM (SELECT 1 WHERE ({value}))");
        let found = open(Path::new(&path)).query_row(&sql, [], |row| row.get::<_, i64>(0));
        writeln!(answers, "{}", json!(found.ok().map(|rows| rows > 0))).unwrap();
        answers.flush().unwrap();
    }
}

fn problems(connection: &Connection, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(pragma)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    rows.collect()
}

fn answer(path: &Path) -> Value {
    let connection = open(path);
    let pages = pages(&connection);
    let error = pages.as_ref().err().map(|error| {
        let code = error.sqlite_error().map(|sqlite| sqlite.extended_code);
        json!({"code": code, "message": error.to_string()})
    });
    let mut shm = path.as_os_str().to_owned();
    shm.push("-shm");
    // The connection is not used again: reading its wal-index here may drop its locks.
    let index = std::fs::read(shm).unwrap_or_default();
    let word = |at: usize| u32::from_ne_bytes(index[at..at + 4].try_into().unwrap());
    let valid = index.len() >= 136 && index[12] == 1 && index[..48] == index[48..96];
    json!({
        "error": error,
        "mx_frame": valid.then(|| word(16)),
        "db_size_pages": valid.then(|| word(20)),
        "pages": pages.unwrap_or_default(),
    })
}

/// CRC-32 of every page as SQLite's pager gives it, up to `LISTED_PAGES`.
fn pages(connection: &Connection) -> rusqlite::Result<Vec<u32>> {
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    let sql = "SELECT data FROM sqlite_dbpage ORDER BY pgno LIMIT ?";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([LISTED_PAGES])?;
    let mut pages = Vec::new();
    while let Some(row) = rows.next()? {
        pages.push(crc32fast::hash(row.get_ref(0)?.as_blob().unwrap_or_default()));
    }
    Ok(pages)
}

/// Prints the rows of `sql`, a JSON list a line.
pub(crate) fn rows(path: &Path, sql: &str) {
    let connection = open(path);
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let cells: Vec<Value> = (0..columns)
            .map(|column| match row.get_ref(column).unwrap() {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Blob(blob) => crc32fast::hash(blob).into(),
            })
            .collect();
        println!("{}", Value::from(cells));
    }
}
