//! The WAL-reset race: a checkpointer of ours is stopped between loading the header and looking at
//! what is copied, while SQLite resets the log and commits (`engine/PROTOCOL.md`, Checkpoint).
//!
//! A SQLite without the fix loses 20 transactions on this schedule:
//! `cargo run --manifest-path tests/oracle/old-sqlite/Cargo.toml -- race /tmp/new.db`.

use std::cell::RefCell;
use std::ops::ControlFlow;

use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{Options, Request, Synchronous};
use walsmith::scan::Watch;
use walsmith::storage::os::OsVfs;
use walsmith::storage::{DeleteShm, OpenMode, Vfs};

use crate::support::{oracle, rows, text};

/// Does something when the checkpoint asks for the first time whether it is interrupted: that is
/// after the load of the header.
struct Stop<F>(RefCell<Option<F>>);

impl<F: FnOnce()> Watch for Stop<F> {
    fn scanned(&self, _done_bytes: u64, _total_bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn is_interrupted(&self) -> bool {
        let hook = self.0.borrow_mut().take();
        if let Some(hook) = hook {
            hook();
        }
        false
    }
}

#[test]
fn a_reset_between_the_header_and_the_copy_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    oracle(&["race-setup", text(&database)]);
    let paths = Paths::beside(&database);
    let file = OsVfs.open(&database, OpenMode::ReadWrite).unwrap();
    let attached = Connection::attach(&OsVfs, file.as_ref(), &paths, Options::default());
    let mut connection = attached.unwrap().unwrap();
    let sync = Synchronous::Full.flags();
    let page_size = connection.page_size().unwrap();
    // Everything is in the database: the next writer resets the log.
    let first = connection.checkpoint(&mut Request::passive(page_size, sync)).unwrap();
    let old_frames = first.log_frames.unwrap();
    assert_eq!(first.checkpointed_frames, first.log_frames);
    let stop = Stop(RefCell::new(Some(|| {
        oracle(&["race-reset", text(&database)]);
    })));
    let mut request = Request { watch: &stop, ..Request::passive(page_size, sync) };
    let second = connection.checkpoint(&mut request).unwrap();
    assert!(stop.0.borrow().is_none(), "the schedule was kept");
    // The triple of a fixed SQLite that has lost the race.
    assert_eq!((second.log_frames, second.checkpointed_frames), (Some(old_frames), Some(0)));
    assert_eq!(second.copied_pages, 0);
    connection.detach(DeleteShm::No).unwrap();
    oracle(&["race-finish", text(&database)]);
    let kept = "SELECT count(*) FROM t WHERE b = 'kept'";
    assert_eq!(rows(&database, kept), "[40]\n");
    assert_eq!(rows(&database, "PRAGMA integrity_check"), "[\"ok\"]\n");
}

#[test]
fn a_sqlite_with_the_fix_loses_nothing_on_the_same_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let left = oracle(&["race", text(&folder.path().join("x.db"))]);
    assert!(left.trim().ends_with("40 of 40 transactions"), "{left}");
}
