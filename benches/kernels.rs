//! The kernels: checksums by page size and byte order, the judgement of a frame, the lines of rows.
//!
//! `cargo bench --bench kernels`

#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use walsmith::format::{
    ByteOrder, Checksum, FrameHeader, FrameNo, PageSize, Pgno, Salts, WalHeader,
};
use walsmith::log::{ExamineOptions, LogShape, examine_with};
use walsmith::scan::{Extent, FrameFacts, Nobody};
use walsmith::storage::memory::MemoryFile;

const SALTS: Salts = Salts { salt1: 1, salt2: 2 };

/// A log of `frames` frames, a commit each.
fn log(page_size: PageSize, order: ByteOrder, frames: u32) -> Vec<u8> {
    let header = WalHeader::new(order, page_size, 0, SALTS);
    let mut bytes = header.encode().to_vec();
    let mut sum = header.checksum;
    for frame in 1..=frames {
        let image: Vec<u8> =
            (0..page_size.bytes()).map(|at| (at ^ frame).to_le_bytes()[0]).collect();
        let page = Pgno(frame % 1000 + 2);
        let blank = Checksum::ZERO;
        let mut head = FrameHeader { page, commit_size_pages: 1001, salts: SALTS, checksum: blank };
        sum = head.sum_from(sum, order, &image);
        head.checksum = sum;
        bytes.extend_from_slice(&head.encode());
        bytes.extend_from_slice(&image);
    }
    bytes
}

fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for page_size in [PageSize::ALL[0], PageSize::DEFAULT, PageSize::ALL[7]] {
        let image = vec![7; page_size.in_memory()];
        group.throughput(Throughput::Bytes(page_size.bytes_u64()));
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let id = BenchmarkId::new(format!("{order:?}"), page_size);
            group.bench_with_input(id, &image, |bencher, image| {
                bencher.iter(|| Checksum::ZERO.update(order, black_box(image)));
            });
        }
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge a frame");
    for page_size in [PageSize::ALL[0], PageSize::DEFAULT] {
        let bytes = log(page_size, ByteOrder::NATIVE, 1);
        let slot = bytes.split_at(32).1;
        group.throughput(Throughput::Bytes(page_size.slot_bytes()));
        group.bench_with_input(BenchmarkId::from_parameter(page_size), slot, |bencher, slot| {
            let judge = |slot| FrameFacts::judge(FrameNo(1), slot, ByteOrder::NATIVE);
            bencher.iter(|| judge(black_box(slot)));
        });
    }
    group.finish();
}

/// Logs in memory: the whole examination without any file, and the facts that it has kept.
fn examinations(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("examine");
    let bytes = log(PageSize::DEFAULT, ByteOrder::NATIVE, 4000);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    let file = MemoryFile::with_bytes(bytes);
    let examined = |known_frames| {
        let options = ExamineOptions { known_frames, ..ExamineOptions::default() };
        examine_with(&file, options, &Nobody).unwrap()
    };
    group.bench_function("keeping nothing", |bencher| bencher.iter(|| examined(0)));
    group.bench_function("keeping frames", |bencher| bencher.iter(|| examined(usize::MAX)));
    let kept = examined(usize::MAX);
    let end = kept.shape.map(|shape: LogShape| shape.extent).map(|extent: Extent| extent.end());
    let frames = FrameNo::FIRST..end.unwrap();
    group.bench_function("kept frames", |bencher| {
        let facts = || kept.facts(&file, frames.clone(), &Nobody).flatten();
        bencher.iter(|| {
            facts().for_each(|facts| {
                black_box(facts);
            });
        });
    });
    group.finish();
}

criterion_group!(benches, checksums, frames, examinations);
criterion_main!(benches);
