//! Power loss, single failures and kills at every step: the state before or the one that was asked
//! for, never one between.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Parser;
use tempfile::TempDir;
use walsmith::access::{Context, Exit};
use walsmith::commands::rewind::Rewind;
use walsmith::output::{Format, Output};
use walsmith::scan::Nobody;
use walsmith::storage::fault::{Fault, FaultKind, FaultVfs, Unsynced};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{OpenMode, Vfs};

use super::generation;
use crate::kill::everywhere;
use crate::support::{Oracle, beside, oracle, rows, text, walsmith_program};

const DATABASE: &str = "/rewind.db";
const WAL: &str = "/rewind.db-wal";

type Files = BTreeMap<PathBuf, Vec<u8>>;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    rewind: Rewind,
}

/// Transaction 3 is the one to go back to; tables and sizes differ on both sides of it.
const SQL: &str = "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
    CREATE TABLE t(id INTEGER PRIMARY KEY, x);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
    INSERT INTO t(x) SELECT printf('%0100d', i) FROM n;
    CREATE TABLE u(y); DELETE FROM t WHERE id > 20; DROP TABLE u; VACUUM; UPDATE t SET x = 'later'";

struct Made {
    _folder: TempDir,
    database: PathBuf,
    generation: String,
    files: Files,
}

/// The files, and the generation of their log; made once.
fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        oracle(&["run", text(&database), SQL]);
        let file = fs::read(&database).unwrap();
        let wal = fs::read(beside(&database, "-wal")).unwrap();
        let generation = generation(&database);
        let files = BTreeMap::from([(DATABASE.into(), file), (WAL.into(), wal)]);
        Made { _folder: folder, database, generation, files }
    })
}

/// Runs the command on a file system; its error in words, and what it wrote.
fn run(vfs: &dyn Vfs, more: &[&str]) -> (Result<Exit, String>, String) {
    let args = ["walsmith", DATABASE, "--to", "3", "--generation", &made().generation];
    let line = Line::try_parse_from([&args, more].concat()).unwrap();
    let mut out = Vec::new();
    let output = Output::new(&mut out, Format::Json);
    let mut context = Context { vfs, watch: &Nobody, output, warnings: RefCell::default() };
    let done = line.rewind.run(&mut context).map_err(|error| format!("{error:#}"));
    drop(context);
    (done, String::from_utf8(out).unwrap())
}

fn memory() -> MemoryVfs {
    let vfs = MemoryVfs::default();
    for (path, bytes) in &made().files {
        vfs.put(path, bytes.clone());
    }
    vfs
}

/// Everything on it is durable.
fn faulty() -> (MemoryVfs, FaultVfs<MemoryVfs>) {
    let inner = memory();
    let vfs = FaultVfs::new(inner.clone());
    for path in made().files.keys() {
        vfs.open(path, OpenMode::ReadOnly).unwrap();
    }
    vfs.plan(None);
    (inner, vfs)
}

/// The pages that SQLite sees, and the size by the last commit.
fn seen(oracle: &mut Oracle, files: &Files) -> Vec<u32> {
    let empty = Vec::new();
    let database = &files[Path::new(DATABASE)];
    let sight = oracle.see_bytes(database, files.get(Path::new(WAL)).unwrap_or(&empty));
    assert_eq!(sight.error, None);
    sight.pages
}

fn files_of(vfs: &MemoryVfs) -> Files {
    let bytes = |path: &str| Some((PathBuf::from(path), vfs.bytes(Path::new(path))?));
    [DATABASE, WAL].into_iter().filter_map(bytes).collect()
}

