//! Databases of tmstmpvfs, which writes into the last 16 bytes of a page on its way into the file:
//! what the log has there must not count where its images are compared with the file.
//!
//! `WALSMITH_SHIM_CASES=300 cargo test --release --test suite page_stamps` makes more histories.

use std::fs;
use std::path::Path;

use crate::round_trip::is_gone;
use crate::shim::{Shim, cases};
use crate::support::{beside, text, walsmith};

const SHIM: Shim = Shim(Some("tmstmpvfs"));

/// Replays every transaction of a history; how many were exact, and how many refused.
fn replay_all(shim: Shim, reserved: &str, seed: u64) -> (u32, u32) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let states = shim.and_die(&["history", text(&database), reserved, &seed.to_string()]);
    let states: Vec<String> = serde_json::from_str(&states).unwrap();
    if !seed.is_multiple_of(3) {
        fs::remove_file(beside(&database, "-shm")).unwrap();
    }
    let (info, exit) = walsmith(&["info", text(&database)]);
    assert_eq!(exit, 0, "seed {seed}: {info:#}");
    assert_ne!(info["pairing"]["verdict"], "foreign", "seed {seed}: {info:#}");
    let (mut wanted, mut written, mut refused) = (Vec::new(), Vec::new(), 0);
    for (txn, state) in states.iter().enumerate() {
        let new = folder.path().join(format!("{txn}.db"));
        let to_txn = txn.to_string();
        let args = ["replay", "--to-txn", &to_txn, "--output", text(&new), text(&database)];
        match walsmith(&args) {
            (_, 0) => {
                wanted.push(format!("{txn} {state}"));
                written.push((txn, new));
            }
            (report, 6) => {
                let why = report["error"]["message"].as_str().unwrap();
                assert!(is_gone(why), "seed {seed} {txn}: {report:#}");
                // What SQLite sees can always be had.
                assert!(txn + 1 < states.len(), "seed {seed} {txn}: {report:#}");
                refused += 1;
            }
            (report, exit) => panic!("seed {seed} {txn}: exit {exit}: {report:#}"),
        }
    }
    let paths: Vec<&Path> = written.iter().map(|(_, path)| path.as_path()).collect();
    let found = shim.contents_of(&paths).into_iter().zip(&written);
    let found: Vec<String> = found.map(|(state, (txn, _))| format!("{txn} {state}")).collect();
    assert_eq!(found, wanted, "seed {seed}");
    (u32::try_from(written.len()).unwrap(), refused)
}

fn histories(shim: Shim, reserved: &str) {
    let (mut exact, mut refused) = (0, 0);
    let all = cases(16);
    for seed in 0..all {
        let (written, gone) = replay_all(shim, reserved, seed);
        (exact, refused) = (exact + written, refused + gone);
    }
    println!("{all} histories of {shim:?}: {exact} states exact, {refused} refused, 0 wrong");
    assert!(exact > 0 && refused > 0);
}

#[test]
fn every_earlier_state_of_a_time_stamped_database_is_exact_or_refused() {
    histories(SHIM, "16");
}

#[test]
fn every_earlier_state_of_a_database_with_checksums_is_exact_or_refused() {
    histories(Shim(Some("cksumvfs")), "8");
}

#[test]
fn every_earlier_state_of_an_ordinary_database_is_exact_or_refused() {
    histories(Shim(None), "0");
}

/// A database in which a checkpoint has written new rows over old ones, and its log.
fn copied(database: &Path) {
    let sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
        CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES('old'), ('rows of it');
        PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET b = 'new ' || b || ' that are longer';
        INSERT INTO t(b) VALUES('something else, much longer than all that was there before');
        UPDATE t SET b = b || '!'; PRAGMA wal_checkpoint(PASSIVE)";
    SHIM.and_die(&["run-reserving", text(database), "16", sql]);
    fs::remove_file(beside(database, "-shm")).unwrap();
}

#[test]
fn a_state_that_a_checkpoint_has_overwritten_is_gone_though_its_stamps_differ() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    copied(&database);
    let new = folder.path().join("new.db");
    let args = ["replay", "--to-txn", "0", "--output", text(&new), text(&database)];
    let (report, exit) = walsmith(&args);
    assert_eq!((exit, new.exists()), (6, false), "{report:#}");
    assert!(report["error"]["message"].as_str().unwrap().contains("page 2 is there"));
}

#[test]
fn a_damaged_log_that_was_copied_before_is_known_to_be_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    copied(&database);
    let (info, _) = walsmith(&["info", text(&database)]);
    assert_eq!(info["pairing"]["verdict"], "same", "{info:#}");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[32 + 24 + 4096 - 200] ^= 1;
    fs::write(&wal, bytes).unwrap();
    let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((exit, &report["files"][0]["sqlite_sees"]), (1, &"complete".into()), "{report:#}");
}

#[test]
fn a_checkpoint_writes_stamps_as_sqlite_does_without_the_shim() {
    let made = tempfile::tempdir().unwrap();
    let database = made.path().join("x.db");
    let sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
        CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES(randomblob(9000));
        PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t(b) VALUES(randomblob(9000))";
    SHIM.and_die(&["run-reserving", text(&database), "16", sql]);
    let copy = |name: &str| {
        let target = made.path().join(name);
        for suffix in ["", "-wal"] {
            fs::copy(beside(&database, suffix), beside(&target, suffix)).unwrap();
        }
        target
    };
    let (ours, theirs) = (copy("ours.db"), copy("theirs.db"));
    assert_eq!(walsmith(&["checkpoint-now", text(&ours)]).1, 0);
    Shim(None).oracle(&["checkpoint", text(&theirs), "PASSIVE"]);
    assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap());
    fs::remove_file(beside(&ours, "-wal")).unwrap();
    assert_eq!(SHIM.contents(&ours), SHIM.contents(&theirs));
    assert!(SHIM.contents(&ours).starts_with("ok, "));
}
