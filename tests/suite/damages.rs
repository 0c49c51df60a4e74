//! `repair` against damages of known kinds: no row that SQLite alone would keep is lost or altered,
//! and every claim of a lossless repair equals the undamaged database byte for byte.
//!
//! A few hundred damages here; 2,000, as the README says: `WALSMITH_DAMAGES=2000 cargo test
//! --release --test suite damages -- --nocapture`. `WALSMITH_SEED` chooses others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;

use crate::support::{and_die, beside, hold, oracle_program, release, rows, text, walsmith};

type Damage = fn(&mut Vec<u8>, &mut Rng, usize);

/// A whole frame of the log, its slot length given.
fn slot(wal: &[u8], rng: &mut Rng, slot_len: usize) -> usize {
    32 + rng.usize(0..(wal.len() - 32) / slot_len) * slot_len
}

/// Kinds of damage. All of them hit committed frames of a log that was never checkpointed.
const KINDS: &[(&str, Damage)] = &[
    ("one bit", |wal, rng, len| {
        let at = slot(wal, rng, len) + 24 + rng.usize(0..len - 24);
        wal[at] ^= 1 << rng.u8(0..8);
    }),
    ("one byte", |wal, rng, len| {
        let at = slot(wal, rng, len) + 24 + rng.usize(0..len - 24);
        wal[at] ^= rng.u8(1..=255);
    }),
    ("one word", |wal, rng, len| {
        let at = slot(wal, rng, len) + 24 + 4 * rng.usize(0..(len - 24) / 4);
        wal[at..at + 4].copy_from_slice(&rng.u32(..).to_ne_bytes());
    }),
    ("sector zeroed", |wal, rng, len| {
        let at = slot(wal, rng, len) + rng.usize(0..len);
        let start = at / 512 * 512;
        let end = (start + 512).min(wal.len());
        wal[start.max(32)..end].fill(0);
    }),
    ("header damaged", |wal, rng, _| {
        let at = rng.usize(0..32);
        wal[at] ^= rng.u8(1..=255);
    }),
    ("header zeroed", |wal, _, _| wal[..32].fill(0)),
    ("salt field", |wal, rng, len| {
        let at = slot(wal, rng, len) + 8 + rng.usize(0..8);
        wal[at] ^= rng.u8(1..=255);
    }),
    ("checksum field", |wal, rng, len| {
        let at = slot(wal, rng, len) + 16 + rng.usize(0..8);
        wal[at] ^= rng.u8(1..=255);
    }),
    ("page number", |wal, rng, len| {
        let at = slot(wal, rng, len) + rng.usize(0..4);
        wal[at] ^= rng.u8(1..=255);
    }),
    ("commit field", |wal, rng, len| {
        let at = slot(wal, rng, len) + 4 + rng.usize(0..4);
        wal[at] ^= rng.u8(1..=255);
    }),
    ("frames swapped", |wal, rng, len| {
        let (one, two) = (slot(wal, rng, len), slot(wal, rng, len));
        for at in 0..len {
            wal.swap(one + at, two + at);
        }
    }),
    ("tail torn", |wal, rng, len| {
        let cut = wal.len() - rng.usize(1..len);
        wal.truncate(cut);
    }),
    ("page and commit lost", |wal, rng, len| {
        let at = slot(wal, rng, len);
        (0..8).for_each(|byte| wal[at + byte] = rng.u8(..));
    }),
    ("burst of 600 bytes", |wal, rng, len| {
        let at = slot(wal, rng, len) + rng.usize(0..len);
        let end = (at + 600).min(wal.len());
        wal[at.max(32)..end].iter_mut().for_each(|byte| *byte = rng.u8(..));
    }),
    ("two frames hit", |wal, rng, len| {
        for _ in 0..2 {
            let at = slot(wal, rng, len) + 24 + rng.usize(0..len - 24 - 64);
            (0..64).for_each(|byte| wal[at + byte] ^= rng.u8(1..=255));
        }
    }),
];

/// How much of the log was copied into the database before the damage.
#[derive(Clone, Copy, PartialEq)]
enum Copied {
    Nothing,
    Half,
    All,
}

/// A database whose content is in its log, and what it is when nothing is damaged.
struct Whole {
    database: Vec<u8>,
    wal: Vec<u8>,
    slot_len: usize,
    restored: Vec<u8>,
    rows: BTreeSet<String>,
    /// Every row that some commit had.
    ever: BTreeSet<String>,
}

/// Columns as text, with the table's name.
const ROWS: &str = "SELECT 't', a, b, c FROM t UNION ALL SELECT 'u', k, v, NULL FROM u";