#[test]
fn power_loss_at_any_call_leaves_one_state_or_the_other() {
    let (inner, vfs) = faulty();
    let (done, _) = run(&vfs, &[]);
    assert_eq!(done, Ok(Exit::Done));
    let calls = vfs.calls();
    let mut oracle = Oracle::start();
    let before = seen(&mut oracle, &made().files);
    let after = seen(&mut oracle, &files_of(&inner));
    assert_ne!(before, after);
    let (mut points, mut old, mut new) = (0, 0, 0);
    for call in 1..=calls {
        let (_, vfs) = faulty();
        vfs.plan(Some(Fault { call, kind: FaultKind::PowerLoss, persistent: true }));
        let (done, said) = run(&vfs, &[]);
        let kinds = [
            Unsynced::Lost,
            Unsynced::Kept,
            Unsynced::Reordered { seed: call },
            Unsynced::Torn { seed: call },
        ];
        for unsynced in kinds {
            let found = seen(&mut oracle, &vfs.crash_image(unsynced));
            assert!(found == before || found == after, "call {call}, {unsynced:?}");
            // What was said to be done is on the disk.
            let is_said = done.is_ok() && said.contains("\"made\": {");
            assert!(!is_said || found == after, "call {call}, {unsynced:?}: {said}");
            old += u32::from(found == before);
            new += u32::from(found == after);
            points += 1;
        }
    }
    println!("{calls} calls, {points} crash points: {old} before, {new} after");
    assert!(calls > 100 && old > 0 && new > 0);
}

#[test]
fn a_single_failure_leaves_one_state_or_the_other_and_says_which() {
    let (inner, vfs) = faulty();
    run(&vfs, &[]).0.unwrap();
    let calls = vfs.calls();
    let mut oracle = Oracle::start();
    let before = seen(&mut oracle, &made().files);
    let after = seen(&mut oracle, &files_of(&inner));
    let (mut tried, mut failed) = (0, 0);
    for kind in [FaultKind::Fail, FaultKind::DiskFull, FaultKind::ShortWrite(100)] {
        for call in 1..=calls {
            let (inner, vfs) = faulty();
            vfs.plan(Some(Fault { call, kind, persistent: false }));
            let (done, said) = run(&vfs, &[]);
            vfs.plan(None);
            let found = seen(&mut oracle, &files_of(&inner));
            let is_done = said.contains("\"made\": {");
            assert_eq!(done.is_ok(), is_done, "call {call}, {kind:?}: {done:?} {said}");
            let wanted = if is_done { &after } else { &before };
            // A commit that failed to become durable may be found by the next one who recovers.
            let is_late = done.is_err() && found == after;
            assert!(found == *wanted || is_late, "call {call}, {kind:?}: {done:?}");
            if is_late {
                println!("call {call}, {kind:?}: {done:?}, and the log has the commit");
            }
            failed += u32::from(done.is_err());
            tried += 1;
        }
    }
    println!("{tried} single failures, {failed} of them stopped it");
    assert!(failed > 100);
}

#[test]
fn a_kill_at_any_call_leaves_one_state_or_the_other() {
    let sql = "SELECT (SELECT count(*) FROM t), (SELECT max(x) FROM t), \
               (SELECT count(*) FROM sqlite_schema)";
    let before = rows(&made().database, sql);
    let after = "[40,\"".to_owned() + &"0".repeat(98) + "40\",2]\n";
    assert_ne!(before, after);
    let seen = RefCell::new(BTreeMap::<String, u32>::new());
    let prepare = || {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        fs::write(&database, &made().files[Path::new(DATABASE)]).unwrap();
        fs::write(beside(&database, "-wal"), &made().files[Path::new(WAL)]).unwrap();
        (folder, database)
    };
    let args = ["rewind", "DB", "--to", "3", "--generation", &made().generation];
    let kills = everywhere(&walsmith_program(), prepare, &args, |database, said| {
        assert_eq!(rows(database, "PRAGMA integrity_check"), "[\"ok\"]\n");
        let found = rows(database, sql);
        assert!(found == before || found == after, "{found} {said}");
        assert!(!said.contains("back to") || found == after, "{found} {said}");
        *seen.borrow_mut().entry(found).or_default() += 1;
    });
    println!("{kills} kills: {:?}", seen.borrow().values());
    assert!(kills > 30 && seen.borrow().len() == 2);
}
