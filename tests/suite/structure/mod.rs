//! The structure check against SQLite's integrity_check: fixtures, databases of every kind, and
//! seeded mutants of them.
//!
//! A few hundred mutants here; more, as the README says: `WALSMITH_STRUCTURES=20000 cargo test
//! --release structure -- --nocapture`. `WALSMITH_SEED` chooses others.

mod damage;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use fastrand::Rng;
use walsmith::database::check::Health;
use walsmith::database::{
    Error, FilePages, Pages, RowChanges, Rows, check, quick_check, row_changes,
};
use walsmith::format::{DatabaseHeader, PageSize, Pgno};
use walsmith::history::snapshot::{Target, snapshot};
use walsmith::history::view::View;
use walsmith::log::examine;
use walsmith::scan::{Nobody, Watch};
use walsmith::storage::memory::MemoryFile;
use walsmith::storage::shared::Spread;
use walsmith::storage::threaded::ThreadedVfs;
use walsmith::storage::{OpenMode, Vfs};

use damage::DAMAGES;

use crate::support::{Oracle, beside, names, oracle, read, text};

/// Our judgement of a database file; `None` when not even its page size is known.
fn judged(bytes: &[u8]) -> Option<Health> {
    judged_by(check, bytes)
}

type Check = fn(&dyn Pages, &dyn Watch) -> Result<Health, Error>;

fn judged_by(check: Check, bytes: &[u8]) -> Option<Health> {
    let header = DatabaseHeader::decode(bytes.first_chunk()?);
    let file = MemoryFile::with_bytes(bytes.to_vec());
    let pages = FilePages::new(&file, header.page_size()?).unwrap();
    Some(check(&pages, &Nobody).unwrap())
}

/// The same by two threads, of the file at `path`.
fn judged_by_threads(check: Check, path: &Path, bytes: &[u8]) -> Option<Health> {
    let page_size = DatabaseHeader::decode(bytes.first_chunk()?).page_size()?;
    let spread = Spread { threads: NonZeroUsize::new(2), from_bytes: 0, ..Spread::default() };
    let file = ThreadedVfs { spread }.open(path, OpenMode::ReadOnly).unwrap();
    Some(check(&FilePages::new(file.as_ref(), page_size).unwrap(), &Nobody).unwrap())
}

/// All that a check has found, the owner of each page included.
fn all_of(health: &Health) -> String {
    let owners: Vec<_> = (1..=health.size_pages).map(|page| health.owners.of(Pgno(page))).collect();
    let Health { problems, problem_count, trees, unchecked, .. } = health;
    format!("{problems:?} {problem_count} {trees:?} {unchecked:?} {owners:?}")
}

fn said(health: &Health) -> Vec<String> {
    health.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn fixtures_under_their_logs_are_sound_as_sqlite_says() {
    let mut oracle = Oracle::checking();
    for name in names() {
        let (database, wal) = read(&name);
        let (base, log) =
            (MemoryFile::with_bytes(database.clone()), MemoryFile::with_bytes(wal.clone()));
        let found = examine(&log, &Nobody).unwrap();
        let shape = found.shape.unwrap();
        let snapshot = snapshot(&log, &shape, &found.prefix, Target::Last, &Nobody).unwrap();
        let pages = View::plain(&log, &shape, &snapshot, Some(&base));
        let health = check(&pages, &Nobody).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        fs::write(&path, database).unwrap();
        fs::write(beside(&path, "-wal"), wal).unwrap();
        assert_eq!(health.is_sound(), oracle.integrity(&path).is_empty(), "{name}: {health:#?}");
    }
}

#[test]
fn databases_of_every_kind_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    oracle(&["zoo", text(folder.path())]);
    let mut databases = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension() != Some(Path::new("db").as_os_str()) {
            continue;
        }
        let health = judged(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(said(&health), Vec::<String>::new(), "{}", path.display());
        assert!(health.trees.len() > 15, "{:?}", health.trees);
        let unchecked: BTreeSet<String> =
            health.unchecked.iter().map(|it| it.to_string()).collect();
        assert_eq!(unchecked, NOT_CHECKED.iter().map(|it| (*it).to_owned()).collect(), "{path:?}");
        databases += 1;
    }
    assert_eq!(databases, 10);
}

