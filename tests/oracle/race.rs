//! The WAL-reset race (`engine/PROTOCOL.md`, Checkpoint), step by step: a checkpointer is stopped
//! between loading the header and looking at what is copied, while a writer resets the log and
//! commits.
//!
//! The same file is built against SQLite before 3.51.3, which loses rows here; see `old-sqlite`.

use std::ffi::{CStr, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::Mutex;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::ffi;

/// Runs a step of the race.
pub(crate) fn run(action: &str, path: &Path) {
    match action {
        "race" => schedule(path),
        "race-setup" => setup(path),
        "race-checkpoint" => checkpoint(path),
        "race-reset" => reset(path),
        "race-finish" => finish(path),
        _ => panic!("{action}"),
    }
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    connection.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    connection
}

/// A transaction for each row.
fn each(connection: &Connection, rows: std::ops::RangeInclusive<u32>, sql: &str) {
    for row in rows {
        connection.execute(sql, [row]).unwrap();
    }
}

const KEEP: &str = "UPDATE t SET b = 'kept' WHERE a = ?";

/// 200 rows, a transaction each, all of them in the log.
fn setup(path: &Path) {
    let connection = open(path);
    let sql = "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)";
    connection.execute_batch(sql).unwrap();
    each(&connection, 1..=200, "INSERT INTO t VALUES(?, randomblob(300))");
}

/// 200 more transactions, and everything into the database, by another process than the one that
/// will be stopped: the log has more frames now than the writers will fill.
fn checkpoint(path: &Path) {
    let connection = open(path);
    each(&connection, 1..=200, "UPDATE t SET b = randomblob(300) WHERE a = ?");
    connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(())).unwrap();
}

/// What a writer does while the checkpointer stands still: 20 transactions into a log that he may
/// reset.
fn reset(path: &Path) {
    each(&open(path), 1..=20, KEEP);
}

/// 20 more transactions, and everything into the database.
fn finish(path: &Path) {
    let connection = open(path);
    each(&connection, 21..=40, KEEP);
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    connection.query_row(sql, [], |_| Ok(())).unwrap();
}

static HOOK: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Stands in for munmap: SQLite gives its mapping of the database up between the two steps.
unsafe extern "C" fn munmap(_address: *mut c_void, _bytes: usize) -> c_int {
    if let Some(path) = HOOK.lock().unwrap().take() {
        let program = std::env::current_exe().unwrap();
        assert!(Command::new(program).arg("race-reset").arg(path).status().unwrap().success());
    }
    // The mapping stays; the process does not live long.
    0
}

/// Runs the whole schedule in `path`, with this SQLite as the checkpointer, and prints how many of
/// the 40 acknowledged transactions are left.
fn schedule(path: &Path) {
    setup(path);
    let stopped = open(path);
    stopped.execute_batch("PRAGMA mmap_size=1048576").unwrap();
    stopped.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    // Reads the database file through the mapping.
    stopped.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    let program = std::env::current_exe().unwrap();
    assert!(Command::new(program).arg("race-checkpoint").arg(path).status().unwrap().success());
    *HOOK.lock().unwrap() = Some(path.to_owned());
    let hook = munmap as unsafe extern "C" fn(*mut c_void, usize) -> c_int;
    // SAFETY: the default VFS lives for ever; the replacement has the signature of munmap, which is
    // what SQLite casts it back to.
    unsafe {
        let vfs = ffi::sqlite3_vfs_find(ptr::null());
        let hook = std::mem::transmute::<
            unsafe extern "C" fn(*mut c_void, usize) -> c_int,
            unsafe extern "C" fn(),
        >(hook);
        let set = (*vfs).xSetSystemCall.unwrap();
        assert_eq!(set(vfs, c"munmap".as_ptr(), Some(hook)), ffi::SQLITE_OK);
    }
    stopped.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    assert!(HOOK.lock().unwrap().is_none(), "the schedule was kept");
    finish(path);
    let sql = "SELECT count(*) FROM t WHERE b = 'kept'";
    let left: u32 = open(path).query_row(sql, [], |row| row.get(0)).unwrap();
    // SAFETY: the version is a constant string.
    let version = unsafe { CStr::from_ptr(ffi::sqlite3_libversion()) };
    println!("SQLite {}: {left} of 40 transactions", version.to_str().unwrap());
}
