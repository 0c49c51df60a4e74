//! Databases of SQLite's VFS shims: made and read with the shim under the connection.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::path::Path;

use fastrand::Rng;
use rusqlite::{Connection, ffi};
use serde_json::{Value, json};

use crate::see::open;

/// Asks for `reserved` bytes at the end of every page that is written from the next VACUUM on.
pub(crate) fn reserve(connection: &Connection, reserved: i32) {
    let mut bytes = reserved;
    // SAFETY: the handle is open, and the file control reads and writes one int.
    let code = unsafe {
        let argument = (&raw mut bytes).cast();
        let op = ffi::SQLITE_FCNTL_RESERVE_BYTES;
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), op, argument)
    };
    assert_eq!(code, ffi::SQLITE_OK);
}

/// Runs `sql` in a connection that has asked for reserved bytes, and dies: the log stays.
pub(crate) fn run_reserving(path: &Path, reserved: i32, sql: &str) {
    let connection = open(path);
    reserve(&connection, reserved);
    connection.execute_batch(sql).unwrap();
    std::process::abort();
}

/// Reads paths of private copies from stdin, one a line; answers each with [`contents`].
pub(crate) fn contents_of_each() {
    let mut answers = io::stdout().lock();
    for path in io::stdin().lock().lines() {
        let found = contents(&open(Path::new(&path.unwrap())));
        let found = found.unwrap_or_else(|error| format!("error: {error}"));
        writeln!(answers, "{}", Value::from(found)).unwrap();
        answers.flush().unwrap();
    }
}

/// What a database holds, as SQLite reads it: its structure, and sums of schema and rows.
fn contents(connection: &Connection) -> rusqlite::Result<String> {
    let mut sum = crc32fast::Hasher::new();
    let mut tables = BTreeSet::new();
    let mut statement = connection.prepare(
        "SELECT type, name, coalesce(sql, ''), rootpage FROM sqlite_schema ORDER BY rowid",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name): (String, String) = (row.get(0)?, row.get(1)?);
        sum.update(
            format!("{kind} {name} {} {}", row.get::<_, String>(2)?, row.get::<_, i64>(3)?)
                .as_bytes(),
        );
        if kind == "table" {
            tables.insert(name);
        }
    }
    let mut counted = 0_u64;
    for table in tables {
        let mut statement = connection.prepare(&format!("SELECT rowid, * FROM {table}"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            counted += 1;
            for column in 0..columns {
                sum.update(format!("{:?}", row.get_ref(column)?).as_bytes());
            }
        }
    }
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let sound: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    let pages = pragma("page_count")?;
    Ok(format!("{sound}, {pages} pages, {counted} rows, sum {:08x}", sum.finalize()))
}

/// Prints, as a JSON list, for each outcome of the shim's `verify_checksum` the pages that have it
/// (1, 0 or null), or the error of the first page that cannot be read.
pub(crate) fn verify(path: &Path) {
    let connection = open(path);
    let read = || -> rusqlite::Result<Vec<Value>> {
        let sql = "SELECT verify_checksum(data), count(*) FROM sqlite_dbpage GROUP BY 1";
        let mut statement = connection.prepare(sql)?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(json!([row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?]))
        };
        statement.query_map([], row)?.collect()
    };
    let found = read().unwrap_or_else(|error| vec![json!(error.to_string())]);
    println!("{}", Value::from(found));
}

/// One history of a database with `reserved` bytes, made from `seed`; dies and leaves the log.
/// Prints what the database holds as of each transaction of the log's last generation, in a JSON
/// list that begins with the state before it.
pub(crate) fn history(path: &Path, reserved: i32, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let connection = open(path);
    reserve(&connection, reserved);
    let page_bytes = [512, 512, 1024, 4096, 4096, 65_536][random.usize(..6)];
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum={}; PRAGMA journal_mode=WAL;
         PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; PRAGMA cache_size={};
         CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); CREATE INDEX t_by_b ON t(b);",
        random.u32(..3),
        if random.bool() { 10 } else { 1000 }
    );
    connection.execute_batch(&setup).unwrap();
    let most_blob = page_bytes.min(4096) * 2;
    if random.bool() {
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
             INSERT INTO t(b, c) SELECT i * 7 % 60, zeroblob({}) FROM n",
            random.u32(..most_blob)
        );
        connection.execute_batch(&sql).unwrap();
    }
    checkpoint(path, ["PASSIVE", "RESTART", "TRUNCATE"][random.usize(..3)]);
    let mut states = vec![contents(&connection).unwrap()];
    let mut generation = salts(path);
    let mut reader = None;
    for number in 0..random.u32(2..14) {
        let before = states.last().unwrap().clone();
        transaction(&connection, number, most_blob, &mut random);
        let now = salts(path);
        if std::mem::replace(&mut generation, now) != now {
            states = vec![before];
        }
        states.push(contents(&connection).unwrap());
        match random.u32(..9) {
            0 => {
                let other = open(path);
                other.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
                reader = Some(other);
            }
            1 => reader = None,
            2 | 3 => checkpoint(path, "PASSIVE"),
            4 if reader.is_none() && random.bool() => checkpoint(path, "RESTART"),
            _ => {}
        }
    }
    println!("{}", Value::from(states));
    io::stdout().flush().unwrap();
    std::process::abort();
}

/// One transaction that writes at least a row.
fn transaction(connection: &Connection, number: u32, most_blob: u32, random: &mut Rng) {
    let mut blob = vec![0; random.u32(1..most_blob) as usize];
    random.fill(&mut blob);
    if random.u32(..12) == 0 {
        connection.execute_batch("VACUUM").unwrap();
        return;
    }
    connection.execute_batch("BEGIN").unwrap();
    connection.execute("INSERT INTO t(b, c) VALUES(?, ?)", (number, &blob)).unwrap();
    let some = random.u32(1..70);
    let more = match random.u32(..7) {
        0 => format!("DELETE FROM t WHERE a % 3 = {}", random.u32(..3)),
        1 => format!("UPDATE t SET c = zeroblob(length(c)) WHERE a = {some}"),
        2 => format!("UPDATE t SET b = b + 1 WHERE a > {some}"),
        3 => format!("CREATE TABLE u{number}(x); INSERT INTO u{number} VALUES({some})"),
        4 => "PRAGMA incremental_vacuum(3)".to_owned(),
        _ => String::new(),
    };
    connection.execute_batch(&more).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

/// Checkpoints from a connection of its own, as far as readers let it.
fn checkpoint(path: &Path, mode: &str) {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    open(path).query_row(&sql, [], |_| Ok(())).unwrap();
}

/// The salts of the log; no lock lies on that file.
fn salts(path: &Path) -> [u8; 8] {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let bytes = std::fs::read(wal).unwrap();
    bytes.get(16..24).and_then(|salts| salts.try_into().ok()).unwrap_or_default()
}
