//! Readers and their snapshots.

use std::fs;
use std::io::Read;
use std::path::Path;

use walsmith::engine::Error;
use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{
    Cache, CheckpointMode, Closed, Options, Request, SnapshotRequest, Synchronous,
};
use walsmith::format::{FrameNo, PageSize, Pgno};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::os::OsVfs;
use walsmith::storage::{DeleteShm, OpenMode, Vfs};

use super::{Opened, in_memory, request, stamp};
use crate::stamps::Stamps;
use crate::support::{
    Oracle, beside, copy, hold, names, oracle, prepared, read, release, rows, text,
};

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
