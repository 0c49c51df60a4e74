//! One rewind after the other, beside nobody.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fastrand::Rng;
use serde_json::json;
use tempfile::TempDir;

use super::{copied, differences, generation, rewind, rewind_accepting, rewind_in};
use crate::round_trip::judge::Judge;
use crate::round_trip::{World, is_gone, number};
use crate::shim::Shim;
use crate::support::{beside, hold_command, oracle, oracle_program, release, rows, text, walsmith};

/// A database with the log of `sql`, and nobody attached.
fn made(sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let setup = "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;";
    oracle(&["run", text(&database), &format!("{setup} {sql}")]);
    (folder, database)
}

/// Rows of some length, enough for several pages.
const FILL: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO t(x) SELECT printf('%0200d', i) FROM n;";

#[test]
fn states_of_seeded_histories_come_back() {
    let (count, first) = (number("WALSMITH_REWINDS", 12), number("WALSMITH_SEED", 1));
    let (mut judge, mut told) = (Judge::start(), Vec::new());
    let (mut done, mut gone, mut grown, mut shrunk, mut open) = (0, 0, 0, 0, 0);
    for seed in first..first + count {
        let world = World::of_seed(seed);
        let database = world.database();
        let mut random = Rng::with_seed(seed);
        // The state that each transaction of the log has made.
        let mut made: Vec<u32> = (0..=world.last).collect();
        for _ in 0..4 {
            let to = random.usize(..made.len());
            if world.last == 0 {
                break;
            }
            let (mut report, mut exit) = rewind(&database, &to.to_string());
            if exit == 6 && report["error"]["hint"].to_string().contains("--accept-foreign") {
                open += 1;
                (report, exit) = rewind_accepting(&database, &to.to_string());
            }
            let message = report["error"]["message"].as_str().unwrap_or_default();
            if exit == 6 && is_gone(message) {
                gone += 1;
                continue;
            }
            if exit != 0 {
                told.push(format!("seed {seed}, to {to}: exit {exit}: {report}"));
                break;
            }
            if to + 1 == made.len() {
                assert_eq!((&report["made"], &report["written_pages"]), (&json!(null), &json!(0)));
                continue;
            }
            assert_eq!(report["made"]["txn"], json!(made.len()), "seed {seed}: {report}");
            grown += u32::from(
                report["db_size_pages"].as_u64() > report["db_size_pages_before"].as_u64(),
            );
            shrunk += u32::from(
                report["db_size_pages"].as_u64() < report["db_size_pages_before"].as_u64(),
            );
            let found = differences(&mut judge, &database, &world.state(made[to]));
            if !found.is_empty() {
                told.push(format!("seed {seed}, to {to}: {}", found.join("; ")));
                break;
            }
            made.push(made[to]);
            done += 1;
        }
    }
    println!(
        "{done} rewinds, {grown} of them to a larger state and {shrunk} to a smaller, {open} with \
         consent; {gone} gone"
    );
    told.truncate(3);
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(done > 0 && grown > 0 && shrunk > 0);
}

#[test]
fn a_rewind_is_taken_back_by_the_command_that_it_prints() {
    let (_folder, database) = made(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x); {FILL} UPDATE t SET x = 'wrong';
         CREATE TABLE u(y); INSERT INTO u VALUES(1);"
    ));
    let before = rows(&database, "SELECT id, x FROM t");
    let (report, exit) = rewind(&database, "2");
    assert_eq!(exit, 0, "{report}");
    assert_eq!(rows(&database, "SELECT count(*) FROM t WHERE x = 'wrong'"), "[0]\n");
    let next = report["next"].as_str().unwrap();
    let words: Vec<&str> = next.split(' ').skip(1).collect();
    let wanted = ["rewind", text(&database), "--to", "5", "--generation", &generation(&database)];
    assert_eq!(words, wanted);
    let (back, exit) = walsmith(&words);
    assert_eq!((exit, &back["made"]["txn"]), (0, &json!(7)), "{back}");
    assert_eq!(rows(&database, "SELECT id, x FROM t"), before);
    assert_eq!(rows(&database, "SELECT y FROM u"), "[1]\n");
    // What goes and what comes back are the same rows.
    let counts = |report: &serde_json::Value, name: &str| {
        let tables = report["takes_back"]["tables"].as_array().unwrap();
        let table = tables.iter().find(|table| table["name"] == name).unwrap();
        ["inserted", "updated", "deleted"].map(|key| table[key].as_u64().unwrap())
    };
    assert_eq!([counts(&report, "t"), counts(&back, "t")], [[0, 200, 0]; 2]);
    assert_eq!([counts(&report, "u"), counts(&back, "u")], [[0, 0, 1], [1, 0, 0]]);
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
}

