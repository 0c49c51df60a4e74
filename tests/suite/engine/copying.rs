//! Checkpoints, and the last close, which is one.

use std::fs;

use walsmith::engine::wal::{CheckpointMode, Closed};
use walsmith::storage::DeleteShm;
use walsmith::storage::os::OsVfs;

use super::{Opened, in_memory, request, stamp};
use crate::stamps::Stamps;
use crate::support::{beside, hold, oracle, prepared, release, rows, text};

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
