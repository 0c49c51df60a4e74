//! The functions of `glue.c`, and SQLite's result codes.

use std::ffi::{c_char, c_int, c_void};

/// A structure of SQLite that is only passed on.
#[repr(C)]
pub struct Opaque {
    _private: [u8; 0],
}

pub type SqliteVfs = Opaque;
pub type SqliteFile = Opaque;
pub type Database = Opaque;
pub type PageHeader = Opaque;

pub const OK: c_int = 0;
pub const ERROR: c_int = 1;
pub const BUSY: c_int = 5;
pub const NOMEM: c_int = 7;
pub const READONLY: c_int = 8;
pub const INTERRUPT: c_int = 9;
pub const CORRUPT: c_int = 11;
pub const CANTOPEN: c_int = 14;
pub const PROTOCOL: c_int = 15;
pub const BUSY_RECOVERY: c_int = 261;
pub const READONLY_RECOVERY: c_int = 264;
pub const BUSY_SNAPSHOT: c_int = 517;
pub const IOERR_SHORT_READ: c_int = 522;
pub const ERROR_SNAPSHOT: c_int = 769;
pub const READONLY_ROLLBACK: c_int = 776;
pub const READONLY_CANTINIT: c_int = 1288;

unsafe extern "C" {
    pub fn ws_open(
        vfs: *mut SqliteVfs,
        name: *const c_char,
        file: *mut SqliteFile,
        read_only: *mut c_int,
    ) -> c_int;
    pub fn ws_file_bytes(vfs: *mut SqliteVfs) -> c_int;
    pub fn ws_close(file: *mut SqliteFile);
    pub fn ws_delete(vfs: *mut SqliteVfs, name: *const c_char) -> c_int;
    pub fn ws_sleep(vfs: *mut SqliteVfs, micros: c_int);
    pub fn ws_read(file: *mut SqliteFile, to: *mut c_void, bytes: c_int, offset: i64) -> c_int;
    pub fn ws_write(file: *mut SqliteFile, from: *const c_void, bytes: c_int, offset: i64)
    -> c_int;
    pub fn ws_truncate(file: *mut SqliteFile, bytes: i64) -> c_int;
    pub fn ws_sync(file: *mut SqliteFile, flags: c_int) -> c_int;
    pub fn ws_size(file: *mut SqliteFile, bytes: *mut i64) -> c_int;
    pub fn ws_lock(file: *mut SqliteFile, level: c_int) -> c_int;
    pub fn ws_sector_bytes(file: *mut SqliteFile) -> c_int;
    pub fn ws_is_powersafe(file: *mut SqliteFile) -> c_int;
    pub fn ws_is_sequential(file: *mut SqliteFile) -> c_int;
    pub fn ws_checkpoint_start(file: *mut SqliteFile);
    pub fn ws_checkpoint_done(file: *mut SqliteFile);
    pub fn ws_size_hint(file: *mut SqliteFile, bytes: i64);
    pub fn ws_persists_wal(file: *mut SqliteFile) -> c_int;
    pub fn ws_unfetch(file: *mut SqliteFile);
    pub fn ws_shm_map(
        file: *mut SqliteFile,
        region: c_int,
        extend: c_int,
        at: *mut *mut c_void,
    ) -> c_int;
    pub fn ws_shm_lock(
        file: *mut SqliteFile,
        slot: c_int,
        count: c_int,
        lock: c_int,
        exclusive: c_int,
    ) -> c_int;
    pub fn ws_shm_barrier(file: *mut SqliteFile);
    pub fn ws_shm_unmap(file: *mut SqliteFile, delete: c_int) -> c_int;
    pub fn ws_fault_sim(number: c_int) -> c_int;
    pub fn ws_randomness(bytes: c_int, to: *mut c_void);
    pub fn ws_log_recovery(frames: u32, wal: *const c_char);
    pub fn ws_is_interrupted(database: *mut Database) -> c_int;
    pub fn ws_malloc_failed(database: *mut Database) -> c_int;
    pub fn ws_page_next(page: *mut PageHeader) -> *mut PageHeader;
    pub fn ws_page_number(page: *mut PageHeader) -> u32;
    pub fn ws_page_image(page: *mut PageHeader) -> *mut c_void;
    pub fn ws_malloc(bytes: u64) -> *mut c_void;
    pub fn ws_free(memory: *mut c_void);
}