#[test]
fn a_dry_run_says_the_same_and_changes_no_byte() {
    let (folder, database) = made(&format!("CREATE TABLE t(x); {FILL} DELETE FROM t;"));
    let files = || {
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let (forecast, exit) = rewind_in(&database, "2", &generation(&database), &["--dry-run"]);
    assert_eq!(exit, 0, "{forecast}");
    assert_eq!(files(), before);
    let (report, _) = rewind(&database, "2");
    for key in ["from", "to", "written_pages", "db_size_pages", "takes_back"] {
        assert_eq!(forecast[key], report[key], "{key}");
    }
    assert_eq!(forecast["made"], json!(null));
    assert_ne!(files(), before);
}

/// After VACUUM has cut the file off and it has grown again, pages of before are not where an
/// unchanged frame of the log would say that they are.
#[test]
fn pages_that_were_cut_off_in_between_come_back() {
    for pragma in ["", "PRAGMA auto_vacuum=FULL;", "PRAGMA auto_vacuum=INCREMENTAL;"] {
        let (_folder, database) = made(&format!(
            "{pragma} CREATE TABLE t(id INTEGER PRIMARY KEY, x); {FILL}
             CREATE TABLE u(y); INSERT INTO u VALUES(zeroblob(30000));"
        ));
        let (kept, wanted) = copied(&database);
        oracle(&["run", text(&wanted), "PRAGMA wal_checkpoint(TRUNCATE)"]);
        let sql = format!(
            "PRAGMA wal_autocheckpoint=0; DELETE FROM t WHERE id % 2; DROP TABLE u; VACUUM;
             PRAGMA incremental_vacuum; CREATE TABLE v(z); {FILL} DELETE FROM t WHERE id > 250;
             INSERT INTO v VALUES(zeroblob(90000)); DELETE FROM v; CREATE TABLE w(a);"
        );
        oracle(&["run", text(&database), &sql]);
        let (report, exit) = rewind(&database, "4");
        assert_eq!(exit, 0, "{report}");
        assert_eq!(differences(&mut Judge::start(), &database, &wanted), [""; 0], "{pragma}");
        drop(kept);
    }
}

#[test]
fn auto_vacuum_that_was_switched_on_is_off_again() {
    let (_folder, database) = made(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x); {FILL} PRAGMA auto_vacuum=FULL; VACUUM;
         DELETE FROM t WHERE id % 3 = 1;"
    ));
    assert_eq!(rows(&database, "PRAGMA auto_vacuum"), "[1]\n");
    let (report, exit) = rewind(&database, "2");
    assert_eq!(exit, 0, "{report}");
    assert_eq!(rows(&database, "PRAGMA auto_vacuum"), "[0]\n");
    assert_eq!(rows(&database, "SELECT count(*), count(x) FROM t"), "[200,200]\n");
    let next = report["from"]["txn"].to_string();
    rewind(&database, &next);
    assert_eq!(rows(&database, "PRAGMA auto_vacuum"), "[1]\n");
    oracle(&["run", text(&database), &format!("{FILL} DELETE FROM t WHERE id % 2")]);
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
}

#[test]
fn counters_go_on_and_settings_go_back() {
    let (_folder, database) = made(
        "CREATE TABLE t(x); PRAGMA user_version=7; PRAGMA user_version=8;
         PRAGMA schema_version=900; PRAGMA schema_version=20; CREATE TABLE u(y);",
    );
    let header = |frame: u32| {
        let log = fs::read(beside(&database, "-wal")).unwrap();
        let at = 32 + (frame as usize - 1) * 536 + 24;
        let word = |offset: usize| {
            u32::from_be_bytes(log[at + offset..at + offset + 4].try_into().unwrap())
        };
        [24, 28, 40, 92, 96].map(word)
    };
    let before = walsmith(&["txn-list", text(&database)]).0;
    let last = before["transactions"].as_array().unwrap().last().unwrap()["first_frame"].clone();
    let newest = header(u32::try_from(last.as_u64().unwrap()).unwrap());
    let (report, exit) = rewind(&database, "2");
    assert_eq!(exit, 0, "{report}");
    let first = report["from"]["frame"].as_u64().unwrap() + 1;
    let [counter, pages, cookie, valid_for, version] = header(u32::try_from(first).unwrap());
    // One cookie was 900 in between: a connection may still have the schema of that time.
    assert_eq!((counter, valid_for, version), (newest[0] + 1, newest[0] + 1, newest[4]));
    assert_eq!((u64::from(pages), cookie), (report["db_size_pages"].as_u64().unwrap(), 901));
    assert_eq!(rows(&database, "PRAGMA user_version"), "[7]\n");
    assert_eq!(rows(&database, "PRAGMA schema_version"), "[901]\n");
}

