//! Healthy sets of files, idle and live: nothing is refused, and nothing is found.
//!
//! Sixty sets here; more with `WALSMITH_HEALTHY=2000 cargo test healthy`, from `WALSMITH_SEED` on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{beside, oracle_program, release, rows, text, walsmith};

const KINDS: [&str; 15] = [
    "plain",
    "never",
    "partly",
    "pinned",
    "reset",
    "truncated",
    "restarted",
    "vacuum",
    "auto-vacuum",
    "incremental",
    "rolled-back",
    "spilled",
    "exclusive",
    "persisted",
    "rollback-mode",
];

/// Commands that only look, or write somewhere else.
const LOOKING: [&[&str]; 9] = [
    &["info"],
    &["verify-checksums"],
    &["frame-list"],
    &["txn-list"],
    &["repair"],
    &["blockers"],
    &["replay", "--dry-run"],
    &["checkpoint-now", "--dry-run"],
    &["checkpoint-now", "--dry-run", "--mode", "truncate"],
];

/// Commands that write, of which each gets files of its own.
const WRITING: [&[&str]; 8] = [
    &["checkpoint-now"],
    &["checkpoint-now", "--mode", "full"],
    &["checkpoint-now", "--mode", "restart"],
    &["checkpoint-now", "--mode", "truncate"],
    &["checkpoint-now", "--mode", "truncate", "--remove-files"],
    &["index-rebuild"],
    &["replay", "--in-place"],
    &["repair", "--apply", "--in-place"],
];

fn make(path: &Path, seed: u64, kind: &str, end: &str) -> Child {
    Command::new(oracle_program())
        .args(["healthy", text(path), &seed.to_string(), kind, end])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn copy_of(database: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("x.db");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::copy(beside(database, suffix), beside(&copy, suffix));
    }
    (folder, copy)
}

/// Exit codes that a healthy set may give.
struct Allowed<'a> {
    case: &'a str,
    /// Nobody is in the way.
    is_idle: bool,
}

impl Allowed<'_> {
    fn run(&self, args: &[&str], database: &Path) {
        let (report, exit) = walsmith(&[args, &[text(database)]].concat());
        let has_log = beside(database, "-wal").exists();
        let allowed = match args[0] {
            // Without a log there is nothing to list or to build an index from.
            "frame-list" | "txn-list" | "index-rebuild" if !has_log => exit == 3 || exit == 0,
            "checkpoint-now" if !self.is_idle => [0, 4, 5].contains(&exit),
            "info" | "replay" | "repair" | "index-rebuild" if !self.is_idle => {
                exit == 0 || exit == 4
            }
            _ => exit == 0,
        };
        assert!(allowed, "{}: {args:?}: exit {exit}: {report:#}", self.case);
    }
}

#[test]
fn nothing_is_refused_and_nothing_is_found() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (count, first) = (number("WALSMITH_HEALTHY", 60), number("WALSMITH_SEED", 1));
    let mut kinds: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for seed in first..first + count {
        let kind = KINDS[usize::try_from(seed).unwrap() % KINDS.len()];
        let end = ["die", "close", "hold"][usize::try_from(seed / 15).unwrap() % 3];
        *kinds.entry((kind, end)).or_default() += 1;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let mut child = make(&database, seed, kind, end);
        let case = format!("seed {seed}, {kind}, {end}");
        let is_idle = end != "hold";
        let allowed = Allowed { case: &case, is_idle };
        if is_idle {
            child.wait().unwrap();
        } else {
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        }
        for args in LOOKING {
            allowed.run(args, &database);
        }
        let copy = database.with_extension("copy");
        let (report, exit) = walsmith(&["replay", "--output", text(&copy), text(&database)]);
        assert!(exit == 0 || (!is_idle && exit == 4), "{case}: {report:#}");
        for args in WRITING.iter().filter(|args| is_idle || args[0].contains("checkpoint")) {
            if is_idle {
                let (_folder, own) = copy_of(&database);
                allowed.run(args, &own);
                assert_eq!(
                    rows(&own, "PRAGMA integrity_check").trim(),
                    r#"["ok"]"#,
                    "{case} {args:?}"
                );
            } else {
                allowed.run(args, &database);
            }
        }
        release(child);
        assert_eq!(rows(&database, "PRAGMA integrity_check").trim(), r#"["ok"]"#, "{case}");
    }
    println!("{count} sets from seed {first}: {kinds:?}");
}
