//! An older copy of the file beside the log that came after: pages that the database had grown by
//! before the log are nowhere. It is not called newer, and a large one is not passed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{beside, oracle, oracle_program, rows, text, walsmith};

/// A file with so many MiB that no log writes, as it was before rows and a table were added and
/// copied into it, beside the log of `changes` that came after.
fn older(filler_mib: u32, changes: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (own, path) = (folder.path().join("own.db"), folder.path().join("x.db"));
    let inserts = |from: u32, to: u32, what: &str| {
        format!(
            "WITH n(i) AS (VALUES({from}) UNION ALL SELECT i + 1 FROM n WHERE i < {to})
             INSERT INTO t SELECT i, replace(hex(zeroblob(9)), '00', '{what}' || i || ' ') FROM n;"
        )
    };
    let before = format!(
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; BEGIN;
         CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE g(x); CREATE TABLE f(x);
         INSERT INTO f VALUES(zeroblob({filler_mib} << 20));
         WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 6)
         INSERT INTO g SELECT CAST(replace(hex(zeroblob(1500)), '0', 'g') AS BLOB) FROM n;
         {} COMMIT; PRAGMA wal_checkpoint(TRUNCATE);",
        inserts(0, 1999, "old")
    );
    oracle(&["run", text(&own), &before]);
    fs::copy(&own, &path).unwrap();
    let after = format!(
        "PRAGMA wal_autocheckpoint=0; {} CREATE TABLE z(x); PRAGMA wal_checkpoint(TRUNCATE);
         {changes}",
        inserts(2000, 2699, "new")
    );
    Command::new(oracle_program()).args(["write-and-die", text(&own), &after]).output().unwrap();
    fs::copy(beside(&own, "-wal"), beside(&path, "-wal")).unwrap();
    (folder, path)
}

const CHANGES: &str = "INSERT INTO z VALUES(1); UPDATE t SET v = 'chg ' || v WHERE id > 2690;
                       UPDATE t SET v = 'changed' WHERE id = 5;";

fn errors(path: &Path) -> Vec<String> {
    let (report, exit) = walsmith(&["doctor", text(path)]);
    let findings = report["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|it| it["severity"] == "error");
    let errors: Vec<String> = errors.map(|it| it["rule"].as_str().unwrap().to_owned()).collect();
    assert_eq!(exit == 1, !errors.is_empty(), "{report:#}");
    errors
}

/// How many of the 2,700 rows SQLite sees of the two together.
fn rows_seen(folder: &TempDir, path: &Path) -> String {
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        fs::copy(beside(path, suffix), beside(&copy, suffix)).unwrap();
    }
    rows(&copy, "SELECT count(*) FROM t")
}

#[test]
fn an_older_file_is_not_called_newer() {
    for before in ["", "DELETE FROM g WHERE rowid = 2;", "PRAGMA user_version=5;"] {
        let (folder, path) = older(1, &format!("{before} {CHANGES}"));
        assert_eq!(rows_seen(&folder, &path), "[2000]\n", "{before}");
        assert_eq!(errors(&path), ["file-older"], "{before}");
        let (report, _) = walsmith(&["repair", text(&path)]);
        assert_eq!(report["file_age"], "not-newer", "{before}: {report:#}");
    }
}

#[test]
fn pages_that_are_nowhere_are_found_in_a_large_file_as_well() {
    let (folder, path) = older(65, &format!("PRAGMA user_version=5; {CHANGES}"));
    assert_eq!(rows_seen(&folder, &path), "[2000]\n");
    assert_eq!(errors(&path), ["file-older"]);
    assert_eq!(walsmith(&["checkpoint-now", "--dry-run", text(&path)]).1, 6);
    let output = folder.path().join("out.db");
    assert_eq!(walsmith(&["replay", text(&path), "--output", text(&output)]).1, 6);
    assert!(!output.exists());
}

#[test]
fn a_pointer_map_that_begins_like_an_interior_page_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    // 17,222 is a page of the map, and its first entry is for a page below a root.
    let sql = "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; CREATE TABLE f(x);
        INSERT INTO f VALUES(zeroblob(67 << 20)); CREATE TABLE t(id INTEGER PRIMARY KEY, v);
        PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint=0;
        WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 400)
        INSERT INTO t SELECT i, hex(zeroblob(900)) FROM n;";
    Command::new(oracle_program()).args(["write-and-die", text(&path), sql]).output().unwrap();
    assert_eq!(errors(&path), Vec::<String>::new());
}
