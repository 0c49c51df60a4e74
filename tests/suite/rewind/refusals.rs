//! Where nothing is rewound: exit code, reason, and files as they were.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{generation, rewind, rewind_accepting, rewind_in};
use crate::shim::Shim;
use crate::support::{
    beside, copy, hold, oracle, oracle_program, release, rows, text, walsmith, walsmith_command,
};

fn made(sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["run", text(&database), sql]);
    (folder, database)
}

fn kind_of(report: &serde_json::Value) -> &str {
    report["error"]["kind"].as_str().unwrap_or_default()
}

const SOME: &str = "00000001-00000002";

#[test]
fn without_a_log_there_is_nothing_to_go_back_to() {
    let (_folder, database) = made("PRAGMA journal_mode=DELETE; CREATE TABLE t(a)");
    let (report, exit) = rewind_in(&database, "0", SOME, &[]);
    assert_eq!((exit, kind_of(&report)), (3, "no-log"), "{report}");
    let (report, exit) = rewind_in(&database.with_extension("none"), "0", SOME, &[]);
    assert_eq!((exit, kind_of(&report)), (3, "not-found"), "{report}");
}

#[test]
fn a_log_that_was_reset_has_no_generation_of_before() {
    let (_folder, database) =
        made("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    let before = generation(&database);
    oracle(&["run", text(&database), "PRAGMA wal_checkpoint(TRUNCATE)"]);
    let (report, exit) = rewind_in(&database, "1", &before, &[]);
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    oracle(&["run", text(&database), "INSERT INTO t VALUES(2)"]);
    let (report, exit) = rewind_in(&database, "1", &before, &[]);
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    // The generation of now is told.
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains(&generation(&database)), "{message}");
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[2]\n");
}

#[test]
fn what_is_no_state_of_the_log_is_an_error_and_what_is_the_newest_is_done() {
    let (_folder, database) = copy("twenty-rows");
    let before = fs::read(beside(&database, "-wal")).unwrap();
    for to in ["21", "frame:21"] {
        let (report, exit) = rewind(&database, to);
        assert_eq!((exit, kind_of(&report)), (3, "no-commit"), "{report}");
    }
    for to in ["20", "last", "frame:20"] {
        let (report, exit) = rewind(&database, to);
        assert_eq!((exit, &report["made"]), (0, &json!(null)), "{report}");
        assert_eq!(report["takes_back"]["tables"], json!([]));
    }
    assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), before);
    for wrong in [["--to", "x", "--generation", SOME], ["--to", "1", "--generation", "1-2"]] {
        let mut command = walsmith_command();
        command.args(["rewind", text(&database)]).args(wrong);
        assert_eq!(command.output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn a_generation_is_named_by_the_user_and_a_dry_run_prints_it() {
    let (_folder, database) = copy("twenty-rows");
    let before = fs::read(beside(&database, "-wal")).unwrap();
    let rewind = ["rewind", text(&database), "--to", "7", "--accept-foreign"];
    let run = |more: &[&str]| walsmith(&[&rewind, more].concat());
    let (report, exit) = run(&[]);
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    let (forecast, exit) = run(&["--dry-run"]);
    assert_eq!(exit, 5, "{forecast}");
    assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), before);
    let next = forecast["next"].as_str().unwrap();
    let named = next.trim_end_matches(" --accept-foreign");
    assert!(report["error"]["hint"].as_str().unwrap().contains(named), "{report}");
    let words: Vec<&str> = next.split(' ').skip(1).collect();
    assert_eq!(walsmith(&words).1, 5);
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[7]\n");
}

#[test]
fn a_damaged_log_is_refused_and_left_as_it_is() {
    let (_folder, database) = copy("twenty-rows");
    let log = beside(&database, "-wal");
    let mut bytes = fs::read(&log).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let (report, exit) = rewind(&database, "2");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    // There is no option that lets it go on.
    assert!(!report["error"]["hint"].as_str().unwrap().contains("--accept"), "{report}");
    assert_eq!(fs::read(&log).unwrap(), bytes);
    assert!(!beside(&database, "-shm").exists());
}

#[test]
fn a_log_that_rots_while_processes_are_attached_is_refused() {
    let (_folder, database) = copy("twenty-rows");
    let holder = hold("hold-read", &database);
    let log = beside(&database, "-wal");
    let mut bytes = fs::read(&log).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let (report, exit) = rewind(&database, "2");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    release(holder);
    assert_eq!(fs::read(&log).unwrap(), bytes);
}

