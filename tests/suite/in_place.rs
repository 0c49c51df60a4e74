//! What is written in place, against power loss and single failures at every storage operation.
//!
//! `WALSMITH_CRASH_SEEDS=20 cargo test --release in_place` tries more orders of lost writes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use clap::Parser;
use walsmith::access::{Context, Exit};
use walsmith::commands::repair::Repair;
use walsmith::commands::replay::Replay;
use walsmith::commands::undo::Undo;
use walsmith::output::{Format, Output};
use walsmith::scan::Nobody;
use walsmith::storage::fault::{Fault, FaultKind, FaultVfs, Unsynced};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{OpenMode, Vfs};

use crate::support::{beside, oracle_program, text};

const DATABASE: &str = "/in-place.db";
const WAL: &str = "/in-place.db-wal";
const JOURNAL: &str = "/in-place.db-journal";

type Files = BTreeMap<PathBuf, Vec<u8>>;

#[derive(Parser)]
enum Line {
    Replay(Replay),
    Repair(Repair),
    Undo(Undo),
}

/// Runs a command on a file system; the exit code, or the error in words.
fn run(vfs: &dyn Vfs, args: &[&str]) -> Result<Exit, String> {
    let line = Line::try_parse_from([&["walsmith"], args, &[DATABASE]].concat()).unwrap();
    let mut out = Vec::new();
    let to = &mut out;
    let output = Output::new(to, Format::Json);
    let mut context = Context { vfs, watch: &Nobody, output, warnings: RefCell::default() };
    let done = match line {
        Line::Replay(command) => command.run(&mut context),
        Line::Repair(command) => command.run(&mut context),
        Line::Undo(command) => command.run(&mut context),
    };
    done.map_err(|error| format!("{error:#}"))
}

fn memory(files: &Files) -> MemoryVfs {
    let vfs = MemoryVfs::default();
    for (path, bytes) in files {
        vfs.put(path, bytes.clone());
    }
    vfs
}

/// All files of these tests that are there.
fn files_of(vfs: &MemoryVfs) -> Files {
    let suffixes =
        ["", "-wal", "-journal", "-walsmith-undo", "-walsmith-undo-wal", "-walsmith-undo-journal"];
    let paths = suffixes.iter().map(|suffix| beside(Path::new(DATABASE), suffix));
    paths.filter_map(|path| Some((path.clone(), vfs.bytes(&path)?))).collect()
}

/// A small database whose log SQLite has written, and the same with its log damaged.
fn clean() -> &'static Files {
    static CLEAN: OnceLock<Files> = OnceLock::new();
    CLEAN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        Command::new(oracle_program()).args(["churn", text(&path), "512", "6"]).output().unwrap();
        let database = fs::read(&path).unwrap();
        let wal = fs::read(beside(&path, "-wal")).unwrap();
        BTreeMap::from([(DATABASE.into(), database), (WAL.into(), wal)])
    })
}

fn damaged() -> Files {
    let mut files = clean().clone();
    let wal = files.get_mut(Path::new(WAL)).unwrap();
    let half = wal.len() / 2;
    wal[half..half + 4].copy_from_slice(&[1, 2, 3, 4]);
    files
}

fn hot() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let args = ["hot-journal", text(&path), "512", "FULL"];
    Command::new(oracle_program()).args(args).output().unwrap();
    let journal = fs::read(beside(&path, "-journal")).unwrap();
    BTreeMap::from([(DATABASE.into(), fs::read(&path).unwrap()), (JOURNAL.into(), journal)])
}

/// A file system with faults; everything on it is durable.
fn faulty(files: &Files) -> (MemoryVfs, FaultVfs<MemoryVfs>) {
    let inner = memory(files);
    let vfs = FaultVfs::new(inner.clone());
    for path in files.keys() {
        vfs.open(path, OpenMode::ReadOnly).unwrap();
    }
    vfs.plan(None);
    (inner, vfs)
}

