//! Logs in which an application drops every table that the file has: they are its own all the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{oracle_program, rows, text, walsmith};

/// A database after `before`, with a log in which `after` was done.
fn replaced(before: &str, after: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {before}
         PRAGMA wal_checkpoint(TRUNCATE); {after}"
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&path), &sql]).output().unwrap();
    (folder, path)
}

/// The words of what speaks against the pair.
fn against(path: &Path) -> Vec<String> {
    let (report, _) = walsmith(&["info", text(path)]);
    let reasons = report["pairing"]["reasons"].as_array().unwrap();
    let against = reasons.iter().filter(|reason| reason["speaks_for"] == "foreign");
    against.map(ToString::to_string).collect()
}

/// The log of `other`, beside `file`, has none of its tables.
fn must_contradict(file: &Path, other: &Path) {
    std::fs::copy(other.with_extension("db-wal"), file.with_extension("db-wal")).unwrap();
    let found = against(file);
    assert!(found.iter().any(|reason| reason.contains("none of the file's tables")), "{found:?}");
}

#[test]
fn tables_that_are_dropped_in_one_go_do_not_speak_against_their_log() {
    let rows_of = |table: &str| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
             INSERT INTO {table} SELECT NULL, hex(randomblob(90)) FROM n;"
        )
    };
    let users = "CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name);
                 CREATE INDEX users_by_name ON users(name);";
    let orders = "CREATE TABLE orders(id INTEGER PRIMARY KEY, what);";
    let (of_users, of_orders) = (rows_of("users"), rows_of("orders"));
    let drop = "DROP TABLE users; CREATE TABLE e(x);";
    let migration = "BEGIN; CREATE TABLE people(id INTEGER PRIMARY KEY AUTOINCREMENT, name);
                     INSERT INTO people SELECT id, name FROM users LIMIT 5; DROP TABLE users;
                     DROP TABLE orders; CREATE TABLE sales(id INTEGER PRIMARY KEY, p); COMMIT;";
    let pairs = [
        (users.to_owned(), drop),
        (format!("{users} {of_users}"), drop),
        (format!("PRAGMA auto_vacuum=FULL; {users} {of_users}"), drop),
        (format!("PRAGMA secure_delete=ON; {users} {of_users}"), drop),
        (format!("{users} {orders} {of_users} {of_orders}"), migration),
        (format!("PRAGMA page_size=512; {users} {orders} {of_users} {of_orders}"), migration),
        (format!("{orders} {of_orders}"), "DROP TABLE orders; CREATE TABLE new(x);"),
    ];
    for (before, after) in pairs {
        let (_folder, path) = replaced(&before, after);
        assert_eq!(rows(&path, "PRAGMA integrity_check"), "[\"ok\"]\n", "{before}");
        assert_eq!(against(&path), Vec::<String>::new(), "{before} {after}");
        let (report, _) = walsmith(&["doctor", text(&path)]);
        assert_eq!(report["findings"].as_array().map_or(0, Vec::len), 1, "{report:#}");
        assert_eq!(report["findings"][0]["rule"], "only-in-log", "{before} {report:#}");
    }
}

#[test]
fn tables_that_nobody_has_dropped_speak_against_a_log() {
    // Of two databases with the same pages in use, the one whose roots the other's log never wrote.
    let (_ours, file) = replaced("CREATE TABLE a(x, y); INSERT INTO a VALUES(1, 2);", "");
    let (_theirs, other) = replaced(
        "CREATE TABLE b(p, q); CREATE TABLE c(r); INSERT INTO b VALUES(3, 4);",
        "INSERT INTO c VALUES(5); CREATE TABLE d(s);",
    );
    must_contradict(&file, &other);
}

#[test]
fn other_tables_speak_against_a_log_that_has_not_made_them_on_the_roots_of_the_file() {
    let (_ours, file) = replaced("CREATE TABLE a(x, y); INSERT INTO a VALUES(1, 2);", "");
    let (_theirs, other) = replaced(
        "CREATE TABLE b(p, q); CREATE TABLE k(r); INSERT INTO b VALUES(3, 4);
         CREATE TABLE c(r); DROP TABLE c;",
        "UPDATE b SET p = 5; CREATE TABLE d(s);",
    );
    must_contradict(&file, &other);
}

#[test]
fn rows_of_sqlites_own_tables_that_a_drop_would_delete_speak_against_a_log() {
    let new = "BEGIN; CREATE TABLE n(id INTEGER PRIMARY KEY, v); INSERT INTO n(v) VALUES(1);
               ALTER TABLE n ADD COLUMN c0; ALTER TABLE n ADD COLUMN c1;
               ALTER TABLE n ADD COLUMN c2; DROP TABLE beta; COMMIT;";
    for (ours, theirs) in [
        (
            "BEGIN; CREATE TABLE alpha(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
             INSERT INTO alpha(v) VALUES('mine'); COMMIT;",
            "BEGIN; CREATE TABLE beta(id INTEGER PRIMARY KEY AUTOINCREMENT, v); COMMIT;",
        ),
        (
            "BEGIN; CREATE TABLE alpha(id INTEGER PRIMARY KEY, v); CREATE INDEX ia ON alpha(v);
             INSERT INTO alpha(v) VALUES('mine'); ANALYZE; COMMIT;",
            "BEGIN; CREATE TABLE beta(id INTEGER PRIMARY KEY, v); CREATE INDEX ib ON beta(v);
             ANALYZE; COMMIT;",
        ),
    ] {
        let (_ours, file) = replaced(ours, "");
        let (_theirs, other) = replaced(theirs, new);
        must_contradict(&file, &other);
        assert_eq!(walsmith(&["checkpoint-now", "--dry-run", text(&file)]).1, 6, "{theirs}");
    }
}
