//! The engine's protocol, item by item, against SQLite in a child process or in memory.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use walsmith::engine::connection::{AfterCommit, Connection, Paths};
use walsmith::engine::wal::{
    Cache, CheckpointMode, Closed, Options, Page, Request, SharedMemory, SnapshotRequest,
    Synchronous, Verify, Wal,
};
use walsmith::engine::{Corruption, Error};
use walsmith::format::{FrameNo, PageSize, Pgno};
use walsmith::log::examine;
use walsmith::scan::{Nobody, Watch};
use walsmith::storage::memory::{MemoryFile, MemoryVfs};
use walsmith::storage::os::OsVfs;
use walsmith::storage::{DeleteShm, File, LockLevel, Locked, OpenMode, Vfs};

use crate::stamps::{Images, Stamps, pages};
use crate::support::{
    Oracle, beside, copy, hold, names, oracle, oracle_program, prepared, read, release, rows, text,
    walsmith, worker_program,
};

/// An open database and the paths beside it.
struct Opened {
    file: Box<dyn File>,
    paths: Paths,
}

impl Opened {
    fn at(vfs: &dyn Vfs, database: &Path) -> Self {
        let file = vfs.open(database, OpenMode::ReadWrite).unwrap();
        Self { file, paths: Paths::beside(database) }
    }

    fn attach<'a>(&'a self, vfs: &'a dyn Vfs) -> Connection<'a> {
        let file = self.file.as_ref();
        Connection::attach(vfs, file, &self.paths, Options::default()).unwrap().unwrap()
    }
}

/// One committed transaction: `stamp` on row `id`.
fn stamp(connection: &mut Connection<'_>, stamps: &Stamps, id: usize, stamp: u64) {
    connection.begin_read().unwrap();
    connection.begin_write().unwrap();
    let mut images = Images::new();
    stamps.put(connection, &mut images, id, stamp).unwrap();
    let size = connection.db_size_pages().unwrap();
    connection.commit_and_end(&pages(&images), size).unwrap();
}

