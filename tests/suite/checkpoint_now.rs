//! `checkpoint-now` and its exit codes, through the binary and beside SQLite.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::families::content;
use crate::support::{
    and_die, beside, copy, hold, oracle, oracle_program, release, rows, text, walsmith, worker,
};

fn checkpoint(database: &Path, args: &[&str]) -> (Value, i32) {
    walsmith(&[&["checkpoint-now", text(database)], args].concat())
}

fn triple(done: &Value) -> (bool, Option<u64>, Option<u64>) {
    let frames = |name: &str| done[name].as_u64();
    let busy = done["busy"].as_bool().unwrap_or_else(|| panic!("{done:#}"));
    (busy, frames("log_frames"), frames("checkpointed_frames"))
}

#[test]
fn an_idle_log_is_copied_and_no_index_is_left_behind() {
    let (_folder, database) = copy("twenty-rows");
    let (forecast, exit) = checkpoint(&database, &["--dry-run"]);
    assert_eq!((triple(&forecast), exit), ((false, Some(20), Some(20)), 0));
    assert!(!beside(&database, "-shm").exists());
    let (done, exit) = checkpoint(&database, &[]);
    assert_eq!((triple(&done), exit), ((false, Some(20), Some(20)), 0));
    assert_eq!(done["copied_pages"], forecast["copied_pages"]);
    assert_eq!(done["wal_bytes_before"], done["wal_bytes_after"]);
    assert!(!beside(&database, "-shm").exists());
    // All of it is in the database: SQLite sees the rows without the log.
    fs::remove_file(beside(&database, "-wal")).unwrap();
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[20]\n");
}

/// After a crash in which only the wal-index was lost, there is nothing to write.
#[test]
fn pages_that_the_database_has_already_are_not_written_again() {
    let (_folder, database) = copy("twenty-rows");
    let (first, _) = checkpoint(&database, &[]);
    assert!(first["copied_pages"].as_u64() > Some(0));
    let (forecast, _) = checkpoint(&database, &["--dry-run"]);
    let (again, exit) = checkpoint(&database, &[]);
    assert_eq!((triple(&again), exit), ((false, Some(20), Some(20)), 0));
    assert_eq!(again["copied_pages"], 0);
    assert_eq!(forecast["copied_pages"], 0);
    let (forecast, _) = checkpoint(&database, &["--mode", "truncate", "--dry-run"]);
    assert_eq!(forecast["wal_bytes_after"], 0);
    // One byte of one page is another one.
    let mut bytes = fs::read(&database).unwrap();
    let copied = bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&database, &bytes).unwrap();
    let (mended, exit) = checkpoint(&database, &["--mode", "truncate"]);
    assert_eq!(exit, 0, "{mended:#}");
    assert_eq!(fs::read(&database).unwrap(), copied);
}

/// Faults of the highest bits of two words can add nothing to the sum of a page. So can an
/// application that changes signs.
#[test]
fn a_page_of_the_same_sum_is_not_the_same_page() {
    let folder = tempfile::tempdir().unwrap();
    let sum = |bytes: &[u8]| content::checksum([0; 2], bytes);
    let mut found = 0;
    for shift in 0..4 {
        let database = folder.path().join(format!("{shift}.db"));
        // Cells of 24 bytes; the first moves the others.
        let rows_before = format!(
            "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, pad);
             INSERT INTO t VALUES(1, 0.5, zeroblob({shift}));
             WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
             INSERT INTO t SELECT i, 0.5, zeroblob(10) FROM n;
             PRAGMA wal_checkpoint(TRUNCATE);"
        );
        and_die(&["write-and-die", text(&database), &rows_before]);
        and_die(&["write-and-die", text(&database), "UPDATE t SET x = -x WHERE id IN (5, 6)"]);
        fs::remove_file(beside(&database, "-shm")).unwrap();
        let (log, file) =
            (fs::read(beside(&database, "-wal")).unwrap(), fs::read(&database).unwrap());
        let (page, image) = (log[35] as usize, &log[32 + 24..32 + 24 + 4096]);
        let in_file = &file[(page - 1) * 4096..page * 4096];
        assert!(image != in_file);
        found += usize::from(sum(image) == sum(in_file));
        let (done, exit) = checkpoint(&database, &["--mode", "truncate"]);
        assert_eq!((&done["copied_pages"], exit), (&Value::from(1), 0), "{shift}: {done:#}");
        assert_eq!(rows(&database, "SELECT group_concat(id) FROM t WHERE x < 0"), "[\"5,6\"]\n");
    }
    assert!(found > 0, "the sum of the page was never the same");
}