/// What a check of these databases leaves out, and says so.
const NOT_CHECKED: &[&str] = &[
    "the SQL of 2 views and triggers",
    "the content of virtual table words",
    "the values of index t_part",
    "the values of index t_expression",
    "the order of t_expression",
    "the order of t_down",
    "the order of t_nocase",
    "the order of down",
];

#[test]
fn a_record_whose_header_goes_on_on_another_page_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.db");
    let columns: Vec<String> = (0..900).map(|column| format!("c{column}")).collect();
    let sql = format!(
        "PRAGMA page_size=512; CREATE TABLE wide({0}); INSERT INTO wide(c0, c899) VALUES(1, 'end')",
        columns.join(", ")
    );
    oracle(&["run", text(&path), &sql]);
    let bytes = fs::read(&path).unwrap();
    let health = judged(&bytes).unwrap();
    assert_eq!((said(&health), health.unchecked), (Vec::new(), Vec::new()));
    // The type of the last column, a text of three bytes, is the last byte of the header.
    let end = bytes.windows(4).rposition(|four| four == b"\x13end").unwrap();
    let mut oracle = Oracle::checking();
    for serial_type in [0x17, 0x11, 0] {
        let mut damaged = bytes.clone();
        damaged[end] = serial_type;
        fs::write(&path, &damaged).unwrap();
        assert!(!judged(&damaged).unwrap().is_sound(), "{serial_type}");
        assert!(!oracle.integrity(&path).is_empty(), "{serial_type}");
    }
}

#[test]
fn a_schema_has_the_indexes_that_constraints_need() {
    let folder = tempfile::tempdir().unwrap();
    let schema = "CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE, c);
                  CREATE TABLE w(a TEXT PRIMARY KEY, b UNIQUE) WITHOUT ROWID;
                  INSERT INTO t VALUES(1, 2, 3); INSERT INTO w VALUES(1, 2);
                  PRAGMA writable_schema=ON;";
    let mut oracle_checks = Oracle::checking();
    for (number, (change, is_sound)) in [
        ("SELECT 1", true),
        // Two constraints on the same columns share an index.
        ("UPDATE sqlite_schema SET sql = replace(sql, 'b UNIQUE', 'b UNIQUE UNIQUE')", true),
        ("UPDATE sqlite_schema SET sql = replace(sql, 'a INTEGER', 'a INTEGES')", false),
        ("UPDATE sqlite_schema SET sql = replace(sql, 'b UNIQUE', 'b')", false),
        ("UPDATE sqlite_schema SET name = 'sqlite_autoindex_t_2' WHERE sql IS NULL", false),
        ("DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_t_1'", false),
        ("DELETE FROM sqlite_schema WHERE name = 't'", false),
        // Rows of the schema that are not those of their statements, or not SQLite's.
        ("UPDATE sqlite_schema SET sql = replace(sql, 'TABLE t', 'TABLE z')", false),
        ("UPDATE sqlite_schema SET type = 'index' WHERE name = 't'", false),
        ("UPDATE sqlite_schema SET tbl_name = 'z' WHERE name = 't'", false),
        ("UPDATE sqlite_schema SET sql = replace(sql, 'c)', 'b)') WHERE name = 't'", false),
        ("UPDATE sqlite_schema SET sql = replace(sql, 'c)', 'c, PRIMARY KEY(c))')", false),
        ("UPDATE sqlite_schema SET rowid = 99 WHERE name = 't'", false),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{number}.db"));
        oracle(&["run", text(&path), &format!("{schema} {change}")]);
        let health = judged(&fs::read(&path).unwrap()).unwrap();
        let theirs = oracle_checks.integrity(&path);
        assert_eq!((health.is_sound(), theirs.is_empty()), (is_sound, is_sound), "{change}");
        let is_unknown = health.unchecked.iter().any(|it| it.to_string().contains("constraints"));
        assert_eq!(is_unknown, change.contains("UNIQUE UNIQUE"), "{change}");
    }
}

