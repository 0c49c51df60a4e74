//! Defaults of columns that were added later, asked of SQLite.

use std::process::Command;

use serde_json::Value;

use crate::support::{oracle_program, rows, text, walsmith};

/// Literals of defaults, with the affinity of each declared type: what a row is read with that was
/// written before the column was added.
#[test]
fn a_default_is_what_sqlite_reads_for_an_old_row() {
    const LITERALS: [&str; 33] = [
        "1",
        "-1",
        "+1",
        "0",
        "1.0",
        "-1.0",
        "0.0",
        "-0.0",
        "1.5",
        "1e2",
        "-1E2",
        "1e15",
        "1e19",
        "+2.50",
        ".5",
        "5.",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "99999999999999999999",
        "0x10",
        "-0x10",
        "'1.0'",
        "' 12 '",
        "'abc'",
        "'1e3'",
        "''",
        "NULL",
        "TRUE",
        "false",
        "x'31'",
        "x''",
        "word",
    ];
    const TYPES: [&str; 6] = ["", "BLOB", "TEXT", "INT", "REAL", "NUMERIC"];
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let mut added = String::new();
    let mut names = Vec::new();
    for literal in LITERALS {
        for declared in TYPES {
            let name = format!("c{}", names.len());
            added += &format!("ALTER TABLE t ADD COLUMN {name} {declared} DEFAULT {literal};");
            names.push((name, literal, declared));
        }
    }
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
         INSERT INTO t VALUES(1), (2); {added} PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM t WHERE a = 1;"
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    let (report, exit) = walsmith(&["log", "--patch", text(&database)]);
    assert_eq!(exit, 0, "{report}");
    let row = &report["transactions"][0]["rows"][0]["before"];
    let mut wrong = Vec::new();
    for (name, literal, declared) in names {
        let sql = format!("SELECT typeof({name}), {name}, quote({name}) FROM t WHERE a = 2");
        let answer: Value = serde_json::from_str(rows(&database, &sql).trim()).unwrap();
        let ours = &row[&name];
        let kind = match ours {
            Value::Null => "null",
            Value::Number(number) if number.is_f64() => "real",
            Value::Number(_) => "integer",
            Value::String(_) => "text",
            _ => "blob",
        };
        let [our_text, their_text] = [ours, &answer[1]].map(ToString::to_string);
        let is_same =
            kind == answer[0] && (kind == "blob" || kind == "null" || our_text == their_text);
        if !is_same {
            wrong.push(format!("{declared} DEFAULT {literal}: {ours}, and SQLite: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
