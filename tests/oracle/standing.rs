//! Files and logs of one database at known times, with all the habits of applications and of
//! SQLite that make a true pair look wrong.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::Connection;

use crate::see::open;

mod application;

/// Writes `x.db` and `x.db-wal` of `kind` into `directory`, and prints what was done before.
pub(crate) fn of_seed(directory: &str, seed: u64, kind: &str) {
    let directory = Path::new(directory);
    let random = Rng::with_seed(seed);
    let mut world = World::new(directory, random);
    let (before, after) = (world.random.u32(0..3), world.random.u32(0..2));
    world.generations(before);
    let (file, log) = match kind {
        "current" => {
            world.generations(after);
            world.moment();
            (world.file(), world.log())
        }
        "file-older" => {
            let file = world.file();
            world.generations(1 + after);
            world.moment();
            (file, world.log())
        }
        "file-newer" => {
            world.work();
            let log = world.log();
            world.end();
            world.generations(after);
            world.work();
            world.end();
            (world.file(), log)
        }
        "fork" => {
            let mut other = world.fork("fork.db");
            world.generations(1 + after);
            let generations = world.random.u32(0..2);
            other.generations(generations);
            other.moment();
            (world.file(), other.log())
        }
        "lost-checkpoint" => world.losing(),
        _ => panic!("unknown kind: {kind}"),
    };
    let pages = file.len() as u64 / world.habits.page_bytes;
    world.done.push(format!("pages={pages}"));
    for name in ["x", "look"] {
        fs::write(directory.join(format!("{name}.db")), &file).unwrap();
        fs::write(directory.join(format!("{name}.db-wal")), &log).unwrap();
    }
    let seen = contents(&directory.join("look.db"));
    let harm = match kind {
        "file-newer" | "file-older" => seen.is_none() || seen != contents(&world.path),
        _ => true,
    };
    world.done.extend((!harm).then(|| "harmless".to_owned()));
    println!("{}", world.done.join(" "));
}

/// Every row, where SQLite calls the database sound.
fn contents(path: &Path) -> Option<Vec<String>> {
    let connection = open(path);
    let all = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0))?;
        rows.map(|row| row.map(Option::unwrap_or_default)).collect()
    };
    let sound = all("PRAGMA integrity_check").is_ok_and(|answer| answer == ["ok"]);
    let sql = "SELECT id || name || note FROM t UNION ALL SELECT id || n || flag || word FROM c
               UNION ALL SELECT k || v FROM u UNION ALL SELECT id || x FROM r";
    all(sql).ok().filter(|_| sound)
}

/// What an application is like.
#[derive(Clone, Copy)]
struct Habits {
    page_bytes: u64,
    auto_vacuum: u32,
    secure_delete: bool,
    spills: bool,
    size_limit: Option<u64>,
    /// Two connections write.
    are_two: bool,
    /// 0 does all, 1 inserts, 2 updates in place, 3 replaces all of a table.
    style: u32,
}

struct World {
    path: PathBuf,
    connection: Option<Connection>,
    other: Option<Connection>,
    reader: Option<Connection>,
    random: Rng,
    habits: Habits,
    done: Vec<String>,
}

