//! The forecast of `doctor` against real SQLite: what opening, a SELECT, a PASSIVE checkpoint and
//! the close do to sets of files, healthy and edited.
//!
//! Two hundred sets here; more with `WALSMITH_FORESEE=5000 cargo test foresee`, from
//! `WALSMITH_SEED` on. `WALSMITH_KEEP=DIR` keeps the sets of which the forecast was wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Oracle, beside, fixtures, names, oracle, oracle_program, text, walsmith};

const KINDS: [&str; 10] = [
    "plain",
    "never",
    "reset",
    "truncated",
    "vacuum",
    "auto-vacuum",
    "incremental",
    "rolled-back",
    "persisted",
    "rollback-mode",
];

/// What is done to the files.
const EDITS: [&str; 18] = [
    "nothing",
    "a field of the header",
    "the page count of the header",
    "the file cut",
    "the file emptied",
    "the file gone",
    "page 1 overwritten",
    "a byte of page 1",
    "a byte of the log's header",
    "the log's version",
    "a byte of a frame",
    "the log cut",
    "the log emptied",
    "the log gone",
    "a journal of text",
    "a journal of another database",
    "a cold journal",
    "the index gone",
];

fn make(folder: &Path, seed: u64, rng: &mut Rng) -> PathBuf {
    let path = folder.join("x.db");
    match rng.u32(0..10) {
        0..3 => {
            let all = names();
            let name = &all[rng.usize(0..all.len())];
            for entry in fs::read_dir(fixtures().join(name)).unwrap() {
                let from = entry.unwrap().path();
                fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
            }
        }
        3 => {
            let page_bytes = ["512", "1024", "4096"][rng.usize(0..3)];
            let sync = ["FULL", "OFF"][rng.usize(0..2)];
            let args = ["hot-journal", text(&path), page_bytes, sync];
            // It dies in its transaction.
            let ended = std::process::Command::new(oracle_program()).args(args).output().unwrap();
            assert!(!ended.status.success());
        }
        _ => {
            let kind = KINDS[rng.usize(0..KINDS.len())];
            let end = ["die", "die", "close"][rng.usize(0..3)];
            let seed = seed.to_string();
            let args = ["healthy", text(&path), &seed, kind, end, "0"];
            std::process::Command::new(oracle_program()).args(args).output().unwrap();
        }
    }
    path
}

fn edit(path: &Path, what: &str, rng: &mut Rng) {
    let (log, journal) = (beside(path, "-wal"), beside(path, "-journal"));
    let change = |path: &Path, change: &mut dyn FnMut(&mut Vec<u8>)| {
        if let Ok(mut bytes) = fs::read(path) {
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        }
    };
    let spoil = |bytes: &mut Vec<u8>, at: usize, rng: &mut Rng| {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= rng.u8(1..);
        }
    };
    match what {
        "a field of the header" => change(path, &mut |bytes| spoil(bytes, rng.usize(0..100), rng)),
        "the page count of the header" => change(path, &mut |bytes| {
            if bytes.len() > 100 {
                let count = u32::from_be_bytes(bytes[28..32].try_into().unwrap());
                let other = count.wrapping_add_signed(rng.i32(-2..4));
                bytes[28..32].copy_from_slice(&other.to_be_bytes());
            }
        }),
        "the file cut" => change(path, &mut |bytes| bytes.truncate(rng.usize(0..=bytes.len()))),
        "the file emptied" => change(path, &mut |bytes| bytes.truncate(rng.usize(0..3))),
        "the file gone" => drop(fs::remove_file(path)),
        "page 1 overwritten" => change(path, &mut |bytes| {
            let end = bytes.len().min(512);
            let fill = rng.u8(..);
            bytes[..end].fill(fill);
        }),
        "a byte of page 1" => change(path, &mut |bytes| spoil(bytes, rng.usize(100..512), rng)),
        "a byte of the log's header" => {
            change(&log, &mut |bytes| spoil(bytes, rng.usize(0..32), rng));
        }
        "the log's version" => change(&log, &mut |bytes| spoil(bytes, 7, rng)),
        "a byte of a frame" => change(&log, &mut |bytes| {
            let at = rng.usize(0..bytes.len().max(1));
            spoil(bytes, at, rng);
        }),
        "the log cut" => change(&log, &mut |bytes| bytes.truncate(rng.usize(0..=bytes.len()))),
        "the log emptied" => change(&log, &mut Vec::clear),
        "the log gone" => drop(fs::remove_file(log)),
        "a journal of text" => fs::write(journal, b"SQLite format 3 and some words").unwrap(),
        "a journal of another database" => {
            let folder = tempfile::tempdir().unwrap();
            oracle(&["journals", text(folder.path())]);
            fs::copy(folder.path().join("half.db-journal"), journal).unwrap();
        }
        "a cold journal" => fs::write(journal, [0; 512]).unwrap(),
        "the index gone" => drop(fs::remove_file(beside(path, "-shm"))),
        _ => {}
    }
}

fn copy_of(path: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("x.db");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::copy(beside(path, suffix), beside(&copy, suffix));
    }
    (folder, copy)
}

/// What SQLite did, in the words of the forecast.
fn happened(before: &Path, outcome: &Value) -> Value {
    let open = match outcome["open"].as_i64().unwrap() {
        0 => "ok",
        26 => "notadb",
        11 => "corrupt",
        14 => "cantopen",
        5 => "busy",
        _ => "other",
    };
    let (had_log, has_log) = (beside(before, "-wal").exists(), &outcome["log_after_close"]);
    let close = match (had_log && outcome["log_after_open"] == true, has_log == true) {
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
    let is_open = forecast["open"] == "ok";
    let journal = known("journal").map(|fate| fate == "ignored");
    json!({
        "open": known("open"),
        "log_is_deleted_unread": known("log").map(|log| log == "deleted"),
        "journal_stays": journal,
        "mx_frame": forecast["mx_frame"].as_u64().filter(|_| is_open),
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

#[test]
fn the_forecast_is_what_sqlite_does() {
    let (count, first) = (number("WALSMITH_FORESEE", 200), number("WALSMITH_SEED", 1));
    let mut sqlite = Oracle::opening();
    let (mut wrong, mut unknown) = (Vec::new(), BTreeMap::<&str, u32>::new());
    for seed in first..first + count {
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = make(folder.path(), seed, &mut rng);
        let what = EDITS[rng.usize(0..EDITS.len())];
        edit(&path, what, &mut rng);
        if !path.exists() && !beside(&path, "-wal").exists() && !beside(&path, "-journal").exists()
        {
            continue;
        }
        let (report, exit) = walsmith(&["doctor", text(&path)]);
        if exit == 3 {
            // No SQLite file, or a state of a missing file: said, and nothing is claimed.
            continue;
        }
        let forecast = expected(&report["forecast"]);
        if forecast["open"].is_null() {
            *unknown.entry(what).or_default() += 1;
        }
        let (copied, copy) = copy_of(&path);
        let outcome = sqlite.outcome(&copy);
        let differences = differences(&forecast, &happened(&path, &outcome));
        if !differences.is_empty() {
            wrong.push(format!("seed {seed}, {what}: {}", differences.join("; ")));
            if let Ok(keep) = std::env::var("WALSMITH_KEEP") {
                let to = Path::new(&keep).join(seed.to_string());
                fs::create_dir_all(&to).unwrap();
                for suffix in ["", "-wal", "-shm", "-journal"] {
                    let _ = fs::copy(beside(&path, suffix), beside(&to.join("x.db"), suffix));
                }
            }
        }
        drop(copied);
    }
    println!("{count} sets; not known: {unknown:?}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
