//! Databases with logs, of several applications and in several states, for pairing.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::Connection;

use crate::see::open;

/// An application: its schema, and statements with `{i}` for a number, `{t}` for a word, `{l}` for
/// a long text, `{b}` for a blob and `{r}` for a row that may be there.
struct Family {
    schema: &'static str,
    insert: &'static [&'static str],
    change: &'static [&'static str],
}

const FAMILIES: &[Family] = &[
    Family {
        schema:
            "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, mail TEXT UNIQUE, born INT);
                 CREATE INDEX people_name ON people(name);
                 CREATE TABLE message(id INTEGER PRIMARY KEY, sender INT, body TEXT, at INT);
                 CREATE INDEX message_sender ON message(sender, at)",
        insert: &[
            "INSERT OR IGNORE INTO people(name, mail, born) VALUES('{t}', '{t}@{t}', {i})",
            "INSERT INTO message(sender, body, at) VALUES({r}, '{l}', {i})",
        ],
        change: &[
            "UPDATE people SET name = '{t}' WHERE id = {r}",
            "DELETE FROM message WHERE id = {r}",
        ],
    },
    Family {
        schema: "CREATE TABLE reading(at INTEGER PRIMARY KEY, sensor INT, value REAL, note TEXT);
                 CREATE INDEX reading_sensor ON reading(sensor);
                 CREATE TABLE sensor(id INTEGER PRIMARY KEY, name TEXT, place BLOB)",
        insert: &[
            "INSERT OR REPLACE INTO reading VALUES({i}, {r} % 7, {i} / 8.0, '{t}')",
            "INSERT INTO sensor(name, place) VALUES('{t}', {b})",
        ],
        change: &[
            "UPDATE reading SET value = {i}, sensor = 3 WHERE rowid % 11 = {r} % 11",
            "DELETE FROM sensor WHERE id = {r}",
        ],
    },
    Family {
        schema: "CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID",
        insert: &["INSERT OR REPLACE INTO kv VALUES('{t}', {b})"],
        change: &["UPDATE kv SET v = {b} WHERE k LIKE '{t}%'", "DELETE FROM kv WHERE k > 'y'"],
    },
    Family {
        schema: "CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT, body TEXT)",
        insert: &["INSERT INTO note(title, body) VALUES('{t}', '{l}{l}{l}{l}')"],
        change: &["UPDATE note SET body = '{l}' WHERE id = {r}", "DELETE FROM note WHERE id = {r}"],
    },
    Family {
        schema: "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INT, total REAL, state TEXT);
                 CREATE INDEX orders_customer ON orders(customer);
                 CREATE TABLE item(order_id INT, sku TEXT, count INT);
                 CREATE INDEX item_order ON item(order_id)",
        insert: &[
            "INSERT INTO orders(customer, total, state) VALUES({i} % 90, {i} / 4.0, '{t}')",
            "INSERT INTO item VALUES({r}, '{t}', {i} % 12)",
        ],
        change: &[
            "UPDATE orders SET state = '{t}' WHERE id = {r}",
            "DELETE FROM item WHERE order_id = {r}",
        ],
    },
    Family {
        schema: "CREATE TABLE event(a, b, c)",
        insert: &["INSERT INTO event VALUES({i}, '{t}', {r})"],
        change: &["UPDATE event SET b = '{t}' WHERE rowid = {r}"],
    },
    Family {
        schema: "CREATE TABLE file(path TEXT PRIMARY KEY, bytes INT, hash BLOB, content BLOB);
                 CREATE INDEX file_bytes ON file(bytes, path)",
        insert: &["INSERT OR REPLACE INTO file VALUES('/{t}/{t}', {i}, {b}, '{l}{l}')"],
        change: &[
            "UPDATE file SET bytes = {i} WHERE rowid = {r}",
            "DELETE FROM file WHERE rowid = {r}",
        ],
    },
    Family {
        schema: "CREATE TABLE setting(name TEXT PRIMARY KEY, value)",
        insert: &["INSERT OR REPLACE INTO setting VALUES('{t}', '{t} {i}')"],
        change: &["UPDATE setting SET value = '{t}' WHERE rowid = {r}"],
    },
];

const WORDS: &[&str] = &[
    "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jetty",
    "karst", "ledge", "marsh", "north", "ocean", "plain", "quarz", "ridge", "shore", "tidal",
];

