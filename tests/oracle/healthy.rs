//! Sets of files with which nothing is wrong, in every state that SQLite leaves them in.

use std::io::{self, Read, Write};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::shims::reserve;

/// A small generator, so that sets do not depend on SQLite's random numbers.
struct Seed(u64);

impl Seed {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Makes the set of `seed` that has been through what `kind` says; `end` is `die`, `close` or
/// `hold` (until stdin closes). `reserved` bytes are left free in every page.
pub(crate) fn make(path: &Path, seed: u64, kind: &str, end: &str, reserved: i32) {
    let mut seed = Seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d);
    let connection = Connection::open(path).unwrap();
    if reserved > 0 {
        reserve(&connection, reserved);
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    if kind == "persisted" {
        persist_log(&connection);
    }
    let page_bytes = seed.of(&[512, 1024, 4096, 4096, 8192, 65_536]);
    let encoding = seed.of(&["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"]);
    let vacuum = match kind {
        "auto-vacuum" => 1,
        "incremental" => 2,
        _ => 0,
    };
    let mode = match kind {
        "exclusive" => "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL",
        "rollback-mode" => seed.of(&["PRAGMA journal_mode=DELETE", "PRAGMA journal_mode=PERSIST"]),
        _ => "PRAGMA journal_mode=WAL",
    };
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA encoding='{encoding}'; PRAGMA auto_vacuum={vacuum};
         {mode}; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB); CREATE INDEX t_b ON t(b);
         CREATE TABLE u(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
    );
    connection.execute_batch(&setup).unwrap();
    write(&connection, &mut seed, 8);
    if kind != "never" {
        run(&connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        write(&connection, &mut seed, 12);
    }
    let other = through(&connection, &mut seed, path, (kind, end == "hold"));
    match end {
        "die" => std::process::abort(),
        "close" => drop((connection, other)),
        _ => {
            println!("ready");
            io::stdout().flush().unwrap();
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
            std::process::abort();
        }
    }
}

/// SQLITE_FCNTL_PERSIST_WAL: the log is not deleted by the last close.
fn persist_log(connection: &Connection) {
    let mut on = std::ffi::c_int::from(1_u8);
    let name = c"main".as_ptr();
    // SAFETY: the handle is that of an open connection, and both pointers outlive the call.
    let code = unsafe {
        rusqlite::ffi::sqlite3_file_control(
            connection.handle(),
            name,
            rusqlite::ffi::SQLITE_FCNTL_PERSIST_WAL,
            (&raw mut on).cast(),
        )
    };
    assert_eq!(code, rusqlite::ffi::SQLITE_OK);
}

/// A pragma answers with a row that nobody wants.
fn run(connection: &Connection, sql: &str) {
    connection.execute_batch(sql).unwrap();
}

fn write(connection: &Connection, seed: &mut Seed, transactions: u64) {
    for _ in 0..1 + seed.below(transactions) {
        run(connection, "BEGIN");
        for _ in 0..1 + seed.below(6) {
            let sql = match seed.below(8) {
                0 => "DELETE FROM t WHERE a % 7 = 3".to_owned(),
                1 => "UPDATE t SET c = randomblob(200) WHERE a % 5 = 1".to_owned(),
                2 => "REPLACE INTO u VALUES(hex(randomblob(3)), randomblob(40))".to_owned(),
                3 => {
                    format!("INSERT INTO t(b, c) VALUES('long', randomblob({}))", seed.below(9000))
                }
                _ => "INSERT INTO t(b, c) VALUES(hex(randomblob(9)), randomblob(120))".to_owned(),
            };
            run(connection, &sql);
        }
        run(connection, "COMMIT");
    }
}

/// What the kind says; a second connection that must live on.
fn through(
    connection: &Connection,
    seed: &mut Seed,
    path: &Path,
    (kind, stays): (&str, bool),
) -> Option<Connection> {
    match kind {
        "partly" | "pinned" => {
            let reader = Connection::open(path).unwrap();
            let read = "BEGIN; SELECT count(*) FROM t";
            reader.execute_batch(read).unwrap();
            reader.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
            write(connection, seed, 9);
            run(connection, "PRAGMA wal_checkpoint(PASSIVE)");
            write(connection, seed, 3);
            if kind == "partly" {
                reader.execute_batch("COMMIT").unwrap();
            }
            return Some(reader);
        }
        "reset" | "restarted" => {
            run(connection, "PRAGMA wal_checkpoint(RESTART)");
            if kind == "reset" {
                write(connection, seed, 2);
            }
        }
        "truncated" => run(connection, "PRAGMA wal_checkpoint(TRUNCATE)"),
        "vacuum" => {
            run(connection, "DELETE FROM t WHERE a % 3 > 0; VACUUM;");
            write(connection, seed, 3);
        }
        "auto-vacuum" => run(connection, "DELETE FROM t WHERE a % 2 = 0"),
        "incremental" => {
            run(connection, "DELETE FROM t WHERE a % 2 = 0; PRAGMA incremental_vacuum(2);");
            write(connection, seed, 3);
        }
        "rolled-back" => {
            run(connection, "BEGIN; UPDATE t SET b = 'gone'; DELETE FROM u; ROLLBACK;");
            write(connection, seed, 2);
        }
        "spilled" => {
            let rows = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 90)
                 INSERT INTO t(b, c) SELECT i, randomblob(700) FROM c";
            run(
                connection,
                &format!("PRAGMA cache_size=5; BEGIN; {rows}; ROLLBACK; BEGIN; {rows};"),
            );
            // Whoever dies in such a transaction leaves a torn tail, which is no healthy set.
            if !stays || seed.below(2) == 0 {
                run(connection, "COMMIT");
            }
        }
        "persisted" => {
            // The log stays when the mode is left, and the header says 1/1 from then on.
            run(connection, "PRAGMA journal_mode=DELETE");
            write(connection, seed, 3);
        }
        _ => {}
    }
    None
}
