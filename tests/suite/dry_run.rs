//! `checkpoint-now --dry-run` against `checkpoint-now`, in every state in which others can hold a
//! database: the same answer in each.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use walsmith::storage::os::OsVfs;
use walsmith::storage::{LockMode, OpenMode, Vfs};

use crate::support::{
    beside, copy, hold, hold_command, oracle_program, release, rows, text, walsmith,
};

const MODES: [&str; 5] = ["noop", "passive", "full", "restart", "truncate"];
const INSERT: &str = "INSERT INTO t(b) VALUES('later') RETURNING a";
const WAL_CKPT_LOCK: u64 = 121;

/// Who holds the database.
#[derive(Clone, Copy, Debug)]
enum Held {
    Nobody,
    /// A reader of the last commit.
    Reader,
    /// A reader of an earlier commit.
    OldReader,
    /// A reader of the file alone (slot 0), beside a log that has begun again.
    FileReader,
    Writer,
    WriterAndOldReader,
    /// It waits for a writer.
    Checkpointer,
    /// Exclusive mode from the beginning: no wal-index.
    Exclusive,
    /// The same, and the index of somebody who died lies there.
    ExclusiveBesideIndex,
    /// Exclusive mode by somebody who uses the wal-index.
    ExclusiveLater,
}

const ALL: [Held; 10] = [
    Held::Nobody,
    Held::Reader,
    Held::OldReader,
    Held::FileReader,
    Held::Writer,
    Held::WriterAndOldReader,
    Held::Checkpointer,
    Held::Exclusive,
    Held::ExclusiveBesideIndex,
    Held::ExclusiveLater,
];

fn hold_sql(database: &Path, sql: &str) -> Child {
    let mut command = Command::new(oracle_program());
    command.args(["hold-sql", text(database), sql]);
    hold_command(command)
}

/// A checkpoint that waits for the writer, with the lock of checkpoints in its hands.
fn waiting_checkpoint(database: &Path) -> Child {
    let mut command = Command::new(oracle_program());
    command.args(["checkpoint", text(database), "FULL"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let index = OsVfs.open(&beside(database, "-shm"), OpenMode::ReadOnly).unwrap();
    let byte = WAL_CKPT_LOCK..WAL_CKPT_LOCK + 1;
    while index.lock_holder(byte.clone(), LockMode::Shared).unwrap().is_none() {
        std::thread::yield_now();
    }
    child
}

fn hold_all(held: Held, database: &Path) -> Vec<Child> {
    let exclusive = "PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; COMMIT";
    match held {
        Held::Nobody => Vec::new(),
        Held::Reader => vec![hold("hold-read", database)],
        Held::OldReader => {
            let reader = hold("hold-read", database);
            rows(database, INSERT);
            vec![reader]
        }
        Held::FileReader => {
            // Somebody keeps log and index, so that what is copied stays known.
            let other = hold_sql(database, "SELECT 1");
            assert_eq!(walsmith(&["checkpoint-now", text(database)]).1, 0);
            let reader = hold("hold-read", database);
            rows(database, INSERT);
            vec![reader, other]
        }
        Held::Writer => vec![hold("hold-write", database)],
        Held::WriterAndOldReader => {
            let reader = hold("hold-read", database);
            rows(database, INSERT);
            vec![reader, hold("hold-write", database)]
        }
        Held::Checkpointer => {
            let writer = hold("hold-write", database);
            vec![waiting_checkpoint(database), writer]
        }
        Held::Exclusive => vec![hold_sql(database, exclusive)],
        Held::ExclusiveBesideIndex => {
            let mut first = hold("hold-read", database);
            first.kill().unwrap();
            first.wait().unwrap();
            assert!(beside(database, "-shm").exists());
            vec![hold_sql(database, exclusive)]
        }
        Held::ExclusiveLater => {
            let later = format!("SELECT * FROM t; {exclusive}");
            vec![hold_sql(database, &later)]
        }
    }
}

/// What both must say alike.
fn answer((report, exit): &(Value, i32)) -> Value {
    let blocked_by: Vec<(&Value, &Value)> = report["blocked_by"]
        .as_array()
        .unwrap_or_else(|| panic!("{report:#}"))
        .iter()
        .map(|row| (&row["pid"], &row["lock"]))
        .collect();
    json!({
        "exit": exit,
        "busy": report["busy"],
        "log_frames": report["log_frames"],
        "checkpointed_frames": report["checkpointed_frames"],
        "copied_pages": report["copied_pages"],
        "blocked_by": blocked_by,
    })
}

#[test]
fn a_dry_run_says_what_the_real_run_says_whoever_holds_the_database() {
    let mut busy = 0;
    for held in ALL {
        for mode in MODES {
            let (_folder, database) = copy("twenty-rows");
            let holders = hold_all(held, &database);
            let args = ["checkpoint-now", text(&database), "--mode", mode];
            let forecast = walsmith(&[&args[..], &["--dry-run"]].concat());
            let done = walsmith(&args);
            assert_eq!(answer(&forecast), answer(&done), "{held:?} {mode}");
            busy += u32::from(done.1 != 0);
            if matches!(held, Held::Exclusive | Held::ExclusiveBesideIndex) {
                let blocker = &done.0["blocked_by"][0];
                let holder = u64::from(holders[0].id());
                let found = (blocker["pid"].as_u64(), done.1);
                assert_eq!(found, (Some(holder), 4), "{held:?} {mode}");
            }
            // The checkpoint that waits ends with the writer.
            holders.into_iter().rev().for_each(release);
        }
    }
    assert!(busy > 25, "{busy} of the states are busy");
}
