//! Makes the fixtures: databases and logs as real SQLite leaves them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use walsmith::format::{
    ByteOrder, Checksum, FrameHeader, FrameNo, PageSize, WAL_HEADER_BYTES, WalHeader,
};

use crate::see::open;
use crate::work::spill;

const WAL: &str = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;";
const TABLE: &str = "CREATE TABLE t(a INTEGER PRIMARY KEY, b);";

/// Writes every fixture below `directory`, one folder each.
pub(crate) fn all(directory: &Path) {
    for size in [512, 1024, 4096, 65536] {
        page_size(&new(directory, &format!("page-{size}")), size);
    }
    twenty_rows(&new(directory, "twenty-rows"));
    vacuum_shrink(&new(directory, "vacuum-shrink"));
    reused(&new(directory, "reused"));
    generations(&new(directory, "generations"));
    uncommitted_tail(&new(directory, "uncommitted-tail"));
    aborted_spill(&new(directory, "aborted-spill"));
    savepoint(&new(directory, "savepoint"));
    header_only(&new(directory, "header-only"));
    one_page(&new(directory, "one-page-database"));
    big_endian(&new(directory, "big-endian"));
    padded(&new(directory, "padded-commits"));
    shm_current(&new(directory, "shm-current"));
    shm_leftover(&new(directory, "shm-leftover"));
    shm_other(&new(directory, "shm-other-generation"));
    abandoned(&new(directory, "abandoned-history"));
    damaged_after_copy(&new(directory, "damaged-after-checkpoint"));
}

/// The path of a fixture's database, in a folder of its own that is empty now.
fn new(directory: &Path, name: &str) -> PathBuf {
    let folder = directory.join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder.join("x.db")
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// A database with an empty log and a table; the log holds the table's creation.
fn started(database: &Path, page_size: u32) -> Connection {
    let connection = open(database);
    connection.execute_batch(&format!("PRAGMA page_size={page_size}; {WAL} {TABLE}")).unwrap();
    connection
}

fn insert(connection: &Connection, rows: u32) {
    for _ in 0..rows {
        connection.execute_batch("INSERT INTO t(b) VALUES(randomblob(200))").unwrap();
    }
}

/// Closes; the log stays, the wal-index goes.
fn leave(connection: Connection, database: &Path) {
    drop(connection);
    let _ = fs::remove_file(beside(database, "-shm"));
}

fn child(action: &str, database: &Path, sql: &[&str]) {
    let program = std::env::current_exe().unwrap();
    let status = Command::new(program).arg(action).arg(database).args(sql).status().unwrap();
    assert!(!status.success(), "{action} was to die");
    let _ = fs::remove_file(beside(database, "-shm"));
}

fn page_size(database: &Path, size: u32) {
    let connection = started(database, size);
    connection.execute_batch("CREATE INDEX i ON t(b)").unwrap();
    insert(&connection, if size > 60_000 { 2 } else { 8 });
    connection.execute_batch("INSERT INTO t(b) VALUES(zeroblob(9000))").unwrap();
    leave(connection, database);
}

fn twenty_rows(database: &Path) {
    let connection = started(database, 4096);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    for row in 1..=20 {
        connection.execute_batch(&format!("INSERT INTO t VALUES({row}, 'row {row}')")).unwrap();
    }
    leave(connection, database);
}

fn vacuum_shrink(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 60);
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    connection.execute_batch("DELETE FROM t WHERE a > 5; VACUUM;").unwrap();
    insert(&connection, 2);
    leave(connection, database);
}

fn reused(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 20);
    connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    insert(&connection, 3);
    leave(connection, database);
}

fn generations(database: &Path) {
    let connection = started(database, 512);
    for rows in [30, 12, 5, 1] {
        insert(&connection, rows);
        connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    }
    insert(&connection, 1);
    leave(connection, database);
}

fn uncommitted_tail(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 5);
    leave(connection, database);
    child("spill-and-die", database, &[]);
}

fn aborted_spill(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 5);
    connection.execute_batch("PRAGMA cache_size=5; BEGIN").unwrap();
    spill(&connection, 40).unwrap();
    connection.execute_batch("ROLLBACK").unwrap();
    insert(&connection, 1);
    leave(connection, database);
}

fn savepoint(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 30);
    connection.execute_batch("PRAGMA cache_size=5; BEGIN; SAVEPOINT one").unwrap();
    connection.execute_batch("UPDATE t SET b = randomblob(200)").unwrap();
    connection.execute_batch("ROLLBACK TO one; UPDATE t SET b = randomblob(201)").unwrap();
    connection.execute_batch("UPDATE t SET b = randomblob(202); COMMIT").unwrap();
    leave(connection, database);
}