#[test]
fn every_mode_gives_the_triple_that_sqlite_gives() {
    for (mode, pragma) in
        [("passive", "PASSIVE"), ("full", "FULL"), ("restart", "RESTART"), ("truncate", "TRUNCATE")]
    {
        let (_ours, our_copy) = copy("twenty-rows");
        let (_theirs, their_copy) = copy("twenty-rows");
        for holders in [vec![], vec!["hold-read"], vec!["hold-write"]] {
            let hold_all = |database: &Path| -> Vec<_> {
                holders.iter().map(|action| hold(action, database)).collect()
            };
            let (ours, theirs) = (hold_all(&our_copy), hold_all(&their_copy));
            if holders == ["hold-read"] {
                for database in [&our_copy, &their_copy] {
                    rows(database, "INSERT INTO t(b) VALUES('later') RETURNING a");
                }
            }
            let (done, _) = checkpoint(&our_copy, &["--mode", mode]);
            let (busy, log, copied) = triple(&done);
            let our_triple = format!(
                "{} {} {}",
                u8::from(busy),
                log.map_or(-1, |frames| i64::try_from(frames).unwrap()),
                copied.map_or(-1, |frames| i64::try_from(frames).unwrap())
            );
            let their_triple = oracle(&["checkpoint", text(&their_copy), pragma]);
            assert_eq!(our_triple, their_triple.trim(), "{mode} {holders:?}");
            ours.into_iter().chain(theirs).for_each(release);
        }
    }
}

#[test]
fn exit_4_and_5_tell_nothing_from_something() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    // All pages of frames up to the reader's mark are written again after it, or copied.
    let (done, exit) = checkpoint(&database, &[]);
    let expected = if done["copied_pages"] == 0 { 4 } else { 5 };
    assert_eq!(exit, expected, "{done:#}");
    let blocker = &done["blocked_by"][0];
    assert_eq!(blocker["pid"], reader.id());
    assert!(blocker["command"].as_str().unwrap().contains("hold-read"));
    // A second attempt finds nothing that it may copy.
    assert_eq!(checkpoint(&database, &[]).1, 4);
    release(reader);
    let writer = hold("hold-write", &database);
    let (done, exit) = checkpoint(&database, &["--mode", "full"]);
    assert_eq!((done["busy"].as_bool(), exit), (Some(true), 5), "{done:#}");
    assert_eq!(done["blocked_by"][0]["lock"], "write");
    // A passive one has nothing left to do, and keeps its promise.
    assert_eq!(checkpoint(&database, &[]).1, 0);
    release(writer);
    assert_eq!(checkpoint(&database, &["--mode", "truncate"]).1, 0);
    assert_eq!(fs::metadata(beside(&database, "-wal")).unwrap().len(), 0);
}

#[test]
fn a_timeout_outlasts_a_reader_that_ends() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    let waiting = Command::new(env!("CARGO_BIN_EXE_walsmith"))
        .args(["checkpoint-now", text(&database), "--mode", "truncate", "--timeout", "60s"])
        .spawn()
        .unwrap();
    release(reader);
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(fs::metadata(beside(&database, "-wal")).unwrap().len(), 0);
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[21]\n");
}

