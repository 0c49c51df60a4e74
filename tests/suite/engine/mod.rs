//! The engine's protocol, item by item, against SQLite in a child process or in memory.

mod copying;
mod reading;
mod recovery;
mod writing;

use std::fs;
use std::path::{Path, PathBuf};

use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{CheckpointMode, Options, Request, Synchronous, Verify};
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{File, OpenMode, Vfs};

use crate::stamps::{Images, Stamps, pages};
use crate::support::prepared;

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
