//! A hot rollback journal, rolled back by SQLite on one copy and by us on another: the same bytes.

use std::fs;
use std::path::Path;

use walsmith::engine::Error;
use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::rollback::{RolledBack, roll_back};
use walsmith::engine::wal::Options;
use walsmith::format::rollback_journal::JOURNAL_MAGIC;
use walsmith::storage::os::OsVfs;
use walsmith::storage::{LockLevel, Locked, OpenMode, Vfs};

use crate::support::{beside, hold, oracle_program, release, rows, text};

/// A database with a hot journal, left by a writer that died: its bytes, and the journal's.
fn left_behind(page_bytes: u32, sync: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let status = std::process::Command::new(oracle_program())
        .args(["hot-journal", text(&database), &page_bytes.to_string(), sync])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "the writer dies");
    (fs::read(&database).unwrap(), fs::read(beside(&database, "-journal")).unwrap())
}

fn put(folder: &Path, database: &[u8], journal: &[u8]) -> std::path::PathBuf {
    let path = folder.join("x.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-journal"), journal).unwrap();
    path
}

fn ours(path: &Path) -> RolledBack {
    let file = OsVfs.open(path, OpenMode::ReadWrite).unwrap();
    assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
    let done = roll_back(&OsVfs, file.as_ref(), &beside(path, "-journal")).unwrap();
    file.unlock(LockLevel::None).unwrap();
    done
}

/// Both roll back; both must leave the same database and no journal. Returns what ours said.
fn both_agree(database: &[u8], journal: &[u8], what: &str) -> RolledBack {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let our_copy = put(one.path(), database, journal);
    let their_copy = put(two.path(), database, journal);
    let done = ours(&our_copy);
    let their_rows = std::process::Command::new(oracle_program())
        .args(["rows", text(&their_copy), "PRAGMA schema_version"])
        .output()
        .unwrap();
    // What SQLite says of the content does not matter; it has rolled back before it looks.
    drop(their_rows);
    assert!(fs::read(&our_copy).unwrap() == fs::read(&their_copy).unwrap(), "{what}: {done:?}");
    let left = |path: &Path| beside(path, "-journal").exists();
    assert_eq!(left(&our_copy), left(&their_copy), "{what}: {done:?}");
    done
}

#[test]
fn our_rollback_equals_that_of_sqlite_byte_for_byte() {
    for page_bytes in [512, 4096, 65_536] {
        for sync in ["OFF", "FULL"] {
            let (database, journal) = left_behind(page_bytes, sync);
            let what = format!("{page_bytes} {sync}");
            let done = both_agree(&database, &journal, &what);
            let RolledBack::Played { pages, .. } = done else { panic!("{done:?}") };
            assert!(pages > 0, "{what}");
            let segments = journal.windows(8).filter(|window| *window == JOURNAL_MAGIC).count();
            assert!(sync == "OFF" || segments > 1, "{what}: {segments} segments");
        }
    }
}

#[test]
fn torn_and_damaged_journals_are_played_as_far_as_sqlite_plays_them() {
    let (database, journal) = left_behind(512, "FULL");
    for len in (0..journal.len()).step_by(journal.len() / 40) {
        both_agree(&database, &journal[..len], &format!("cut at {len}"));
    }
    for at in (0..journal.len()).step_by(journal.len() / 60) {
        let mut damaged = journal.clone();
        damaged[at] ^= 0x40;
        both_agree(&database, &damaged, &format!("damaged at {at}"));
    }
    let mut cold = journal.clone();
    cold[0] = 0;
    assert_eq!(both_agree(&database, &cold, "cold"), RolledBack::Cold);
}

fn with_super_journal(journal: &[u8], name: &str, page_bytes: u32) -> Vec<u8> {
    let mut bytes = journal.to_vec();
    // The trailer begins at the next sector.
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend((0x4000_0000 / page_bytes + 1).to_be_bytes());
    bytes.extend(name.as_bytes());
    bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    bytes.extend(name.bytes().map(u32::from).sum::<u32>().to_be_bytes());
    bytes.extend(JOURNAL_MAGIC);
    bytes
}

#[test]
fn a_journal_whose_super_journal_has_gone_was_committed() {
    let (database, journal) = left_behind(4096, "FULL");
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("x.db-mj0123AB9CD");
    let named = with_super_journal(&journal, text(&name), 4096);
    assert_eq!(both_agree(&database, &named, "gone"), RolledBack::Committed);
    // It is there, and nobody else names it: the transaction was not committed, and it goes, too.
    let mut children = text(&folder.path().join("other.db-journal")).as_bytes().to_vec();
    children.push(0);
    fs::write(&name, &children).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let path = put(copy.path(), &database, &named);
    assert!(matches!(ours(&path), RolledBack::Played { pages, .. } if pages > 0));
    assert!(!name.exists());
    // Somebody else still names it: it stays.
    fs::write(&name, &children).unwrap();
    fs::write(folder.path().join("other.db-journal"), &named).unwrap();
    let path = put(copy.path(), &database, &named);
    assert!(matches!(ours(&path), RolledBack::Played { .. }));
    assert!(name.exists());
}

#[test]
fn nobody_rolls_back_under_a_reader_and_nobody_reads_before() {
    let (database, journal) = left_behind(4096, "FULL");
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &database, &journal);
    let file = OsVfs.open(&path, OpenMode::ReadWrite).unwrap();
    let paths = Paths::beside(&path);
    let attached = Connection::attach(&OsVfs, file.as_ref(), &paths, Options::default());
    assert!(matches!(attached, Err(Error::HotJournal)));
    drop(attached);
    let reader = OsVfs.open(&path, OpenMode::ReadWrite).unwrap();
    for file in [&file, &reader] {
        assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
    }
    let refused = roll_back(&OsVfs, file.as_ref(), &paths.journal);
    assert!(matches!(refused, Err(Error::Busy)));
    assert!(paths.journal.exists());
    drop((file, reader));
    assert!(matches!(ours(&path), RolledBack::Played { .. }));
    let holder = hold("hold-read", &path);
    assert_eq!(rows(&path, "PRAGMA integrity_check"), "[\"ok\"]\n");
    release(holder);
}
