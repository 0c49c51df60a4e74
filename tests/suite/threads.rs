//! Threads change nothing: a log that is read by several of them, in chunks of a few frames, gives
//! the same examination and the same slots as one that is read by the caller alone.

use std::cell::Cell;
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use fastrand::Rng;
use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{Options, Request, Synchronous};
use walsmith::format::{FrameNo, PageSize, WAL_HEADER_BYTES, WalHeader};
use walsmith::log::examine;
use walsmith::scan::{Error, Extent, Frames, Nobody, Watch};
use walsmith::storage::os::OsVfs;
use walsmith::storage::shared::Spread;
use walsmith::storage::threaded::ThreadedVfs;
use walsmith::storage::{File, OpenMode, Vfs};

use crate::mutate;
use crate::support::{beside, names, read};

/// Threads that take `slots` slots of `slot_bytes` bytes at a time, whatever the size of the log.
fn threaded(threads: usize, slots: u64, slot_bytes: u64) -> ThreadedVfs {
    let chunk_bytes = slots * slot_bytes;
    ThreadedVfs {
        spread: Spread { threads: NonZeroUsize::new(threads), chunk_bytes, from_bytes: 0 },
    }
}

fn slot_bytes(wal: &[u8]) -> u64 {
    let header = wal.first_chunk::<WAL_HEADER_BYTES>().map(WalHeader::decode);
    header.and_then(|header| header.page_size()).map_or(1048, PageSize::slot_bytes)
}

/// Everything that the analysis tells of a log.
fn told(vfs: &dyn Vfs, path: &Path) -> String {
    let file = vfs.open(path, OpenMode::ReadOnly).unwrap();
    let examination = examine(file.as_ref(), &Nobody);
    let slots = examination.as_ref().ok().map(|examination| {
        let slots = examination.slots(file.as_ref(), FrameNo(u32::MAX), &Nobody);
        Vec::from_iter(slots.map(Result::unwrap))
    });
    format!("{examination:?} {slots:?}")
}

fn same(path: &Path, wal: &[u8], case: &str) {
    fs::write(path, wal).unwrap();
    let alone = told(&OsVfs, path);
    for (threads, slots) in [(2, 1), (3, 4)] {
        let together = told(&threaded(threads, slots, slot_bytes(wal)), path);
        assert_eq!(together, alone, "{case}, {threads} threads, {slots} slots a chunk");
    }
}

#[test]
fn fixtures_and_damaged_fixtures_read_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db-wal");
    let seed = 6;
    for name in names() {
        let (_, wal) = read(&name);
        same(&path, &wal, &name);
        for &(kind, mutator) in mutate::ALL {
            let mut damaged = wal.clone();
            mutator(&mut damaged, &mut Rng::with_seed(seed));
            same(&path, &damaged, &format!("{name}, {kind}, seed {seed}"));
        }
    }
}

#[test]
fn damage_at_every_chunk_border_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db-wal");
    for name in ["page-512", "savepoint", "reused"] {
        let (_, wal) = read(name);
        let slot = usize::try_from(slot_bytes(&wal)).unwrap();
        // With chunks of one slot every frame is at a border; with four, every fourth.
        for start in (WAL_HEADER_BYTES..wal.len() - slot).step_by(slot) {
            for (at, what) in
                [(1, "page"), (9, "salt"), (17, "sum"), (24, "first"), (slot - 1, "last")]
            {
                let mut damaged = wal.clone();
                damaged[start + at] ^= 0x41;
                same(&path, &damaged, &format!("{name}, slot at {start}, {what}"));
            }
            let mut blank = wal.clone();
            blank[start..start + slot].fill(0);
            same(&path, &blank, &format!("{name}, slot at {start}, blank"));
            same(&path, &wal[..start + 30], &format!("{name}, slot at {start}, cut"));
        }
    }
}

/// A log of `slots` blank slots of 512-byte pages, and its extent.
fn blank(path: &Path, slots: u64) -> Extent {
    let bytes = 32 + slots * 536;
    fs::File::create(path).unwrap().set_len(bytes).unwrap();
    Extent::of(bytes, PageSize::ALL[0]).unwrap()
}

fn numbers(file: &dyn File, extent: Extent, watch: &dyn Watch) -> Vec<Result<u32, Error>> {
    Frames::new(file, extent, FrameNo(1)..extent.end(), watch, |frame, _| frame.0).collect()
}

#[test]
fn a_log_that_is_cut_meanwhile_gives_what_is_left_and_then_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db-wal");
    let extent = blank(&path, 1000);
    fs::File::options().write(true).open(&path).unwrap().set_len(32 + 536 * 777 + 9).unwrap();
    for vfs in [&OsVfs as &dyn Vfs, &threaded(3, 10, 536), &threaded(8, 7, 536)] {
        let file = vfs.open(&path, OpenMode::ReadOnly).unwrap();
        let mut seen = numbers(file.as_ref(), extent, &Nobody);
        let error = seen.pop().unwrap();
        assert!(matches!(error, Err(Error::Shrunk { frame: FrameNo(778), .. })), "{error:?}");
        let seen: Vec<u32> = seen.into_iter().map(Result::unwrap).collect();
        assert_eq!(seen, (1..=777).collect::<Vec<_>>());
    }
}

