//! Fixtures, private copies of them, and the oracle: real SQLite in a child process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{fs, io};

use serde::Deserialize;
use tempfile::TempDir;

/// The folder of the fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Names of all fixtures, sorted.
pub(crate) fn names() -> Vec<String> {
    let folders = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = folders
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// The bytes of a fixture's database and log.
pub(crate) fn read(name: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = fixtures().join(name);
    (fs::read(folder.join("x.db")).unwrap(), fs::read(folder.join("x.db-wal")).unwrap())
}

/// A private copy of all files of a fixture; returns the folder and the database's path.
pub(crate) fn copy(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures().join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let database = folder.path().join("x.db");
    (folder, database)
}

/// The path of the file that is beside `database` under `suffix`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The oracle program, which `cargo test` builds as an example.
pub(crate) fn oracle_program() -> PathBuf {
    example("oracle")
}

/// Our engine in a process of its own.
pub(crate) fn worker_program() -> PathBuf {
    example("worker")
}

fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(program.exists(), "{}: cargo build --example {name}", program.display());
    program
}

/// Runs the oracle to its end and returns what it printed.
pub(crate) fn oracle(args: &[&str]) -> String {
    finished(Command::new(oracle_program()).args(args))
}

/// An action of the oracle that ends with its death.
pub(crate) fn and_die(args: &[&str]) {
    let output = Command::new(oracle_program()).args(args).output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert_eq!(signal, Some(6), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs our engine to its end and returns what it printed.
pub(crate) fn worker(args: &[&str]) -> String {
    finished(Command::new(worker_program()).args(args))
}

fn finished(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The program under test.
pub(crate) fn walsmith_program() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("walsmith").into()
}

/// A program that dies of signals, also where whoever runs the tests ignores them: a shell and
/// nohup do that to what they start in the background, and it is inherited.
pub(crate) fn with_default_signals(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP").arg(program);
    command
}

/// The program under test, to be run to its end.
pub(crate) fn walsmith_command() -> assert_cmd::Command {
    assert_cmd::cargo::cargo_bin_cmd!("walsmith")
}

/// Runs walsmith with --json; its document and exit code.
pub(crate) fn walsmith(args: &[&str]) -> (serde_json::Value, i32) {
    let output = walsmith_command().arg("--json").args(args).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{args:?}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    });
    (document, output.status.code().unwrap())
}

/// A database in WAL mode without a log, with `rows` rows for our engine to stamp.
pub(crate) fn prepared(rows: u32, page_bytes: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["prepare", text(&database), &rows.to_string(), &page_bytes.to_string()]);
    (folder, database)
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Rows of a query, a JSON list a line.
pub(crate) fn rows(database: &Path, sql: &str) -> String {
    oracle(&["rows", text(database), sql])
}

/// A SQLite process that holds a transaction (`hold-read`, `hold-write`) until its stdin closes.
pub(crate) fn hold(action: &str, database: &Path) -> Child {
    hold_with(&oracle_program(), action, database)
}

/// A process of ours or SQLite's that holds a transaction until its stdin closes.
pub(crate) fn hold_with(program: &Path, action: &str, database: &Path) -> Child {
    let mut command = Command::new(program);
    command.arg(action).arg(database);
    hold_command(command)
}

/// A process that says "ready" and holds something until its stdin closes.
pub(crate) fn hold_command(mut command: Command) -> Child {
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    holder.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    holder
}

/// Lets a holder go, and waits for its end.
pub(crate) fn release(mut holder: Child) {
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

/// An error of SQLite.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct SqliteError {
    pub code: Option<i32>,
    pub message: String,
}

/// What SQLite sees of a database and its log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Sight {
    pub error: Option<SqliteError>,
    pub mx_frame: Option<u32>,
    pub db_size_pages: Option<u32>,
    /// CRC-32 of every page, of the first 512 where there are more.
    pub pages: Vec<u32>,
}

/// A child process that opens copies with real SQLite.
pub(crate) struct Oracle {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub(crate) fn start() -> Self {
        Self::with(&["see"])
    }

    /// One that answers [`Self::integrity`].
    pub(crate) fn checking() -> Self {
        Self::with(&["check"])
    }

    /// One whose [`Self::integrity`] is that of quick_check.
    pub(crate) fn checking_quickly() -> Self {
        Self::with(&["check", "quick_check"])
    }

    /// One that answers [`Self::outcome`].
    pub(crate) fn opening() -> Self {
        Self::with(&["foresee"])
    }

    /// One that answers [`Self::is_true`].
    pub(crate) fn of_values() -> Self {
        Self::with(&["is-true"])
    }

    fn with(args: &[&str]) -> Self {
        let mut child = Command::new(oracle_program())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, ask, answers }
    }

    /// Opens the database at `path`, which must be a private copy.
    pub(crate) fn see(&mut self, path: &Path) -> Sight {
        let line = self.answer(path);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// What `PRAGMA integrity_check` says of the database at `path`, a private copy; empty when it
    /// says "ok".
    pub(crate) fn integrity(&mut self, path: &Path) -> Vec<String> {
        let line = self.answer(path);
        let found: Vec<String> = serde_json::from_str(&line).unwrap();
        if found == ["ok"] { Vec::new() } else { found }
    }

    /// What happens to the files of the database at `path`, private copies, when one more process
    /// opens it.
    pub(crate) fn outcome(&mut self, path: &Path) -> serde_json::Value {
        serde_json::from_str(&self.answer(path)).unwrap()
    }

    /// Whether WHERE takes `value` for true in the database at `path`; `None` where SQLite refuses
    /// it.
    pub(crate) fn is_true(&mut self, path: &Path, value: &str) -> Option<bool> {
        let answer = self.answer_to(&serde_json::json!([path, value]).to_string());
        serde_json::from_str(&answer).unwrap()
    }

    fn answer(&mut self, path: &Path) -> String {
        self.answer_to(&path.display().to_string())
    }

    fn answer_to(&mut self, line: &str) -> String {
        let ask = self.ask.as_mut().unwrap();
        writeln!(ask, "{line}").unwrap();
        ask.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    /// What SQLite sees of these bytes.
    pub(crate) fn see_bytes(&mut self, database: &[u8], wal: &[u8]) -> Sight {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, database).unwrap();
        fs::write(beside(&path, "-wal"), wal).unwrap();
        self.see(&path)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.ask.take());
        let _: io::Result<_> = self.child.wait();
    }
}
