//! File and log that do not stand at the same time: what SQLite takes back or throws away.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::shim::Shim;
use crate::support::{beside, oracle, rows, text, walsmith};

const FRAME: usize = 24 + 1024;

/// A database of rows that were added one a transaction, all of them copied into the file.
fn copied(path: &Path) {
    let inserts: String = (0..40)
        .map(|row| format!("INSERT INTO t(x) VALUES('{row}-{}');", "y".repeat(200)))
        .collect();
    let sql = format!(
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, x); {inserts} PRAGMA wal_checkpoint(PASSIVE);"
    );
    Shim(None).and_die(&["write-and-die", text(path), &sql]);
    fs::remove_file(beside(path, "-shm")).unwrap();
}

/// The end of the frame with the commit before `frame`.
fn commit_before(wal: &[u8], frame: usize) -> usize {
    let is_commit = |frame: &usize| {
        let at = 32 + (frame - 1) * FRAME + 4;
        wal.get(at..at + 4).is_some_and(|size| size != [0; 4])
    };
    32 + (1..frame).rev().find(is_commit).unwrap() * FRAME
}

fn rules(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

#[test]
fn a_log_that_lost_its_end_after_it_was_copied_is_older_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    copied(&path);
    let wal = beside(&path, "-wal");
    let whole = fs::read(&wal).unwrap();
    let frames = (whole.len() - 32) / FRAME;
    let (file, exit) = walsmith(&["verify-checksums", text(&path)]);
    assert_eq!((rules(&file["files"][0]["findings"]), exit), (vec![], 0), "{file:#}");
    for frame in [frames / 3, frames / 2, frames - 8] {
        let cut = commit_before(&whole, frame);
        fs::write(&wal, &whole[..cut]).unwrap();
        let (file, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &file["files"][0];
        assert_eq!((rules(&file["findings"]), exit), (vec!["file-newer"], 1), "{frame}: {file:#}");
        assert_eq!((&file["verdict"], &file["sqlite_sees"]), (&"clean".into(), &"mixture".into()));
        let (report, _) = walsmith(&["repair", text(&path)]);
        assert_eq!(report["lossless"], false, "{frame}: {report:#}");
        // SQLite puts the older pages over the newer ones.
        let copy = folder.path().join("copy.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
        }
        let theirs = std::panic::catch_unwind(|| rows(&copy, "SELECT id FROM t").lines().count());
        assert!(theirs.is_err() || theirs.is_ok_and(|rows| rows < 40), "{frame}");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&copy, suffix));
        }
    }
}

/// That the log is torn excuses nothing.
#[test]
fn a_torn_log_of_before_is_older_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    copied(&path);
    let wal = beside(&path, "-wal");
    let whole = fs::read(&wal).unwrap();
    for cut in [whole.len() / 3, whole.len() / 2] {
        fs::write(&wal, &whole[..cut]).unwrap();
        let (file, exit) = walsmith(&["verify-checksums", text(&path)]);
        let rule = rules(&file["files"][0]["findings"]);
        assert_eq!((rule, exit), (vec!["file-newer"], 1), "{cut}: {file:#}");
        let (report, exit) = walsmith(&["repair", text(&path)]);
        assert_eq!((report["verdict"].as_str(), exit), (Some("torn-tail"), 1), "{report:#}");
    }
}

/// VACUUM writes half-empty pages together: the database is smaller afterwards, though none of its
/// pages was free.
#[test]
fn a_log_that_begins_with_a_vacuum_is_not_older_than_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, later) = (folder.path().join("x.db"), folder.path().join("later.db"));
    let sql = "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
        CREATE TABLE t(k TEXT, v, PRIMARY KEY(k)) WITHOUT ROWID;
        CREATE TABLE u(a, b); INSERT INTO u VALUES(1, 'one'), (2, 'two');
        WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 400)
        INSERT INTO t SELECT printf('%05d', i * 7919 % 400), hex(zeroblob(20)) FROM n;
        PRAGMA wal_checkpoint(TRUNCATE); VACUUM; INSERT INTO u VALUES(3, 'three');";
    Shim(None).and_die(&["write-and-die", text(&path), sql]);
    let _ = fs::remove_file(beside(&path, "-shm"));
    let (file, exit) = walsmith(&["verify-checksums", text(&path)]);
    let file = &file["files"][0];
    let (pages, newest) = (fs::metadata(&path).unwrap().len() / 1024, &file["db_size_pages"]);
    assert!(pages > newest.as_u64().unwrap(), "{pages} to {newest}");
    assert_eq!((rules(&file["findings"]), exit), (vec![], 0), "{file:#}");
    // Pages that a VACUUM writes as they were may be copied ones: that is another matter.
    assert_eq!(walsmith(&["log", "--accept-likely", text(&path)]).1, 5);
    assert_eq!(walsmith(&["check", text(&path)]).1, 0);
    // The file of a later time is another thing, also where it has the rows of before again.
    for change in [
        "INSERT INTO u SELECT k, hex(zeroblob(300)) FROM t",
        "DELETE FROM u WHERE a = 3; CREATE INDEX i ON t(v, k); CREATE INDEX j ON t(v, k)",
    ] {
        for suffix in ["", "-wal"] {
            fs::copy(beside(&path, suffix), beside(&later, suffix)).unwrap();
        }
        let log = fs::read(beside(&later, "-wal")).unwrap();
        oracle(&["run", text(&later), &format!("{change}; PRAGMA wal_checkpoint(TRUNCATE)")]);
        let _ = fs::remove_file(beside(&later, "-shm"));
        fs::write(beside(&later, "-wal"), log).unwrap();
        let (file, exit) = walsmith(&["verify-checksums", text(&later)]);
        let file = &file["files"][0];
        assert_eq!((rules(&file["findings"]), exit), (vec!["file-newer"], 1), "{change}: {file:#}");
    }
}