/// Stops after some looks, each of which must be further than the one before.
struct Impatient {
    looks: Cell<u32>,
    at: Cell<u64>,
}

impl Watch for Impatient {
    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        assert!(self.at.replace(done_bytes) < done_bytes && done_bytes < total_bytes);
        self.looks.set(self.looks.get() - 1);
        if self.looks.get() == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn an_interrupt_stops_a_crew_between_chunks_and_progress_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db-wal");
    let extent = blank(&path, 1000);
    let file = threaded(3, 10, 536).open(&path, OpenMode::ReadOnly).unwrap();
    for looks in [1, 2, 50] {
        let watch = Impatient { looks: Cell::new(looks), at: Cell::new(0) };
        let seen = numbers(file.as_ref(), extent, &watch);
        assert_eq!(seen.len(), 10 * (looks as usize - 1) + 1);
        assert!(matches!(seen.last(), Some(Err(Error::Interrupted))));
    }
}

#[test]
fn a_panic_in_a_thread_reaches_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db-wal");
    let extent = blank(&path, 1000);
    let file = threaded(4, 5, 536).open(&path, OpenMode::ReadOnly).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let map = |frame: FrameNo, _: &[u8]| assert!(frame.0 < 500);
        Frames::new(file.as_ref(), extent, FrameNo(1)..extent.end(), &Nobody, map).count()
    }));
    assert!(caught.is_err());
}

#[test]
fn threads_are_for_long_logs() {
    let spread = Spread { threads: NonZeroUsize::new(4), ..Spread::default() };
    assert_eq!((spread.threads((16 << 20) - 1), spread.threads(16 << 20)), (1, 4));
    assert!((1..=Spread::MOST_THREADS).contains(&Spread::default().threads(u64::MAX)));
}

/// The wal-index that the engine's recovery builds of a log, or its error.
fn index_of(vfs: &dyn Vfs, database: &[u8], wal: &[u8]) -> (String, Option<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-wal"), wal).unwrap();
    let file = vfs.open(&path, OpenMode::ReadWrite).unwrap();
    let paths = Paths::beside(&path);
    let Some(mut connection) =
        Connection::attach(vfs, file.as_ref(), &paths, Options::default()).unwrap()
    else {
        return ("no log".to_owned(), None);
    };
    let begun = connection.begin_read().map_err(|error| error.to_string());
    let header = *connection.wal().header();
    (format!("{begun:?} {header:?}"), fs::read(beside(&path, "-shm")).ok())
}

/// A log as it is, and damaged in every way.
fn cases(wal: &[u8], seed: u64) -> Vec<(&'static str, Vec<u8>)> {
    let damaged = mutate::ALL.iter().map(|&(kind, mutator)| {
        let mut damaged = wal.to_vec();
        mutator(&mut damaged, &mut Rng::with_seed(seed));
        (kind, damaged)
    });
    std::iter::once(("as it is", wal.to_vec())).chain(damaged).collect()
}

#[test]
fn recovery_by_a_crew_builds_the_same_index() {
    for name in names() {
        let (database, wal) = read(&name);
        for (kind, wal) in cases(&wal, 7) {
            let alone = index_of(&OsVfs, &database, &wal);
            let together = index_of(&threaded(3, 2, slot_bytes(&wal)), &database, &wal);
            assert!(alone == together, "{name}, {kind}: {} {}", alone.0, together.0);
        }
    }
}

/// The database file after a checkpoint, and what the checkpoint says.
fn checkpointed(vfs: &dyn Vfs, database: &[u8], wal: &[u8]) -> (String, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-wal"), wal).unwrap();
    let file = vfs.open(&path, OpenMode::ReadWrite).unwrap();
    let paths = Paths::beside(&path);
    let attached = Connection::attach(vfs, file.as_ref(), &paths, Options::default()).unwrap();
    let done = attached.map(|mut connection| {
        let page_size = connection.page_size().unwrap();
        let sync = Synchronous::Off.flags();
        connection.checkpoint(&mut Request::passive(page_size, sync))
    });
    (format!("{done:?}"), fs::read(&path).unwrap())
}

#[test]
fn a_checkpoint_in_two_halves_writes_the_same_database() {
    for name in names() {
        let (database, wal) = read(&name);
        for (kind, wal) in cases(&wal, 8) {
            let alone = checkpointed(&OsVfs, &database, &wal);
            let together = checkpointed(&threaded(2, 2, slot_bytes(&wal)), &database, &wal);
            assert!(alone == together, "{name}, {kind}: {} {}", alone.0, together.0);
        }
    }
}
