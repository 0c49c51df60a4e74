//! Files and logs of applications of many kinds at known times: a second generator beside
//! `standing`, so that no rule is made for one of them alone.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::see::open;

mod habits;

use habits::{HABITS, Habit};

/// Writes `x.db` and `x.db-wal` of a kind into a directory, and prints what was done before.
pub(crate) fn of_args(args: &[&str]) {
    let [directory, seed, kind] = *args else { panic!("directory, seed and kind: {args:?}") };
    let seed: u64 = crate::number(seed);
    let directory = Path::new(directory);
    let mut world = World::new(directory, Rng::with_seed(seed ^ 0x0a99));
    let generations = world.random.u32(0..3);
    world.generations(generations);
    let (file, log) = match kind {
        "healthy" => world.healthy(),
        "put-back" => world.put_back(),
        "file-newer" => {
            world.work();
            let log = world.log();
            world.end();
            let generations = 1 + world.random.u32(0..3);
            world.generations(generations);
            (world.file(), log)
        }
        "file-older" => {
            let file = world.file();
            let generations = 1 + world.random.u32(0..3);
            world.generations(generations);
            world.work();
            world.partly_copied();
            (file, world.log())
        }
        "fork" => {
            let mut other = world.copied("fork.db");
            let generations = 1 + world.random.u32(0..2);
            world.generations(generations);
            let generations = world.random.u32(0..2);
            other.generations(generations);
            other.work();
            other.partly_copied();
            (world.file(), other.log())
        }
        "lost-checkpoint" => world.losing(),
        _ => panic!("unknown kind: {kind}"),
    };
    world.done.push(format!("pages={}", file.len() / world.page_bytes));
    for name in ["x", "look"] {
        fs::write(directory.join(format!("{name}.db")), &file).unwrap();
        fs::write(directory.join(format!("{name}.db-wal")), &log).unwrap();
    }
    let seen = contents(&directory.join("look.db"));
    let is_harmless = seen.is_some() && seen == contents(&world.path);
    if kind == "healthy" {
        assert!(is_harmless, "seed {seed}: {}", world.done.join(" "));
    }
    world.done.extend(is_harmless.then(|| "harmless".to_owned()));
    println!("{}", world.done.join(" "));
}

/// Every row of every table, where SQLite calls the database sound.
fn contents(path: &Path) -> Option<Vec<String>> {
    let connection = open(path);
    let read = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values: rusqlite::Result<Vec<Value>> =
                (0..columns).map(|column| row.get(column)).collect();
            Ok(format!("{:?}", values?))
        })?;
        rows.collect()
    };
    let is_sound = read("PRAGMA integrity_check").is_ok_and(|it| it == ["[Text(\"ok\")]"]);
    let mut all = Vec::new();
    for Habit { table, .. } in HABITS {
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        all.extend(read(&sql).unwrap_or_default());
    }
    is_sound.then_some(all)
}

struct World {
    path: PathBuf,
    connection: Connection,
    reader: Option<Connection>,
    random: Rng,
    page_bytes: usize,
    habits: Vec<&'static Habit>,
    /// Counts up, for keys.
    clock: u32,
    done: Vec<String>,
}

impl World {
    fn new(directory: &Path, mut random: Rng) -> Self {
        let page_bytes = [512, 1024, 4096, 4096, 4096, 8192, 65_536][random.usize(0..7)];
        let path = directory.join("live.db");
        let connection = connect(&path);
        let mut all: Vec<&Habit> = HABITS.iter().collect();
        random.shuffle(&mut all);
        all.truncate(1 + random.usize(0..4));
        let names: Vec<&str> = all.iter().map(|habit| habit.table).collect();
        let done = vec![format!("page-bytes={page_bytes}"), names.join("+")];
        let (reader, clock) = (None, 1);
        let mut world =
            Self { path, connection, reader, random, page_bytes, habits: all, clock, done };
        let auto_vacuum = [0, 0, 0, 1, 2][world.random.usize(0..5)];
        world.run(&format!(
            "PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum={auto_vacuum};
             PRAGMA journal_mode=WAL;"
        ));
        for habit in world.habits.clone() {
            world.run(habit.setup);
        }
        if world.random.bool() {
            world.run("PRAGMA secure_delete=ON");
        }
        world.run("BEGIN");
        let steps = [5, 60, 500, 2500][world.random.usize(0..4)];
        (0..steps).for_each(|_| world.step());
        world.run("COMMIT");
        world.checkpoint("TRUNCATE");
        world
    }