/// Rows by content; none where SQLite cannot read the tables.
fn rows_of(database: &Path) -> BTreeSet<String> {
    let output = Command::new(oracle_program()).args(["rows", text(database), ROWS]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

impl Whole {
    fn new(page_bytes: usize, copied: Copied) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let page_size = page_bytes.to_string();
        let churn = |transactions| and_die(&["churn", text(&database), &page_size, transactions]);
        let checkpoint = ["write-and-die", text(&database), "PRAGMA wal_checkpoint(PASSIVE)"];
        match copied {
            Copied::Nothing => churn("60"),
            Copied::Half => {
                churn("30");
                // Its snapshot is as far as the checkpoint gets.
                let reader = hold("hold-read", &database);
                churn("30");
                and_die(&checkpoint);
                release(reader);
            }
            Copied::All => {
                churn("60");
                and_die(&checkpoint);
            }
        }
        let whole = Self::of(folder.path(), &database, page_bytes + 24);
        assert!(whole.rows.len() > 100 && whole.wal.len() > 60 * page_bytes);
        whole
    }

    /// What is in a database and its log as SQLite sees them.
    fn of(folder: &Path, database: &Path, slot_len: usize) -> Self {
        let wal = fs::read(beside(database, "-wal")).unwrap();
        let file = fs::read(database).unwrap();
        let restored = folder.join("whole.db");
        let replay = ["replay", text(database), "--output", text(&restored), "--force"];
        let (_, exit) = walsmith(&[&replay[..], &["--accept-loss"]].concat());
        assert!(exit < 2);
        let rows = rows_of(&restored);
        let mut ever = rows.clone();
        let past = folder.join("past.db");
        for txn in 1..200_u32 {
            let args = ["replay", text(database), "--to-txn", &txn.to_string(), "--output"];
            let (_, exit) = walsmith(&[&args[..], &[text(&past), "--force"]].concat());
            if exit == 0 {
                ever.extend(rows_of(&past));
                for suffix in ["-wal", "-shm"] {
                    fs::remove_file(beside(&past, suffix)).unwrap();
                }
            }
        }
        let restored = fs::read(&restored).unwrap();
        Self { database: file, wal, slot_len, restored, rows, ever }
    }

    fn put(&self, folder: &Path, wal: &[u8]) -> PathBuf {
        let database = folder.join("x.db");
        fs::write(&database, &self.database).unwrap();
        fs::write(beside(&database, "-wal"), wal).unwrap();
        database
    }

    /// SQLite opens the damaged log, drops what it does not see, writes on, and is killed.
    fn written_on(&self, wal: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = self.put(folder.path(), wal);
        let sql = "PRAGMA wal_autocheckpoint=0;
                   CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b, c);
                   CREATE TABLE IF NOT EXISTS u(k PRIMARY KEY, v) WITHOUT ROWID;
                   INSERT INTO t(b, c) VALUES('new', randomblob(150));
                   INSERT INTO t(b, c) VALUES('newer', randomblob(150));";
        and_die(&["write-and-die", text(&database), sql]);
        let mut after = Self::of(folder.path(), &database, self.slot_len);
        after.ever.extend(self.ever.iter().cloned());
        after
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    damages: usize,
    lossless: usize,
    rows: usize,
    by_sqlite: usize,
    by_lossless: usize,
    by_any: usize,
    never: usize,
}

#[test]
fn no_lossless_claim_is_false_and_no_row_of_sqlite_is_lost() {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (damages, seed) = (number("WALSMITH_DAMAGES", 130), number("WALSMITH_SEED", 77));
    let mut rng = Rng::with_seed(seed as u64);
    let plain = [Whole::new(1024, Copied::Nothing), Whole::new(4096, Copied::Nothing)];
    let copied = [Whole::new(1024, Copied::Half), Whole::new(4096, Copied::All)];
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for index in 0..damages {
        let kinds = KINDS.len() + 2;
        let (kind, damage) = match index % kinds {
            known if known < KINDS.len() => KINDS[known],
            last if last == KINDS.len() => {
                ("damaged after a checkpoint", KINDS[rng.usize(..KINDS.len())].1)
            }
            _ => ("written on after a loss", KINDS[rng.usize(..KINDS.len())].1),
        };
        let wholes = if kind == "damaged after a checkpoint" { &copied } else { &plain };
        let whole = &wholes[index / kinds % 2];
        let mut wal = whole.wal.clone();
        damage(&mut wal, &mut rng, whole.slot_len);
        let tally = tallies.entry(kind).or_default();
        let what = format!("{kind}, damage {index} of seed {seed}");
        if kind == "written on after a loss" {
            let after = whole.written_on(&wal);
            one(&after, &after.wal, tally, &what);
        } else {
            one(whole, &wal, tally, &what);
        }
    }
    let mut all = Tally::default();
    println!(
        "| damage | cases | lossless | rows SQLite keeps | repair, lossless | with --accept-loss |"
    );
    for (kind, tally) in &tallies {
        let share = |rows: usize| format!("{:.1} %", 100.0 * rows as f64 / tally.rows as f64);
        println!(
            "| {kind} | {} | {} | {} | {} | {} |",
            tally.damages,
            tally.lossless,
            share(tally.by_sqlite),
            share(tally.by_lossless),
            share(tally.by_any)
        );
        all.damages += tally.damages;
        all.lossless += tally.lossless;
        all.rows += tally.rows;
        all.by_sqlite += tally.by_sqlite;
        all.by_any += tally.by_any;
        all.never += tally.never;
    }
    println!(
        "{} damages, {} lossless; rows: SQLite {:.1} %, repair {:.1} %; {} rows guessed wrong",
        all.damages,
        all.lossless,
        100.0 * all.by_sqlite as f64 / all.rows as f64,
        100.0 * all.by_any as f64 / all.rows as f64,
        all.never
    );
    assert!(all.lossless * 2 > all.damages && all.by_any > all.by_sqlite);
}

fn one(whole: &Whole, wal: &[u8], tally: &mut Tally, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let database = whole.put(folder.path(), wal);
    let output = folder.path().join("new.db");
    let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
    let (report, exit) = walsmith(&apply);
    tally.damages += 1;
    tally.rows += whole.rows.len();
    let lossless = report["lossless"].as_bool().unwrap_or(false);
    // Nothing is given up, and nothing is claimed.
    let is_open = report["lossless"].is_null() && report["file_age"] == "may-be-newer";
    assert_eq!(lossless || (is_open && report["likely"] == false), exit == 0, "{what}: {report:#}");
    if exit == 0 {
        assert!(fs::read(&output).unwrap() == whole.restored, "{what}: a false claim: {report:#}");
        tally.lossless += usize::from(lossless);
        tally.by_lossless += whole.rows.len();
    } else {
        assert_eq!(exit, 6, "{what}: {report:#}");
        assert!(!output.exists() && report["applied"] == false);
        let (_, exit) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
        assert_eq!(exit, 1, "{what}");
    }
    assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), wal, "the evidence is untouched");
    let health = rows(&output, "PRAGMA integrity_check");
    let sound = report["health"]["sound"].as_bool().unwrap_or(true);
    assert_eq!(sound, health == "[\"ok\"]\n", "{what}: {health} {report:#}");
    let ours = rows_of(&output);
    // Last: SQLite may delete the log.
    let theirs = rows_of(&database);
    let really = |rows: &BTreeSet<String>| -> BTreeSet<String> {
        rows.intersection(&whole.rows).cloned().collect()
    };
    let (ours_right, theirs_right) = (really(&ours), really(&theirs));
    assert!(theirs_right.is_subset(&ours_right), "{what}: rows of SQLite are gone: {report:#}");
    let never: Vec<_> = ours.difference(&whole.ever).collect();
    let guessed = report["candidates"].as_array().unwrap().iter().any(|choice| {
        choice["chosen"] == true && !choice["guessed_frames"].as_array().unwrap().is_empty()
    });
    assert!(never.is_empty() || guessed, "{what}: rows that never were: {never:?} {report:#}");
    tally.never += never.len();
    tally.by_any += ours_right.len();
    tally.by_sqlite += theirs_right.len();
}

