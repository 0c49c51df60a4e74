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
