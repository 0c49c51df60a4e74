//! Harm of one kind each, on one small history.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{beside, oracle_program, rows, text, walsmith, walsmith_command};

const PAGE_BYTES: usize = 512;

/// A file with two tables, and three commits in its log; `after` is done at the end.
fn played(after: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA page_size={PAGE_BYTES}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE TABLE u(id INTEGER PRIMARY KEY, a);
         INSERT INTO t VALUES(1, 'one'); INSERT INTO u VALUES(1, 'one');
         PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a = 'two'; UPDATE u SET a = 'two';
         UPDATE t SET a = 'three'; {after}"
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    std::fs::remove_file(beside(&database, "-shm")).unwrap();
    (folder, database)
}

/// What is said on stderr, and the exit code.
fn said(args: &[&str]) -> (String, Option<i32>) {
    let output = walsmith_command().args(args).output().unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

/// Changes one byte.
fn change(path: &Path, at: usize, change: impl FnOnce(&mut u8)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes[at]);
    std::fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, at: usize) {
    change(path, at, |byte| *byte ^= 1);
}

#[test]
fn a_schema_that_cannot_be_read_is_not_an_empty_one() {
    let (_folder, database) = played("");
    let (_, whole) = walsmith(&["diff", text(&database)]);
    assert_eq!(whole, 1);
    // The kind of the schema's root page.
    change(&database, 100, |byte| *byte = 0);
    for args in [&["log"][..], &["diff"], &["diff", "--sql"], &["diff", "--stat"]] {
        let (stderr, code) = said(&[args, &[text(&database)]].concat());
        assert_eq!(code, Some(3), "{args:?}: {stderr}");
        let why = "page 1 of table sqlite_schema cannot be read as rows";
        assert!(stderr.contains(why), "{args:?}: {stderr}");
    }
}

#[test]
fn a_damaged_log_of_which_no_commit_is_left_is_said_to_be_damaged() {
    let (_folder, database) = played("");
    let frame = 32 + 24 + 100;
    // The first frame, and then the header.
    for at in [frame, 18] {
        flip(&beside(&database, "-wal"), at);
        for command in ["log", "diff"] {
            let (stderr, code) = said(&[command, text(&database)]);
            assert_eq!(code, Some(1), "{command}, byte {at}: {stderr}");
            assert!(stderr.contains("the log is damaged"), "{command}, byte {at}: {stderr}");
        }
    }
}

#[test]
fn a_file_that_has_lost_commits_is_not_what_the_rest_was_written_on() {
    let (_folder, database) = played("PRAGMA wal_checkpoint(PASSIVE);");
    // In the page of the second commit: the third one is intact.
    flip(&beside(&database, "-wal"), 32 + 536 + 24 + 100);
    for command in ["log", "diff"] {
        let (stderr, code) = said(&[command, text(&database)]);
        assert_eq!(code, Some(6), "{command}: {stderr}");
        let why = "page 2 of the database is there as of frame 3, and SQLite sees the log up to \
                   frame 1";
        assert!(stderr.contains(why), "{command}: {stderr}");
    }
    let (_, code) = said(&["log", text(&database), "--accept-foreign"]);
    assert_eq!(code, Some(1));
}

#[test]
fn lost_commits_that_were_not_copied_leave_the_others_as_they_were() {
    let (_folder, database) = played("");
    flip(&beside(&database, "-wal"), 32 + 536 + 24 + 100);
    let (document, code) = walsmith(&["log", "--patch", text(&database)]);
    assert_eq!(code, 1);
    let entries = document["transactions"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["rows"][0]["before"]["a"], "one");
    assert_eq!(entries[0]["rows"][0]["after"]["a"], "two");
}

/// Copies every other one of the frames of `lost` commits into the file, as a checkpoint that a
/// loss of power ends, and cuts the log before them.
fn lose_after(database: &Path, frames: usize) {
    let log = beside(database, "-wal");
    let wal = std::fs::read(&log).unwrap();
    let mut file = std::fs::read(database).unwrap();
    let lost = wal[32..].chunks_exact(24 + PAGE_BYTES).skip(frames);
    for frame in lost.step_by(2) {
        let page = u32::from_be_bytes(*frame.first_chunk().unwrap()) as usize;
        if page > 1
            && let Some(place) = file.chunks_exact_mut(PAGE_BYTES).nth(page - 1)
        {
            place.copy_from_slice(&frame[24..]);
        }
    }
    std::fs::write(database, file).unwrap();
    std::fs::remove_file(beside(database, "-shm")).unwrap();
    std::fs::write(&log, &wal[..32 + frames * (24 + PAGE_BYTES)]).unwrap();
}

/// What SQLite says of the structure, on a copy.
fn integrity(database: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(database, &copy).unwrap();
    std::fs::copy(beside(database, "-wal"), beside(&copy, "-wal")).unwrap();
    rows(&copy, "PRAGMA integrity_check")
}

#[test]
fn a_file_with_parts_of_lost_commits_is_not_known_to_be_of_the_logs_time() {
    let (_folder, database) = played(
        "WITH c(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c WHERE i < 60)
         INSERT INTO t SELECT i, 'row ' || i || hex(randomblob(20)) FROM c;
         PRAGMA wal_checkpoint(TRUNCATE);",
    );
    // Another connection adds one to the change counter, which tells that the log is the next.
    let sql = "PRAGMA wal_autocheckpoint=0; UPDATE u SET a = 'four'; PRAGMA user_version = 1;
               UPDATE t SET a = a || hex(randomblob(60)) WHERE id % 2;";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    assert_eq!(integrity(&database), "[\"ok\"]\n");
    lose_after(&database, 2);
    assert_ne!(integrity(&database), "[\"ok\"]\n", "the harm does nothing");
    let (stderr, code) = said(&["log", text(&database)]);
    let open = "whether the file has later pages than the log is not known";
    assert!(stderr.contains(open), "{code:?}: {stderr}");
    let (stderr, code) = said(&["rewind", text(&database), "--to", "1", "--dry-run"]);
    assert_eq!(code, Some(6), "{stderr}");
    assert!(stderr.contains(open), "{stderr}");
    let (document, _) = walsmith(&["info", text(&database)]);
    assert_eq!(document["pairing"]["verdict"], "cannot-tell", "{}", document["pairing"]);
}
