//! No input panics: a million random byte strings through each decoder, ten thousand pairs of
//! random files through each command.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failed test is a panic")]

use std::cell::RefCell;
use std::thread;

use clap::Parser;
use fastrand::Rng;
use walsmith::access::Context;
use walsmith::cli::Cli;
use walsmith::database::describe::{PageFormat, describe};
use walsmith::format::btree::BtreeHeader;
use walsmith::format::wal_header::WAL_MAGIC;
use walsmith::format::{
    ByteOrder, DatabaseHeader, FrameHeader, FrameNo, PageSize, Pgno, WalHeader, WalIndexHeader,
    record, varint,
};
use walsmith::output::{Format, Output};
use walsmith::scan::{FrameFacts, Nobody};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{OpenMode, Vfs};

const DECODED: u32 = 1_000_000;
const COMMANDED: u64 = 10_000;
const THREADS: u64 = 2;

fn fill<const N: usize>(random: &mut Rng) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

#[test]
fn a_million_random_strings_through_each_decoder() {
    let mut random = Rng::with_seed(1);
    for _ in 0..DECODED {
        let _ = WalHeader::decode(&fill(&mut random)).validate();
        let _ = FrameHeader::decode(&fill(&mut random));
        let _ = DatabaseHeader::decode(&fill(&mut random)).validate();
        let index = WalIndexHeader::decode(&fill(&mut random));
        let _ = (index.validate(), index.page_size());
        let bytes: [u8; 64] = fill(&mut random);
        let bytes = &bytes[..random.usize(0..64)];
        let _ = varint::varint(bytes);
        let _ = record::values(bytes);
        let _ = FrameFacts::judge(FrameNo(1), bytes, ByteOrder::Big);
        let mut page: [u8; 64] = fill(&mut random);
        page[0] = [2, 5, 10, 13][random.usize(0..4)];
        let _ = BtreeHeader::decode(Pgno(2), PageSize::ALL[0], &page);
        let layout = PageFormat {
            page_size: PageSize::ALL[0],
            reserved_bytes: page[1],
            text_encoding: u32::from(page[2] % 4),
        };
        let _ = describe(Pgno(u32::from(page[3] % 3)), &layout, &page);
    }
}

/// A file that begins like what it is named, some of the time.
fn file(random: &mut Rng, head: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(0..2500)];
    random.fill(&mut bytes);
    if random.bool() {
        let known = head.len().min(bytes.len());
        bytes[..known].copy_from_slice(&head[..known]);
    }
    bytes
}

/// Every command that reads a log and what belongs to it.
const COMMANDS: [&[&str]; 12] = [
    &["info"],
    &["verify-checksums"],
    &["frame-list", "--all", "--digest"],
    &["txn-list"],
    &["dump"],
    &["dump", "--frame", "1"],
    &["replay", "--dry-run", "--accept-loss"],
    &["repair"],
    &["index-dump"],
    &["log", "--patch", "--accept-foreign"],
    &["diff", "--accept-foreign"],
    &["check", "--accept-foreign"],
];
/// This one looks at every process of the machine, too: a tenth of the files.
const SLOW: &[&str] = &["doctor", "--check"];

#[test]
fn ten_thousand_random_files_through_each_command() {
    let mut header = WalHeader::decode(&[7; 32]);
    header.magic = WAL_MAGIC;
    header.page_size_bytes = 512;
    header.format_version = 3_007_000;
    header.checksum = header.computed_checksum();
    let mut database = [0; 100];
    database[..16].copy_from_slice(b"SQLite format 3\0");
    database[16..24].copy_from_slice(&[2, 0, 2, 2, 0, 64, 32, 32]);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            scope.spawn(move || {
                let mut random = Rng::with_seed(seed);
                for round in 0..COMMANDED / THREADS {
                    let files = [
                        ("x.db", file(&mut random, &database)),
                        ("x.db-wal", file(&mut random, &header.encode())),
                        ("x.db-shm", file(&mut random, &[])),
                    ];
                    run_all(&files, round);
                }
            });
        }
    });
}

fn run_all(files: &[(&str, Vec<u8>)], round: u64) {
    let vfs = MemoryVfs::default();
    for (name, bytes) in files {
        vfs.open(name.as_ref(), OpenMode::Create).unwrap().write_at(bytes, 0).unwrap();
    }
    let formats = [Format::Table, Format::Json, Format::Jsonl, Format::Csv];
    let format = formats[(round % 4) as usize];
    let slow = round.is_multiple_of(10).then_some(SLOW);
    for command in COMMANDS.into_iter().chain(slow) {
        let args = [&["walsmith"], command, &["x.db"]].concat();
        let mut report = Vec::new();
        let output = Output { width_columns: Some(80), ..Output::new(&mut report, format) };
        let mut context =
            Context { vfs: &vfs, watch: &Nobody, output, warnings: RefCell::default() };
        let _ = Cli::try_parse_from(args).unwrap().command.run(&mut context);
    }
}
