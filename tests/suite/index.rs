//! The wal-index: ours is accepted by SQLite, SQLite's is read by us.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::Options;
use walsmith::format::{FrameHeader, FrameNo, PageSize, Pgno};
use walsmith::storage::os::OsVfs;
use walsmith::storage::{DeleteShm, OpenMode, Vfs};

use crate::support::{
    beside, copy, hold, hold_with, oracle, oracle_program, prepared, release, rows, text, walsmith,
    worker_program,
};

fn word(shm: &Path, at: usize) -> u32 {
    let bytes = fs::read(shm).unwrap();
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn sqlite_accepts_the_index_that_our_recovery_has_built() {
    let (_folder, database) = copy("twenty-rows");
    // Ours attaches first, rebuilds, and stays; its checkpoint leaves a trace that recovery by
    // SQLite would wipe out.
    let ours = hold_with(&worker_program(), "hold-read", &database);
    let (done, _) = walsmith(&["checkpoint-now", text(&database)]);
    assert_eq!(done["checkpointed_frames"], 20);
    let shm = beside(&database, "-shm");
    let before = fs::read(&shm).unwrap();
    assert_eq!((word(&shm, 96), word(&shm, 16)), (20, 20));
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[20]\n");
    assert_eq!(
        fs::read(&shm).unwrap()[..100],
        before[..100],
        "header and backfill are as we left them"
    );
    release(ours);
}

#[test]
fn the_first_who_attaches_cuts_the_index_and_the_second_does_not() {
    let (_folder, database) = copy("twenty-rows");
    let shm = beside(&database, "-shm");
    // A leftover of a crash that looks valid, and lies.
    let first = hold("hold-read", &database);
    let mut lie = fs::read(&shm).unwrap();
    release(first);
    lie[136..140].copy_from_slice(&9_u32.to_ne_bytes());
    fs::write(&shm, &lie).unwrap();
    let ours = hold_with(&worker_program(), "hold-read", &database);
    assert_ne!(word(&shm, 136), 9, "the first one builds it again");
    let (seen, exit) = walsmith(&["index-dump", text(&database)]);
    assert_eq!((seen["comparison"].as_str(), exit), (Some("same"), 0), "{seen:#}");
    let change = word(&shm, 8);
    let again = hold_with(&worker_program(), "hold-read", &database);
    assert_eq!(word(&shm, 8), change, "the second one does not");
    release(again);
    release(ours);
}

/// Three writers that roll spills back and reset the log all the time. What is read of the index
/// and what is read of the log a moment later are not the same; that is no fault of either.
#[test]
fn beside_busy_writers_an_index_is_never_called_wrong_or_old() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    rows(&database, "PRAGMA journal_mode=WAL");
    let writer = || {
        let mut command = Command::new(oracle_program());
        command.args(["write", text(&database), "5"]).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut writers: Vec<Child> = (0..3).map(|_| writer()).collect();
    let mut said: BTreeMap<String, u32> = BTreeMap::new();
    while writers.iter_mut().all(|writer| writer.try_wait().unwrap().is_none()) {
        let (seen, exit) = walsmith(&["index-dump", text(&database)]);
        let kind = seen["error"]["kind"].as_str();
        let comparison = seen["comparison"].as_str().or(kind).unwrap().to_owned();
        // The very first has no index yet; files that keep changing are said to.
        let said_so = ["same", "changed", "no-index", "invalid", "alone"];
        assert!(said_so.contains(&comparison.as_str()), "{seen:#}");
        assert_eq!(exit, i32::from(kind.is_some()) * if kind == Some("changed") { 4 } else { 3 });
        *said.entry(comparison).or_default() += 1;
    }
    println!("{said:?}");
    let all: u32 = said.values().sum();
    assert!(said.get("same").is_some_and(|same| same * 2 > all), "{said:?}");
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
}

/// Newest frame of each page, read from the log alone.
fn newest(log: &[u8], page_size: PageSize, mx_frame: u32) -> BTreeMap<u32, u32> {
    let page = |frame: u32| {
        let at = usize::try_from(FrameNo(frame).offset_bytes(page_size)).unwrap();
        FrameHeader::decode(log[at..at + 24].try_into().unwrap()).page.0
    };
    (1..=mx_frame).map(|frame| (page(frame), frame)).collect()
}

#[test]
fn lookups_agree_with_the_log_over_several_blocks_whoever_built_the_index() {
    for page_bytes in [512, 4096] {
        let (_folder, database) = prepared(20, page_bytes);
        oracle(&["long-log", text(&database), "9000"]);
        for builder in ["sqlite", "ours"] {
            let holder = match builder {
                "sqlite" => hold("hold-read", &database),
                _ => hold_with(&worker_program(), "hold-read", &database),
            };
            let shm = beside(&database, "-shm");
            let mx_frame = word(&shm, 16);
            assert!(mx_frame > 9000);
            let (seen, _) = walsmith(&["index-dump", text(&database)]);
            assert_eq!(seen["comparison"], "same", "{builder}: {seen:#}");
            let log = fs::read(beside(&database, "-wal")).unwrap();
            let page_size = PageSize::from_bytes(page_bytes).unwrap();
            let newest = newest(&log, page_size, mx_frame);
            let paths = Paths::beside(&database);
            let file = OsVfs.open(&database, OpenMode::ReadWrite).unwrap();
            let attached = Connection::attach(&OsVfs, file.as_ref(), &paths, Options::default());
            let mut connection = attached.unwrap().unwrap();
            connection.begin_read().unwrap();
            let pages = connection.db_size_pages().unwrap();
            for page in 1..=pages + 3 {
                let found = connection.wal_mut().find_frame(Pgno(page)).unwrap();
                assert_eq!(
                    found,
                    newest.get(&page).copied().map(FrameNo),
                    "{builder}: page {page}"
                );
            }
            connection.detach(DeleteShm::No).unwrap();
            release(holder);
        }
    }
}

#[test]
fn an_index_is_rebuilt_beside_a_reader_that_keeps_its_snapshot() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    let shm = beside(&database, "-shm");
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(&shm).unwrap();
    file.write_all_at(&77_u32.to_ne_bytes(), 136 + 4 * 3).unwrap();
    // Whoever has it open for writing and holds no lock is in the way.
    drop(file);
    let (seen, exit) = walsmith(&["index-dump", text(&database)]);
    assert_eq!((seen["wrong_entries"][0]["frame"].as_u64(), exit), (Some(4), 1), "{seen:#}");
    let (built, exit) = walsmith(&["index-rebuild", text(&database)]);
    assert_eq!((built["mx_frame"].as_u64(), exit), (Some(21), 0), "{built:#}");
    let (seen, exit) = walsmith(&["index-dump", text(&database)]);
    assert_eq!((seen["comparison"].as_str(), exit), (Some("same"), 0), "{seen:#}");
    // The reader's mark still holds the checkpoint back.
    let (done, _) = walsmith(&["checkpoint-now", text(&database)]);
    assert_eq!(done["checkpointed_frames"], 20);
    release(reader);
    assert_eq!(rows(&database, "SELECT count(*) FROM t"), "[21]\n");
}

#[test]
fn an_index_that_knows_more_than_its_log_is_not_thrown_away() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    let wal = fs::OpenOptions::new().write(true).open(beside(&database, "-wal")).unwrap();
    wal.set_len(32 + 15 * 4120).unwrap();
    drop(wal);
    let (refused, exit) = walsmith(&["index-rebuild", text(&database)]);
    assert_eq!((refused["error"]["kind"].as_str(), exit), (Some("refused"), 6), "{refused:#}");
    assert_eq!(word(&beside(&database, "-shm"), 16), 20);
    release(reader);
}
