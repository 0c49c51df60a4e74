//! Where file and log of applications are in time (tests/oracle/applications.rs): an old log that
//! is put back beside its newer file is not passed over in silence, and nothing is said against a
//! pair that SQLite leaves itself.
//!
//! `WALSMITH_FOUND=2000 cargo test --release --test suite applications_in_time -- --nocapture`
//! takes more of each; `WALSMITH_SEED` chooses others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{oracle, text, walsmith};

/// What `doctor` says where it has nothing to say.
const NOTHING: &str = "nothing wrong was found";

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A pair of a kind, what was done before, and what `doctor` says.
fn pair(seed: u64, kind: &str) -> (TempDir, String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let done = oracle(&["applications", text(folder.path()), &seed.to_string(), kind]);
    let path: PathBuf = folder.path().join("x.db");
    let (report, _) = walsmith(&["doctor", text(&path)]);
    (folder, done.trim().to_owned(), report)
}

/// The rules of the errors.
fn errors(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|it| it["severity"] == "error");
    errors.map(|it| it["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_pair_that_sqlite_leaves_has_no_error() {
    let (count, first) = (number("WALSMITH_FOUND", 100), number("WALSMITH_SEED", 1));
    let mut wrong = Vec::new();
    for seed in first..first + count {
        let (_folder, done, report) = pair(seed, "healthy");
        if !errors(&report).is_empty() {
            wrong.push(format!("seed {seed}, {done}: {:#}", report["findings"]));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_old_log_that_is_put_back_is_not_passed_over_in_silence() {
    let (count, first) = (number("WALSMITH_FOUND", 200), number("WALSMITH_SEED", 1));
    let (mut pairs, mut silent, mut found) = (0, 0, 0);
    let mut rules = BTreeMap::<String, u32>::new();
    for seed in first..first + count {
        let (_folder, done, report) = pair(seed, "put-back");
        if done.ends_with("harmless") {
            continue;
        }
        pairs += 1;
        silent += u32::from(report["diagnosis"] == NOTHING);
        let errors = errors(&report);
        found += u32::from(!errors.is_empty());
        let rule = errors.first().map_or("no error", String::as_str);
        *rules.entry(rule.to_owned()).or_default() += 1;
    }
    println!("{pairs} old logs, {NOTHING} for {silent}: {rules:?}");
    assert!(silent * 100 <= 4 * pairs, "{NOTHING} for {silent} of {pairs}");
    assert!(found * 100 >= 28 * pairs, "an error for {found} of {pairs}");
}
