//! Rows through time where files were harmed: checkpoints that went only so far, damaged logs,
//! damaged pages of the database. What `log` and `diff` say is put to the states that SQLite kept:
//! no row that never was, and none missing where nothing is said to be.
//!
//! A few cases here; many with `WALSMITH_HARMED=1000 cargo test --test suite harmed_rows --
//! --nocapture`, which prints what was seen. `WALSMITH_SEED` chooses others.

mod by_hand;
mod claims;
mod harm;
mod pages;
mod set;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Value, json};

use self::claims::Case;
use self::set::Set;
use crate::round_trip::judge::Judge;
use crate::support::{beside, oracle, text};

/// Harms to each history.
const HARMS: u64 = 4;

/// How often what was seen.
type Tally = BTreeMap<String, u32>;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Plays a history, often with checkpoints that a reader holds back; how many commits its log has,
/// and how many of them were copied.
fn play(directory: &Path, seed: u64, random: &mut Rng) -> (u32, u32) {
    oracle(&["history-of", text(directory), &seed.to_string()]);
    let file = directory.join("history.json");
    let mut history: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    if random.bool() {
        let transactions = history["transactions"].as_array_mut().unwrap();
        let mut place = 1;
        for (step, count) in [("-- reader", 1), ("-- later reader", random.u32(..3))] {
            for _ in 0..count {
                place = random.usize(place..=transactions.len());
                transactions.insert(place, json!([step]));
                place = random.usize(place + 1..=transactions.len());
                transactions.insert(place, json!(["-- checkpoint"]));
            }
        }
        for entry in fs::read_dir(directory).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        fs::write(&file, history.to_string()).unwrap();
        oracle(&["history-again", text(directory)]);
    }
    let states = (0..).take_while(|n| directory.join(format!("{n}.db")).exists());
    let copied = fs::read_to_string(directory.join("copied"));
    (states.last().unwrap(), copied.map_or(0, |text| text.parse().unwrap()))
}

/// Cases and what was seen of them.
#[derive(Default)]
struct Run {
    cases: u64,
    tally: Tally,
    told: Vec<String>,
}

impl Run {
    /// Harms the history of a seed in several ways, and asks of each.
    fn take(&mut self, seed: u64, judge: &mut Judge) {
        let mut random = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let (last, copied) = play(folder.path(), seed, &mut random);
        if last == 0 {
            return;
        }
        for round in 0..HARMS {
            let set = Set::copy(folder.path(), last);
            let harm = harm::inflict(&set, folder.path(), copied, &mut random);
            let name = harm.name();
            if name.is_empty() || name == "no index" {
                continue;
            }
            self.cases += 1;
            let case = Case { set: &set, states: folder.path(), harm: &harm };
            let faults = case.faults(judge, &mut random, &mut self.tally);
            *self.tally.entry(format!("case: {name}")).or_default() += 1;
            if faults.is_empty() {
                continue;
            }
            if let Ok(kept) = std::env::var("WALSMITH_KEEP") {
                keep(&Path::new(&kept).join(format!("{seed}.{round}")), &set, folder.path());
            }
            *self.tally.entry(format!("FAULTS: {name}")).or_default() += 1;
            let some: Vec<String> = faults.iter().take(3).map(|it| format!("{it:.600}")).collect();
            let text = format!(
                "seed {seed}, case {round}: {}{} faults, the first of which are:\n  {}",
                harm.told,
                faults.len(),
                some.join("\n  ")
            );
            println!("{text}\n");
            self.told.push(text);
        }
    }

    fn end(mut self) {
        println!("{:7} cases", self.cases);
        for (what, times) in &self.tally {
            println!("{times:7} {what}");
        }
        self.told.truncate(3);
        assert!(self.told.is_empty(), "{}", self.told.join("\n"));
    }
}

#[test]
fn no_row_of_a_harmed_set_never_was() {
    let (count, first) = (number("WALSMITH_HARMED", 12), number("WALSMITH_SEED", 1));
    let (mut run, mut judge) = (Run::default(), Judge::start());
    for seed in first.. {
        if run.cases >= count {
            break;
        }
        run.take(seed, &mut judge);
    }
    run.end();
}

/// Of each: an overflow page of a row on a leaf that is gone; a damaged page 1 in a file that was
/// copied in part; a file that ends within a value; a page that has one image twice in the log; a
/// checkpoint that passed over pages of commits that are lost.
#[test]
fn what_was_false_once_is_not_again() {
    let (mut run, mut judge) = (Run::default(), Judge::start());
    for seed in [49, 44, 61, 172, 1018] {
        run.take(seed, &mut judge);
    }
    run.end();
}

/// Keeps a set that has a fault, with its states.
fn keep(to: &Path, set: &Set, states: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(states).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let _ = fs::remove_file(to.join("x.db-shm"));
    for suffix in ["", "-wal", "-shm"] {
        let from = beside(&set.database, suffix);
        if from.exists() {
            fs::copy(from, beside(&to.join("x.db"), suffix)).unwrap();
        }
    }
}
