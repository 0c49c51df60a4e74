//! Files and logs that do not belong together in time: nothing is written without a word against
//! them that is malformed or lacks rows.
//!
//! Some here; 2,000 of each:
//! `WALSMITH_PAIRS=2000 cargo test --release --test suite pairs_in_time -- --nocapture`.
//! `WALSMITH_SEED` chooses others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::families::content::Looks;
use crate::support::{beside, oracle, text, walsmith_command};

/// Generations of a branch (tests/oracle/timelines.rs).
const GENERATIONS: usize = 4;

/// A file and a log.
#[derive(Clone, Debug)]
struct Pair {
    kind: &'static str,
    database: String,
    wal: String,
}

impl Pair {
    fn new(kind: &'static str, database: impl Into<String>, wal: impl Into<String>) -> Self {
        Self { kind, database: database.into(), wal: wal.into() }
    }
}

/// Pairs that SQLite leaves itself.
fn true_pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for branch in ["A", "B"] {
        for number in 0..GENERATIONS {
            let (own, next) = (format!("{branch}{number}"), format!("{branch}{}", number + 1));
            pairs.push(Pair::new("before the copy", own.clone() + ".db", own.clone() + ".wal"));
            pairs.push(Pair::new(
                "copied in part",
                own.clone() + ".part.db",
                own.clone() + ".part.wal",
            ));
            pairs.push(Pair::new("copied", next + ".db", own + ".wal"));
        }
    }
    pairs
}

/// Pairs that nobody leaves who copies file and log together.
fn wrong_pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (branch, other) in [("A", "B"), ("B", "A")] {
        for number in 0..GENERATIONS {
            let wal = format!("{branch}{number}.wal");
            for file in 0..=GENERATIONS {
                let database = format!("{branch}{file}.db");
                if file < number {
                    pairs.push(Pair::new("older file", database, &wal));
                } else if file > number + 1 {
                    pairs.push(Pair::new("newer file", database, &wal));
                }
                // The template is the base of both.
                if file > 0 {
                    pairs.push(Pair::new("sibling", format!("{other}{file}.db"), &wal));
                }
            }
            pairs.push(Pair::new("another database", "C0.db", &wal));
        }
    }
    pairs
}

struct Worlds {
    folder: TempDir,
    page_bytes: usize,
    looks: Looks,
}

impl Worlds {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let printed = oracle(&["timelines", text(folder.path()), &seed.to_string()]);
        Self { folder, page_bytes: printed.trim().parse().unwrap(), looks: Looks::start() }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    fn put(&self, pair: &Pair) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, self.file(&pair.database)).unwrap();
        fs::write(beside(&path, "-wal"), self.file(&pair.wal)).unwrap();
        (folder, path)
    }

    /// Rows of a pair as SQLite reads them, and whether they are sound.
    fn rows(&mut self, database: &str, wal: Option<&str>) -> BTreeSet<u64> {
        let wal = wal.map_or_else(Vec::new, |wal| self.file(wal));
        self.looks.of_files(&self.file(database), &wal).rows
    }
}

/// What a command that writes a database did with a pair.
struct Answer {
    exit: i32,
    report: Value,
    written: Option<PathBuf>,
}

const WRITERS: [&str; 3] = ["repair", "replay", "checkpoint-now"];

