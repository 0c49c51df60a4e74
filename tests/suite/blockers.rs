//! `blockers` beside SQLite processes that hold locks.

use std::path::Path;
use std::process::{Child, Command};

use serde_json::Value;

use crate::support::{copy, hold, oracle_program, rows};

fn release(mut holder: Child) {
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

fn blockers(args: &[&str], database: &Path) -> (Vec<Value>, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_walsmith"))
        .args(["blockers", "--json"])
        .args(args)
        .arg(database)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    (document["blockers"].as_array().unwrap().clone(), output.status.code().unwrap())
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
    let checkpoint =
        Command::new(oracle_program()).arg("checkpoint").arg(&database).arg("PASSIVE").output();
    let checkpoint = String::from_utf8(checkpoint.unwrap().stdout).unwrap();
    assert_eq!(checkpoint.trim(), "0 23 20");
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
