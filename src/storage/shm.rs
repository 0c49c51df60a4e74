//! A handle's attachment to the wal-index: the dead-man switch, locks, regions (os_unix.c
//! unixOpenSharedMemory, unixLockSharedMemory, unixShmMap, unixShmLock, unixShmUnmap).

use std::cell::Cell;
use std::io;
use std::ops::Range;

use super::lock::{LockMode, Locked, RangeLocks};
use super::{Access, Extend, REGION_BYTES, Region, ShmMap};
use crate::format::lock_bytes::{DEAD_MAN_SWITCH, SHM_LOCK_BYTES};

/// Whether the last one who leaves a wal-index deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteShm {
    /// It is deleted.
    Yes,
    /// It stays.
    No,
}

/// The file of a wal-index.
pub(super) trait ShmFile: RangeLocks + std::fmt::Debug {
    /// What the handle allows.
    fn access(&self) -> Access;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts it.
    fn truncate(&self, size_bytes: u64) -> io::Result<()>;
    /// Makes it at least `size_bytes` long, with the new bytes really allocated: a full disk must
    /// show here, not as a signal when the mapping is touched.
    fn grow(&self, size_bytes: u64) -> io::Result<()>;
    /// Maps a region that lies within the file.
    fn map(&self, region: u32) -> io::Result<Region>;
}

/// An attachment. Dropping it drops its locks, the dead-man switch included.
#[derive(Debug)]
pub(super) struct Shm {
    file: Box<dyn ShmFile>,
    /// Whether the dead-man switch is held. Not before somebody else keeps a read-only wal-index
    /// right.
    trusted: Cell<bool>,
    shared: Cell<u16>,
    exclusive: Cell<u16>,
}

/// Which call of [`Shm::map`] failed.
pub(super) enum MapError {
    Lock(io::Error),
    Open(io::Error),
    Size(io::Error),
    Map(io::Error),
}

/// The answer of the dead-man switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Held,
    Busy,
    CannotInitialize,
}

const SWITCH: Range<u64> = DEAD_MAN_SWITCH..DEAD_MAN_SWITCH + 1;

impl Drop for Shm {
    /// Closing the file would drop them, too, but not while a child that another thread has just
    /// forked still has it open.
    fn drop(&mut self) {
        let _ = self.file.clear(&SHM_LOCK_BYTES);
    }
}

impl Shm {
    pub(super) fn new(file: Box<dyn ShmFile>) -> Self {
        let none = || Cell::new(0);
        Self { file, trusted: Cell::new(false), shared: none(), exclusive: none() }
    }

    /// Whether somebody else is attached.
    pub(super) fn is_shared_with_others(&self) -> io::Result<bool> {
        Ok(self.file.holder(&SWITCH, LockMode::Exclusive)?.is_some())
    }

    /// The first one who attaches cuts the file, which makes its header invalid: what a crash left
    /// there is rebuilt and never trusted.
    fn throw_switch(&self) -> Result<Switch, MapError> {
        match self.file.holder(&SWITCH, LockMode::Exclusive).map_err(MapError::Lock)? {
            None if self.file.access() == Access::ReadOnly => return Ok(Switch::CannotInitialize),
            None => {
                let first = self.file.set(&SWITCH, Some(LockMode::Exclusive));
                if first.map_err(MapError::Lock)? == Locked::Busy {
                    return Ok(Switch::Busy);
                }
                self.file.truncate(3).map_err(MapError::Open)?;
            }
            Some(other) if other.mode == LockMode::Exclusive => return Ok(Switch::Busy),
            Some(_) => {}
        }
        let held = self.file.set(&SWITCH, Some(LockMode::Shared)).map_err(MapError::Lock)?;
        Ok(if held == Locked::Granted { Switch::Held } else { Switch::Busy })
    }