#[test]
fn commits_that_the_file_has_are_not_only_in_the_log() {
    for (after, wanted) in [("", false), ("INSERT INTO t(x) VALUES('later');", true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let sql = format!(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x);
             INSERT INTO t VALUES('first'); PRAGMA wal_checkpoint(PASSIVE); {after}"
        );
        Shim(None).and_die(&["write-and-die", text(&path), &sql]);
        fs::remove_file(beside(&path, "-shm")).unwrap();
        let alone = folder.path().join("alone.db");
        fs::copy(&path, &alone).unwrap();
        let count = "SELECT count(*) FROM t";
        let (report, exit) = walsmith(&["doctor", text(&path)]);
        assert_eq!(rules(&report["findings"]).contains(&"only-in-log"), wanted, "{report:#}");
        assert_eq!(exit, 0, "{report:#}");
        assert_eq!(rows(&alone, count) != rows(&path, count), wanted);
    }
}

#[test]
fn a_log_beside_an_empty_database_or_none_is_thrown_away() {
    for bytes in [Some(0), Some(1), None] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        copied(&path);
        match bytes {
            Some(bytes) => fs::write(&path, vec![0; bytes]).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (file, exit) = walsmith(&["verify-checksums", text(&beside(&path, "-wal"))]);
        let file = &file["files"][0];
        assert_eq!((rules(&file["findings"]), exit), (vec!["log-discarded"], 1), "{file:#}");
        assert_eq!(file["sqlite_sees"], "nothing");
        for command in ["info", "repair"] {
            let (report, exit) = walsmith(&[command, text(&beside(&path, "-wal"))]);
            assert_eq!((rules(&report["findings"]), exit), (vec!["log-discarded"], 1), "{command}");
        }
        // SQLite reads nothing of it.
        assert_eq!(rows(&path, "SELECT count(*) FROM sqlite_schema").trim(), "[0]", "{bytes:?}");
    }
}

#[test]
fn what_a_log_without_its_database_holds_is_written_by_the_command_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let table = "PRAGMA journal_mode=WAL; CREATE TABLE t(id); INSERT INTO t VALUES(1), (2), (3)";
    Shim(None).and_die(&["write-and-die", text(&path), table]);
    fs::write(&path, []).unwrap();
    let (report, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((rules(&report["findings"]), exit), (vec!["log-discarded"], 1));
    let next = report["next"].as_str().unwrap();
    let args: Vec<&str> = next.split(' ').skip(1).collect();
    let (report, exit) = walsmith(&args);
    assert_eq!(exit, 0, "{next}: {report:#}");
    let output = Path::new(args.last().unwrap());
    assert_eq!(rows(output, "SELECT count(*) FROM t").trim(), "[3]");
}

#[test]
fn a_log_without_its_database_that_lacks_pages_is_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)";
    let table = format!(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x);
         INSERT INTO t {many} SELECT i, hex(randomblob(50)) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE)"
    );
    oracle(&["run", text(&path), &table]);
    let update = "UPDATE t SET x = 'new' WHERE id = 250";
    Shim(None).and_die(&["write-and-die", text(&path), update]);
    fs::remove_file(&path).unwrap();
    let (report, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((rules(&report["findings"]), exit), (vec!["log-discarded"], 1));
    assert!(report["next"].as_str().unwrap().starts_with("walsmith rescue "), "{report:#}");
}

#[test]
fn zeros_after_the_last_commit_are_noted_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let table = "PRAGMA journal_mode=WAL; CREATE TABLE t(id); INSERT INTO t VALUES(1), (2), (3)";
    Shim(None).and_die(&["write-and-die", text(&path), table]);
    let wal = beside(&path, "-wal");
    let whole = fs::read(&wal).unwrap();
    for (zeros, rules_found) in [(0, vec![]), (4000, vec![]), (4120, vec!["blank-tail"])] {
        fs::write(&wal, [whole.as_slice(), &vec![0; zeros]].concat()).unwrap();
        let (file, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &file["files"][0];
        assert_eq!((file["verdict"].as_str(), exit), (Some("clean"), 0), "{zeros}: {file:#}");
        assert_eq!(rules(&file["findings"]), rules_found, "{zeros}");
        let (report, exit) = walsmith(&["info", text(&path)]);
        assert_eq!((rules(&report["findings"]), exit), (rules_found, 0), "{zeros}");
        let copy = folder.path().join("copy.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
        }
        assert_eq!(rows(&copy, "SELECT count(*) FROM t").trim(), "[3]", "{zeros}");
    }
}

