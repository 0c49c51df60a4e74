//! Rows from one state to another and back, for seeded histories: what `diff` and `log` say and
//! write, put to SQLite.
//!
//! A few histories here; many with `WALSMITH_ROUND_TRIPS=3000 cargo test --release --test suite
//! round_trip -- --nocapture`, which prints what was seen. `WALSMITH_SEED` chooses others,
//! `WALSMITH_SHRINK` makes a history small that fails, and `WALSMITH_SHELL` names a program that
//! runs the scripts in the oracle's place.

mod counts;
pub(crate) mod judge;
mod partial;
mod records;
mod scripts;
mod sets;
mod shrink;
mod trees;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use tempfile::TempDir;

use self::judge::Judge;
use crate::support::{oracle, text, walsmith_command};

/// Pairs that get no answer, after a checkpoint and without one.
const GONE: &str = "pairs of which a state is gone";
const UNKNOWN: &str = "pairs of which a state may be gone";

/// Those that get one where what is likely is accepted.
const LIKELY: &str = "pairs that are answered with --accept-likely alone";

/// At most this share of the pairs gets no answer without a checkpoint, in percent.
const UNKNOWN_PERCENT: u32 = 15;

/// Something that SQLite sees otherwise.
#[derive(Clone, Debug)]
struct Fault {
    /// Which claim it is.
    kind: &'static str,
    from: u32,
    to: u32,
    what: String,
}

impl Fault {
    /// What is wrong, without the names and numbers that differ from history to history.
    fn class(&self) -> String {
        let mut class = format!("{}: ", self.kind);
        let mut quote = None;
        let what = self.what.split(" (").next().unwrap_or_default();
        for letter in what.chars() {
            match quote {
                Some(end) if letter == end => quote = None,
                Some(_) => {}
                None if letter == '"' || letter == '\'' => quote = Some(letter),
                None if letter.is_ascii_digit() => {}
                None => class.push(letter),
            }
        }
        class.chars().take(60).collect()
    }
}

/// How often what was seen.
pub(crate) type Tally = BTreeMap<String, u32>;

/// A history, played.
pub(crate) struct World {
    _folder: TempDir,
    directory: PathBuf,
    /// The number of the last state.
    pub(crate) last: u32,
    /// States before this one may be gone: a checkpoint has copied as much.
    pub(crate) copied: u32,
}

