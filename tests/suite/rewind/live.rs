//! Rewinds beside SQLite's writers and readers, in other processes, with statements that they
//! prepared before and schemas that change.
//!
//! Eight seconds here; `WALSMITH_REWIND_SECONDS=60 cargo test --release --test suite rewind::live`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{generation, rewind_in};
use crate::round_trip::number;
use crate::support::{beside, oracle, oracle_program, rows, text};

const SLOT_BYTES: usize = 1024 + 24;

fn start(database: &Path, action: &[&str]) -> Child {
    let mut command = Command::new(oracle_program());
    command.args(["rewound", text(database)]).args(action);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a process printed, once it has ended well.
fn printed(child: Child) -> Vec<u64> {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// What was made of which state.
struct Done {
    to: usize,
    made: usize,
}

struct Ran {
    _folder: TempDir,
    database: PathBuf,
    done: Vec<Done>,
    exits: BTreeMap<i32, u64>,
    commits: u64,
    snapshots: u64,
    /// Snapshots in which a reader saw that the database had gone back.
    back: u64,
}

/// Four writers and four readers for some seconds, and rewinds all the time.
fn run(vacuum: &str, autocheckpoint: &str) -> Ran {
    let seconds = number("WALSMITH_REWIND_SECONDS", 8);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["rewound", text(&database), "prepare", vacuum]);
    let time = seconds.to_string();
    let writers = ["0", "1", "2", "3"]
        .map(|writer| start(&database, &["write", writer, &time, autocheckpoint]));
    let readers = [(); 4].map(|()| start(&database, &["read", &time]));
    let mut random = fastrand::Rng::with_seed(seconds);
    let (mut done, mut exits) = (Vec::new(), BTreeMap::<i32, u64>::new());
    let (end, mut last) = (Instant::now() + Duration::from_secs(seconds), 3_usize);
    let log = beside(&database, "-wal");
    while fs::metadata(&log).map_or(0, |log| log.len()) < 40_000 {
        std::thread::yield_now();
    }
    while Instant::now() < end {
        let far = if random.u32(..5) == 0 { last } else { 60.min(last) };
        let to = random.usize(last - far..=last);
        let args = ["--timeout", "2s"];
        let (report, exit) = rewind_in(&database, &to.to_string(), &generation(&database), &args);
        *exits.entry(exit).or_default() += 1;
        let kind = report["error"]["kind"].as_str();
        match exit {
            0 => {
                let txn = |key: &str| {
                    report[key]["txn"].as_u64().map(|txn| usize::try_from(txn).unwrap())
                };
                last = txn("made").or(txn("from")).unwrap();
                if let Some(made) = txn("made") {
                    assert_eq!(txn("to"), Some(to));
                    assert!(made == txn("from").unwrap() + 1, "{report}");
                    is_told(&report);
                    done.push(Done { to, made });
                }
            }
            // A checkpoint has gone over the state, or the log was begun again.
            6 | 3 if autocheckpoint != "0" => {
                assert!(exit == 6 || kind == Some("no-commit"), "{report}");
                last = last.saturating_sub(last / 2).max(1);
            }
            4 => {}
            _ => panic!("{report:#}"),
        }
        std::thread::sleep(Duration::from_millis(random.u64(..60)));
    }
    let commits = writers.into_iter().map(|child| printed(child)[0]).sum();
    let seen: Vec<Vec<u64>> = readers.into_iter().map(printed).collect();
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    let snapshots = seen.iter().map(|it| it[0]).sum();
    let back = seen.iter().map(|it| it[1]).sum();
    Ran { _folder: folder, database, done, exits, commits, snapshots, back }
}

/// What a rewind takes back is known: both states are held until it is.
fn is_told(report: &Value) {
    assert!(report["takes_back"].is_object() && report["not_known"].is_null(), "{report:#}");
}

/// The commit frames of a log.
fn commits_of(log: &[u8]) -> Vec<usize> {
    let slots = log[32..].chunks_exact(SLOT_BYTES).enumerate();
    slots.filter(|(_, slot)| slot[4..8] != [0; 4]).map(|(index, _)| index + 1).collect()
}

/// What SQLite finds in the state after a transaction: the marks, the rows, and the schema.
fn state(ran: &Ran, log: &[u8], frame: usize) -> [String; 3] {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&ran.database, &copy).unwrap();
    fs::write(beside(&copy, "-wal"), &log[..32 + frame * SLOT_BYTES]).unwrap();
    let sql = ["SELECT v, tables FROM g", "SELECT * FROM h", "SELECT name, sql FROM sqlite_schema"];
    assert_eq!(rows(&copy, "PRAGMA integrity_check"), "[\"ok\"]\n");
    sql.map(|sql| rows(&copy, sql))
}

fn mark(state: &[String; 3]) -> u64 {
    state[0].trim_start_matches('[').split(',').next().unwrap().parse().unwrap()
}

#[test]
fn everybody_sees_the_state_that_was_asked_for_and_goes_on_from_it() {
    for vacuum in ["0", "1"] {
        let ran = run(vacuum, "0");
        let log = fs::read(beside(&ran.database, "-wal")).unwrap();
        let frames = commits_of(&log);
        // Nothing that was committed is missing, and nothing was committed twice.
        assert_eq!(frames.len() as u64, ran.commits + ran.done.len() as u64);
        let of = |txn: usize| match txn {
            0 => state(&ran, &log, 0),
            txn => state(&ran, &log, frames[txn - 1]),
        };
        let some = ran.done.len().div_ceil(25);
        for done in ran.done.iter().step_by(some) {
            let (wanted, made) = (of(done.to), of(done.made));
            assert_eq!(made, wanted, "transaction {} as of {}", done.made, done.to);
            // The next one counts on from there, unless it is a rewind itself.
            let is_rewind = ran.done.iter().any(|it| it.made == done.made + 1);
            if done.made < frames.len() && !is_rewind {
                assert_eq!(mark(&of(done.made + 1)), mark(&wanted) + 1);
            }
        }
        let last = ran.done.last().unwrap();
        let since = (frames.len() - last.made) as u64;
        assert_eq!(mark(&of(frames.len())), mark(&of(last.to)) + since);
        println!(
            "auto_vacuum {vacuum}: {} rewinds {:?} beside {} commits and {} snapshots, {} of them \
             of a database that had gone back",
            ran.done.len(),
            ran.exits,
            ran.commits,
            ran.snapshots,
            ran.back
        );
        assert!(ran.done.len() > 1 && ran.back > 0 && ran.snapshots > 100);
    }
}

#[test]
fn beside_checkpoints_too_no_reader_sees_a_mixture() {
    let ran = run("0", "150");
    println!(
        "{} rewinds {:?} beside {} commits and {} snapshots, {} of them of a database that had \
         gone back",
        ran.done.len(),
        ran.exits,
        ran.commits,
        ran.snapshots,
        ran.back
    );
    assert!(!ran.done.is_empty());
}
