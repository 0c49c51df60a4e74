//! One database of each kind that a check of its structure must know, made by SQLite.

use std::path::Path;

use rusqlite::Connection;

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

const NUMBERS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?1) ";

/// Writes one database of each kind into `directory`.
pub fn all(directory: &Path) {
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

fn fill(connection: &Connection, scale: u32) {
    let run = |rows: u32, sql: &str| {
        connection.execute(&format!("{NUMBERS}{sql}"), [rows * scale]).unwrap();
    };
    run(
        220,
        "INSERT INTO t(b, c, d) SELECT
            CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN printf('%03d', i * 37 % 200) ELSE hex(randomblob(i % 40)) END,
            randomblob(CASE i % 50 WHEN 7 THEN 3000 WHEN 8 THEN 900 ELSE i % 30 END),
            CASE i % 4 WHEN 0 THEN i / 8.0 WHEN 1 THEN i WHEN 2 THEN 'word' || i ELSE -i END FROM n",
    );
    run(60, "INSERT INTO \"quoted \"\" name\" SELECT 'key ' || i, randomblob(i * 9), i FROM n");
    run(120, "INSERT INTO keyed SELECT hex(randomblob(i % 9)), i, randomblob(i * 5 % 700) FROM n");
    run(80, "INSERT INTO down SELECT i * 7, randomblob(20) FROM n");
    run(90, "INSERT INTO counted(v) SELECT printf('value %d', i) FROM n");
    run(20, "INSERT INTO words SELECT 'some words ' || i FROM n");
    connection.execute_batch("ANALYZE").unwrap();
    // Leaves free blocks, fragments, and a freelist where there is no full auto-vacuum.
    let shrink =
        "DELETE FROM t WHERE a % 7 = 3 OR a BETWEEN 60 AND 110; DELETE FROM keyed WHERE n % 5 = 1;
                  UPDATE counted SET v = substr(v, 1, i % 8); DELETE FROM counted WHERE i > 70;
                  DELETE FROM \"quoted \"\" name\" WHERE d % 4 = 0;";
    connection.execute_batch(shrink).unwrap();
}
