//! Databases of cksumvfs: what we write into one, SQLite reads with the shim under it.
//!
//! `WALSMITH_SHIM_CASES=300 cargo test --release --test suite page_checksums` makes more histories,
//! `WALSMITH_LIVE_SECONDS=60` stays longer beside a busy application.

mod refusals;
mod written;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::shim::{Shim, cases};
use crate::support::{beside, oracle, text, walsmith};

const SHIM: Shim = Shim(Some("cksumvfs"));

/// A database whose log writes page 1 and most other pages again, with some pages only in the file.
const SETUP: &str = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
    CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES(randomblob(70000));
    CREATE TABLE u(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    INSERT INTO u SELECT randomblob(90) FROM n; PRAGMA wal_checkpoint(TRUNCATE);
    UPDATE u SET x = randomblob(91); CREATE TABLE v(x); INSERT INTO v VALUES(randomblob(5000));
    UPDATE u SET x = randomblob(92);";

fn made(page_bytes: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    SHIM.and_die(&["run-reserving", text(&database), "8", &setup(page_bytes)]);
    (folder, database)
}

fn setup(page_bytes: u32) -> String {
    format!("PRAGMA page_size={page_bytes}; {SETUP}")
}

/// One harmless bit of page 1 in the file: SQLite does not look at it.
fn flip_on_page_1(database: &Path) {
    let mut bytes = fs::read(database).unwrap();
    bytes[80] ^= 4;
    fs::write(database, bytes).unwrap();
}

/// Every page of the file alone, as the shim reads it: all are right.
fn every_page_is_right(database: &Path, why: &str) {
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(database, suffix));
    }
    let pages = fs::metadata(database).unwrap().len() / page_bytes(database);
    assert_eq!(SHIM.oracle(&["verify", text(database)]), format!("[[1,{pages}]]\n"), "{why}");
    assert!(SHIM.contents(database).starts_with("ok,"), "{why}");
}

fn page_bytes(database: &Path) -> u64 {
    let bytes = fs::read(database).unwrap();
    match u64::from(u16::from_be_bytes([bytes[16], bytes[17]])) {
        1 => 65_536,
        bytes => bytes,
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A copy of a database and what lies beside it.
fn copy(database: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("x.db");
    for suffix in ["", "-wal", "-journal"] {
        let from = beside(database, suffix);
        if from.exists() {
            fs::copy(from, beside(&target, suffix)).unwrap();
        }
    }
    (folder, target)
}

/// All commands that write into a database, in the words that let them.
fn writers<'a>(database: &'a str, new: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["checkpoint-now", database],
        vec!["checkpoint-now", "--mode", "truncate", database],
        vec!["checkpoint-now", "--remove-files", database],
        vec!["checkpoint-now", "--dry-run", database],
        vec!["replay", "--dry-run", database],
        vec!["replay", "--output", new, database],
        vec!["replay", "--in-place", database],
        vec!["repair", "--apply", "--output", new, database],
    ]
}

#[test]
fn every_history_is_readable_after_every_writer() {
    let mut written = 0;
    for seed in 0..cases(6) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let states = SHIM.and_die(&["history", text(&database), "8", &seed.to_string()]);
        let states: Vec<String> = serde_json::from_str(&states).unwrap();
        let (info, exit) = walsmith(&["info", text(&database)]);
        assert_eq!((exit, &info["page_checksums"]["pages_wrong"]), (0, &0.into()), "{info:#}");
        let new = folder.path().join("new.db");
        let mut args = writers(text(&database), text(&new));
        args.retain(|args| !args.contains(&"--dry-run"));
        for args in args {
            let (_copied, copied) = copy(&database);
            let args: Vec<&str> = args
                .iter()
                .map(|arg| if *arg == text(&database) { text(&copied) } else { arg })
                .collect();
            let (report, exit) = walsmith(&args);
            assert_eq!(exit, 0, "seed {seed} {args:?}: {report:#}");
            let result = if args.contains(&text(&new)) { &new } else { &copied };
            every_page_is_right(result, &format!("seed {seed} {args:?}"));
            assert_eq!(Some(&SHIM.contents(result)), states.last(), "seed {seed} {args:?}");
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(beside(&new, suffix));
            }
            written += 1;
        }
    }
    println!("{written} databases written, every page right");
}

