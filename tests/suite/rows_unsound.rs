//! Rows of databases that were unsound before their log: SQLite writes such a file, too, so that
//! its log is not another database's, and no row may be kept back without a word.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    hold_command, oracle_program, release, rows, text, walsmith, walsmith_command,
};

const PAGE_BYTES: usize = 512;

/// A database with `tables` that is harmed by `harm`, and then has a log in which `change` is one
/// transaction.
fn unsound(tables: &str, harm: impl FnOnce(&Path), change: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let play = |sql: &str| {
        let mut writer = Command::new(oracle_program());
        writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    };
    play(&format!("PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=DELETE; {tables}"));
    harm(&database);
    play(&format!("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; BEGIN; {change} COMMIT;"));
    (folder, database)
}

/// What SQLite runs on a file without a log.
fn run(database: &Path, sql: &str) {
    Command::new(oracle_program()).args(["run", text(database), sql]).output().unwrap();
}

/// The document of `log`, what it says on stderr, and its exit code.
fn log(database: &Path) -> (Value, String, i32) {
    let (document, exit) = walsmith(&["log", text(database)]);
    let output = walsmith_command().args(["log", text(database)]).output().unwrap();
    (document, String::from_utf8(output.stderr).unwrap(), exit)
}

/// Two rows of the first table change places.
fn exchanged(database: &Path) {
    let mut bytes = std::fs::read(database).unwrap();
    let cells = PAGE_BYTES + 8;
    bytes[cells..cells + 4].rotate_left(2);
    std::fs::write(database, bytes).unwrap();
}

const TWO: &str = "CREATE TABLE a(x, y); CREATE TABLE b(x, y);
                   INSERT INTO a VALUES(1, 'one'), (2, 'two'), (3, 'three');
                   INSERT INTO b VALUES(1, 'one'), (2, 'two'), (3, 'three');";

#[test]
fn a_page_of_two_tables_is_told_of_neither() {
    let one_root = |database: &Path| {
        run(
            database,
            "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET rootpage =
             (SELECT rootpage FROM sqlite_schema WHERE name = 'a') WHERE name = 'b'",
        );
    };
    let (_folder, database) = unsound(TWO, one_root, "UPDATE a SET y = 'new' WHERE x = 3;");
    // SQLite sees the update in both.
    assert_eq!(rows(&database, "SELECT y FROM b WHERE x = 3"), "[\"new\"]\n");
    let (_, stderr, exit) = log(&database);
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("is a page of another table or index, too"), "{stderr}");
    // The command that it names reads both.
    assert!(stderr.contains(&format!("walsmith diff {}", text(&database))), "{stderr}");
    let (document, exit) = walsmith(&["diff", text(&database)]);
    let events = document["rows"].as_array().unwrap();
    let tables: Vec<&str> = events.iter().map(|it| it["table"].as_str().unwrap()).collect();
    assert_eq!((exit, tables), (1, vec!["a", "b"]), "{document:#}");
}

#[test]
fn an_overflow_page_of_two_rows_leaves_open_which_rows_changed() {
    let long = "INSERT INTO a VALUES(4, hex(zeroblob(400)));
                INSERT INTO b VALUES(4, hex(zeroblob(400)));";
    // The first overflow page of the row of `a` is that of `b`, too.
    let one_chain = |database: &Path| {
        let mut bytes = std::fs::read(database).unwrap();
        let overflow = |page: usize, bytes: &[u8]| {
            let start = (page - 1) * PAGE_BYTES;
            let cell = u16::from_be_bytes(*bytes[start + 8 + 6..].first_chunk().unwrap());
            // The payload of the last row begins the content, and its chain ends the cell.
            let content = start + usize::from(cell);
            let next = bytes[start + 8..start + 14]
                .chunks(2)
                .map(|cell| start + usize::from(u16::from_be_bytes(*cell.first_chunk().unwrap())));
            content..next.min().unwrap()
        };
        let [of_a, of_b] = [2, 3].map(|page| overflow(page, &bytes).end - 4);
        bytes.copy_within(of_a..of_a + 4, of_b);
        std::fs::write(database, bytes).unwrap();
    };
    let tables = format!("{TWO} {long}");
    let change = "UPDATE a SET y = replace(y, '00', '11') WHERE x = 4;";
    let (_folder, database) = unsound(&tables, one_chain, change);
    let changed = "SELECT y LIKE '%1111' FROM b WHERE x = 4";
    assert_eq!(rows(&database, changed), "[1]\n", "the harm does nothing");
    let (document, stderr, exit) = log(&database);
    let entry = document["transactions"].as_array().unwrap().last().unwrap();
    assert_eq!((exit, &entry["partial"]), (5, &Value::Bool(true)), "{stderr} {document:#}");
}

