//! A log that is written while it is read.

use std::cell::RefCell;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use walsmith::access::files::{FileArgs, Files};
use walsmith::access::{Context, live};
use walsmith::log::Verdict;
use walsmith::output::{Format, Output};
use walsmith::scan::Watch;
use walsmith::storage::os::OsVfs;

use crate::log_builder::Log;

/// Puts another content into the file when half of it was read.
struct Rewrite<'a> {
    path: &'a Path,
    bytes: RefCell<Option<Vec<u8>>>,
}

impl Watch for Rewrite<'_> {
    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        if done_bytes > total_bytes / 2
            && let Some(bytes) = self.bytes.borrow_mut().take()
        {
            fs::write(self.path, bytes).unwrap();
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn what_was_written_while_nobody_was_seen_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("x.db-wal");
    let mut log = Log::new(7);
    (0..8_000).for_each(|_| log.commit(&[2]));
    fs::write(&wal, &log.bytes).unwrap();
    log.restart(8);
    (0..8_000).for_each(|_| log.commit(&[3]));
    // Longer ago than a tick of the clock, so that the time of the file changes.
    std::thread::sleep(Duration::from_millis(50));
    let watch = Rewrite { path: &wal, bytes: RefCell::new(Some(log.bytes.clone())) };
    let mut out = Vec::new();
    let output = Output::new(&mut out, Format::Json);
    let context = Context { vfs: &OsVfs, watch: &watch, output, warnings: RefCell::default() };
    let files = Files::find(&OsVfs, &wal, &FileArgs::default()).unwrap();
    let reading =
        live::Reading::of(&files, live::LogOptions::default(), &context).unwrap().unwrap();
    assert!(watch.bytes.borrow().is_none(), "the log was written while it was read");
    assert_eq!(reading.examination.verdict, Verdict::Clean);
    assert_eq!(reading.examination.header.unwrap().salts.salt1, 8);
}
