//! What SQLite asks while it prepares and runs statements: whether they are allowed
//! (c3ref/set_authorizer.html), and whether to go on (c3ref/progress_handler.html).

use std::ffi::{CStr, c_char, c_int, c_void};

use rusqlite::Connection;
use rusqlite::ffi;

use super::vfs::{StateVfs, host_of};
use crate::sql::host::Denied;

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: c_int = 1000;

/// Settings that would take back what a session is set to, or reach outside of it.
const CLOSED_PRAGMAS: [&[u8]; 3] =
    [b"trusted_schema", b"temp_store_directory", b"data_store_directory"];

/// Lets SQLite ask, for as long as `connection` is open.
///
/// # Safety
/// `connection` is closed before `vfs` is dropped.
pub(super) unsafe fn listen(connection: &Connection, vfs: &StateVfs<'_>) {
    let host = vfs.host_pointer();
    // SAFETY: the handle is open, and as the caller promises the pointer is good until it is
    // closed.
    unsafe {
        let handle = connection.handle();
        ffi::sqlite3_progress_handler(handle, STEPS, Some(progress), host);
        ffi::sqlite3_set_authorizer(handle, Some(authorize), host);
    }
}

unsafe extern "C" fn progress(host: *mut c_void) -> c_int {
    // SAFETY: it is what `listen` has passed.
    unsafe { host_of(host) }.is_over().into()
}

unsafe extern "C" fn authorize(
    host: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _schema: *const c_char,
    _inner: *const c_char,
) -> c_int {
    // SAFETY: it is what `listen` has passed.
    let host = unsafe { host_of(host) };
    let word = |text: *const c_char| match text.is_null() {
        true => &[][..],
        // SAFETY: SQLite's strings end in NUL and live until this returns.
        false => unsafe { CStr::from_ptr(text) }.to_bytes(),
    };
    let denied = match action {
        ffi::SQLITE_ATTACH | ffi::SQLITE_DETACH if host.is_closed() => Some(Denied::Attach),
        ffi::SQLITE_PRAGMA => {
            let name = word(first);
            let is_closed = CLOSED_PRAGMAS.iter().any(|it| it.eq_ignore_ascii_case(name));
            (is_closed && !word(second).is_empty())
                .then(|| Denied::Pragma(String::from_utf8_lossy(name).into_owned()))
        }
        _ => None,
    };
    match denied {
        Some(what) => {
            host.deny(what);
            ffi::SQLITE_DENY
        }
        None => ffi::SQLITE_OK,
    }
}