/// How the log came to be.
const KINDS: &[&str] = &[
    "plain",
    "short",
    "partly-copied",
    "all-copied",
    "torn-copy",
    "vacuumed",
    "vacuumed-and-copied-in-part",
    "born-in-wal",
    "reset",
    "torn-tail",
    "schema-changed",
    "every-row-changed",
    "incremental-vacuum",
    "cut-after-copy",
    "replaced-schema",
];

struct World {
    connection: Connection,
    path: PathBuf,
    family: &'static Family,
    random: Rng,
    rows: u32,
}

/// Writes `count` databases with logs, `N.db` and `N.db-wal`, the first of them numbered `first`;
/// prints number, family, page size and kind of each.
pub(crate) fn all(directory: &Path, first: u64, count: u64) {
    for number in first..first + count {
        let place = usize::try_from(number).unwrap();
        let mut random = Rng::with_seed(number);
        let family = random.usize(0..FAMILIES.len());
        let page_bytes = [1024, 4096][random.usize(0..2)];
        let kind = KINDS[place % KINDS.len()];
        let folder = tempfile::tempdir().unwrap();
        let mut world =
            World::new(&folder.path().join("x.db"), &FAMILIES[family], page_bytes, kind, random);
        world.work(kind);
        let to = directory.join(format!("{number}.db"));
        let (mut database, mut wal) = (world.database(), world.wal());
        if kind == "torn-copy" {
            world.torn_copy(&mut database, &wal, page_bytes);
        }
        if kind == "cut-after-copy" || kind == "torn-tail" {
            let frames = wal.len() / (page_bytes + 24);
            let keep = 1 + world.random.usize(0..frames);
            wal.truncate(32 + keep * (page_bytes + 24) + if kind == "torn-tail" { 77 } else { 0 });
        }
        fs::write(&to, std::mem::take(&mut database)).unwrap();
        fs::write(directory.join(format!("{number}.db-wal")), wal).unwrap();
        println!("{number} {family} {page_bytes} {kind}");
    }
}

