//! Names and arguments from outside: escaped on the terminal, whole in documents.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{LOOKING, damaged_as, on, printed, run, stdout};
use crate::support::{beside, fixtures, hold, release};

#[test]
fn nothing_from_outside_reaches_the_terminal_raw() {
    let hostile = "w\x1b]0;PWNED\x07\x1b[31mred\nline two\u{202e}.db";
    let folder = damaged_as(OsStr::new(hostile));
    // A reader whose command line is hostile: its database is named so.
    let live = damaged_as(OsStr::new(hostile));
    let database = live.path().join(hostile);
    fs::copy(fixtures().join("twenty-rows/x.db-wal"), beside(&database, "-wal")).unwrap();
    let reader = hold("hold-read", &database);
    let writing: [&[&str]; 6] = [
        &["rewind", "--to", "3", "--generation", "00000000-00000000"],
        &["replay", "--in-place"],
        &["repair", "--apply", "--in-place"],
        &["repair", "--apply", "--output", "new.db"],
        &["checkpoint-now", "--mode", "truncate"],
        &["index-rebuild"],
    ];
    let mut named = 0;
    for folder in [&folder, &live] {
        for args in LOOKING.iter().chain(&writing) {
            let missing = on(folder.path(), args, OsStr::new("no\x1b[2Jthing\n.db"));
            let done = on(folder.path(), args, OsStr::new(hostile));
            let shown = [printed(&missing), printed(&done)].concat();
            let raw = |char: char| char != '\n' && (char.is_control() || char == '\u{202e}');
            assert!(!shown.contains(raw), "{args:?}: {shown:?}");
            assert!(!shown.lines().any(|line| line.starts_with("line two")), "{args:?}: {shown}");
            named += usize::from(shown.contains("oracle h"));
        }
    }
    assert!(named >= 4, "the holder is named by blockers, checkpoint-now and refusals: {named}");
    let blockers = on(live.path(), &["blockers"], OsStr::new(hostile));
    for line in stdout(&blockers).lines() {
        assert!(line.chars().count() <= 60, "{line}");
    }
    // Programs get the text as it is.
    let done = on(live.path(), &["blockers", "--json"], OsStr::new(hostile));
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    let rows = document["blockers"].as_array().unwrap();
    let raw = |row: &Value| row["command"].as_str().is_some_and(|text| text.contains(hostile));
    assert!(rows.iter().any(raw), "{document:#}");
    release(reader);
}

#[test]
fn an_argument_that_is_no_option_is_escaped_too() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), &["info", "--\x1b]0;PWNED\x07"].map(OsStr::new));
    assert_eq!(done.status.code(), Some(2));
    assert!(!printed(&done).contains(|char: char| char != '\n' && char.is_control()));
}

/// Every path of a document that is no UTF-8: key and bytes.
fn bytes_in(value: &Value, found: &mut Vec<(String, Vec<u8>)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| match field {
            Value::String(text) if key.ends_with("path_bytes") => {
                found.push((key.clone(), STANDARD.decode(text).unwrap()));
            }
            other => bytes_in(other, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| bytes_in(item, found)),
        _ => {}
    }
}

#[test]
fn paths_that_are_no_utf8_are_in_json_as_bytes() {
    let name = OsStr::from_bytes(b"caf\xe9.db");
    let folder = damaged_as(name);
    for args in LOOKING {
        let done = on(folder.path(), &[args, &["--json"]].concat(), name);
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        let mut found = Vec::new();
        bytes_in(&document, &mut found);
        assert!(!found.is_empty(), "{args:?}: {document:#}");
        for (key, bytes) in &found {
            assert!(bytes.windows(7).any(|part| part == b"caf\xe9.db"), "{key}");
        }
        let plain = damaged_as(OsStr::new("cafe.db"));
        let done = on(plain.path(), &[args, &["--json"]].concat(), OsStr::new("cafe.db"));
        assert!(!stdout(&done).contains("path_bytes"), "{args:?}");
    }
    let done = on(folder.path(), &["frame-list", "--format", "jsonl"], name);
    let first: Value = serde_json::from_str(stdout(&done).lines().next().unwrap()).unwrap();
    let log = STANDARD.decode(first["wal_path_bytes"].as_str().unwrap()).unwrap();
    assert!(log.ends_with(b"caf\xe9.db-wal"));
}
