//! Healthy sets that came about by copying, by a crash, or beside writers: `doctor` finds no error.
//!
//! Three sets a kind here; more with `WALSMITH_HEALTHY=2000 cargo test healthy`, from
//! `WALSMITH_SEED` on.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{beside, hold, oracle, oracle_program, prepared, release, text, walsmith};

const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

const BASES: [&str; 7] =
    ["plain", "never", "partly", "reset", "truncated", "vacuum", "rollback-mode"];

/// Makes a healthy set of a seed.
type Make = fn(u64, &mut Rng) -> (TempDir, PathBuf, Vec<Child>);

const KINDS: [(&str, Make); 8] = [
    ("a forked child", forked_child),
    ("a crash, and one who was alone", alone_after_a_crash),
    ("copied by .backup", |seed, rng| copied(seed, rng, "backup")),
    ("copied by VACUUM INTO", |seed, rng| copied(seed, rng, "vacuum-into")),
    ("idle files copied", |seed, rng| copied(seed, rng, "cp")),
    ("a fork that was merged", merged_fork),
    ("a snapshot beside writers", snapshot),
    ("another journal mode, and back", there_and_back),
];

fn base(seed: u64, rng: &mut Rng, end: &str) -> (TempDir, PathBuf, Child) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let kind = BASES[rng.usize(0..BASES.len())];
    let mut child = Command::new(oracle_program())
        .args(["healthy", text(&database), &seed.to_string(), kind, end, "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if end == "hold" {
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    } else {
        child.wait().unwrap();
    }
    (folder, database, child)
}

fn copy_all(from: &Path, to: &Path) {
    for suffix in SUFFIXES {
        let _ = fs::copy(beside(from, suffix), beside(to, suffix));
    }
}

fn forked_child(_: u64, _: &mut Rng) -> (TempDir, PathBuf, Vec<Child>) {
    let (folder, database) = prepared(40, 4096);
    let holder = hold("hold-with-child", &database);
    (folder, database, vec![holder])
}

fn alone_after_a_crash(seed: u64, rng: &mut Rng) -> (TempDir, PathBuf, Vec<Child>) {
    let (folder, database, _) = base(seed, rng, "die");
    let sql = "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(b) VALUES('alone')";
    oracle(&["run", text(&database), sql]);
    (folder, database, Vec::new())
}

fn copied(seed: u64, rng: &mut Rng, how: &str) -> (TempDir, PathBuf, Vec<Child>) {
    let end = match how {
        // Only idle files are copied by hand.
        "cp" => ["die", "close"][rng.usize(0..2)],
        _ => ["die", "close", "hold"][rng.usize(0..3)],
    };
    let (folder, database, child) = base(seed, rng, end);
    let copy = folder.path().join("copy.db");
    match how {
        "cp" => copy_all(&database, &copy),
        "backup" => drop(oracle(&["back-up", text(&database), text(&copy)])),
        _ => {
            let sql = format!("VACUUM INTO '{}'", copy.display());
            oracle(&["run", text(&database), &sql]);
        }
    }
    // The copy is used then, and may have a log of its own.
    if rng.bool() {
        let wal = "PRAGMA journal_mode=WAL; INSERT INTO t(b) VALUES('copy')";
        oracle(&["run", text(&copy), wal]);
    }
    if end == "hold" {
        release(child);
    }
    (folder, copy, Vec::new())
}

fn merged_fork(seed: u64, rng: &mut Rng) -> (TempDir, PathBuf, Vec<Child>) {
    let (folder, database, _) = base(seed, rng, "die");
    let fork = folder.path().join("fork.db");
    copy_all(&database, &fork);
    for path in [&database, &fork] {
        let sql = "INSERT INTO t(b, c) VALUES(hex(randomblob(8)), randomblob(200))";
        oracle(&["run", text(path), sql]);
    }
    let merged = folder.path().join("merged.db");
    let sql = format!(
        "ATTACH '{}' AS f; INSERT INTO t(b, c) SELECT b, c FROM f.t WHERE b NOT IN (SELECT b FROM \
         t); DETACH f; VACUUM INTO '{}'",
        fork.display(),
        merged.display()
    );
    oracle(&["run", text(&database), &sql]);
    (folder, [database, merged][rng.usize(0..2)].clone(), Vec::new())
}

/// What a snapshot of the file system has of files that are being written.
fn snapshot(_: u64, rng: &mut Rng) -> (TempDir, PathBuf, Vec<Child>) {
    let (folder, database) = prepared(40, [512, 4096][rng.usize(0..2)]);
    let writers: Vec<Child> = (0..2)
        .map(|writer| {
            Command::new(oracle_program())
                .args(["append", text(&database), &writer.to_string(), "1"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_millis(rng.u64(100..700)));
    let all = |signal| {
        for writer in &writers {
            kill(Pid::from_raw(writer.id().cast_signed()), signal).unwrap();
        }
    };
    all(Signal::SIGSTOP);
    // A stopped process may still be in a call.
    std::thread::sleep(Duration::from_millis(20));
    let copy = folder.path().join("copy.db");
    copy_all(&database, &copy);
    all(Signal::SIGCONT);
    for mut writer in writers {
        writer.wait().unwrap();
    }
    (folder, copy, Vec::new())
}

fn there_and_back(seed: u64, rng: &mut Rng) -> (TempDir, PathBuf, Vec<Child>) {
    let (folder, database, _) = base(seed, rng, "close");
    let mode = ["DELETE", "PERSIST", "TRUNCATE", "MEMORY"][rng.usize(0..4)];
    let sql = format!(
        "PRAGMA journal_mode={mode}; INSERT INTO t(b) VALUES('there'); DELETE FROM t WHERE a % 9 = \
         2; PRAGMA journal_mode=WAL; INSERT INTO t(b) VALUES('back')"
    );
    oracle(&["run", text(&database), &sql]);
    let user = match rng.bool() {
        true => vec![hold("hold-write", &database)],
        false => Vec::new(),
    };
    (folder, database, user)
}

#[test]
fn no_error_is_found_in_healthy_sets_however_they_came_about() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (count, first) = (number("WALSMITH_HEALTHY", 24) / 8, number("WALSMITH_SEED", 1));
    for (name, make) in KINDS {
        for seed in first..first + count {
            let (folder, database, users) = make(seed, &mut Rng::with_seed(seed));
            let (report, exit) = walsmith(&["doctor", "--check", text(&database)]);
            if exit != 0
                && let Ok(keep) = std::env::var("WALSMITH_KEEP")
            {
                let to = Path::new(&keep).join(format!("{seed}"));
                fs::create_dir_all(&to).unwrap();
                copy_all(&database, &to.join("x.db"));
            }
            assert_eq!(exit, 0, "{name}, seed {seed}: {report:#}");
            users.into_iter().rev().for_each(release);
            drop(folder);
        }
        println!("{name}: {count} sets");
    }
}
