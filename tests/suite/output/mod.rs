//! What commands print: names from outside, commands to type, documents, narrow terminals.

mod documents;
mod from_outside;
mod narrow;
mod options;
mod search;
mod typed;

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::{beside, fixtures, walsmith_command};

/// Every command that takes a PATH, as it writes nothing.
const LOOKING: [&[&str]; 13] = [
    &["info"],
    &["verify-checksums"],
    &["frame-list", "--all"],
    &["frame-list", "--all", "--digest", "--wide"],
    &["txn-list"],
    &["dump"],
    &["dump", "--page", "1"],
    &["blockers"],
    &["index-dump"],
    &["checkpoint-now", "--dry-run", "--accept-loss"],
    &["replay", "--dry-run", "--accept-loss"],
    &["repair"],
    &["undo", "--list"],
];

/// Runs walsmith in `folder`, in a UTF-8 locale, with 60 columns.
fn run(folder: &Path, args: &[&OsStr]) -> Output {
    let mut command = walsmith_command();
    command.current_dir(folder).args(args).env("LC_ALL", "C.UTF-8").env("COLUMNS", "60");
    command.output().unwrap()
}

fn on(folder: &Path, args: &[&str], path: &OsStr) -> Output {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).chain([path]).collect();
    run(folder, &args)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What was printed on both streams.
fn printed(output: &Output) -> String {
    stdout(output) + std::str::from_utf8(&output.stderr).unwrap()
}

/// The files of a fixture under another name, the eleventh frame of the log with one bit flipped.
fn damaged_as(name: &OsStr) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join(name);
    let from = fixtures().join("twenty-rows").join("x.db");
    fs::copy(&from, &database).unwrap();
    let mut log = fs::read(beside(&from, "-wal")).unwrap();
    log[32 + 10 * 4120 + 24 + 4000] ^= 2;
    fs::write(beside(&database, "-wal"), log).unwrap();
    folder
}

/// The commands that a text tells to type: each goes to the end of its line.
fn commands_in(printed: &str) -> Vec<String> {
    let command = |line: &str| {
        let start = ["walsmith ", "cp "].iter().filter_map(|word| line.find(word)).min()?;
        Some(line.get(start..)?.to_owned())
    };
    printed.lines().filter_map(command).collect()
}
