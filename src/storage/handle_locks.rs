//! What one handle of a database file holds: its lock on the database, and its attachment to the
//! wal-index.

use std::cell::RefCell;
use std::io;
use std::ops::Range;

use super::database_lock::{DatabaseLock, LockLevel};
use super::lock::{LockMode, Locked, RangeLocks};
use super::shm::{MapError, Shm};
use super::{Error, Extend, Result, ShmMap, Verb};

/// The locks of one handle.
#[derive(Debug, Default)]
pub(super) struct HandleLocks {
    database: DatabaseLock,
    shm: RefCell<Option<Shm>>,
}

impl HandleLocks {
    /// Raises the lock on the database. Whoever is attached to the wal-index holds SHARED on the
    /// database, too; where that lock is lost (another part of his process closed the file), the
    /// dead-man switch still tells, and is in the way (os_unix.c unixIsSharingShmNode).
    pub(super) fn raise(&self, ranges: &dyn RangeLocks, level: LockLevel) -> io::Result<Locked> {
        if level >= LockLevel::Reserved && level > self.database.held() {
            let shm = self.shm.borrow();
            if shm.as_ref().map_or(Ok(false), Shm::is_shared_with_others)? {
                return Ok(Locked::Busy);
            }
        }
        self.database.raise(ranges, level)
    }

    /// Lowers the lock on the database.
    pub(super) fn lower(&self, ranges: &dyn RangeLocks, level: LockLevel) -> io::Result<()> {
        self.database.lower(ranges, level)
    }

    /// Maps a region; `open` attaches first where nobody has yet.
    pub(super) fn map(
        &self,
        open: impl FnOnce() -> Result<Shm>,
        (region, extend): (u32, Extend),
        failed: impl Fn(Verb, io::Error) -> Error,
    ) -> Result<ShmMap> {
        let mut attached = self.shm.borrow_mut();
        let first = attached.is_none();
        let shm = match &mut *attached {
            Some(shm) => shm,
            empty => empty.insert(open()?),
        };
        let mapped = shm.map(region, extend).map_err(|error| match error {
            MapError::Lock(source) => failed(Verb::ShmLock, source),
            MapError::Open(source) => failed(Verb::ShmOpen, source),
            MapError::Size(source) => failed(Verb::ShmSize, source),
            MapError::Map(source) => failed(Verb::ShmMap, source),
        });
        let stays =
            matches!(mapped, Ok(ShmMap::Mapped(..) | ShmMap::Absent(_) | ShmMap::CannotInitialize));
        if first && !stays {
            // Nothing is kept of an attachment that failed: the next call begins anew.
            *attached = None;
        }
        mapped
    }

    /// Takes a lock of the wal-index.
    pub(super) fn lock_shm(&self, bytes: &Range<u64>, mode: LockMode) -> io::Result<Locked> {
        self.attached(|shm| shm.lock(bytes, mode))
    }

    /// Drops a lock of the wal-index.
    pub(super) fn unlock_shm(&self, bytes: &Range<u64>, mode: LockMode) -> io::Result<()> {
        self.attached(|shm| shm.unlock(bytes, mode))
    }

    fn attached<T>(&self, call: impl FnOnce(&Shm) -> io::Result<T>) -> io::Result<T> {
        let shm = self.shm.borrow();
        shm.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into()).and_then(call)
    }

    /// Gives the attachment up. Its locks fall with the value that is returned.
    pub(super) fn leave_shm(&self) -> Option<Shm> {
        self.shm.take()
    }
}
