//! Logs that look shifted and are not.

use std::fs;

use fastrand::Rng;
use serde_json::Value;

use super::{Small, put};
use crate::support::{and_die, beside, names, read, text, walsmith};

/// A log twice in one file, or a part of it, and logs that nothing was done to.
#[test]
fn a_log_that_lost_nothing_is_not_called_shifted() {
    let small = Small::new();
    for end in [small.wal.len(), small.wal.len() / 2, 9000] {
        let wal = [small.wal.as_slice(), &small.wal[..end]].concat();
        let (_folder, path) = put(&small.database, &wal, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert_eq!((exit, file["shifted"].as_array().unwrap().len()), (0, 0), "{file:#}");
    }
    for name in names() {
        let (database, wal) = read(&name);
        let (_folder, path) = put(&database, &wal, None);
        let (verified, _) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert_eq!(file["shifted"].as_array().unwrap().len(), 0, "{name}: {file:#}");
        assert_eq!(file["shifted_frames_mended"], Value::Null, "{name}");
    }
}

/// A table whose blobs are this very log, so that pages hold its frames byte for byte.
#[test]
fn a_log_that_holds_itself_as_blobs_is_not_called_shifted() {
    for page_bytes in ["512", "1024", "4096"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        and_die(&["own-log", text(&path), page_bytes]);
        let (database, wal) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert!(exit == 0 && file["valid_frames"].as_u64() > Some(60), "{file:#}");
        // A frame is damaged, again and again, and only its own slot.
        let slot_len = page_bytes.parse::<usize>().unwrap() + 24;
        let mut rng = Rng::with_seed(2);
        for _ in 0..30 {
            let mut wal = wal.clone();
            let valid = usize::try_from(file["valid_frames"].as_u64().unwrap()).unwrap();
            let at = 32 + rng.usize(1..valid) * slot_len + rng.usize(0..slot_len - 60);
            (0..60).for_each(|byte| wal[at + byte] ^= rng.u8(1..=255));
            let (_folder, path) = put(&database, &wal, None);
            let (verified, _) = walsmith(&["verify-checksums", text(&path)]);
            let file = &verified["files"][0];
            assert_eq!(file["shifted"].as_array().unwrap().len(), 0, "{file:#}");
        }
    }
}

/// The first sectors of a log that was begun again are those of before: the header is valid, and
/// every frame after it is of the generation after.
#[test]
fn frames_that_only_a_later_generation_can_have_are_not_left_over() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, &small.database).unwrap();
    fs::write(beside(&path, "-wal"), &small.wal).unwrap();
    let row = "INSERT INTO t(x) VALUES(randomblob(900)), (randomblob(900)), (randomblob(900));";
    let sql =
        format!("PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(RESTART); {}", row.repeat(9));
    and_die(&["write-and-die", text(&path), &sql]);
    let wal = fs::read(beside(&path, "-wal")).unwrap();
    assert_ne!(wal[16..20], small.wal[16..20], "it is begun again");
    let (database, whole) = (fs::read(&path).unwrap(), folder.path().join("whole.db"));
    assert_eq!(walsmith(&["replay", text(&path), "--output", text(&whole)]).1, 0);
    let truth = fs::read(&whole).unwrap();
    let whole_frame = 32 + 4120;
    let older = [32, 512, 4096, whole_frame].map(|old| (old, None));
    let harmed = [(4096, Some(15)), (whole_frame, Some(15))];
    for (old, harmed) in older.into_iter().chain(harmed) {
        let mut torn = [&small.wal[..old], &wal[old..]].concat();
        // The header is damaged, too: its frame 1 is still no newer than the others.
        harmed.into_iter().for_each(|byte: usize| torn[byte] ^= 1);
        let (_folder, path) = put(&database, &torn, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        let verdict = if harmed.is_none() { "damaged" } else { "bad-header" };
        assert_eq!((exit, file["verdict"].clone()), (1, verdict.into()), "{file:#}");
        assert!(
            file["header_is_older"] == true || (harmed.is_some() && old < whole_frame),
            "{file:#}"
        );
        let output = folder.path().join("out.db");
        let apply = ["repair", text(&path), "--apply", "--force", "--output", text(&output)];
        let (report, exit) = walsmith(&apply);
        assert_eq!(report["lossless"] == true, exit == 0, "{report:#}");
        match report["lossless"] == true {
            true => assert!(fs::read(&output).unwrap() == truth, "{old}: {report:#}"),
            false => assert!(old > 32, "{report:#}"),
        }
    }
    // One frame of it is left: the file has all of the generation before, and that is not all.
    let third = 32 + 2 * 4120..whole_frame + 2 * 4120;
    let mut left = small.wal.clone();
    left[third.clone()].copy_from_slice(&wal[third]);
    let (_folder, path) = put(&database, &left, None);
    let (report, exit) = walsmith(&["repair", text(&path)]);
    assert_eq!((exit, report["lossless"].as_bool()), (1, Some(false)), "{report:#}");
    let (_folder, path) = put(&database, &wal, None);
    let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
    assert_eq!((exit, verified["files"][0]["verdict"].clone()), (0, "clean".into()));
}

/// The first block is that of an older generation, or its bytes are lost: neither hides the commits
/// of the newest one, and what is left of an older one is not all.
#[test]
fn an_older_or_a_lost_first_block_hides_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let row = |row: u32| format!("INSERT INTO t VALUES({row}, hex(zeroblob(50)));");
    let write = |sql: &str| and_die(&["write-and-die", text(&path), sql]);
    write("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
    let mut generations = Vec::new();
    for generation in 0..4 {
        let rows: String = (0..10).map(|n| row(100 * generation + n)).collect();
        write(&format!("PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(RESTART); {rows}"));
        generations.push(fs::read(beside(&path, "-wal")).unwrap());
    }
    let (database, newest) = (fs::read(&path).unwrap(), generations.pop().unwrap());
    let look = |wal: &[u8]| {
        let (folder, path) = put(&database, wal, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        assert_eq!(exit, 1, "{verified:#}");
        let verdict = verified["files"][0]["verdict"].clone();
        let (_, exit) = walsmith(&["checkpoint-now", "--mode", "truncate", text(&path)]);
        assert_eq!(exit, 6);
        let (report, _) = walsmith(&["repair", text(&path)]);
        assert_eq!(fs::read(beside(&path, "-wal")).unwrap(), wal);
        drop(folder);
        (verdict, report)
    };
    for old in &generations {
        let (verdict, report) = look(&[&old[..512], &newest[512..]].concat());
        assert_eq!(verdict, "damaged", "{report:#}");
        assert_ne!(report["lossless"], true, "{report:#}");
    }
    for commits in [1, 2, 3] {
        let rows: String = (0..commits).map(|n| row(1000 + n)).collect();
        let (_folder, path) = put(&database, &newest, None);
        let sql = format!("PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(RESTART); {rows}");
        and_die(&["write-and-die", text(&path), &sql]);
        let wal = fs::read(beside(&path, "-wal")).unwrap();
        let lost = [&[0; 512], &wal[512..]].concat();
        let (_folder, path) = put(&fs::read(&path).unwrap(), &lost, None);
        let (report, _) = walsmith(&["repair", text(&path)]);
        assert_ne!(report["lossless"], true, "{commits}: {report:#}");
    }
}
