//! Files that cannot be read, and files without a name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{COMMANDS, error_of};
use crate::support::{
    beside, copy, hold, oracle, prepared, release, rows, text, walsmith, walsmith_command,
    walsmith_program,
};

/// Runs a command as a user who may read only what everybody may.
fn as_nobody(program: &Path, args: &[&str]) -> (Value, i32) {
    let mut command = Command::new(program);
    let output = command.arg("--json").args(args).uid(65_534).gid(65_534).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (document, output.status.code().unwrap())
}

#[test]
fn a_sibling_that_cannot_be_read_stops_only_what_needs_it() {
    let as_root = nix::unistd::geteuid().is_root();
    let bin = tempfile::tempdir().unwrap();
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = bin.path().join("walsmith");
    fs::copy(walsmith_program(), &program).unwrap();
    for suffix in ["-shm", "", "-journal"] {
        for as_directory in [true, false] {
            if !as_directory && !as_root {
                continue;
            }
            let (folder, database) = copy("shm-current");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let wal = beside(&database, "-wal");
            let sibling = beside(&database, suffix);
            if as_directory {
                let _ = fs::remove_file(&sibling);
                fs::create_dir(&sibling).unwrap();
            } else {
                fs::OpenOptions::new().append(true).create(true).open(&sibling).unwrap();
                fs::set_permissions(&sibling, fs::Permissions::from_mode(0o000)).unwrap();
            }
            let run = |args: &[&str]| match as_directory {
                true => walsmith(args),
                false => as_nobody(&program, args),
            };
            let what = format!("{suffix:?} {as_directory}");
            for command in ["frame-list", "txn-list"] {
                assert_eq!(run(&[command, text(&wal)]).1, 0, "{what} {command}");
            }
            assert_eq!(run(&["dump", "--frame", "1", text(&wal)]).1, 0, "{what}");
            let (report, exit) = run(&["verify-checksums", text(&wal)]);
            let file = &report["files"][0];
            assert_eq!((file["verdict"].as_str(), exit), (Some("clean"), 0), "{what}: {report}");
            assert_eq!(file["unread"][0]["file"], text(&sibling), "{what}");
            let (info, exit) = run(&["info", text(&wal)]);
            assert_eq!(exit, 0, "{what}: {info}");
            let role = match suffix {
                "" => "database",
                other => &other[1..],
            };
            assert_eq!(info["unread"][0]["role"], role, "{what}");
            let why = info["unread"][0]["why"].as_str().unwrap();
            let reason = if as_directory { "a directory" } else { "denied" };
            assert!(why.contains(reason), "{what}: {why}");
            // What needs it says so.
            if suffix == "-shm" {
                for command in ["index-dump", "blockers", "checkpoint-now"] {
                    assert_eq!(run(&[command, text(&wal)]).1, 3, "{what} {command}");
                }
            }
        }
    }
}

#[test]
fn a_log_that_cannot_be_read_is_not_taken_for_none() {
    let (_folder, database) = copy("shm-current");
    let wal = beside(&database, "-wal");
    fs::remove_file(&wal).unwrap();
    fs::create_dir(&wal).unwrap();
    let (info, exit) = walsmith(&["info", text(&database)]);
    assert_eq!((info["unread"][0]["role"].as_str(), exit), (Some("wal"), 0));
    let output = walsmith_command().args(["info", text(&database)]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("Not read") && !said.contains("everything is in"), "{said}");
    let (report, _) = walsmith(&["index-dump", text(&database)]);
    assert_eq!(report["comparison"], "unread");
    for command in ["verify-checksums", "frame-list", "txn-list", "repair"] {
        assert_eq!(walsmith(&[command, text(&database)]).1, 3, "{command}");
    }
    assert_eq!(walsmith(&["replay", "--dry-run", text(&database)]).1, 3);
}

/// The place in `/proc` of a file that a process has open, by the end of its name there.
fn open_file(pid: u32, end: &str) -> PathBuf {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut places = entries.map(|entry| entry.unwrap().path());
    places.find(|place| fs::read_link(place).is_ok_and(|name| text(&name).ends_with(end))).unwrap()
}

#[test]
fn deleted_files_are_read_through_the_process_that_holds_them() {
    let (folder, database) = prepared(300, 4096);
    oracle(&["run", text(&database), "CREATE TABLE u(x); INSERT INTO u VALUES('kept')"]);
    let holder = hold("hold-read", &database);
    let pid = holder.id();
    let sql = "SELECT count(*) FROM t";
    let wanted = rows(&database, sql);
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let is_the_same = |one: &Value, two: &Value, field: &str| {
        assert_eq!(one["files"][0][field], two["files"][0][field], "{field}");
    };
    let (by_name, _) = walsmith(&["verify-checksums", text(&database)]);
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&database, suffix), beside(&kept.join("x.db"), suffix)).unwrap();
        fs::remove_file(beside(&database, suffix)).unwrap();
    }
    for end in ["x.db (deleted)", "x.db-wal (deleted)", "x.db-shm (deleted)"] {
        let place = open_file(pid, end);
        let (report, exit) = walsmith(&["verify-checksums", text(&place)]);
        assert_eq!(exit, 0, "{report}");
        ["verdict", "mx_frame", "salt1", "salt2", "transactions", "db_size_pages"]
            .iter()
            .for_each(|field| is_the_same(&report, &by_name, field));
        for args in COMMANDS {
            let (kind, message, exit) = error_of(args, &place);
            let writes = ["checkpoint-now", "index-rebuild", "undo"].contains(&args[0])
                || args.contains(&"--in-place");
            let wanted = if writes { "unsupported" } else { "" };
            assert_eq!(kind, wanted, "{args:?}: {message}");
            assert_eq!(exit, Some(if writes { 3 } else { 0 }), "{args:?}: {message}");
        }
        // Asking SQLite makes a log beside the copy, so each has a folder of its own.
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new.db");
        let args = ["replay", "--output", text(&new), text(&place)];
        let (report, exit) = walsmith(&args);
        assert_eq!(exit, 0, "{report}");
        assert_eq!(rows(&new, sql), wanted);
        assert_eq!(rows(&new, "SELECT x FROM u"), "[\"kept\"]\n");
    }
    release(holder);
}
