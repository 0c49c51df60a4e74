//! Recovery: what it finds, who does it, and what it does not believe.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use walsmith::engine::wal::{Cache, CheckpointMode, Request, Synchronous};
use walsmith::engine::{Corruption, Error};
use walsmith::format::PageSize;
use walsmith::log::examine;
use walsmith::scan::{Nobody, Watch};
use walsmith::storage::memory::{MemoryFile, MemoryVfs};

use super::{Opened, in_memory, request, stamp};
use crate::stamps::Stamps;
use crate::support::{copy, oracle_program, read, release, text, walsmith, worker_program};

#[test]
fn recovery_finds_what_the_oracle_has_confirmed_at_every_length() {
    // `examine` is compared with SQLite elsewhere; here the engine is compared with it.
    for name in ["page-512", "big-endian", "savepoint", "padded-commits", "header-only"] {
        let (database, wal) = read(name);
        let step = if wal.len() > 20_000 { 97 } else { 13 };
        for len in (0..=wal.len()).step_by(step) {
            let wal = &wal[..len];
            let expected = examine(&MemoryFile::with_bytes(wal.to_vec()), &Nobody).unwrap().prefix;
            let vfs = MemoryVfs::default();
            vfs.put(Path::new("/x.db"), database.clone());
            vfs.put(Path::new("/x.db-wal"), wal.to_vec());
            let opened = Opened::at(&vfs, Path::new("/x.db"));
            let mut connection = opened.attach(&vfs);
            connection.begin_read().unwrap();
            let header = *connection.wal().header();
            assert_eq!(header.mx_frame, expected.mx_frame, "{name}, {len} bytes");
            if expected.mx_frame > 0 {
                assert_eq!(Some(header.db_size_pages), expected.db_size_pages);
            }
        }
    }
}

/// Stops at the first look.
struct Stop;

impl Watch for Stop {
    fn scanned(&self, _done_bytes: u64, _total_bytes: u64) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}

#[test]
fn a_recovery_that_is_interrupted_is_done_by_whoever_comes_next() {
    let (vfs, path) = in_memory(60);
    let opened = Opened::at(&vfs, &path);
    let mut writer = opened.attach(&vfs);
    let stamps = Stamps::of(&mut writer).unwrap();
    (1..=9).for_each(|number| stamp(&mut writer, &stamps, number, 1));
    drop(writer);
    let before = vfs.bytes(&path);
    for mode in [CheckpointMode::Noop, CheckpointMode::Truncate] {
        let mut stopped = opened.attach(&vfs);
        let mut request = Request { watch: &Stop, ..request(&stopped, mode) };
        assert!(matches!(stopped.checkpoint(&mut request), Err(Error::Interrupted)));
        assert!(matches!(stopped.rebuild_index(&Stop), Err(Error::Interrupted)));
        assert_eq!(vfs.bytes(&path), before);
        let other = Opened::at(&vfs, &path);
        let mut next = other.attach(&vfs);
        assert_eq!(next.begin_read().unwrap(), Cache::Stale);
        assert_eq!(next.wal().header().mx_frame, 9);
        assert!((1..=9).all(|number| stamps.read(&mut next, number).unwrap() == 1));
    }
}

#[test]
fn of_many_first_openers_at_once_one_builds_the_index_and_the_others_wait() {
    for _ in 0..5 {
        let (_folder, database) = copy("twenty-rows");
        let start = |program: PathBuf| {
            Command::new(program)
                .args(["hold-read", text(&database)])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut openers: Vec<Child> = (0..8)
            .map(|number| start(if number % 2 == 0 { oracle_program() } else { worker_program() }))
            .collect();
        for opener in &mut openers {
            let mut ready = [0; 6];
            opener.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        }
        let (seen, exit) = walsmith(&["index-dump", text(&database)]);
        assert_eq!((seen["comparison"].as_str(), exit), (Some("same"), 0), "{seen:#}");
        openers.into_iter().for_each(release);
    }
}

#[test]
fn an_implausible_size_and_a_foreign_page_size_are_corrupt() {
    let (database, wal) = read("page-1024");
    for (page_bytes, growth) in [([0x10, 0x00], false), ([0x04, 0x00], true)] {
        let vfs = MemoryVfs::default();
        let mut database = database.clone();
        let mut wal = wal.clone();
        database[16..18].copy_from_slice(&page_bytes);
        if growth {
            wal = with_commit_size(&wal, 4_000_000);
        }
        vfs.put(Path::new("/x.db"), database.clone());
        vfs.put(Path::new("/x.db-wal"), wal);
        let opened = Opened::at(&vfs, Path::new("/x.db"));
        let mut connection = opened.attach(&vfs);
        let page_size = PageSize::from_database_field(page_bytes).unwrap();
        let sync = Synchronous::Full.flags();
        let done = connection.checkpoint(&mut Request::passive(page_size, sync));
        match done {
            Err(Error::Corrupt(Corruption::PageSize { .. })) => assert!(!growth),
            Err(Error::Corrupt(Corruption::Growth { .. })) => assert!(growth),
            other => panic!("{other:?}"),
        }
        assert_eq!(vfs.bytes(Path::new("/x.db")).unwrap(), database, "nothing was written");
    }
}

/// The log with another size in its last commit, and sums that fit.
fn with_commit_size(wal: &[u8], pages: u32) -> Vec<u8> {
    use walsmith::format::{Checksum, FrameHeader, WalHeader};
    let header = WalHeader::decode(wal[..32].try_into().unwrap());
    let slot = header.page_size().unwrap().in_memory() + 24;
    let prefix = examine(&MemoryFile::with_bytes(wal.to_vec()), &Nobody).unwrap().prefix;
    let mut wal = wal[..32 + slot * prefix.mx_frame as usize].to_vec();
    let last = wal.len() - slot;
    let before = if prefix.mx_frame == 1 { 24 } else { last - slot + 16 };
    let word = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
    let start = Checksum { a: word(before), b: word(before + 4) };
    let mut head = FrameHeader::decode(wal[last..last + 24].try_into().unwrap());
    head.commit_size_pages = pages;
    head.checksum = head.sum_from(start, header.byte_order(), &wal[last + 24..]);
    wal[last..last + 24].copy_from_slice(&head.encode());
    wal
}
