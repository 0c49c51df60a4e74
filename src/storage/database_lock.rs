//! The lock of a connection on its database file, in SQLite's steps (os_unix.c unixLock,
//! posixUnlock).

use std::cell::Cell;
use std::io;

use super::lock::{LockMode, Locked, RangeLocks};
use crate::format::lock_bytes::{PENDING_BYTE, RESERVED_BYTE, SHARED_BYTES};

/// A connection's lock on a database file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockLevel {
    /// No lock.
    #[default]
    None,
    /// Reading; every connection of a WAL database holds it for life.
    Shared,
    /// A rollback-journal writer prepares; readers may go on.
    Reserved,
    /// Waiting for EXCLUSIVE: new readers are kept out. Never asked for by name.
    Pending,
    /// Nobody else has the database open.
    Exclusive,
}

/// What one handle holds.
#[derive(Debug, Default)]
pub(super) struct DatabaseLock {
    held: Cell<LockLevel>,
}

impl DatabaseLock {
    /// What is held now.
    pub(super) fn held(&self) -> LockLevel {
        self.held.get()
    }

    /// Raises the lock to `wanted`: from nothing to SHARED, from SHARED to RESERVED or EXCLUSIVE,
    /// from RESERVED to EXCLUSIVE.
    pub(super) fn raise(&self, locks: &dyn RangeLocks, wanted: LockLevel) -> io::Result<Locked> {
        assert!(wanted != LockLevel::Pending, "PENDING is a step, not a lock to ask for");
        let held = self.held.get();
        if held >= wanted {
            return Ok(Locked::Granted);
        }
        assert!(held != LockLevel::None || wanted == LockLevel::Shared, "SHARED comes first");
        let locked = match wanted {
            LockLevel::None | LockLevel::Pending => Locked::Granted,
            LockLevel::Shared => share(locks)?,
            LockLevel::Reserved => {
                locks.set(&(RESERVED_BYTE..RESERVED_BYTE + 1), Some(LockMode::Exclusive))?
            }
            LockLevel::Exclusive => self.exclude(locks)?,
        };
        if locked == Locked::Granted {
            self.held.set(wanted);
        }
        Ok(locked)
    }

    /// Straight from SHARED nothing but the SHARED range is needed; a writer that comes from
    /// RESERVED keeps new readers out with PENDING while the old ones end.
    fn exclude(&self, locks: &dyn RangeLocks) -> io::Result<Locked> {
        if self.held.get() == LockLevel::Reserved {
            let pending = PENDING_BYTE..PENDING_BYTE + 1;
            if locks.set(&pending, Some(LockMode::Exclusive))? == Locked::Busy {
                return Ok(Locked::Busy);
            }
            self.held.set(LockLevel::Pending);
        }
        locks.set(&SHARED_BYTES, Some(LockMode::Exclusive))
    }

    /// Lowers the lock to SHARED or to nothing.
    pub(super) fn lower(&self, locks: &dyn RangeLocks, level: LockLevel) -> io::Result<()> {
        if self.held.get() <= level {
            return Ok(());
        }
        match level {
            LockLevel::None => {
                locks.clear(&(PENDING_BYTE..SHARED_BYTES.end))?;
            }
            LockLevel::Shared => {
                // From a write lock to a read lock in one step: nobody gets in between.
                let shared = locks.set(&SHARED_BYTES, Some(LockMode::Shared))?;
                assert!(shared == Locked::Granted, "the holder of a lock may always weaken it");
                locks.clear(&(PENDING_BYTE..RESERVED_BYTE + 1))?;
            }
            LockLevel::Reserved | LockLevel::Pending | LockLevel::Exclusive => {
                assert!(level <= LockLevel::Shared, "a lock is lowered to SHARED or to nothing");
            }
        }
        self.held.set(level);
        Ok(())
    }
}

/// PENDING is passed through, so that a waiting writer is not starved by new readers.
fn share(locks: &dyn RangeLocks) -> io::Result<Locked> {
    let pending = PENDING_BYTE..PENDING_BYTE + 1;
    if locks.set(&pending, Some(LockMode::Shared))? == Locked::Busy {
        return Ok(Locked::Busy);
    }
    let shared = locks.set(&SHARED_BYTES, Some(LockMode::Shared));
    locks.clear(&pending)?;
    shared
}
