//! A rewind against resets of the log: the number of another generation is never acted on.
//!
//! `WALSMITH_REWIND_RACES=10000 cargo test --release --test suite rewind::races` runs longer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Parser;
use tempfile::TempDir;
use walsmith::access::classify::describe;
use walsmith::access::{Context, Exit};
use walsmith::commands::rewind::Rewind;
use walsmith::output::{Format, Output};
use walsmith::scan::Watch;
use walsmith::storage::os::OsVfs;

use super::{generation, rewind_in};
use crate::round_trip::number;
use crate::support::{hold_command, oracle, oracle_program, release, rows, text};

const SETUP: &str = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
    CREATE TABLE r(n, resets); INSERT INTO r VALUES(0, 0); PRAGMA wal_checkpoint(TRUNCATE);";

fn made(sql: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["run", text(&database), &format!("{SETUP} {sql}")]);
    (folder, database)
}

/// A process of SQLite's that is attached and holds no transaction.
fn attached(database: &Path) -> Child {
    let mut command = Command::new(oracle_program());
    command.args(["hold-sql", text(database), "SELECT count(*) FROM r"]);
    hold_command(command)
}

#[test]
fn resets_beside_rewinds_never_have_one_act_on_another_generation() {
    let races = number("WALSMITH_REWIND_RACES", 250);
    let (_folder, database) = made("UPDATE r SET n = 1");
    let mut resetting = Command::new(oracle_program());
    resetting.args(["rewound", text(&database), "reset"]).stdout(Stdio::piped());
    let resetting = resetting.spawn().unwrap();
    let (mut exits, mut rewound) = (BTreeMap::<i32, u64>::new(), BTreeSet::new());
    let mut random = fastrand::Rng::with_seed(races);
    let mut named = generation(&database);
    let mut answers = Vec::new();
    for _ in 0..races {
        // An older name is most often wrong, a fresh one most often right when it is looked up.
        if random.u32(..4) > 0 {
            named = generation(&database);
        }
        let (report, exit) = rewind_in(&database, "1", &named, &["--timeout", "300ms"]);
        assert!([0, 3, 4, 6].contains(&exit), "{report}");
        // The new log may have no transaction yet.
        let kind = report["error"]["kind"].as_str();
        assert!(exit != 3 || kind == Some("no-commit"), "{report}");
        *exits.entry(exit).or_default() += 1;
        answers.push(format!("{named} {exit} {report}"));
        if !report["made"].is_null() && exit == 0 {
            rewound.insert(named.clone());
        }
    }
    fs::write(database.with_extension("stop"), "").unwrap();
    let output = resetting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let mut gone_back = 0;
    for line in lines.lines() {
        let (generation, n) = line.split_once(' ').unwrap();
        if n != "3" {
            gone_back += 1;
            let all = || (lines.as_str(), answers.join("\n"));
            assert!(rewound.contains(generation), "{line}: nobody named it: {:#?}", all());
        }
    }
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    let generations = lines.lines().count();
    println!(
        "{races} rewinds {exits:?} beside {generations} resets: {} generations rewound, \
         {gone_back} seen by the writer",
        rewound.len()
    );
    assert!(exits[&0] > 0 && exits[&6] > 0 && !rewound.is_empty());
}

/// Lets SQLite reset the log, if it can, at one of the calls that ask whether to go on.
struct ResetAt<'d> {
    database: &'d Path,
    at: u32,
    calls: Cell<u32>,
    has_committed: Cell<bool>,
    was_reset: Cell<bool>,
}

impl ResetAt<'_> {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() == self.at {
            let before = generation(self.database);
            let sql = "PRAGMA wal_checkpoint(RESTART); UPDATE r SET n = n + 1000";
            let mut command = Command::new(oracle_program());
            command.args(["run", text(self.database), sql]).stderr(Stdio::null());
            self.has_committed.set(command.status().unwrap().success());
            self.was_reset.set(generation(self.database) != before);
        }
    }
}

impl Watch for ResetAt<'_> {
    fn scanned(&self, _done_bytes: u64, _total_bytes: u64) -> ControlFlow<()> {
        self.count();
        ControlFlow::Continue(())
    }

    fn is_interrupted(&self) -> bool {
        self.count();
        false
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    rewind: Rewind,
}

#[test]
fn a_reset_at_any_step_is_before_the_look_under_the_lock_or_after_the_commit() {
    let mut outcomes = BTreeMap::<String, u32>::new();
    for is_attached in [false, true] {
        for at in 1.. {
            let (_folder, database) = made(
                "BEGIN; UPDATE r SET n = 1; INSERT INTO t VALUES(zeroblob(200000)); COMMIT;
                 UPDATE r SET n = 2; UPDATE r SET n = 3; DELETE FROM t;",
            );
            let holder = is_attached.then(|| attached(&database));
            let named = generation(&database);
            let args = ["walsmith", text(&database), "--to", "1", "--generation", &named];
            let line = Line::try_parse_from(args).unwrap();
            let watch = ResetAt {
                database: &database,
                at,
                calls: Cell::new(0),
                has_committed: Cell::new(false),
                was_reset: Cell::new(false),
            };
            let mut out = Vec::new();
            let output = Output::new(&mut out, Format::Json);
            let warnings = RefCell::default();
            let mut context = Context { vfs: &OsVfs, watch: &watch, output, warnings };
            let done = line.rewind.run(&mut context).map_err(|error| describe(&error));
            if let Some(holder) = holder {
                release(holder);
            }
            if watch.calls.get() < at {
                break;
            }
            let n = rows(&database, "SELECT n FROM r");
            let told = match &done {
                Ok(exit) => format!("{exit:?}"),
                Err((exit, report)) => format!("{exit:?}: {}", report.kind),
            };
            let wanted: &[&str] = match (&done, watch.has_committed.get(), watch.was_reset.get()) {
                // A commit of the same generation before the lock is taken back, too.
                (Ok(Exit::Done), true, false) => &["[1]\n", "[1001]\n"],
                (Ok(Exit::Done), true, true) => &["[1001]\n"],
                (Ok(Exit::Done), false, false) => &["[1]\n"],
                (Err((Exit::Refused | Exit::Busy, _)), true, true) => &["[1003]\n"],
                _ => panic!("call {at}: {told}"),
            };
            assert!(wanted.contains(&n.as_str()), "call {at}: {told}: {n}");
            let was_reset = if watch.was_reset.get() { "reset" } else { "no reset" };
            *outcomes.entry(format!("{told}, {was_reset}")).or_default() += 1;
            assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
        }
    }
    println!("{outcomes:?}");
    assert!(outcomes.len() > 1);
}
