//! Where nobody knows whether pages end with a checksum, nothing is written.

use std::fs;
use std::path::Path;

use super::{SHIM, every_page_is_right, files, flip_on_page_1, setup, writers};
use crate::support::{beside, release, text, walsmith};

fn are_refused(database: &Path, folder: &Path, damaged: bool) {
    let before = files(folder);
    let new = folder.join("new.db");
    let mut all = writers(text(database), text(&new));
    if damaged {
        all.retain(|args| args[0] == "repair");
        all.push(vec!["repair", "--apply", "--in-place", text(database)]);
    }
    for args in all {
        let (report, exit) = walsmith(&args);
        assert_eq!(exit, 6, "{args:?}: {report:#}");
        let error = &report["error"];
        assert_eq!(error["kind"], "refused", "{args:?}: {report:#}");
        assert!(error["message"].as_str().unwrap().contains("cksumvfs"), "{args:?}: {report:#}");
        assert!(error["hint"].as_str().unwrap().contains("application"), "{args:?}: {report:#}");
        assert!(files(folder) == before, "{args:?}");
    }
}

#[test]
fn checksums_that_are_switched_on_in_the_log_alone_are_refused() {
    for damaged in [false, true] {
        for index in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("x.db");
            let end = "PRAGMA wal_checkpoint(TRUNCATE); CREATE TABLE w(x)";
            SHIM.and_die(&["write-and-die", text(&database), &format!("{} {end}", setup(4096))]);
            SHIM.and_die(&[
                "run-reserving",
                text(&database),
                "8",
                "VACUUM; INSERT INTO w VALUES(1)",
            ]);
            if damaged {
                let wal = beside(&database, "-wal");
                let mut bytes = fs::read(&wal).unwrap();
                bytes[32 + 4120 + 24 + 700] ^= 16;
                fs::write(wal, bytes).unwrap();
            }
            if !index {
                fs::remove_file(beside(&database, "-shm")).unwrap();
            }
            are_refused(&database, folder.path(), damaged);
        }
    }
}

#[test]
fn they_are_refused_beside_the_running_application_too_until_it_has_copied_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    SHIM.and_die(&[
        "write-and-die",
        text(&database),
        &format!("{} PRAGMA wal_checkpoint", setup(4096)),
    ]);
    SHIM.and_die(&["run-reserving", text(&database), "8", "VACUUM"]);
    let holder = SHIM.hold("hold-read", &database);
    let before = files(folder.path());
    for args in [&["--mode", "passive"], &["--mode", "truncate"], &["--mode", "full"]] {
        for dry_run in [&[][..], &["--dry-run"]] {
            let args = [&["checkpoint-now", text(&database)][..], args, dry_run].concat();
            assert_eq!(walsmith(&args).1, 6, "{args:?}");
            assert!(files(folder.path()) == before, "{args:?}");
        }
    }
    release(holder);
    SHIM.oracle(&["checkpoint", text(&database), "PASSIVE"]);
    let sql = "INSERT INTO v VALUES(randomblob(9000))";
    SHIM.and_die(&["write-and-die", text(&database), sql]);
    let (done, exit) = walsmith(&["checkpoint-now", text(&database)]);
    assert_eq!(exit, 0, "{done:#}");
    every_page_is_right(&database, "after the application's own checkpoint");
}

#[test]
fn a_file_of_which_no_page_shows_a_checksum_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "PRAGMA journal_mode=WAL; CREATE TABLE t(a, b); INSERT INTO t VALUES(1, 2)";
    SHIM.and_die(&["run-reserving", text(&database), "8", sql]);
    assert_eq!(fs::metadata(&database).unwrap().len(), 4096);
    flip_on_page_1(&database);
    are_refused(&database, folder.path(), false);
    // Where no page is written, nothing needs to be known.
    let new = folder.path().join("new.db");
    let args = ["replay", "--to-txn", "0", "--output", text(&new), text(&database)];
    assert_eq!(walsmith(&args).1, 0);
    assert!(fs::read(&new).unwrap() == fs::read(&database).unwrap());
}
