//! The WAL-reset race (reference 7.7), step by step: a checkpointer is stopped between loading the
//! header and looking at what is copied, while a writer resets the log and commits.
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

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    connection.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    connection
}

fn insert(connection: &Connection, rows: u32) {
    for _ in 0..rows {
        connection.execute_batch("INSERT INTO t(b) VALUES(randomblob(300))").unwrap();
    }
}

/// 200 rows, a transaction each, all of them in the log.
pub fn setup(path: &Path) {
    let connection = open(path);
    let sql = "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)";
    connection.execute_batch(sql).unwrap();
    insert(&connection, 200);
}

/// What the writer does while the checkpointer stands still: 20 rows into a log that he may reset.
pub fn reset(path: &Path) {
    insert(&open(path), 20);
}

/// One more row, and everything into the database.
pub fn finish(path: &Path) {
    let connection = open(path);
    insert(&connection, 1);
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    connection.query_row(sql, [], |_| Ok(())).unwrap();
}

/// Copies everything, as another process than the one that will be stopped.
pub fn checkpoint(path: &Path) {
    let connection = open(path);
    insert(&connection, 1);
    connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(())).unwrap();
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

/// Runs the whole schedule in `path`, with this SQLite as the checkpointer, and prints the rows that
/// are left of 222.
pub fn schedule(path: &Path) {
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
    let sql = "SELECT count(*) FROM t";
    let left: u32 = open(path).query_row(sql, [], |row| row.get(0)).unwrap();
    // SAFETY: the version is a constant string.
    let version = unsafe { CStr::from_ptr(ffi::sqlite3_libversion()) };
    println!("SQLite {}: {left} of 222 rows", version.to_str().unwrap());
}
