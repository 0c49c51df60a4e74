//! Statements of a hostile database: names and texts are bytes, and nothing that SQLite gives may
//! end in a panic.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::{ptr, slice};

use rusqlite::Connection;
use rusqlite::ffi;

use crate::database::SqlValue;

/// What SQLite says when it cannot go on.
#[derive(Clone, Debug)]
pub(in crate::sql) struct Refusal {
    /// The extended result code.
    code: c_int,
    /// Its sentence.
    pub(in crate::sql) message: String,
    /// Where in the text of the statement, in bytes.
    pub(in crate::sql) at_bytes: Option<usize>,
}

impl Refusal {
    /// The last one of a connection.
    fn of(connection: &Connection, code: c_int) -> Self {
        // SAFETY: the handle is open; the message ends in NUL and is copied before the next call.
        unsafe {
            let handle = connection.handle();
            let message = CStr::from_ptr(ffi::sqlite3_errmsg(handle)).to_string_lossy();
            let at = ffi::sqlite3_error_offset(handle);
            Self { code, message: message.into_owned(), at_bytes: usize::try_from(at).ok() }
        }
    }

    /// The result code without its extension.
    pub(in crate::sql) fn primary(&self) -> c_int {
        self.code & 0xff
    }
}

/// A statement that is prepared.
pub(in crate::sql) struct Statement<'c> {
    pointer: *mut ffi::sqlite3_stmt,
    connection: &'c Connection,
}

/// Prepares the first statement of `sql`; with the bytes of its text. `None` where there is only
/// space and comments.
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
) -> Result<(Option<Statement<'c>>, usize), Refusal> {
    let Ok(bytes) = c_int::try_from(sql.len()) else {
        let message = "the text is too long".to_owned();
        return Err(Refusal { code: ffi::SQLITE_TOOBIG, message, at_bytes: None });
    };
    let (mut pointer, mut tail) = (ptr::null_mut(), ptr::null());
    let start = sql.as_ptr().cast::<c_char>();
    // SAFETY: the handle is open, and the text has so many bytes; SQLite writes where the answers
    // go, and `tail` is within the text or at its end.
    let (code, used) = unsafe {
        let handle = connection.handle();
        let code = ffi::sqlite3_prepare_v2(handle, start, bytes, &raw mut pointer, &raw mut tail);
        (code, if tail.is_null() { sql.len() } else { tail.addr() - start.addr() })
    };
    if code != ffi::SQLITE_OK {
        return Err(Refusal::of(connection, code));
    }
    Ok(((!pointer.is_null()).then_some(Statement { pointer, connection }), used))
}

impl Statement<'_> {
    /// The names of its columns; none where it gives no rows.
    pub(in crate::sql) fn columns(&self) -> Vec<String> {
        let name = |place| {
            // SAFETY: the statement is not finalized; a name ends in NUL, or is NULL without
            // memory.
            unsafe {
                let name = ffi::sqlite3_column_name(self.pointer, place);
                match name.is_null() {
                    true => String::new(),
                    false => CStr::from_ptr(name).to_string_lossy().into_owned(),
                }
            }
        };
        // SAFETY: the statement is not finalized.
        let count = unsafe { ffi::sqlite3_column_count(self.pointer) };
        (0..count).map(name).collect()
    }

    /// Goes on to the next row; `None` after the last.
    pub(in crate::sql) fn step(&mut self) -> Result<Option<Row<'_>>, Refusal> {
        // SAFETY: the statement is not finalized.
        match unsafe { ffi::sqlite3_step(self.pointer) } {
            ffi::SQLITE_ROW => Ok(Some(Row { pointer: self.pointer, statement: PhantomData })),
            ffi::SQLITE_DONE => Ok(None),
            code => Err(Refusal::of(self.connection, code)),
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: it is finalized once, before its connection is closed.
        unsafe { ffi::sqlite3_finalize(self.pointer) };
    }
}

/// A row, until the next step.
pub(in crate::sql) struct Row<'s> {
    pointer: *mut ffi::sqlite3_stmt,
    statement: PhantomData<&'s mut ()>,
}

impl Row<'_> {
    /// Its values; `None` where there was no memory for one.
    pub(in crate::sql) fn values(&self) -> Option<Vec<SqlValue>> {
        // SAFETY: the statement is on a row.
        let count = unsafe { ffi::sqlite3_data_count(self.pointer) };
        (0..count).map(|place| self.value(place)).collect()
    }

    /// Whether the first value is true, as WHERE takes it (vdbemem.c sqlite3VdbeBooleanValue); no
    /// where there is none.
    pub(in crate::sql) fn is_true(&self) -> bool {
        // SAFETY: the statement is on a row; of a column that is not there SQLite gives NULL.
        unsafe {
            ffi::sqlite3_column_type(self.pointer, 0) != ffi::SQLITE_NULL
                && ffi::sqlite3_column_double(self.pointer, 0) != 0.0
        }
    }

    fn value(&self, place: c_int) -> Option<SqlValue> {
        // SAFETY: the statement is on a row that has such a column. The text or blob is asked for
        // before its length, and is copied before the next call.
        unsafe {
            Some(match ffi::sqlite3_column_type(self.pointer, place) {
                ffi::SQLITE_INTEGER => {
                    SqlValue::Integer(ffi::sqlite3_column_int64(self.pointer, place))
                }
                ffi::SQLITE_FLOAT => {
                    SqlValue::Real(ffi::sqlite3_column_double(self.pointer, place))
                }
                ffi::SQLITE_TEXT => {
                    let text = ffi::sqlite3_column_text(self.pointer, place);
                    let bytes = self.bytes(place, text.cast())?;
                    match String::from_utf8(bytes) {
                        Ok(text) => SqlValue::Text(text),
                        Err(broken) => SqlValue::BrokenText(broken.into_bytes()),
                    }
                }
                ffi::SQLITE_BLOB => {
                    let blob = ffi::sqlite3_column_blob(self.pointer, place);
                    SqlValue::Blob(self.bytes(place, blob.cast())?)
                }
                _ => SqlValue::Null,
            })
        }
    }

    /// Copies the bytes of a text or blob at `start`; `None` where SQLite had no memory for them.
    ///
    /// # Safety
    /// `start` is what SQLite has given for the column at `place`.
    unsafe fn bytes(&self, place: c_int, start: *const u8) -> Option<Vec<u8>> {
        // SAFETY: the statement is on a row that has such a column.
        let count = unsafe { ffi::sqlite3_column_bytes(self.pointer, place) };
        let count = usize::try_from(count).ok()?;
        match start.is_null() {
            // An empty blob is NULL, too.
            true => (count == 0).then(Vec::new),
            // SAFETY: SQLite says that there are so many.
            false => Some(unsafe { slice::from_raw_parts(start, count) }.to_vec()),
        }
    }
}