fn seeds() -> u64 {
    std::env::var("WALSMITH_CRASH_SEEDS").map_or(2, |text| text.parse().unwrap())
}

/// Database, log and journal, without an undo set.
fn plain(files: &Files) -> Files {
    let own = [DATABASE, WAL, JOURNAL].map(PathBuf::from);
    files
        .iter()
        .filter(|(path, _)| own.contains(path))
        .map(|(p, b)| (p.clone(), b.clone()))
        .collect()
}

/// A power loss at every call of a command; returns calls and crash points.
fn everywhere(before: &Files, args: &[&str]) -> (u64, u64) {
    let (inner, vfs) = faulty(before);
    run(&vfs, args).unwrap();
    let (calls, after) = (vfs.calls(), files_of(&inner));
    assert_ne!(plain(before), plain(&after), "the command does something");
    let old = match run(&inner, &["undo"]) {
        Ok(_) => plain(&files_of(&inner)),
        // The command was itself an undo.
        Err(_) => plain(&after),
    };
    let mut points = 0;
    for call in 1..=calls {
        let (_, vfs) = faulty(before);
        vfs.plan(Some(Fault { call, kind: FaultKind::PowerLoss, persistent: true }));
        // It fails, or the call was one whose failure does not matter.
        let _ = run(&vfs, args);
        let mut kinds = vec![Unsynced::Lost, Unsynced::Kept];
        for seed in (0..seeds()).map(|seed| seed * 100_003 + call) {
            kinds.extend([Unsynced::Reordered { seed }, Unsynced::Torn { seed }]);
        }
        for unsynced in kinds {
            let image: Files = vfs.crash_image(unsynced);
            let what = format!("{args:?}, call {call} of {calls}, {unsynced:?}");
            points += 1;
            // The same command again ends well, or the change was complete.
            let again = memory(&image);
            let done = run(&again, args);
            let now = plain(&files_of(&again));
            assert!(now == plain(&after), "{what}: again: {done:?}");
            // And so does undo: the old state, whatever had happened.
            let back = memory(&image);
            let done = run(&back, &["undo"]);
            let now = files_of(&back);
            assert!(plain(&now) == old, "{what}: undo: {done:?}");
            let leftovers = now.len() - plain(&now).len();
            let begun = image.get(&beside(Path::new(DATABASE), "-walsmith-undo"));
            let never_begun = begun.is_some_and(|set| set.iter().take(44).all(|&byte| byte == 0));
            assert!(leftovers == 0 || never_begun, "{what}: {:?}", now.keys());
        }
    }
    (calls, points)
}

/// A single failure of every call: the files are as they were or as they should be, or can be put
/// back.
fn single_failures(before: &Files, args: &[&str]) -> u64 {
    let (inner, vfs) = faulty(before);
    run(&vfs, args).unwrap();
    let (calls, after) = (vfs.calls(), plain(&files_of(&inner)));
    for call in 1..=calls {
        for kind in [FaultKind::Fail, FaultKind::ShortWrite(100), FaultKind::DiskFull] {
            let (inner, vfs) = faulty(before);
            vfs.plan(Some(Fault { call, kind, persistent: kind == FaultKind::DiskFull }));
            let done = run(&vfs, args);
            let what = format!("{args:?}, call {call} of {calls}, {kind:?}: {done:?}");
            let now = plain(&files_of(&inner));
            assert!(done.is_err() || now == after, "{what}");
            if now != after {
                // Whatever it left, nothing is in the way of the next run.
                let again = run(&inner, args);
                assert!(plain(&files_of(&inner)) == after, "{what}; again: {again:?}");
            }
        }
    }
    calls
}

const REPLAY: &[&str] = &["replay", "--in-place"];
// What the damage hits depends on random content: a plan may be likely, or lose something.
const REPAIR: &[&str] = &["repair", "--apply", "--in-place", "--accept-loss"];