    fn run(&self, sql: &str) {
        let run = self.connection.execute_batch(sql);
        run.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn checkpoint(&self, mode: &str) {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    }

    fn file(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn wal(path: &Path) -> PathBuf {
        let mut path = path.to_owned().into_os_string();
        path.push("-wal");
        path.into()
    }

    fn log(&self) -> Vec<u8> {
        fs::read(Self::wal(&self.path)).unwrap_or_default()
    }

    /// What a process finds that comes after this one died.
    fn copied(&mut self, name: &str) -> Self {
        let path = self.path.with_file_name(name);
        fs::write(&path, self.file()).unwrap();
        fs::write(Self::wal(&path), self.log()).unwrap();
        let connection = connect(&path);
        let (random, habits, done) = (self.random.fork(), self.habits.clone(), Vec::new());
        let (reader, page_bytes, clock) = (None, self.page_bytes, self.clock);
        Self { path, connection, reader, random, page_bytes, habits, clock, done }
    }

    fn step(&mut self) {
        let habit = self.habits[self.random.usize(0..self.habits.len())];
        self.clock += 1;
        let sql = (habit.step)(&mut self.random, self.clock);
        self.run(&sql);
    }

    fn transaction(&mut self) {
        self.run("BEGIN");
        for _ in 0..[1, 1, 1, 2, 5, 20][self.random.usize(0..6)] {
            self.step();
        }
        let is_dropped = self.random.u32(0..9) == 0;
        self.run(if is_dropped { "ROLLBACK" } else { "COMMIT" });
    }

    fn work(&mut self) {
        let most = [3, 6, 15, 60][self.random.usize(0..4)];
        for _ in 0..self.random.u32(1..most) {
            match self.random.bool() {
                true => self.transaction(),
                // Each step commits by itself.
                false => self.step(),
            }
        }
        while self.log().is_empty() {
            self.step();
        }
    }

    fn end(&mut self) {
        let mode = if self.random.bool() { "TRUNCATE" } else { "RESTART" };
        self.checkpoint(mode);
    }

    fn generations(&mut self, count: u32) {
        for _ in 0..count {
            self.work();
            self.end();
        }
    }

    /// A checkpoint to where a reader is, or to the end, or none.
    fn partly_copied(&mut self) {
        match self.random.u32(0..4) {
            0 => {
                let reader = connect(&self.path);
                reader.execute_batch("BEGIN").unwrap();
                reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
                self.work();
                self.checkpoint("PASSIVE");
                self.reader = Some(reader);
            }
            1 => self.checkpoint("PASSIVE"),
            _ => {}
        }
        if self.random.bool() {
            self.work();
        }
    }

    /// A pair as SQLite leaves it.
    fn healthy(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.work();
        for _ in 0..self.random.u32(0..3) {
            self.partly_copied();
            self.reader = None;
        }
        let before = self.file();
        if self.random.u32(0..4) == 0 {
            // It died; another one goes on with the same log.
            let next = self.copied("next.db");
            (self.path, self.connection) = (next.path, next.connection);
            self.work();
        }
        while self.log().is_empty() {
            self.step();
        }
        match self.random.u32(0..4) {
            0 => (self.file(), self.log()),
            how => {
                // Dies in a checkpoint: by a signal in the order of pages, by power in any.
                let log = self.log();
                self.checkpoint("PASSIVE");
                let (after, page_bytes) = (self.file(), self.page_bytes);
                let mut file = before;
                let longest = after.len().max(file.len());
                let changed: Vec<usize> = (0..longest.div_ceil(page_bytes))
                    .filter(|page| of(&file, *page, page_bytes) != of(&after, *page, page_bytes))
                    .collect();
                let stop = self.random.usize(0..changed.len() + 1);
                let by_power = how == 3;
                self.done.push(format!("died-in-checkpoint={how}"));
                for (place, page) in changed.into_iter().enumerate() {
                    let is_written = if by_power { self.random.bool() } else { place < stop };
                    let end = (page + 1) * page_bytes;
                    if is_written && end <= after.len() {
                        file.resize(file.len().max(end), 0);
                        file[page * page_bytes..end]
                            .copy_from_slice(of(&after, page, page_bytes).unwrap());
                    }
                }
                (file, log)
            }
        }
    }

    /// A log is copied when its process dies; the next one writes more, copies all and closes; and
    /// the old log is put back.
    fn put_back(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.work();
        if self.random.bool() {
            self.checkpoint("PASSIVE");
        }
        let log = self.log();
        let mut next = self.copied("next.db");
        let transactions = 1 + self.random.u32(0..6);
        (0..transactions).for_each(|_| next.transaction());
        next.step();
        next.checkpoint("TRUNCATE");
        (self.path, self.connection) = (next.path, next.connection);
        (self.file(), log)
    }

    /// Pages of the file are as they were before a checkpoint, after which the log began again.
    fn losing(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.work();
        self.checkpoint("RESTART");
        let before = self.file();
        (0..12).for_each(|_| self.transaction());
        self.checkpoint("RESTART");
        let after = self.file();
        self.step();
        let (mut file, log, page_bytes) = (self.file(), self.log(), self.page_bytes);
        let in_log: Vec<usize> = log[32..]
            .chunks_exact(page_bytes + 24)
            .filter(|slot| slot[8..16] == log[16..24])
            .map(|slot| u32::from_be_bytes(slot[..4].try_into().unwrap()) as usize)
            .collect();
        let mut lost = 0;
        for page in 0..before.len().min(after.len()).min(file.len()) / page_bytes {
            let is_changed = of(&before, page, page_bytes) != of(&after, page, page_bytes);
            if is_changed && self.random.u32(0..3) == 0 {
                file[page * page_bytes..(page + 1) * page_bytes]
                    .copy_from_slice(of(&before, page, page_bytes).unwrap());
                lost += u32::from(!in_log.contains(&(page + 1)));
            }
        }
        self.done.push(format!("lost={lost}"));
        (file, log)
    }
}

fn connect(path: &Path) -> Connection {
    let connection = open(path);
    let setup = "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;";
    connection.execute_batch(setup).unwrap();
    connection
}

fn of(file: &[u8], page: usize, page_bytes: usize) -> Option<&[u8]> {
    file.get(page * page_bytes..(page + 1) * page_bytes)
}
