//! SQLite at work beside the tests: holders, busy writers, writers that die.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::see::open;

/// Opens a transaction, says "ready" and holds it until stdin closes.
pub fn hold(path: &Path, begin: &str) {
    let connection = open(path);
    connection.execute_batch(begin).unwrap();
    connection.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Runs a checkpoint and prints its three columns.
pub fn checkpoint(path: &Path, mode: &str) {
    let connection = open(path);
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            let (busy, log, done): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            println!("{busy} {log} {done}");
            Ok(())
        })
        .unwrap();
}

/// Writes small transactions, rolled back spills and frequent resets; prints how many it committed.
pub fn write(path: &Path, seconds: u64) {
    let connection = open(path);
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    connection
        .execute_batch(
            "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=20; PRAGMA cache_size=5;
             CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b);",
        )
        .unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut commits = 0_u64;
    while Instant::now() < end {
        if commits % 7 == 3 {
            rolled_back_spill(&connection);
        }
        let sql = "INSERT INTO t(b) VALUES(randomblob(300));
                   DELETE FROM t WHERE a <= (SELECT max(a) FROM t) - 500;";
        if connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql} COMMIT;")).is_ok() {
            commits += 1;
        } else if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK").unwrap();
        }
    }
    println!("{commits}");
}

fn rolled_back_spill(connection: &Connection) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    if begun.is_ok() {
        let _ = spill(connection, 40);
        connection.execute_batch("ROLLBACK").unwrap();
    }
}

/// More rows than the cache holds, so that frames reach the log before any commit.
pub fn spill(connection: &Connection, rows: u32) -> rusqlite::Result<()> {
    for _ in 0..rows {
        connection.execute_batch("INSERT INTO t(b) VALUES(randomblob(900))")?;
    }
    Ok(())
}

/// Dies in the middle of a transaction that has spilled.
pub fn spill_and_die(path: &Path) {
    let connection = open(path);
    connection.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    spill(&connection, 40).unwrap();
    std::process::abort();
}

/// Runs `sql` and dies with the connection open.
pub fn write_and_die(path: &Path, sql: &str) {
    let connection = open(path);
    connection.execute_batch(sql).unwrap();
    std::process::abort();
}

/// Makes a database whose log has at least `bytes` bytes, in transactions of some 50 pages.
pub fn grow(path: &Path, bytes: u64) {
    let connection = open(path);
    let setup = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;
                 CREATE TABLE t(a INTEGER PRIMARY KEY, b);";
    connection.execute_batch(setup).unwrap();
    let fill = "INSERT INTO t(b) SELECT randomblob(900) FROM n";
    let numbers =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)";
    connection.execute_batch(&format!("{numbers} {fill}")).unwrap();
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let mut row = 1_u64;
    while std::fs::metadata(&wal).unwrap().len() < bytes {
        row = (row * 7919 + 13) % 199_000;
        let update =
            format!("UPDATE t SET b = randomblob(900) WHERE a BETWEEN {row} AND {}", row + 180);
        connection.execute_batch(&update).unwrap();
    }
}

/// Opens a database whose log needs recovery and prints how long the first read took, in
/// milliseconds.
pub fn recover(path: &Path) {
    let connection = open(path);
    let start = Instant::now();
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    println!("{}", start.elapsed().as_millis());
}
