//! The files of one database at several times, and of two that go on from one template.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use rusqlite::Connection;

use crate::see::open;

/// Generations of each branch.
const GENERATIONS: usize = 4;

/// Writes the files of `seed` into `directory`: of branches A and B, which have the same first
/// generation, and for each of the generations `0..GENERATIONS` the database before it (`A0.db`),
/// its log (`A0.wal`), and the database and log after a part of it was copied (`A0.part.db`,
/// `A0.part.wal`); `A4.db` is the database at the end, and `C0.db` one of another application.
///
/// Prints the page size.
pub(crate) fn make(directory: &Path, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let page_bytes = [512, 1024, 4096][random.usize(0..3)];
    let template = directory.join("template");
    {
        let connection = open(&template);
        let setup = format!(
            "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL;
             CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
             CREATE INDEX t_name ON t(name);
             CREATE TABLE c(id INTEGER PRIMARY KEY, n INTEGER);
             CREATE TABLE u(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
        );
        connection.execute_batch(&setup).unwrap();
        let rows = [30, 200, 900][random.usize(0..3)];
        let mut writer = Writer { connection, random: random.fork(), kind: 0 };
        writer.run("BEGIN");
        (0..rows).for_each(|_| writer.insert());
        writer.run("COMMIT");
        writer.checkpoint("TRUNCATE");
    }
    let kind = random.u32(0..4);
    for branch in ["A", "B"] {
        let random = random.fork();
        make_branch(directory, branch, &template, random, kind);
    }
    let other = directory.join("other");
    {
        let sql = format!(
            "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL;
             CREATE TABLE people(id INTEGER PRIMARY KEY, mail TEXT);
             CREATE INDEX mails ON people(mail);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 400)
             INSERT INTO people(mail) SELECT 'number ' || i * 7 FROM n;
             PRAGMA wal_checkpoint(TRUNCATE)"
        );
        open(&other).execute_batch(&sql).unwrap();
    }
    fs::rename(&other, directory.join("C0.db")).unwrap();
    println!("{page_bytes}");
}

fn make_branch(directory: &Path, branch: &str, template: &Path, random: Rng, kind: u32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let wal = folder.path().join("x.db-wal");
    fs::copy(template, &path).unwrap();
    let connection = open(&path);
    connection
        .execute_batch("PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; SELECT 1")
        .unwrap();
    let mut writer = Writer { connection, random, kind };
    let keep = |name: String, file: &Path| {
        fs::write(directory.join(format!("{branch}{name}")), fs::read(file).unwrap()).unwrap();
    };
    for generation in 0..GENERATIONS {
        keep(format!("{generation}.db"), &path);
        let reader = open(&path);
        let transactions = writer.random.u32(1..8);
        writer.transactions(transactions);
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
        let transactions = writer.random.u32(1..8);
        writer.transactions(transactions);
        keep(format!("{generation}.wal"), &wal);
        writer.checkpoint("PASSIVE");
        keep(format!("{generation}.part.db"), &path);
        keep(format!("{generation}.part.wal"), &wal);
        drop(reader);
        let mode = if writer.random.bool() { "TRUNCATE" } else { "RESTART" };
        writer.checkpoint(mode);
    }
    keep(format!("{GENERATIONS}.db"), &path);
}

struct Writer {
    connection: Connection,
    random: Rng,
    /// 0 and 1 insert, change and delete; 2 only inserts; 3 only changes.
    kind: u32,
}

impl Writer {
    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn checkpoint(&self, mode: &str) {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.connection.query_row(&sql, [], |_| Ok(())).unwrap();
    }

    fn word(&mut self) -> String {
        let letters = 3 + self.random.usize(0..9);
        (0..letters).map(|_| self.random.lowercase()).collect()
    }

    fn insert(&mut self) {
        let (name, note) = (self.word(), self.word().repeat(self.random.usize(1..9)));
        let number = self.random.u32(0..100_000);
        let sql = match self.random.u32(0..4) {
            0 => format!("INSERT INTO c(n) VALUES({number})"),
            1 => format!("REPLACE INTO u VALUES('{name}', '{note}')"),
            _ => format!("INSERT INTO t(name, note) VALUES('{name}', '{note}')"),
        };
        self.run(&sql);
    }

    fn change(&mut self) {
        let (name, row) = (self.word(), self.random.u32(1..900));
        let sql = match self.random.u32(0..3) {
            0 => format!("UPDATE c SET n = n + 1 WHERE id % 40 = {row} % 40"),
            1 => format!(
                "UPDATE u SET v = '{name}' WHERE k = (SELECT min(k) FROM u WHERE k > '{name}')"
            ),
            _ => format!(
                "UPDATE t SET name = '{name}' WHERE id = (SELECT max(id) FROM t WHERE id <= {row})"
            ),
        };
        self.run(&sql);
    }

    fn delete(&mut self) {
        let row = self.random.u32(1..900);
        let sql = match self.random.u32(0..3) {
            0 => format!("DELETE FROM c WHERE id = {row}"),
            1 => format!("DELETE FROM t WHERE id BETWEEN {row} AND {row} + 5"),
            _ => format!("DELETE FROM t WHERE id = {row}"),
        };
        self.run(&sql);
    }

    fn transactions(&mut self, count: u32) {
        for _ in 0..count {
            self.run("BEGIN");
            for _ in 0..self.random.u32(1..6) {
                match (self.kind, self.random.u32(0..6)) {
                    (2, _) | (0 | 1, 0..=2) => self.insert(),
                    (3, _) | (_, 3..=4) => self.change(),
                    _ => self.delete(),
                }
            }
            self.run("COMMIT");
        }
    }
}