/// SQLite copies what the log holds without looking at sums: a frame that rots before a checkpoint
/// takes its page in the database with it, and nothing there may count as proof.
#[test]
fn damage_that_a_checkpoint_has_copied_is_not_taken_for_the_truth() {
    let mut rng = Rng::with_seed(5);
    let whole = Whole::new(1024, Copied::Nothing);
    let (mut lossless, mut right) = (0, 0);
    for turn in 0..24 {
        let folder = tempfile::tempdir().unwrap();
        let database = whole.put(folder.path(), &whole.wal);
        let holder = hold("hold-read", &database);
        let mut wal = whole.wal.clone();
        let at = slot(&wal, &mut rng, whole.slot_len) + 24 + rng.usize(..900);
        (0..100).for_each(|byte| wal[at + byte] ^= rng.u8(1..=255));
        fs::write(beside(&database, "-wal"), &wal).unwrap();
        and_die(&["write-and-die", text(&database), "PRAGMA wal_checkpoint(PASSIVE)"]);
        release(holder);
        fs::write(beside(&database, "-wal"), &wal).unwrap();
        let output = folder.path().join("new.db");
        let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
        let (report, exit) = walsmith(&apply);
        let is_right = |output: &Path| fs::read(output).unwrap() == whole.restored;
        if report["lossless"] == true {
            assert_eq!(exit, 0, "{report:#}");
            assert!(is_right(&output), "turn {turn}: {report:#}");
            lossless += 1;
            continue;
        }
        assert_eq!(exit, 6, "{report:#}");
        // The file may have everything; but then old blocks over newer frames look the same.
        let (report, _) = walsmith(&[&apply[..], &["--accept-likely"]].concat());
        right += usize::from(report["applied"] == true && is_right(&output));
    }
    println!("{lossless} of 24 repaired without loss, {right} as what is likely");
    assert!(right > 8, "{lossless} and {right}");
}