fn request(connection: &Connection<'_>, mode: CheckpointMode) -> Request<'static> {
    let page_size = connection.page_size().unwrap();
    let sync = Synchronous::Full.flags();
    Request {
        mode,
        page_size,
        sync,
        verify: Verify::Frames,
        mend: None,
        busy: None,
        watch: &Nobody,
    }
}

/// A database in memory with rows to stamp, and where they are.
fn in_memory(rows: u32) -> (MemoryVfs, PathBuf) {
    let (_folder, database) = prepared(rows, 1024);
    let vfs = MemoryVfs::default();
    let path = PathBuf::from("/m.db");
    vfs.put(&path, fs::read(database).unwrap());
    (vfs, path)
}

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

#[test]
fn every_fixture_reads_page_by_page_as_sqlite_reads_it() {
    let mut sqlite = Oracle::start();
    for name in names() {
        let (database, wal) = read(&name);
        let sight = sqlite.see_bytes(&database, &wal);
        let vfs = MemoryVfs::default();
        vfs.put(Path::new("/x.db"), database);
        vfs.put(Path::new("/x.db-wal"), wal);
        let opened = Opened::at(&vfs, Path::new("/x.db"));
        let mut connection = opened.attach(&vfs);
        connection.begin_read().unwrap();
        let size = connection.db_size_pages().unwrap();
        let mut image = vec![0; connection.page_size().unwrap().in_memory()];
        for (number, &crc) in (1..=size).zip(&sight.pages) {
            connection.read_page(Pgno(number), &mut image).unwrap();
            assert_eq!(crc32fast::hash(&image), crc, "{name}: page {number}");
        }
        assert_eq!(sight.pages.len(), (size as usize).min(512), "{name}");
        // And the last close leaves exactly that in the database file.
        connection.end_read().unwrap();
        assert_eq!(connection.close().unwrap(), Closed::Deleted);
        let closed = vfs.bytes(Path::new("/x.db")).unwrap();
        let after = sqlite.see_bytes(&closed, &[]);
        assert_eq!(after.pages, sight.pages, "{name}");
        assert_eq!(vfs.bytes(Path::new("/x.db-wal")), None);
    }
}

#[test]
fn sqlite_reads_what_we_append_to_logs_of_every_shape() {
    // Page sizes of 512 to 65536, big-endian sums, commits that shrink, leftovers of all kinds.
    for name in names() {
        let (_folder, database) = copy(&name);
        let before = Oracle::start().see(&copy(&name).1);
        let opened = Opened::at(&OsVfs, &database);
        let mut connection = opened.attach(&OsVfs);
        connection.begin_read().unwrap();
        let (size, mx_frame) =
            (connection.db_size_pages().unwrap(), connection.wal().header().mx_frame);
        connection.begin_write().unwrap();
        // The same pages again: once spilled, twice rewritten in place, then committed.
        let page_len = connection.page_size().unwrap().in_memory();
        let mut images: Vec<(Pgno, Vec<u8>)> = Vec::new();
        for number in (1..=size).rev().take(3) {
            let mut image = vec![0; page_len];
            connection.read_page(Pgno(number), &mut image).unwrap();
            images.push((Pgno(number), image));
        }
        let list: Vec<Page<'_>> =
            images.iter().map(|(pgno, image)| Page { pgno: *pgno, image }).collect();
        connection.spill(&list).unwrap();
        connection.spill(&list).unwrap();
        connection.commit(&list, size).unwrap();
        assert!(connection.wal().header().mx_frame > mx_frame, "{name}");
        connection.end_read().unwrap();
        connection.detach(DeleteShm::Yes).unwrap();
        let after = Oracle::start().see(&database);
        assert_eq!((after.error, after.pages), (before.error, before.pages), "{name}");
        assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n", "{name}");
    }
}

#[test]
fn a_sqlite_reader_keeps_its_snapshot_across_our_commits_checkpoint_and_reset() {
    let (_folder, database) = prepared(41, 4096);
    let opened = Opened::at(&OsVfs, &database);
    let mut connection = opened.attach(&OsVfs);
    let stamps = Stamps::of(&mut connection).unwrap();
    stamp(&mut connection, &stamps, 1, 7);
    let mut reader = hold("hold-sight", &database);
    stamp(&mut connection, &stamps, 2, 8);
    let done = connection.checkpoint(&mut request(&connection, CheckpointMode::Full)).unwrap();
    assert_eq!((done.busy, done.checkpointed_frames), (true, Some(1)));
    // Everything that the reader sees may be copied, but the log may not begin again.
    let done = connection.checkpoint(&mut request(&connection, CheckpointMode::Truncate)).unwrap();
    assert!(done.busy);
    stamp(&mut connection, &stamps, 3, 9);
    assert_eq!(connection.wal().header().mx_frame, 3);
    drop(reader.stdin.take());
    let mut said = String::new();
    reader.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said.trim(), "true");
    reader.wait().unwrap();
    let done = connection.checkpoint(&mut request(&connection, CheckpointMode::Restart)).unwrap();
    assert_eq!((done.busy, done.checkpointed_frames), (false, Some(3)));
    stamp(&mut connection, &stamps, 4, 10);
    assert_eq!(connection.wal().header().mx_frame, 1, "the log began again");
}

