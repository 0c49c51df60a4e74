//! Files that processes still use, and that have lost their name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::Value;
use tempfile::TempDir;

use super::Rescue;
use crate::support::{
    beside, hold_command, oracle, oracle_program, prepared, release, text, walsmith,
    walsmith_program,
};

const COMMITS: &str = "PRAGMA wal_autocheckpoint=0; CREATE TABLE u(a);
    INSERT INTO u VALUES(1); INSERT INTO u VALUES(2); INSERT INTO u VALUES(3)";

/// A process with three commits that only its log has.
fn attached() -> (TempDir, PathBuf, Child) {
    let (folder, database) = prepared(50, 4096);
    let child = holder(&database, COMMITS);
    (folder, database, child)
}

fn holder(database: &Path, sql: &str) -> Child {
    let mut command = Command::new(oracle_program());
    command.args(["hold-sql", text(database), sql]);
    hold_command(command)
}

fn folder_of(child: &Child) -> String {
    format!("process-{}", child.id())
}

#[test]
fn the_commits_of_a_deleted_log_are_all_there() {
    let gone: [&[&str]; 5] =
        [&["-wal"], &["-wal", "-shm"], &["", "-wal"], &["", "-wal", "-shm"], &["-shm"]];
    for suffixes in gone {
        let (_folder, database, child) = attached();
        for suffix in suffixes {
            fs::remove_file(beside(&database, suffix)).unwrap();
        }
        let done = Rescue::of(&database, &[]);
        done.assert_is_proven();
        let folder = folder_of(&child);
        assert_eq!(done.rows(Some(&folder), "SELECT count(*) FROM u"), "[3]", "{suffixes:?}");
        assert_eq!(done.rows(Some(&folder), "SELECT count(*) FROM ours"), "[50]");
        let set = &done.report["sets"][1];
        assert_eq!(
            (&set["held"], &set["processes"][0]["pid"]),
            (&"locks".into(), &child.id().into())
        );
        release(child);
    }
}

/// The set of the process has all of its rows, and the file that has the name now is there, too.
fn assert_has_both(done: &Rescue, folder: &str, database: &Path) {
    assert_eq!(done.rows(Some(folder), "SELECT count(*) FROM u"), "[3]", "{:#}", done.report);
    assert_eq!(done.rows(Some(folder), "SELECT count(*) FROM ours"), "[50]");
    assert_eq!(fs::read(done.directory.join("x.db")).unwrap(), fs::read(database).unwrap());
}

#[test]
fn a_replaced_database_is_copied_and_so_is_the_one_before() {
    let (_folder, database, child) = attached();
    // As a restore does: a new file under the name, the log of before beside it.
    let other = database.with_file_name("other.db");
    oracle(&["run", text(&other), "CREATE TABLE t(a); INSERT INTO t VALUES(1)"]);
    fs::rename(&other, &database).unwrap();
    let done = Rescue::of(&database, &[]);
    let folder = folder_of(&child);
    assert_has_both(&done, &folder, &database);
    let rules = done.report["findings"].as_array().unwrap();
    assert!(rules.iter().any(|it| it["rule"] == "replaced-in-use"), "{:#}", done.report);
    release(child);
}

#[test]
fn a_database_that_was_moved_away_is_with_its_log() {
    let (_folder, database, child) = attached();
    let other = database.with_file_name("other.db");
    oracle(&["run", text(&other), "CREATE TABLE t(a); INSERT INTO t VALUES(1)"]);
    fs::rename(&database, database.with_file_name("away.db")).unwrap();
    fs::rename(&other, &database).unwrap();
    let done = Rescue::of(&database, &[]);
    let folder = folder_of(&child);
    assert_has_both(&done, &folder, &database);
    release(child);
}

#[test]
fn two_generations_under_one_name_are_two_sets() {
    let (_folder, database, first) = attached();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&database, suffix)).unwrap();
    }
    let second = holder(&database, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); CREATE TABLE v(a)");
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(beside(&database, suffix)).unwrap();
    }
    let done = Rescue::of(&database, &[]);
    done.assert_is_proven();
    assert_eq!(done.rows(Some(&folder_of(&first)), "SELECT count(*) FROM u"), "[3]");
    assert_eq!(done.rows(Some(&folder_of(&second)), "SELECT count(*) FROM v"), "[0]");
    assert_eq!(done.report["sets"].as_array().unwrap().len(), 3);
    release(first);
    release(second);
}

#[test]
fn what_finds_them_says_to_rescue_them_first() {
    let (folder, database, child) = attached();
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let (doctor, _) = walsmith(&["doctor", text(&database)]);
    let found = doctor["findings"].as_array().unwrap();
    let finding = found.iter().find(|it| it["rule"] == "deleted-in-use").unwrap();
    let next = finding["next"].as_str().unwrap();
    let directory = folder.path().join("x.db-rescue");
    let wanted = format!("walsmith rescue {} --output {}", text(&database), text(&directory));
    assert_eq!(next, wanted);
    let (blockers, _) = walsmith(&["blockers", text(&database)]);
    assert_eq!(blockers["next"], next);
    // Typed, and again: the name is another one then.
    assert_eq!(typed(next).0, 0);
    let report = fs::read(directory.join("manifest.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    for command in report["next"].as_array().unwrap() {
        let (exit, said) = typed(command.as_str().unwrap());
        assert!(exit == 0 || exit == 1, "{command}: {said}");
    }
    let (blockers, _) = walsmith(&["blockers", text(&database)]);
    assert!(blockers["next"].as_str().unwrap().ends_with("x.db-rescue-2"), "{blockers:#}");
    release(child);
}

fn typed(command: &str) -> (i32, String) {
    let program = walsmith_program();
    let path = format!("{}:{}", text(program.parent().unwrap()), std::env::var("PATH").unwrap());
    let output = Command::new("bash").args(["-c", command]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said.into_owned())
}