impl World {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        oracle(&["history-of", text(folder.path()), &seed.to_string()]);
        Self::played(folder)
    }

    fn played(folder: TempDir) -> Self {
        let directory = folder.path().to_owned();
        let last = (0..).take_while(|n| directory.join(format!("{n}.db")).exists()).last();
        let copied = std::fs::read_to_string(directory.join("copied"));
        let copied = copied.map_or(0, |text| text.parse().unwrap());
        Self { _folder: folder, directory, last: last.unwrap(), copied }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("x.db")
    }

    pub(crate) fn state(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number}.db"))
    }

    /// What a session recorded of a transaction, if SQLite can say.
    fn recorded(&self, number: u32) -> Option<Vec<u8>> {
        std::fs::read(self.directory.join(format!("{number}.changeset"))).ok()
    }

    /// Some pairs of states, the first and the last among them.
    fn pairs(&self, random: &mut Rng) -> Vec<(u32, u32)> {
        let mut pairs = vec![(0, self.last)];
        for _ in 0..3 {
            let from = random.u32(..self.last);
            pairs.push((from, from + 1));
            pairs.push((from, random.u32(from + 1..=self.last)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// What walsmith printed, and its exit code.
struct Said {
    stdout: Vec<u8>,
    stderr: String,
    code: Option<i32>,
}

/// The difference where what is likely is accepted. No power was lost here, so that it is true.
fn diff(database: &Path, from: u32, to: u32, args: &[&str]) -> Said {
    known_diff(database, from, to, &[args, &["--accept-likely"]].concat())
}

/// The difference as far as it is known for sure.
fn known_diff(database: &Path, from: u32, to: u32, args: &[&str]) -> Said {
    let mut command = walsmith_command();
    command.arg("diff").arg(database).arg(format!("{from}..{to}")).args(args);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { stdout: output.stdout, stderr, code: output.status.code() }
}

impl Said {
    /// What is wrong with it where it is no answer.
    fn refusal(&self) -> Option<String> {
        let is_answer = matches!(self.code, Some(0 | 1 | 5));
        let text = String::from_utf8_lossy(&self.stdout);
        // Without the path, which is another one each time.
        let why = self.stderr.rsplit("x.db: ").next().unwrap_or_default();
        (!is_answer).then(|| format!("exit {:?}: {why}{text:.300}", self.code))
    }

    /// Whether it rests on pages that are likely as they were.
    fn is_likely(&self) -> bool {
        self.stderr.contains("may have been changed by a checkpoint that was cut short")
    }
}

/// Whether it was said that a checkpoint has overwritten a state. Nobody keeps the wal-index here,
/// so that a page may have been copied that is the same in the file and in the log.
pub(crate) fn is_gone(message: &str) -> bool {
    message.contains("is gone") || message.contains("may be gone")
}

/// There is an answer.
fn refused(world: &World, _: &mut Judge, (from, to): (u32, u32), _: &mut Tally) -> Vec<String> {
    let said = diff(&world.database(), from, to, &["--stat"]);
    said.refusal().filter(|_| !is_gone(&said.stderr)).into_iter().collect()
}

/// What is wrong with a claim about the states FROM and TO.
type Claim = fn(&World, &mut Judge, (u32, u32), &mut Tally) -> Vec<String>;

const CLAIMS: [(&str, Claim); 8] = [
    ("refused", refused),
    ("script", scripts::forward),
    ("script back", scripts::back),
    ("stat", counts::stat),
    ("changeset", sets::changeset),
    ("changeset back", sets::changeset_back),
    ("patchset", sets::patchset),
    ("records", records::of),
];

/// Every claim about one pair of states; what is known of it where there is no answer.
fn of_pair(world: &World, judge: &mut Judge, pair: (u32, u32), tally: &mut Tally) -> Vec<Fault> {
    let mut faults = Vec::new();
    if is_gone(&known_diff(&world.database(), pair.0, pair.1, &["--stat"]).stderr) {
        let likely = diff(&world.database(), pair.0, pair.1, &["--stat"]);
        let what = match (is_gone(&likely.stderr), pair.0 < world.copied) {
            (false, _) => LIKELY,
            (true, true) => GONE,
            (true, false) => UNKNOWN,
        };
        *tally.entry(what.to_owned()).or_default() += 1;
        let ((from, to), kind) = (pair, "partial");
        let mut found = partial::known(world, judge, pair, tally);
        if !is_gone(&likely.stderr) && (!likely.is_likely() || likely.code != Some(5)) {
            found.push(format!("what is likely: exit {:?}: {}", likely.code, likely.stderr));
        }
        faults.extend(found.into_iter().map(|what| Fault { kind, from, to, what }));
        if what != LIKELY {
            return faults;
        }
    }
    for (kind, claim) in CLAIMS {
        let found = claim(world, judge, pair, tally);
        let refused = kind == "refused" && !found.is_empty();
        let (from, to) = pair;
        faults.extend(found.into_iter().map(|what| Fault { kind, from, to, what }));
        if refused {
            break;
        }
    }
    faults
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A page that was a leaf of one table became a leaf of another, whose row went on elsewhere.
#[test]
fn a_leaf_that_goes_to_another_table_takes_its_chains_along() {
    let world = World::of_seed(37);
    let found = counts::log(&world, &mut Judge::start(), &mut Tally::new());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn states_of_seeded_histories_become_each_other() {
    let (count, first) = (number("WALSMITH_ROUND_TRIPS", 12), number("WALSMITH_SEED", 1));
    let (mut tally, mut judge, mut told) = (Tally::new(), Judge::start(), Vec::new());
    for seed in first..first + count {
        let world = World::of_seed(seed);
        let mut faults = Vec::new();
        if world.last > 0 {
            for pair in world.pairs(&mut Rng::with_seed(seed)) {
                faults.extend(of_pair(&world, &mut judge, pair, &mut tally));
                *tally.entry("pairs".to_owned()).or_default() += 1;
            }
            let wrong = counts::log(&world, &mut judge, &mut tally);
            let to = world.last;
            faults.extend(wrong.into_iter().map(|what| Fault { kind: "log", from: 0, to, what }));
            let wrong = trees::named(&world, &mut tally);
            faults.extend(wrong.into_iter().map(|what| Fault { kind: "trees", from: 0, to, what }));
        }
        *tally.entry("histories".to_owned()).or_default() += 1;
        let mut classes = Vec::new();
        for fault in faults {
            *tally.entry(format!("faults: {}", fault.kind)).or_default() += 1;
            if classes.contains(&fault.class()) {
                continue;
            }
            classes.push(fault.class());
            let mut text =
                format!("seed {seed} {}..{}, {}: {}", fault.from, fault.to, fault.kind, fault.what);
            if std::env::var("WALSMITH_SHRINK").is_ok() {
                text += &shrink::smallest(&world, &mut judge, &fault);
            }
            println!("{text}\n");
            told.push(text);
        }
    }
    for (what, times) in &tally {
        println!("{times:7} {what}");
    }
    let of = |what: &str| tally.get(what).copied().unwrap_or_default();
    if count >= 100 && of(UNKNOWN) * 100 > of("pairs") * UNKNOWN_PERCENT {
        told.push(format!("{} of {} pairs have no answer", of(UNKNOWN), of("pairs")));
    }
    told.truncate(3);
    assert!(told.is_empty(), "faults, the first of which are:\n{}", told.join("\n"));
}
