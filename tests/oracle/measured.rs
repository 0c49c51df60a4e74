//! What `benches/against-sqlite.sh` measures of SQLite, and the files that it measures on.

use std::path::Path;
use std::time::Instant;

use crate::see::open;

/// Makes a database whose log has at least `bytes` bytes, in transactions of some 50 pages.
pub(crate) fn grow(path: &Path, bytes: u64, page_bytes: u32) {
    let connection = open(path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
    );
    connection.execute_batch(&setup).unwrap();
    // A fifth of the log is new pages, the rest are pages that are written again.
    let rows = (bytes / 5 / 1000).max(200);
    let numbers =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})");
    let fill = "INSERT INTO t(b) SELECT randomblob(900) FROM n";
    connection.execute_batch(&format!("{numbers} {fill}")).unwrap();
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let mut row = 1_u64;
    while std::fs::metadata(&wal).unwrap().len() < bytes {
        row = (row * 7919 + 13) % rows;
        let update =
            format!("UPDATE t SET b = randomblob(900) WHERE a BETWEEN {row} AND {}", row + 180);
        connection.execute_batch(&update).unwrap();
    }
}

/// Commits `transactions` times, each of them `pages` pages of a table that has one row a page, and
/// prints frames and nanoseconds. Nothing is synced.
pub(crate) fn frames(path: &Path, transactions: u32, pages: u32) {
    let connection = open(path);
    connection.execute_batch("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0").unwrap();
    let mut update = connection.prepare("UPDATE t SET b = ?1 WHERE a BETWEEN ?2 AND ?3").unwrap();
    let mut blob = vec![0; 3500];
    let mut commit = || {
        for number in 0..transactions {
            blob[..4].copy_from_slice(&number.to_ne_bytes());
            let first = number * pages % (ROWS_OF_FRAMES - pages + 1) + 1;
            update.execute((&blob, first, first + pages - 1)).unwrap();
        }
    };
    commit();
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    let start = Instant::now();
    commit();
    println!("{} {}", transactions * pages, start.elapsed().as_nanos());
}

/// Rows of the table that [`frames`] updates.
const ROWS_OF_FRAMES: u32 = 512;

/// Makes the database for [`frames`], without a log.
pub(crate) fn rows_for_frames(path: &Path) {
    let connection = open(path);
    let sql = format!(
        "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS_OF_FRAMES})
         INSERT INTO t(b) SELECT randomblob(3500) FROM n; PRAGMA wal_checkpoint(TRUNCATE);"
    );
    connection.execute_batch(&sql).unwrap();
}

/// Writes the database as its log has it to a new file.
pub(crate) fn vacuum_into(path: &Path, output: &str) {
    open(path).execute("VACUUM INTO ?1", [output]).unwrap();
}

/// The same, page by page (`.backup` of SQLite's shell).
pub(crate) fn back_up(path: &Path, output: &str) {
    let silent: Option<fn(rusqlite::backup::Progress)> = None;
    open(path).backup("main", output, silent).unwrap();
}

/// Opens a database whose log needs recovery and prints how long the first read took, in
/// milliseconds.
pub(crate) fn recover(path: &Path) {
    let connection = open(path);
    let start = Instant::now();
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    println!("{}", start.elapsed().as_millis());
}
