//! What a step would make final is refused by every command that writes, in the same words, with
//! every file as it was; and what an override lets pass is named.

mod backfill;
mod logs;
mod sizes;
mod users;

pub(crate) use sizes::rechained;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{beside, oracle_program, text, walsmith};

/// The commands that write, each as far as its options. The path comes last.
const WRITERS: [&[&str]; 9] = [
    &["checkpoint-now", "--mode", "passive"],
    &["checkpoint-now", "--mode", "truncate"],
    &["checkpoint-now", "--mode", "truncate", "--remove-files"],
    &["checkpoint-now", "--mode", "truncate", "--dry-run"],
    &["index-rebuild"],
    &["replay", "--in-place"],
    &["repair", "--apply", "--in-place"],
    &["undo", "--discard"],
    &["undo"],
];

/// Content of all files beside `database`, but for the wal-index, which attached processes may
/// write.
fn state(database: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = fs::read_dir(database.parent().unwrap()).unwrap();
    folder
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn refused(args: &[&str], database: &Path, rule: &str) {
    let before = state(database);
    let (report, exit) = walsmith(&[args, &[text(database)]].concat());
    assert_eq!(exit, 6, "{args:?}: {report:#}");
    let error = &report["error"];
    assert!(["refused", "attached"].contains(&error["kind"].as_str().unwrap()), "{error:#}");
    assert!(error["message"].as_str().unwrap().contains(rule), "{args:?}: {error:#}");
    assert!(!error["hint"].as_str().unwrap_or_default().is_empty(), "{error:#}");
    assert!(state(database) == before, "{args:?} has changed a file");
}

/// A SQLite process with nine committed updates in its log.
struct Holder {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Holder {
    fn start(action: &str, database: &Path) -> Self {
        let mut child = Command::new(oracle_program())
            .args([action, text(database)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        answers.read_line(&mut String::new()).unwrap();
        Self { child, answers }
    }

    /// Lets it run a line of SQL; what it answers.
    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    fn finish(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// 601 rows of which 300 are in the file, in a log of three transactions.
fn grown() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    // It dies by itself.
    let _ = Command::new(oracle_program()).args(["grown", text(&database)]).output().unwrap();
    fs::remove_file(beside(&database, "-shm")).unwrap();
    let wal = fs::read(beside(&database, "-wal")).unwrap();
    (folder, database, wal)
}

fn assert_all_refuse(database: &Path, rule: &str, may_be_accepted: bool) {
    for args in WRITERS {
        let lets_repair_mend = args[0] == "repair";
        if args[0] != "undo" && !lets_repair_mend {
            refused(args, database, rule);
        }
    }
    let copy = database.with_extension("copy");
    refused(&["replay", "--output", text(&copy)], database, rule);
    let args = ["replay", "--accept-loss", "--output", text(&copy), text(database)];
    let (report, exit) = walsmith(&args);
    assert_eq!(exit, if may_be_accepted { 1 } else { 6 }, "{report:#}");
}

/// What a document says of the findings of a rule.
pub(crate) fn rules(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
}
