//! What each command writes has its checksums.

use std::fs;

use super::{SETUP, SHIM, copy, every_page_is_right, files, flip_on_page_1, made, setup};
use crate::shim::Shim;
use crate::support::{beside, release, text, walsmith};

#[test]
fn a_checkpoint_in_every_mode_gives_pages_their_checksums() {
    for page_bytes in [512, 4096, 65_536] {
        for flipped in [false, true] {
            let (_made, original) = made(page_bytes);
            let wanted = SHIM.contents(&copy(&original).1);
            for mode in ["noop", "passive", "full", "restart", "truncate", "removed"] {
                let (_folder, database) = copy(&original);
                if flipped {
                    flip_on_page_1(&database);
                }
                let before = fs::read(&database).unwrap();
                let mode_args: &[&str] =
                    if mode == "removed" { &["--remove-files"] } else { &["--mode", mode] };
                let args = [&["checkpoint-now", text(&database)], mode_args].concat();
                let (done, exit) = walsmith(&args);
                let why = format!("{page_bytes} {flipped} {mode}: {done:#}");
                assert_eq!(exit, 0, "{why}");
                if mode == "noop" {
                    assert!(fs::read(&database).unwrap() == before, "{why}");
                    continue;
                }
                every_page_is_right(&database, &why);
                assert_eq!(SHIM.contents(&database), wanted, "{why}");
            }
        }
    }
}

#[test]
fn a_checkpoint_beside_a_running_application_does_so_too() {
    let (_folder, database) = made(4096);
    let holder = SHIM.hold("hold-read", &database);
    let (done, exit) = walsmith(&["checkpoint-now", text(&database)]);
    assert_eq!((exit, &done["checkpointed_frames"]), (0, &done["log_frames"]), "{done:#}");
    // With an index that says "copied", the pages come from the file.
    let pages = fs::metadata(&database).unwrap().len() / 4096;
    assert_eq!(SHIM.oracle(&["verify", text(&database)]), format!("[[1,{pages}]]\n"));
    release(holder);
    every_page_is_right(&database, "beside");
}

#[test]
fn replay_and_repair_give_pages_their_checksums_and_undo_gives_the_bytes_back() {
    for (damaged, flipped) in [(false, false), (false, true), (true, false), (true, true)] {
        let (_made, original) = made(4096);
        let wanted = SHIM.contents(&copy(&original).1);
        if damaged {
            let wal = beside(&original, "-wal");
            let mut bytes = fs::read(&wal).unwrap();
            bytes[32 + 2 * 4120 + 24 + 700] ^= 16;
            fs::write(wal, bytes).unwrap();
        }
        if flipped {
            flip_on_page_1(&original);
        }
        // One bit of an image: the sums tell which, and nothing witnesses it.
        let commands: &[&[&str]] = if damaged {
            &[&["repair", "--apply", "--accept-likely"]]
        } else {
            &[&["replay"], &["repair", "--apply"]]
        };
        for command in commands {
            let why = format!("{command:?} {damaged} {flipped}");
            let (folder, database) = copy(&original);
            let new = folder.path().join("new.db");
            let to = [*command, &["--output", text(&new), text(&database)]].concat();
            let (report, exit) = walsmith(&to);
            let is_likely = report["likely"] == true;
            assert_eq!((exit, is_likely && !damaged), (i32::from(is_likely), false), "{why}");
            every_page_is_right(&new, &why);
            assert_eq!(SHIM.contents(&new), wanted, "{why}");
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(beside(&new, suffix));
            }
            // A whole log gives repair nothing to do in place.
            if *command != ["replay"] && !damaged {
                continue;
            }
            let before = files(folder.path());
            let in_place = [*command, &["--in-place", text(&database)]].concat();
            assert_eq!(walsmith(&in_place).1, exit, "{why}");
            let (_copied, written) = copy(&database);
            every_page_is_right(&written, &why);
            assert_eq!(SHIM.contents(&written), wanted, "{why}");
            assert_eq!(walsmith(&["undo", text(&database)]).1, 0, "{why}");
            assert!(files(folder.path()) == before, "{why}");
        }
    }
}

#[test]
fn the_rollback_of_a_hot_journal_gives_pages_their_checksums() {
    for to_new in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        SHIM.and_die(&["run-reserving", text(&database), "8", "CREATE TABLE z(x)"]);
        SHIM.and_die(&["hot-journal", text(&database), "4096", "OFF"]);
        let new = folder.path().join("new.db");
        let target: &[&str] = if to_new { &["--output", text(&new)] } else { &["--in-place"] };
        let args = [&["repair", "--apply", text(&database)], target].concat();
        let (report, exit) = walsmith(&args);
        assert_eq!((exit, &report["applied"]), (0, &true.into()), "{report:#}");
        every_page_is_right(if to_new { &new } else { &database }, "journal");
    }
}

#[test]
fn eight_reserved_bytes_without_the_shim_stay_as_the_log_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    Shim(None).and_die(&["run-reserving", text(&database), "8", &setup(4096)]);
    let (done, exit) = walsmith(&["checkpoint-now", text(&database)]);
    assert_eq!(exit, 0, "{done:#}");
    let bytes = fs::read(&database).unwrap();
    assert!(bytes.chunks_exact(4096).all(|page| page[4088..] == [0; 8]));
    assert_eq!(walsmith(&["info", text(&database)]).0["page_checksums"], serde_json::Value::Null);
}

#[test]
fn without_the_file_the_pages_of_the_log_get_their_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; {}",
        SETUP.replace("PRAGMA wal_checkpoint(TRUNCATE);", "")
    );
    SHIM.and_die(&["run-reserving", text(&database), "8", &sql]);
    let new = folder.path().join("new.db");
    let args = ["replay", "--base", "none", "--output", text(&new), text(&database)];
    assert_eq!(walsmith(&args).1, 0);
    every_page_is_right(&new, "from the log alone");
}
