//! Byte-range locks as open file descriptions hold them.
//!
//! Open-file-description locks exclude SQLite's POSIX locks and are excluded by them, belong to one
//! handle, and are not dropped when the process closes another handle of the same file.

use std::fs::File;
use std::io;
use std::ops::Range;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::format::lock_bytes::{PENDING_BYTE, RESERVED_BYTE, SHARED_BYTES};

/// How a byte is locked, or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Read lock: excludes write locks.
    Shared,
    /// Write lock: excludes every other lock.
    Exclusive,
}

/// A connection's lock on a database file (os_unix.c unixLock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockLevel {
    /// Reading; every connection of a WAL database holds it for life.
    Shared,
    /// Nobody else has the database open.
    Exclusive,
}

/// Whether a lock was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Locked {
    /// It is held now.
    Granted,
    /// Somebody else is in the way; nothing changed.
    Busy,
}

/// A lock that is in the way of one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// How it is held.
    pub mode: LockMode,
    /// First byte of it.
    pub first_byte: u64,
    /// The process; `None` for the lock of an open file description, which has no process.
    pub pid: Option<i32>,
}

fn range_lock(kind: i32, bytes: &Range<u64>) -> io::Result<libc::flock> {
    let offset = |byte: u64| {
        libc::off_t::try_from(byte).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    };
    let kind = libc::c_short::try_from(kind).unwrap_or_default();
    let whence = libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default();
    Ok(libc::flock {
        l_type: kind,
        l_whence: whence,
        l_start: offset(bytes.start)?,
        l_len: offset(bytes.end.saturating_sub(bytes.start))?,
        // Must be 0 for open-file-description locks.
        l_pid: 0,
    })
}

fn set(file: &File, kind: i32, bytes: &Range<u64>) -> io::Result<Locked> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range_lock(kind, bytes)?)) {
        Ok(_) => Ok(Locked::Granted),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Locked::Busy),
        Err(error) => Err(error.into()),
    }
}

/// Takes `level` from nothing or from a lower level, in SQLite's steps: PENDING is passed through
/// on the way to SHARED, and EXCLUSIVE is taken straight from SHARED.
pub(super) fn lock_database(file: &File, level: LockLevel) -> io::Result<Locked> {
    match level {
        LockLevel::Shared => {
            let pending = PENDING_BYTE..PENDING_BYTE + 1;
            if set(file, libc::F_RDLCK, &pending)? == Locked::Busy {
                return Ok(Locked::Busy);
            }
            let shared = set(file, libc::F_RDLCK, &SHARED_BYTES);
            let _ = set(file, libc::F_UNLCK, &pending)?;
            shared
        }
        LockLevel::Exclusive => {
            // Older SQLite asks for PENDING on its way; it must not get in meanwhile.
            let pending = PENDING_BYTE..RESERVED_BYTE + 1;
            if set(file, libc::F_WRLCK, &pending)? == Locked::Busy {
                return Ok(Locked::Busy);
            }
            let exclusive = set(file, libc::F_WRLCK, &SHARED_BYTES)?;
            if exclusive == Locked::Busy {
                let _ = set(file, libc::F_UNLCK, &pending)?;
            }
            Ok(exclusive)
        }
    }
}

/// Drops every lock of the handle.
pub(super) fn unlock_database(file: &File) -> io::Result<()> {
    let all = PENDING_BYTE..SHARED_BYTES.end;
    set(file, libc::F_UNLCK, &all).map(|_| ())
}

/// Who is in the way of a `wanted` lock on `bytes`. Sets nothing.
pub(super) fn holder(
    file: &File,
    bytes: &Range<u64>,
    wanted: LockMode,
) -> io::Result<Option<LockHolder>> {
    let kind = match wanted {
        LockMode::Shared => libc::F_RDLCK,
        LockMode::Exclusive => libc::F_WRLCK,
    };
    let mut lock = range_lock(kind, bytes)?;
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    let mode = match i32::from(lock.l_type) {
        libc::F_UNLCK => return Ok(None),
        libc::F_WRLCK => LockMode::Exclusive,
        _ => LockMode::Shared,
    };
    let first_byte = u64::try_from(lock.l_start).unwrap_or_default();
    Ok(Some(LockHolder { mode, first_byte, pid: Some(lock.l_pid).filter(|&pid| pid > 0) }))
}
