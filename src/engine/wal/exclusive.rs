//! Exclusive mode: the database lock takes the place of all others (wal.c sqlite3WalExclusiveMode,
//! sqlite3WalHeapMemory).

use super::index::reader;
use super::{Locking, Wal};
use crate::storage::{LockMode, Locked};

impl Wal<'_> {
    /// Whether the wal-index lives in private memory.
    #[must_use]
    pub fn is_heap_memory(&self) -> bool {
        self.locking == Locking::HeapMemory
    }

    /// Whether locks of the wal-index are taken.
    #[must_use]
    pub fn takes_locks(&self) -> bool {
        self.locking == Locking::Normal
    }

    /// Stops taking locks. The caller has a read transaction, and EXCLUSIVE on the database.
    pub fn enter_exclusive(&mut self) {
        assert!(!self.write_lock, "modes change outside of write transactions");
        assert!(self.locking == Locking::Normal, "the log is shared until now");
        if let Some(slot) = self.read_slot {
            self.unlock(reader(slot), LockMode::Shared);
        }
        self.locking = Locking::Exclusive;
    }

    /// Takes locks again, beginning with that of the reader slot; whether locks are taken now that
    /// were not before. The caller may give up EXCLUSIVE after that.
    pub fn leave_exclusive(&mut self) -> bool {
        assert!(!self.write_lock, "modes change outside of write transactions");
        if self.locking != Locking::Exclusive {
            return false;
        }
        self.locking = Locking::Normal;
        let slot = self.read_slot.map(reader);
        let locked = slot.map_or(Ok(Locked::Granted), |slot| self.lock(slot, LockMode::Shared));
        if !matches!(locked, Ok(Locked::Granted)) {
            self.locking = Locking::Exclusive;
        }
        self.locking == Locking::Normal
    }
}
