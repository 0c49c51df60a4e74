//! Frames that the wal-index calls copied and that were not.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Holder, refused, state};
use crate::support::{beside, rows, text, walsmith, walsmith_command};

fn set_backfill(database: &Path, frames: u32) {
    use std::os::unix::fs::FileExt;
    let shm = fs::OpenOptions::new().write(true).open(beside(database, "-shm")).unwrap();
    shm.write_all_at(&frames.to_ne_bytes(), 96).unwrap();
}

fn updated(database: &Path) -> String {
    rows(database, "SELECT count(*), sum(b LIKE 'U%') FROM t").trim().to_owned()
}

/// 300 rows, all of them checkpointed, and nine updates that the wal-index calls copied.
fn false_backfill(frames: u32) -> (TempDir, PathBuf, Holder) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let holder = Holder::start("hold-updates", &database);
    set_backfill(&database, frames);
    (folder, database, holder)
}

#[test]
fn frames_that_were_never_copied_are_copied_again_before_the_log_is_emptied() {
    let (_folder, database, mut holder) = false_backfill(9);
    for args in [
        &["checkpoint-now"][..],
        &["checkpoint-now", "--mode", "noop"],
        &["checkpoint-now", "--dry-run"],
        &["checkpoint-now", "--accept-loss"],
        &["index-rebuild"],
    ] {
        refused(args, &database, "9 frames are marked as copied into the database, and");
    }
    let (info, exit) = walsmith(&["info", text(&database)]);
    assert_eq!(
        (info["false_backfill"]["backfill_frames"].as_u64(), exit),
        (Some(9), 1),
        "{info:#}"
    );
    let (seen, exit) = walsmith(&["index-dump", text(&database)]);
    assert_eq!((seen["comparison"].as_str(), exit), (Some("wrong"), 1), "{seen:#}");
    let truncate = ["checkpoint-now", "--mode", "truncate", text(&database)];
    let (said, exit) = walsmith(&[&truncate[..], &["--dry-run"]].concat());
    assert_eq!((said["backfill_repaired"].as_bool(), exit), (Some(true), 0), "{said:#}");
    let (done, exit) = walsmith(&truncate);
    assert_eq!((done["backfill_repaired"].as_bool(), exit), (Some(true), 0), "{done:#}");
    assert_eq!(done["copied_pages"], said["copied_pages"]);
    assert_eq!(fs::metadata(beside(&database, "-wal")).unwrap().len(), 0);
    // Connections of before and new ones see the updates, and a commit undoes none.
    assert_eq!(updated(&database), "[300,9]");
    holder.ask("UPDATE t SET b = 'last' WHERE a = 299");
    assert_eq!(updated(&database), "[300,9]");
    assert_eq!(rows(&database, "PRAGMA integrity_check").trim(), r#"["ok"]"#);
    holder.finish();
}

#[test]
fn a_mend_needs_all_readers_gone() {
    let (_folder, database, holder) = false_backfill(9);
    let reader = crate::support::hold("hold-read", &database);
    let before = state(&database);
    let (done, exit) = walsmith(&["checkpoint-now", "--mode", "full", text(&database)]);
    assert_eq!((done["busy"].as_bool(), exit), (Some(true), 4), "{done:#}");
    let unchanged = |(path, bytes): (&PathBuf, &Vec<u8>)| {
        path.to_str().unwrap().ends_with("-shm") || fs::read(path).unwrap() == *bytes
    };
    assert!(before.iter().all(unchanged));
    crate::support::release(reader);
    holder.finish();
}

#[test]
fn where_a_commit_may_have_followed_only_consent_copies_again() {
    for frames in [5, 500] {
        let (_folder, database, holder) = false_backfill(frames);
        for mode in ["passive", "full", "truncate"] {
            refused(&["checkpoint-now", "--mode", mode], &database, "marked as copied");
        }
        // What it tells to type does it.
        let (report, _) = walsmith(&["checkpoint-now", text(&database)]);
        let hint = report["error"]["hint"].as_str().unwrap();
        let (_, typed) = hint.rsplit_once("walsmith ").unwrap();
        let (done, exit) = walsmith(&typed.split(' ').collect::<Vec<_>>());
        assert_eq!(
            (done["accepted"][0]["rule"].as_str(), exit),
            (Some("false-backfill"), 1),
            "{done:#}"
        );
        assert_eq!(updated(&database), "[300,9]");
        holder.finish();
    }
}

#[test]
fn doctor_and_info_do_not_say_that_all_is_copied() {
    for frames in [9, 500] {
        let (_folder, database, holder) = false_backfill(frames);
        let mut command = walsmith_command();
        let output = command.env("COLUMNS", "500").args(["doctor", text(&database)]).output();
        let screen = String::from_utf8(output.unwrap().stdout).unwrap();
        assert!(screen.contains("copies nothing of what is marked as copied"), "{screen}");
        let (report, _) = walsmith(&["doctor", text(&database)]);
        let index = walsmith_command().args(["index-dump", text(&database)]).output().unwrap();
        let index = String::from_utf8(index.stdout).unwrap();
        assert!(index.contains("Next: walsmith doctor "), "{index}");
        // It is so: SQLite copies nothing, and whoever opens the database sees no update.
        let said = rows(&database, "PRAGMA wal_checkpoint(PASSIVE)");
        let [_, log_frames, copied]: [u32; 3] = serde_json::from_str(said.trim()).unwrap();
        let word = if log_frames == copied { "ok" } else { "partial" };
        assert_eq!(report["forecast"]["checkpoint"], word, "{said} {:#}", report["forecast"]);
        assert_eq!(updated(&database), "[300,0]");
        // Nobody is told to empty the log as it is.
        let (info, exit) = walsmith(&["info", text(&database)]);
        let next = info["next"].as_str().unwrap_or_default();
        assert!(exit == 1 && !next.contains("truncate"), "{info:#}");
        holder.finish();
    }
}
