//! The process that compares states as SQLite reads them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::oracle_program;

pub(crate) struct Judge {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(oracle_program())
            .arg("judge")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, ask, answers }
    }

    fn ask(&mut self, question: &Value) -> Value {
        let ask = self.ask.as_mut().unwrap();
        writeln!(ask, "{question}").unwrap();
        ask.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {question}"))
    }

    /// What a script makes of `from`; `aside` are tables that are not compared.
    pub(crate) fn script(
        &mut self,
        [from, to, script]: [&Path; 3],
        defensive: bool,
        aside: &[String],
    ) -> Value {
        self.ask(&json!({
            "ask": "script",
            "from": from,
            "to": to,
            "script": script,
            "defensive": defensive,
            "aside": aside,
        }))
    }

    /// What a changeset makes of `from`.
    pub(crate) fn changeset(&mut self, from: &Path, to: &Path, changeset: &Path) -> Value {
        let question = json!({"ask": "changeset", "from": from, "to": to, "changeset": changeset});
        self.ask(&question)
    }

    /// What the changeset makes of `from` that SQLite finds.
    pub(crate) fn own_changeset(&mut self, from: &Path, to: &Path) -> Value {
        self.ask(&json!({"ask": "own_changeset", "from": from, "to": to}))
    }

    /// What is false in a claim of rows that differ.
    pub(crate) fn events(&mut self, from: &Path, to: &Path, claim: &Value) -> Value {
        self.ask(&json!({"ask": "events", "from": from, "to": to, "claim": claim}))
    }

    /// Statements about a state, beside another one, with what SQLite answers.
    pub(crate) fn answers(&mut self, at: &Path, also: &Path) -> Value {
        self.ask(&json!({"ask": "answers", "at": at, "also": also}))
    }

    /// Rows that differ, by table.
    pub(crate) fn counts(&mut self, from: &Path, to: &Path) -> Value {
        self.ask(&json!({"ask": "counts", "from": from, "to": to}))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        drop(self.ask.take());
        self.child.wait().unwrap();
    }
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}
