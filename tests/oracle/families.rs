//! Databases for the families of damage, equal byte for byte for equal seeds, and a look at the
//! rows of many databases in one process.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, ffi, params};
use serde_json::{Value, json};

use crate::see::open;

/// What has become of the log before it is damaged.
#[derive(Clone, Copy, PartialEq)]
enum Past {
    /// Everything is in the log alone.
    Never,
    /// A checkpoint has copied the first half.
    Half,
    /// Copied, reset and written again.
    Reset,
    /// Copied, reset, written again, and the first half of that is copied, too.
    ResetHalf,
}

/// What the rows are like.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Text,
    Blanks,
    Random,
    Counters,
    Patterns,
    Mixed,
}

/// The databases: name, page size, past, style, transactions.
const KINDS: &[(&str, usize, Past, Style, u32)] = &[
    ("text-1024", 1024, Past::Never, Style::Text, 60),
    ("blanks-4096", 4096, Past::Half, Style::Blanks, 50),
    ("random-4096-reset", 4096, Past::Reset, Style::Random, 40),
    ("counters-512", 512, Past::Never, Style::Counters, 80),
    ("patterns-4096", 4096, Past::Never, Style::Patterns, 60),
    ("mixed-1024-reset-half", 1024, Past::ResetHalf, Style::Mixed, 60),
    ("text-512-reset", 512, Past::Reset, Style::Text, 60),
    ("patterns-1024-reset", 1024, Past::Reset, Style::Patterns, 60),
    ("mixed-4096", 4096, Past::Never, Style::Mixed, 60),
    ("mixed-65536", 65_536, Past::Never, Style::Mixed, 30),
];

/// What applications and damage alike write over blanks.
const PATTERNS: &[&[u8]] =
    &[b"abcd", b"ab", b"A ", b"\xde\xad\xbe\xef", b"\x01\0\0\0\0\0\0\0", b"abcdefgh", b"\xff"];

/// Makes every database in a folder of its own under `directory`: `database` and `wal` as they are
/// to be damaged, `previous` (the log before its reset, where there was one), and `copied` (the
/// database after a checkpoint of everything).
pub(crate) fn make(directory: &Path, seed: u64) {
    for (number, kind) in (0_u64..).zip(KINDS) {
        make_one(&directory.join(kind.0), seed * 100 + number, kind);
    }
}

fn make_one(
    folder: &Path,
    seed: u64,
    &(_, page_bytes, past, style, transactions): &(&str, usize, Past, Style, u32),
) {
    fs::create_dir(folder).unwrap();
    seed_salts(seed);
    let path = folder.join("x.db");
    let connection = open(&path);
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n, v);
         CREATE TABLE c(id INTEGER PRIMARY KEY, n);
         CREATE TABLE u(k TEXT PRIMARY KEY, v) WITHOUT ROWID;"
    );
    connection.execute_batch(&setup).unwrap();
    if style != Style::Counters {
        connection.execute_batch("CREATE INDEX t_by_name ON t(name)").unwrap();
    }
    let mut writer = Writer { connection, style, page_bytes, random: Rng::with_seed(seed) };
    if matches!(past, Past::Reset | Past::ResetHalf) {
        // The generation before is at times the longer, at times the shorter one.
        let before = writer.random.u32(transactions / 2..transactions * 3 / 2);
        writer.write(before);
        fs::copy(beside(&path, "-wal"), folder.join("previous")).unwrap();
        checkpoint(&writer.connection);
    }
    writer.write(transactions / 2);
    if matches!(past, Past::Half | Past::ResetHalf) {
        // A checkpoint gets as far as the snapshot of this reader.
        let reader = open(&path);
        reader.execute_batch("BEGIN").unwrap();
        reader.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
        writer.write(transactions - transactions / 2);
        checkpoint(&writer.connection);
        reader.execute_batch("COMMIT").unwrap();
    } else {
        writer.write(transactions - transactions / 2);
    }
    fs::copy(&path, folder.join("database")).unwrap();
    fs::copy(beside(&path, "-wal"), folder.join("wal")).unwrap();
    checkpoint(&writer.connection);
    fs::copy(&path, folder.join("copied")).unwrap();
}

