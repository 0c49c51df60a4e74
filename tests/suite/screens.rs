//! What people see: every command on the same files, at three widths, kept as snapshots.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test suite screens`, and read
//! the difference before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{beside, copy, walsmith_command};

const WIDTHS: [&str; 3] = ["60", "80", "120"];

/// Files in a folder of their own; the database is `x.db`.
struct Set {
    name: &'static str,
    folder: TempDir,
}

impl Set {
    fn of(name: &'static str, fixture: &str, change: impl FnOnce(&Path)) -> Self {
        let (folder, database) = copy(fixture);
        change(&database);
        Self { name, folder }
    }

    fn all() -> Vec<Self> {
        let with_log = |database: &Path, change: fn(&mut Vec<u8>)| {
            let wal = beside(database, "-wal");
            let mut bytes = fs::read(&wal).unwrap();
            change(&mut bytes);
            fs::write(&wal, bytes).unwrap();
        };
        vec![
            Self::of("a whole log", "twenty-rows", |_| {}),
            Self::of("one flipped bit", "twenty-rows", |database| {
                with_log(database, |bytes| bytes[32 + 10 * 4120 + 24 + 4000] ^= 2);
            }),
            Self::of("a log that was cut in a frame", "page-4096", |database| {
                with_log(database, |bytes| bytes.truncate(bytes.len() - 1000));
            }),
            Self::of("a header that was overwritten", "page-1024", |database| {
                with_log(database, |bytes| bytes[..32].fill(0x41));
            }),
            Self::of("an index that is left", "shm-leftover", |_| {}),
            Self::of("no log", "twenty-rows", |database| {
                fs::remove_file(beside(database, "-wal")).unwrap();
            }),
            Self::of("no database", "twenty-rows", |database| {
                fs::remove_file(database).unwrap();
            }),
            Self::of("a picture", "twenty-rows", |database| {
                fs::remove_file(beside(database, "-wal")).unwrap();
                fs::write(database, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
            }),
        ]
    }
}

/// Everything that the command prints on every set, and its exit codes.
fn screens(args: &[&str]) -> String {
    let mut text = String::new();
    for set in Set::all() {
        for width in WIDTHS {
            let output = walsmith_command()
                .current_dir(set.folder.path())
                .env("LC_ALL", "C.UTF-8")
                .env("COLUMNS", width)
                .args(args)
                .arg("x.db")
                .output()
                .unwrap();
            let exit = output.status.code().unwrap();
            let typed = args.join(" ");
            writeln!(text, "## {}, {width} columns: {typed} x.db: exit {exit}\n", set.name)
                .unwrap();
            for stream in [&output.stdout, &output.stderr] {
                // What may be looked into depends on who runs the tests.
                let lines = std::str::from_utf8(stream).unwrap().lines();
                let lines = lines.filter(|line| !line.contains("could not be looked into"));
                lines.for_each(|line| writeln!(text, "{}", line.trim_end()).unwrap());
            }
            // What it has written would be in the way of the next.
            let _ = fs::remove_dir_all(set.folder.path().join("new"));
            text.push('\n');
        }
    }
    text
}

#[test]
fn doctor_is_as_it_was() {
    insta::assert_snapshot!("doctor", screens(&["doctor", "--check"]));
}

#[test]
fn info_is_as_it_was() {
    insta::assert_snapshot!("info", screens(&["info"]));
}

#[test]
fn verify_checksums_is_as_it_was() {
    insta::assert_snapshot!("verify-checksums", screens(&["verify-checksums"]));
}

#[test]
fn frame_list_is_as_it_was() {
    insta::assert_snapshot!("frame-list", screens(&["frame-list", "--all"]));
}

#[test]
fn txn_list_is_as_it_was() {
    insta::assert_snapshot!("txn-list", screens(&["txn-list"]));
}

#[test]
fn dump_is_as_it_was() {
    insta::assert_snapshot!("dump", screens(&["dump"]));
    insta::assert_snapshot!("dump-page", screens(&["dump", "--page", "2"]));
}

#[test]
fn blockers_is_as_it_was() {
    insta::assert_snapshot!("blockers", screens(&["blockers"]));
}

#[test]
fn index_dump_is_as_it_was() {
    insta::assert_snapshot!("index-dump", screens(&["index-dump"]));
}

#[test]
fn checkpoint_now_is_as_it_was() {
    insta::assert_snapshot!("checkpoint-now", screens(&["checkpoint-now", "--dry-run"]));
}

#[test]
fn rescue_is_as_it_was() {
    insta::assert_snapshot!("rescue", screens(&["rescue", "--output", "new"]));
}

#[test]
fn replay_is_as_it_was() {
    insta::assert_snapshot!("replay", screens(&["replay", "--dry-run"]));
}

#[test]
fn repair_is_as_it_was() {
    insta::assert_snapshot!("repair", screens(&["repair"]));
}

#[test]
fn undo_is_as_it_was() {
    insta::assert_snapshot!("undo", screens(&["undo", "--list"]));
}
