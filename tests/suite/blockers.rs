//! `blockers` beside SQLite processes that hold locks.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{
    beside, copy, hold, hold_command, hold_with, oracle, oracle_program, release, rows, text,
    walsmith, walsmith_command, worker_program,
};

fn blockers(args: &[&str], database: &Path) -> (Vec<Value>, i32) {
    let (document, exit) = walsmith(&[&["blockers", text(database)], args].concat());
    (document["blockers"].as_array().unwrap().clone(), exit)
}

fn blocking(rows: &[Value], what: &str) -> Vec<(String, u64)> {
    rows.iter()
        .filter(|row| row["blocks"].as_array().unwrap().iter().any(|blocked| blocked == what))
        .map(|row| (row["lock"].as_str().unwrap().to_owned(), row["pid"].as_u64().unwrap_or(0)))
        .collect()
}

#[test]
fn a_reader_that_pins_frames_and_a_writer_are_named() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    for _ in 0..3 {
        rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    }
    let writer = hold("hold-write", &database);
    let (rows, exit) = blockers(&["--max-pinned-frames", "2"], &database);
    let (reader_pid, writer_pid) = (u64::from(reader.id()), u64::from(writer.id()));
    assert_eq!(blocking(&rows, "write"), [("write".to_owned(), writer_pid)]);
    let pinning = blocking(&rows, "checkpoint");
    assert_eq!(pinning.len(), 1, "{rows:#?}");
    assert_eq!(pinning[0].1, reader_pid);
    let row = rows.iter().find(|row| row["lock"] == *pinning[0].0).unwrap();
    assert_eq!(
        (row["pinned_frames"].as_u64(), row["read_mark_frame"].as_u64()),
        (Some(3), Some(20))
    );
    assert_eq!(row["pinned_bytes"].as_u64(), Some(3 * 4120));
    assert!(row["command"].as_str().unwrap().contains("hold-read"));
    assert_eq!(exit, 1);
    assert_eq!(blockers(&["--max-pinned-frames", "3"], &database).1, 0);
    // SQLite agrees: a checkpoint gets no further than the reader's mark.
    assert_eq!(oracle(&["checkpoint", text(&database), "PASSIVE"]).trim(), "0 23 20");
    release(writer);
    release(reader);
}

#[test]
fn a_mark_without_a_lock_is_stale_and_blocks_nothing() {
    let (_folder, database) = copy("twenty-rows");
    release(hold("hold-read", &database));
    let (rows, exit) = blockers(&["--max-pinned-frames", "0"], &database);
    assert_eq!(exit, 0);
    assert!(rows.iter().all(|row| row["held"] == "none" && row["blocks"] == serde_json::json!([])));
    assert!(rows.iter().any(|row| !row["read_mark_frame"].is_null()), "{rows:#?}");
}

#[test]
fn several_readers_are_told_apart_ours_among_them() {
    let (_folder, database) = copy("twenty-rows");
    let sqlite = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    let ours = hold_with(&worker_program(), "hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    let (rows, _) = blockers(&[], &database);
    let pinned = |pid: u32| {
        let row = rows
            .iter()
            .find(|row| row["pid"] == pid && row["lock"].as_str().unwrap().starts_with("read-"));
        row.unwrap()["pinned_frames"].as_u64().unwrap()
    };
    assert_eq!((pinned(sqlite.id()), pinned(ours.id())), (2, 1), "{rows:#?}");
    let command = rows.iter().find(|row| row["pid"] == ours.id()).unwrap()["command"].clone();
    assert!(command.as_str().unwrap().contains("worker hold-read"));
    release(sqlite);
    release(ours);
}

#[test]
fn a_process_that_holds_a_deleted_log_is_named() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    std::fs::remove_file(beside(&database, "-wal")).unwrap();
    std::fs::remove_file(beside(&database, "-shm")).unwrap();
    let (found, exit) = walsmith(&["blockers", text(&database)]);
    let deleted = found["misusers"].as_array().unwrap();
    let files: Vec<&str> = deleted.iter().map(|row| row["file"].as_str().unwrap()).collect();
    for suffix in ["x.db-wal", "x.db-shm"] {
        assert!(files.iter().any(|file| file.ends_with(suffix)), "{found:#}");
    }
    let ours = |row: &Value| row["pid"] == reader.id() && row["misuse"] == "deleted-in-use";
    assert!(deleted.iter().all(ours), "{found:#}");
    assert_eq!(exit, 1);
    release(reader);
}

/// The log of another state of the database would be copied over it, and cannot be taken back.
#[test]
fn info_tells_to_empty_the_log_and_doubts_whose_it_is_where_nobody_is_attached() {
    let (_folder, database) = copy("twenty-rows");
    let next = || {
        let output = walsmith_command().args(["info", text(&database)]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let command = |words: &str| format!("walsmith {words} {}\n", text(&database));
    let mut idle = Command::new(oracle_program());
    idle.args(["hold-sql", text(&database), "SELECT 1"]);
    let mut idle = hold_command(idle);
    let known = next();
    assert!(known.contains("Nobody is in the way; this copies the log and frees "), "{known}");
    assert!(known.ends_with(&command("checkpoint-now --mode truncate")), "{known}");
    let reader = hold("hold-read", &database);
    assert!(next().ends_with(&command("blockers")), "{}", next());
    release(reader);
    idle.kill().unwrap();
    idle.wait().unwrap();
    let open = next();
    assert!(open.contains("If the log is this database's, this copies it and frees "), "{open}");
    assert!(open.ends_with(&command("doctor")), "{open}");
}