/// Makes the next numbers of SQLite's generator, from which salts are taken, a matter of `seed`.
fn seed_salts(seed: u64) {
    let number = std::ffi::c_int::try_from(seed % 1_000_000 + 1).unwrap();
    // SAFETY: the operation reads an int and a connection, which may be null.
    unsafe {
        let no_connection = std::ptr::null_mut::<ffi::sqlite3>();
        ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_PRNG_SEED, number, no_connection);
    }
}

fn checkpoint(connection: &Connection) {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// An application that writes.
struct Writer {
    connection: Connection,
    style: Style,
    page_bytes: usize,
    random: Rng,
}

impl Writer {
    fn write(&mut self, transactions: u32) {
        for _ in 0..transactions {
            self.connection.execute_batch("BEGIN").unwrap();
            for _ in 0..self.random.usize(1..5) {
                self.statement();
            }
            self.connection.execute_batch("COMMIT").unwrap();
        }
    }

    fn statement(&mut self) {
        let style = match self.style {
            Style::Mixed => {
                let all =
                    [Style::Text, Style::Blanks, Style::Random, Style::Counters, Style::Patterns];
                all[self.random.usize(..all.len())]
            }
            style => style,
        };
        match style {
            Style::Text | Style::Mixed => self.text(),
            Style::Blanks => self.blanks(),
            Style::Random => self.random_blob(),
            Style::Counters => self.count(),
            Style::Patterns => self.pattern(),
        }
    }

    /// Bytes of a value that is small or large for a page.
    fn length(&mut self) -> usize {
        let most = (self.page_bytes / 2).min(20_000);
        self.random.usize(most / 20 + 8..most)
    }

    /// The id of some row of `t`, if there is one.
    fn some_row(&mut self) -> i64 {
        let most: i64 = self
            .connection
            .query_row("SELECT coalesce(max(id), 0) FROM t", [], |row| row.get(0))
            .unwrap();
        // Rows written lately are the likelier ones, so that pages get into the log several times.
        let back = if self.random.bool() { self.random.i64(0..8) } else { self.random.i64(0..400) };
        (most - back).max(1)
    }

    fn insert(&mut self, name: &str, value: Cell) {
        let number = self.random.i64(0..100_000);
        let sql = "INSERT INTO t(name, n, v) VALUES(?, ?, ?)";
        self.connection.execute(sql, params![name, number, value]).unwrap();
    }

    fn words(&mut self, bytes: usize) -> String {
        const WORDS: &[&str] =
            &["log ", "frame ", "page ", "the same ", "row ", "of ", "2026-11-28 ", "            "];
        let mut text = String::new();
        while text.len() < bytes {
            text.push_str(WORDS[self.random.usize(..WORDS.len())]);
        }
        text
    }

    fn text(&mut self) {
        let bytes = self.length() / 2;
        match self.random.u32(..8) {
            0 => {
                let (words, row) = (self.words(30), self.some_row());
                let sql = "UPDATE t SET name = ? WHERE id = ?";
                self.connection.execute(sql, params![words, row]).unwrap();
            }
            1 => {
                let (key, words) = (self.words(12), self.words(bytes));
                let sql = "REPLACE INTO u VALUES(?, ?)";
                self.connection.execute(sql, params![key, words]).unwrap();
            }
            2 => {
                let row = self.some_row();
                self.connection.execute("DELETE FROM t WHERE id = ?", [row]).unwrap();
            }
            3 => self.count(),
            _ => {
                let (name, words) = (self.words(20), self.words(bytes));
                self.insert(&name, Cell::Text(words));
            }
        }
    }

    /// Blanks, zeros, and rows that are all equal.
    fn blanks(&mut self) {
        let bytes = self.length();
        match self.random.u32(..5) {
            0 => self.insert("blank", Cell::Text(" ".repeat(bytes))),
            1 => self.insert("zero", Cell::Blob(vec![0; bytes])),
            2 => {
                let equal = self.random.usize(2..9);
                (0..equal).for_each(|_| self.insert("equal", Cell::Text("equal ".repeat(6))));
            }
            3 => self.overwrite(),
            _ => self.count(),
        }
    }

    fn random_blob(&mut self) {
        let mut blob = vec![0; self.length()];
        self.random.fill(&mut blob);
        if self.random.u32(..6) == 0 {
            let row = self.some_row();
            self.connection.execute("UPDATE t SET v = ? WHERE id = ?", params![blob, row]).unwrap();
        } else {
            self.insert("random", Cell::Blob(blob));
        }
    }

    fn count(&mut self) {
        if self.random.u32(..3) == 0 {
            let row = |writer: &mut Self| {
                let number = writer.random.i64(0..70_000);
                writer.connection.execute("INSERT INTO c(n) VALUES(?)", [number]).unwrap();
            };
            (0..self.random.usize(1..12)).for_each(|_| row(self));
        } else {
            let from = self.random.i64(0..60);
            let to = from + self.random.i64(1..9);
            let sql = "UPDATE c SET n = n + 1 WHERE id BETWEEN ? AND ?";
            self.connection.execute(sql, [from, to]).unwrap();
        }
    }

    fn pattern(&mut self) {
        match self.random.u32(..6) {
            0..=2 => self.overwrite(),
            3 => self.count(),
            _ => self.blanks(),
        }
    }

    /// Puts a pattern over a part of a value that stays as long as it was.
    fn overwrite(&mut self) {
        let row = self.some_row();
        let sql = "SELECT CAST(v AS BLOB) FROM t WHERE id <= ? AND length(v) > 0 ORDER BY id DESC";
        let found = self.connection.query_row(sql, [row], |found| found.get::<_, Vec<u8>>(0));
        let Ok(mut value) = found else {
            let bytes = self.length();
            return self.insert("blank", Cell::Blob(vec![b' '; bytes]));
        };
        let pattern = PATTERNS[self.random.usize(..PATTERNS.len())];
        let from = self.random.usize(..value.len());
        let to = (from + 4 * self.random.usize(2..21)).min(value.len());
        let bytes = pattern.iter().cycle();
        value[from..to].iter_mut().zip(bytes).for_each(|(byte, new)| *byte = *new);
        let sql =
            "UPDATE t SET v = ? WHERE id = (SELECT max(id) FROM t WHERE id <= ? AND length(v) > 0)";
        self.connection.execute(sql, params![value, row]).unwrap();
    }
}

/// Reads paths of private copies from stdin, one a line; answers each with what [`seen`] finds.
pub(crate) fn look() {
    let mut answers = io::stdout().lock();
    for path in io::stdin().lock().lines() {
        writeln!(answers, "{}", seen(&open(Path::new(&path.unwrap())))).unwrap();
        answers.flush().unwrap();
    }
}

/// Sums of all rows that can be read, with their tables and keys, and whether the structure is
/// sound.
fn seen(connection: &Connection) -> Value {
    let mut rows = Vec::new();
    for table in ["t", "c", "u", "people"] {
        // What comes before an error counts.
        let _: rusqlite::Result<()> = read(connection, table, &mut rows);
    }
    let sound: rusqlite::Result<String> =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    json!({"rows": rows, "sound": sound.is_ok_and(|answer| answer == "ok")})
}

fn read(connection: &Connection, table: &str, rows: &mut Vec<u64>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
    let columns = statement.column_count();
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let mut sum = DefaultHasher::new();
        table.hash(&mut sum);
        for column in 0..columns {
            format!("{:?}", row.get_ref(column)?).hash(&mut sum);
        }
        rows.push(sum.finish());
    }
    Ok(())
}