#[test]
fn a_power_loss_at_any_call_leaves_the_old_state_or_the_new_one() {
    let mut total = 0;
    let cases = [(clean().clone(), REPLAY), (damaged(), REPAIR), (hot(), REPAIR)];
    for (before, args) in cases {
        let (calls, points) = everywhere(&before, args);
        println!("{args:?}: {calls} calls, {points} crash points");
        total += points;
        // And of undo, from where the command ends.
        let done = memory(&before);
        run(&done, args).unwrap();
        let (calls, points) = everywhere(&files_of(&done), &["undo"]);
        println!("undo of {args:?}: {calls} calls, {points} crash points");
        total += points;
    }
    println!("{total} crash points");
}

#[test]
fn a_single_failure_leaves_the_old_state_or_the_new_one() {
    for (before, args) in [(clean().clone(), REPLAY), (damaged(), REPAIR), (hot(), REPAIR)] {
        let calls = single_failures(&before, args);
        println!("{args:?}: {calls} calls failed");
    }
}

/// A single failure of every call of a command that writes a new file: it says so and leaves none,
/// or the file is whole.
fn failures_of_an_output(before: &Files, args: &[&str]) -> u64 {
    const OUTPUT: &str = "/in-place-new.db";
    let args = [args, &["--output", OUTPUT]].concat();
    let (inner, vfs) = faulty(before);
    run(&vfs, &args).unwrap();
    let (calls, whole) = (vfs.calls(), inner.bytes(Path::new(OUTPUT)).unwrap());
    for call in 1..=calls {
        for kind in [FaultKind::Fail, FaultKind::ShortWrite(100), FaultKind::DiskFull] {
            let (inner, vfs) = faulty(before);
            vfs.plan(Some(Fault { call, kind, persistent: kind == FaultKind::DiskFull }));
            let done = run(&vfs, &args);
            let what = format!("{args:?}, call {call} of {calls}, {kind:?}: {done:?}");
            match inner.bytes(Path::new(OUTPUT)) {
                Some(written) => assert!(done.is_ok() && written == whole, "{what}"),
                None => assert!(done.is_err(), "{what}"),
            }
            assert!(files_of(&inner) == *before, "{what}");
        }
    }
    calls
}

#[test]
fn a_failure_leaves_no_half_an_output() {
    let repair = &["repair", "--apply", "--accept-loss"];
    for (before, args) in [(clean().clone(), &["replay"][..]), (damaged(), repair), (hot(), repair)]
    {
        let calls = failures_of_an_output(&before, args);
        println!("{args:?} --output: {calls} calls failed");
    }
}

#[test]
fn a_change_of_another_hand_is_noticed_before_undo() {
    let vfs = memory(clean());
    run(&vfs, REPLAY).unwrap();
    let database = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite).unwrap();
    database.write_at(b"somebody", 512).unwrap();
    let now = files_of(&vfs);
    let error = run(&vfs, &["undo"]).unwrap_err();
    assert!(error.contains("was written since"), "{error}");
    assert_eq!(files_of(&vfs), now);
    // A second change would overwrite the set.
    assert!(run(&vfs, REPLAY).unwrap_err().contains("undo set is there already"));
    run(&vfs, &["undo", "--force"]).unwrap();
    assert_eq!(files_of(&vfs), *clean());
}

#[test]
fn a_set_is_listed_and_discarded() {
    let vfs = memory(clean());
    run(&vfs, REPLAY).unwrap();
    let now = files_of(&vfs);
    assert!(matches!(run(&vfs, &["undo", "--list"]), Ok(Exit::Done)));
    assert_eq!(files_of(&vfs), now);
    run(&vfs, &["undo", "--discard"]).unwrap();
    assert_eq!(
        files_of(&vfs),
        BTreeMap::from([(DATABASE.into(), now[Path::new(DATABASE)].clone())])
    );
}
