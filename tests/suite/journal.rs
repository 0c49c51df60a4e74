//! A hot rollback journal, rolled back by SQLite on one copy and by us on another: the same bytes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use walsmith::engine::Error;
use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::rollback::{RolledBack, roll_back};
use walsmith::engine::wal::Options;
use walsmith::format::rollback_journal::JOURNAL_MAGIC;
use walsmith::storage::os::OsVfs;
use walsmith::storage::{LockLevel, Locked, OpenMode, Vfs};

use crate::support::{beside, hold, oracle_program, release, rows, text, walsmith};

/// A database with a hot journal, left by a writer that died: its bytes, and the journal's.
pub(crate) fn left_behind(page_bytes: u32, sync: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let status = Command::new(oracle_program())
        .args(["hot-journal", text(&database), &page_bytes.to_string(), sync])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "the writer dies");
    (fs::read(&database).unwrap(), fs::read(beside(&database, "-journal")).unwrap())
}

pub(crate) fn put(folder: &Path, database: &[u8], journal: &[u8]) -> PathBuf {
    let path = folder.join("x.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-journal"), journal).unwrap();
    path
}

pub(crate) fn ours(path: &Path) -> RolledBack {
    let file = OsVfs.open(path, OpenMode::ReadWrite).unwrap();
    assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
    let done = roll_back(&OsVfs, file.as_ref(), &beside(path, "-journal")).unwrap();
    file.unlock(LockLevel::None).unwrap();
    done
}

fn theirs(path: &Path) {
    // What SQLite says of the content does not matter; it has rolled back before it looks.
    Command::new(oracle_program())
        .args(["rows", text(path), "PRAGMA schema_version"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
}

/// Every file of a folder, with its bytes.
type Files = BTreeMap<OsString, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

/// Both roll back what `prepare` puts into a folder, one after the other and under the same paths:
/// they must leave the same files. Returns what ours said, and the files.
fn both_agree_on(prepare: impl Fn(&Path), what: &str) -> (RolledBack, Files) {
    let parent = tempfile::tempdir().unwrap();
    // SQLite resolves links before it compares names.
    let folder = parent.path().canonicalize().unwrap().join("folder");
    let path = folder.join("x.db");
    let left_by = |act: &mut dyn FnMut()| {
        fs::create_dir(&folder).unwrap();
        prepare(&folder);
        act();
        let left = files(&folder);
        fs::remove_dir_all(&folder).unwrap();
        left
    };
    let their_files = left_by(&mut || theirs(&path));
    let mut done = RolledBack::Cold;
    let our_files = left_by(&mut || done = ours(&path));
    // And so does the command, into a new file and without touching anything.
    let new = parent.path().join("new.db");
    let mut before = Files::new();
    let mut said = (serde_json::Value::Null, 0);
    let untouched = left_by(&mut || {
        before = files(&folder);
        // A damaged journal is a loss, and one whose super-journal cannot be looked for has two
        // readings: what SQLite does is asked for.
        let view = |report: &serde_json::Value| -> Option<String> {
            let candidates = report["candidates"].as_array()?;
            let view = candidates.iter().find(|one| one["kind"] == "sqlite-view")?;
            Some(view["number"].to_string())
        };
        let number = view(&walsmith(&["repair", text(&path)]).0);
        let mut args = vec!["repair", text(&path), "--apply", "--output", text(&new), "--force"];
        args.push("--accept-loss");
        args.extend(number.iter().flat_map(|number| ["--choose", number.as_str()]));
        said = walsmith(&args);
    });
    assert!(untouched == before, "{what}: repair has touched its inputs");
    let repaired = fs::read(&new).unwrap_or_else(|_| panic!("{what}: {said:#?}"));
    assert!(repaired == their_files[OsStr::new("x.db")], "{what}: {said:#?}");
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&our_files), names(&their_files), "{what}: {done:?}");
    let wrong = our_files.iter().find(|(name, bytes)| &their_files[*name] != *bytes);
    assert!(wrong.is_none(), "{what}: {done:?}: {:?} differs", wrong.unwrap().0);
    (done, our_files)
}

/// As [`both_agree_on`], with a database and its journal.
pub(crate) fn both_agree(database: &[u8], journal: &[u8], what: &str) -> RolledBack {
    both_agree_on(|folder| drop(put(folder, database, journal)), what).0
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
    // Around the end of the first header and of the first record: P + 8 bytes, P = 512.
    let borders = [1, 27, 28, 511, 512, 513, 515, 516, 1027, 1028, 1031, 1032, 1033];
    let anywhere = (0..journal.len()).step_by(journal.len() / 40);
    for len in borders.into_iter().chain(anywhere) {
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

/// `journal` with a trailer that names a super-journal.
pub(crate) fn naming(journal: &[u8], name: &[u8]) -> Vec<u8> {
    let mut bytes = journal.to_vec();
    // The trailer begins at the next sector.
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend((0x4000_0000_u32 / 4096 + 1).to_be_bytes());
    bytes.extend(name);
    bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    bytes.extend(name.iter().map(|&byte| u32::from(byte)).sum::<u32>().to_be_bytes());
    bytes.extend(JOURNAL_MAGIC);
    bytes
}

const SUPER: &str = "x.db-mj0123AB9CD";

/// What a test puts beside a journal that names a super-journal.
struct Beside<'a> {
    /// Names in the super-journal; `None` when it is not there.
    lists: Option<&'a [&'a str]>,
    /// The super-journal that another journal names, if there is one.
    other_names: Option<&'a str>,
}

