//! `repair` on the way to its result: whom it refuses, what it leaves when it is killed or cannot
//! write, and that in place gives what a new file has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    and_die, beside, copy, hold, oracle, oracle_program, release, rows, text, walsmith,
    walsmith_program,
};

#[test]
fn an_abandoned_history_is_not_taken_and_not_called_lossless() {
    let (_folder, database) = copy("abandoned-history");
    let output = database.with_extension("new");
    let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
    let (report, exit) = walsmith(&apply);
    assert_eq!((report["lossless"].as_bool(), exit), (Some(false), 6), "{report:#}");
    let (report, exit) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
    assert_eq!((report["applied"].as_bool(), exit), (Some(true), 1));
    // What SQLite sees, and nothing of the other history.
    let ours = rows(&output, "SELECT * FROM t");
    assert_eq!(ours, rows(&database, "SELECT * FROM t"));
}

/// Nobody knows which page a frame was to write of which nothing is left. Where later transactions
/// wrote every page again between its neighbours, the newest state is whole all the same.
#[test]
fn a_frame_without_a_name_does_not_take_the_later_transactions_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let update = "UPDATE t SET x = randomblob(900);".repeat(4);
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
         INSERT INTO t SELECT i, randomblob(900) FROM n; {update}"
    );
    and_die(&["write-and-die", text(&database), &sql]);
    let path = beside(&database, "-wal");
    let whole = folder.path().join("whole.db");
    assert_eq!(walsmith(&["replay", text(&database), "--output", text(&whole)]).1, 0);
    let (wal, truth) = (fs::read(&path).unwrap(), fs::read(&whole).unwrap());
    let (list, _) = walsmith(&["frame-list", text(&path)]);
    let commits: Vec<usize> = (1..)
        .zip(list["frames"].as_array().unwrap())
        .filter(|(_, frame)| frame["commit_size_pages"].as_u64().is_some_and(|size| size > 0))
        .map(|(frame, _)| frame)
        .collect();
    let [.., third, fourth, last] = commits.as_slice() else { panic!("{commits:?}") };
    for (lost, is_whole) in [(third + 3, true), (fourth + 3, false)] {
        assert!(lost < *last);
        let mut harmed = wal.clone();
        let mut rng = fastrand::Rng::with_seed(13);
        let slot = 32 + (lost - 1) * 4120;
        harmed[slot..slot + 4120].fill_with(|| rng.u8(..));
        fs::write(&path, &harmed).unwrap();
        let output = folder.path().join(format!("{lost}.db"));
        let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
        let (report, exit) = walsmith(&apply);
        assert_eq!((report["lossless"].as_bool(), exit), (Some(false), 6), "{report:#}");
        let (report, exit) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
        assert_eq!((exit, report["lost"]["rows_are_exact"].as_bool()), (1, Some(false)));
        let step = report["plan"].as_array().unwrap().last().unwrap();
        assert_eq!(
            (step["action"].as_str(), step["lossless"].as_bool()),
            (Some("take-old-pages"), Some(false))
        );
        let gains = step["gains"].as_str().unwrap();
        // What the frame after the lost one follows from is lost with it.
        assert_eq!(gains, "the newest state; up to 2 pages of it may be older");
        assert_eq!(fs::read(&output).unwrap() == truth, is_whole, "frame {lost}");
        assert_eq!(rows(&output, "PRAGMA integrity_check"), "[\"ok\"]\n");
    }
}

#[test]
fn a_database_in_use_is_refused_and_its_user_is_named() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    let output = database.with_extension("new");
    let (report, exit) =
        walsmith(&["repair", text(&database), "--apply", "--output", text(&output)]);
    let message = report["error"]["message"].as_str().unwrap();
    assert!(exit == 6 && message.contains(&reader.id().to_string()), "{report:#}");
    assert!(!output.exists());
    release(reader);
    // A plan may be asked for at any time.
    assert_eq!(walsmith(&["repair", text(&database)]).1, 0);
}

/// A private copy of a fixture with one page image damaged in the middle of its log.
fn damaged() -> (tempfile::TempDir, PathBuf) {
    let (folder, database) = copy("twenty-rows");
    let path = beside(&database, "-wal");
    let mut wal = fs::read(&path).unwrap();
    let half = 32 + 10 * 4120 + 24 + 4000;
    wal[half..half + 4].copy_from_slice(&[1, 2, 3, 4]);
    fs::write(path, wal).unwrap();
    (folder, database)
}

