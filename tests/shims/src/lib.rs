//! SQLite's VFS shims that keep something of their own in the reserved bytes of each page.

use std::ffi::{c_char, c_int};
use std::ptr;

use libsqlite3_sys as ffi;

unsafe extern "C" {
    fn sqlite3_register_cksumvfs(unused: *const c_char) -> c_int;
    fn sqlite3_register_tmstmpvfs(unused: *const c_char) -> c_int;
}

/// A shim.
#[derive(Clone, Copy, Debug)]
pub enum Shim {
    /// A checksum in the last 8 bytes.
    Cksumvfs,
    /// Time and origin in the last 16 bytes.
    Tmstmpvfs,
}

impl Shim {
    /// The shim of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "cksumvfs" => Some(Self::Cksumvfs),
            "tmstmpvfs" => Some(Self::Tmstmpvfs),
            _ => None,
        }
    }

    /// Puts it under every connection that this process opens from now on.
    pub fn register(self) {
        // SAFETY: SQLite is initialised first, and neither function looks at its argument.
        let code = unsafe {
            match (ffi::sqlite3_initialize(), self) {
                (ffi::SQLITE_OK, Self::Cksumvfs) => sqlite3_register_cksumvfs(ptr::null()),
                (ffi::SQLITE_OK, Self::Tmstmpvfs) => sqlite3_register_tmstmpvfs(ptr::null()),
                (code, _) => code,
            }
        };
        assert_eq!(code, ffi::SQLITE_OK, "{self:?}");
    }
}
