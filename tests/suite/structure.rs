//! The structure check against SQLite's integrity_check: fixtures, databases of every kind, and
//! seeded mutants of them.

use std::fs;
use std::path::Path;

use walsmith::analysis::examine;
use walsmith::analysis::snapshot::{Target, snapshot};
use walsmith::analysis::structure::{FilePages, Health, SnapshotPages, check};
use walsmith::format::DatabaseHeader;
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryFile;

use crate::support::{Oracle, beside, names, oracle, read, text};

/// Our judgement of a database file; `None` when not even its page size can be told.
fn judged(bytes: &[u8]) -> Option<Health> {
    let header = DatabaseHeader::decode(bytes.first_chunk()?);
    let file = MemoryFile::with_bytes(bytes.to_vec());
    let pages = FilePages::new(&file, header.page_size()?).unwrap();
    Some(check(&pages, &Nobody).unwrap())
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
        let pages = SnapshotPages::new(Some(&base), &log, &shape, &snapshot).unwrap();
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
        databases += 1;
    }
    assert_eq!(databases, 10);
}
