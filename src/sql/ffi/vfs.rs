//! The VFS that SQLite sees: states as files that can only be read (c3ref/vfs.html).
//!
//! It knows the names of the states and no others. Files without a name are for what SQLite sorts
//! or keeps for a while: these it gets from its ordinary VFS, which unlinks them at once.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::{ptr, slice};

use rusqlite::ffi;

use crate::sql::host::{Host, ReadEnd};

/// A VFS that is registered, with what its callbacks find.
pub(super) struct StateVfs<'p> {
    name: CString,
    vfs: *mut ffi::sqlite3_vfs,
    host: *mut Host<'p>,
}

/// An open state; begins as every file of SQLite's.
#[repr(C)]
struct StateFile {
    base: ffi::sqlite3_file,
    host: *const Host<'static>,
    place: usize,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(with_flags),
    xFileSize: Some(file_size),
    xLock: Some(with_flags),
    xUnlock: Some(with_flags),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: None,
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

impl<'p> StateVfs<'p> {
    /// Registers a VFS of a name of its own; `None` where SQLite has no ordinary VFS.
    pub(super) fn register(host: Host<'p>) -> Option<Self> {
        // SAFETY: NULL asks for the default VFS, which is there for the whole run.
        let ordinary = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        // SAFETY: SQLite returns NULL or a VFS that is registered.
        let least_bytes = unsafe { ordinary.as_ref() }?.szOsFile;
        let own_bytes = c_int::try_from(size_of::<StateFile>()).unwrap_or(c_int::MAX);
        let host = Box::into_raw(Box::new(host));
        let name = CString::new(format!("walsmith-{host:p}")).unwrap_or_default();
        let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: least_bytes.max(own_bytes),
            mxPathname: 64,
            pNext: ptr::null_mut(),
            zName: name.as_ptr(),
            pAppData: host.cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        let this = Self { name, vfs, host };
        // SAFETY: `vfs` and all that it points to live until `drop` takes the VFS away again.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        (code == ffi::SQLITE_OK).then_some(this)
    }

    /// The name under which SQLite knows it.
    pub(super) fn name(&self) -> &CStr {
        &self.name
    }

    /// What its callbacks find.
    pub(super) fn host(&self) -> &Host<'p> {
        // SAFETY: it is freed in `drop` alone, and nobody has a reference to change it.
        unsafe { &*self.host }
    }

    /// The same for callbacks of a connection, which lives shorter than this.
    pub(super) fn host_pointer(&self) -> *mut c_void {
        self.host.cast()
    }
}

impl Drop for StateVfs<'_> {
    fn drop(&mut self) {
        // SAFETY: every connection that uses it is closed before: `Session` has its connection
        // first. Both boxes were made in `register`, and nothing points to them afterwards.
        unsafe {
            ffi::sqlite3_vfs_unregister(self.vfs);
            drop(Box::from_raw(self.vfs));
            drop(Box::from_raw(self.host));
        }
    }
}

/// What callbacks find behind the pointer of a VFS or a connection.
///
/// # Safety
/// `pointer` is that of a [`StateVfs`] that is not dropped yet.
pub(super) unsafe fn host_of<'h>(pointer: *const c_void) -> &'h Host<'static> {
    // SAFETY: as the caller promises. What the host borrows lives as long as it does, and the
    // reference does not leave the callback.
    unsafe { &*pointer.cast() }
}