/// Every file beside a database, with its bytes.
fn all_files(database: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(database.parent().unwrap()).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn a_repair_killed_at_any_call_leaves_the_inputs_and_no_half_output() {
    let (_folder, database) = damaged();
    let (before, output) = (all_files(&database), database.with_extension("new"));
    let args = ["repair", text(&database), "--apply", "--output", text(&output)];
    assert_eq!(walsmith(&args).1, 0);
    let whole = fs::read(&output).unwrap();
    let args = ["repair", "DB", "--apply", "--output", "NEW"];
    let kills = crate::kill::everywhere(&walsmith_program(), damaged, &args, |database, _| {
        let mut now = all_files(database);
        let output = now.remove(&database.with_extension("new"));
        assert!(output.is_none_or(|bytes| bytes == whole));
        let bytes = |files: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<Vec<u8>> {
            files.values().cloned().collect()
        };
        assert!(bytes(&now) == bytes(&before), "{:?}", now.keys());
    });
    println!("{kills} kills of a repair");
    assert!(kills > 40, "{kills}");
}

#[test]
fn what_cannot_be_written_is_a_clear_error_and_leaves_everything_as_it_was() {
    let (_folder, database) = damaged();
    let before = all_files(&database);
    let run = |output: &str, inject: &[&str]| -> (String, Option<i32>) {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null"]).args(inject).arg(walsmith_program());
        command.args(["repair", text(&database), "--apply", "--output", output]);
        let done = command.output().unwrap();
        (String::from_utf8(done.stderr).unwrap(), done.status.code())
    };
    let (new, wal) = (database.with_extension("new"), beside(&database, "-wal"));
    let full = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC:when=2+"];
    let cases = [
        (text(&new), &full[..], 3, "No space left"),
        ("/proc/walsmith.db", &[], 3, "/proc/walsmith.db"),
        ("/nowhere/at/all.db", &[], 3, "/nowhere/at/all.db"),
        (text(&database), &[], 6, "it is an input"),
        (text(&wal), &[], 6, "it is an input"),
    ];
    for (output, inject, code, words) in cases {
        let (message, exit) = run(output, inject);
        assert!(exit == Some(code) && message.contains(words), "{output}: {exit:?} {message}");
        assert_eq!(all_files(&database), before, "{output}");
    }
}

/// A directory that may not be written, also where the tests run as root: then it is somebody else
/// who runs the command.
#[test]
fn a_read_only_directory_is_a_clear_error_and_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, database) = damaged();
    let program = folder.path().join("walsmith");
    fs::copy(walsmith_program(), &program).unwrap();
    let before = all_files(&database);
    let permit = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode));
    for path in before.keys() {
        let mode = if *path == program { 0o555 } else { 0o444 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    permit(0o555).unwrap();
    let (new, is_root) = (database.with_extension("new"), nix::unistd::Uid::effective().is_root());
    let cases: [(&[&str], i32, &str); 3] = [
        (&["--output", text(&new)], 3, text(&new)),
        (&["--in-place"], 6, text(&database)),
        (&[], 1, ""),
    ];
    for (target, code, words) in cases {
        let mut command = if is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(["repair", text(&database)]);
        if !target.is_empty() {
            command.arg("--apply").args(target);
        }
        let done = command.output().unwrap();
        let message = String::from_utf8(done.stderr).unwrap();
        let exit = done.status.code();
        assert!(exit == Some(code) && message.contains(words), "{target:?}: {exit:?} {message}");
        assert!(all_files(&database) == before, "{target:?}");
    }
    permit(0o755).unwrap();
}

#[test]
fn in_place_gives_what_a_new_file_has_and_undo_gives_it_back() {
    let (_folder, database) = damaged();
    let (before, output) = (all_files(&database), database.with_extension("new"));
    let apply = ["repair", text(&database), "--apply"];
    assert_eq!(walsmith(&[&apply[..], &["--output", text(&output)]].concat()).1, 0);
    let whole = fs::read(&output).unwrap();
    fs::remove_file(&output).unwrap();
    let (report, exit) = walsmith(&[&apply[..], &["--in-place"]].concat());
    assert_eq!((report["applied"].as_bool(), exit), (Some(true), 0), "{report:#}");
    assert!(fs::read(&database).unwrap() == whole && !beside(&database, "-wal").exists());
    // A second run has nothing to do, and keeps the way back.
    let (report, exit) = walsmith(&[&apply[..], &["--in-place"]].concat());
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6), "{report:#}");
    let (report, exit) = walsmith(&["undo", text(&database), "--list"]);
    assert_eq!((report["set"]["stage"].as_str(), exit), (Some("done"), 0));
    assert_eq!(walsmith(&["undo", text(&database)]).1, 0);
    assert_eq!(all_files(&database), before);
    assert_eq!(walsmith(&["undo", text(&database)]).1, 3, "there is no set any more");
}

#[test]
fn an_orphaned_index_is_removed_and_an_emptied_database_has_a_way_out() {
    let (folder, database) = copy("twenty-rows");
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let shm = beside(&database, "-shm");
    fs::write(&shm, vec![7; 32_768]).unwrap();
    let (report, exit) = walsmith(&["repair", text(&database)]);
    assert_eq!((report["plan"][0]["action"].as_str(), exit), (Some("remove-index"), 0));
    let (report, exit) = walsmith(&["repair", text(&database), "--apply", "--in-place"]);
    assert_eq!(
        (report["applied"].as_bool(), report["undo"].is_null(), exit),
        (Some(true), true, 0)
    );
    assert!(!shm.exists());
    drop(folder);
    // SQLite would delete the log of an empty database.
    let (_folder, database) = copy("twenty-rows");
    fs::write(&database, []).unwrap();
    let output = database.with_extension("new");
    let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
    let (report, exit) = walsmith(&apply);
    let hint = report["error"]["hint"].as_str().unwrap();
    assert!(exit == 6 && hint.contains("--base none --output "), "{report:#}");
}