#[test]
fn our_reader_keeps_its_snapshot_across_commits_checkpoint_and_reset_of_sqlite() {
    let (_folder, database) = prepared(41, 4096);
    let opened = Opened::at(&OsVfs, &database);
    let mut connection = opened.attach(&OsVfs);
    let stamps = Stamps::of(&mut connection).unwrap();
    rows(&database, "UPDATE ours SET v = v RETURNING 1");
    connection.begin_read().unwrap();
    let before = stamps.read_all(&mut connection).unwrap();
    rows(&database, "UPDATE ours SET v = CAST('walsmith0000000000000000' AS BLOB) RETURNING 1");
    let done = oracle(&["checkpoint", text(&database), "RESTART"]);
    assert!(done.starts_with("1 "), "{done}");
    rows(&database, "INSERT INTO t(writer) VALUES(1) RETURNING 1");
    assert_eq!(stamps.read_all(&mut connection).unwrap(), before);
    assert!(matches!(connection.begin_write(), Err(Error::BusySnapshot)));
    assert_eq!(stamps.read_all(&mut connection).unwrap(), before, "the read goes on");
    connection.end_read().unwrap();
    assert!(oracle(&["checkpoint", text(&database), "TRUNCATE"]).starts_with("0 "));
    assert_eq!(connection.begin_read().unwrap(), Cache::Stale);
    assert_ne!(stamps.read_all(&mut connection).unwrap(), before);
    connection.begin_write().unwrap();
    connection.rollback().unwrap();
}