impl World {
    fn new(directory: &Path, mut random: Rng) -> Self {
        let page_bytes = [512, 1024, 4096][random.usize(0..3)];
        let habits = Habits {
            page_bytes,
            auto_vacuum: [0, 0, 0, 1, 2][random.usize(0..5)],
            secure_delete: random.u32(0..4) == 0,
            spills: random.u32(0..3) == 0,
            size_limit: match random.u32(0..6) {
                0 => Some(0),
                1 => Some(32 + (page_bytes + 24) * random.u64(1..60)),
                2 => Some(random.u64(1000..60_000)),
                _ => None,
            },
            are_two: random.bool(),
            style: [0, 0, 0, 1, 2, 3][random.usize(0..6)],
        };
        let done = vec![format!("style={}", habits.style)];
        let path = directory.join("live.db");
        let (connection, other, reader) = (None, None, None);
        let mut world = Self { path, connection, other, reader, random, habits, done };
        world.open();
        let setup = format!(
            "PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum={}; PRAGMA journal_mode=WAL;
             CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
             CREATE INDEX t_name ON t(name);
             CREATE TABLE c(id INTEGER PRIMARY KEY, n INTEGER, flag INTEGER, word TEXT);
             CREATE TABLE u(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
             CREATE TABLE r(id INTEGER PRIMARY KEY, x TEXT);",
            habits.auto_vacuum
        );
        world.run(&setup);
        world.run("BEGIN");
        for _ in 0..[30, 150, 500, 2000][world.random.usize(0..4)] {
            world.insert();
        }
        world.refresh();
        world.run("COMMIT");
        if world.habits.are_two {
            world.other = Some(world.connect());
        }
        world.end();
        world
    }

    fn connect(&self) -> Connection {
        let connection = open(&self.path);
        let Habits { secure_delete, spills, size_limit, .. } = self.habits;
        let mut setup = "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;".to_owned();
        setup += if secure_delete { "PRAGMA secure_delete=ON;" } else { "" };
        setup += if spills { "PRAGMA cache_size=5;" } else { "" };
        setup += &size_limit
            .map_or(String::new(), |limit| format!("PRAGMA journal_size_limit={limit};"));
        connection.execute_batch(&setup).unwrap();
        connection
    }

    fn open(&mut self) {
        self.connection = Some(self.connect());
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn file(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.beside("-wal")).unwrap_or_default()
    }

    /// Another database that begins as this one is: all of the log was copied.
    fn fork(&mut self, name: &str) -> Self {
        let path = self.path.with_file_name(name);
        fs::write(&path, self.file()).unwrap();
        let (random, done) = (self.random.fork(), Vec::new());
        let (connection, other, reader) = (None, None, None);
        let habits = self.habits;
        let mut fork = Self { path, connection, other, reader, random, habits, done };
        fork.open();
        if habits.are_two {
            fork.other = Some(fork.connect());
        }
        fork
    }

    fn run(&self, sql: &str) {
        let connection = self.connection.as_ref().unwrap();
        connection.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// Everything is copied, and the log begins again with the next commit, or is gone.
    fn end(&mut self) {
        let sql = match self.random.u32(0..3) {
            0 => "PRAGMA wal_checkpoint(TRUNCATE)",
            _ => "PRAGMA wal_checkpoint(RESTART)",
        };
        self.checkpoint(sql);
    }

    fn checkpoint(&self, sql: &str) {
        let row = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        self.connection.as_ref().unwrap().query_row(sql, [], row).unwrap();
    }

    fn generations(&mut self, count: u32) {
        for _ in 0..count {
            self.work();
            self.end();
            match self.random.u32(0..8) {
                0 => self.crash(),
                1 => self.out_of_wal(),
                2 => self.close(),
                _ => {}
            }
        }
    }

    /// The machine fails while the log is written, and a part of it is lost; SQLite recovers the
    /// rest and goes on.
    fn crash(&mut self) {
        self.done.push("crash".to_owned());
        self.work();
        let (file, mut log) = (self.file(), self.log());
        self.path = self.path.with_file_name(format!("after{}.db", self.done.len()));
        let slot = usize::try_from(self.habits.page_bytes).unwrap() + 24;
        if log.len() > 32 + slot {
            let frame = self.random.usize(0..(log.len() - 32) / slot);
            log[32 + frame * slot + 24 + 200] ^= 0x55;
        }
        fs::write(&self.path, file).unwrap();
        fs::write(self.beside("-wal"), log).unwrap();
        self.reopen();
        self.work();
        self.end();
        self.touch();
        self.end();
    }

    fn reopen(&mut self) {
        self.other = None;
        self.open();
        if self.habits.are_two {
            self.other = Some(self.connect());
        }
    }

    /// The file is written without a log.
    fn out_of_wal(&mut self) {
        self.done.push("rollback-mode".to_owned());
        self.other = None;
        self.run("PRAGMA journal_mode=DELETE");
        self.work();
        self.run("PRAGMA journal_mode=WAL");
        if self.habits.are_two {
            self.other = Some(self.connect());
        }
    }

    /// All close, and the last one deletes the log.
    fn close(&mut self) {
        self.done.push("close".to_owned());
        (self.connection, self.other) = (None, None);
        drop(Connection::open(&self.path).map(|last| last.execute_batch("SELECT * FROM c")));
        self.reopen();
    }

    /// A log at some moment of its life.
    fn moment(&mut self) {
        self.transactions(1);
        match self.random.u32(0..6) {
            // Copied in part.
            0 => {
                let reader = self.connect();
                reader.execute_batch("BEGIN").unwrap();
                reader.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
                self.work();
                self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
                self.transactions(1);
                self.reader = Some(reader);
            }
            1 => self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)"),
            2 => {}
            _ => self.work(),
        }
        while self.log().is_empty() {
            self.touch();
        }
    }

    /// A commit, whatever else is there.
    fn touch(&mut self) {
        let word = self.word();
        self.run(&format!("REPLACE INTO u VALUES('touched', '{word}')"));
    }

    /// A checkpoint that was lost in part: pages of the file are as they were before it, and the
    /// log has begun again.
    fn losing(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.habits.size_limit = None;
        self.reopen();
        self.transactions(20);
        self.checkpoint("PRAGMA wal_checkpoint(RESTART)");
        self.transactions(3);
        self.checkpoint("PRAGMA wal_checkpoint(RESTART)");
        let before = self.file();
        self.transactions(12);
        self.checkpoint("PRAGMA wal_checkpoint(RESTART)");
        let after = self.file();
        self.touch();
        while self.random.u32(0..3) > 0 {
            self.transactions(1);
        }
        let mut file = self.file();
        let log = self.log();
        let page_bytes = usize::try_from(self.habits.page_bytes).unwrap();
        let in_log = pages_of(&log, page_bytes);
        let part = self.random.u32(1..9);
        let pages = before.len().min(after.len()).min(file.len()) / page_bytes;
        let mut lost = 0;
        for page in 0..pages {
            let bytes = page * page_bytes..(page + 1) * page_bytes;
            if before[bytes.clone()] != after[bytes.clone()] && self.random.u32(0..10) < part {
                file[bytes.clone()].copy_from_slice(&before[bytes]);
                lost += u32::from(!in_log.contains(&(page + 1)));
            }
        }
        self.done.push(format!("lost={lost}"));
        (file, log)
    }
}

/// The pages of the frames of a log's own generation.
fn pages_of(log: &[u8], page_bytes: usize) -> Vec<usize> {
    let own = log[32..].chunks_exact(page_bytes + 24).filter(|slot| slot[8..16] == log[16..24]);
    let page = |slot: &[u8]| u32::from_be_bytes(slot[..4].try_into().unwrap());
    own.map(|slot| usize::try_from(page(slot)).unwrap()).collect()
}
