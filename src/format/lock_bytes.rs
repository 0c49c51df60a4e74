//! Bytes that SQLite locks (os_unix.c, wal.c). They are never read or written as data.

use std::ops::Range;

/// PENDING: keeps new readers out while a writer waits (database file).
pub const PENDING_BYTE: u64 = 0x4000_0000;
/// RESERVED: a rollback-journal writer is at work (database file).
pub const RESERVED_BYTE: u64 = PENDING_BYTE + 1;
/// SHARED range (database file): read-locked by every reader, write-locked for EXCLUSIVE.
pub const SHARED_BYTES: Range<u64> = PENDING_BYTE + 2..PENDING_BYTE + 512;

/// WAL_WRITE_LOCK (wal-index file): held by the one writer.
pub const WAL_WRITE_LOCK: u64 = 120;
/// WAL_CKPT_LOCK: held by the one checkpointer.
pub const WAL_CKPT_LOCK: u64 = 121;
/// WAL_RECOVER_LOCK: held while the wal-index is rebuilt.
pub const WAL_RECOVER_LOCK: u64 = 122;
/// WAL_READ_LOCK(0): the slot of readers who use the database file alone; four more follow.
pub const WAL_READ_LOCK_0: u64 = 123;
/// All lock bytes of the wal-index, from WAL_WRITE_LOCK to the dead-man switch.
pub const SHM_LOCK_BYTES: Range<u64> = 120..129;
/// The dead-man switch (wal-index file): read-locked by every connected process for life.
pub const DEAD_MAN_SWITCH: u64 = 128;

/// Names of the lock bytes of the wal-index, from byte 120 on.
pub const SHM_LOCK_NAMES: [&str; 9] = [
    "write",
    "checkpoint",
    "recover",
    "read-0",
    "read-1",
    "read-2",
    "read-3",
    "read-4",
    "dead-man-switch",
];