#[test]
fn a_passive_checkpoint_leaves_pages_that_are_newer_than_a_readers_mark() {
    let (vfs, path) = in_memory(60);
    let (one, two) = (Opened::at(&vfs, &path), Opened::at(&vfs, &path));
    let (mut writer, mut reader) = (one.attach(&vfs), two.attach(&vfs));
    let stamps = Stamps::of(&mut writer).unwrap();
    let (far, near) = (stamps.places.len() - 1, 1);
    assert_ne!(stamps.places[far].page, stamps.places[near].page);
    stamp(&mut writer, &stamps, near, 1);
    stamp(&mut writer, &stamps, far, 2);
    reader.begin_read().unwrap();
    stamp(&mut writer, &stamps, near, 3);
    let size = vfs.bytes(&path).unwrap().len();
    let done = writer.checkpoint(&mut request(&writer, CheckpointMode::Passive)).unwrap();
    // Frame 2 is copied; frame 1 is not, because frame 3 has its page, too.
    assert_eq!(
        (done.busy, done.log_frames, done.checkpointed_frames, done.copied_pages),
        (false, Some(3), Some(2), 1)
    );
    assert_eq!(vfs.bytes(&path).unwrap().len(), size);
    assert_eq!(stamps.read(&mut reader, near).unwrap(), 1);
    assert_eq!(stamps.read(&mut reader, far).unwrap(), 2);
    reader.end_read().unwrap();
    let done = writer.checkpoint(&mut request(&writer, CheckpointMode::Passive)).unwrap();
    assert_eq!((done.checkpointed_frames, done.copied_pages), (Some(3), 1));
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
fn the_last_close_deletes_both_files_and_no_other_close_does() {
    let (_folder, database) = prepared(41, 4096);
    let opened = Opened::at(&OsVfs, &database);
    let mut connection = opened.attach(&OsVfs);
    let stamps = Stamps::of(&mut connection).unwrap();
    stamp(&mut connection, &stamps, 1, 7);
    let reader = hold("hold-read", &database);
    assert_eq!(connection.close().unwrap(), Closed::Left);
    assert!(beside(&database, "-wal").exists() && beside(&database, "-shm").exists());
    release(reader);
    let mut connection = opened.attach(&OsVfs);
    connection.begin_read().unwrap();
    assert_eq!(stamps.read(&mut connection, 1).unwrap(), 7);
    assert_eq!(connection.close().unwrap(), Closed::Deleted);
    assert!(!beside(&database, "-wal").exists() && !beside(&database, "-shm").exists());
    let stamped = rows(&database, "SELECT hex(substr(v, 17)) FROM ours WHERE id = 1");
    assert_eq!(stamped, "[\"0000000000000007\"]\n");
}

#[test]
fn a_close_on_a_database_that_was_moved_away_leaves_its_log() {
    let (folder, database) = prepared(41, 4096);
    let opened = Opened::at(&OsVfs, &database);
    let mut connection = opened.attach(&OsVfs);
    let stamps = Stamps::of(&mut connection).unwrap();
    stamp(&mut connection, &stamps, 1, 7);
    fs::rename(&database, folder.path().join("moved.db")).unwrap();
    assert_eq!(connection.close().unwrap(), Closed::Left);
    assert!(beside(&database, "-wal").exists());
}

#[test]
fn a_named_snapshot_opens_again_until_a_checkpoint_has_passed_it() {
    let (vfs, path) = in_memory(40);
    let (one, two) = (Opened::at(&vfs, &path), Opened::at(&vfs, &path));
    let (mut writer, mut reader) = (one.attach(&vfs), two.attach(&vfs));
    let stamps = Stamps::of(&mut writer).unwrap();
    stamp(&mut writer, &stamps, 1, 1);
    reader.open_snapshot(SnapshotRequest::Nameable);
    reader.begin_read().unwrap();
    let old = reader.wal().get_snapshot().unwrap();
    reader.end_read().unwrap();
    stamp(&mut writer, &stamps, 1, 2);
    reader.open_snapshot(SnapshotRequest::At(old));
    reader.begin_read().unwrap();
    assert_eq!(stamps.read(&mut reader, 1).unwrap(), 1);
    assert!(reader.wal().check_snapshot(&old).is_ok());
    reader.wal().unlock_snapshot();
    reader.end_read().unwrap();
    reader.open_snapshot(SnapshotRequest::Newest);
    reader.begin_read().unwrap();
    assert_eq!(stamps.read(&mut reader, 1).unwrap(), 2);
    let new = reader.wal().get_snapshot().unwrap();
    assert!(old.age() < new.age());
    reader.end_read().unwrap();
    writer.checkpoint(&mut request(&writer, CheckpointMode::Passive)).unwrap();
    reader.open_snapshot(SnapshotRequest::At(old));
    assert!(matches!(reader.begin_read(), Err(Error::SnapshotGone)));
    assert_eq!(reader.wal().read_slot(), None);
    reader.open_snapshot(SnapshotRequest::At(new));
    reader.begin_read().unwrap();
}

#[test]
fn without_shared_memory_the_database_lock_alone_keeps_others_out() {
    let (_folder, database) = prepared(41, 4096);
    let _ = fs::remove_file(beside(&database, "-shm"));
    let file = OsVfs.open(&database, OpenMode::ReadWrite).unwrap();
    for level in [LockLevel::Shared, LockLevel::Exclusive] {
        assert_eq!(file.lock(level).unwrap(), Locked::Granted);
    }
    let paths = Paths::beside(&database);
    let options = Options { shared_memory: SharedMemory::Avoid, ..Options::default() };
    let mut wal = Wal::open(&OsVfs, file.as_ref(), &paths.wal, options).unwrap();
    assert!(wal.is_heap_memory() && !wal.takes_locks());
    wal.begin_read().unwrap();
    wal.begin_write().unwrap();
    let page_size = PageSize::from_bytes(4096).unwrap();
    let mut image = vec![0; 4096];
    file.read_at(&mut image, 4096).unwrap();
    let commit = walsmith::engine::wal::WriteKind::Commit {
        db_size_pages: u32::try_from(file.size().unwrap() / 4096).unwrap(),
    };
    let list = [Page { pgno: Pgno(2), image: &image }];
    wal.frames(page_size, &list, commit, Synchronous::Full.flags()).unwrap();
    wal.end_write();
    wal.end_read();
    assert!(!beside(&database, "-shm").exists());
    drop(wal);
    file.unlock(LockLevel::None).unwrap();
    drop(file);
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
    assert!(oracle(&["checkpoint", text(&database), "PASSIVE"]).starts_with("0 1 1"));
}

#[test]
fn a_connection_that_may_only_read_builds_an_index_of_its_own() {
    let (_folder, database) = copy("twenty-rows");
    let paths = Paths::beside(&database);
    // Nobody is attached, so nobody keeps this wal-index right.
    let reader = hold("hold-read", &database);
    release(reader);
    let before = fs::read(beside(&database, "-shm")).unwrap();
    let file = OsVfs.open(&database, OpenMode::ReadOnly).unwrap();
    let attached = Connection::attach(&OsVfs, file.as_ref(), &paths, Options::default());
    let mut connection = attached.unwrap().unwrap();
    connection.begin_read().unwrap();
    assert_eq!(connection.wal().header().mx_frame, 20);
    let mut image = vec![0; 4096];
    connection.read_page(Pgno(2), &mut image).unwrap();
    let (_, wal) = read("twenty-rows");
    let newest = usize::try_from(FrameNo(20).offset_bytes(PageSize::ALL[3])).unwrap() + 24;
    assert_eq!(image, wal[newest..newest + 4096]);
    assert!(matches!(connection.begin_write(), Err(Error::ReadOnly)));
    let refused = connection
        .wal_mut()
        .checkpoint(&mut Request::passive(PageSize::ALL[3], Synchronous::Full.flags()));
    assert!(matches!(refused, Err(Error::ReadOnly)));
    connection.end_read().unwrap();
    assert_eq!(fs::read(beside(&database, "-shm")).unwrap(), before);
    // A writer comes: the real index is read from now on.
    let writer = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    connection.begin_read().unwrap();
    assert_eq!(connection.wal().header().mx_frame, 21);
    connection.detach(DeleteShm::No).unwrap();
    release(writer);
}

#[test]
fn the_commit_hook_decides_about_the_checkpoint() {
    let (vfs, path) = in_memory(40);
    let opened = Opened::at(&vfs, &path);
    let mut connection = opened.attach(&vfs);
    let stamps = Stamps::of(&mut connection).unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let seeing = Rc::clone(&seen);
    connection.set_commit_hook(Box::new(move |frames| {
        seeing.borrow_mut().push(frames);
        if frames >= 3 { AfterCommit::Checkpoint } else { AfterCommit::Nothing }
    }));
    for number in 1..=5 {
        stamp(&mut connection, &stamps, 1, number);
    }
    // After the third everything was copied, and the fourth began the log again.
    assert_eq!(*seen.borrow(), [1, 2, 3, 1, 2]);
}

#[test]
fn a_log_that_began_anew_is_cut_to_its_limit() {
    let (vfs, path) = in_memory(40);
    let opened = Opened::at(&vfs, &path);
    let mut connection = opened.attach(&vfs);
    let stamps = Stamps::of(&mut connection).unwrap();
    for number in 1..=9 {
        stamp(&mut connection, &stamps, 1, number);
    }
    connection.checkpoint(&mut request(&connection, CheckpointMode::Restart)).unwrap();
    let log = || vfs.bytes(Path::new("/m.db-wal")).unwrap().len();
    let slot = 1024 + 24;
    assert_eq!(log(), 32 + 9 * slot);
    connection.wal_mut().limit(Some(u64::try_from(32 + 2 * slot).unwrap()));
    stamp(&mut connection, &stamps, 1, 10);
    assert_eq!(log(), 32 + 2 * slot);
    connection.wal_mut().limit(Some(0));
    connection.checkpoint(&mut request(&connection, CheckpointMode::Restart)).unwrap();
    stamp(&mut connection, &stamps, 1, 11);
    assert_eq!(log(), 32 + slot, "never shorter than its frames");
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

/// A gigabyte, most of it a hole: `cargo test --release engine -- --ignored`.
#[test]
#[ignore = "writes a database of more than 1 GiB; the README has the command"]
fn pages_on_both_sides_of_the_lock_byte_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["sparse", text(&database)]);
    let sql = "SELECT a, length(b), hex(substr(b, 1, 20)) FROM t WHERE a = 19";
    let before = rows(&database, sql);
    let opened = Opened::at(&OsVfs, &database);
    let mut connection = opened.attach(&OsVfs);
    let done = connection.checkpoint(&mut request(&connection, CheckpointMode::Truncate)).unwrap();
    assert!(!done.busy && done.copied_pages > 0);
    connection.detach(DeleteShm::No).unwrap();
    assert!(fs::metadata(&database).unwrap().len() > 1 << 30);
    assert_eq!(rows(&database, sql), before);
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
}