    pub(super) fn map(&self, region: u32, extend: Extend) -> Result<ShmMap, MapError> {
        if !self.trusted.get() {
            match self.throw_switch()? {
                Switch::Held => self.trusted.set(true),
                Switch::Busy => return Ok(ShmMap::Busy),
                Switch::CannotInitialize => return Ok(ShmMap::CannotInitialize),
            }
        }
        let access = self.file.access();
        let end_bytes = (u64::from(region) + 1) * REGION_BYTES as u64;
        if self.file.size().map_err(MapError::Size)? < end_bytes {
            match (extend, access) {
                (Extend::No, _) | (_, Access::ReadOnly) => return Ok(ShmMap::Absent(access)),
                (Extend::Yes, Access::ReadWrite) => {
                    self.file.grow(end_bytes).map_err(MapError::Size)?;
                }
            }
        }
        Ok(ShmMap::Mapped(self.file.map(region).map_err(MapError::Map)?, access))
    }

    pub(super) fn lock(&self, bytes: &Range<u64>, mode: LockMode) -> io::Result<Locked> {
        let mask = mask_of(bytes);
        match mode {
            LockMode::Shared if self.shared.get() & mask == mask => return Ok(Locked::Granted),
            // The system would convert an own lock of the other mode; SQLite's rule is that it is
            // in the way like anybody else's.
            LockMode::Shared if self.exclusive.get() & mask != 0 => return Ok(Locked::Busy),
            LockMode::Exclusive if (self.shared.get() | self.exclusive.get()) & mask != 0 => {
                return Ok(Locked::Busy);
            }
            LockMode::Shared | LockMode::Exclusive => {}
        }
        let locked = self.file.set(bytes, Some(mode))?;
        if locked == Locked::Granted {
            let held = self.held(mode);
            held.set(held.get() | mask);
        }
        Ok(locked)
    }

    pub(super) fn unlock(&self, bytes: &Range<u64>, mode: LockMode) -> io::Result<()> {
        let mask = mask_of(bytes);
        let held = self.held(mode);
        if held.get() & mask != 0 {
            self.file.clear(bytes)?;
            held.set(held.get() & !mask);
        }
        Ok(())
    }

    /// Makes an exclusive lock a shared one; nobody can come between.
    pub(super) fn downgrade(&self, bytes: &Range<u64>) -> io::Result<Locked> {
        let mask = mask_of(bytes);
        if self.exclusive.get() & mask != mask {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let locked = self.file.set(bytes, Some(LockMode::Shared))?;
        match locked {
            Locked::Granted => {
                self.exclusive.set(self.exclusive.get() & !mask);
                self.shared.set(self.shared.get() | mask);
            }
            Locked::Busy => self.unlock(bytes, LockMode::Exclusive)?,
        }
        Ok(locked)
    }

    /// Drops several locks at once: everything between the first and the last of them, if no other
    /// is held there.
    pub(super) fn unlock_all(&self, locks: &[(Range<u64>, LockMode)]) -> io::Result<()> {
        let start = locks.iter().map(|(bytes, _)| bytes.start).min();
        let end = locks.iter().map(|(bytes, _)| bytes.end).max();
        let (Some(start), Some(end)) = (start, end) else { return Ok(()) };
        let named = |mode| {
            let of_mode = locks.iter().filter(|(_, other)| *other == mode);
            of_mode.fold(0, |mask, (bytes, _)| mask | mask_of(bytes))
        };
        let all = mask_of(&(start..end));
        let shared = self.shared.get() & !named(LockMode::Shared);
        let exclusive = self.exclusive.get() & !named(LockMode::Exclusive);
        if (shared | exclusive) & all != 0 {
            return locks.iter().try_for_each(|(bytes, mode)| self.unlock(bytes, *mode));
        }
        self.file.clear(&(start..end))?;
        self.shared.set(shared);
        self.exclusive.set(exclusive);
        Ok(())
    }

    fn held(&self, mode: LockMode) -> &Cell<u16> {
        match mode {
            LockMode::Shared => &self.shared,
            LockMode::Exclusive => &self.exclusive,
        }
    }
}

/// One bit a lock byte.
fn mask_of(bytes: &Range<u64>) -> u16 {
    assert!(
        SHM_LOCK_BYTES.start <= bytes.start && bytes.end <= DEAD_MAN_SWITCH,
        "lock bytes of the wal-index are 120..128"
    );
    let bit = |byte: u64| 1_u16 << (byte - SHM_LOCK_BYTES.start);
    bit(bytes.end) - bit(bytes.start)
}
