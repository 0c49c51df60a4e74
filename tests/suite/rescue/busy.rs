//! Beside processes at full speed: every rescue that is called proven is one of their commits.
//!
//! Four here; more with `WALSMITH_RESCUES=100 cargo test rescue -- --nocapture`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Rescue;
use crate::support::{beside, hold, oracle, oracle_program, release, text};

fn runs() -> u32 {
    std::env::var("WALSMITH_RESCUES").map_or(4, |text| text.parse().unwrap())
}

/// A database with four writers at work, until it is dropped.
struct Busy {
    _folder: TempDir,
    database: PathBuf,
    writers: Vec<Child>,
}

impl Busy {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        oracle(&["prepare-counted", text(&database)]);
        let writer = |number: &str| {
            let mut command = Command::new(oracle_program());
            command.args(["write-counted", text(&database), number, "3600"]);
            command.stdout(Stdio::null()).spawn().unwrap()
        };
        let writers = ["0", "1", "2", "3"].map(writer).into();
        let busy = Self { _folder: folder, database, writers };
        // Until each of them has committed, and so has the log and the index open.
        let begun = "SELECT count(*) FROM s WHERE n > 0";
        while crate::support::rows(&busy.database, begun).trim() != "[4]" {
            std::thread::yield_now();
        }
        busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for writer in &mut self.writers {
            let _ = writer.kill();
            let _ = writer.wait();
        }
    }
}

/// Rows that are missing or too many by the count that each commit keeps.
const OFF: &str = "SELECT count(*) FROM s WHERE n <> (SELECT count(*) FROM t WHERE t.w = s.w)";

/// Asks SQLite whether a set is sound and one commit; the rows that it has.
fn commit_in(done: &Rescue, folder: Option<&str>) -> u64 {
    assert_eq!(done.rows(folder, OFF), "[0]", "{:#}", done.report);
    let count = done.rows(folder, "SELECT count(*) FROM t");
    count.trim_matches(['[', ']']).parse().unwrap()
}

/// The index is as good as the log: what it counts is there, and walsmith reads both as one.
fn assert_index_fits(directory: &Path) {
    let (report, _) = crate::support::walsmith(&["index-dump", text(&directory.join("x.db"))]);
    let comparison = report["comparison"].as_str();
    assert!(comparison != Some("other-log"), "{report:#}");
    let (found, _) = crate::support::walsmith(&["doctor", text(&directory.join("x.db"))]);
    for finding in found["findings"].as_array().unwrap() {
        assert_ne!(finding["severity"], "error", "{finding:#}");
    }
}

#[test]
fn copies_beside_four_writers_are_commits() {
    let mut busy = Busy::start();
    let mut exits: BTreeMap<(i32, String), u32> = BTreeMap::new();
    let mut newest = 0;
    for run in 1..=runs() {
        // The writers never rest, and would fill the disk.
        if run % 5 == 0 {
            drop(std::mem::replace(&mut busy, Busy::start()));
            newest = 0;
        }
        let done = Rescue::of(&busy.database, &[]);
        let held = done.report["sets"][0]["held"].as_str().unwrap_or_default().to_owned();
        *exits.entry((done.exit, held)).or_default() += 1;
        done.assert_is_proven();
        let rows = commit_in(&done, None);
        assert!(rows >= newest, "{rows} rows after {newest}");
        newest = rows;
        assert_index_fits(&done.directory);
    }
    println!("{newest} rows, exit codes and how they were held {exits:?}");
}

#[test]
fn copies_without_locks_are_commits_or_called_unproven() {
    let busy = Busy::start();
    let mut exits: BTreeMap<i32, u32> = BTreeMap::new();
    for _ in 0..runs() {
        let done = Rescue::of(&busy.database, &["--no-lock"]);
        *exits.entry(done.exit).or_default() += 1;
        match done.exit {
            0 => drop(commit_in(&done, None)),
            5 => {
                let files = done.files(None);
                let why = files.iter().filter_map(|file| file["unproven_because"].as_str());
                assert!(why.count() > 0, "{:#}", done.report);
            }
            other => panic!("{other}: {:#}", done.report),
        }
    }
    println!("exit codes of copies without locks {exits:?}");
}

/// The log of four writers is unlinked, and they go on.
#[test]
fn a_deleted_log_of_busy_writers_is_one_commit_with_its_database() {
    for suffixes in [&["-wal"][..], &["-wal", "-shm"]] {
        let busy = Busy::start();
        for suffix in suffixes {
            fs::remove_file(beside(&busy.database, suffix)).unwrap();
        }
        let mut newest = 0;
        for _ in 0..runs().div_ceil(2) {
            let done = Rescue::of(&busy.database, &[]);
            done.assert_is_proven();
            let sets = done.report["sets"].as_array().unwrap();
            assert_eq!(sets.len(), 2, "{:#}", done.report);
            assert_eq!(sets[1]["processes"].as_array().unwrap().len(), 4);
            assert_eq!(sets[1]["held"], "locks");
            let rows = commit_in(&done, sets[1]["folder"].as_str());
            assert!(rows >= newest, "{rows} rows after {newest}");
            newest = rows;
        }
    }
}

#[test]
fn one_who_has_the_database_alone_is_read_twice() {
    let (_folder, database) = crate::support::prepared(50, 4096);
    let alone = hold("hold-exclusive", &database);
    let done = Rescue::of(&database, &["--timeout", "50ms"]);
    done.assert_is_proven();
    let set = &done.report["sets"][0];
    assert_eq!(set["held"], "readings", "{:#}", done.report);
    assert!(set["not_held_because"].as_str().unwrap().contains("exclusive"), "{set:#}");
    assert_eq!(done.rows(None, "SELECT count(*) FROM ours"), "[50]");
    release(alone);
}

/// Nothing can be held of one who writes alone: what is called proven is a commit all the same.
#[test]
fn one_who_writes_alone_is_a_commit_or_called_unproven() {
    for mode in ["WAL", "DELETE", "TRUNCATE"] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        oracle(&["prepare-counted", text(&database)]);
        let mut writer = Command::new(oracle_program())
            .args(["write-counted", text(&database), mode, "3600"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let size = |path: &Path| fs::metadata(path).map_or(0, |status| status.len());
        while size(&database) + size(&beside(&database, "-wal")) < 300_000 {
            std::thread::yield_now();
        }
        let mut exits: BTreeMap<i32, u32> = BTreeMap::new();
        for _ in 0..runs().div_ceil(2) {
            let done = Rescue::of(&database, &["--timeout", "10ms"]);
            *exits.entry(done.exit).or_default() += 1;
            match done.exit {
                0 => drop(commit_in(&done, None)),
                5 => assert_eq!(done.report["is_proven"], false),
                other => panic!("{other}: {:#}", done.report),
            }
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        println!("{mode}: exit codes beside one who writes alone {exits:?}");
    }
}