fn write(command: &str, folder: &Path, database: &Path) -> Answer {
    let output = folder.join(format!("{command}.db"));
    let mut walsmith = walsmith_command();
    walsmith.args(["--json", command, text(database)]);
    match command {
        "repair" => walsmith.args(["--apply", "--output", text(&output)]),
        "replay" => walsmith.args(["--output", text(&output)]),
        _ => {
            let copied = folder.join("copied.db");
            fs::copy(database, &copied).unwrap();
            fs::copy(beside(database, "-wal"), beside(&copied, "-wal")).unwrap();
            walsmith = walsmith_command();
            walsmith.args(["--json", command, text(&copied)])
        }
    };
    let output_of = walsmith.output().unwrap();
    let report = serde_json::from_slice(&output_of.stdout).unwrap_or_default();
    let exit = output_of.status.code().unwrap();
    let written = if command == "checkpoint-now" { folder.join("copied.db") } else { output };
    let is_written = written.exists() && matches!(exit, 0 | 1 | 5);
    Answer { exit, report, written: is_written.then_some(written) }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn print(tally: &BTreeMap<(String, String), u32>) {
    for ((kind, what), count) in tally {
        println!("  {kind}: {what}: {count}");
    }
}

/// Each pair of a list, over as many seeds as are wanted.
fn each(pairs: &[Pair], default: u64, mut judge: impl FnMut(&mut Worlds, u64, &Pair)) {
    let (mut left, mut seed) = (number("WALSMITH_PAIRS", default), number("WALSMITH_SEED", 1));
    while left > 0 {
        let mut worlds = Worlds::new(seed);
        // Not all of one seed, so that few of them have all kinds.
        let chosen = pairs.iter().skip(usize::try_from(seed % 3).unwrap()).step_by(3);
        for pair in chosen.take(usize::try_from(left).unwrap()) {
            judge(&mut worlds, seed, pair);
            left -= 1;
        }
        seed += 1;
    }
}

#[test]
fn no_pair_that_sqlite_leaves_is_refused() {
    let mut tally = BTreeMap::new();
    let mut wrong = Vec::new();
    each(&true_pairs(), 24, |worlds, seed, pair| {
        let (folder, path) = worlds.put(pair);
        for command in WRITERS {
            let answer = write(command, folder.path(), &path);
            let verdict = answer.report["pairing"]["verdict"].as_str().unwrap_or("nothing said");
            let what = format!("{command} exit {}, {verdict}", answer.exit);
            *tally.entry((pair.kind.to_owned(), what)).or_insert(0) += 1;
            if answer.exit != 0 || answer.report["pairing"]["verdict"] == "foreign" {
                wrong.push(format!("seed {seed}, {pair:?}, {command}: {:#}", answer.report));
            }
        }
    });
    print(&tally);
    assert!(wrong.is_empty(), "{} of them: {}", wrong.len(), wrong[0]);
}

#[test]
fn nothing_that_is_wrong_in_time_is_written_without_a_word() {
    let mut tally = BTreeMap::new();
    let mut wrong = Vec::new();
    each(&wrong_pairs(), 24, |worlds, seed, pair| {
        let (folder, path) = worlds.put(pair);
        let of_file = worlds.rows(&pair.database, None);
        let own = pair.wal.replace(".wal", ".db");
        let of_log = worlds.rows(&own, Some(&pair.wal));
        for command in WRITERS {
            let answer = write(command, folder.path(), &path);
            let word = match answer.report["pairing"]["verdict"].as_str() {
                _ if answer.exit != 0 => format!("exit {}", answer.exit),
                Some(verdict) => format!("exit 0, {verdict}"),
                None => "exit 0, nothing said".to_owned(),
            };
            let result = answer.written.map(|written| worlds.looks.of(&written));
            let lacks = match &result {
                None => "nothing written",
                Some(result) if !result.sound => "malformed",
                Some(result) if result.rows == of_file => "the file's own rows",
                Some(result) if result.rows == of_log && pair.kind != "newer file" => {
                    "the log's own rows"
                }
                Some(_) => "rows lacking",
            };
            let is_harmful = matches!(lacks, "malformed" | "rows lacking");
            let is_silent = answer.exit == 0 && word != "exit 0, cannot-tell";
            if is_harmful && is_silent {
                let pages = worlds.page_bytes;
                wrong.push(format!("seed {seed}, {pair:?}, {pages}, {command}: {word}, {lacks}"));
            }
            *tally
                .entry((pair.kind.to_owned(), format!("{command}: {word}, {lacks}")))
                .or_insert(0) += 1;
        }
    });
    print(&tally);
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// One bit of an image, somewhere in the log.
fn with_one_wrong_bit(wal: &[u8], page_bytes: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut wal = wal.to_vec();
    let slot_bytes = page_bytes + 24;
    let frame = rng.usize(..(wal.len() - 32) / slot_bytes);
    let at = 32 + frame * slot_bytes + 24 + rng.usize(..page_bytes);
    wal[at] ^= 1 << rng.u8(..8);
    wal
}

#[test]
fn a_damaged_log_beside_a_wrong_file_gives_nothing_malformed_and_nothing_foreign_without_loss() {
    let mut tally = BTreeMap::new();
    let mut wrong = Vec::new();
    each(&wrong_pairs(), 24, |worlds, seed, pair| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (folder, path) = worlds.put(pair);
        let log = worlds.file(&pair.wal);
        fs::write(beside(&path, "-wal"), with_one_wrong_bit(&log, worlds.page_bytes, &mut rng))
            .unwrap();
        let answer = write("repair", folder.path(), &path);
        let result = answer.written.map(|written| worlds.looks.of(&written));
        let (is_claimed, report) = (answer.report["lossless"] == true, &answer.report);
        let pairing = report["pairing"]["verdict"].as_str().unwrap_or("nothing said");
        let own = pair.wal.replace(".wal", ".db");
        let became = match &result {
            None => "nothing written",
            Some(result) if !result.sound => "malformed",
            Some(result) if result.rows == worlds.rows(&own, Some(&pair.wal)) => {
                "the log's own rows"
            }
            Some(_) => "rows lacking",
        };
        let is_silent = answer.exit == 0 || is_claimed;
        if (became == "malformed" && is_silent) || (is_claimed && pairing == "foreign") {
            wrong.push(format!("seed {seed}, {pair:?}, {}: {report:#}", worlds.page_bytes));
        }
        let what = format!("exit {}, lossless {is_claimed}, {pairing}, {became}", answer.exit);
        *tally.entry((pair.kind.to_owned(), what)).or_insert(0) += 1;
    });
    print(&tally);
    assert!(wrong.is_empty(), "{} of them: {}", wrong.len(), wrong.join("\n"));
}