/// The ordinary VFS of SQLite.
fn ordinary() -> *mut ffi::sqlite3_vfs {
    // SAFETY: NULL asks for the default VFS.
    unsafe { ffi::sqlite3_vfs_find(ptr::null()) }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: `file` has `szOsFile` bytes, which is enough for either VFS; the name is NULL or ends
    // in NUL; `vfs` is ours.
    unsafe {
        (*file).pMethods = ptr::null();
        if name.is_null() {
            let ordinary = ordinary();
            return match ordinary.as_ref().and_then(|vfs| vfs.xOpen) {
                Some(open) if flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0 => {
                    open(ordinary, name, file, flags, out_flags)
                }
                Some(_) | None => ffi::SQLITE_CANTOPEN,
            };
        }
        let host = host_of((*vfs).pAppData);
        let is_database = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
        let place = host.place_of(CStr::from_ptr(name).to_bytes());
        let Some(place) = place.filter(|_| is_database && !host.is_closed()) else {
            return ffi::SQLITE_CANTOPEN;
        };
        let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
        let host = ptr::from_ref(host);
        file.cast::<StateFile>().write(StateFile { base, host, place });
        if let Some(out_flags) = out_flags.as_mut() {
            *out_flags = ffi::SQLITE_OPEN_READONLY | ffi::SQLITE_OPEN_MAIN_DB;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, _: *const c_char, _: c_int) -> c_int {
    ffi::SQLITE_IOERR_DELETE
}

/// There is no file of any name that is asked for: no journal, no log.
unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    _: *const c_char,
    _: c_int,
    found: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes where the answer goes.
    unsafe { found.write(0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room_bytes: c_int,
    full: *mut c_char,
) -> c_int {
    // SAFETY: `name` ends in NUL, and `full` has room for so many bytes.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes_with_nul();
        if usize::try_from(room_bytes).is_ok_and(|room| room >= name.len()) {
            ptr::copy_nonoverlapping(name.as_ptr().cast(), full, name.len());
            return ffi::SQLITE_OK;
        }
    }
    ffi::SQLITE_CANTOPEN
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, bytes: c_int, to: *mut c_char) -> c_int {
    let ordinary = ordinary();
    // SAFETY: the ordinary VFS gets what we got.
    match unsafe { ordinary.as_ref() }.and_then(|vfs| vfs.xRandomness) {
        // SAFETY: the same.
        Some(randomness) => unsafe { randomness(ordinary, bytes, to) },
        None => 0,
    }
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    let ordinary = ordinary();
    // SAFETY: the ordinary VFS gets what we got.
    match unsafe { ordinary.as_ref() }.and_then(|vfs| vfs.xSleep) {
        // SAFETY: the same.
        Some(sleep) => unsafe { sleep(ordinary, microseconds) },
        None => 0,
    }
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, to: *mut f64) -> c_int {
    let ordinary = ordinary();
    // SAFETY: the ordinary VFS gets what we got.
    match unsafe { ordinary.as_ref() }.and_then(|vfs| vfs.xCurrentTime) {
        // SAFETY: the same.
        Some(now) => unsafe { now(ordinary, to) },
        None => ffi::SQLITE_ERROR,
    }
}

unsafe extern "C" fn current_time_int64(_: *mut ffi::sqlite3_vfs, to: *mut i64) -> c_int {
    let ordinary = ordinary();
    // SAFETY: the ordinary VFS gets what we got, and SQLite's own are of version 2 at least.
    match unsafe { ordinary.as_ref() }.and_then(|vfs| vfs.xCurrentTimeInt64) {
        // SAFETY: the same.
        Some(now) => unsafe { now(ordinary, to) },
        None => ffi::SQLITE_ERROR,
    }
}

unsafe extern "C" fn close(_: *mut ffi::sqlite3_file) -> c_int {
    const { assert!(!mem::needs_drop::<StateFile>()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    to: *mut c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: the file was opened by `open`, and its host lives until its VFS is dropped. The
    // buffer has so many bytes, none of which need be written yet.
    let end = unsafe {
        let file = &*file.cast::<StateFile>();
        let bytes = slice::from_raw_parts_mut(to.cast::<MaybeUninit<u8>>(), amount);
        host_of(file.host.cast()).read(file.place, bytes, offset)
    };
    match end {
        ReadEnd::Whole => ffi::SQLITE_OK,
        ReadEnd::Short => ffi::SQLITE_IOERR_SHORT_READ,
        ReadEnd::Failed => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    _: *mut ffi::sqlite3_file,
    _: *const c_void,
    _: c_int,
    _: ffi::sqlite3_int64,
) -> c_int {
    ffi::SQLITE_IOERR_WRITE
}

unsafe extern "C" fn truncate(_: *mut ffi::sqlite3_file, _: ffi::sqlite3_int64) -> c_int {
    ffi::SQLITE_IOERR_TRUNCATE
}

/// Nothing changes the state: there is nothing to lock or to sync.
unsafe extern "C" fn with_flags(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as in `read`; SQLite passes where the answer goes.
    unsafe {
        let file = &*file.cast::<StateFile>();
        let bytes = host_of(file.host.cast()).size_bytes(file.place);
        size.write(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, held: *mut c_int) -> c_int {
    // SAFETY: SQLite passes where the answer goes.
    unsafe { held.write(0) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// A state never changes: SQLite neither locks it nor looks for a journal.
unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_IMMUTABLE
}
