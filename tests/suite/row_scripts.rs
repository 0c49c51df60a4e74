//! Scripts on a state that was changed since, and what is neither a row nor a table.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::row_traps::named;
use crate::support::{oracle, oracle_program, rows, text, walsmith, walsmith_command};

/// A database whose file has what `file` says, and whose log what `log` does.
fn made(file: &str, log: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {file}
         PRAGMA wal_checkpoint(TRUNCATE); {log}"
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    (folder, database)
}

fn script(database: &Path, args: &[&str]) -> (String, i32) {
    let mut command = walsmith_command();
    let output = command.args(["diff", text(database), "--sql"]).args(args).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn a_row_that_was_changed_since_is_left_as_it_is() {
    let (folder, database) = made(
        "CREATE TABLE t(k INTEGER PRIMARY KEY, x TEXT COLLATE NOCASE, y);
         CREATE TABLE n(a TEXT PRIMARY KEY COLLATE NOCASE, b) WITHOUT ROWID;
         INSERT INTO t VALUES(1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (4, 'd', NULL);
         INSERT INTO n VALUES('k', 1), ('l', 1), ('m', 1);",
        "UPDATE t SET y = 55; DELETE FROM n WHERE a IN ('k', 'l'); UPDATE n SET b = 2;",
    );
    let (script, exit) = script(&database, &["--where", "full"]);
    assert_eq!(exit, 1);
    let later = folder.path().join("later.db");
    walsmith(&["replay", text(&database), "--to-txn", "0", "--output", text(&later)]);
    let since = "UPDATE t SET x = 'A' WHERE k = 1; UPDATE t SET y = 1.0 WHERE k = 2;
                 UPDATE n SET a = 'K' WHERE a = 'k'; UPDATE n SET a = 'M' WHERE a = 'm';";
    oracle(&["run", text(&later), since]);
    oracle(&["run", text(&later), &script]);
    let found = rows(&later, "SELECT k, x, y FROM t UNION ALL SELECT a, b, 'n' FROM n ORDER BY 1");
    let wanted = [
        json!([1, "A", 1]),
        json!([2, "b", 1.0]),
        json!([3, "c", 55]),
        json!([4, "d", 55]),
        json!(["K", 1, "n"]),
        json!(["M", 1, "n"]),
    ];
    let found: Vec<Value> = found.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(found, wanted, "{script}");
}

#[test]
fn a_table_that_is_written_anew_asks_for_no_values() {
    let file = "CREATE TABLE t(k INTEGER PRIMARY KEY, x); INSERT INTO t VALUES(1, 2);";
    let (_folder, database) = made(file, "ALTER TABLE t ADD COLUMN y;");
    let (refused, exit) = script(&database, &["--where", "full"]);
    assert_eq!((refused.as_str(), exit), ("", 6));
    let output = walsmith_command().args(["diff", text(&database), "--sql"]).output().unwrap();
    let (written, said) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
    assert!(written.contains("-- another definition, written anew"), "{written}");
    assert!(String::from_utf8_lossy(&said).contains("every row of t: run it only on"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn settings_differ_where_no_row_does() {
    let (_folder, database) = made("CREATE TABLE t(a);", "PRAGMA user_version=9;");
    let (document, exit) = walsmith(&["diff", text(&database)]);
    assert_eq!(exit, 1);
    let changed = json!([{ "name": "user_version", "before": 0, "after": 9 }]);
    assert_eq!(document["settings"], changed);
    let (document, exit) = walsmith(&["diff", text(&database), "--stat"]);
    assert_eq!((&document["settings"], exit), (&changed, 1));
}

#[test]
fn a_table_with_another_name_is_the_same_and_one_that_was_made_anew_is_not() {
    let file = "CREATE TABLE a(x); INSERT INTO a VALUES(1);";
    let (_folder, database) = made(file, "ALTER TABLE a RENAME TO b;");
    let (document, exit) = walsmith(&["log", text(&database)]);
    assert_eq!(exit, 0, "{document}");
    assert_eq!(document["transactions"][0]["tables"], json!([]));
    let again = "BEGIN; DROP TABLE a; CREATE TABLE c(x); INSERT INTO c VALUES(1); COMMIT;";
    let (_folder, database) = made(&format!("CREATE TABLE w(y); {file}"), again);
    // The page that DROP TABLE frees is written as it was: only likely, without an index.
    let (document, exit) = walsmith(&["log", text(&database)]);
    assert_eq!((&document["transactions"][0]["partial"], exit), (&json!(true), 5));
    let (document, exit) = walsmith(&["log", text(&database), "--accept-likely"]);
    assert_eq!(exit, 5);
    let tables = document["transactions"][0]["tables"].as_array().unwrap();
    let found: Vec<_> = tables.iter().map(named).collect();
    assert_eq!(found, [("c".to_owned(), 1, 0, 0), ("a".to_owned(), 0, 0, 1)]);
}

/// What the script of a database whose last transaction is `log` makes of the state before it, and
/// what the database is.
fn applied(file: &str, log: &str, sql: &str) -> [String; 2] {
    let (folder, database) = made(file, log);
    let (script, exit) = script(&database, &[]);
    assert_eq!(exit, 1, "{script}");
    let before = folder.path().join("before.db");
    walsmith(&["replay", text(&database), "--to-txn", "0", "--output", text(&before)]);
    oracle(&["run", text(&before), &script]);
    [rows(&before, sql), rows(&database, sql)]
}

#[test]
fn a_view_that_is_made_anew_gets_its_triggers_again() {
    let file = "CREATE TABLE t(a); CREATE VIEW v AS SELECT a FROM t;
                CREATE TRIGGER i INSTEAD OF INSERT ON V BEGIN INSERT INTO t VALUES(1); END;";
    let log = "BEGIN; DROP VIEW v; CREATE VIEW v AS SELECT a AS b FROM t;
               CREATE TRIGGER i INSTEAD OF INSERT ON V BEGIN INSERT INTO t VALUES(1); END; COMMIT;";
    let sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2";
    let [made, wanted] = applied(file, log, sql);
    assert_eq!(made, wanted);
    assert_eq!(made.lines().count(), 3);
}

#[test]
fn statistics_are_whole_where_a_virtual_table_is_dropped() {
    let file = "CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES(1), (2);
                CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO f VALUES('x'); ANALYZE;";
    let log = "BEGIN; DROP TABLE f; DELETE FROM sqlite_stat1;
               INSERT INTO sqlite_stat1(rowid, tbl, idx, stat) VALUES(1, 't', 'i', '9 9'),
                   (2, 't', 'i', '8 8'), (3, 't', 'i', '7 7'); COMMIT;";
    let [made, wanted] = applied(file, log, "SELECT * FROM sqlite_stat1 ORDER BY 1, 2, 3");
    assert_eq!(made, wanted);
    assert_eq!(made.lines().count(), 3);
}

#[test]
fn a_constraint_that_deletes_rows_while_a_changeset_is_applied_is_named() {
    for (clause, exit) in [("ON CONFLICT REPLACE", 5), ("ON CONFLICT FAIL", 1), ("", 1)] {
        let file = format!(
            "CREATE TABLE t(k INTEGER PRIMARY KEY, u UNIQUE {clause}, v);
             INSERT INTO t VALUES(1, 10, 0), (2, 20, 0);"
        );
        let log = "BEGIN; UPDATE t SET u = -1 WHERE k = 2; UPDATE t SET u = 20 WHERE k = 1;
                   UPDATE t SET u = 30 WHERE k = 2; COMMIT;";
        let (folder, database) = made(&file, log);
        let set = folder.path().join("set");
        let mut command = walsmith_command();
        command.args(["diff", text(&database), "--changeset", text(&set)]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{clause}: {said}");
        let why = "t: what its ON CONFLICT REPLACE deletes while 2 unique values are changed";
        assert_eq!(said.contains(why), exit == 5, "{said}");
    }
}

#[test]
fn keys_that_are_equal_in_another_collation_are_not_taken_for_each_other() {
    let file =
        "CREATE TABLE w(k TEXT COLLATE NOCASE, v, PRIMARY KEY(k COLLATE BINARY)) WITHOUT ROWID;
                INSERT INTO w VALUES('a', 1), ('A', 2), ('b', 3), ('B', 4);";
    let log = "BEGIN; DELETE FROM w WHERE k COLLATE BINARY = 'a';
               UPDATE w SET v = 9 WHERE k COLLATE BINARY = 'b'; COMMIT;";
    let [made, wanted] = applied(file, log, "SELECT k, v FROM w ORDER BY k COLLATE BINARY");
    assert_eq!(made, wanted);
    assert_eq!(made.lines().count(), 3);
}

#[test]
fn what_a_virtual_table_loses_when_it_is_made_anew_is_named() {
    let file = "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('hello world');";
    let another = "PRAGMA writable_schema=ON; UPDATE sqlite_schema
                   SET sql = 'CREATE VIRTUAL TABLE f USING fts5(x /* new */)' WHERE name = 'f';";
    for log in [another, "ALTER TABLE f RENAME TO g;"] {
        let (_folder, database) = made(file, log);
        for args in [&[][..], &["--invert"]] {
            let (script, exit) = script(&database, args);
            assert_eq!(exit, 5, "{log} {script}");
            assert!(
                script.contains("_content: SQLite lets only a virtual table write"),
                "{script}"
            );
        }
    }
}

#[test]
fn text_that_a_changeset_cannot_hold_is_named() {
    for (encoding, exit) in [("UTF-16le", 5), ("UTF-8", 1)] {
        let file = format!(
            "PRAGMA encoding='{encoding}'; CREATE TABLE t(k INTEGER PRIMARY KEY, v);
             INSERT INTO t VALUES(1, CAST(x'00d8' AS TEXT));"
        );
        let (folder, database) = made(&file, "UPDATE t SET v = CAST(x'01d8' AS TEXT);");
        let set = folder.path().join("set");
        let mut command = walsmith_command();
        command.args(["diff", text(&database), "--changeset", text(&set)]);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{encoding}: {said}");
        assert_eq!(said.contains("broken UTF-16 in 1 rows"), exit == 5, "{said}");
    }
}