#[test]
fn whoever_is_in_the_way_longer_than_the_timeout_is_named() {
    let (_folder, database) = copy("twenty-rows");
    let named = generation(&database);
    for holding in ["hold-write", "hold-exclusive"] {
        let holder = hold(holding, &database);
        let before = fs::read(beside(&database, "-wal")).unwrap();
        let more = ["--timeout", "200ms", "--accept-foreign"];
        let (report, exit) = rewind_in(&database, "2", &named, &more);
        assert_eq!((exit, kind_of(&report)), (4, "busy"), "{holding}: {report}");
        let message = report["error"]["message"].as_str().unwrap();
        let pid = holder.id().to_string();
        assert!(message.contains(&format!("process {pid}")), "{holding}: {message}");
        assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), before);
        release(holder);
    }
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[20]\n");
}

#[test]
fn readers_keep_what_they_see() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    let (report, exit) = rewind_accepting(&database, "7");
    assert_eq!(exit, 0, "{report}");
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[7]\n");
    release(reader);
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[7]\n");
}

/// Processes that have found a log, which may be an old one, prove nothing of it; those that have
/// written it do.
#[test]
fn users_who_have_not_written_the_log_prove_nothing() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    let (report, exit) = rewind(&database, "7");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("whether the file has later pages"), "{message}");
    let query = ["query", text(&database), "--at", "7", "SELECT count(*) FROM t"];
    let said = walsmith_command().args(query).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("is not known"), "{said:?}");
    release(reader);
    oracle(&["run", text(&database), "PRAGMA wal_checkpoint(TRUNCATE)"]);
    let reader = hold("hold-read", &database);
    oracle(&["run", text(&database), "INSERT INTO t(a) VALUES(501); INSERT INTO t(a) VALUES(502)"]);
    let (report, exit) = rewind(&database, "1");
    assert_eq!(exit, 0, "{report}");
    release(reader);
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[21]\n");
}

#[test]
fn a_state_that_a_checkpoint_has_overwritten_is_refused_with_page_and_frame() {
    let (_folder, database) = made(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1);
         PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a = 2; UPDATE t SET a = 3;
         PRAGMA wal_checkpoint(PASSIVE)",
    );
    let (report, exit) = rewind(&database, "0");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("page 2") && report["error"]["frame"].is_u64(), "{report}");
    assert_eq!(rows(&database, "SELECT a FROM t"), "[3]\n");
    // The state between is in the log whole.
    let (report, exit) = rewind_accepting(&database, "1");
    assert_eq!(exit, 0, "{report}");
    assert_eq!(rows(&database, "SELECT a FROM t"), "[2]\n");
}

#[test]
fn another_number_of_reserved_bytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let run = |reserved: &str, sql: &str| {
        Shim(None).and_die(&["run-reserving", text(&database), reserved, sql]);
    };
    run("0", "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);");
    run("16", "PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES(1); VACUUM");
    let (report, exit) = rewind(&database, "1");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    assert_eq!(rows(&database, "SELECT a FROM t"), "[1]\n");
}

/// A journal of a transaction that was cut off: SQLite would roll it back first.
#[test]
fn a_hot_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let mut command = Command::new(oracle_program());
    command.args(["hot-journal", text(&database), "512", "FULL"]).output().unwrap();
    let (_other, with_log) = copy("twenty-rows");
    fs::copy(beside(&with_log, "-wal"), beside(&database, "-wal")).unwrap();
    let (report, exit) = rewind(&database, "2");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
}

#[test]
fn a_log_of_another_database_is_refused() {
    let (_folder, database) = copy("twenty-rows");
    let (_other, foreign) =
        made("PRAGMA page_size=512; CREATE TABLE other(z); PRAGMA journal_mode=WAL");
    fs::copy(&foreign, &database).unwrap();
    let before = fs::read(beside(&database, "-wal")).unwrap();
    let (report, exit) = rewind(&database, "2");
    assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report}");
    assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), before);
}