#[test]
fn a_value_in_a_row_id_column_that_was_there_before_is_not_the_logs() {
    let keyed = |database: &Path| {
        run(
            database,
            "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql =
             'CREATE TABLE a(x INTEGER PRIMARY KEY, y)' WHERE name = 'a'",
        );
    };
    let (_folder, database) = unsound(TWO, keyed, "INSERT INTO a VALUES(4, 'four');");
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    let (document, stderr, exit) = log(&database);
    assert_eq!(exit, 0, "{stderr}");
    let entry = document["transactions"].as_array().unwrap().last().unwrap();
    assert_eq!(entry["tables"][0]["inserted"], 1, "{entry}");
}

#[test]
fn a_fault_of_a_table_that_is_renamed_is_not_the_logs() {
    let swap = "ALTER TABLE a RENAME TO t; ALTER TABLE b RENAME TO a; ALTER TABLE t RENAME TO b;";
    for change in ["ALTER TABLE a RENAME TO c;", swap] {
        let (_folder, database) = unsound(TWO, exchanged, change);
        assert_ne!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
        let (document, exit) = walsmith(&["info", text(&database)]);
        assert_eq!((exit, &document["findings"]), (0, &Value::Array(Vec::new())), "{change}");
        let (document, stderr, _) = log(&database);
        assert!(!stderr.contains("was not written on"), "{change}: {stderr} {document}");
    }
}

#[test]
fn a_fault_at_the_root_of_another_table_is_not_excused_in_a_foreign_log() {
    let play = |database: &Path, sql: &str| {
        let mut writer = Command::new(oracle_program());
        writer.args(["write-and-die", text(database), sql]).output().unwrap();
    };
    let (folder, database) = unsound(TWO, exchanged, "UPDATE b SET y = 'new' WHERE x = 2;");
    // Its first table has the root of `a`, and no page of it is in the log.
    let other = folder.path().join("other.db");
    let tables = "CREATE TABLE p(x, y); CREATE TABLE q(x, y);
                  INSERT INTO p VALUES(71, 'P1'), (72, 'P2'); INSERT INTO q VALUES(81, 'Q1');";
    play(&other, &format!("PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=WAL; {tables}"));
    play(
        &other,
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint=0;
         BEGIN; CREATE VIEW v AS SELECT 1; INSERT INTO q VALUES(82, 'Q2'); COMMIT;",
    );
    let wal = |database: &Path| format!("{}-wal", text(database));
    std::fs::copy(wal(&other), wal(&database)).unwrap();
    std::fs::remove_file(format!("{}-shm", text(&database))).unwrap();
    let (document, _) = walsmith(&["info", text(&database)]);
    assert_eq!(document["pairing"]["verdict"], "foreign", "{document:#}");
    let reasons = document["pairing"]["reasons"].as_array().unwrap();
    assert!(
        reasons.iter().any(|it| it["evidence"] == "order" && it["table"] == "p"),
        "{document:#}"
    );
}

#[test]
fn a_page_that_was_free_and_used_is_not_the_logs_fault_when_it_takes_it() {
    let tables = "CREATE TABLE a(x, y); CREATE TABLE b(x INTEGER PRIMARY KEY, y, z);
                  CREATE TABLE c(x);
                  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
                  INSERT INTO a SELECT i, 'row ' || i || ' of a' FROM n;
                  INSERT INTO c SELECT y FROM a; DROP TABLE c;";
    // The first page that the freelist gives is a leaf of `a`.
    let free_leaf = |database: &Path| {
        let mut bytes = std::fs::read(database).unwrap();
        let number =
            |bytes: &[u8], at: usize| u32::from_be_bytes(*bytes[at..].first_chunk().unwrap());
        let trunk = (number(&bytes, 32) as usize - 1) * PAGE_BYTES;
        let root = PAGE_BYTES;
        let cell = usize::from(u16::from_be_bytes(*bytes[root + 12 + 2..].first_chunk().unwrap()));
        bytes.copy_within(root + cell..root + cell + 4, trunk + 8);
        std::fs::write(database, bytes).unwrap();
    };
    let change = "INSERT INTO b SELECT x, y, hex(zeroblob(100)) FROM a LIMIT 5;";
    let (_folder, database) = unsound(tables, free_leaf, change);
    assert_ne!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    let (document, _) = walsmith(&["info", text(&database)]);
    let reasons = document["pairing"]["reasons"].as_array().unwrap();
    assert!(reasons.iter().all(|it| it["speaks_for"] == "same"), "{document:#}");
    // Its rows are of both tables.
    let (_, stderr, exit) = log(&database);
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("is a page of another table or index, too"), "{stderr}");
}

