//! Encrypted databases: copied and repaired without being understood.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use walsmith::format::{ByteOrder, Checksum, WAL_HEADER_BYTES, WalHeader};

use crate::support::{beside, oracle, oracle_program, text, walsmith};

/// Encrypts as a codec does: every page by its number, whatever is in it.
fn encrypt(page: u32, image: &mut [u8]) {
    let mut stream = fastrand::Rng::with_seed(u64::from(page) ^ 0x5eed);
    image.iter_mut().for_each(|byte| *byte ^= stream.u8(..));
}

fn encrypt_database(bytes: &mut [u8], page_bytes: usize) {
    for (page, image) in (1..).zip(bytes.chunks_mut(page_bytes)) {
        encrypt(page, image);
    }
}

/// Encrypts the pages of a log, and sums it again from its header on.
fn encrypt_log(bytes: &mut [u8], page_bytes: usize) {
    let header = WalHeader::decode(bytes.first_chunk::<WAL_HEADER_BYTES>().unwrap());
    let (order, mut sum): (ByteOrder, Checksum) = (header.byte_order(), header.checksum);
    for frame in bytes[WAL_HEADER_BYTES..].chunks_exact_mut(24 + page_bytes) {
        encrypt(u32::from_be_bytes(frame[..4].try_into().unwrap()), &mut frame[24..]);
        sum = sum.update(order, &frame[..8]).update(order, &frame[24..]);
        frame[16..20].copy_from_slice(&sum.a.to_be_bytes());
        frame[20..24].copy_from_slice(&sum.b.to_be_bytes());
    }
}

/// A plain pair, and the same encrypted.
fn encrypted_pair(page_bytes: usize) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.db");
    oracle(&["workload", text(&plain), &page_bytes.to_string(), "40"]);
    oracle(&["checkpoint", text(&plain), "TRUNCATE"]);
    let sql = "UPDATE t SET b = b || 'x'; DELETE FROM t WHERE a % 7 = 0;
        INSERT INTO t(b, c) SELECT b, c FROM t; INSERT INTO t(b, c) VALUES('last', 1)";
    let died = Command::new(oracle_program()).args(["write-and-die", text(&plain), sql]).output();
    assert!(!died.unwrap().status.success());
    let _ = fs::remove_file(beside(&plain, "-shm"));
    let database = folder.path().join("secret.db");
    let (mut file, mut log) =
        (fs::read(&plain).unwrap(), fs::read(beside(&plain, "-wal")).unwrap());
    encrypt_database(&mut file, page_bytes);
    encrypt_log(&mut log, page_bytes);
    fs::write(&database, file).unwrap();
    fs::write(beside(&database, "-wal"), log).unwrap();
    (folder, plain, database)
}

#[test]
fn an_encrypted_pair_is_copied_as_sqlite_would_copy_it() {
    for page_bytes in [1024, 4096, 65_536] {
        let (folder, plain, database) = encrypted_pair(page_bytes);
        let (info, exit) = walsmith(&["info", text(&database)]);
        assert_eq!((info["database"]["looks_encrypted"].as_bool(), exit), (Some(true), 0));
        assert_eq!(info["wal"]["page_size_bytes"].as_u64(), Some(page_bytes as u64));
        for args in [&["verify-checksums"][..], &["frame-list"], &["txn-list"], &["repair"]] {
            let args = [args, &[text(&database)]].concat();
            let (report, exit) = walsmith(&args);
            assert_eq!(exit, 0, "{args:?}: {report}");
        }
        let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
        assert_eq!((report["files"][0]["verdict"].as_str(), exit), (Some("clean"), 0));
        let new = folder.path().join("new.db");
        assert_eq!(walsmith(&["replay", "-o", text(&new), text(&database)]).1, 0);
        let (report, exit) = walsmith(&["checkpoint-now", "-m", "truncate", text(&database)]);
        assert_eq!(exit, 0, "{report}");
        // SQLite checkpoints the plain one.
        oracle(&["checkpoint", text(&plain), "TRUNCATE"]);
        let mut wanted = fs::read(&plain).unwrap();
        encrypt_database(&mut wanted, page_bytes);
        assert!(fs::read(&database).unwrap() == wanted, "{page_bytes}: checkpoint-now");
        assert!(fs::read(&new).unwrap() == wanted, "{page_bytes}: replay");
    }
}

#[test]
fn a_damaged_encrypted_log_is_repaired_by_its_sums() {
    let (folder, plain, database) = encrypted_pair(4096);
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    // The stored sum of frame 2, which only its neighbours prove.
    bytes[32 + 4120 + 17] ^= 4;
    fs::write(&wal, &bytes).unwrap();
    let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((report["files"][0]["verdict"].as_str(), exit), (Some("damaged"), 1));
    let new = folder.path().join("new.db");
    let args = ["repair", "--apply", "--output", text(&new), text(&database)];
    let (report, exit) = walsmith(&args);
    // Its structure cannot be checked, so nothing is claimed of it.
    assert_eq!((report["lossless"].clone(), exit), (Value::Null, 0), "{report}");
    assert_eq!(report["health"], Value::Null);
    oracle(&["checkpoint", text(&plain), "TRUNCATE"]);
    let mut wanted = fs::read(&plain).unwrap();
    encrypt_database(&mut wanted, 4096);
    assert!(fs::read(&new).unwrap() == wanted);
}
