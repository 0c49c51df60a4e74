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

/// How a byte is locked, or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Read lock: excludes write locks.
    Shared,
    /// Write lock: excludes every other lock.
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

/// Locks on ranges of a file's bytes that one handle holds.
pub(super) trait RangeLocks {
    /// Sets the lock of `bytes`, or drops it with `None`. Never waits. A lock that the handle holds
    /// there already is replaced, not in the way.
    fn set(&self, bytes: &Range<u64>, mode: Option<LockMode>) -> io::Result<Locked>;

    /// Drops every lock that the handle holds on `bytes`.
    fn clear(&self, bytes: &Range<u64>) -> io::Result<()> {
        self.set(bytes, None).map(drop)
    }

    /// Who else is in the way of a `wanted` lock on `bytes`. Sets nothing.
    fn holder(&self, bytes: &Range<u64>, wanted: LockMode) -> io::Result<Option<LockHolder>>;
}

impl RangeLocks for File {
    fn set(&self, bytes: &Range<u64>, mode: Option<LockMode>) -> io::Result<Locked> {
        let kind = match mode {
            None => libc::F_UNLCK,
            Some(mode) => kind_of(mode),
        };
        match fcntl(self, FcntlArg::F_OFD_SETLK(&range_lock(kind, bytes)?)) {
            Ok(_) => Ok(Locked::Granted),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(Locked::Busy),
            Err(error) => Err(error.into()),
        }
    }

    fn holder(&self, bytes: &Range<u64>, wanted: LockMode) -> io::Result<Option<LockHolder>> {
        let mut lock = range_lock(kind_of(wanted), bytes)?;
        fcntl(self, FcntlArg::F_OFD_GETLK(&mut lock))?;
        let mode = match i32::from(lock.l_type) {
            libc::F_UNLCK => return Ok(None),
            libc::F_WRLCK => LockMode::Exclusive,
            _ => LockMode::Shared,
        };
        let first_byte = u64::try_from(lock.l_start).unwrap_or_default();
        Ok(Some(LockHolder { mode, first_byte, pid: Some(lock.l_pid).filter(|&pid| pid > 0) }))
    }
}

fn kind_of(mode: LockMode) -> i32 {
    match mode {
        LockMode::Shared => libc::F_RDLCK,
        LockMode::Exclusive => libc::F_WRLCK,
    }
}
