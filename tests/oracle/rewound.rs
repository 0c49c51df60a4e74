//! Writers and readers beside rewinds: every state that was committed has marks by which a mixture
//! of two would show.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Statement};

use crate::see::open;

/// Rows of `h` that are kept: older ones are deleted, and their pages become free.
const KEPT: i64 = 300;

/// Makes the database of [`write`] and [`read`].
pub(crate) fn prepare(path: &Path, vacuum: &str) {
    let setup = format!(
        "PRAGMA page_size=1024; PRAGMA auto_vacuum={vacuum}; PRAGMA journal_mode=WAL;
         CREATE TABLE g(one INTEGER PRIMARY KEY, v, tables); INSERT INTO g VALUES(1, 0, 0);
         CREATE TABLE h(id INTEGER PRIMARY KEY, v UNIQUE, w, pad);
         PRAGMA wal_checkpoint(TRUNCATE)"
    );
    open(path).execute_batch(&setup).unwrap();
}

fn attached(path: &Path, autocheckpoint: u32) -> Connection {
    let connection = open(path);
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    let sql = format!("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint={autocheckpoint}");
    connection.execute_batch(&sql).unwrap();
    connection
}

/// Commits transactions that count themselves, by statements that are prepared once; every fifth
/// makes a table or drops one. Prints how many.
pub(crate) fn write(path: &Path, writer: u32, seconds: u64, autocheckpoint: u32) {
    let connection = attached(path, autocheckpoint);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut commits = 0_u64;
    while Instant::now() < end {
        let run = |sql: &str| {
            connection.prepare_cached(sql).unwrap().execute([]).unwrap();
        };
        run("BEGIN IMMEDIATE");
        run("UPDATE g SET v = v + 1");
        let insert = "INSERT INTO h(v, w, pad)
            SELECT v, ?, randomblob(20 + abs(random() % 600)) FROM g";
        connection.prepare_cached(insert).unwrap().execute([writer]).unwrap();
        let delete = "DELETE FROM h WHERE v <= (SELECT v FROM g) - ?";
        connection.prepare_cached(delete).unwrap().execute([KEPT]).unwrap();
        if commits % 5 == u64::from(writer) {
            change_schema(&connection);
        }
        run("COMMIT");
        commits += 1;
        std::thread::sleep(Duration::from_millis(2 + u64::from(writer)));
    }
    println!("{commits}");
}

fn change_schema(connection: &Connection) {
    let number = |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
    let (v, tables) = (number("SELECT v FROM g"), number("SELECT tables FROM g"));
    let sql = if tables < 6 && v % 3 > 0 || tables == 0 {
        format!(
            "CREATE TABLE x{v}(a); INSERT INTO x{v} VALUES({v}); CREATE INDEX y{v} ON x{v}(a);
             UPDATE g SET tables = tables + 1"
        )
    } else {
        let sql = "SELECT name FROM sqlite_schema WHERE name GLOB 'x*' ORDER BY rowid LIMIT 1";
        let name: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        format!("DROP TABLE {name}; UPDATE g SET tables = tables - 1")
    };
    connection.execute_batch(&sql).unwrap();
}

/// Looks at snapshots by statements that are prepared once, each twice, and at the marks that every
/// state has. Prints how many, and in how many the database had gone back.
pub(crate) fn read(path: &Path, seconds: u64) {
    let connection = attached(path, 0);
    let mut statement = connection.prepare(SIGHT).unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut snapshots, mut back, mut last) = (0_u64, 0_u64, 0);
    while Instant::now() < end {
        connection.execute_batch("BEGIN").unwrap();
        let before = sight(&mut statement);
        is_whole(&connection, &before);
        std::thread::sleep(Duration::from_millis(snapshots % 20));
        assert_eq!(before, sight(&mut statement), "a snapshot has changed");
        connection.execute_batch("COMMIT").unwrap();
        back += u64::from(before[0] < last);
        last = before[0];
        snapshots += 1;
    }
    println!("{snapshots} {back}");
}

const SIGHT: &str =
    "SELECT v, tables, (SELECT count(*) FROM h), (SELECT coalesce(max(v), 0) FROM h),
    (SELECT coalesce(min(v), 1) FROM h), (SELECT count(*) FROM h NOT INDEXED WHERE v > 0),
    (SELECT count(*) FROM sqlite_schema WHERE name GLOB 'x*'),
    (SELECT count(*) FROM sqlite_schema WHERE name GLOB 'y*') FROM g";

fn sight(statement: &mut Statement<'_>) -> [i64; 8] {
    let columns = |row: &rusqlite::Row<'_>| {
        let mut sight = [0; 8];
        for (at, column) in sight.iter_mut().enumerate() {
            *column = row.get(at)?;
        }
        Ok(sight)
    };
    statement.query_row([], columns).unwrap()
}

fn is_whole(connection: &Connection, sight: &[i64; 8]) {
    let [v, tables, rows, highest, lowest, scanned, made, indexes] = *sight;
    let kept = v.min(KEPT);
    let wanted = [v, tables, kept, v, v - kept + 1, kept, tables, tables];
    assert_eq!([v, tables, rows, highest, lowest, scanned, made, indexes], wanted);
    let sql = "SELECT name FROM sqlite_schema WHERE name GLOB 'x*' ORDER BY rowid DESC LIMIT 1";
    let Ok(name) = connection.query_row(sql, [], |row| row.get::<_, String>(0)) else { return };
    let sql = format!("SELECT 'x' || a FROM {name} WHERE a > 0");
    let held: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
    assert_eq!(held, name);
}

/// Resets the log again and again, with three commits in each generation that count themselves,
/// until a file `x.stop` is there. Prints the salts of each generation, and what was counted at its
/// end.
pub(crate) fn reset(path: &Path) {
    let connection = attached(path, 0);
    let log = path.with_extension("db-wal");
    while !path.with_extension("stop").exists() {
        let done =
            connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, i64>(0));
        if done != Ok(0) {
            continue;
        }
        // An update that changes no byte is no commit, and begins no generation.
        connection.execute_batch("UPDATE r SET n = 1, resets = resets + 1").unwrap();
        // Nobody locks the log: it may be opened and closed here.
        let salts = || std::fs::read(&log).unwrap()[16..24].to_vec();
        let generation = salts();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(fastrand::u64(..200)));
            connection.execute_batch("UPDATE r SET n = n + 1").unwrap();
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(..200)));
        let n: i64 = connection.query_row("SELECT n FROM r", [], |row| row.get(0)).unwrap();
        assert_eq!(salts(), generation, "all three commits are of one generation");
        let salt = |at: usize| u32::from_be_bytes(generation[at..at + 4].try_into().unwrap());
        println!("{:08x}-{:08x} {n}", salt(0), salt(4));
    }
}