fn header_only(database: &Path) {
    let connection = started(database, 4096);
    insert(&connection, 2);
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    leave(connection, database);
    let wal = fs::OpenOptions::new().write(true).open(beside(database, "-wal")).unwrap();
    wal.set_len(WAL_HEADER_BYTES as u64).unwrap();
}

fn one_page(database: &Path) {
    let connection = started(database, 4096);
    insert(&connection, 10);
    leave(connection, database);
    assert_eq!(fs::metadata(database).unwrap().len(), 4096);
}

/// A log that a big-endian machine began and this one went on with.
fn big_endian(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 6);
    leave(connection, database);
    let path = beside(database, "-wal");
    let mut bytes = fs::read(&path).unwrap();
    in_order(&mut bytes, ByteOrder::Big);
    fs::write(&path, &bytes).unwrap();
    let connection = open(database);
    connection.execute_batch("PRAGMA wal_autocheckpoint=0").unwrap();
    insert(&connection, 3);
    leave(connection, database);
    let after = fs::read(&path).unwrap();
    assert_eq!(after[3] & 1, 1, "SQLite keeps the order");
    assert!(after.len() > bytes.len());
}

/// Sums the log of `database` again, in the other order than that of this machine.
pub(crate) fn swap(database: &Path) {
    let path = beside(database, "-wal");
    let mut bytes = fs::read(&path).unwrap();
    let other = match ByteOrder::NATIVE {
        ByteOrder::Little => ByteOrder::Big,
        ByteOrder::Big => ByteOrder::Little,
    };
    in_order(&mut bytes, other);
    fs::write(&path, &bytes).unwrap();
}

/// Sums the whole log again in `order`.
fn in_order(bytes: &mut [u8], order: ByteOrder) {
    let old = WalHeader::decode(bytes[..WAL_HEADER_BYTES].try_into().unwrap());
    let page_size: PageSize = old.page_size().unwrap();
    let header = WalHeader::new(order, page_size, old.checkpoint_seq, old.salts);
    bytes[..WAL_HEADER_BYTES].copy_from_slice(&header.encode());
    let mut sum: Checksum = header.checksum;
    let slot = usize::try_from(page_size.slot_bytes()).unwrap();
    assert_eq!(FrameNo::FIRST.offset_bytes(page_size), WAL_HEADER_BYTES as u64);
    for frame in bytes[WAL_HEADER_BYTES..].chunks_exact_mut(slot) {
        let (head, image) = frame.split_first_chunk_mut::<24>().unwrap();
        let mut header = FrameHeader::decode(head);
        header.checksum = header.sum_from(sum, order, image);
        sum = header.checksum;
        *head = header.encode();
    }
}

fn padded(database: &Path) {
    let uri = format!("file:{}?psow=0", database.display());
    let connection = Connection::open(uri).unwrap();
    let no_close = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(no_close, true).unwrap();
    let setup = format!("PRAGMA page_size=512; {WAL} PRAGMA synchronous=FULL; {TABLE}");
    connection.execute_batch(&setup).unwrap();
    insert(&connection, 4);
    leave(connection, database);
}

fn shm_current(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 12);
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    insert(&connection, 4);
    drop(connection);
    assert!(beside(database, "-shm").exists());
}

/// A wal-index that knows more than a log which was cut at a frame border.
fn shm_leftover(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 12);
    drop(connection);
    let path = beside(database, "-wal");
    let bytes = fs::metadata(&path).unwrap().len();
    let wal = fs::OpenOptions::new().write(true).open(path).unwrap();
    wal.set_len(bytes - 3 * (1024 + 24)).unwrap();
}

fn shm_other(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 12);
    let shm = beside(database, "-shm");
    let old = fs::read(&shm).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    insert(&connection, 3);
    drop(connection);
    fs::write(&shm, old).unwrap();
}

/// Damage, recovery with loss, new commits, a crash: the old history is after the new one.
fn abandoned(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 12);
    leave(connection, database);
    let path = beside(database, "-wal");
    let mut bytes = fs::read(&path).unwrap();
    for word in (300..900).step_by(4) {
        bytes[WAL_HEADER_BYTES + 6 * (1024 + 24) + word] ^= 0x5a;
    }
    fs::write(&path, bytes).unwrap();
    let sql = "PRAGMA wal_autocheckpoint=0; INSERT INTO t(b) VALUES('after the loss')";
    child("write-and-die", database, &[sql]);
}

/// Copied into the database as a whole, then damaged in the middle.
fn damaged_after_copy(database: &Path) {
    let connection = started(database, 1024);
    insert(&connection, 12);
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
    leave(connection, database);
    let path = beside(database, "-wal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[WAL_HEADER_BYTES + 8 * (1024 + 24) + 500] ^= 0x10;
    fs::write(&path, bytes).unwrap();
}
