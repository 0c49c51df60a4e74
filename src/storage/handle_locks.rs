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
            // Nothing is kept of an attachment that failed: the next call begins again.
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

    /// Makes an exclusive lock of the wal-index a shared one.
    pub(super) fn downgrade_shm(&self, bytes: &Range<u64>) -> io::Result<Locked> {
        self.attached(|shm| shm.downgrade(bytes))
    }

    /// Drops locks of the wal-index at once.
    pub(super) fn unlock_all_shm(&self, locks: &[(Range<u64>, LockMode)]) -> io::Result<()> {
        self.attached(|shm| shm.unlock_all(locks))
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::storage::memory::MemoryVfs;
    use crate::storage::os::OsVfs;
    use crate::storage::{File, OpenMode, Vfs};
    use LockMode::{Exclusive, Shared};
    use Locked::{Busy, Granted};

    /// Runs `test` with two handles of one database that are attached to its wal-index.
    fn with_two(test: impl Fn(&dyn File, &dyn File)) {
        let folder = tempfile::tempdir().unwrap();
        let (memory, os) = (MemoryVfs::default(), OsVfs);
        let worlds: [(&dyn Vfs, &Path); 2] = [(&memory, Path::new("/")), (&os, folder.path())];
        for (vfs, folder) in worlds {
            let open = || vfs.open(&folder.join("x.db"), OpenMode::Create).unwrap();
            let (one, two) = (open(), open());
            for file in [&one, &two] {
                assert_eq!(file.lock(LockLevel::Shared).unwrap(), Granted);
                assert!(matches!(file.shm_map(0, Extend::Yes).unwrap(), ShmMap::Mapped(..)));
            }
            test(one.as_ref(), two.as_ref());
        }
    }

    #[test]
    fn a_downgraded_lock_lets_readers_in_and_nobody_else() {
        with_two(|one, two| {
            assert!(one.shm_downgrade(124..125).is_err(), "nothing is held");
            assert_eq!(one.shm_lock(124..125, Exclusive).unwrap(), Granted);
            assert_eq!(two.shm_lock(124..125, Shared).unwrap(), Busy);
            assert_eq!(one.shm_downgrade(124..125).unwrap(), Granted);
            assert_eq!(two.shm_lock(124..125, Exclusive).unwrap(), Busy);
            assert_eq!(two.shm_lock(124..125, Shared).unwrap(), Granted);
            // What each drops is a shared lock.
            two.shm_unlock(124..125, Shared).unwrap();
            one.shm_unlock(124..125, Shared).unwrap();
            assert_eq!(two.shm_lock(124..125, Exclusive).unwrap(), Granted);
        });
    }

    #[test]
    fn locks_that_are_dropped_at_once_leave_others_alone() {
        with_two(|one, two| {
            let both = [(120..121, Exclusive), (125..126, Shared)];
            for between in [None, Some((121..122, Exclusive)), Some((123..124, Shared))] {
                for (bytes, mode) in both.iter().chain(&between) {
                    assert_eq!(one.shm_lock(bytes.clone(), *mode).unwrap(), Granted);
                }
                one.shm_unlock_all(&both).unwrap();
                for byte in 120..128_u64 {
                    let held = between.as_ref().is_some_and(|(bytes, _)| bytes.contains(&byte));
                    let locked = two.shm_lock(byte..byte + 1, Exclusive).unwrap();
                    assert_eq!(locked, if held { Busy } else { Granted }, "{between:?} {byte}");
                    two.shm_unlock(byte..byte + 1, Exclusive).unwrap();
                }
                if let Some((bytes, mode)) = between {
                    one.shm_unlock(bytes, mode).unwrap();
                }
            }
        });
    }
}