#[test]
fn a_damaged_idle_log_is_refused_and_untouched() {
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[32 + 10 * 4120 + 700] ^= 1;
    fs::write(&wal, &bytes).unwrap();
    let before = fs::read(&database).unwrap();
    let (done, exit) = checkpoint(&database, &[]);
    assert_eq!((done["error"]["kind"].as_str(), exit), (Some("refused"), 6));
    assert!(done["error"]["hint"].as_str().unwrap().contains("--accept-loss"));
    assert_eq!((fs::read(&wal).unwrap(), fs::read(&database).unwrap()), (bytes, before));
    assert!(!beside(&database, "-shm").exists());
    let (done, exit) = checkpoint(&database, &["--accept-loss"]);
    assert_eq!((triple(&done), exit), ((false, Some(10), Some(10)), 1));
    assert_eq!(done["accepted"][0]["rule"], "log-damaged");
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[10]\n");
}

#[test]
fn rot_in_a_live_log_stops_the_copy_before_it() {
    let (_folder, database) = copy("twenty-rows");
    // Somebody is attached, so the index is right and nobody reads the log again.
    let reader = hold("hold-read", &database);
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[32 + 10 * 4120 + 700] ^= 1;
    fs::write(&wal, &bytes).unwrap();
    let before = fs::read(&database).unwrap();
    let (done, exit) = checkpoint(&database, &[]);
    assert_eq!((done["error"]["kind"].as_str(), exit), (Some("refused"), 6), "{done:#}");
    let (done, exit) = checkpoint(&database, &["--accept-loss"]);
    assert_eq!((done["rot"]["frame"].as_u64(), exit), (Some(11), 1), "{done:#}");
    assert_eq!(done["rot"]["last_good_commit"], 10);
    assert_eq!(triple(&done), (false, Some(20), Some(10)));
    // The page is written again after the damage, so nothing of it was copied.
    assert_eq!(fs::read(&database).unwrap(), before);
    let (done, exit) = checkpoint(&database, &["--no-verify", "--accept-loss"]);
    assert_eq!((triple(&done), exit), ((false, Some(20), Some(20)), 1));
    release(reader);
}

#[test]
fn without_a_log_there_is_nothing_to_do_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    for mode in ["DELETE", "WAL"] {
        let sql = format!("PRAGMA journal_mode={mode}");
        rows(&database, &sql);
        rows(&database, "CREATE TABLE IF NOT EXISTS t(a)");
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&database, suffix));
        }
        let (done, exit) = checkpoint(&database, &["--mode", "truncate"]);
        assert_eq!((triple(&done), exit), ((false, None, None), 0), "{mode}");
        assert!(done["wal_bytes_before"].is_null() && done["wal_bytes_after"].is_null());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn files_are_removed_when_nobody_else_is_attached_and_only_then() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    let (done, exit) = checkpoint(&database, &["--remove-files"]);
    assert_eq!((done["removed_files"].as_bool(), exit), (Some(false), 0));
    release(reader);
    let (done, exit) = checkpoint(&database, &["--remove-files"]);
    assert_eq!((done["removed_files"].as_bool(), exit), (Some(true), 0));
    assert!(done["wal_bytes_after"].is_null());
    assert!(!beside(&database, "-wal").exists() && !beside(&database, "-shm").exists());
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[20]\n");
}

#[test]
fn busy_is_exit_4_while_somebody_works_in_exclusive_mode() {
    let (_folder, database) = copy("twenty-rows");
    let mut holder = Command::new(oracle_program());
    let _ = worker(&["checkpoint", text(&database), "noop"]);
    let holder = holder
        .args(["hold-exclusive", text(&database)])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut holder = holder.unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let (done, exit) = checkpoint(&database, &[]);
    assert_eq!((triple(&done), exit), ((true, None, None), 4));
    assert_eq!(done["blocked_by"][0]["lock"], "db-shared");
    assert_eq!(done["blocked_by"][0]["pid"], holder.id());
    release(holder);
}
