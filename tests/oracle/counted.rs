//! Writers whose every commit can be known from any mixture of commits: a table counts the rows
//! that each has written.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::see::open;

/// Makes the database of [`write`], for four writers.
pub(crate) fn prepare(path: &Path) {
    let setup = "PRAGMA journal_mode=WAL;
        CREATE TABLE t(id INTEGER PRIMARY KEY, w, n, k, b);
        CREATE INDEX t_by_count ON t(w, n); CREATE INDEX t_by_key ON t(k);
        CREATE TABLE s(w INTEGER PRIMARY KEY, n);
        INSERT INTO s VALUES(0, 0), (1, 0), (2, 0), (3, 0);
        CREATE TABLE junk(x)";
    open(path).execute_batch(setup).unwrap();
}

/// Writes as one of four writers, or as the only one, who is called by its journal mode. One of
/// four who is `bounded` keeps at most his last [`MOST_ROWS`], so that the whole is read fast.
pub(crate) fn write_as(path: &Path, writer: &str, seconds: u64, options: &[&str]) {
    match writer.parse() {
        Ok(number) => write(path, number, seconds, options == ["bounded"]),
        Err(_) => write_alone(path, writer, seconds),
    }
}

/// Rows that a writer keeps.
const MOST_ROWS: u32 = 500;

/// Commits transactions of one to six rows, updates and deletions for `seconds`, with small
/// automatic checkpoints; prints how many.
fn write(path: &Path, writer: u32, seconds: u64, is_bounded: bool) {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    let frames = [60, 150, 400][writer as usize % 3];
    let setup = format!("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint={frames}");
    connection.execute_batch(&setup).unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut commits = 0_u64;
    while Instant::now() < end {
        let rows = 1 + commits * 7 % 6;
        let sql = format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {rows})
             INSERT INTO t(w, n, k, b) SELECT {writer}, (SELECT n FROM s WHERE w = {writer}) + i,
                 abs(random() % 1000000000), randomblob(10 + abs(random() % 1500)) FROM c;
             UPDATE t SET b = randomblob(300) WHERE id IN
                 (SELECT abs(random() % (SELECT max(id) + 1 FROM t)) FROM t LIMIT 5);
             UPDATE s SET n = n + {rows} WHERE w = {writer}; COMMIT"
        );
        connection.execute_batch(&sql).unwrap();
        if is_bounded && commits % 20 == 7 {
            let sql = format!(
                "BEGIN IMMEDIATE; DELETE FROM t WHERE w = {writer} AND id <= (SELECT id FROM t
                     WHERE w = {writer} ORDER BY id DESC LIMIT 1 OFFSET {MOST_ROWS});
                 UPDATE s SET n = (SELECT count(*) FROM t WHERE w = {writer}) WHERE w = {writer};
                 COMMIT"
            );
            connection.execute_batch(&sql).unwrap();
        }
        if commits % 50 == 13 {
            let sql = "BEGIN IMMEDIATE; DELETE FROM junk;
                 WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40)
                 INSERT INTO junk SELECT randomblob(3000) FROM c; COMMIT";
            connection.execute_batch(sql).unwrap();
        }
        commits += 1;
        std::thread::sleep(Duration::from_millis(writer.into()));
    }
    println!("{commits}");
}

/// Commits transactions of one row for `seconds`, in exclusive mode and with a journal of `mode`.
fn write_alone(path: &Path, mode: &str, seconds: u64) {
    let connection = Connection::open(path).unwrap();
    let setup = format!(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode={mode}; PRAGMA synchronous=OFF;
         PRAGMA wal_autocheckpoint=100"
    );
    connection.execute_batch(&setup).unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let sql = "BEGIN IMMEDIATE;
             INSERT INTO t(w, n, k, b) SELECT 0, n + 1, 7, randomblob(900) FROM s WHERE w = 0;
             UPDATE s SET n = n + 1 WHERE w = 0; COMMIT";
        connection.execute_batch(sql).unwrap();
    }
}
