//! `replay` and `undo` through the binary, judged by real SQLite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Oracle, Sight, beside, copy, hold, names, oracle_program, read, rows};

fn walsmith(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_walsmith")).args(args).output().unwrap()
}

fn run(args: &[&str], path: &Path) -> (Value, i32) {
    let output = walsmith(&[args, &["--json", path.to_str().unwrap()]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {stderr}"));
    (document, output.status.code().unwrap())
}

fn replay_to(args: &[&str], path: &Path, output: &Path) -> (Value, i32) {
    run(&[&["replay", "--output", output.to_str().unwrap()], args].concat(), path)
}

fn see(path: &Path) -> Sight {
    let sight = Oracle::start().see(path);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(path, suffix));
    }
    sight
}

fn integrity(path: &Path) -> String {
    rows(path, "PRAGMA integrity_check").trim().to_owned()
}

fn entries(folder: &TempDir) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[test]
fn the_new_file_is_what_sqlite_sees_on_every_fixture() {
    for name in names() {
        let (folder, database) = copy(&name);
        let (before, wal) = read(&name);
        let seen = Oracle::start().see_bytes(&before, &wal);
        let output = folder.path().join("new.db");
        let (report, exit) = replay_to(&["--accept-loss"], &database, &output);
        // The index of shm-leftover knows more than the log has.
        let damaged =
            ["abandoned-history", "damaged-after-checkpoint", "savepoint-spill", "shm-leftover"]
                .contains(&&*name);
        assert_eq!(exit, i32::from(damaged), "{name}: {report:#}");
        assert_eq!(see(&output).pages, seen.pages, "{name}");
        assert_eq!(
            (fs::read(&database).unwrap(), fs::read(beside(&database, "-wal")).unwrap()),
            (before, wal)
        );
    }
}

#[test]
fn every_past_transaction_can_be_had() {
    let (folder, database) = copy("twenty-rows");
    for txn in 0..=20 {
        let output = folder.path().join(format!("{txn}.db"));
        let (report, exit) = replay_to(&["--to-txn", &txn.to_string()], &database, &output);
        assert_eq!(exit, 0, "{report:#}");
        assert_eq!(rows(&output, "SELECT count(*) FROM t").trim(), format!("[{txn}]"));
        assert_eq!(integrity(&output), r#"["ok"]"#);
    }
    let beyond = folder.path().join("21.db");
    let (report, exit) = replay_to(&["--to-txn", "21"], &database, &beyond);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("no-commit"), 3));
    assert!(!beyond.exists());
}

#[test]
fn a_frame_that_commits_nothing_is_no_target() {
    let (folder, database) = copy("page-512");
    let output = folder.path().join("new.db");
    let (report, exit) = replay_to(&["--to-frame", "1"], &database, &output);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("no-commit"), 3));
}

#[test]
fn a_past_that_was_checkpointed_over_is_refused() {
    let (folder, database) = copy("twenty-rows");
    let output = folder.path().join("new.db");
    assert_eq!(replay_to(&["--to-txn", "0"], &database, &output).1, 0);
    let checkpoint =
        Command::new(oracle_program()).arg("checkpoint").arg(&database).arg("PASSIVE").output();
    assert!(checkpoint.unwrap().status.success());
    for keep_index in [true, false] {
        if !keep_index {
            fs::remove_file(beside(&database, "-shm")).unwrap();
        }
        let late = folder.path().join("late.db");
        let (report, exit) = replay_to(&["--to-txn", "0"], &database, &late);
        assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6), "{report:#}");
        assert!(!late.exists());
        // Transaction 3 wrote the page that matters, so its state is still all there.
        assert_eq!(replay_to(&["--to-txn", "3"], &database, &late).1, 0);
        assert_eq!(rows(&late, "SELECT count(*) FROM t").trim(), "[3]");
        fs::remove_file(&late).unwrap();
        let _ = fs::remove_file(beside(&late, "-wal"));
        let _ = fs::remove_file(beside(&late, "-shm"));
    }
}

#[test]
fn in_place_and_undo_give_back_every_byte() {
    for name in ["twenty-rows", "vacuum-shrink", "one-page-database", "shm-current", "big-endian"] {
        let (folder, database) = copy(name);
        let (before, wal) = read(name);
        let seen = Oracle::start().see_bytes(&before, &wal);
        let (report, exit) = run(&["replay", "--in-place"], &database);
        assert_eq!(exit, 0, "{name}: {report:#}");
        assert!(!beside(&database, "-wal").exists() && !beside(&database, "-shm").exists());
        assert_eq!(see(&database).pages, seen.pages, "{name}");
        // A second run would overwrite the undo set.
        fs::write(beside(&database, "-wal"), &wal).unwrap();
        let (report, exit) = run(&["replay", "--in-place"], &database);
        assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6));
        fs::remove_file(beside(&database, "-wal")).unwrap();
        assert_eq!(run(&["undo"], &database).1, 0);
        assert_eq!(
            (fs::read(&database).unwrap(), fs::read(beside(&database, "-wal")).unwrap()),
            (before, wal)
        );
        assert_eq!(entries(&folder), [database.clone(), beside(&database, "-wal")]);
    }
}