impl World {
    fn new(
        path: &Path,
        family: &'static Family,
        page_bytes: usize,
        kind: &str,
        random: Rng,
    ) -> Self {
        let connection = open(path);
        let vacuum = if kind == "incremental-vacuum" { 2 } else { 0 };
        let setup = format!(
            "PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum={vacuum}; PRAGMA journal_mode=WAL;
             PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; {};",
            family.schema
        );
        connection.execute_batch(&setup).unwrap();
        let mut world = Self { connection, path: path.to_owned(), family, random, rows: 0 };
        let rows = [12, 60, 200, 500][world.random.usize(0..4)];
        world.run("BEGIN");
        (0..rows).for_each(|_| world.insert());
        if kind == "incremental-vacuum" {
            world.run(
                "CREATE TABLE gone(x); INSERT INTO gone VALUES(zeroblob(90000)); DROP TABLE gone",
            );
        }
        world.run("COMMIT");
        if kind != "born-in-wal" {
            world.checkpoint("TRUNCATE");
        }
        world
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn checkpoint(&self, mode: &str) {
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.connection.query_row(&sql, [], |_| Ok(())).unwrap();
    }

    fn filled(&mut self, template: &str) -> String {
        let mut sql = String::new();
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('{') {
            sql += before;
            let (what, behind) = behind.split_once('}').unwrap();
            rest = behind;
            let random = &mut self.random;
            sql += &match what {
                "i" => random.u32(0..2_000_000).to_string(),
                "r" => random.u32(1..self.rows.max(2)).to_string(),
                "t" => format!("{}{}", random.choice(WORDS).unwrap(), random.u32(0..9000)),
                "l" => (0..random.usize(3..60))
                    .fold(String::new(), |text, _| text + random.choice(WORDS).unwrap() + " "),
                _ => {
                    (0..random.usize(4..90))
                        .fold("x'".to_owned(), |text, _| text + &format!("{:02x}", random.u8(..)))
                        + "'"
                }
            };
        }
        sql + rest
    }

    fn insert(&mut self) {
        let template = *self.random.choice(self.family.insert).unwrap();
        let sql = self.filled(template);
        self.run(&sql);
        self.rows += 1;
    }

    fn transactions(&mut self, count: u32) {
        for _ in 0..count {
            self.run("BEGIN");
            for _ in 0..self.random.u32(1..7) {
                if self.random.u8(0..4) > 0 {
                    self.insert();
                } else {
                    let template = *self.random.choice(self.family.change).unwrap();
                    let sql = self.filled(template);
                    self.run(&sql);
                }
            }
            self.run("COMMIT");
        }
    }

    fn work(&mut self, kind: &str) {
        let some = self.random.u32(2..14);
        match kind {
            "short" => {
                let one = self.random.u32(1..3);
                self.transactions(one);
            }
            "partly-copied" => self.partly_copied(some),
            "all-copied" | "cut-after-copy" => {
                self.transactions(some + 3);
                self.checkpoint("PASSIVE");
            }
            "vacuumed" => {
                self.run("VACUUM");
                self.transactions(some);
            }
            "vacuumed-and-copied-in-part" => {
                self.transactions(some);
                self.run("VACUUM");
                self.partly_copied(some);
            }
            "reset" => {
                self.transactions(some);
                self.checkpoint("RESTART");
                self.transactions(3);
            }
            "schema-changed" => self.schema_changed(some),
            "every-row-changed" => {
                for template in self.family.change {
                    let all = template.split(" WHERE ").next().unwrap();
                    let sql = self.filled(all);
                    if sql.starts_with("UPDATE") {
                        self.run(&sql);
                    }
                }
                self.transactions(1);
            }
            "incremental-vacuum" => {
                self.transactions(some);
                self.run("PRAGMA incremental_vacuum(20)");
                self.transactions(2);
            }
            "replaced-schema" => {
                let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
                let names: Vec<String> = {
                    let mut statement = self.connection.prepare(tables).unwrap();
                    let names = statement.query_map([], |row| row.get(0)).unwrap();
                    names.map(Result::unwrap).collect()
                };
                names.iter().for_each(|name| self.run(&format!("DROP TABLE {name}")));
                let family = &FAMILIES[self.random.usize(0..FAMILIES.len())];
                let schema = family.schema.replace("CREATE TABLE ", "CREATE TABLE new_");
                let schema = schema
                    .replace("CREATE INDEX ", "CREATE INDEX new_")
                    .replace(" ON ", " ON new_");
                self.run(&schema);
            }
            _ => self.transactions(some),
        }
    }

    /// A reader holds back a checkpoint.
    fn partly_copied(&mut self, some: u32) {
        self.transactions(some);
        let reader = open(&self.path);
        reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
        reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
        self.transactions(some);
        self.checkpoint("PASSIVE");
        self.transactions(1);
        drop(reader);
    }

    fn schema_changed(&mut self, some: u32) {
        self.transactions(some / 2);
        let table = self.family.schema.split(['(', ' ']).nth(2).unwrap();
        self.run(&format!("ALTER TABLE {table} ADD COLUMN extra TEXT DEFAULT 'none'"));
        self.run("CREATE TABLE added(x INTEGER PRIMARY KEY, y); CREATE INDEX added_y ON added(y)");
        self.run("INSERT INTO added(y) VALUES('one'), ('two')");
        self.run(&format!("UPDATE {table} SET extra = 'some'"));
        if self.random.bool() {
            self.run(&format!("ALTER TABLE {table} DROP COLUMN extra"));
            self.transactions(some / 2);
        }
    }

    fn database(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn wal(&self) -> Vec<u8> {
        fs::read(self.path.with_extension("db-wal")).unwrap()
    }

    /// A checkpoint that lost power: some pages of the log are in the file, in any order.
    fn torn_copy(&mut self, database: &mut Vec<u8>, wal: &[u8], page_bytes: usize) {
        let word = |frame: &[u8], at: usize| {
            usize::try_from(u32::from_be_bytes(frame[at..at + 4].try_into().unwrap())).unwrap()
        };
        let mut newest = std::collections::BTreeMap::new();
        for frame in wal[32..].chunks_exact(page_bytes + 24) {
            newest.insert(word(frame, 0), &frame[24..]);
        }
        for (page, image) in newest {
            if self.random.bool() {
                let end = page * page_bytes;
                database.resize(database.len().max(end), 0);
                database[end - page_bytes..end].copy_from_slice(image);
            }
        }
    }
}
