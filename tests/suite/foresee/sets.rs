//! Sets of files: healthy ones, and what is done to them.

use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use walsmith::format::WalHeader;

use crate::rails::rechained;
use crate::support::{beside, fixtures, names, oracle, oracle_program, text};

const KINDS: [&str; 10] = [
    "plain",
    "never",
    "reset",
    "truncated",
    "vacuum",
    "auto-vacuum",
    "incremental",
    "rolled-back",
    "persisted",
    "rollback-mode",
];

/// What is done to the files.
pub(super) const EDITS: [&str; 23] = [
    "nothing",
    "a field of the header",
    "the page count of the header",
    "the file cut",
    "the file emptied",
    "the file gone",
    "page 1 overwritten",
    "a byte of page 1",
    "a byte of the log's header",
    "the log's version",
    "a byte of a frame",
    "the log cut",
    "the log emptied",
    "the log gone",
    "a journal of text",
    "a journal of another database",
    "a cold journal",
    "the index gone",
    "a byte of the index",
    "the index of another database",
    "the log of another database",
    "another commit size",
    "another page 1 in the log",
];

pub(super) fn make(folder: &Path, seed: u64, rng: &mut Rng) -> PathBuf {
    let path = folder.join("x.db");
    match rng.u32(0..10) {
        0..3 => {
            let all = names();
            let name = &all[rng.usize(0..all.len())];
            for entry in fs::read_dir(fixtures().join(name)).unwrap() {
                let from = entry.unwrap().path();
                fs::copy(&from, folder.join(from.file_name().unwrap())).unwrap();
            }
        }
        3 => {
            let page_bytes = ["512", "1024", "4096"][rng.usize(0..3)];
            let sync = ["FULL", "OFF"][rng.usize(0..2)];
            let args = ["hot-journal", text(&path), page_bytes, sync];
            // It dies in its transaction.
            let ended = std::process::Command::new(oracle_program()).args(args).output().unwrap();
            assert!(!ended.status.success());
        }
        _ => {
            let kind = KINDS[rng.usize(0..KINDS.len())];
            let end = ["die", "die", "close"][rng.usize(0..3)];
            let seed = seed.to_string();
            let args = ["healthy", text(&path), &seed, kind, end, "0"];
            std::process::Command::new(oracle_program()).args(args).output().unwrap();
        }
    }
    path
}

pub(super) fn edit(path: &Path, what: &str, rng: &mut Rng) {
    let (log, journal) = (beside(path, "-wal"), beside(path, "-journal"));
    let change = |path: &Path, change: &mut dyn FnMut(&mut Vec<u8>)| {
        if let Ok(mut bytes) = fs::read(path) {
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        }
    };
    let spoil = |bytes: &mut Vec<u8>, at: usize, rng: &mut Rng| {
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= rng.u8(1..);
        }
    };
    match what {
        "a field of the header" => change(path, &mut |bytes| spoil(bytes, rng.usize(0..100), rng)),
        "the page count of the header" => change(path, &mut |bytes| {
            if bytes.len() > 100 {
                let count = u32::from_be_bytes(bytes[28..32].try_into().unwrap());
                let other = count.wrapping_add_signed(rng.i32(-2..4));
                bytes[28..32].copy_from_slice(&other.to_be_bytes());
            }
        }),
        "the file cut" => change(path, &mut |bytes| bytes.truncate(rng.usize(0..=bytes.len()))),
        "the file emptied" => change(path, &mut |bytes| bytes.truncate(rng.usize(0..3))),
        "the file gone" => drop(fs::remove_file(path)),
        "page 1 overwritten" => change(path, &mut |bytes| {
            let end = bytes.len().min(512);
            let fill = rng.u8(..);
            bytes[..end].fill(fill);
        }),
        "a byte of page 1" => change(path, &mut |bytes| spoil(bytes, rng.usize(100..512), rng)),
        "a byte of the log's header" => {
            change(&log, &mut |bytes| spoil(bytes, rng.usize(0..32), rng));
        }
        "the log's version" => change(&log, &mut |bytes| spoil(bytes, 7, rng)),
        "a byte of a frame" => change(&log, &mut |bytes| {
            let at = rng.usize(0..bytes.len().max(1));
            spoil(bytes, at, rng);
        }),
        "the log cut" => change(&log, &mut |bytes| bytes.truncate(rng.usize(0..=bytes.len()))),
        "the log emptied" => change(&log, &mut Vec::clear),
        "the log gone" => drop(fs::remove_file(log)),
        "a journal of text" => fs::write(journal, b"SQLite format 3 and some words").unwrap(),
        "a journal of another database" => {
            let folder = tempfile::tempdir().unwrap();
            oracle(&["journals", text(folder.path())]);
            fs::copy(folder.path().join("half.db-journal"), journal).unwrap();
        }
        "a cold journal" => fs::write(journal, [0; 512]).unwrap(),
        "a byte of the index" => change(&beside(path, "-shm"), &mut |bytes| {
            let at = rng.usize(0..136);
            spoil(bytes, at, rng);
        }),
        "the index of another database" | "the log of another database" => {
            let suffix = if what.contains("index") { "-shm" } else { "-wal" };
            let folder = tempfile::tempdir().unwrap();
            let other = make(folder.path(), rng.u64(..1 << 40), rng);
            let _ = fs::copy(beside(&other, suffix), beside(path, suffix));
        }
        "another commit size" | "another page 1 in the log" => change(&log, &mut |bytes| {
            let by = rng.u32(1..40);
            let (at, with) = (rng.usize(0..100), rng.u8(1..));
            let is_page = what.contains("page");
            if bytes.len() > 32
                && WalHeader::decode(bytes.first_chunk().unwrap()).page_size().is_some()
            {
                *bytes = rechained(bytes, |_, head, image| {
                    if is_page && head.page.0 == 1 {
                        image[at] ^= with;
                    } else if !is_page && head.commit_size_pages > 0 {
                        head.commit_size_pages += by;
                    }
                });
            }
        }),
        "the index gone" => drop(fs::remove_file(beside(path, "-shm"))),
        _ => {}
    }
}
