//! What SQLite does to a set of files when one more process opens them.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

/// Reads paths of private copies from stdin, one a line; opens each, runs a SELECT and a PASSIVE
/// checkpoint, closes, and answers with a line of JSON.
pub(crate) fn foresee() {
    let mut answers = io::stdout().lock();
    for path in io::stdin().lock().lines() {
        let answer = answer(Path::new(&path.unwrap()));
        writeln!(answers, "{answer}").unwrap();
        answers.flush().unwrap();
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}

fn answer(path: &Path) -> Value {
    let (log, journal) = (beside(path, "-wal"), beside(path, "-journal"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = match Connection::open_with_flags(path, flags) {
        Ok(connection) => connection,
        // Not even the file could be opened.
        Err(error) => {
            return json!({
                "open": code(&error),
                "log_after_open": log.exists(),
                "log_after_close": log.exists(),
                "journal_after_open": journal.exists(),
            });
        }
    };
    let first: rusqlite::Result<i64> =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
    let open = first.as_ref().err().map_or(0, code);
    let size: Option<i64> = match first {
        Ok(_) => connection.query_row("PRAGMA page_count", [], |row| row.get(0)).ok(),
        Err(_) => None,
    };
    let (log_after_open, journal_after_open) = (log.exists(), journal.exists());
    let triple = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let checkpoint: rusqlite::Result<(i64, i64, i64)> =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], triple);
    let checkpoint = match checkpoint {
        Ok(triple) => json!(triple),
        Err(error) => json!(code(&error)),
    };
    drop(connection);
    json!({
        "open": open,
        "db_size_pages": size,
        "checkpoint": checkpoint,
        "log_after_open": log_after_open,
        "log_after_close": log.exists(),
        "journal_after_open": journal_after_open,
    })
}

/// The primary code of SQLite.
fn code(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(-1, |sqlite| sqlite.extended_code & 0xff)
}
