//! Faults of files that somebody uses.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use fastrand::Rng;

use super::{Faulty, Kind};
use crate::support::{beside, hold, hold_command, oracle, oracle_program, text};

pub(super) const KINDS: [Kind; 4] = [
    Kind { name: "a deleted file in use", rules: &["deleted-in-use"], make: deleted },
    Kind { name: "a replaced file in use", rules: &["replaced-in-use"], make: replaced },
    Kind { name: "a user without locks", rules: &["lockless-user"], make: lockless },
    Kind { name: "frames called copied", rules: &["false-backfill"], make: false_backfill },
];

/// Somebody who has committed a table, and reads, writes or does nothing.
fn used(rng: &mut Rng) -> Faulty {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["prepare", text(&database), "60", ["512", "4096"][rng.usize(0..2)]]);
    let does = ["", "BEGIN; SELECT count(*) FROM t", "BEGIN IMMEDIATE"][rng.usize(0..3)];
    let mut command = Command::new(oracle_program());
    command.arg("hold-sql").arg(&database).arg(format!("CREATE TABLE u(a); {does}"));
    let users = vec![hold_command(command)];
    Faulty { folder, database, users }
}

fn deleted(_: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = used(rng);
    for suffix in [&["-wal"][..], &["-shm"], &["", "-wal"], &["-wal", "-shm"]][rng.usize(0..4)] {
        fs::remove_file(beside(&set.database, suffix)).unwrap();
    }
    Some(set)
}

fn replaced(_: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = used(rng);
    for suffix in [&[""][..], &["-wal"], &["", "-wal", "-shm"]][rng.usize(0..3)] {
        let file = beside(&set.database, suffix);
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    Some(set)
}

fn lockless(_: u64, _: &mut Rng) -> Option<Faulty> {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let users = vec![hold("lose-locks", &database)];
    Some(Faulty { folder, database, users })
}

fn false_backfill(_: u64, rng: &mut Rng) -> Option<Faulty> {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let users = vec![hold("hold-updates", &database)];
    // wal_index header, then WalCkptInfo.nBackfill.
    // Two updates may be of one page, whose newest frame must be among them.
    let frames: u32 = if rng.bool() { rng.u32(3..10) } else { rng.u32(500..5000) };
    let index = fs::OpenOptions::new().write(true).open(beside(&database, "-shm")).unwrap();
    index.write_all_at(&frames.to_ne_bytes(), 96).unwrap();
    Some(Faulty { folder, database, users })
}
