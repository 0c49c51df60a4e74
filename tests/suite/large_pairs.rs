//! Databases that are too large to be checked as a whole, and logs that are not theirs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::pairing::judged;
use crate::support::{and_die, beside, oracle, text, walsmith};

/// A database of more than 64 MiB, whose log has interior pages above leaves of the file.
fn large(folder: &Path, name: &str, before: &str, row_bytes: u32) -> PathBuf {
    let path = folder.join(name);
    let rows = 70_000_000 / row_bytes;
    let setup = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; {before}
         CREATE TABLE t(a INTEGER PRIMARY KEY, b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows})
         INSERT INTO t SELECT i * 10, randomblob({row_bytes}) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         INSERT INTO t SELECT a + 1, randomblob(3000) FROM t WHERE a % 5000 = 0;"
    );
    oracle(&["run", text(&path), &setup]);
    assert!(fs::metadata(&path).unwrap().len() > 64 << 20);
    path
}

#[test]
fn of_large_databases_the_pages_below_the_log_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let one = large(folder.path(), "one.db", "", 900);
    let other =
        large(folder.path(), "other.db", "CREATE TABLE u(x); CREATE INDEX u_x ON u(x);", 1300);
    let same = judged(&one);
    // Nothing of the log was copied.
    assert_eq!((same.0["verdict"].as_str(), same.1), (Some("cannot-tell"), 0), "{:#}", same.0);
    fs::copy(beside(&other, "-wal"), beside(&one, "-wal")).unwrap();
    let (pairing, exit) = judged(&one);
    assert_eq!((pairing["verdict"].as_str(), exit), (Some("foreign"), 6), "{pairing:#}");
    let reasons = pairing["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason["evidence"] == "order"), "{pairing:#}");
}

/// The log of another database, or of a later state of the same: without a page 1 and without
/// interior pages, only the pages of the file that are above its leaves say so.
#[test]
fn of_large_databases_the_pages_above_the_log_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &Path, word: &str, after: &str| {
        let rows = |table: &str| {
            format!(
                "CREATE TABLE {table}(a INTEGER PRIMARY KEY, b);
                 CREATE INDEX {table}_b ON {table}(b);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000)
                 INSERT INTO {table} SELECT i, printf('{word}%.*c', i % 70, 'x') FROM n;"
            )
        };
        let sql = format!(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; {} {}
             CREATE TABLE filler(x); INSERT INTO filler VALUES(zeroblob(70000000));
             PRAGMA wal_checkpoint(TRUNCATE); {after}",
            rows("t"),
            rows("u")
        );
        and_die(&["write-and-die", text(path), &sql]);
        assert!(fs::metadata(path).unwrap().len() > 64 << 20);
    };
    let [one, other] = ["one.db", "other.db"].map(|name| folder.path().join(name));
    write(&one, "a", "UPDATE t SET b = 'new' WHERE a % 7 = 0; DELETE FROM u WHERE a % 3 = 1;");
    write(
        &other,
        "somewhat longer",
        "UPDATE t SET b = 'z' WHERE a % 9 = 0; DELETE FROM u WHERE a > 9;",
    );
    for path in [&one, &other] {
        let (pairing, exit) = judged(path);
        let reasons = pairing["reasons"].as_array().unwrap();
        let speaks_against = reasons.iter().any(|reason| reason["speaks_for"] == "foreign");
        assert!(!speaks_against && exit == 0, "{pairing:#}");
        // What is not looked at is said.
        let (report, exit) = walsmith(&["doctor", text(path)]);
        let diagnosis = report["diagnosis"].as_str().unwrap();
        assert!(exit == 0 && diagnosis.contains("; but "), "{diagnosis}");
        let (report, exit) = walsmith(&["check", text(path)]);
        assert_eq!((report["sound"].as_bool(), exit), (Some(true), 0), "{report:#}");
    }
    for (file, log) in [(&one, &other), (&other, &one)] {
        let mixed = folder.path().join("mixed.db");
        fs::copy(file, &mixed).unwrap();
        fs::copy(beside(log, "-wal"), beside(&mixed, "-wal")).unwrap();
        let (report, exit) = walsmith(&["doctor", text(&mixed)]);
        let rules: Vec<&str> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["severity"] == "error")
            .filter_map(|finding| finding["rule"].as_str())
            .collect();
        assert!(exit == 1 && !rules.is_empty(), "{report:#}");
        let (pairing, exit) = judged(&mixed);
        assert_eq!(exit, 6, "{pairing:#}");
        let reasons = pairing["reasons"].as_array().unwrap();
        let is_about_a_page = |it: &Value| {
            let example = it["example"].as_str().unwrap();
            example.contains(" of the log is ") && it["page"].as_u64().is_some()
        };
        assert!(reasons.iter().any(is_about_a_page), "{pairing:#}");
    }
}
