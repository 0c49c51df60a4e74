//! Logs of which bytes were inserted, are missing, or were translated as text, against SQLite: what
//! was written before is the truth, and no claim of `repair` may differ from it.
//!
//! A few dozen of each kind here; more: `WALSMITH_SHIFTS=2000 cargo test --release --test suite
//! shifted -- --nocapture`. `WALSMITH_SEED` chooses others.

mod claims;
mod not_shifted;
mod shapes;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{and_die, beside, oracle, text, walsmith};

/// A copy of the files in a folder of their own.
fn put(database: &[u8], wal: &[u8], shm: Option<&[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-wal"), wal).unwrap();
    if let Some(shm) = shm {
        fs::write(beside(&path, "-shm"), shm).unwrap();
    }
    (folder, path)
}

/// One row a transaction, as a small application writes; the shapes of a report from outside.
struct Small {
    folder: TempDir,
    database: Vec<u8>,
    wal: Vec<u8>,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let inserts =
            (0..60).map(|row| format!("INSERT INTO t(x) VALUES('r{row}{}');", "z".repeat(60)));
        let sql = "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
                   CREATE TABLE t(id INTEGER PRIMARY KEY, x);";
        let sql = format!("{sql}{}", inserts.collect::<String>());
        and_die(&["write-and-die", text(&path), &sql]);
        let (database, wal) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
        Self { folder, database, wal }
    }

    /// What verify-checksums says of a log, what repair says, and the rows that it gives.
    fn judge(&self, wal: &[u8]) -> (Value, Value, usize) {
        let (_folder, path) = put(&self.database, wal, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = verified["files"][0].clone();
        assert_eq!(exit, 1, "{file:#}");
        let output = self.folder.path().join("out.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&output, suffix));
        }
        let apply = ["repair", text(&path), "--apply", "--output", text(&output)];
        let (report, exit) = walsmith(&apply);
        assert_eq!(exit, if report["lossless"] == true { 0 } else { 6 }, "{report:#}");
        if exit != 0 {
            walsmith(&[&apply[..], &["--accept-loss", "--force"]].concat());
        }
        let found = oracle(&["rows", text(&output), "SELECT id, x FROM t"]);
        (file, report, found.lines().count())
    }
}
