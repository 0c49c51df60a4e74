//! Shapes of a report from outside: each is told, and repaired or not called lossless.

use std::fs;

use fastrand::Rng;

use super::{Small, put};
use crate::support::{beside, text, walsmith, walsmith_command};

#[test]
fn each_shape_of_a_shifted_log_is_told_and_repaired() {
    let small = Small::new();
    let (wal, middle) = (&small.wal, 32 + 30 * 4120);
    let cut = |from: usize, to: usize| [&wal[..from], &wal[to..]].concat();
    let line_ends: Vec<u8> = wal
        .iter()
        .flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] })
        .collect();
    let inserted = [&wal[..middle + 100], b"\r", &wal[middle + 100..]].concat();
    let shapes = [
        ("line ends", line_ends, "damaged"),
        ("delete byte", cut(middle + 100, middle + 101), "damaged"),
        ("insert byte", inserted, "damaged"),
        ("delete sector", cut(middle + 512, middle + 1024), "damaged"),
        ("lost header bytes", cut(32, 42), "damaged"),
        ("prefix", [&[0; 4096][..], wal].concat(), "bad-header"),
        ("byte order mark", [b"\xef\xbb\xbf", wal.as_slice()].concat(), "bad-header"),
        ("header lost", wal[32..].to_vec(), "bad-header"),
    ];
    for (name, shape, verdict) in shapes {
        let (file, report, rows) = small.judge(&shape);
        // The salts may hold a line feed, too.
        let also = if name == "line ends" { "bad-header" } else { verdict };
        assert!(file["verdict"] == verdict || file["verdict"] == also, "{name}: {file:#}");
        assert_eq!(report["lossless"], true, "{name}: {report:#}");
        assert_eq!(report["transactions_after"], 61, "{name}");
        assert_eq!(rows, 60, "{name}");
        let commits = file["shifted"][0]["commits"].as_u64().unwrap();
        assert!(commits >= 31, "{name}: {file:#}");
        assert_eq!(report["plan"][0]["action"], "undo-shift", "{name}");
    }
    let (file, report, rows) = small.judge(&wal[4096..]);
    assert_eq!(file["verdict"], "bad-header");
    assert_eq!(file["shifted"][0]["shift_bytes"], -4096);
    assert_eq!(file["shifted_frames_missing"], true);
    assert_eq!(
        (report["lossless"].clone(), rows),
        (false.into(), 60),
        "frame 1 is lost, and named"
    );
}

/// Every carriage return was taken out: some bytes are missing in nearly every frame, and whether
/// any of them can be put together again depends on the salts.
#[test]
fn a_log_that_is_broken_in_every_frame_is_damaged_whatever_its_salts() {
    for _ in 0..8 {
        let small = Small::new();
        let stripped: Vec<u8> = small.wal.iter().copied().filter(|byte| *byte != b'\r').collect();
        let (_folder, path) = put(&small.database, &stripped, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        // The salts may hold a carriage return, too.
        let is_header = file["verdict"] == "bad-header";
        assert!(is_header || file["lost"]["transactions"].as_u64() > Some(0), "{file:#}");
        assert!((is_header || file["verdict"] == "damaged") && exit == 1, "{file:#}");
        let (report, exit) = walsmith(&["repair", text(&path)]);
        assert_eq!((report["lossless"].clone(), exit), (false.into(), 1), "{report:#}");
    }
}

#[test]
fn a_shift_is_told_in_words_by_each_command() {
    let small = Small::new();
    let mut wal = small.wal.clone();
    wal.insert(32 + 30 * 4120 + 100, 7);
    let (_folder, path) = put(&small.database, &wal, None);
    let told = |command: &str| {
        let output = walsmith_command().args([command, text(&path)]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let verify = told("verify-checksums");
    assert!(
        verify.contains("1 byte too many before: 34 intact frames with 31 commits"),
        "{verify}"
    );
    assert!(verify.contains("In 1 frame bytes were inserted or are missing"), "{verify}");
    assert!(told("info").contains("34 frames with 31 commits from offset 127,753 on"));
    let repair = told("repair");
    assert!(repair.contains("put the bytes back to their places (proven)"), "{repair}");
    let (info, _) = walsmith(&["info", text(&path)]);
    assert_eq!(info["wal"]["shifted"][0]["frames"], 34);
}

#[test]
fn a_plan_that_regains_nothing_of_a_broken_log_is_not_lossless() {
    let small = Small::new();
    let mut rng = Rng::with_seed(3);
    let garbage: Vec<u8> = (0..small.wal.len()).map(|_| rng.u8(..)).collect();
    let zeros = vec![0; small.wal.len()];
    let mut foreign_end = small.wal[..32 + 4120 * 5].to_vec();
    foreign_end.extend(&garbage[..4120 * 3]);
    for (name, wal) in [("garbage", garbage), ("zeros", zeros), ("end", foreign_end)] {
        let (_folder, path) = put(&small.database, &wal, None);
        let (report, exit) = walsmith(&["repair", text(&path), "--apply", "--in-place"]);
        assert_eq!((report["lossless"].clone(), exit), (false.into(), 6), "{name}: {report:#}");
        assert_eq!(report["applied"], false);
        assert!(fs::read(beside(&path, "-wal")).unwrap() == wal);
        let plan = report["plan"].as_array().unwrap();
        assert!(plan.iter().any(|step| step["lossless"] == false), "{name}: {report:#}");
    }
}

/// The first salt then counts up to that of the log, as that of an older generation does.
#[test]
fn a_shift_that_begins_with_an_older_salt_is_found() {
    let small = Small::new();
    let at = 32 + 30 * 4120 + 11;
    for zeros in [1, 5, 81, 100] {
        let shape = [&small.wal[..at], &vec![0; zeros], &small.wal[at..]].concat();
        let (file, report, rows) = small.judge(&shape);
        assert_eq!(file["verdict"], "damaged", "{zeros}: {file:#}");
        assert_eq!(report["lossless"] == true, rows == 60, "{zeros}: {report:#}");
        assert!(file["shifted"][0]["commits"].as_u64() >= Some(30), "{zeros}: {file:#}");
    }
}

#[test]
fn bytes_among_zeros_are_no_room_that_was_made() {
    let (small, mut random) = (Small::new(), Rng::with_seed(3));
    let end = 32 + 30 * 4120;
    for _ in 0..20 {
        let mut wal = [&small.wal[..end], &vec![0; small.wal.len() - end]].concat();
        let verdict = |wal: &[u8]| {
            let (_folder, path) = put(&small.database, wal, None);
            walsmith(&["verify-checksums", text(&path)]).0["files"][0]["verdict"].clone()
        };
        assert_eq!(verdict(&wal), "clean");
        wal[random.usize(end + 4120..small.wal.len())] = random.u8(1..);
        assert_eq!(verdict(&wal), "torn-tail");
    }
}
