//! Our engine at work in a process of its own, beside SQLite and under tracers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test program: it panics where the engine does not do what it should"
)]

#[path = "../stamps/mod.rs"]
mod stamps;

use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use stamps::{Images, Stamps, pages};
use walsmith::engine::Error;
use walsmith::engine::connection::{AfterCommit, Connection, Paths};
use walsmith::engine::wal::{Busy, CheckpointMode, Options, Page, Request, Synchronous, Verify};
use walsmith::format::Pgno;
use walsmith::scan::Nobody;
use walsmith::storage::os::OsVfs;
use walsmith::storage::{DeleteShm, File, OpenMode, Vfs};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [action, database, rest @ ..] = args.as_slice() else { panic!("worker ACTION DB ...") };
    let path = Path::new(database);
    let file = OsVfs.open(path, OpenMode::ReadWrite).unwrap();
    let paths = Paths::beside(path);
    let mut worker = Worker::attach(file.as_ref(), &paths);
    match (*action, rest) {
        ("stamp", [first, count, sync]) => {
            worker.connection.set_synchronous(synchronous(sync));
            worker.stamp(first.parse().unwrap(), count.parse().unwrap());
        }
        ("stamp-for", [writer, seconds]) => {
            worker.connection.set_synchronous(Synchronous::Off);
            worker.stamp_for(writer.parse().unwrap(), seconds.parse().unwrap());
        }
        ("observe", [seconds]) => worker.observe(seconds.parse().unwrap()),
        ("checkpoint", [mode]) => worker.checkpoint(mode),
        ("hold-read", []) => worker.hold_read(),
        ("frames", [transactions, pages]) => {
            worker.frames(transactions.parse().unwrap(), pages.parse().unwrap());
            let Worker { connection, .. } = worker;
            connection.detach(DeleteShm::No).unwrap();
            return;
        }
        _ => panic!("unknown action: {args:?}"),
    }
    let Worker { connection, .. } = worker;
    connection.close().unwrap();
}

fn synchronous(name: &str) -> Synchronous {
    match name {
        "off" => Synchronous::Off,
        "normal" => Synchronous::Normal,
        "full" => Synchronous::Full,
        _ => panic!("{name}"),
    }
}

/// All readers rest at the same time now and then, so that the log can begin again.
fn rest() {
    let slice = OsVfs.now().as_millis() % 400;
    if slice > 250 {
        sleep(Duration::from_millis(u64::try_from(400 - slice).unwrap()));
    }
}

struct Worker<'a> {
    connection: Connection<'a>,
}

/// Whether it is worth another try.
fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Busy | Error::BusyRecovery | Error::BusySnapshot)
}

