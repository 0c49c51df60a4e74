//! Logs that are missing, foreign, damaged or too short, and a lost page 1.

use std::fs;
use std::path::Path;

use super::{Holder, WRITERS, grown, refused, rules};
use crate::support::{beside, oracle, rows, text, walsmith};

#[test]
fn a_lost_page_1_is_named_and_only_a_log_that_has_it_helps() {
    let overwrite = |database: &Path| {
        let mut bytes = fs::read(database).unwrap();
        let (first, rest) = bytes.split_at_mut(4096);
        first.copy_from_slice(&rest[4096..8192]);
        fs::write(database, bytes).unwrap();
    };
    // The log writes page 1.
    let (_folder, database, _) = grown();
    overwrite(&database);
    for command in ["info", "repair"] {
        let (seen, exit) = walsmith(&[command, text(&database)]);
        assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    }
    let (seen, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((rules(&seen["files"][0]), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    let (done, exit) = walsmith(&["checkpoint-now", "--mode", "truncate", text(&database)]);
    assert_eq!(exit, 0, "{done:#}");
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[601]");
    // The log does not.
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let holder = Holder::start("hold-updates", &database);
    holder.finish();
    let _ = fs::remove_file(beside(&database, "-shm"));
    overwrite(&database);
    for args in WRITERS {
        if args[0] != "undo" {
            refused(args, &database, "page 1 is no database header");
        }
    }
    let (seen, exit) = walsmith(&["info", text(&database)]);
    assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    let (seen, exit) = walsmith(&["repair", text(&database)]);
    assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    assert_eq!(seen["lossless"], false);
    // Nor is there a log.
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let (seen, exit) = walsmith(&["info", text(&database)]);
    assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
}

#[test]
fn a_log_that_an_index_knows_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let holder = Holder::start("hold-updates", &database);
    // Copied as a crash leaves them.
    let other = tempfile::tempdir().unwrap();
    let left = other.path().join("x.db");
    for suffix in ["", "-shm"] {
        fs::copy(beside(&database, suffix), beside(&left, suffix)).unwrap();
    }
    holder.finish();
    let (seen, exit) = walsmith(&["info", text(&left)]);
    assert_eq!((rules(&seen), exit), (vec!["log-missing".to_owned()], 0), "{seen:#}");
    assert_eq!(seen["findings"][0]["severity"], "warning");
    let (seen, exit) = walsmith(&["verify-checksums", text(&left)]);
    assert_eq!((seen["files"][0]["verdict"].as_str(), exit), (Some("absent"), 1), "{seen:#}");
    let (done, exit) = walsmith(&["checkpoint-now", text(&left)]);
    assert_eq!((done["missing_log"]["mx_frame"].as_u64(), exit), (Some(9), 1), "{done:#}");
    refused(&["repair", "--apply", "--in-place"], &left, "there is no log");
    let (done, exit) = walsmith(&["repair", text(&left)]);
    assert_eq!((done["lossless"].as_bool(), exit), (Some(false), 1), "{done:#}");
    assert!(beside(&left, "-shm").exists());
}

#[test]
fn a_foreign_log_reaches_no_database() {
    let make = |word: &str, more: &str| {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let sql = format!(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX t_b ON t(b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900)
             INSERT INTO t SELECT i * 3, 'a row of {word}, number ' || i FROM n;
             PRAGMA wal_checkpoint(TRUNCATE); {more}"
        );
        oracle(&["run", text(&database), &sql]);
        (folder, database)
    };
    let more = "CREATE TABLE u(c); INSERT INTO u SELECT b FROM t; PRAGMA wal_checkpoint(TRUNCATE);
                DELETE FROM t WHERE a < 900; UPDATE u SET c = 'x' WHERE rowid < 30;";
    let ((_one, one), (_two, two)) = (make("one", ""), make("two", more));
    fs::copy(beside(&two, "-wal"), beside(&one, "-wal")).unwrap();
    let _ = fs::remove_file(beside(&one, "-shm"));
    for args in WRITERS {
        // A log without damage gives repair nothing to do in place.
        if args[0] != "undo" {
            refused(args, &one, "the log is another database's");
        }
    }
    let args = ["checkpoint-now", "--accept-foreign", text(&one)];
    let (done, exit) = walsmith(&args);
    assert_eq!((done["accepted"][0]["rule"].as_str(), exit), (Some("pair-foreign"), 1), "{done:#}");
}

#[test]
fn undo_does_not_put_bytes_below_a_hot_journal() {
    let (_folder, database, _) = grown();
    assert_eq!(walsmith(&["replay", "--in-place", text(&database)]).1, 0);
    fs::write(beside(&database, "-journal"), b"\xd9\xd5\x05\xf9 a journal").unwrap();
    refused(&["undo"], &database, "is hot");
    fs::remove_file(beside(&database, "-journal")).unwrap();
    assert_eq!(walsmith(&["undo", text(&database)]).1, 0);
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[601]");
}

#[test]
fn a_log_that_ends_before_what_its_index_has_committed_is_refused() {
    let (_folder, database, wal) = grown();
    let shm = beside(&database, "-shm");
    // One of the same salts, left by who has gone.
    let copy = tempfile::tempdir().unwrap();
    let other = copy.path().join("x.db");
    fs::copy(&database, &other).unwrap();
    fs::write(beside(&other, "-wal"), &wal).unwrap();
    oracle(&["run", text(&other), "SELECT count(*) FROM sqlite_schema"]);
    fs::copy(beside(&other, "-shm"), &shm).unwrap();
    let page_bytes = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    let frames = (wal.len() - 32) / (page_bytes + 24);
    for frames_left in [frames - 1, frames / 2, 1] {
        let left = 32 + frames_left * (page_bytes + 24);
        fs::write(beside(&database, "-wal"), &wal[..left]).unwrap();
        let seen = |args: &[&str]| walsmith(&[args, &[text(&database)]].concat());
        for args in [&["info"][..], &["verify-checksums"], &["repair"]] {
            let (report, exit) = seen(args);
            assert!(exit == 1 && report.to_string().contains("log-cut"), "{args:?}: {report:#}");
        }
        for args in
            [&["checkpoint-now"][..], &["checkpoint-now", "--dry-run"], &["replay", "--in-place"]]
        {
            let (report, exit) = seen(args);
            assert_eq!(exit, 6, "{args:?}: {report:#}");
        }
        assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), wal[..left]);
    }
}

#[test]
fn a_damaged_log_is_replayed_in_place_with_a_consent() {
    let (_folder, database, mut wal) = grown();
    wal[32 + 24 + 100] ^= 1;
    fs::write(beside(&database, "-wal"), &wal).unwrap();
    let (report, exit) = walsmith(&["replay", "--in-place", text(&database)]);
    assert_eq!((exit, report["error"]["kind"].as_str()), (6, Some("refused")), "{report:#}");
    let (report, exit) = walsmith(&["replay", "--in-place", "--accept-loss", text(&database)]);
    assert_eq!(exit, 1, "{report:#}");
}
