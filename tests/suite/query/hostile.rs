//! Databases that were made to break whoever reads them: `query` and `check` neither die nor go on
//! without end, and write nothing.
//!
//! Some mutants here; many with `WALSMITH_HOSTILE=100000 cargo test --release --test suite
//! query::hostile -- --nocapture`. `WALSMITH_SEED` chooses others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use walsmith::database::{Pages, check, quick_check};
use walsmith::format::{PageSize, Pgno};
use walsmith::scan;
use walsmith::sql::{Error, NamedState, Patience, Session};
use walsmith::storage::Vfs;
use walsmith::storage::os::OsVfs;

use super::query;
use crate::round_trip::number;
use crate::support::{oracle, text};

const SCHEMA: &str = "
    CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT, y REAL, z BLOB,
                   g GENERATED ALWAYS AS (length(x) + id) VIRTUAL);
    CREATE INDEX a_x ON a(x); CREATE INDEX a_e ON a(abs(y), x) WHERE y > 3;
    CREATE TABLE b(k TEXT, l INT, v, PRIMARY KEY(k, l)) WITHOUT ROWID;
    CREATE TABLE c(id INTEGER PRIMARY KEY, a_id REFERENCES a(id) ON DELETE CASCADE, note);
    CREATE VIEW v AS SELECT a.id, upper(x) AS u, group_concat(note) AS n
        FROM a LEFT JOIN c ON a_id = a.id GROUP BY 1, 2;
    CREATE VIEW w AS WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r, b LIMIT 500)
        SELECT i, printf('%d', i) FROM r;
    CREATE TRIGGER t AFTER INSERT ON c BEGIN INSERT INTO b VALUES(new.note, new.id, 1); END;
    CREATE VIRTUAL TABLE f USING fts5(body, tokenize = porter);
    CREATE VIRTUAL TABLE f3 USING fts4(body);
    CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
        INSERT INTO a(id, x, y, z) SELECT i, 'row ' || i * 7919 % 1000, i / 3.0,
            zeroblob(CASE i % 40 WHEN 0 THEN 3000 ELSE i END) FROM n;
    INSERT INTO b SELECT x, id, z FROM a WHERE id % 3 = 0;
    INSERT INTO c(a_id, note) SELECT id, 'note ' || x FROM a WHERE id % 2;
    INSERT INTO f SELECT x || ' of many words' FROM a; INSERT INTO f3 SELECT x FROM a;
    INSERT INTO r SELECT id, id, id + 5, id / 2, id FROM a; ANALYZE;";

const STATEMENTS: [&str; 17] = [
    "SELECT * FROM sqlite_schema",
    "SELECT * FROM a",
    "SELECT * FROM a WHERE x > 'row 5' ORDER BY y DESC",
    "SELECT count(*), max(x) FROM a INDEXED BY a_x WHERE x > ''",
    "SELECT * FROM b ORDER BY v",
    "SELECT a.g, c.note FROM a JOIN c ON a_id = a.id",
    "SELECT * FROM v",
    "SELECT count(*) FROM w",
    "SELECT rowid, highlight(f, 0, '[', ']'), rank FROM f('many AND row') ORDER BY rank",
    "SELECT snippet(f3), offsets(f3) FROM f3 WHERE f3 MATCH 'row 9*'",
    "SELECT * FROM r WHERE x0 > 10 AND y1 < 90",
    "SELECT rtreecheck('main', 'r')",
    "SELECT name, sum(pgsize), sum(unused) FROM dbstat GROUP BY 1",
    "PRAGMA foreign_key_check",
    "PRAGMA quick_check",
    "PRAGMA integrity_check",
    "INSERT INTO c(note) VALUES('x')",
];

/// A database in memory, with a size that may be a lie.
struct Mutant {
    bytes: Vec<u8>,
    page_size: PageSize,
    size_pages: u32,
}

impl Pages for Mutant {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn size_pages(&self) -> Result<u32, scan::Error> {
        Ok(self.size_pages)
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), scan::Error> {
        let start = usize::try_from(page.offset_bytes(self.page_size)).unwrap();
        let there = self.bytes.get(start..).unwrap_or_default();
        let there = &there[..there.len().min(image.len())];
        image.fill(0);
        image[..there.len()].copy_from_slice(there);
        Ok(())
    }
}

