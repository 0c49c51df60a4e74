//! Runs a script as SQLite's shell does.

use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, ffi};

use super::shell;

/// Runs the script on the database, with the settings of the shell before 3.42, or of those since
/// then (`defensive`); with the shell itself if `WALSMITH_SHELL` names it. Errors in order.
pub(super) fn run(database: &Path, script: &Path, defensive: bool) -> Vec<String> {
    if let Ok(program) = std::env::var("WALSMITH_SHELL") {
        let input = Stdio::from(fs::File::open(script).unwrap());
        let output = Command::new(program).arg(database).stdin(input).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        return errors.lines().map(str::to_owned).collect();
    }
    let connection = shell(database);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, defensive).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, !defensive).unwrap();
    let (mut errors, mut bail) = (Vec::new(), false);
    let text = fs::read_to_string(script).unwrap();
    let mut statement = String::new();
    // Line by line, until SQLite says that a statement is complete; on after an error.
    // The shell ends lines with LF alone, whatever the file has, in literals as well.
    for line in text.lines() {
        if statement.trim().is_empty() && line.starts_with('.') {
            bail |= line.trim() == ".bail on";
            continue;
        }
        statement += line;
        statement.push('\n');
        if !line.trim_end().ends_with(';') || !complete(&statement) {
            continue;
        }
        if let Err(error) = all(&connection, &statement) {
            let cut: String = statement.trim().chars().take(300).collect();
            errors.push(format!("{error}: {cut}"));
            if bail {
                break;
            }
        }
        statement.clear();
    }
    let rest: Vec<&str> = statement.lines().filter(|line| !line.starts_with("--")).collect();
    if !rest.concat().trim().is_empty() {
        errors.push(format!("incomplete: {}", rest.join("\n")));
    }
    if !connection.is_autocommit() {
        errors.push("a transaction is left open".to_owned());
    }
    errors
}

fn complete(statement: &str) -> bool {
    let Ok(text) = CString::new(statement) else { return true };
    // SAFETY: the text ends in NUL.
    unsafe { ffi::sqlite3_complete(text.as_ptr()) != 0 }
}

/// Every statement to its last row.
fn all(connection: &Connection, statements: &str) -> rusqlite::Result<()> {
    let mut batch = Batch::new(connection, statements);
    while let Some(mut statement) = batch.next()? {
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}
