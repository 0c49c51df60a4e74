//! `rewind`: what SQLite sees afterwards is what it saw after that transaction.
//!
//! `WALSMITH_REWINDS=3000 cargo test --release --test suite rewind` makes more histories.

mod crashes;
mod live;
mod races;
mod refusals;
mod states;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::round_trip::judge::{Judge, strings};
use crate::support::{beside, oracle, rows, text, walsmith};

/// The generation of the log beside `database`, as arguments name it.
pub(crate) fn generation(database: &Path) -> String {
    let log = fs::read(beside(database, "-wal")).unwrap();
    let salt =
        |at: usize| -> String { log[at..at + 4].iter().map(|b| format!("{b:02x}")).collect() };
    format!("{}-{}", salt(16), salt(20))
}

/// Rewinds to `to` in the generation that the log has now; the report and the exit code.
fn rewind(database: &Path, to: &str) -> (Value, i32) {
    rewind_in(database, to, &generation(database), &[])
}

/// The same where nothing tells whether the file is of a later time than the log, which the exit
/// code says.
fn rewind_accepting(database: &Path, to: &str) -> (Value, i32) {
    let (report, exit) = rewind_in(database, to, &generation(database), &["--accept-foreign"]);
    (report, if exit == 5 { 0 } else { exit })
}

fn rewind_in(database: &Path, to: &str, generation: &str, more: &[&str]) -> (Value, i32) {
    let args = ["rewind", text(database), "--to", to, "--generation", generation];
    walsmith(&[&args, more].concat())
}

/// A copy of a database and its log.
fn copied(database: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let from = beside(database, suffix);
        if from.exists() {
            fs::copy(from, beside(&copy, suffix)).unwrap();
        }
    }
    (folder, copy)
}

/// What `database` is otherwise than `wanted`, once SQLite has copied its log into a copy of it.
fn differences(judge: &mut Judge, database: &Path, wanted: &Path) -> Vec<String> {
    let (folder, copy) = copied(database);
    let script = folder.path().join("empty.sql");
    fs::write(&script, "").unwrap();
    let mut found = Vec::new();
    for pragma in ["page_count", "freelist_count", "auto_vacuum", "encoding"] {
        let sql = format!("PRAGMA {pragma}");
        let [is, was] = [copy.as_path(), wanted].map(|path| rows(path, &sql));
        if is != was {
            found.push(format!("{pragma} is {}, and not {}", is.trim(), was.trim()));
        }
    }
    oracle(&["run", text(&copy), "PRAGMA wal_checkpoint(TRUNCATE)"]);
    let sound = rows(&copy, "PRAGMA integrity_check");
    if sound.trim() != "[\"ok\"]" {
        found.push(format!("integrity_check: {sound}"));
    }
    let judged = judge.script([&copy, wanted, &script], false, &[]);
    found.extend(strings(&judged["differences"]));
    found
}
