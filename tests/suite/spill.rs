//! A transaction of SQLite 3.40 whose first frames have no salts and no sums: recovery drops it,
//! and all of it is there. The fixture is the log that SQLite 3.40.1 wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Oracle, beside, copy, oracle_program, rows, text, walsmith};

const FRAME: usize = 1024 + 24;
/// Frames without a sum; the chain begins after them.
const UNSUMMED: usize = 12;
const NEW: &str =
    "SELECT count(*) FROM t WHERE a = printf('new %d %.*c', id, 500, 'n') AND id < 30";
const OLD: &str =
    "SELECT (SELECT count(*) FROM t WHERE a = printf('old %d %.*c', id, 600, 'o') AND id >= 30) +
    (SELECT count(*) FROM u WHERE a = printf('old %d %.*c', id, 600, 'o'))";

/// Runs `repair --apply` into a new file; the report and the exit code.
fn repaired(database: &Path, new: &Path) -> (Value, i32) {
    let args = ["repair", text(database), "--apply", "--output", text(new), "--force"];
    walsmith(&args)
}

fn takes_unsummed(report: &Value) -> bool {
    let steps = report["plan"].as_array().map(Vec::as_slice).unwrap_or_default();
    steps.iter().any(|step| step["action"] == "take-unsummed")
}

/// The fixture with another log.
fn with_log(change: impl FnOnce(&mut Vec<u8>)) -> (TempDir, PathBuf) {
    let (folder, database) = copy("savepoint-spill");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    change(&mut bytes);
    fs::write(&wal, bytes).unwrap();
    (folder, database)
}

#[test]
fn a_transaction_that_begins_without_sums_is_taken_as_a_whole() {
    let (folder, database) = copy("savepoint-spill");
    let wal = fs::read(beside(&database, "-wal")).unwrap();
    let unsummed = wal[32..].chunks(FRAME).filter(|frame| frame[8..24] == [0; 16]).count();
    assert_eq!(unsummed, UNSUMMED);
    let (seen, exit) = walsmith(&["verify-checksums", text(&database)]);
    let file = &seen["files"][0];
    assert_eq!((file["verdict"].as_str(), exit), (Some("damaged"), 1));
    assert_eq!(file["lost"]["certainty"], "likely");
    let new = folder.path().join("new.db");
    let (report, exit) = repaired(&database, &new);
    let step = &report["plan"][0];
    assert_eq!(step["action"], "take-unsummed", "{report:#}");
    assert_eq!((&step["proof"], &step["lossless"]), (&"evidence".into(), &true.into()));
    assert_eq!(step["pages"].as_array().unwrap().len(), UNSUMMED);
    // No sum is over the images of these frames: a wrong bit there cannot be seen.
    assert_eq!((&report["lossless"], exit), (&Value::Null, 0));
    assert_eq!((rows(&new, NEW).trim(), rows(&new, OLD).trim()), ("[30]", "[90]"));
    assert!(Oracle::checking().integrity(&new).is_empty());
    // SQLite drops it.
    assert_eq!(rows(&database, NEW).trim(), "[0]");
}

#[test]
fn what_was_written_after_a_recovery_is_not_overwritten() {
    let (folder, database) = copy("savepoint-spill");
    // SQLite drops the transaction, and writes a small one over its beginning.
    let output = Command::new(oracle_program())
        .args(["write-and-die", text(&database), "UPDATE u SET a = 'later' WHERE id = 1"])
        .output()
        .unwrap();
    assert!(!output.status.success(), "the writer dies");
    let wal = fs::read(beside(&database, "-wal")).unwrap();
    assert!(wal[32 + 8..32 + 24] != [0; 16] && wal[32 + FRAME + 8..][..16] == [0; 16]);
    fs::remove_file(beside(&database, "-shm")).unwrap();
    let (seen, _) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!(seen["files"][0]["lost"]["certainty"], "possible", "{seen:#}");
    let new = folder.path().join("new.db");
    let (report, exit) = repaired(&database, &new);
    assert_eq!((&report["lossless"], exit), (&false.into(), 6), "{report:#}");
    assert!(!takes_unsummed(&report) && !new.exists());
    // What SQLite sees is one of the states that are offered.
    let kinds: Vec<&Value> =
        report["candidates"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&"sqlite-view".into()), "{kinds:?}");
}

#[test]
fn frames_without_sums_are_taken_with_a_whole_chain_only() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change); 5] = [
        ("no page number", |log| log[32 + 3 * FRAME..][..4].fill(0)),
        ("a page twice", |log| {
            let other = log[32..36].to_vec();
            log[32 + 5 * FRAME..][..4].copy_from_slice(&other);
        }),
        ("a hole before the chain", |log| log[32 + 11 * FRAME..][..FRAME].fill(0)),
        ("a chain from another sum", |log| log[32 + UNSUMMED * FRAME + 16] ^= 1),
        ("no commit", |log| log.truncate(log.len() - FRAME)),
    ];
    for (what, change) in cases {
        let (folder, database) = with_log(change);
        let (report, exit) = repaired(&database, &folder.path().join("new.db"));
        assert!(!takes_unsummed(&report), "{what}: {report:#}");
        assert!(report["lossless"] != true && exit != 0, "{what}: {exit} {report:#}");
    }
    // An ordinary log that lost these bytes of its first frames.
    let (folder, database) = copy("page-1024");
    let wal = beside(&database, "-wal");
    let mut log = fs::read(&wal).unwrap();
    for frame in 0..3 {
        log[32 + frame * FRAME + 8..][..16].fill(0);
    }
    fs::write(&wal, log).unwrap();
    let (report, _) = repaired(&database, &folder.path().join("new.db"));
    assert!(!takes_unsummed(&report), "{report:#}");
}

/// Flips anywhere; `WALSMITH_SEED` chooses others.
#[test]
fn a_wrong_bit_in_such_a_log_is_never_without_loss() {
    let seed = std::env::var("WALSMITH_SEED").map_or(5, |seed| seed.parse().unwrap());
    for seed in seed..seed + 40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (folder, database) = with_log(|log| {
            let at = random.usize(32..log.len());
            log[at] ^= 1 << random.u8(0..8);
        });
        let (report, _) = repaired(&database, &folder.path().join("new.db"));
        assert!(report["lossless"] != true, "seed {seed}: {report:#}");
    }
}