/// What SQLite reports and we do not, by design.
const NOT_OURS: &[&str] = &[
    // The application brings collations of its own.
    "no such collation sequence: ",
    // Constraints and declared types.
    "NULL value in ",
    "non-unique entry in index ",
    "NUMERIC value in ",
    "TEXT value in ",
    // Values of entries in indexes that are partial or of expressions.
    "missing from index t_part",
    "missing from index t_expression",
    "values differ from index t_part",
    "values differ from index t_expression",
    // Their order, where keys descend or have another collation than BINARY.
    "missing from index t_down",
    "missing from index t_nocase",
    "stores an imprecise floating-point",
    // The one table of these databases whose keys descend.
    "row not in PRIMARY KEY order for down",
    // What a virtual table makes of its own tables.
    "fts5",
    "FTS5",
    "unable to validate the inverted index",
    // SQL that does not parse.
    "malformed database schema",
    "unknown function",
];

/// What we report and SQLite does not: it decodes no more columns of a record than its table has.
const NOT_THEIRS: &str = "does not fit its length";

/// What the quick check reports and SQLite's does not: it looks at no key, and so does not see that
/// the root of an index is a page of a table that happens to have as many rows.
const NOT_THEIRS_IF_QUICK: &str = "where a page of the index b-tree is wanted";

#[test]
fn mutants_are_judged_as_sqlite_judges_them() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let (wanted, seed) = (number("WALSMITH_STRUCTURES", 400), number("WALSMITH_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    oracle(&["zoo", text(folder.path())]);
    let mut paths: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(Path::new("db").as_os_str()))
        .collect();
    paths.sort();
    let sound: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    let (mut oracle, mut quick) = (Oracle::checking(), Oracle::checking_quickly());
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    let mut disagreements = Vec::new();
    for number in seed..seed + wanted {
        let mut random = Rng::with_seed(number);
        let place = random.usize(0..sound.len());
        let mut bytes = sound[place].clone();
        let (kind, damage) = DAMAGES[random.usize(0..DAMAGES.len())];
        damage(&mut bytes, &mut random);
        let path = folder.path().join("mutant.db");
        fs::write(&path, &bytes).unwrap();
        let health = judged(&bytes);
        let quick_health = judged_by(quick_check, &bytes);
        let by_one: [(Check, &Option<Health>); 2] =
            [(check, &health), (quick_check, &quick_health)];
        for (check, health) in by_one {
            let by_threads = judged_by_threads(check, &path, &bytes);
            let is_same = by_threads.as_ref().map(all_of) == health.as_ref().map(all_of);
            assert!(is_same, "seed {number}: {by_threads:?}, and by one thread: {health:?}");
        }
        let lines = |health: Option<Health>| {
            health.map_or_else(|| vec!["no page size".to_owned()], |health| said(&health))
        };
        let answers = [
            ("", oracle.integrity(&path), lines(health), NOT_THEIRS),
            ("quick: ", quick.integrity(&path), lines(quick_health), NOT_THEIRS_IF_QUICK),
        ];
        for suffix in ["-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&path, suffix));
        }
        for (which, theirs, ours, not_theirs) in answers {
            let outcome = outcome(&ours, &theirs, &[NOT_THEIRS, not_theirs]);
            if outcome == DISAGREEMENT {
                let name = paths[place].file_stem().unwrap().display();
                disagreements
                    .push(format!("{which}seed {number}: {kind} of {name}: {ours:?} {theirs:?}"));
            }
            *tally.entry(format!("{which}{outcome}")).or_default() += 1;
        }
    }
    println!("{wanted} mutants from seed {seed}");
    tally.iter().for_each(|(outcome, mutants)| println!("{mutants:6}  {outcome}"));
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    let more = tally.get(NOT_THEIRS).copied().unwrap_or_default();
    assert!(u64::from(more) * 500 <= wanted, "{more} of {wanted}");
}

const DISAGREEMENT: &str = "disagreement";