/// Rolls back with the super-journal as told; returns what came of it and what was left.
fn with_super_journal(
    files: &(Vec<u8>, Vec<u8>),
    beside: &Beside<'_>,
) -> (RolledBack, Vec<String>) {
    let (database, journal) = files;
    let prepare = |folder: &Path| {
        let named = |name: &str| naming(journal, text(&folder.join(name)).as_bytes());
        put(folder, database, &named(SUPER));
        if let Some(lists) = beside.lists {
            let list = lists.iter().map(|child| format!("{}\0", folder.join(child).display()));
            fs::write(folder.join(SUPER), list.collect::<String>()).unwrap();
        }
        if let Some(name) = beside.other_names {
            fs::write(folder.join("y.db-journal"), named(name)).unwrap();
        }
    };
    let what = format!("{:?} {:?}", beside.lists, beside.other_names);
    let (done, left) = both_agree_on(prepare, &what);
    (done, left.into_keys().map(|name| name.into_string().unwrap()).collect())
}

#[test]
fn a_journal_whose_super_journal_has_gone_was_committed() {
    let files = left_behind(4096, "FULL");
    // An empty one counts as gone, too.
    for (lists, left) in [(None, vec!["x.db"]), (Some(&[] as _), vec!["x.db", SUPER])] {
        let beside = Beside { lists, other_names: None };
        assert_eq!(
            with_super_journal(&files, &beside),
            (RolledBack::Committed, left.into_iter().map(str::to_owned).collect())
        );
    }
}

#[test]
fn a_super_journal_goes_with_the_last_journal_that_it_lists() {
    let files = left_behind(4096, "FULL");
    let (own, other) = ("x.db-journal", "y.db-journal");
    let cases: [(&[&str], _, _); 6] = [
        (&[own], None, false),
        (&[own, other], None, false),
        (&[other, own], Some(SUPER), true),
        (&[own, other], Some("y.db-mj4567EF9AB"), false),
        // Nothing tells that it has to do with this journal.
        (&[other], None, true),
        (&["./x.db-journal"], None, true),
    ];
    for (lists, other_names, stays) in cases {
        let beside = Beside { lists: Some(lists), other_names };
        let (done, left) = with_super_journal(&files, &beside);
        assert!(matches!(done, RolledBack::Played { pages, .. } if pages > 0), "{done:?}");
        assert_eq!(left.contains(&SUPER.to_owned()), stays, "{lists:?} {other_names:?}");
    }
}

#[test]
fn a_name_that_is_none_names_no_super_journal() {
    let (database, journal) = left_behind(4096, "FULL");
    let tail = "/x.db-mj0123AB9CD";
    let long = |bytes: usize| "/d".repeat((bytes - tail.len()) / 2) + tail;
    let absent = "/nowhere/x.db-mj0123AB9CD";
    let (ended, begun) = (format!("{absent}\0tail"), format!("tail\0{absent}"));
    let (fits, too_long) = (long(511), long(513));
    let no_folder = format!("/dev/null{tail}");
    let no_file_name = format!("/{}{tail}", "d".repeat(300));
    // Its file is not there: what counts as a name makes the transaction a committed one.
    let cases: [(&str, bool); 11] = [
        (absent, true),
        (&ended, true),
        (&begun, false),
        (&fits, true),
        (&too_long, false),
        (&no_folder, true),
        (&no_file_name, true),
        ("/nowhere/x.db-mj0123AB8CD", false),
        ("/nowhere/x.db-mj0123AX9CD", false),
        ("/nowhere/x.db-mk0123AB9CD", false),
        ("-mj9CD", false),
    ];
    for (name, counts) in cases {
        let done = both_agree(&database, &naming(&journal, name.as_bytes()), name);
        assert_eq!(done == RolledBack::Committed, counts, "{name:?}: {done:?}");
    }
    let mut wrong_sum = naming(&journal, absent.as_bytes());
    let sum_at = wrong_sum.len() - 9;
    wrong_sum[sum_at] ^= 1;
    assert!(matches!(both_agree(&database, &wrong_sum, "sum"), RolledBack::Played { .. }));
}

#[test]
fn a_database_that_may_only_be_read_is_not_rolled_back() {
    let (database, journal) = left_behind(512, "FULL");
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &database, &journal);
    let file = OsVfs.open(&path, OpenMode::ReadOnly).unwrap();
    assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
    let refused = roll_back(&OsVfs, file.as_ref(), &beside(&path, "-journal"));
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), database);
    assert_eq!(fs::read(beside(&path, "-journal")).unwrap(), journal);
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