#[test]
fn commands_that_write_in_place_name_who_is_attached() {
    let (_folder, database) = damaged();
    // SQLite would drop the damaged log: this one attaches before the damage is there.
    let (_other, live) = copy("twenty-rows");
    let reader = hold("hold-read", &live);
    fs::copy(beside(&database, "-wal"), beside(&live, "-wal")).unwrap();
    let before = fs::read(beside(&live, "-wal")).unwrap();
    let new = live.with_extension("new");
    let commands: [&[&str]; 5] = [
        &["repair", text(&live), "--apply", "--in-place"],
        &["repair", text(&live), "--apply", "--output", text(&new)],
        &["replay", text(&live), "--in-place", "--accept-loss"],
        &["undo", text(&live)],
        &["undo", text(&live), "--discard"],
    ];
    // An undo set, so that undo has something to do.
    fs::write(beside(&live, "-walsmith-undo-wal"), "kept").unwrap();
    for args in commands {
        let (report, exit) = walsmith(args);
        let message = report["error"]["message"].as_str().unwrap_or_default();
        assert!(exit == 6 && message.contains(&reader.id().to_string()), "{args:?} {report:#}");
        assert_eq!(fs::read(beside(&live, "-wal")).unwrap(), before);
    }
    release(reader);
}

#[test]
fn a_hot_journal_is_rolled_back_as_sqlite_does_it() {
    for page_bytes in [512_u32, 4096] {
        for sync in ["OFF", "FULL"] {
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("x.db");
            let args = ["hot-journal", text(&database), &page_bytes.to_string(), sync];
            let died = Command::new(oracle_program()).args(args).output().unwrap();
            assert!(!died.status.success());
            let (plan, exit) = walsmith(&["repair", text(&database)]);
            let hot = exit == 1;
            assert_eq!(hot, plan["plan"][0]["action"] == "roll-back-journal", "{plan:#}");
            // SQLite rolls a copy back.
            let theirs = folder.path().join("theirs.db");
            fs::copy(&database, &theirs).unwrap();
            fs::copy(beside(&database, "-journal"), beside(&theirs, "-journal")).unwrap();
            rows(&theirs, "PRAGMA schema_version");
            let output = folder.path().join("new.db");
            let apply = ["repair", text(&database), "--apply"];
            let (report, exit) = walsmith(&[&apply[..], &["--output", text(&output)]].concat());
            // The sums of a journal are over one byte of 200: they prove no page.
            let lossless = if hot { None } else { Some(true) };
            assert_eq!((report["lossless"].as_bool(), exit), (lossless, 0), "{report:#}");
            assert!(fs::read(&output).unwrap() == fs::read(&theirs).unwrap());
            let before = all_files(&database);
            let (report, exit) = walsmith(&[&apply[..], &["--in-place"]].concat());
            assert_eq!((report["applied"].as_bool(), exit), (Some(hot), 0), "{report:#}");
            assert!(fs::read(&database).unwrap() == fs::read(&theirs).unwrap());
            if hot {
                assert!(!beside(&database, "-journal").exists());
                assert_eq!(walsmith(&["undo", text(&database)]).1, 0);
                assert_eq!(all_files(&database), before);
            }
        }
    }
}

/// What an application has written since, elsewhere in the file, is no part of the old state: the
/// old pages beside it are none that ever was.
#[test]
fn undo_is_refused_where_sqlite_has_written_other_pages_since() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
        CREATE TABLE u(a, b); CREATE INDEX ub ON u(b); INSERT INTO u VALUES(1, 1), (2, 2);
        PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES(1); UPDATE u SET a = a + 1;";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    fs::remove_file(beside(&database, "-shm")).unwrap();
    for (later, exit) in [("SELECT count(*) FROM u", 0), ("UPDATE u SET b = b + 100", 6)] {
        let copy = tempfile::tempdir().unwrap();
        let own = copy.path().join("x.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&database, suffix), beside(&own, suffix)).unwrap();
        }
        // So short a log does not tell whether the file is of a later time.
        let replay = ["replay", text(&own), "--at", "1", "--in-place", "--accept-foreign"];
        assert_eq!(walsmith(&replay).1, 5);
        // Within one tick of the clock of the file system it would be the same time.
        std::thread::sleep(std::time::Duration::from_millis(50));
        oracle(&["run", text(&own), &format!("{later}; PRAGMA wal_checkpoint(TRUNCATE)")]);
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&own, suffix));
        }
        let before = fs::read(&own).unwrap();
        let (report, found) = walsmith(&["undo", text(&own)]);
        assert_eq!(found, exit, "{later}: {report}");
        assert_eq!(fs::read(&own).unwrap() == before, exit == 6, "{later}: {report}");
        assert_eq!(rows(&own, "PRAGMA integrity_check"), "[\"ok\"]\n", "{later}");
    }
}