impl<'a> Worker<'a> {
    fn attach(file: &'a dyn File, paths: &'a Paths) -> Self {
        loop {
            match Connection::attach(&OsVfs, file, paths, Options::default()) {
                Ok(connection) => return Self { connection: connection.unwrap() },
                Err(error) if is_busy(&error) => sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn begin_read(&mut self) {
        loop {
            match self.connection.begin_read() {
                Ok(_) => return,
                Err(error) if is_busy(&error) => sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn begin_write(&mut self) {
        loop {
            self.begin_read();
            match self.connection.begin_write() {
                Ok(()) => return,
                Err(error) if is_busy(&error) => {
                    self.connection.end_read().unwrap();
                    sleep(Duration::from_micros(300));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn find(&mut self) -> Stamps {
        loop {
            match Stamps::of(&mut self.connection) {
                Ok(stamps) => return stamps,
                Err(error) if is_busy(&error) => sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Stamps rows `first..first + count`, a transaction each; prints each number once its commit
    /// has returned.
    fn stamp(&mut self, first: usize, count: usize) {
        let stamps = self.find();
        for id in first..first + count {
            self.one(&stamps, id, u64::try_from(id).unwrap());
            println!("{id}");
            io::stdout().flush().unwrap();
        }
    }

    /// One transaction: row `id` and the counter. Every third spills first, every fifth rolls a
    /// savepoint back, every seventh is rolled back whole before it is done again.
    fn one(&mut self, stamps: &Stamps, id: usize, stamp: u64) {
        self.begin_write();
        let connection = &mut self.connection;
        let mut images = Images::new();
        stamps.put(connection, &mut images, id, stamp).unwrap();
        let count = stamps.read(connection, 0).unwrap();
        stamps.put(connection, &mut images, 0, count + 1).unwrap();
        if stamp % 7 == 3 {
            let mut wrong = images.clone();
            stamps.put(connection, &mut wrong, id, u64::MAX).unwrap();
            connection.spill(&pages(&wrong)).unwrap();
            connection.rollback().unwrap();
            connection.end_read().unwrap();
            return self.one_after_rollback(stamps, id, stamp);
        }
        if stamp % 3 == 1 {
            connection.spill(&pages(&images)).unwrap();
        }
        if stamp % 5 == 2 {
            let mut savepoint = connection.savepoint();
            let mut wrong = images.clone();
            stamps.put(connection, &mut wrong, 1, u64::MAX).unwrap();
            connection.spill(&pages(&wrong)).unwrap();
            connection.rollback_to(&mut savepoint).unwrap();
        }
        let size = connection.db_size_pages().unwrap();
        connection.commit_and_end(&pages(&images), size).unwrap();
    }

    fn one_after_rollback(&mut self, stamps: &Stamps, id: usize, stamp: u64) {
        self.begin_write();
        let connection = &mut self.connection;
        let mut images = Images::new();
        let count = stamps.read(connection, 0).unwrap();
        stamps.put(connection, &mut images, id, stamp).unwrap();
        stamps.put(connection, &mut images, 0, count + 1).unwrap();
        let size = connection.db_size_pages().unwrap();
        connection.commit(&pages(&images), size).unwrap();
        connection.end_read().unwrap();
    }

    /// Stamps the rows of one writer again and again; prints how many transactions it committed.
    fn stamp_for(&mut self, writer: usize, seconds: u64) {
        let stamps = self.find();
        let end = Instant::now() + Duration::from_secs(seconds);
        let rows = stamps.rows() / 4;
        let mut commits = 0_u64;
        while Instant::now() < end {
            let id = 1 + writer * rows + usize::try_from(commits).unwrap() % rows;
            self.one(&stamps, id, commits + 1);
            // SQLite's writers get their turn too.
            sleep(Duration::from_micros(500));
            commits += 1;
        }
        println!("{commits}");
    }

    /// Holds snapshots: all stamps must read the same at the end as at the beginning, and the
    /// counter must never go back. Prints how many snapshots it saw.
    fn observe(&mut self, seconds: u64) {
        let stamps = self.find();
        let end = Instant::now() + Duration::from_secs(seconds);
        let (mut snapshots, mut counted) = (0_u64, 0);
        while Instant::now() < end {
            rest();
            self.begin_read();
            let before = stamps.read_all(&mut self.connection).unwrap();
            sleep(Duration::from_millis(snapshots % 20));
            let after = stamps.read_all(&mut self.connection).unwrap();
            assert_eq!(before, after, "a snapshot has changed");
            assert!(counted <= before[0], "a snapshot has gone back");
            counted = before[0];
            self.connection.end_read().unwrap();
            snapshots += 1;
        }
        println!("{snapshots}");
    }

    fn checkpoint(&mut self, mode: &str) {
        let mode = match mode {
            "noop" => CheckpointMode::Noop,
            "passive" => CheckpointMode::Passive,
            "full" => CheckpointMode::Full,
            "restart" => CheckpointMode::Restart,
            "truncate" => CheckpointMode::Truncate,
            _ => panic!("{mode}"),
        };
        let page_size = self.connection.page_size().unwrap();
        let mut busy = || Busy::GiveUp;
        let mut request = Request {
            mode,
            page_size,
            sync: Synchronous::Full.flags(),
            verify: Verify::Frames,
            mend: None,
            busy: Some(&mut busy),
            watch: &Nobody,
        };
        let done = self.connection.checkpoint(&mut request).unwrap();
        println!("{done:?}");
    }

    /// Commits `transactions` times, each of them `pages` pages from page 3 on, twice: the first
    /// time the log gets its size, the second time it is written again from its beginning, as a log
    /// in use is. Prints frames and nanoseconds of the second time. Nothing is synced.
    fn frames(&mut self, transactions: u32, pages: u32) {
        let connection = &mut self.connection;
        connection.set_synchronous(Synchronous::Off);
        connection.set_commit_hook(Box::new(|_| AfterCommit::Nothing));
        let page_size = connection.page_size().unwrap();
        let mut images = vec![vec![0; page_size.in_memory()]; pages as usize];
        commit_frames(connection, transactions, &mut images);
        let sync = Synchronous::Off.flags();
        let mode = CheckpointMode::Restart;
        let done =
            connection.checkpoint(&mut Request { mode, ..Request::passive(page_size, sync) });
        assert!(!done.unwrap().busy);
        let start = Instant::now();
        commit_frames(connection, transactions, &mut images);
        println!("{} {}", transactions * pages, start.elapsed().as_nanos());
    }

    fn hold_read(&mut self) {
        self.begin_read();
        println!("ready");
        io::stdout().flush().unwrap();
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        self.connection.end_read().unwrap();
    }
}

/// Commits `images` for pages from page 3 on, `transactions` times.
fn commit_frames(connection: &mut Connection<'_>, transactions: u32, images: &mut [Vec<u8>]) {
    let pages = u32::try_from(images.len()).unwrap();
    for number in 0..transactions {
        connection.begin_read().unwrap();
        connection.begin_write().unwrap();
        let size = connection.db_size_pages().unwrap();
        let first = 3 + number * pages % (size - 2 - pages + 1);
        for image in &mut *images {
            image[..4].copy_from_slice(&number.to_ne_bytes());
        }
        let pages: Vec<Page<'_>> =
            (first..).zip(&*images).map(|(page, image)| Page { pgno: Pgno(page), image }).collect();
        connection.commit_and_end(&pages, size).unwrap();
    }
}