#[test]
fn beside_a_busy_application_no_page_is_called_wrong_and_none_is_written_wrong() {
    let seconds = std::env::var("WALSMITH_LIVE_SECONDS").unwrap_or("2".to_owned());
    let (folder, database) = made(4096);
    let new = folder.path().join("new.db");
    let writers = [0, 1].map(|_| SHIM.start(&["write", text(&database), &seconds]));
    let end = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let (mut read, mut written, mut copied) = (0, 0, 0);
    while Instant::now() < end {
        let (info, exit) = walsmith(&["info", text(&database)]);
        if exit != 4 {
            assert_eq!((exit, &info["page_checksums"]["pages_wrong"]), (0, &0.into()), "{info:#}");
            read += 1;
        }
        let (done, exit) = walsmith(&["checkpoint-now", "--timeout", "100ms", text(&database)]);
        assert!([0, 4, 5].contains(&exit), "{done:#}");
        written += done["copied_pages"].as_u64().unwrap_or(0);
        let seen = SHIM.oracle(&["verify", text(&database)]);
        assert!(!seen.contains("disk I/O error"), "{seen}");
        if walsmith(&["replay", "--force", "--output", text(&new), text(&database)]).1 == 0 {
            every_page_is_right(&new, "a copy of the live database");
            copied += 1;
        }
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&new, suffix));
        }
    }
    for writer in writers {
        let output = writer.wait_with_output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap() > 0);
    }
    println!("{read} readings, {written} pages checkpointed by us, {copied} copies");
    assert!(read > 0 && written > 0 && copied > 0);
    assert_eq!(walsmith(&["checkpoint-now", "--mode", "truncate", text(&database)]).1, 0);
    every_page_is_right(&database, "after busy writers");
}

#[test]
fn info_counts_pages_of_the_file_that_do_not_show_their_checksum() {
    let (_folder, database) = made(4096);
    let sums = |exit_wanted: i32| {
        let (report, exit) = walsmith(&["info", text(&database)]);
        assert_eq!(exit, exit_wanted, "{report:#}");
        report["page_checksums"].clone()
    };
    let pages = fs::metadata(&database).unwrap().len() / 4096;
    let clean = sums(0);
    assert_eq!((&clean["pages_checked"], &clean["pages_wrong"]), (&pages.into(), &0.into()));
    assert_eq!(clean["first_wrong_page"], serde_json::Value::Null);
    // Page 1 is in the log: nobody reads it in the file.
    flip_on_page_1(&database);
    let replaced = sums(0);
    assert_eq!((&replaced["pages_wrong"], &replaced["first_wrong_page"]), (&1.into(), &1.into()));
    assert_eq!(replaced["pages_wrong_in_use"], 0);
    // An overflow page that is only in the file.
    let mut bytes = fs::read(&database).unwrap();
    bytes[4096 * 5 + 999] ^= 1;
    fs::write(&database, &bytes).unwrap();
    let wrong = sums(1);
    assert_eq!((&wrong["pages_wrong"], &wrong["first_wrong_page"]), (&2.into(), &1.into()));
    assert_eq!(
        (&wrong["pages_wrong_in_use"], &wrong["first_wrong_page_in_use"]),
        (&1.into(), &6.into())
    );
    assert_eq!(oracle(&["rows", text(&database), "SELECT count(*) FROM v"]), "[1]\n");
    // What is not written keeps its wrong checksum.
    assert_eq!(walsmith(&["checkpoint-now", text(&database)]).1, 0);
    let after = sums(1);
    assert_eq!((&after["pages_wrong"], &after["first_wrong_page"]), (&1.into(), &6.into()));
}