fn all(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_wal_index_that_was_not_there_is_not_there_afterwards() {
    let (folder, database) = copy("twenty-rows");
    let had = beside(&database, "-shm").exists();
    let before = all(folder.path());
    let (report, exit) = rewind(&database, "99");
    assert_eq!(exit, 3, "{report}");
    assert_eq!(all(folder.path()), before);
    let (report, exit) = rewind_accepting(&database, "3");
    assert_eq!(exit, 0, "{report}");
    assert_eq!(beside(&database, "-shm").exists(), had);
    assert_eq!(walsmith(&["info", text(&database)]).0["wal"]["transactions"], json!(21));
}

/// Over a copy of its database that went on by itself, a log may have sound states, and others that
/// SQLite could not open.
#[test]
fn a_sound_database_is_not_made_unsound() {
    let folder = tempfile::tempdir().unwrap();
    let (database, fork) = (folder.path().join("x.db"), folder.path().join("fork.db"));
    let sql = "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b);
        CREATE TABLE u(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 1);
        INSERT INTO u VALUES(1, 1); PRAGMA wal_checkpoint(TRUNCATE);";
    oracle(&["run", text(&database), sql]);
    fs::copy(&database, &fork).unwrap();
    let changes = "PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES(2, 2); BEGIN;
        UPDATE t SET b = 3; UPDATE u SET b = 3; CREATE TABLE z(a); COMMIT;";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), changes]).output().unwrap();
    let gone_on = "UPDATE u SET b = 9; CREATE TABLE y(a); PRAGMA wal_checkpoint(TRUNCATE);";
    oracle(&["run", text(&fork), gone_on]);
    let _ = fs::remove_file(beside(&fork, "-shm"));
    let log = |path: &Path| beside(path, "-wal");
    fs::copy(log(&database), log(&fork)).unwrap();
    let before = all(folder.path());
    let (report, exit) = rewind(&fork, "1");
    assert_eq!(exit, 6, "{report:#}");
    assert!(all(folder.path()) == before, "{report:#}");
}

/// A log that was copied whole says nothing of what the file became since, where nobody is
/// attached.
#[test]
fn a_file_that_may_be_of_a_later_time_is_not_written_without_consent() {
    let (folder, database) = made(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a, b);
         CREATE TABLE u(a); INSERT INTO u VALUES('old'); PRAGMA wal_checkpoint(TRUNCATE)",
    );
    let copy = folder.path().join("copy.db");
    let log = beside(&copy, "-wal");
    let rows_of = |txn: u32| format!("INSERT INTO t VALUES({txn}, hex(zeroblob(40)));");
    let changes: String = (1..4).map(rows_of).collect();
    let sql = format!("PRAGMA wal_autocheckpoint=0; {changes}");
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    fs::copy(beside(&database, "-wal"), &log).unwrap();
    let later = "PRAGMA wal_checkpoint(RESTART); UPDATE u SET a = 'later';
                 PRAGMA wal_checkpoint(RESTART)";
    oracle(&["run", text(&database), later]);
    fs::copy(&database, &copy).unwrap();
    let before = [fs::read(&copy).unwrap(), fs::read(&log).unwrap()];
    let replay = ["replay", text(&copy), "--at", "2", "--in-place"];
    for (report, exit) in [
        rewind(&copy, "2"),
        rewind_in(&copy, "2", &generation(&copy), &["--dry-run"]),
        walsmith(&replay),
    ] {
        assert_eq!((exit, kind_of(&report)), (6, "refused"), "{report:#}");
        assert!(report["error"]["hint"].as_str().unwrap().contains("--accept-foreign"), "{report}");
    }
    assert!([fs::read(&copy).unwrap(), fs::read(&log).unwrap()] == before);
    let accept = "--accept-foreign";
    let (planned, exit) = walsmith(&[&replay[..], &[accept, "--dry-run"]].concat());
    assert_eq!(exit, 5, "{planned:#}");
    let (forecast, exit) = rewind_in(&copy, "2", &generation(&copy), &["--dry-run", accept]);
    assert_eq!(exit, 5, "{forecast:#}");
    let words: Vec<&str> = forecast["next"].as_str().unwrap().split(' ').skip(1).collect();
    assert!(words.contains(&accept), "{words:?}");
    let (report, exit) = walsmith(&words);
    assert_eq!(exit, 5, "{report:#}");
    // What was accepted: rows of the log as they were, beside rows of a later time.
    assert_eq!(rows(&copy, "SELECT count(*), (SELECT a FROM u) FROM t"), "[2,\"later\"]\n");
}