#[test]
fn in_place_is_refused_beside_a_running_sqlite_and_names_it() {
    let (folder, database) = copy("twenty-rows");
    for action in ["hold-read", "hold-write"] {
        let mut holder = hold(action, &database);
        let (report, exit) = run(&["replay", "--in-place"], &database);
        assert_eq!((report["error"]["kind"].as_str(), exit), (Some("attached"), 6));
        let message = report["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("process {}", holder.id())), "{message}");
        // A copy is safe, also of an older state as long as nothing was checkpointed.
        let output = folder.path().join(format!("{action}.db"));
        assert_eq!(replay_to(&[], &database, &output).1, 0);
        assert_eq!(rows(&output, "SELECT count(*) FROM t").trim(), "[20]");
        let past = folder.path().join(format!("{action}-past.db"));
        assert_eq!(replay_to(&["--to-txn", "4"], &database, &past).1, 0);
        assert_eq!(rows(&past, "SELECT count(*) FROM t").trim(), "[4]");
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
}

#[test]
fn rails_refuse_and_leave_no_trace() {
    let (folder, database) = copy("page-4096");
    let wal = beside(&database, "-wal");
    let there = folder.path().join("there.db");
    fs::write(&there, b"precious").unwrap();
    let before = entries(&folder);
    for output in
        [&database, &wal, &beside(&database, "-shm"), &beside(&database, "-journal"), &there]
    {
        let (report, exit) = replay_to(&[], &database, output);
        assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6));
    }
    let nowhere = folder.path().join("no/such/folder.db");
    assert_eq!(replay_to(&[], &database, &nowhere).1, 3);
    assert_eq!(run(&["replay", "--dry-run"], &database).1, 0);
    assert_eq!(entries(&folder), before);
    assert_eq!(fs::read(&there).unwrap(), b"precious");
    assert_eq!(replay_to(&["--force"], &database, &there).1, 0);
    assert_eq!(integrity(&there), r#"["ok"]"#);
    assert_eq!(walsmith(&["replay", database.to_str().unwrap()]).status.code(), Some(2));
}

#[test]
fn a_damaged_log_needs_consent() {
    let (folder, database) = copy("abandoned-history");
    let output = folder.path().join("new.db");
    let (report, exit) = replay_to(&[], &database, &output);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6));
    assert!(report["error"]["hint"].as_str().unwrap().contains("--accept-loss"));
    assert!(!output.exists());
}

#[test]
fn a_wrong_version_is_nothing_even_with_consent() {
    let (folder, database) = copy("page-512");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let mut header = walsmith::format::WalHeader::decode(bytes.first_chunk().unwrap());
    header.format_version += 1;
    header.checksum = header.computed_checksum();
    bytes[..32].copy_from_slice(&header.encode());
    fs::write(&wal, bytes).unwrap();
    let output = folder.path().join("new.db");
    assert_eq!(replay_to(&["--accept-loss"], &database, &output).1, 3);
}

#[test]
fn an_emptied_database_is_rebuilt_from_a_log_that_holds_every_page() {
    let (folder, database) = copy("one-page-database");
    let (bytes, wal) = read("one-page-database");
    let seen = Oracle::start().see_bytes(&bytes, &wal);
    fs::write(&database, b"").unwrap();
    let output = folder.path().join("new.db");
    let (report, exit) = replay_to(&[], &database, &output);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6));
    assert_eq!(replay_to(&["--base", "none"], &database, &output).1, 0);
    assert_eq!(see(&output).pages, seen.pages);
    let (folder, database) = copy("twenty-rows");
    let output = folder.path().join("new.db");
    let (report, exit) = replay_to(&["--base", "none"], &database, &output);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("unsupported"), 3));
}

#[test]
fn a_log_of_another_page_size_is_refused() {
    let (folder, database) = copy("twenty-rows");
    let (_, wal) = read("reused");
    fs::write(beside(&database, "-wal"), wal).unwrap();
    let output = folder.path().join("new.db");
    let (report, exit) = replay_to(&[], &database, &output);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("unsupported"), 3), "{report:#}");
}

#[test]
fn a_hot_journal_is_refused() {
    let (folder, database) = copy("page-512");
    fs::write(beside(&database, "-journal"), b"\xd9\xd5\x05\xf9 a journal").unwrap();
    let output = folder.path().join("new.db");
    assert_eq!(replay_to(&[], &database, &output).1, 6);
    assert_eq!(run(&["replay", "--in-place"], &database).1, 6);
    fs::write(beside(&database, "-journal"), [0; 40]).unwrap();
    assert_eq!(replay_to(&[], &database, &output).1, 0);
}

#[test]
fn in_place_takes_only_the_log_of_the_database() {
    let (_folder, database) = copy("twenty-rows");
    let (_other_folder, other) = copy("twenty-rows");
    let other_log = beside(&other, "-wal");
    let args = ["replay", "--in-place", "--wal", other_log.to_str().unwrap()];
    let (report, exit) = run(&args, &database);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6));
}

#[test]
fn a_commit_that_grows_beyond_what_the_log_can_hold_is_refused() {
    let (folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let header = walsmith::format::WalHeader::decode(bytes.first_chunk().unwrap());
    let (head, image) = bytes[32..32 + 4120].split_first_chunk_mut::<24>().unwrap();
    let mut frame = walsmith::format::FrameHeader::decode(head);
    frame.commit_size_pages = 100_000;
    frame.checksum = frame.sum_from(header.checksum, header.byte_order(), image);
    *head = frame.encode();
    bytes.truncate(32 + 4120);
    fs::write(&wal, bytes).unwrap();
    let output = folder.path().join("new.db");
    for options in [&[][..], &["--accept-loss"]] {
        let (report, exit) = replay_to(options, &database, &output);
        assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6));
    }
    assert!(!output.exists());
}
