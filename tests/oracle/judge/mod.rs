//! Two states of a database compared as SQLite reads them, and what scripts and changesets make of
//! one: the questions of the round trips.

mod answers;
mod changesets;
mod contents;
mod counts;
mod events;
mod script;
mod values;

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::contents::Contents;
use crate::see::open;

/// Numbers in the header that belong to the application.
const NUMBERS: [&str; 2] = ["user_version", "application_id"];

#[derive(Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
enum Question {
    /// Applies a script of the shell to a copy of `from`; the result should be `to`.
    Script { from: PathBuf, to: PathBuf, script: PathBuf, defensive: bool, aside: Vec<String> },
    /// Applies a changeset or patchset to a copy of `from`; the tables that it can change should be
    /// those of `to`.
    Changeset { from: PathBuf, to: PathBuf, changeset: PathBuf },
    /// The same with the changeset that SQLite itself finds between the two.
    OwnChangeset { from: PathBuf, to: PathBuf },
    /// What is in a state, in sums, and against another one: statements and their answers.
    Answers { at: PathBuf, also: PathBuf },
    /// Rows that were inserted, updated and deleted, by table.
    Counts { from: PathBuf, to: PathBuf },
    /// Rows that are said to differ.
    Events { from: PathBuf, to: PathBuf, claim: events::Claim },
}

/// Reads questions from stdin, one a line; answers each with a line of JSON.
pub(crate) fn judge() {
    let mut answers = io::stdout().lock();
    let mut states = events::States::default();
    for line in io::stdin().lock().lines() {
        let question = serde_json::from_str(&line.unwrap()).unwrap();
        writeln!(answers, "{}", answer(question, &mut states)).unwrap();
        answers.flush().unwrap();
    }
}

fn answer(question: Question, states: &mut events::States) -> Value {
    match question {
        Question::Script { from, to, script, defensive, aside } => {
            let (_folder, copy) = copy(&from);
            let errors = script::run(&copy, &script, defensive);
            let (made, wanted) = (Contents::read(&copy), Contents::read(&to));
            let same = Contents::read(&from).differences(&wanted, &[]).is_empty()
                && NUMBERS.iter().all(|it| pragma(&from, it) == pragma(&to, it));
            let mut differences = made.differences(&wanted, &aside);
            let unsound = |it| unsound(it).filter(|_| aside.is_empty());
            if let Some(unsound) = unsound(&copy).filter(|_| unsound(&to).is_none()) {
                differences.push(format!("integrity_check: {unsound}"));
            }
            for number in NUMBERS {
                let [is, was] = [&copy, &to].map(|it| pragma(it, number));
                if is != was {
                    differences.push(format!("{number} is {is}, and not {was}"));
                }
            }
            json!({"errors": errors, "differences": differences, "same": same})
        }
        Question::Changeset { from, to, changeset } => {
            changesets::judged(&from, &to, &mut fs::read(changeset).unwrap())
        }
        Question::OwnChangeset { from, to } => changesets::own(&from, &to),
        Question::Answers { at, also } => answers::of(&at, &also),
        Question::Counts { from, to } => counts::of(&from, &to),
        Question::Events { from, to, claim } => states.judged(&from, &to, &claim),
    }
}

/// A private copy of a state.
fn copy(state: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    fs::copy(state, &path).unwrap();
    (folder, path)
}

/// A connection as the shell has it: foreign keys are not enforced.
fn shell(path: &Path) -> Connection {
    let connection = open(path);
    connection.execute_batch("PRAGMA foreign_keys=OFF; PRAGMA synchronous=OFF").unwrap();
    connection
}

/// What `PRAGMA integrity_check` finds.
fn unsound(path: &Path) -> Option<String> {
    let found = open(path).query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    let found: String = found.unwrap_or_else(|error| error.to_string());
    (found != "ok").then_some(found)
}

fn pragma(path: &Path, name: &str) -> i64 {
    open(path).query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap()
}
