//! One database of each kind that a check of its structure must know, made by SQLite.

use std::path::Path;

use fastrand::Rng;
use rusqlite::{Connection, ToSql};

/// Name and settings of each.
const KINDS: &[(&str, &str)] = &[
    ("plain-512", "PRAGMA page_size=512"),
    ("plain-1024", "PRAGMA page_size=1024"),
    ("plain-4096", "PRAGMA page_size=4096"),
    ("plain-65536", "PRAGMA page_size=65536"),
    ("full-512", "PRAGMA page_size=512; PRAGMA auto_vacuum=FULL"),
    ("full-1024", "PRAGMA page_size=1024; PRAGMA auto_vacuum=FULL"),
    ("incremental-512", "PRAGMA page_size=512; PRAGMA auto_vacuum=INCREMENTAL"),
    ("incremental-4096", "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL"),
    ("utf16le-1024", "PRAGMA page_size=1024; PRAGMA encoding='UTF-16le'"),
    ("utf16be-512", "PRAGMA page_size=512; PRAGMA encoding='UTF-16be'; PRAGMA auto_vacuum=FULL"),
];

const TABLES: &str = "
    CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB, d REAL);
    CREATE INDEX t_b ON t(b);
    CREATE INDEX t_mixed ON t(d, b);
    CREATE INDEX t_down ON t(b DESC, c);
    CREATE INDEX t_nocase ON t(b COLLATE NOCASE);
    CREATE INDEX t_part ON t(a, b) WHERE a % 3 = 0;
    CREATE INDEX t_expression ON t(length(c), b || 'x');
    CREATE TABLE \"quoted \"\" name\"([a b] PRIMARY KEY, c UNIQUE, d DEFAULT 'x) WITHOUT ROWID');
    CREATE TABLE keyed(k TEXT, n INT, v BLOB, PRIMARY KEY(k, n)) WITHOUT ROWID;
    CREATE INDEX keyed_v ON keyed(v);
    CREATE TABLE down(k INT PRIMARY KEY DESC, v) WITHOUT ROWID;
    CREATE TABLE counted(i INTEGER PRIMARY KEY AUTOINCREMENT, v);
    CREATE TABLE empty(a UNIQUE, b);
    CREATE VIEW seen AS SELECT a, b FROM t;
    CREATE TRIGGER fired AFTER DELETE ON counted BEGIN SELECT 1; END;
    CREATE VIRTUAL TABLE words USING fts5(text);
";

/// Writes one database of each kind into `directory`.
pub(crate) fn all(directory: &Path) {
    for (name, settings) in KINDS {
        let connection = Connection::open(directory.join(format!("{name}.db"))).unwrap();
        connection.execute_batch(settings).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let scale = if name.ends_with("65536") { 4 } else { 1 };
        fill(&connection, scale);
        let ok: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(ok, "ok", "{name}");
    }
}

/// The same content every time.
fn fill(connection: &Connection, scale: u32) {
    let mut random = Rng::with_seed(1);
    let mut noise = |bytes: u32| -> Vec<u8> { (0..bytes).map(|_| random.u8(..)).collect() };
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    connection.execute_batch("BEGIN").unwrap();
    let run = |sql: &str, values: &[&dyn ToSql]| {
        connection.prepare_cached(sql).unwrap().execute(values).unwrap();
    };
    for i in 1..=220 * scale {
        let b = match i % 5 {
            0 => None,
            1 => Some(format!("{:03}", i * 37 % 200)),
            _ => Some(hex(noise(i % 40))),
        };
        let c = noise(match i % 50 {
            7 => 3000,
            8 => 900,
            _ => i % 30,
        });
        let d: Box<dyn ToSql> = match i % 4 {
            0 => Box::new(f64::from(i) / 8.0),
            1 => Box::new(i),
            2 => Box::new(format!("word{i}")),
            _ => Box::new(-i64::from(i)),
        };
        run("INSERT INTO t(b, c, d) VALUES(?, ?, ?)", &[&b, &c, &d]);
    }
    for i in 1..=120 * scale {
        let key = format!("key {i}");
        run("INSERT INTO \"quoted \"\" name\" VALUES(?, ?, ?)", &[&key, &noise(i * 9), &i]);
        let value = noise(i * 5 % 700);
        run("INSERT INTO keyed VALUES(?, ?, ?)", &[&hex(noise(i % 9)), &i, &value]);
        run("INSERT INTO down VALUES(?, ?)", &[&(i * 7), &noise(20)]);
        run("INSERT INTO counted(v) VALUES(?)", &[&format!("value {i}")]);
        if i % 6 == 0 {
            run("INSERT INTO words VALUES(?)", &[&format!("some words {i}")]);
        }
    }
    // Leaves free blocks, fragments, and a freelist where there is no full auto-vacuum.
    let shrink = "COMMIT; ANALYZE;
                  DELETE FROM t WHERE a % 7 = 3 OR a BETWEEN 60 AND 110;
                  DELETE FROM keyed WHERE n % 5 = 1;
                  UPDATE counted SET v = substr(v, 1, i % 8); DELETE FROM counted WHERE i > 70;
                  DELETE FROM \"quoted \"\" name\" WHERE d % 4 = 0 OR d > 60;";
    connection.execute_batch(shrink).unwrap();
}
