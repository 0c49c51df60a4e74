//! The functions of SQLite's wal.h over walsmith's engine.
//!
//! Each function follows its namesake in wal.c in what it takes and returns; what happens in
//! between is the engine's. A [`Handle`] is what SQLite knows as `Wal`.

#![allow(non_snake_case, clippy::missing_safety_doc, reason = "the names and contracts of wal.h")]

mod checkpoint;
mod memory;
mod snapshot;
mod sqlite;
mod storage;

use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::slice;

use walsmith::engine::page_checksum::PageChecksums;
use walsmith::engine::wal::{
    Cache, Closing, Options, Page, Savepoint, SharedMemory, SyncFlags, Wal, WriteKind,
};
use walsmith::engine::{Error, Result};
use walsmith::format::{Checksum, FrameNo, PageSize, Pgno};
use walsmith::scan::Watch;
use walsmith::storage::{Access, DeleteShm, SyncKind, Verb};

use memory::try_box;
use sqlite::*;
use storage::{ForeignFile, ForeignVfs, failed};

/// A connection to a log, with the storage that it is on. The engine refers to that, so the
/// storage is freed after the engine.
pub struct Handle {
    wal: Wal<'static>,
    vfs: *mut ForeignVfs,
    database: *mut ForeignFile,
}

/// SQLite's code for an error.
fn code_of(error: &Error) -> c_int {
    match error {
        Error::Busy => BUSY,
        Error::BusyRecovery => BUSY_RECOVERY,
        Error::BusySnapshot => BUSY_SNAPSHOT,
        Error::Protocol => PROTOCOL,
        Error::ReadOnly => READONLY,
        Error::ReadOnlyRecovery => READONLY_RECOVERY,
        Error::ReadOnlyCannotInitialize => READONLY_CANTINIT,
        Error::Version { .. } => CANTOPEN,
        Error::Corrupt(_) => CORRUPT,
        Error::ShortRead { .. } => IOERR_SHORT_READ,
        Error::Interrupted => INTERRUPT,
        Error::OutOfMemory => NOMEM,
        Error::PageChecksums(_) | Error::NoSnapshot | Error::NotAttached => ERROR,
        Error::SnapshotGone => ERROR_SNAPSHOT,
        Error::HotJournal => READONLY_ROLLBACK,
        Error::Storage(error) => error.source.raw_os_error().unwrap_or(ERROR),
    }
}

fn code<T>(result: &Result<T>) -> c_int {
    result.as_ref().map_or_else(code_of, |_| OK)
}

/// WAL_SYNC_FLAGS and CKPT_SYNC_FLAGS.
fn sync_flags(flags: c_int) -> SyncFlags {
    let kind = |flags: c_int| match flags & 3 {
        0 => None,
        3 => Some(SyncKind::Full),
        _ => Some(SyncKind::Normal),
    };
    SyncFlags { commit: kind(flags), checkpoint: kind(flags >> 2) }
}

fn page_size(bytes: c_int) -> Option<PageSize> {
    PageSize::from_bytes(u32::try_from(bytes).ok()?)
}

/// Stops a checkpoint when the connection is interrupted.
struct Interrupts(*mut Database);

