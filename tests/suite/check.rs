//! `check`: each state of a log is judged as SQLite judges a copy of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Oracle, oracle, oracle_program, text, walsmith};

/// A log of which transaction 2 leaves out an index of the schema, 3 says that another one is over
/// another column, and 5 drops both.
fn unsound() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let run = |sql: &str| {
        let sql = format!("PRAGMA wal_autocheckpoint=0; PRAGMA writable_schema=ON; {sql}");
        let mut writer = Command::new(oracle_program());
        writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    };
    run("PRAGMA journal_mode=WAL; CREATE TABLE t(a, b); CREATE INDEX i ON t(a);
         CREATE INDEX j ON t(a);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO t SELECT i, -i FROM n; PRAGMA wal_checkpoint(TRUNCATE);
         INSERT INTO t VALUES(501, 7); DELETE FROM sqlite_schema WHERE name = 'i';");
    run("UPDATE sqlite_schema SET sql = 'CREATE INDEX j ON t(b)' WHERE name = 'j';");
    run("INSERT INTO t VALUES(502, 8);");
    run("DROP TABLE t;");
    (folder, database)
}

fn judged(database: &Path, args: &[&str]) -> (Value, bool) {
    // An unsound state looks like a log on another database.
    let (report, exit) = walsmith(&[&["check", "--accept-foreign", text(database)], args].concat());
    assert_eq!(report["sound"] == true, exit == 0, "{report}");
    assert!(exit < 2, "{report}");
    (report, exit == 0)
}

#[test]
fn each_state_is_judged_as_sqlite_judges_it() {
    let (folder, database) = unsound();
    let mut checker = Oracle::checking();
    let mut verdicts = Vec::new();
    for txn in 0..=5 {
        let copy = folder.path().join(format!("{txn}.db"));
        let txn = txn.to_string();
        let replay = ["replay", text(&database), "--accept-foreign", "--accept-loss"];
        walsmith(&[&replay[..], &["--to-txn", &txn, "--output", text(&copy)]].concat());
        assert!(copy.exists(), "{txn}");
        let (report, is_sound) = judged(&database, &["--at", &txn]);
        assert_eq!(is_sound, checker.integrity(&copy).is_empty(), "{txn}: {report}");
        let quick = oracle(&["rows", text(&copy), "PRAGMA quick_check"]).trim() == r#"["ok"]"#;
        assert_eq!(judged(&database, &["--at", &txn, "--quick"]).1, quick, "{txn}");
        verdicts.push((is_sound, quick));
    }
    assert_eq!(verdicts[..2], [(true, true); 2]);
    assert_eq!(verdicts[2..5], [(false, false); 3]);
    // The newest one is judged as it is; of an earlier one over such a file it is said.
    let (newest, exit) = walsmith(&["check", text(&database)]);
    assert_eq!((exit, &newest["at"]["txn"]), (1, &5.into()));
    assert_eq!(walsmith(&["check", text(&database), "--at", "1"]).1, 6);
}

#[test]
fn entries_of_indexes_are_what_quick_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&[
        "run",
        text(&database),
        "CREATE TABLE t(a, b); CREATE INDEX j ON t(a); INSERT INTO t VALUES(1, 2), (3, 4);
         PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX j ON t(b)'
         WHERE name = 'j';",
    ]);
    assert!(!Oracle::checking().integrity(&database).is_empty());
    assert_eq!(oracle(&["rows", text(&database), "PRAGMA quick_check"]).trim(), r#"["ok"]"#);
    let (report, is_sound) = judged(&database, &[]);
    assert!(!is_sound && report["problems"][0]["name"] == "j", "{report}");
    assert!(judged(&database, &["--quick"]).1);
}

/// SQLite finds the index of a constraint by its name, whatever table its row says.
#[test]
fn the_name_of_an_automatic_index_tells_its_table() {
    for (column, is_sound) in [("tbl_name", true), ("name", false)] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let sql = format!(
            "CREATE TABLE \"a_1 t\"(a UNIQUE, b); INSERT INTO \"a_1 t\" VALUES(1, 2), (3, 4);
             PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET {column} = replace({column}, 'a_', 'x_')
             WHERE type = 'index';"
        );
        oracle(&["run", text(&database), &sql]);
        assert_eq!(Oracle::checking().integrity(&database).is_empty(), is_sound, "{column}");
        assert_eq!(Oracle::checking_quickly().integrity(&database).is_empty(), is_sound);
        assert_eq!(judged(&database, &[]).1, is_sound, "{column}");
        assert_eq!(judged(&database, &["--quick"]).1, is_sound, "{column}");
    }
}

/// Pages and rows are those of SQLite's dbstat and count(*).
#[test]
fn space_is_what_dbstat_says() {
    let folder = tempfile::tempdir().unwrap();
    oracle(&["zoo", text(folder.path())]);
    let mut trees = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "db") {
            continue;
        }
        let (report, _) = judged(&path, &["--space"]);
        let sql = "SELECT name, count(*) FROM dbstat GROUP BY name ORDER BY name";
        let wanted = oracle(&["rows", text(&path), sql]);
        let mut wanted: Vec<(String, u64)> =
            wanted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let space = &report["space"];
        let found = space["trees"].as_array().unwrap().iter();
        let mut found: Vec<(String, u64)> = found
            .map(|it| (it["name"].as_str().unwrap().to_owned(), it["pages"].as_u64().unwrap()))
            .collect();
        found.sort();
        wanted.sort();
        trees += found.len();
        let free = oracle(&["rows", text(&path), "PRAGMA freelist_count"]);
        assert_eq!(format!("[{}]", space["free_pages"]), free.trim(), "{}", path.display());
        assert_eq!(found, wanted, "{}", path.display());
    }
    assert!(trees > 20);
}

#[test]
fn a_state_whose_pages_are_gone_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
               INSERT INTO t VALUES(1); PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES(2);
               INSERT INTO t VALUES(3); PRAGMA wal_checkpoint(PASSIVE);";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    let (refused, exit) = walsmith(&["check", text(&database), "--at", "0"]);
    assert_eq!((exit, &refused["error"]["kind"]), (6, &"refused".into()), "{refused}");
    assert!(judged(&database, &["--at", "1"]).1 && judged(&database, &[]).1);
    let (refused, exit) = walsmith(&["check", text(&database), "--at", "9"]);
    assert_eq!(exit, 3, "{refused}");
}
