//! Sets of files with one fault each: `doctor` finds it, by the right rule.
//!
//! Three sets a kind of fault here; more with `WALSMITH_FOUND=100 cargo test found`, from
//! `WALSMITH_SEED` on; `WALSMITH_KEEP=DIR` keeps the others. A table says of each how many were
//! found, missed, or found by another rule.

use std::path::{Path, PathBuf};
use std::process::Child;

use fastrand::Rng;
use tempfile::TempDir;

use crate::support::{beside, release, text, walsmith};

mod at_rest;
mod in_use;

/// A set with a fault, and who has it open.
struct Faulty {
    folder: TempDir,
    database: PathBuf,
    users: Vec<Child>,
}

/// A kind of fault; a maker gives `None` where the set of this seed has no room for it.
struct Kind {
    name: &'static str,
    /// Any of these rules is right.
    rules: &'static [&'static str],
    make: fn(u64, &mut Rng) -> Option<Faulty>,
}

/// The errors that doctor finds.
fn errors(database: &Path) -> Vec<String> {
    let (report, exit) = walsmith(&["doctor", "--check", text(database)]);
    let Some(found) = report["findings"].as_array() else {
        // Refused before anything could be found.
        return vec![report["error"]["kind"].as_str().unwrap().to_owned()];
    };
    let errors = found.iter().filter(|finding| finding["severity"] == "error");
    let rules: Vec<String> =
        errors.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect();
    assert_eq!(exit == 1, !rules.is_empty(), "{report:#}");
    rules
}

#[test]
fn one_fault_is_found_by_its_rule() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (count, first) = (number("WALSMITH_FOUND", 3), number("WALSMITH_SEED", 1));
    let mut failed = Vec::new();
    for kind in at_rest::KINDS.iter().chain(&in_use::KINDS) {
        let (mut found, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
        let mut made = 0;
        for seed in (first..).take(usize::try_from(count * 5).unwrap()) {
            let mut rng = Rng::with_seed(seed);
            let Some(Faulty { folder, database, users }) = (kind.make)(seed, &mut rng) else {
                continue;
            };
            let errors = errors(&database);
            let is_found = errors.iter().any(|rule| kind.rules.contains(&rule.as_str()));
            if !is_found && let Ok(keep) = std::env::var("WALSMITH_KEEP") {
                let to = Path::new(&keep).join(format!("{} {seed}", kind.name));
                std::fs::create_dir_all(&to).unwrap();
                for suffix in ["", "-wal", "-shm", "-journal"] {
                    let (from, to) = (beside(&database, suffix), beside(&to.join("x.db"), suffix));
                    let _ = std::fs::copy(from, to);
                }
            }
            users.into_iter().rev().for_each(release);
            drop(folder);
            match &errors[..] {
                [] => missed.push(seed),
                _ if is_found => found += 1,
                _ => wrong.push((seed, errors)),
            }
            made += 1;
            if made == count {
                break;
            }
        }
        println!(
            "{:40} {made} made, {found} found, {} missed {missed:?}, {} by another rule {wrong:?}",
            kind.name,
            missed.len(),
            wrong.len()
        );
        if found < made || made == 0 {
            failed.push(kind.name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_log_that_contradicts_itself_is_not_called_another_ones() {
    // Its last commit leaves out a page that it has.
    let kind = at_rest::KINDS.iter().find(|kind| kind.name == "another commit size").unwrap();
    let set = (kind.make)(89, &mut Rng::with_seed(89)).unwrap();
    assert_eq!(errors(&set.database), ["sizes-contradict", "structure"]);
    let (info, exit) = walsmith(&["info", text(&set.database)]);
    assert_ne!(info["pairing"]["verdict"], "foreign", "{info:#}");
    assert!(exit == 1 && !info["next"].as_str().unwrap().contains("truncate"), "{info:#}");
}