fn outcome(ours: &[String], theirs: &[String], not_theirs: &[&str]) -> String {
    let design = |line: &String| NOT_OURS.iter().find(|known| line.contains(*known));
    match (ours.is_empty(), theirs.is_empty()) {
        (true, true) => "both sound".to_owned(),
        (false, false) => "both not sound".to_owned(),
        (false, true)
            if ours.iter().all(|line| not_theirs.iter().any(|known| line.contains(known))) =>
        {
            NOT_THEIRS.to_owned()
        }
        (true, false) if theirs.iter().all(|line| design(line).is_some()) => {
            format!("SQLite alone, by design: {}", design(&theirs[0]).unwrap())
        }
        (false, true) | (true, false) => DISAGREEMENT.to_owned(),
    }
}

#[test]
fn rows_of_two_states_are_compared_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let state = |sql: &str| {
        oracle(&["run", text(&database), sql]);
        MemoryFile::with_bytes(fs::read(&database).unwrap())
    };
    let before = state(
        "PRAGMA page_size=512; CREATE TABLE t(a INTEGER PRIMARY KEY, b);
         CREATE TABLE k(a TEXT PRIMARY KEY, b) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)
         INSERT INTO t SELECT i, hex(zeroblob(i * 20)) FROM n;
         INSERT INTO k SELECT 'key ' || a, b FROM t;",
    );
    // Content that only moves is the same content.
    let after = state(
        "DELETE FROM t WHERE a = 7; UPDATE t SET b = 'x' WHERE a IN (1, 50, 51);
         INSERT INTO t VALUES(200, 1);
         DELETE FROM k WHERE a = 'key 9'; UPDATE k SET b = 1 WHERE a = 'key 30'; VACUUM;",
    );
    let (before, after) = (pages(&before), pages(&after));
    let changes = |table: &str| {
        let root = |pages: &FilePages| {
            check(pages, &Nobody).unwrap().tables().find(|tree| tree.name == table).unwrap().root
        };
        let ours = Rows::new(&before, root(&before)).unwrap();
        row_changes(ours, Rows::new(&after, root(&after)).unwrap()).unwrap()
    };
    let wanted = RowChanges { kept: 96, altered: 3, missing: 1, added: 1, skipped_pages: 0 };
    assert_eq!(changes("t"), wanted);
    // Without row ids an altered row is one that is missing and one that is added.
    let wanted = RowChanges { kept: 98, altered: 0, missing: 2, added: 1, skipped_pages: 0 };
    assert_eq!(changes("k"), wanted);
}

fn pages(file: &MemoryFile) -> FilePages<'_> {
    FilePages::new(file, PageSize::ALL[0]).unwrap()
}

#[test]
fn garbage_ends_and_panics_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "PRAGMA page_size=512; PRAGMA auto_vacuum=FULL; CREATE TABLE t(a);
               CREATE TABLE u(a, b UNIQUE)";
    oracle(&["run", text(&database), sql]);
    let sound = fs::read(&database).unwrap();
    let mut random = Rng::with_seed(3);
    for _ in 0..300 {
        let mut bytes = sound.clone();
        bytes.resize(512 * 120, 0);
        bytes[28..32].copy_from_slice(&120_u32.to_be_bytes());
        for page in bytes.chunks_mut(512).skip(1) {
            // Mostly b-tree pages that refer to each other, round and round.
            page.iter_mut().for_each(|byte| *byte = random.u8(0..120) & random.u8(..));
            page[0] = *random.choice(&[2, 5, 10, 13]).unwrap();
            page[3..5].copy_from_slice(&[0, random.u8(0..60)]);
            page[8..12].copy_from_slice(&[0, 0, 0, random.u8(..121)]);
            if random.bool() {
                page[1..3].fill(0);
                page[5..7].copy_from_slice(&[0, 140]);
                (12..132).step_by(2).for_each(|at| page[at] = random.u8(0..2));
            }
        }
        let file = MemoryFile::with_bytes(bytes);
        let pages = pages(&file);
        let health = check(&pages, &Nobody).unwrap();
        assert!(!health.is_sound());
        for root in 1..=120 {
            let rows = Rows::new(&pages, Pgno(root)).unwrap();
            assert!(rows.count() < 120 * 512 / 4);
        }
    }
}
