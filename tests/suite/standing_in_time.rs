//! Where file and log are in time: pairs by kind, and the rule that finds them.
//!
//! A few of each here; more with
//! `WALSMITH_FOUND=400 cargo test --release --test suite standing_in_time -- --nocapture`, which
//! prints a table and holds the shares that the README gives. `WALSMITH_SEED` chooses others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{oracle, text, walsmith};

/// A kind of pair, the rule that should find it, and the share that is found, in percent.
struct Kind {
    name: &'static str,
    rule: &'static str,
    found_percent: u32,
}

const KINDS: [Kind; 4] = [
    Kind { name: "file-newer", rule: "file-newer", found_percent: 75 },
    Kind { name: "file-older", rule: "file-older", found_percent: 55 },
    Kind { name: "fork", rule: "pair-fork", found_percent: 45 },
    Kind { name: "lost-checkpoint", rule: "lost-checkpoint", found_percent: 70 },
];

/// The pairs of which a share is claimed: applications that insert, and at least 40 pages.
const MEASURED: &str = "inserting";

/// The group of a pair, by what was done before.
fn group(done: &str) -> &'static str {
    let pages = done.split(' ').find_map(|word| word.strip_prefix("pages="));
    let pages: u32 = pages.unwrap().parse().unwrap();
    match done.starts_with("style=0") || done.starts_with("style=1") {
        true if pages >= 40 => MEASURED,
        true => "inserting, few pages",
        false => "in place or all at once",
    }
}

/// From here on the shares are asked for.
const MANY: u64 = 200;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A pair of a kind, and what was done before.
fn pair(seed: u64, kind: &str) -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let done = oracle(&["standing", text(folder.path()), &seed.to_string(), kind]);
    let path = folder.path().join("x.db");
    (folder, path, done.trim().to_owned())
}

/// The rules of the errors that `command` finds.
fn errors(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|it| it["severity"] == "error");
    errors.map(|it| it["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_true_pair_has_no_error() {
    let (count, first) = (number("WALSMITH_FOUND", 30), number("WALSMITH_SEED", 1));
    let (mut orders, mut wrong) = (BTreeMap::<String, u32>::new(), Vec::new());
    for seed in first..first + count {
        let (_folder, path, done) = pair(seed, "current");
        let (report, _) = walsmith(&["doctor", text(&path)]);
        let found = errors(&report);
        if !found.is_empty() {
            wrong.push(format!("seed {seed}, {done}: {:#}", report["findings"]));
        }
        let (report, _) = walsmith(&["info", text(&path)]);
        let order = report["pairing"]["order"].as_str().unwrap_or("nothing to judge");
        if matches!(order, "file-newer" | "file-older" | "fork") {
            wrong.push(format!("seed {seed}, {done}: {:#}", report["pairing"]));
        }
        *orders.entry(order.to_owned()).or_default() += 1;
    }
    println!("{count} true pairs: {orders:?}");
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_pair_that_does_not_belong_together_in_time_is_found_by_its_rule() {
    let (count, first) = (number("WALSMITH_FOUND", 10), number("WALSMITH_SEED", 1));
    let mut short = Vec::new();
    for Kind { name, rule, found_percent } in KINDS {
        let mut tally = BTreeMap::<&str, BTreeMap<String, u32>>::new();
        for seed in first..first + count {
            let (_folder, path, done) = pair(seed, name);
            if done.contains("lost=0") || done.ends_with("harmless") {
                continue;
            }
            let (report, _) = walsmith(&["doctor", text(&path)]);
            let found = errors(&report);
            let word = match found.as_slice() {
                [] => "missed".to_owned(),
                found if found.iter().any(|it| it == rule) => "found".to_owned(),
                [other, ..] => format!("as {other}"),
            };
            if word != "found" && std::env::var("WALSMITH_SHOW").is_ok() {
                let (info, _) = walsmith(&["info", text(&path)]);
                println!("{name} seed {seed} {done}: {word}: {:#}", info["pairing"]);
            }
            *tally.entry(group(&done)).or_default().entry(word).or_default() += 1;
        }
        for (group, words) in &tally {
            println!("{name}, {group}: {} pairs: {words:?}", words.values().sum::<u32>());
        }
        let Some(words) = tally.get(MEASURED).filter(|_| count >= MANY) else { continue };
        let (found, pairs) = (words.get("found").copied(), words.values().sum::<u32>());
        let found = found.unwrap_or_default();
        if found * 100 < found_percent * pairs {
            short.push(format!("{name}: {found} of {pairs}, and {found_percent} % are claimed"));
        }
    }
    assert!(short.is_empty(), "{}", short.join("\n"));
}
