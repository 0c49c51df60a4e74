//! Steps of the engine, on files in memory: recovery, appending, a checkpoint, finding pages.
//!
//! `cargo bench --bench engine`

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use walsmith::engine::connection::{AfterCommit, Connection, Paths};
use walsmith::engine::wal::{Options, Page, Request, Synchronous};
use walsmith::format::{PageSize, Pgno};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{OpenMode, Vfs};

const PAGES: u32 = 500;

/// A database in WAL mode, of which nothing but the header is right.
fn database() -> MemoryVfs {
    let vfs = MemoryVfs::default();
    let mut bytes = vec![0; PageSize::DEFAULT.in_memory() * PAGES as usize];
    let (head, _) = bytes.split_at_mut(24);
    head.copy_from_slice(b"SQLite format 3\0\x10\x00\x02\x02\x00\x40\x20\x20");
    vfs.put(Path::new("x.db"), bytes);
    vfs
}

/// Commits `transactions` times `pages` pages, in a session of its own.
fn append(vfs: &MemoryVfs, transactions: u32, pages: u32) {
    let image = vec![7; PageSize::DEFAULT.in_memory()];
    session(vfs, |connection| {
        for number in 0..transactions {
            connection.begin_read().unwrap();
            connection.begin_write().unwrap();
            let first = 2 + number * pages % (PAGES - pages - 2);
            let pages: Vec<Page<'_>> = (first..first + pages)
                .map(|page| Page { pgno: Pgno(page), image: &image })
                .collect();
            connection.commit_and_end(&pages, PAGES).unwrap();
        }
    });
}

fn session<T>(vfs: &MemoryVfs, run: impl FnOnce(&mut Connection<'_>) -> T) -> T {
    let path = Path::new("x.db");
    let file = vfs.open(path, OpenMode::ReadWrite).unwrap();
    let paths = Paths::beside(path);
    let attached = Connection::attach(vfs, file.as_ref(), &paths, Options::default()).unwrap();
    let mut connection = attached.unwrap();
    connection.set_synchronous(Synchronous::Off);
    connection.set_commit_hook(Box::new(|_| AfterCommit::Nothing));
    run(&mut connection)
}

fn appending(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for pages in [1, 64] {
        group.throughput(Throughput::Elements(640));
        group.bench_function(BenchmarkId::new("pages a commit", pages), |bencher| {
            let run = |vfs: MemoryVfs| append(&vfs, 640 / pages, pages);
            bencher.iter_batched(database, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn with_log() -> MemoryVfs {
    let vfs = database();
    append(&vfs, 64, 64);
    vfs
}

/// Each session is the first that attaches, and so recovers the log.
fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log of 4096 frames");
    let vfs = with_log();
    group.bench_function("recovery", |bencher| {
        bencher.iter(|| session(&vfs, |connection| connection.begin_read().unwrap()));
    });
    group.bench_function("recovery and checkpoint", |bencher| {
        let request = || Request::passive(PageSize::DEFAULT, Synchronous::Off.flags());
        bencher.iter(|| session(&vfs, |connection| connection.checkpoint(&mut request()).unwrap()));
    });
    group.bench_function("recovery and every page", |bencher| {
        let mut image = vec![0; PageSize::DEFAULT.in_memory()];
        bencher.iter(|| {
            session(&vfs, |connection| {
                connection.begin_read().unwrap();
                (1..=PAGES).for_each(|page| connection.read_page(Pgno(page), &mut image).unwrap());
            });
        });
    });
    group.finish();
}

criterion_group!(benches, appending, sessions);
criterion_main!(benches);
