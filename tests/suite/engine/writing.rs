//! Writers: what they append, and what follows a commit.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use walsmith::engine::connection::{AfterCommit, Paths};
use walsmith::engine::wal::{CheckpointMode, Options, Page, SharedMemory, Synchronous, Wal};
use walsmith::format::{PageSize, Pgno};
use walsmith::storage::os::OsVfs;
use walsmith::storage::{DeleteShm, LockLevel, Locked, OpenMode, Vfs};

use super::{Opened, in_memory, request, stamp};
use crate::stamps::Stamps;
use crate::support::{Oracle, beside, copy, names, oracle, prepared, rows, text};

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
