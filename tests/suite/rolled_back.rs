//! What a rollback leaves in a log is no damage, and no damage of a commit is taken for it.
//!
//! `WALSMITH_SEED` chooses other logs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{beside, oracle_program, text, walsmith};

/// A log of 400 rows and a few commits, that some transaction of its own ends.
struct Log {
    _folder: TempDir,
    database: PathBuf,
    slot_bytes: usize,
}

impl Log {
    /// Written by a SQLite that dies after `last`.
    fn write(random: &mut Rng, last: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let page_bytes = random.choice([512, 1024, 4096]).unwrap();
        let mut sql = format!(
            "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE t(a INTEGER PRIMARY KEY, n, b);
             WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 400)
             INSERT INTO t SELECT x, x, randomblob(200) FROM c;"
        );
        for _ in 0..random.u32(1..3) {
            sql += &format!(
                "UPDATE t SET n = n + 1 WHERE a IN ({}, {});",
                random.u32(1..200),
                random.u32(200..400)
            );
        }
        sql += last;
        let output = Command::new(oracle_program())
            .args(["write-and-die", text(&database), &sql])
            .output()
            .unwrap();
        assert!(!output.status.success(), "the writer dies");
        Self { _folder: folder, database, slot_bytes: page_bytes + 24 }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(beside(&self.database, "-wal")).unwrap()
    }

    /// What `verify-checksums` says of other bytes, and the exit code.
    fn verdict_of(&self, bytes: &[u8]) -> (Value, i32) {
        fs::write(beside(&self.database, "-wal"), bytes).unwrap();
        verdict(&self.database, &[])
    }
}

fn verdict(database: &Path, options: &[&str]) -> (Value, i32) {
    let args = [&["verify-checksums", text(database)], options].concat();
    let (mut seen, exit) = walsmith(&args);
    (seen["files"][0].take(), exit)
}

fn is_whole(file: &Value) -> bool {
    matches!(file["verdict"].as_str().unwrap(), "clean" | "uncommitted-tail")
}

/// Transactions that spill pages, and mostly counters of pages that they have spilled.
fn spilling(random: &mut Rng) -> String {
    let mut sql = format!("PRAGMA cache_size={}; BEGIN;", random.choice([2, 5, 10]).unwrap());
    for _ in 0..random.u32(5..60) {
        let (from, rows) = (random.u32(1..400), random.choice([0, 3, 100, 400]).unwrap());
        let more = random.choice([1, 256]).unwrap();
        sql += &format!("UPDATE t SET n = n + {more} WHERE a BETWEEN {from} AND {};", from + rows);
    }
    sql + "ROLLBACK;"
}

fn seeds(count: u64) -> impl Iterator<Item = (u64, Rng)> {
    let first = std::env::var("WALSMITH_SEED").map_or(1, |seed| seed.parse().unwrap());
    (first..first + count).map(|seed| (seed, Rng::with_seed(seed)))
}

/// SQLite writes a page that a transaction has spilled into its frame again, and its sum only at
/// the commit. After a rollback the frame stays so, and nobody has lost anything.
#[test]
fn what_a_rollback_leaves_of_frames_that_were_written_again_is_not_torn() {
    let mut written_again = 0;
    for (seed, mut random) in seeds(40) {
        let rolled_back: String = (0..random.u32(1..3)).map(|_| spilling(&mut random)).collect();
        let log = Log::write(&mut random, &rolled_back);
        let (file, exit) = verdict(&log.database, &["--strict"]);
        assert!(is_whole(&file) && exit == 0, "seed {seed}: {file:#}");
        written_again += u32::from(file["stop"]["reason"] == "checksum");
        let (frames, _) = walsmith(&["frame-list", text(&log.database)]);
        assert!(!frames.to_string().contains("\"damaged\""), "seed {seed}: {frames:#}");
        let (report, exit) = walsmith(&["repair", text(&log.database)]);
        let nothing = Value::Array(Vec::new());
        assert_eq!((&report["plan"], exit), (&nothing, 0), "seed {seed}: {report:#}");
    }
    assert!(written_again > 0, "no such frame was written");
}

