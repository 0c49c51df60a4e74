//! Copies of a database that others write, checkpoint and reset at full speed: each is one of its
//! commits.
//!
//! Ten seconds here; longer with `WALSMITH_HELD_SECONDS=60 cargo test held -- --nocapture`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{
    beside, hold, hold_command, oracle, oracle_program, release, rows, text, walsmith,
};

fn seconds() -> u64 {
    std::env::var("WALSMITH_HELD_SECONDS").map_or(10, |text| text.parse().unwrap())
}

/// A database with three writers at work for `seconds`.
pub(crate) struct Busy {
    folder: TempDir,
    pub(crate) database: PathBuf,
    writers: Vec<Child>,
    end: Instant,
}

impl Busy {
    pub(crate) fn start(seconds: u64) -> Self {
        Self::with_writers(seconds, 3, &[])
    }

    /// The same with more writers, who share the four counters and are called with `options`.
    pub(crate) fn with_writers(seconds: u64, count: u32, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("busy.db");
        oracle(&["prepare-counted", text(&database)]);
        let writer = |number: u32| {
            Command::new(oracle_program())
                .args(["write-counted", text(&database)])
                .args([(number % 4).to_string(), seconds.to_string()])
                .args(options)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let writers = (0..count).map(writer).collect();
        let end = Instant::now() + Duration::from_secs(seconds) - Duration::from_millis(300);
        Self { folder, database, writers, end }
    }

    pub(crate) fn is_going_on(&self) -> bool {
        Instant::now() < self.end
    }

    fn copy(&self) -> PathBuf {
        let copy = self.folder.path().join("copy.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&copy, suffix));
        }
        copy
    }

    pub(crate) fn finish(self) -> u64 {
        let commits = |writer: Child| -> u64 {
            let output = writer.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
        };
        self.writers.into_iter().map(commits).sum()
    }
}

/// Asks SQLite whether a copy is sound and is one commit.
fn assert_is_a_commit(copy: &Path) {
    assert_eq!(rows(copy, "PRAGMA integrity_check").trim(), r#"["ok"]"#);
    let off = "SELECT count(*) FROM s WHERE n <> (SELECT count(*) FROM t WHERE t.w = s.w)";
    assert_eq!(rows(copy, off).trim(), "[0]");
}

#[test]
fn copies_of_a_busy_database_are_commits_of_it() {
    let busy = Busy::start(seconds());
    let mut exits: BTreeMap<i32, u32> = BTreeMap::new();
    while busy.is_going_on() {
        let copy = busy.copy();
        let (report, exit) = walsmith(&["replay", "--output", text(&copy), text(&busy.database)]);
        assert!(exit == 0 || exit == 4, "{report:#}");
        *exits.entry(exit).or_default() += 1;
        if exit == 0 {
            assert_is_a_commit(&copy);
        }
    }
    let commits = busy.finish();
    println!("{commits} commits, exit codes of copies {exits:?}");
    let (copies, refused) = (exits.get(&0).copied(), exits.get(&4).copied().unwrap_or(0));
    assert!(copies.is_some_and(|copies| refused * 20 <= copies), "{exits:?}");
}

#[test]
fn copies_without_locks_are_commits_too_where_there_are_any() {
    let busy = Busy::start(seconds() / 2);
    let mut exits: BTreeMap<i32, u32> = BTreeMap::new();
    while busy.is_going_on() {
        let copy = busy.copy();
        let args = ["replay", "--no-lock", "--output", text(&copy), text(&busy.database)];
        let (report, exit) = walsmith(&args);
        assert!(exit == 0 || exit == 4, "{report:#}");
        *exits.entry(exit).or_default() += 1;
        if exit == 0 {
            assert_is_a_commit(&copy);
        }
    }
    println!("{} commits, exit codes of copies without locks {exits:?}", busy.finish());
}

#[test]
fn past_commits_of_a_busy_database_are_exact_or_refused() {
    let busy = Busy::start(seconds() / 2);
    let mut exits: BTreeMap<i32, u32> = BTreeMap::new();
    let mut back = 0_u64;
    while busy.is_going_on() {
        let (list, exit) = walsmith(&["verify-checksums", text(&busy.database)]);
        let newest = list["files"][0]["transactions"].as_u64().unwrap_or(0);
        assert!(exit == 0 || exit == 4, "{list:#}");
        back = (back + 3) % 17;
        let txn = newest.saturating_sub(back).to_string();
        let copy = busy.copy();
        for lock in [&[][..], &["--no-lock"]] {
            let _ = fs::remove_file(&copy);
            let target = ["replay", "--to-txn", &txn, "--output", text(&copy)];
            let (report, exit) = walsmith(&[&target[..], lock, &[text(&busy.database)]].concat());
            // Refused where it is gone, or no such commit where the log has begun again meanwhile.
            assert!([0, 3, 4, 6].contains(&exit), "{report:#}");
            *exits.entry(exit).or_default() += 1;
            if exit == 0 {
                assert_is_a_commit(&copy);
            }
        }
    }
    println!("{} commits, exit codes of past states {exits:?}", busy.finish());
    assert!(exits.contains_key(&0), "{exits:?}");
}

/// A database whose log holds five inserts, with a SQLite process that reads its newest state.
fn attached(sql: &str) -> (TempDir, PathBuf, Child) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    rows(&database, "PRAGMA journal_mode=WAL");
    rows(&database, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    oracle(&["checkpoint", text(&database), "TRUNCATE"]);
    for sql in std::iter::repeat_n("INSERT INTO t(b) VALUES(randomblob(30))", 5).chain([sql]) {
        oracle(&["run", text(&database), sql]);
    }
    let holder = hold("hold-read", &database);
    (folder, database, holder)
}

#[test]
fn every_commit_of_a_live_log_can_be_copied_while_none_was_checkpointed() {
    let (folder, database, holder) = attached("DELETE FROM t WHERE a = 2");
    let counts = [0, 1, 2, 3, 4, 5, 4];
    for (txn, count) in counts.iter().enumerate() {
        let copy = folder.path().join(format!("{txn}.db"));
        let txn = txn.to_string();
        let target = ["replay", "--to-txn", &txn, "--output", text(&copy), text(&database)];
        let (report, exit) = walsmith(&target);
        assert_eq!(exit, 0, "{report:#}");
        assert_eq!(rows(&copy, "SELECT count(*) FROM t").trim(), format!("[{count}]"));
    }
    release(holder);
}

#[test]
fn a_state_that_is_held_takes_no_lock_that_a_writer_needs() {
    let (folder, database, holder) = attached("SELECT 1");
    let writer = hold("hold-write", &database);
    let copy = folder.path().join("copy.db");
    assert_eq!(walsmith(&["replay", "--output", text(&copy), text(&database)]).1, 0);
    assert_eq!(rows(&copy, "SELECT count(*) FROM t").trim(), "[5]");
    release(writer);
    release(holder);
}

#[test]
fn a_database_in_exclusive_mode_is_busy_and_says_who() {
    let (folder, database, holder) = attached("SELECT 1");
    release(holder);
    let exclusive = hold("hold-exclusive", &database);
    let copy = folder.path().join("copy.db");
    let args = ["replay", "--timeout", "100ms", "--output", text(&copy), text(&database)];
    let (report, exit) = walsmith(&args);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("busy"), 4), "{report:#}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains(&exclusive.id().to_string()), "{message}");
    assert!(!copy.exists());
    release(exclusive);
}

/// In rollback mode a spilled transaction is in the file before it commits.
#[test]
fn what_a_transaction_with_a_journal_has_written_is_never_copied() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["run", text(&database), "CREATE TABLE t(x); INSERT INTO t VALUES('old')"]);
    let spilled = "PRAGMA cache_size=5; BEGIN; UPDATE t SET x = 'new'; INSERT INTO t
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
        SELECT hex(randomblob(100)) FROM n";
    let mut writer = Command::new(oracle_program());
    writer.args(["hold-sql", text(&database), spilled]);
    let writer = hold_command(writer);
    assert!(fs::read(&database).unwrap().windows(3).any(|bytes| bytes == b"new"), "it has spilled");
    let output = folder.path().join("copy.db");
    for option in [&["--no-lock"][..], &["--timeout", "0"]] {
        let args = [&["replay", text(&database), "--output", text(&output)], option].concat();
        let (report, exit) = walsmith(&args);
        assert_eq!(exit, 4, "{option:?}: {report:#}");
        assert!(!output.exists());
    }
    release(writer);
    // SQLite rolls it back.
    assert_eq!(rows(&database, "SELECT x FROM t"), "[\"old\"]\n");
    let (_, exit) = walsmith(&["replay", text(&database), "--output", text(&output), "--no-lock"]);
    assert_eq!((exit, rows(&output, "SELECT x FROM t").as_str()), (0, "[\"old\"]\n"));
}
