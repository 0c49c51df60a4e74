//! JSON, JSON lines and CSV.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{LOOKING, damaged_as, on, printed, run, stdout};
use crate::support::{beside, copy, names};

#[test]
fn one_document_comes_out_whatever_happens() {
    let (folder, _) = copy("twenty-rows");
    let damaged = damaged_as(OsStr::new("y.db"));
    let more: [&[&str]; 7] = [
        &["rewind", "--to", "0", "--dry-run"],
        &["checkpoint-now"],
        &["index-rebuild"],
        &["replay", "--in-place"],
        &["replay", "--to-txn", "99", "--dry-run"],
        &["repair", "--apply", "--output", "/no/such/folder/new.db"],
        &["undo"],
    ];
    for args in LOOKING.iter().chain(&more) {
        for (folder, path) in
            [(&folder, "x.db"), (&folder, "nothing.db"), (&folder, "."), (&damaged, "y.db")]
        {
            let path = OsStr::new(path);
            let done = on(folder.path(), &[args, &["--json"][..]].concat(), path);
            let document: Value = serde_json::from_slice(&done.stdout)
                .unwrap_or_else(|error| panic!("{args:?} {path:?}: {error}: {}", printed(&done)));
            let shape = if args[0] == "repair" { 2 } else { 1 };
            let schema = format!("walsmith.{}/{shape}", args[0]);
            assert_eq!(document["schema"], schema.as_str());
            let done = on(folder.path(), &[args, &["--format", "jsonl"][..]].concat(), path);
            let shown = stdout(&done);
            let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
            assert_eq!(first["schema"], schema.as_str(), "{args:?} {path:?}");
            for line in shown.lines().skip(1) {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line.is_object());
            }
        }
    }
}

/// The header line of CSV.
fn columns(folder: &Path, args: &[&str], path: &str) -> Option<Vec<String>> {
    let done = on(folder, &[args, &["--format", "csv"]].concat(), OsStr::new(path));
    if !matches!(done.status.code(), Some(0 | 1)) {
        return None;
    }
    let mut reader = csv::Reader::from_reader(done.stdout.as_slice());
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert!(reader.records().all(|record| record.unwrap().len() == columns.len()));
    Some(columns)
}

#[test]
fn csv_has_the_same_columns_whatever_the_data() {
    for args in LOOKING {
        let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
        for name in names() {
            let (folder, _) = copy(&name);
            seen.extend(columns(folder.path(), args, "x.db"));
            // The fields of JSON lines are those columns.
            let done =
                on(folder.path(), &[args, &["--format", "jsonl"]].concat(), OsStr::new("x.db"));
            if let (Some(0 | 1), Some(row)) = (done.status.code(), stdout(&done).lines().nth(1)) {
                let row: Value = serde_json::from_str(row).unwrap();
                seen.insert(row.as_object().unwrap().keys().cloned().collect());
            }
        }
        let damaged = damaged_as(OsStr::new("x.db"));
        seen.extend(columns(damaged.path(), args, "x.db"));
        fs::remove_file(damaged.path().join("x.db-wal")).unwrap();
        seen.extend(columns(damaged.path(), args, "x.db"));
        assert!(seen.len() <= 1, "{args:?}: {seen:#?}");
        let none = ["undo", "dump"].contains(&args[0]);
        assert!(none || seen.len() == 1, "{args:?}");
    }
}

#[test]
fn no_row_still_has_a_header() {
    let empty = tempfile::tempdir().unwrap();
    let none = columns(empty.path(), &["verify-checksums", "--recursive"], ".").unwrap();
    let (folder, _) = copy("twenty-rows");
    assert_eq!(columns(folder.path(), &["verify-checksums"], "x.db").unwrap(), none);
    assert_eq!(none[..3], ["wal", "database", "verdict"]);
    let blockers = columns(folder.path(), &["blockers"], "x.db").unwrap();
    assert_eq!(blockers[..3], ["lock", "byte", "held"]);
    let frames = columns(folder.path(), &["frame-list", "--state", "stale"], "x.db").unwrap();
    assert_eq!(frames[..3], ["frame", "offset_bytes", "page"]);
}

#[test]
fn another_output_goes_with_no_format() {
    let (folder, _) = copy("twenty-rows");
    let raw = ["dump", "--page", "1", "--raw", "x.db"];
    let cases: [&[&str]; 7] = [
        &["dump", "--page", "1", "--raw", "--json", "x.db"],
        &["--json", "dump", "--page", "1", "--raw", "x.db"],
        &["dump", "--page", "1", "--raw", "--format", "csv", "x.db"],
        &["--format", "table", "dump", "--page", "1", "--raw", "x.db"],
        &["completions", "bash", "--json"],
        &["--json", "info", "x.db", "--format", "csv"],
        &["info", "x.db", "--json", "--format", "csv"],
    ];
    for args in cases {
        let done = run(folder.path(), &args.iter().map(OsStr::new).collect::<Vec<_>>());
        assert_eq!((done.status.code(), done.stdout.len()), (Some(2), 0), "{args:?}");
    }
    let done = run(folder.path(), &raw.map(OsStr::new));
    assert_eq!((done.status.code(), done.stdout.len()), (Some(0), 4096));
}

#[test]
fn every_kind_of_error_has_its_word() {
    let (folder, database) = copy("twenty-rows");
    fs::write(folder.path().join("text.db-shm"), "short").unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let bare = folder.path().join("bare.db");
    fs::copy(&database, &bare).unwrap();
    let alone = folder.path().join("alone.db-wal");
    fs::copy(beside(&database, "-wal"), &alone).unwrap();
    let cases: [(&[&str], &str, &str, i32); 15] = [
        (&["info"], "nothing.db", "not-found", 3),
        (&["txn-list"], "nothing.db", "not-found", 3),
        (&["undo"], "nothing.db", "not-found", 3),
        (&["index-dump"], "nothing.db", "not-found", 3),
        (&["undo"], "x.db", "no-undo", 3),
        (&["index-dump"], "x.db", "no-index", 3),
        (&["index-dump"], "text.db-shm", "not-sqlite", 3),
        (&["index-dump"], "bare.db", "no-index", 3),
        (&["blockers"], "alone.db-wal", "no-database", 3),
        (&["checkpoint-now"], "alone.db-wal", "no-database", 3),
        (&["index-rebuild"], "bare.db", "no-log", 3),
        (&["dump"], "bare.db", "no-log", 3),
        (&["dump", "--frame", "99"], "x.db", "no-page", 3),
        (&["replay", "--dry-run", "--to-txn", "99"], "x.db", "no-commit", 3),
        (&["replay", "--output", "bare.db"], "x.db", "refused", 6),
    ];
    for (args, path, kind, exit) in cases {
        let done = on(folder.path(), &[args, &["--json"]].concat(), OsStr::new(path));
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        let found = (document["error"]["kind"].as_str(), done.status.code());
        assert_eq!(found, (Some(kind), Some(exit)), "{args:?} {path}: {document:#}");
        assert!(document["error"]["file"].is_string(), "{args:?} {path}: {document:#}");
    }
    let done = on(folder.path(), &["verify-checksums", "--json"], OsStr::new("sub"));
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(document["files"][0]["error"]["kind"], "directory");
}