#[test]
fn zeros_after_the_last_commit_of_a_damaged_log_leave_open_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    copied(&path);
    let wal = beside(&path, "-wal");
    let whole = fs::read(&wal).unwrap();
    let damaged = |zeros_from: usize| {
        let mut log = whole.clone();
        // A stored sum, which the frame after it proves.
        log[32 + 4 * FRAME + 20] ^= 0x40;
        log[zeros_from..].fill(0);
        fs::write(&wal, log).unwrap();
        let (plan, exit) = walsmith(&["repair", text(&path)]);
        assert_eq!(exit, 1, "{plan:#}");
        plan
    };
    assert_eq!(damaged(whole.len())["lossless"], true);
    let plan = damaged(commit_before(&whole, 60));
    assert!(plan["lossless"].is_null(), "{plan:#}");
    assert_eq!(rules(&plan["findings"]), ["blank-tail"], "{plan:#}");
    let output = folder.path().join("out.db");
    let (written, exit) = walsmith(&["repair", text(&path), "--apply", "-o", text(&output)]);
    assert_eq!((exit, &written["applied"]), (1, &true.into()), "{written:#}");
}

/// No counter tells it, no row is missing, and the order of pages is that of a checkpoint.
#[test]
fn a_later_file_in_which_only_values_were_changed_is_not_called_the_logs_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)";
    let setup = format!(
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x);
         INSERT INTO t {many} SELECT i, printf('%0150d', i * 7919) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE)"
    );
    oracle(&["run", text(&path), &setup]);
    let set = |id: u32, value: u32| {
        format!("UPDATE t SET x = printf('%0150d', {value}) WHERE id = {id};")
    };
    let updates = [set(5, 31_337), set(5, 271_828), set(55, 141_421)].concat();
    Shim(None).and_die(&["write-and-die", text(&path), &updates]);
    let wal = beside(&path, "-wal");
    let old = fs::read(&wal).unwrap();
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE);";
    oracle(&["run", text(&path), &[checkpoint, &set(55, 1_618_033), checkpoint].concat()]);
    fs::write(&wal, &old).unwrap();
    let _ = fs::remove_file(beside(&path, "-shm"));
    let (report, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((report["pairing"]["verdict"].as_str(), exit), (Some("cannot-tell"), 0));
    let (report, _) = walsmith(&["repair", text(&path)]);
    assert_eq!(report["file_age"], "may-be-newer", "{report:#}");
    assert_eq!(report["lossless"], Value::Null);
    let (report, _) = walsmith(&["checkpoint-now", "--dry-run", text(&path)]);
    assert_eq!(report["pairing"]["verdict"], "cannot-tell");
    // SQLite takes the later value back.
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
    }
    let value = rows(&copy, "SELECT ltrim(x, '0') FROM t WHERE id = 55");
    assert_eq!(value.trim(), "[\"141421\"]");
}

/// Pages of the first transaction are copied, and those of the last one are others: a reader held
/// up a checkpoint, or the file has gone on by values that change no counter.
#[test]
fn a_file_that_may_have_gone_on_is_said_to_be_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let write = |sql: &str| drop(Shim(None).and_die(&["write-and-die", text(&path), sql]));
    write(
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(a INTEGER PRIMARY KEY, b, c);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO t SELECT i, i, hex(zeroblob(150)) FROM n; PRAGMA wal_checkpoint(TRUNCATE);
         INSERT INTO t VALUES(1000, 222, hex(zeroblob(4500))); UPDATE t SET b = 111 WHERE a = 1",
    );
    let cut = fs::read(beside(&path, "-wal")).unwrap();
    write(
        "PRAGMA wal_autocheckpoint=0; UPDATE t SET b = 333 WHERE a = 1;
         PRAGMA wal_checkpoint(PASSIVE)",
    );
    fs::write(beside(&path, "-wal"), &cut).unwrap();
    fs::remove_file(beside(&path, "-shm")).unwrap();
    let (report, exit) = walsmith(&["doctor", text(&path)]);
    assert_eq!((exit, &report["forecast"]["taken_back"]), (0, &Value::Null), "{report:#}");
    let diagnosis = report["diagnosis"].as_str().unwrap();
    assert!(diagnosis.contains("would take them back, is not known"), "{diagnosis}");
    // It does take one back.
    let alone = folder.path().join("alone.db");
    fs::copy(&path, &alone).unwrap();
    let row = "SELECT b FROM t WHERE a = 1";
    assert_eq!((rows(&alone, row), rows(&path, row)), ("[333]\n".into(), "[111]\n".into()));
}
