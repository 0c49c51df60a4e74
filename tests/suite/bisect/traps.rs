//! What a search must not say.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::bisect;
use crate::support::{Oracle, oracle_program, text, walsmith, walsmith_command};

/// A database whose log has the transactions of `runs`; each of these is a process that dies.
fn made(runs: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    for sql in runs {
        let sql = format!("PRAGMA wal_autocheckpoint=0; PRAGMA writable_schema=ON; {sql}");
        let mut writer = Command::new(oracle_program());
        writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    }
    (folder, database)
}

const BEGIN: &str = "PRAGMA journal_mode=WAL; CREATE TABLE t(a, b); CREATE INDEX i ON t(a);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO t SELECT i, -i FROM n; PRAGMA wal_checkpoint(TRUNCATE);";

/// The index `i` is taken out of the schema, and its pages are lost.
const LOSE: &str = "DELETE FROM sqlite_schema WHERE name = 'i';";

fn human(database: &Path, args: &[&str]) -> (String, i32) {
    let output = walsmith_command().args(["bisect", text(database)]).args(args).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn the_transaction_is_named_with_what_to_type() {
    let sql = format!("{BEGIN} INSERT INTO t VALUES(400, 1); INSERT INTO t VALUES(401, 1); {LOSE}");
    let (_folder, database) = made(&[&sql, "INSERT INTO t VALUES(402, 1);"]);
    let said = bisect(&database, &[]);
    assert_eq!((said.exit, said.outcome()), (1, "found"), "{said:?}");
    let change = &said.document["changes"][0];
    assert_eq!((&change["txn"], &change["frames"]), (&3.into(), &1.into()), "{said:?}");
    assert_eq!(change["tables"], serde_json::json!(["sqlite_schema"]));
    // What is to be typed is what SQLite judges, and works.
    let mut checker = Oracle::checking();
    for (state, is_sound) in [(2, true), (3, false)] {
        let copy = database.with_file_name(format!("{state}.db"));
        let to = state.to_string();
        walsmith(&[
            "replay",
            text(&database),
            "--to-txn",
            &to,
            "--output",
            text(&copy),
            "--accept-foreign",
            "--accept-loss",
        ]);
        assert_eq!(checker.integrity(&copy).is_empty(), is_sound, "{state}");
    }
    let diff = change["diff"].as_str().unwrap();
    let words: Vec<&str> = diff.split(' ').skip(1).collect();
    assert_eq!(walsmith(&words).1, 1, "{diff}");
    let salts = &said.document["salts"];
    let generation =
        format!("{:08x}-{:08x}", salts[0].as_u64().unwrap(), salts[1].as_u64().unwrap());
    let rewind = format!("walsmith rewind {} --to 2 --generation {generation}", text(&database));
    assert_eq!(change["rewind"], rewind.as_str());
    // 0, 4, 2 and 3.
    assert_eq!(said.document["looked_at"], 4);
    let (text, exit) = human(&database, &[]);
    assert!(exit == 1 && text.starts_with("Transaction 3 left the structure unsound."), "{text}");
}

#[test]
fn sound_ends_say_nothing_of_what_is_between_them() {
    let run = |first: &str| {
        format!(
            "{BEGIN} INSERT INTO t VALUES(400, {first});
            CREATE TABLE kept AS SELECT rowid AS r, * FROM sqlite_schema WHERE name = 'i'; {LOSE}
            INSERT INTO sqlite_schema(rowid, type, name, tbl_name, rootpage, sql)
                SELECT r, type, name, tbl_name, rootpage, sql FROM kept;
            INSERT INTO t VALUES(401, 1); INSERT INTO t VALUES(402, 1);"
        )
    };
    let (_folder, database) = made(&[&run("1")]);
    let said = bisect(&database, &[]);
    assert_eq!((said.exit, said.changes()), (1, vec![(2, 3, true), (3, 4, false)]), "{said:?}");
    // Of large states only the ends are looked at.
    let (_folder, database) = made(&[&run("zeroblob(300000000)")]);
    let said = bisect(&database, &[]);
    assert_eq!((said.exit, said.outcome()), (0, "none"), "{said:?}");
    assert_eq!(said.document["complete"], false);
    let (text, exit) = human(&database, &[]);
    let wanted = "The structure is sound before the log and after transaction 6. What it was \
                  between them was not looked at: --every looks at every state.";
    assert!(exit == 0 && text.replace("\n  ", " ").starts_with(wanted), "{text}");
    let said = bisect(&database, &["--every"]);
    assert_eq!((said.exit, said.changes()), (1, vec![(2, 3, true), (3, 4, false)]), "{said:?}");
}

#[test]
fn what_was_unsound_before_the_log_is_no_transaction() {
    let (_folder, database) = made(&[&format!(
        "{BEGIN} {LOSE} PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES(1, 2);"
    )]);
    let said = bisect(&database, &[]);
    assert_eq!((said.exit, said.outcome()), (1, "before"), "{said:?}");
    assert!(said.changes().is_empty());
    let (text, exit) = human(&database, &[]);
    assert!(
        exit == 1 && text.starts_with("The structure is unsound already before the log."),
        "{text}"
    );
}

#[test]
fn all_states_are_looked_at_where_there_are_no_others() {
    let (_folder, database) = made(&[&format!("{BEGIN} INSERT INTO t VALUES(1, 2);")]);
    let (text, exit) = human(&database, &[]);
    let wanted = "No transaction left the structure unsound: it is sound in all 2 states.";
    assert!(exit == 0 && text.starts_with(wanted), "{text}");
    // Without a log, too.
    let (_folder, database) = made(&["PRAGMA journal_mode=DELETE; CREATE TABLE t(a);"]);
    let said = bisect(&database, &[]);
    assert_eq!((said.exit, said.outcome(), said.states().len()), (0, "none", 1), "{said:?}");
}

#[test]
fn states_whose_pages_are_gone_are_never_sound() {
    let (_folder, database) = made(&[&format!(
        "{BEGIN} INSERT INTO t VALUES(400, 1); INSERT INTO t VALUES(401, 1);
         INSERT INTO t VALUES(402, 1); PRAGMA wal_checkpoint(PASSIVE);"
    )]);
    let said = bisect(&database, &["--every"]);
    let states = said.states();
    assert_eq!((states[0], states[3]), ((0, None), (3, Some(false))), "{said:?}");
    assert_eq!((said.exit, said.outcome()), (5, "none"), "{said:?}");
    let said = bisect(&database, &[]);
    assert_eq!((said.exit, said.outcome()), (5, "none"), "{said:?}");
    let (text, _) = human(&database, &[]);
    assert!(text.contains("Not known before the log: page "), "{text}");
    assert!(!text.contains("sound before the log"), "{text}");
}

/// Of states without the table there is no answer.
fn with_and_without() -> (TempDir, PathBuf) {
    made(&["PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1); DROP TABLE t;
            CREATE TABLE other(a);
            BEGIN; CREATE TABLE t(a); INSERT INTO t VALUES(1), (2); COMMIT; DROP TABLE t;"])
}

const QUERY: [&str; 2] = ["--query", "SELECT count(*) > 1 FROM t"];

#[test]
fn a_query_that_has_no_answer_leaves_a_range() {
    let (_folder, database) = with_and_without();
    let said = bisect(&database, &[&["..5"], &QUERY[..]].concat());
    assert_eq!((said.exit, said.outcome()), (5, "range"), "{said:?}");
    assert_eq!(said.changes(), [(2, 5, true)], "{said:?}");
    assert!(said.document["changes"][0]["txn"].is_null());
    assert!(said.states().contains(&(3, None)) && said.states().contains(&(4, None)), "{said:?}");
    let (text, exit) = human(&database, &[&["..5"], &QUERY[..]].concat());
    let wanted = "One of transactions 3 to 5 is the one after which the query is true: states \
                  between them could not be looked at.";
    assert!(exit == 5 && text.replace("\n  ", " ").starts_with(wanted), "{text}");
    assert!(text.contains("Not known after transaction 3: no such table: t"), "{text}");
}

#[test]
fn an_end_that_has_no_answer_is_named() {
    let (_folder, database) = with_and_without();
    let said = bisect(&database, &QUERY);
    let error = &said.document["error"];
    assert_eq!((said.exit, &error["kind"]), (3, &"sql".into()), "{said:?}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("the state after transaction 6: no such table: t"), "{message}");
    // All of them are asked, and those that answer are told.
    let said = bisect(&database, &[&["--every"], &QUERY[..]].concat());
    assert_eq!((said.exit, said.changes()), (5, vec![(2, 5, true)]), "{said:?}");
    let said = bisect(&database, &[&["3..4", "--every"], &QUERY[..]].concat());
    assert_eq!((said.exit, said.outcome()), (5, "unknown"), "{said:?}");
}

#[test]
fn a_query_that_is_wrong_for_every_state_is_an_error() {
    let (_folder, database) = with_and_without();
    for (sql, kind, exit) in [
        ("SELEC 1", "sql", 3),
        ("", "sql", 3),
        ("-- nothing", "sql", 3),
        ("SELECT 1; SELECT 2", "sql", 3),
        ("DELETE FROM other", "sql", 3),
        ("ATTACH 'x' AS y", "sql", 3),
        (
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT 1 FROM c) SELECT sum(x) FROM c",
            "timeout",
            4,
        ),
    ] {
        for every in [&[][..], &["--every"]] {
            let said =
                bisect(&database, &[&["--timeout", "200ms", "--query", sql], every].concat());
            let found = said.document["error"]["kind"].as_str().unwrap_or_default();
            // What SQLite does not understand may be a table that other states have.
            if sql == "SELEC 1" && !every.is_empty() {
                assert_eq!((said.exit, said.outcome()), (5, "unknown"), "{sql}: {said:?}");
            } else {
                assert_eq!((said.exit, found), (exit, kind), "{sql}: {said:?}");
            }
        }
    }
}

#[test]
fn no_row_is_not_true() {
    let (_folder, database) = with_and_without();
    let said = bisect(&database, &["--query", "SELECT 1 FROM sqlite_schema WHERE name = 'other'"]);
    assert_eq!((said.exit, said.changes()), (1, vec![(3, 4, true)]), "{said:?}");
    assert_eq!(
        said.document["changes"][0]["tables"],
        serde_json::json!(["other", "sqlite_schema"])
    );
    let said = bisect(&database, &["--query", "SELECT 1 FROM sqlite_schema WHERE name = 'no'"]);
    assert_eq!((said.exit, said.outcome()), (0, "none"), "{said:?}");
}