/// Words that make something of a schema.
const WORDS: [&[u8]; 12] = [
    b"CREATE",
    b"VIRTUAL",
    b"load_extension('x')",
    b"writefile",
    b"TRIGGER",
    b"rootpage",
    b"fts5(",
    b"REFERENCES a",
    b"sqlite_master",
    b"ATTACH 'y'",
    b"((((((((",
    b"PRIMARY KEY",
];

fn mutate(bytes: &mut [u8], page_bytes: usize, random: &mut Rng) {
    let pages = bytes.len() / page_bytes;
    let page = random.usize(..pages);
    let start = page * page_bytes;
    let header = start + if page == 0 { 100 } else { 0 };
    match random.u32(..9) {
        0 => bytes[start + random.usize(..page_bytes)] = random.u8(..),
        1 => bytes[start + random.usize(..page_bytes)] ^= 1 << random.u32(..8),
        // The kind of a page, its cells, its free blocks, its right child.
        2 => bytes[header + random.usize(..12)] = random.u8(..),
        // A pointer to another page: circles, and pages of another kind.
        3 | 4 => {
            let number = random.u32(..u32::try_from(pages).unwrap() + 2).to_be_bytes();
            let at = match random.bool() {
                true => header + 8,
                false => start + random.usize(..page_bytes - 4),
            };
            bytes[at..at + 4].copy_from_slice(&number);
        }
        // A page in place of another one.
        5 => {
            let other = random.usize(..pages) * page_bytes;
            bytes.copy_within(other..other + page_bytes, start);
        }
        // Long varints.
        6 => {
            let at = start + random.usize(..page_bytes - 9);
            bytes[at..at + 9].fill(0xff);
        }
        // The schema, and what is in a text.
        7 => {
            let word = WORDS[random.usize(..WORDS.len())];
            let at = random.usize(..bytes.len() - word.len());
            let at = if random.bool() { at % (2 * page_bytes) } else { at };
            bytes[at..at + word.len()].copy_from_slice(word);
        }
        _ => bytes[16 + random.usize(..84)] = random.u8(..),
    }
}

/// SQLite's databases of each page size.
fn bases() -> Vec<(Vec<u8>, PageSize)> {
    let folder = tempfile::tempdir().unwrap();
    let of_size = |bytes: u32| {
        let path = folder.path().join(format!("{bytes}.db"));
        oracle(&["run", text(&path), &format!("PRAGMA page_size = {bytes};{SCHEMA}")]);
        (fs::read(path).unwrap(), PageSize::from_bytes(bytes).unwrap())
    };
    [512, 1024, 4096].map(of_size).into()
}

/// Checks a mutant; how long it took.
fn judge(mutant: &Mutant, tally: &mut BTreeMap<&'static str, u32>) -> Duration {
    let started = Instant::now();
    for check in [check, quick_check] {
        let what = match check(mutant, &scan::Nobody) {
            Ok(health) if health.is_sound() => "checked and sound",
            Ok(_) => "checked and not sound",
            Err(error) => panic!("{error}"),
        };
        *tally.entry(what).or_default() += 1;
    }
    started.elapsed()
}

/// Asks everything of a mutant; what came of it, and how long it took.
fn ask(mutant: &Mutant, limit: Duration, tally: &mut BTreeMap<&'static str, u32>) -> Duration {
    let clock = &OsVfs;
    let started = Instant::now();
    let patience = Patience { clock, watch: &scan::Nobody, limit: Some(limit), began: clock.now() };
    let states =
        [NamedState { name: "main", pages: mutant }, NamedState { name: "other", pages: mutant }];
    let session = match Session::open(&states, patience) {
        Ok(session) => session,
        Err(_) => {
            *tally.entry("not opened").or_default() += 1;
            return started.elapsed();
        }
    };
    for sql in STATEMENTS {
        let ran = session.run(sql, |_| Ok::<_, Error>(()));
        let what = match ran {
            Ok(()) if sql.starts_with("INSERT") => panic!("it was written"),
            Ok(()) => "answers",
            Err(Error::Sql { .. }) => "SQL refused",
            Err(Error::Writes { .. }) => "writes refused",
            Err(Error::Damaged { .. }) => "damage",
            Err(Error::TimedOut(_)) => "time over",
            Err(Error::OutOfMemory) => "no memory",
            Err(Error::Temporary { .. }) => "temporary files",
            Err(
                error @ (Error::Pages(_)
                | Error::NotOpened { .. }
                | Error::Attaches { .. }
                | Error::Sets { .. }
                | Error::NoValue
                | Error::AfterValue { .. }),
            ) => {
                panic!("{sql}: {error}")
            }
        };
        *tally.entry(what).or_default() += 1;
    }
    started.elapsed()
}

