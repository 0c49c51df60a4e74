//! SQLite at work beside the tests: holders, busy writers, writers that die.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::see::open;

/// Opens a transaction, says "ready" and holds it until stdin closes.
pub(crate) fn hold(path: &Path, begin: &str) {
    let connection = open(path);
    connection.execute_batch(begin).unwrap();
    connection.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Opens a read transaction, says "ready", waits until stdin closes, and prints what it saw before
/// and what it sees after.
pub(crate) fn hold_sight(path: &Path) {
    let connection = open(path);
    connection.execute_batch("BEGIN").unwrap();
    let sight = || -> (i64, String) {
        let sql = "SELECT (SELECT count(*) FROM t), (SELECT group_concat(hex(v)) FROM ours)";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let before = sight();
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    println!("{}", before == sight());
}

/// Dies in a rollback-journal transaction that has written into the database file already.
pub(crate) fn hot_journal(path: &Path, page_bytes: u32, sync: &str) {
    let connection = open(path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=DELETE; PRAGMA synchronous={sync};
         CREATE TABLE t(a INTEGER PRIMARY KEY, b); PRAGMA cache_size=5;"
    );
    connection.execute_batch(&setup).unwrap();
    let row = format!("INSERT INTO t(b) VALUES(randomblob({}))", page_bytes / 3);
    connection.execute_batch("BEGIN").unwrap();
    (0..120).for_each(|_| connection.execute_batch(&row).unwrap());
    connection.execute_batch("COMMIT; BEGIN").unwrap();
    for a in 0..120 {
        connection.execute("UPDATE t SET b = randomblob(length(b)) WHERE a = ?", [a]).unwrap();
        connection.execute_batch(&row).unwrap();
    }
    std::process::abort();
}

/// Inserts rows in transactions of one to eight, with an index, and leaves all of it in the log.
pub(crate) fn workload(path: &Path, page_bytes: u32, transactions: u32) {
    let connection = open(path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB); CREATE INDEX t_by_b ON t(b);"
    );
    connection.execute_batch(&setup).unwrap();
    for number in 0..transactions {
        connection.execute_batch("BEGIN").unwrap();
        for _ in 0..1 + number * 7 % 8 {
            let sql = "INSERT INTO t(b, c) VALUES(hex(randomblob(12)), randomblob(150))";
            connection.execute_batch(sql).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
}

/// Writes transactions that insert, update and delete rows of a table with an index and of one
/// without row ids, and dies. The database is made if it is not there.
pub(crate) fn churn(path: &Path, page_bytes: u32, transactions: u32) {
    let connection = open(path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b TEXT, c BLOB);
         CREATE INDEX IF NOT EXISTS t_by_b ON t(b);
         CREATE TABLE IF NOT EXISTS u(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;"
    );
    connection.execute_batch(&setup).unwrap();
    let some_row = "(SELECT abs(random()) % (SELECT max(a) + 1 FROM t))";
    for number in 0..transactions {
        connection.execute_batch("BEGIN").unwrap();
        for step in 0..1 + number * 7 % 8 {
            let sql = match (number + step) % 10 {
                3 => format!("UPDATE t SET c = randomblob(150) WHERE a = {some_row}"),
                6 => format!("DELETE FROM t WHERE a = {some_row}"),
                8 => "REPLACE INTO u VALUES(hex(randomblob(4)), randomblob(60))".to_owned(),
                _ => "INSERT INTO t(b, c) VALUES(hex(randomblob(12)), randomblob(150))".to_owned(),
            };
            connection.execute_batch(&sql).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    std::process::abort();
}

/// Makes a database of more than 1 GiB, most of it a hole, whose log writes on both sides of the
/// lock-byte page.
pub(crate) fn sparse(path: &Path) {
    let connection = open(path);
    let setup = "PRAGMA page_size=65536; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
                 PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b)";
    connection.execute_batch(setup).unwrap();
    // Overflow pages of zeros: 17,000 pages of 64 KiB.
    let chunk = 60_000_000;
    for _ in 0..18 {
        connection.execute("INSERT INTO t(b) VALUES(zeroblob(?))", [chunk]).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }
    connection.execute_batch("INSERT INTO t(b) VALUES(randomblob(300000))").unwrap();
}

/// Works in exclusive mode, says "ready" and stays until stdin closes.
pub(crate) fn hold_exclusive(path: &Path) {
    let connection = open(path);
    let sql = "PRAGMA locking_mode=EXCLUSIVE; BEGIN IMMEDIATE; COMMIT";
    connection.execute_batch(sql).unwrap();
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Writes until the log has more than `frames` frames, and leaves it.
pub(crate) fn long_log(path: &Path, frames: i64) {
    let connection = open(path);
    connection.execute_batch("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0").unwrap();
    loop {
        for _ in 0..200 {
            let sql = "INSERT INTO t(writer, seq, pad) VALUES(1, random(), randomblob(700))";
            connection.execute_batch(sql).unwrap();
        }
        let log = |row: &rusqlite::Row<'_>| row.get::<_, i64>(1);
        if connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], log).unwrap() > frames {
            return;
        }
    }
}

/// Runs a checkpoint and prints its three columns.
pub(crate) fn checkpoint(path: &Path, mode: &str, sync: &str) {
    let connection = open(path);
    connection.execute_batch(&format!("PRAGMA synchronous={sync}")).unwrap();
    connection
        .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            let (busy, log, done): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            println!("{busy} {log} {done}");
            Ok(())
        })
        .unwrap();
}

/// Writes small transactions, rolled back spills and frequent resets; prints how many it committed.
pub(crate) fn write(path: &Path, seconds: u64) {
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
pub(crate) fn spill(connection: &Connection, rows: u32) -> rusqlite::Result<()> {
    for _ in 0..rows {
        connection.execute_batch("INSERT INTO t(b) VALUES(randomblob(900))")?;
    }
    Ok(())
}

/// Dies in the middle of a transaction that has spilled.
pub(crate) fn spill_and_die(path: &Path) {
    let connection = open(path);
    connection.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    spill(&connection, 40).unwrap();
    std::process::abort();
}

/// Makes a log whose pages hold copies of itself, with a rolled-back transaction that was spilled
/// and frames of a generation before, which hold copies of themselves too; then dies.
pub(crate) fn own_log(path: &Path, page_bytes: u32) {
    let connection = open(path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         PRAGMA cache_size=5; CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)"
    );
    connection.execute_batch(&setup).unwrap();
    let log = path.with_extension("db-wal");
    let store = |most: usize| {
        let mut bytes = std::fs::read(&log).unwrap();
        bytes.truncate(most);
        connection.execute("INSERT INTO t(b) VALUES(?)", [bytes]).unwrap();
    };
    for rounds in [12, 5] {
        connection.execute_batch("INSERT INTO t(b) VALUES(randomblob(900))").unwrap();
        for _ in 0..rounds {
            store(20_000);
            connection.execute_batch("BEGIN").unwrap();
            store(60_000);
            store(60_000);
            connection.execute_batch("ROLLBACK; DELETE FROM t WHERE a % 3 = 1").unwrap();
        }
        if rounds == 12 {
            connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        }
    }
    std::process::abort();
}

/// Runs `sql` and dies with the connection open.
pub(crate) fn write_and_die(path: &Path, sql: &str) {
    let connection = open(path);
    connection.execute_batch(sql).unwrap();
    std::process::abort();
}

/// Makes a WAL database with the rows that our engine stamps, and an empty table for SQLite.
pub(crate) fn prepare(path: &Path, rows: i64, page_bytes: u32) {
    let connection = open(path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL;
         CREATE TABLE ours(id INTEGER PRIMARY KEY, v BLOB);
         CREATE TABLE t(a INTEGER PRIMARY KEY, writer INT, seq INT, pad BLOB);
         CREATE INDEX t_by_writer ON t(writer, seq);"
    );
    connection.execute_batch(&setup).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for id in 0..rows {
        let mut blob = b"walsmith".to_vec();
        blob.extend_from_slice(&id.to_be_bytes());
        blob.extend_from_slice(&[0; 8]);
        connection.execute("INSERT INTO ours VALUES(?, ?)", (id, blob)).unwrap();
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

/// Inserts rows of its own, one a transaction, in between larger ones that it rolls back; prints
/// how many it committed.
pub(crate) fn append(path: &Path, writer: u32, seconds: u64) {
    let connection = open(path);
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection
        .execute_batch("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=200; PRAGMA cache_size=5")
        .unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut committed = 0_i64;
    while Instant::now() < end {
        if committed % 50 == 17 {
            connection.execute_batch("BEGIN IMMEDIATE").unwrap();
            for _ in 0..20 {
                let sql = "INSERT INTO t(writer, seq, pad) VALUES(-1, 0, randomblob(900))";
                connection.execute_batch(sql).unwrap();
            }
            connection.execute_batch("ROLLBACK").unwrap();
        }
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let sql = "INSERT INTO t(writer, seq, pad) VALUES(?, ?, randomblob(100))";
        connection.execute(sql, (writer, committed)).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        committed += 1;
    }
    println!("{committed}");
}

/// Many connections of one process: every second one writes, the others read. Prints how many rows
/// were committed.
pub(crate) fn crowd(path: &Path, connections: u32, seconds: u64) {
    let committed = std::sync::atomic::AtomicU64::new(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for number in 0..connections {
            let committed = &committed;
            scope.spawn(move || {
                let connection = open(path);
                connection.busy_timeout(Duration::from_secs(120)).unwrap();
                connection.execute_batch("PRAGMA synchronous=OFF").unwrap();
                while Instant::now() < end {
                    if number % 2 == 0 {
                        let sql = "INSERT INTO t(writer, seq, pad) VALUES(?, 0, randomblob(100))";
                        connection.execute(sql, [number]).unwrap();
                        committed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    } else {
                        let sql = "SELECT count(*) FROM ours";
                        connection.query_row(sql, [], |_| Ok(())).unwrap();
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
    println!("{}", committed.into_inner());
}

/// All readers rest at the same time now and then, so that the log can begin again.
fn rest() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let slice = now.as_millis() % 400;
    if slice > 250 {
        std::thread::sleep(Duration::from_millis(u64::try_from(400 - slice).unwrap()));
    }
}

/// Holds snapshots and looks at each twice; prints how many.
pub(crate) fn observe(path: &Path, seconds: u64) {
    let connection = open(path);
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    let sight = || {
        let sql = "SELECT (SELECT count(*) FROM t), (SELECT sum(seq) FROM t),
                   (SELECT group_concat(hex(v)) FROM ours)";
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?))
        };
        connection.query_row(sql, [], row).unwrap()
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut snapshots, mut rows) = (0_u64, 0);
    while Instant::now() < end {
        rest();
        connection.execute_batch("BEGIN").unwrap();
        let before = sight();
        std::thread::sleep(Duration::from_millis(snapshots % 20));
        assert_eq!(before, sight(), "a snapshot has changed");
        assert!(rows <= before.0, "a snapshot has gone back");
        rows = before.0;
        connection.execute_batch("COMMIT").unwrap();
        snapshots += 1;
    }
    println!("{snapshots}");
}
