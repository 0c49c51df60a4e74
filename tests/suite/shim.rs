//! The oracle with one of SQLite's VFS shims under it.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{hold_command, oracle_program, text};

/// A shim by its name; without one it is SQLite alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shim(pub Option<&'static str>);

impl Shim {
    fn command(self, args: &[&str]) -> Command {
        let mut command = Command::new(oracle_program());
        command.args(self.0.iter().flat_map(|name| ["shim", name])).args(args);
        command
    }

    /// Runs an action to its end and returns what it printed.
    pub(crate) fn oracle(self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs an action that dies in the end and leaves the log; returns what it printed.
    pub(crate) fn and_die(self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !said.contains("panicked"), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts an action that holds a transaction until its stdin closes.
    pub(crate) fn hold(self, action: &str, database: &Path) -> Child {
        hold_command(self.command(&[action, text(database)]))
    }

    /// Starts an action whose output is read when it has ended.
    pub(crate) fn start(self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// What each of `databases`, which are private copies, holds.
    pub(crate) fn contents_of(self, databases: &[&Path]) -> Vec<String> {
        let mut child = self
            .command(&["contents"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ask = child.stdin.take().unwrap();
        databases.iter().for_each(|path| writeln!(ask, "{}", path.display()).unwrap());
        drop(ask);
        let answers = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap());
        let answers: Vec<String> = answers.collect();
        assert_eq!(answers.len(), databases.len());
        answers
    }

    /// What a database, which is a private copy, holds.
    pub(crate) fn contents(self, database: &Path) -> String {
        self.contents_of(&[database]).remove(0)
    }
}

/// How many seeded histories a test makes: `default`, or `WALSMITH_SHIM_CASES`.
pub(crate) fn cases(default: u64) -> u64 {
    let asked = std::env::var("WALSMITH_SHIM_CASES");
    asked.map_or(default, |cases| cases.parse().unwrap())
}