#[test]
fn mutants_neither_crash_nor_hang_it() {
    let (count, first) = (number("WALSMITH_HOSTILE", 300), number("WALSMITH_SEED", 1));
    let limit = Duration::from_millis(500);
    let (bases, mut tally) = (bases(), BTreeMap::new());
    let (mut longest, mut longest_check) = ((Duration::ZERO, 0), (Duration::ZERO, 0));
    for seed in first..first + count {
        let mut random = Rng::with_seed(seed);
        let (bytes, page_size) = &bases[random.usize(..bases.len())];
        let mut bytes = bytes.clone();
        for _ in 0..random.u32(1..8) {
            mutate(&mut bytes, page_size.in_memory(), &mut random);
        }
        let in_file = u32::try_from(bytes.len() / page_size.in_memory()).unwrap();
        let size_pages = match random.u32(..10) {
            // integrity_check has a bit for each: up to 64 MB.
            0 => 1 << random.u32(20..30),
            1 => random.u32(1..=in_file),
            _ => in_file,
        };
        let mutant = Mutant { bytes, page_size: *page_size, size_pages };
        let took = ask(&mutant, limit, &mut tally);
        longest = longest.max((took, seed));
        longest_check = longest_check.max((judge(&mutant, &mut tally), seed));
        if seed % 1000 == 0 {
            println!("seed {seed}, longest {longest:?}, of check {longest_check:?}");
        }
    }
    println!("{count} mutants: {tally:?}; longest {longest:?}, of check {longest_check:?}");
    // What SQLite does between two steps is short.
    assert!(longest.0 < limit + Duration::from_secs(10), "{longest:?}");
    // It goes over each page that the file is said to have, up to a billion.
    assert!(longest_check.0 < Duration::from_secs(60), "{longest_check:?}");
    assert!(tally.get("answers") > Some(&0) && tally.get("damage") > Some(&0), "{tally:?}");
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
        .collect()
}

#[test]
fn the_command_writes_nothing_beside_a_hostile_database() {
    let (bases, folder) = (bases(), tempfile::tempdir().unwrap());
    let database = folder.path().join("x.db");
    let all = STATEMENTS.map(|sql| format!("{sql};"));
    for seed in 1..=20 {
        let mut random = Rng::with_seed(seed);
        let (bytes, page_size) = &bases[random.usize(..bases.len())];
        let mut bytes = bytes.clone();
        for _ in 0..random.u32(1..8) {
            mutate(&mut bytes, page_size.in_memory(), &mut random);
        }
        fs::write(&database, &bytes).unwrap();
        let before = files(folder.path());
        for sql in &all {
            let said = query(&database, &["--json", "--timeout", "2", sql]);
            assert!([0, 3, 4, 6].contains(&said.exit), "seed {seed}: {sql}: {said:?}");
        }
        assert_eq!(files(folder.path()), before, "seed {seed}");
    }
}

#[test]
fn an_endless_view_ends_with_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "CREATE TABLE t(x); CREATE VIEW endless AS WITH RECURSIVE c(x) AS
               (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) AS n FROM c";
    oracle(&["run", text(&database), sql]);
    let started = Instant::now();
    let said = query(&database, &["--json", "--timeout", "300ms", "SELECT * FROM endless"]);
    assert_eq!((said.exit, said.error_kind().as_str()), (4, "timeout"), "{said:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
}
