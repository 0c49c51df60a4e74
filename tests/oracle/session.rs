//! SQLite's session extension: what it records, what it finds between two databases, and how it
//! applies changesets. Declared by hand: the bindings of rusqlite that have it need libclang.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use rusqlite::{Connection, ffi};

#[repr(C)]
struct Handle {
    _opaque: [u8; 0],
}

/// Called for each table of a changeset; zero leaves it out.
type Filter = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
/// Called for each conflict, with what kind it is.
type Conflict = unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int;

unsafe extern "C" {
    fn sqlite3session_create(
        connection: *mut ffi::sqlite3,
        schema: *const c_char,
        session: *mut *mut Handle,
    ) -> c_int;
    fn sqlite3session_attach(session: *mut Handle, table: *const c_char) -> c_int;
    fn sqlite3session_diff(
        session: *mut Handle,
        from: *const c_char,
        table: *const c_char,
        error: *mut *mut c_char,
    ) -> c_int;
    fn sqlite3session_changeset(
        session: *mut Handle,
        bytes: *mut c_int,
        changeset: *mut *mut c_void,
    ) -> c_int;
    fn sqlite3session_delete(session: *mut Handle);
    fn sqlite3changeset_apply_v2(
        connection: *mut ffi::sqlite3,
        bytes: c_int,
        changeset: *mut c_void,
        filter: Option<Filter>,
        conflict: Conflict,
        context: *mut c_void,
        rebase: *mut *mut c_void,
        rebase_bytes: *mut c_int,
        flags: c_int,
    ) -> c_int;
}

/// A session of SQLite's over all tables of a connection, which must stay open longer.
pub(crate) struct Session(*mut Handle);

impl Session {
    /// One that records nothing yet.
    fn new(connection: &Connection) -> Self {
        let mut handle = null_mut();
        // SAFETY: the connection is open, and the handle is written before it is used.
        let code = unsafe {
            sqlite3session_create(connection.handle(), c"main".as_ptr(), &raw mut handle)
        };
        assert_eq!(code, ffi::SQLITE_OK);
        Self(handle)
    }

    /// Records every table from now on.
    pub(crate) fn recording(connection: &Connection) -> Self {
        let session = Self::new(connection);
        // SAFETY: the session is open, and no name means every table.
        let code = unsafe { sqlite3session_attach(session.0, null()) };
        assert_eq!(code, ffi::SQLITE_OK);
        session
    }

    /// What changes the `tables` of the attached database `from` to those of `main`.
    pub(crate) fn between(connection: &Connection, from: &str, tables: &[String]) -> Self {
        let session = Self::new(connection);
        let from = CString::new(from).unwrap();
        for table in tables {
            let table = CString::new(table.as_str()).unwrap();
            // SAFETY: the session is open, the names end in NUL, and no message is asked for.
            unsafe {
                sqlite3session_attach(session.0, table.as_ptr());
                sqlite3session_diff(session.0, from.as_ptr(), table.as_ptr(), null_mut());
            }
        }
        session
    }

    /// The changeset, if SQLite can make one: not where a table's columns have changed.
    pub(crate) fn changeset(&self) -> Option<Vec<u8>> {
        let (mut bytes, mut start) = (0, null_mut());
        // SAFETY: on success SQLite gives a buffer of that many bytes, which is ours to free.
        unsafe {
            let code = sqlite3session_changeset(self.0, &raw mut bytes, &raw mut start);
            if code != ffi::SQLITE_OK {
                return None;
            }
            let length = usize::try_from(bytes).unwrap();
            let changeset = if start.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(start.cast::<u8>(), length).to_vec()
            };
            ffi::sqlite3_free(start);
            Some(changeset)
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the session is open, and nobody uses it again.
        unsafe { sqlite3session_delete(self.0) };
    }
}

/// What SQLite said while it applied a changeset.
#[derive(Default)]
pub(crate) struct Applied {
    pub(crate) error: Option<String>,
    /// Names of the conflicts, in order.
    pub(crate) conflicts: Vec<&'static str>,
}

/// Applies a changeset or patchset; each conflict is noted, and left out.
pub(crate) fn apply(connection: &Connection, changeset: &mut [u8]) -> Applied {
    let mut applied = Applied::default();
    let bytes = c_int::try_from(changeset.len()).unwrap();
    // SAFETY: the connection is open, the buffer has that many bytes, and the context outlives the
    // call.
    let code = unsafe {
        sqlite3changeset_apply_v2(
            connection.handle(),
            bytes,
            changeset.as_mut_ptr().cast(),
            None,
            note,
            (&raw mut applied.conflicts).cast(),
            null_mut(),
            null_mut(),
            0,
        )
    };
    if code != ffi::SQLITE_OK {
        // SAFETY: the text is a constant of SQLite's, or belongs to the open connection.
        let (kind, message) = unsafe {
            let message = ffi::sqlite3_errmsg(connection.handle());
            (CStr::from_ptr(ffi::sqlite3_errstr(code)), CStr::from_ptr(message))
        };
        applied.error = Some(format!("{} ({})", kind.to_string_lossy(), message.to_string_lossy()));
    }
    applied
}

/// The conflict handler of [`apply`].
unsafe extern "C" fn note(context: *mut c_void, kind: c_int, _change: *mut c_void) -> c_int {
    // SAFETY: `apply` passes its list, and uses it only after SQLite has returned.
    let conflicts = unsafe { &mut *context.cast::<Vec<&'static str>>() };
    conflicts.push(match kind {
        1 => "DATA",
        2 => "NOTFOUND",
        3 => "CONFLICT",
        4 => "CONSTRAINT",
        _ => "FOREIGN_KEY",
    });
    // SQLITE_CHANGESET_OMIT.
    0
}
