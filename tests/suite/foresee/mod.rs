//! The forecast of `doctor` against real SQLite: what opening, a SELECT, a PASSIVE checkpoint and
//! the close do to sets of files, healthy and edited, for one who may do everything with them or
//! not, alone and beside others.
//!
//! Two hundred sets here; more with `WALSMITH_FORESEE=5000 cargo test foresee`, from
//! `WALSMITH_SEED` on; `WALSMITH_SETS=DIR` adds every set of files under DIR. `WALSMITH_KEEP=DIR`
//! keeps the sets of which the forecast was wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Oracle, beside, text, walsmith};

mod beside_others;
mod rights;
mod sets;

/// The files of a set.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

fn copy_set(from: &Path, to: &Path) {
    for suffix in SUFFIXES {
        let _ = fs::copy(beside(from, suffix), beside(to, suffix));
    }
}

fn copy_of(path: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("x.db");
    copy_set(path, &copy);
    (folder, copy)
}

/// What SQLite did, in the words of the forecast.
fn happened(had_log: bool, outcome: &Value) -> Value {
    let open = match outcome["open"].as_i64().unwrap() {
        0 => "ok",
        26 => "notadb",
        11 => "corrupt",
        14 => "cantopen",
        8 => "readonly",
        5 => "busy",
        10 => "ioerr",
        _ => "other",
    };
    let has_log = outcome["log_after_close"] == true;
    let close = match (had_log && outcome["log_after_open"] == true, has_log) {
        (true, false) => "deletes-log",
        (_, true) => "keeps-log",
        (false, false) => "none",
    };
    let checkpoint = match &outcome["checkpoint"] {
        Value::Array(triple) if triple[0] == 1 => "busy",
        Value::Array(triple) if triple[1] == -1 => "none",
        Value::Array(triple) if triple[1] == triple[2] => "ok",
        Value::Array(_) => "partial",
        code if *code == 11 && open == "ok" => "corrupt",
        code if *code == 8 && open == "ok" => "readonly",
        _ => "none",
    };
    json!({
        "open": open,
        "log_is_deleted_unread": had_log && outcome["log_after_open"] == false,
        "journal_stays": outcome["journal_after_open"],
        "mx_frame": outcome["checkpoint"].get(1).filter(|frames| **frames != -1),
        "db_size_pages": outcome["db_size_pages"],
        "checkpoint": checkpoint,
        "close": close,
    })
}

/// The forecast in the same words; nothing where it says that it does not know.
fn expected(forecast: &Value) -> Value {
    let known = |field: &str| Some(&forecast[field]).filter(|value| **value != "unknown");
    // Otherwise SQLite does not say it.
    let is_told = forecast["open"] == "ok"
        && ["ok", "partial"].iter().any(|word| forecast["checkpoint"] == *word);
    let journal = known("journal").map(|fate| fate == "ignored");
    json!({
        "open": known("open"),
        "log_is_deleted_unread": known("log").map(|log| log == "deleted"),
        "journal_stays": journal,
        "mx_frame": forecast["mx_frame"].as_u64().filter(|_| is_told),
        "db_size_pages": forecast["db_size_pages"],
        "checkpoint": known("checkpoint"),
        "close": known("close"),
    })
}

/// Where the two differ.
fn differences(expected: &Value, happened: &Value) -> Vec<String> {
    let fields = expected.as_object().unwrap().iter();
    let wrong = fields.filter(|(field, value)| !value.is_null() && happened[*field] != **value);
    wrong.map(|(field, value)| format!("{field}: {value}, not {}", happened[field])).collect()
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// Whether any file of the set is there.
fn is_there(path: &Path) -> bool {
    ["", "-wal", "-journal"].iter().any(|suffix| beside(path, suffix).exists())
}

/// What was wrong, and what was not known, of many sets.
#[derive(Default)]
struct Score {
    sets: u32,
    wrong: Vec<String>,
    unknown: BTreeMap<String, u32>,
}

impl Score {
    /// Compares the forecast with what SQLite did.
    fn take(&mut self, case: &str, what: &str, forecast: &Value, happened: &Value) -> bool {
        self.sets += 1;
        let forecast = expected(forecast);
        if forecast["open"].is_null() {
            *self.unknown.entry(what.to_owned()).or_default() += 1;
        }
        let differences = differences(&forecast, happened);
        if !differences.is_empty() {
            self.wrong.push(format!("{case}, {what}: {}", differences.join("; ")));
        }
        differences.is_empty()
    }

    fn judge(&self) {
        let unknown: u32 = self.unknown.values().sum();
        println!("{} sets; {unknown} not known: {:?}", self.sets, self.unknown);
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

/// Keeps a set of which the forecast was wrong.
fn keep(path: &Path, name: &str) {
    if let Ok(keep) = std::env::var("WALSMITH_KEEP") {
        let to = Path::new(&keep).join(name);
        fs::create_dir_all(&to).unwrap();
        copy_set(path, &to.join("x.db"));
    }
}

/// One set that nobody uses.
fn compare(path: &Path, case: &str, what: &str, sqlite: &mut Oracle, score: &mut Score) {
    let (report, exit) = walsmith(&["doctor", text(path)]);
    if exit == 3 {
        // No SQLite file, or a state of a missing file: said, and nothing is claimed.
        return;
    }
    let (_folder, copy) = copy_of(path);
    let outcome = sqlite.outcome(&copy);
    let had_log = beside(path, "-wal").exists();
    if !score.take(case, what, &report["forecast"], &happened(had_log, &outcome)) {
        keep(path, case);
    }
}

/// Databases under a folder, and those of which only a log or a journal is left.
fn databases_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(databases_under(&path));
        } else if path.is_file() {
            let name = text(&path);
            let of = ["-wal", "-shm", "-journal"].iter().find_map(|end| name.strip_suffix(end));
            found.push(of.map_or(path.clone(), PathBuf::from));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_forecast_is_what_sqlite_does() {
    let (count, first) = (number("WALSMITH_FORESEE", 200), number("WALSMITH_SEED", 1));
    let (mut sqlite, mut score) = (Oracle::opening(), Score::default());
    for seed in first..first + count {
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = sets::make(folder.path(), seed, &mut rng);
        let what = sets::EDITS[rng.usize(0..sets::EDITS.len())];
        sets::edit(&path, what, &mut rng);
        if is_there(&path) {
            compare(&path, &seed.to_string(), what, &mut sqlite, &mut score);
        }
    }
    if let Ok(given) = std::env::var("WALSMITH_SETS") {
        for path in databases_under(Path::new(&given)) {
            compare(&path, text(&path), "given", &mut sqlite, &mut score);
        }
    }
    score.judge();
}
