//! What PATH is: SQLite's files by content and by name, and everything else, which every command
//! refuses.

mod encrypted;
mod refused;
mod unreadable;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{beside, copy, names, oracle, prepared, text, walsmith, walsmith_program};

/// Every command that takes a PATH.
const COMMANDS: &[&[&str]] = &[
    &["info"],
    &["verify-checksums"],
    &["frame-list"],
    &["txn-list"],
    &["dump"],
    &["dump", "--page", "1"],
    &["blockers"],
    &["index-dump"],
    &["checkpoint-now"],
    &["checkpoint-now", "--dry-run"],
    &["index-rebuild"],
    &["replay", "--dry-run"],
    &["replay", "--in-place"],
    &["repair"],
    &["repair", "--apply", "--in-place", "--accept-loss"],
    &["undo"],
];

/// Runs a command that must not wait for anything.
fn run(args: &[&str], path: &Path) -> Output {
    let mut child = Command::new(walsmith_program())
        .arg("--json")
        .args(args)
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{args:?} {} hangs", path.display());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// The error of a command: its kind and message.
fn error_of(args: &[&str], path: &Path) -> (String, String, Option<i32>) {
    let output = run(args, path);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = match args[0] {
        "verify-checksums" => &document["files"][0]["error"],
        _ => &document["error"],
    };
    let word = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    (word("kind"), word("message"), output.status.code())
}

/// Every command refuses `path` with this kind of error, and says why.
fn all_refuse(path: &Path, kind: &str, says: &str) {
    for args in COMMANDS {
        let (found, message, exit) = error_of(args, path);
        assert_eq!(
            (found.as_str(), exit),
            (kind, Some(3)),
            "{args:?} {}: {message}",
            path.display()
        );
        assert!(message.contains(says), "{args:?}: {message}");
    }
}

#[test]
fn sqlite_files_are_known_by_content_and_by_name() {
    // By content under any name; a header that was destroyed by the name; an empty file by the
    // name.
    let (folder, database) = copy("page-512");
    let odd = folder.path().join("odd name");
    fs::copy(beside(&database, "-wal"), &odd).unwrap();
    assert_eq!(walsmith(&["verify-checksums", text(&odd)]).1, 0);
    let mut bytes = fs::read(&odd).unwrap();
    bytes[..32].fill(0x55);
    let destroyed = folder.path().join("y.db-wal");
    fs::write(&destroyed, &bytes).unwrap();
    assert_eq!(walsmith(&["verify-checksums", text(&destroyed)]).1, 1);
    // The frames prove that it is a log, whatever has been written over its beginning.
    bytes[..32].copy_from_slice(b"plain text instead of its header");
    fs::write(&destroyed, &bytes).unwrap();
    assert_eq!(walsmith(&["verify-checksums", text(&destroyed)]).1, 1);
    // Page 1 of a database is gone: its other pages tell, and so does its log.
    for with_log in [true, false] {
        let (_folder, database) = prepared(300, 4096);
        oracle(&["run", text(&database), "CREATE TABLE u(x)"]);
        let mut pages = fs::read(&database).unwrap();
        pages[..4096].fill(0);
        fs::write(&database, &pages).unwrap();
        if !with_log && beside(&database, "-wal").exists() {
            fs::remove_file(beside(&database, "-wal")).unwrap();
        }
        let (document, exit) = walsmith(&["info", text(&database)]);
        assert_ne!(document["error"]["kind"], "not-sqlite", "{with_log} {exit}");
    }
    let empty = folder.path().join("empty.sqlite3");
    fs::write(&empty, b"").unwrap();
    assert_eq!(walsmith(&["info", text(&empty)]).1, 0);
    for name in names() {
        let (_folder, database) = copy(&name);
        for suffix in ["", "-wal", "-shm"] {
            let (document, _) = walsmith(&["info", text(&beside(&database, suffix))]);
            assert!(document["error"].is_null(), "{name}{suffix}: {document}");
        }
    }
}
