//! What is no file that walsmith knows is refused by every command and named.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use walsmith::format::{WAL_HEADER_BYTES, WalHeader};

use super::{all_refuse, run};
use crate::support::{beside, copy, oracle_program, text, walsmith};

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 9\n";

#[test]
fn what_is_no_sqlite_file_is_refused_by_every_command_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &random(1, 5000)].concat();
    let gzip = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &random(2, 5000)].concat();
    let text_file = "one, two, three\n".repeat(800);
    let cases: [(&str, &[u8], &str); 10] = [
        ("picture.png", &png, "a PNG image"),
        ("picture.db", &png, "a PNG image"),
        ("alone.db-wal", &png, "a PNG image"),
        ("dump.gz", &gzip, "a gzip file"),
        ("notes.txt", text_file.as_bytes(), "text"),
        ("random.db", &random(3, 40_960), "random bytes"),
        ("pointer.db", POINTER, "a Git LFS pointer: the real file was not fetched"),
        ("pointer.db-wal", POINTER, "a Git LFS pointer: the real file was not fetched"),
        ("zeros.bin", &[0; 8192], "zeros"),
        ("nothing", b"", "an empty file"),
    ];
    for (name, bytes, says) in cases {
        fs::write(place(name), bytes).unwrap();
        all_refuse(&place(name), "not-sqlite", says);
        assert_eq!(fs::read(place(name)).unwrap(), bytes);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), cases.len(), "nothing was created");
    all_refuse(&place("missing.db"), "not-found", "no such file");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    nix::unistd::mkfifo(&place("fifo.db"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(place("socket.db")).unwrap();
    std::os::unix::fs::symlink(place("two"), place("one")).unwrap();
    std::os::unix::fs::symlink(place("one"), place("two")).unwrap();
    all_refuse(&place("fifo.db"), "not-sqlite", "a FIFO");
    all_refuse(&place("socket.db"), "not-sqlite", "a socket");
    all_refuse(Path::new("/dev/null"), "not-sqlite", "a character device");
    all_refuse(folder.path(), "directory", "a directory");
    all_refuse(&place("one"), "not-sqlite", "a symbolic link that leads in a circle");
}

/// A database and its log, of SQLite's wal2 branch or of Bedrock's, by their versions.
fn with_version(database: &Path, version: u32) {
    let wal = beside(database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let header = WalHeader::decode(bytes.first_chunk::<WAL_HEADER_BYTES>().unwrap());
    let mut header = WalHeader { format_version: version, ..header };
    header.checksum = header.computed_checksum();
    bytes[..WAL_HEADER_BYTES].copy_from_slice(&header.encode());
    let mut sum = header.checksum;
    let slot = 24 + usize::try_from(header.page_size_bytes).unwrap();
    for frame in bytes[WAL_HEADER_BYTES..].chunks_exact_mut(slot) {
        let order = header.byte_order();
        sum = sum.update(order, &frame[..8]).update(order, &frame[24..]);
        frame[16..20].copy_from_slice(&sum.a.to_be_bytes());
        frame[20..24].copy_from_slice(&sum.b.to_be_bytes());
    }
    fs::write(&wal, &bytes).unwrap();
    fs::write(beside(database, "-wal2"), &bytes).unwrap();
    let _ = fs::remove_file(beside(database, "-shm"));
    let mut file = fs::OpenOptions::new().write(true).open(database).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(18)).unwrap();
    file.write_all(&[3, 3]).unwrap();
}

#[test]
fn wal2_is_named_and_refused_by_every_command() {
    for (version, says) in [
        (3_021_000, "wal2 mode: two logs, not supported"),
        (3_021_001, "Bedrock"),
        (3_048_000, "Bedrock"),
        (3_048_001, "Bedrock"),
    ] {
        let (folder, database) = copy("twenty-rows");
        with_version(&database, version);
        for suffix in ["", "-wal", "-wal2"] {
            all_refuse(&beside(&database, suffix), "unsupported", says);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing was created");
        // At rest only the header tells.
        for suffix in ["-wal", "-wal2"] {
            fs::remove_file(beside(&database, suffix)).unwrap();
        }
        all_refuse(&database, "unsupported", "wal2 mode");
    }
    // A version that nobody has, or a wrong sum, is damage as before.
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[4..8].copy_from_slice(&3_021_000_u32.to_be_bytes());
    fs::write(&wal, bytes).unwrap();
    let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((report["files"][0]["verdict"].as_str(), exit), (Some("bad-header"), 1));
}

/// Whether SQLite opens a copy of the database and reads its schema.
fn opens(path: &Path) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(path, &copy).unwrap();
    let read = Command::new(oracle_program())
        .args(["rows", text(&copy), "SELECT count(*) FROM sqlite_schema"])
        .stderr(Stdio::null())
        .status();
    read.unwrap().success()
}

#[test]
fn a_file_that_begins_like_a_database_and_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    for (name, length) in [("magic alone", 16), ("half a header", 60), ("zeros after it", 20_480)] {
        let mut bytes = b"SQLite format 3\0".to_vec();
        bytes.resize(length, 0);
        fs::write(&path, bytes).unwrap();
        assert!(!opens(&path), "{name}");
        for command in ["info", "repair", "verify-checksums"] {
            let output = run(&[command], &path);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let entry = if command == "verify-checksums" { &report["files"][0] } else { &report };
            assert_eq!(entry["findings"][0]["rule"], "page-1-lost", "{name}: {report:#}");
            assert_eq!(output.status.code(), Some(1), "{name}: {command}");
        }
        let output = run(&["replay", "--dry-run"], &path);
        assert_eq!(output.status.code(), Some(6), "{name}");
    }
}