impl Watch for Interrupts {
    fn scanned(&self, _done_bytes: u64, _total_bytes: u64) -> ControlFlow<()> {
        // SAFETY: the connection lives while its checkpoint runs.
        let interrupted = !self.0.is_null() && unsafe { ws_is_interrupted(self.0) } != 0;
        if interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Asked between the load of the header and the look at what is copied: there wal.c lets a test
    /// step in. It does not look for interrupts there.
    fn is_interrupted(&self) -> bool {
        // SAFETY: runs the callback that a test has installed, if any.
        unsafe { ws_fault_sim(660) };
        false
    }
}

impl Interrupts {
    /// An interrupt that follows from a lack of memory is one.
    fn code<T>(&self, result: &Result<T>) -> c_int {
        match code(result) {
            // SAFETY: as in `scanned`.
            INTERRUPT if unsafe { ws_malloc_failed(self.0) } != 0 => NOMEM,
            code => code,
        }
    }
}

impl Handle {
    /// Says what recovery found, as wal.c does.
    fn log_recovery(&mut self) {
        if let Some(frames) = self.wal.take_recovered_frames() {
            // SAFETY: the storage lives as long as the handle.
            unsafe { ws_log_recovery(frames, (*self.vfs).wal_name) };
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalOpen(
    vfs: *mut SqliteVfs,
    database: *mut SqliteFile,
    name: *const c_char,
    no_shm: c_int,
    limit: i64,
    handle: *mut *mut Handle,
) -> c_int {
    // SAFETY: the pager's VFS, file and name live longer than its log; the boxes are freed in
    // sqlite3WalClose, after the engine that refers to them.
    unsafe {
        *handle = ptr::null_mut();
        let foreign = ForeignVfs { vfs, wal_name: name, log: Cell::new(ptr::null_mut()) };
        let Ok(vfs) = try_box(foreign) else { return NOMEM };
        let file = ForeignFile { file: database, access: Access::ReadWrite, owned: false };
        let Ok(database) = try_box(file) else { return NOMEM };
        let (vfs, database) = (Box::into_raw(vfs), Box::into_raw(database));
        let path: &'static Path = Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()));
        let shared_memory = if no_shm == 0 { SharedMemory::Use } else { SharedMemory::Avoid };
        let options = Options {
            shared_memory,
            journal_size_limit_bytes: u64::try_from(limit).ok(),
            // SQLite's own VFS lies below, with the shims that it has.
            page_checksums: PageChecksums::Leave,
        };
        let code = match Wal::open(&*vfs, &*database, path, options) {
            Ok(wal) => match try_box(Handle { wal, vfs, database }) {
                Ok(opened) => {
                    *handle = Box::into_raw(opened);
                    return OK;
                }
                Err(_) => NOMEM,
            },
            Err(error) => code_of(&error),
        };
        drop(Box::from_raw(database));
        drop(Box::from_raw(vfs));
        code
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalClose(
    handle: *mut Handle,
    connection: *mut Database,
    flags: c_int,
    buffer_bytes: c_int,
    buffer: *mut u8,
) -> c_int {
    if handle.is_null() {
        return OK;
    }
    // SAFETY: made by sqlite3WalOpen, and not used by SQLite again.
    unsafe {
        let Handle { wal, vfs, database } = *Box::from_raw(handle);
        let watch = Interrupts(connection);
        let closing = match page_size(buffer_bytes).filter(|_| !buffer.is_null()) {
            Some(page_size) => {
                Closing::Checkpoint { page_size, sync: sync_flags(flags), watch: &watch }
            }
            None => Closing::Leave(DeleteShm::No),
        };
        let code = watch.code(&wal.close(closing));
        drop(Box::from_raw(database));
        drop(Box::from_raw(vfs));
        code
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalLimit(handle: *mut Handle, limit: i64) {
    // SAFETY: null, or a handle of sqlite3WalOpen.
    if let Some(handle) = unsafe { handle.as_mut() } {
        handle.wal.limit(u64::try_from(limit).ok());
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalBeginReadTransaction(
    handle: &mut Handle,
    changed: &mut c_int,
) -> c_int {
    let begun = handle.wal.begin_read();
    handle.log_recovery();
    if !matches!(begun, Ok(Cache::Current)) {
        *changed = 1;
    }
    code(&begun)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalEndReadTransaction(handle: &mut Handle) {
    handle.wal.end_read();
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalFindFrame(
    handle: &mut Handle,
    page: u32,
    frame: &mut u32,
) -> c_int {
    let found = handle.wal.find_frame(Pgno(page));
    *frame = found.as_ref().ok().copied().flatten().map_or(0, |frame| frame.0);
    code(&found)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalReadFrame(
    handle: &mut Handle,
    frame: u32,
    bytes: c_int,
    to: *mut u8,
) -> c_int {
    // SAFETY: the pager's buffer has that many bytes.
    let image = unsafe { slice::from_raw_parts_mut(to, usize::try_from(bytes).unwrap_or(0)) };
    code(&handle.wal.read_frame(FrameNo(frame), image))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalDbsize(handle: *mut Handle) -> u32 {
    // SAFETY: null, or a handle of sqlite3WalOpen.
    let handle = unsafe { handle.as_ref() };
    handle.and_then(|handle| handle.wal.db_size_pages()).unwrap_or(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalBeginWriteTransaction(handle: &mut Handle) -> c_int {
    code(&handle.wal.begin_write())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalEndWriteTransaction(handle: &mut Handle) -> c_int {
    handle.wal.end_write();
    OK
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalUndo(
    handle: &mut Handle,
    undo: unsafe extern "C" fn(*mut c_void, u32) -> c_int,
    context: *mut c_void,
) -> c_int {
    code(&handle.wal.undo(|page| {
        // SAFETY: the pager's own callback with its own context.
        match unsafe { undo(context, page.0) } {
            OK => Ok(()),
            code => Err(failed(Verb::Read, code).into()),
        }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSavepoint(handle: &mut Handle, words: &mut [u32; 4]) {
    let Savepoint { mx_frame, frame_checksum, checkpoint_seq } = handle.wal.savepoint();
    *words = [mx_frame, frame_checksum.a, frame_checksum.b, checkpoint_seq];
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSavepointUndo(
    handle: &mut Handle,
    words: &mut [u32; 4],
) -> c_int {
    let [mx_frame, a, b, checkpoint_seq] = *words;
    let frame_checksum = Checksum { a, b };
    let mut savepoint = Savepoint { mx_frame, frame_checksum, checkpoint_seq };
    let undone = handle.wal.undo_to(&mut savepoint);
    (words[0], words[3]) = (savepoint.mx_frame, savepoint.checkpoint_seq);
    code(&undone)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalFrames(
    handle: &mut Handle,
    page_bytes: c_int,
    list: *mut PageHeader,
    size_pages: u32,
    is_commit: c_int,
    flags: c_int,
) -> c_int {
    let Some(page_size) = page_size(page_bytes) else { return CORRUPT };
    // SAFETY: the pager's list of dirty pages, whose images have the pager's page size and do not
    // change while the engine reads them.
    let pages = unsafe {
        let next = |page: &*mut PageHeader| Some(ws_page_next(*page)).filter(|p| !p.is_null());
        let all = || std::iter::successors(Some(list), next);
        let mut pages: Vec<Page<'_>> = Vec::new();
        if pages.try_reserve_exact(all().count()).is_err() {
            return NOMEM;
        }
        pages.extend(all().map(|page| Page {
            pgno: Pgno(ws_page_number(page)),
            image: slice::from_raw_parts(ws_page_image(page).cast(), page_size.in_memory()),
        }));
        pages
    };
    let kind = match is_commit {
        0 => WriteKind::Spill,
        _ => WriteKind::Commit { db_size_pages: size_pages },
    };
    code(&handle.wal.frames(page_size, &pages, kind, sync_flags(flags)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalCallback(handle: *mut Handle) -> c_int {
    // SAFETY: null, or a handle of sqlite3WalOpen.
    let frames = unsafe { handle.as_mut() }.and_then(|handle| handle.wal.take_committed_frames());
    c_int::try_from(frames.unwrap_or(0)).unwrap_or(c_int::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalExclusiveMode(handle: &mut Handle, operation: c_int) -> c_int {
    match operation {
        0 => c_int::from(handle.wal.leave_exclusive()),
        1.. => {
            handle.wal.enter_exclusive();
            1
        }
        _ => c_int::from(handle.wal.takes_locks()),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalHeapMemory(handle: *mut Handle) -> c_int {
    // SAFETY: null, or a handle of sqlite3WalOpen.
    c_int::from(unsafe { handle.as_ref() }.is_some_and(|handle| handle.wal.is_heap_memory()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalFile(handle: &mut Handle) -> *mut SqliteFile {
    // SAFETY: the storage lives as long as the handle.
    unsafe { (*handle.vfs).log.get() }
}
