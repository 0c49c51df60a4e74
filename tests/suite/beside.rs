//! Our engine and SQLite at work on one database at once, in separate processes.
//!
//! Thirty seconds here; ten minutes, as the README says:
//! `WALSMITH_BESIDE_SECONDS=600 cargo test --release beside -- --nocapture`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{oracle_program, prepared, rows, text, walsmith, worker_program};

fn start(program: &Path, args: &[&str]) -> Child {
    Command::new(program).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The number that a process prints last, once it has ended well.
fn number(child: Child) -> u64 {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn one(database: &Path, sql: &str) -> u64 {
    let row = rows(database, sql);
    row.trim().trim_matches(['[', ']']).parse().unwrap()
}

#[test]
fn nothing_is_lost_while_both_write_read_and_checkpoint() {
    let seconds = std::env::var("WALSMITH_BESIDE_SECONDS").unwrap_or_else(|_| "30".to_owned());
    let (_folder, database) = prepared(401, 4096);
    let path = text(&database);
    let ids = ["0", "1", "2", "3"];
    let sqlite = oracle_program();
    let ours = worker_program();
    let appending = ids.map(|id| start(&sqlite, &["append", path, id, &seconds]));
    let observing = ids.map(|_| start(&sqlite, &["observe", path, &seconds]));
    let stamping = [ids[0], ids[1]].map(|id| start(&ours, &["stamp-for", path, id, &seconds]));
    let our_reader = start(&ours, &["observe", path, &seconds]);
    let end = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let mut exits: BTreeMap<(String, i32), u32> = BTreeMap::new();
    let mut generations = std::collections::BTreeSet::new();
    let modes = ["noop", "passive", "full", "restart", "truncate"];
    for mode in modes.iter().cycle() {
        if Instant::now() > end {
            break;
        }
        let (done, exit) = walsmith(&["checkpoint-now", path, "--mode", mode, "--timeout", "5ms"]);
        assert!([0, 4, 5].contains(&exit) && done["rot"].is_null(), "{done:#}");
        assert_eq!(done["backfill_repaired"], false);
        *exits.entry(((*mode).to_owned(), exit)).or_default() += 1;
        let (held, exit) = walsmith(&["blockers", path]);
        assert_eq!(exit, 0, "{held:#}");
        let (verified, exit) = walsmith(&["verify-checksums", path]);
        assert!([0, 4].contains(&exit), "{verified:#}");
        generations.insert(verified["files"][0]["salt2"].as_u64());
    }
    let stamped: u64 = stamping.into_iter().map(number).sum();
    let appended = appending.map(number);
    let snapshots: u64 = observing.into_iter().chain([our_reader]).map(number).sum();
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    for (writer, count) in appended.iter().enumerate() {
        let of = |what| format!("SELECT {what} FROM t WHERE writer = {writer}");
        assert_eq!(one(&database, &of("count(*)")), *count);
        assert_eq!(one(&database, &of("count(DISTINCT seq)")), *count);
    }
    assert_eq!(one(&database, "SELECT count(*) FROM t"), appended.iter().sum::<u64>());
    let counter = rows(&database, "SELECT hex(substr(v, 17)) FROM ours WHERE id = 0");
    assert_eq!(counter, format!("[\"{stamped:016X}\"]\n"));
    let checkpoints: u32 = exits.values().sum();
    println!(
        "{stamped} transactions of ours, {} of SQLite, {snapshots} snapshots, {checkpoints} \
         checkpoints {exits:?}, {} generations seen",
        appended.iter().sum::<u64>(),
        generations.len()
    );
    assert!(stamped > 0 && snapshots > 0 && generations.len() > 1);
}

#[test]
fn five_hundred_connections_do_not_mind_our_checkpoints() {
    let (_folder, database) = prepared(41, 4096);
    let path = text(&database);
    let crowds: Vec<Child> =
        (0..5).map(|_| start(&oracle_program(), &["crowd", path, "100", "5"])).collect();
    let end = Instant::now() + Duration::from_secs(6);
    let mut checkpoints = 0;
    for mode in ["passive", "full", "restart", "truncate"].iter().cycle() {
        if Instant::now() > end {
            break;
        }
        let (done, exit) = walsmith(&["checkpoint-now", path, "--mode", mode, "--timeout", "20ms"]);
        assert!([0, 4, 5].contains(&exit), "{done:#}");
        checkpoints += 1;
    }
    let committed: u64 = crowds.into_iter().map(number).sum();
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    assert_eq!(one(&database, "SELECT count(*) FROM t"), committed);
    println!("{committed} rows by 500 connections, {checkpoints} checkpoints");
}