#[test]
fn a_fault_that_the_log_makes_itself_does_not_speak_against_the_file() {
    let tables = "CREATE TABLE a(x INTEGER PRIMARY KEY, y); CREATE INDEX a_y ON a(y);
                  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
                  INSERT INTO a SELECT i, i * i % 17 FROM n;";
    let insert = |row: u32| format!("INSERT INTO a VALUES({row}, {row});");
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let play = |sql: &str| {
        let mut writer = Command::new(oracle_program());
        writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    };
    play(&format!("PRAGMA page_size=4096; PRAGMA journal_mode=DELETE; {tables}"));
    let inserts: String = (100..110).map(insert).collect();
    // A row whose entry is taken out of the index, where no statement can.
    let harm = "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name = 'a_y';
                PRAGMA schema_version=1000; INSERT INTO a VALUES(200, 1);
                INSERT INTO sqlite_schema VALUES('index', 'a_y', 'a',
                    (SELECT max(rootpage) + 1 FROM sqlite_schema), 'CREATE INDEX a_y ON a(y)');
                PRAGMA schema_version=1001; PRAGMA writable_schema=OFF;
                INSERT INTO a VALUES(201, 2);";
    play(&format!("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {inserts} {harm}"));
    assert_ne!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    let (document, exit) = walsmith(&["doctor", text(&database)]);
    let findings = document["findings"].as_array().unwrap();
    assert!(findings.iter().all(|it| it["severity"] != "error"), "{exit}: {document:#}");
    let (document, exit) = walsmith(&["check", text(&database), "--at", "5"]);
    assert_eq!(exit, 0, "{document:#}");
    let (document, stderr, exit) = log(&database);
    assert_eq!(exit, 0, "{stderr}");
    assert_eq!(document["transactions"][4]["tables"][0]["inserted"], 1, "{document:#}");
}

#[test]
fn a_fault_that_was_repaired_and_copied_is_none_of_the_newest_state() {
    let rest = "CREATE TABLE u(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                WHERE i < 60) INSERT INTO u SELECT zeroblob(900) FROM n;";
    // The log has every page, or not; a process is attached, or not.
    for (rest, is_attached) in [("", true), ("", false), (rest, true), (rest, false)] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let tables = "CREATE TABLE t(x INTEGER PRIMARY KEY, y); CREATE INDEX t_y ON t(y);
                      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
                      INSERT INTO t SELECT i, i * i % 17 FROM n;";
        run(&database, &format!("PRAGMA page_size=4096; {tables} {rest}"));
        let log = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
                   PRAGMA writable_schema=ON; INSERT INTO t VALUES(100, 1);
                   DELETE FROM sqlite_schema WHERE name = 't_y'; PRAGMA schema_version=1000;
                   INSERT INTO t VALUES(200, 1);
                   INSERT INTO sqlite_schema VALUES('index', 't_y', 't', 3,
                       'CREATE INDEX t_y ON t(y)');
                   PRAGMA schema_version=1001;";
        let mut writer = Command::new(oracle_program());
        writer.args(["write-and-die", text(&database), log]).output().unwrap();
        let copied = "PRAGMA wal_autocheckpoint=0; REINDEX; PRAGMA wal_checkpoint";
        let mut holder = Command::new(oracle_program());
        holder.args([if is_attached { "hold-sql" } else { "write-and-die" }]);
        holder.args([text(&database), copied]);
        let holder = match is_attached {
            true => Some(hold_command(holder)),
            false => holder.output().map(|_| None).unwrap(),
        };
        let at = format!("{} {is_attached}", rest.len());
        // What SQLite sees is the file.
        let copy = folder.path().join("copy.db");
        std::fs::copy(&database, &copy).unwrap();
        assert_eq!(rows(&copy, "PRAGMA integrity_check"), "[\"ok\"]\n", "{at}");
        let (document, exit) = walsmith(&["doctor", text(&database)]);
        let findings = document["findings"].as_array().unwrap();
        assert!(findings.iter().all(|it| it["severity"] != "error"), "{at}: {document:#}");
        assert_eq!(exit, 0, "{at}");
        let doubts = findings.iter().filter(|it| it["rule"] == "pair-unclear").count();
        assert_eq!(doubts, usize::from(!rest.is_empty()), "{at}: {document:#}");
        let (document, exit) = walsmith(&["query", text(&database), "SELECT count(*) FROM t"]);
        assert_eq!((exit, &document["results"][0]["rows"][0][0]), (0, &62.into()), "{at}");
        let (document, exit) = walsmith(&["check", text(&database)]);
        assert_eq!(exit, 0, "{at}: {document:#}");
        let (document, _) = walsmith(&["info", text(&database)]);
        assert_ne!(document["pairing"]["order"], "file-newer", "{at}: {document:#}");
        // Nothing tells these from a file that went on without the log.
        let early = ["query", text(&database), "SELECT count(*) FROM t", "--at", "5"];
        let exit = walsmith_command().args(early).output().unwrap().status.code();
        assert_eq!(exit, Some(if rest.is_empty() { 0 } else { 6 }), "{at}");
        let (document, exit) = walsmith(&["checkpoint-now", text(&database)]);
        assert_eq!(exit, 0, "{at}: {document:#}");
        assert_eq!(std::fs::read(&database).unwrap(), std::fs::read(&copy).unwrap(), "{at}");
        holder.into_iter().for_each(release);
    }
}