/// A slot that no transaction has written is not left by a rollback, wherever it follows, nor is an
/// image that is no page.
#[test]
fn what_no_rollback_leaves_is_torn() {
    let mut tried = 0;
    for (seed, mut random) in seeds(20) {
        // The first pages that are spilled are not written again.
        let mut rolled_back = "PRAGMA cache_size=5; BEGIN;
            UPDATE t SET n = n + 1 WHERE a BETWEEN 250 AND 400;"
            .to_owned();
        for _ in 0..random.u32(2..5) {
            rolled_back += "UPDATE t SET n = n + 1 WHERE a BETWEEN 1 AND 150;";
        }
        let log = Log::write(&mut random, &(rolled_back + "ROLLBACK"));
        let (file, _) = verdict(&log.database, &[]);
        let (last, stop) = (&file["slot_frames"], &file["stop"]["frame"]);
        let is_inside = file["verdict"] == "uncommitted-tail";
        if !is_inside || file["stop"]["reason"] != "checksum" || stop == last {
            continue;
        }
        let whole = log.bytes();
        let slot = whole.len() - log.slot_bytes;
        let mut bytes = whole.clone();
        bytes[slot..].fill(0);
        let (zeroed, _) = log.verdict_of(&bytes);
        random.fill(&mut bytes[slot..]);
        let (garbled, _) = log.verdict_of(&bytes);
        let (cut, _) = log.verdict_of(&whole[..slot + 100]);
        // A page is written as a whole; a crash tears it.
        let (half, end) = (log.slot_bytes / 2, usize::try_from(stop.as_u64().unwrap()).unwrap());
        let end = 32 + end * log.slot_bytes;
        bytes.copy_from_slice(&whole);
        random.fill(&mut bytes[end - half..end]);
        let (torn, _) = log.verdict_of(&bytes);
        for found in [zeroed, garbled, cut, torn] {
            assert_eq!(found["verdict"], "torn-tail", "seed {seed}: {found:#}");
        }
        tried += 1;
    }
    assert!(tried > 0, "no such log was written");
}

/// A frame that has lost its commit size looks like one of a transaction that was rolled back.
#[test]
fn a_commit_that_lost_a_word_of_its_header_is_not_taken_for_a_rollback() {
    for (seed, mut random) in seeds(30) {
        let last = if random.bool() { spilling(&mut random) } else { String::new() };
        let log = Log::write(&mut random, &last);
        let whole = log.bytes();
        let mut headers = (32..whole.len()).step_by(log.slot_bytes);
        let is_commit = |at: &usize| whole[at + 4..at + 8] != [0; 4];
        let commit = headers.rfind(is_commit).unwrap();
        for word in 0..6 {
            let at = commit + 4 * word;
            let (other, byte) = (random.u32(..).to_ne_bytes(), at + random.usize(0..4));
            let mut bytes = whole.clone();
            let changed = random.u8(1..);
            for fault in ["zeroed", "another", "one byte"] {
                bytes.copy_from_slice(&whole);
                match fault {
                    "zeroed" => bytes[at..at + 4].fill(0),
                    "another" => bytes[at..at + 4].copy_from_slice(&other),
                    _ => bytes[byte] ^= changed,
                }
                if bytes == whole {
                    continue;
                }
                let (file, exit) = log.verdict_of(&bytes);
                assert!(
                    !(is_whole(&file) && exit == 0),
                    "seed {seed}, word {word} {fault}: {file:#}"
                );
            }
        }
    }
}

/// The commit is gone, and what is in its place says that it does not commit.
#[test]
fn a_frame_that_was_copied_over_a_commit_is_not_taken_for_one_of_a_rollback() {
    let mut tried = 0;
    for (seed, mut random) in seeds(20) {
        let log = Log::write(&mut random, "");
        let mut bytes = log.bytes();
        let slot = log.slot_bytes;
        let commit = bytes.len() - slot;
        if bytes[commit - slot + 4..commit - slot + 8] != [0; 4] {
            continue;
        }
        bytes.copy_within(commit - slot..commit, commit);
        let (file, _) = log.verdict_of(&bytes);
        assert_eq!(file["verdict"], "torn-tail", "seed {seed}: {file:#}");
        tried += 1;
    }
    assert!(tried > 0, "no transaction has two frames");
}