/// The log is copied whole: a writer of SQLite's would begin it again, and the way back would be
/// gone with it.
#[test]
fn a_log_that_is_copied_whole_is_not_begun_again() {
    for is_attached in [false, true] {
        let (_folder, database) = made(&format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x); {FILL} UPDATE t SET x = 'a';
             UPDATE t SET x = 'b';"
        ));
        // Where somebody keeps the wal-index, it knows that everything is copied.
        let mut command = Command::new(oracle_program());
        command.args(["hold-sql", text(&database), "SELECT 1"]);
        let holder = is_attached.then(|| hold_command(command));
        rows(&database, "PRAGMA wal_checkpoint(PASSIVE)");
        let before = generation(&database);
        let (report, exit) = rewind(&database, "3");
        assert_eq!(exit, 0, "{report}");
        assert_eq!(generation(&database), before);
        assert_eq!(rows(&database, "SELECT DISTINCT x FROM t"), "[\"a\"]\n");
        let (back, exit) = rewind(&database, "4");
        assert_eq!(exit, 0, "{back}");
        assert_eq!(rows(&database, "SELECT DISTINCT x FROM t"), "[\"b\"]\n");
        // Before the log, every page was another one.
        let (refused, exit) = rewind(&database, "0");
        assert_eq!((exit, &refused["error"]["kind"]), (6, &json!("refused")), "{refused}");
        assert!(is_gone(refused["error"]["message"].as_str().unwrap()), "{refused}");
        assert_eq!(rows(&database, "SELECT DISTINCT x FROM t"), "[\"b\"]\n");
        assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
        if let Some(holder) = holder {
            release(holder);
        }
    }
}

#[test]
fn leaves_of_the_freelist_are_not_written() {
    let (_folder, database) =
        made(&format!("CREATE TABLE t(x); {FILL} DELETE FROM t; {FILL} CREATE TABLE u(y);"));
    let (report, exit) = rewind(&database, "3");
    assert_eq!(exit, 0, "{report}");
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    let free: u64 =
        rows(&database, "PRAGMA freelist_count").trim().trim_matches(['[', ']']).parse().unwrap();
    assert!(free > 60, "{free}");
    assert!(report["written_pages"].as_u64().unwrap() < 10, "{report}");
}

/// The sums of cksumvfs are only in the file: what is written into the log is as its application
/// writes it.
#[test]
fn a_database_with_page_checksums_is_right_for_its_application_afterwards() {
    let shim = Shim(Some("cksumvfs"));
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); {FILL}
         PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET x = 'right' WHERE rowid % 2;"
    );
    shim.and_die(&["run-reserving", text(&database), "8", &sql]);
    let (_kept, wanted) = copied(&database);
    let sql = format!("PRAGMA wal_autocheckpoint=0; DELETE FROM t; CREATE TABLE u(y); {FILL}");
    shim.and_die(&["run-reserving", text(&database), "8", &sql]);
    let (report, exit) = rewind(&database, "1");
    assert_eq!(exit, 0, "{report}");
    for checkpoint in ["theirs", "ours"] {
        let (_folder, copy) = copied(&database);
        match checkpoint {
            "theirs" => drop(shim.oracle(&["checkpoint", text(&copy), "TRUNCATE"])),
            _ => assert_eq!(walsmith(&["checkpoint-now", text(&copy), "-m", "truncate"]).1, 0),
        }
        let pages = fs::metadata(&copy).unwrap().len() / 4096;
        assert_eq!(shim.oracle(&["verify", text(&copy)]), format!("[[1,{pages}]]\n"));
        assert_eq!(shim.contents(&copy), shim.contents(&wanted), "{checkpoint}");
    }
}

#[test]
fn a_repeated_rewind_is_one_more_transaction() {
    let (_folder, database) = made(&format!("CREATE TABLE t(x); {FILL} DELETE FROM t;"));
    for made in [4, 5, 6] {
        let (report, exit) = rewind(&database, "2");
        assert_eq!((exit, &report["made"]["txn"]), (0, &json!(made)), "{report}");
        assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[200]\n");
    }
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
}
