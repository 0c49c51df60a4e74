//! The proof that nobody else is attached to a database (reference 10.2).

use std::path::Path;

use crate::format::lock_bytes::{DEAD_MAN_SWITCH, SHARED_BYTES, SHM_LOCK_BYTES};
use crate::storage::process::command_of;
use crate::storage::{self, File, LockHolder, LockLevel, LockMode, Locked, OpenMode, Vfs};

/// A database that nobody else has open, as long as this value lives: it holds EXCLUSIVE.
#[derive(Debug)]
pub struct Offline {
    /// The database, open for writing.
    pub database: Box<dyn File>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum Attached {
    /// Somebody holds a lock.
    #[error("{lock} is held{}", by(*.pid))]
    Held {
        /// The lock's name.
        lock: String,
        /// The process, where the system tells it.
        pid: Option<i32>,
    },
    /// The database may only be read: without a lock there is no proof.
    #[error("it cannot be opened for writing, and so nobody can tell who else has it open")]
    ReadOnly(#[source] storage::Error),
    /// Asking failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

fn by(pid: Option<i32>) -> String {
    match pid {
        Some(pid) => match command_of(pid) {
            Some(command) => format!(" by process {pid} ({command})"),
            None => format!(" by process {pid}"),
        },
        None => " by a process that the system does not name".to_owned(),
    }
}

/// Takes EXCLUSIVE on the database and asks for every lock of the wal-index.
///
/// # Errors
/// [`Attached::Held`] when somebody else is attached, [`Attached::ReadOnly`] when the database cannot be
/// written, [`Attached::Storage`] when asking failed.
pub fn prove(vfs: &dyn Vfs, database: &Path, shm: Option<&Path>) -> Result<Offline, Attached> {
    let file = match vfs.open(database, OpenMode::ReadWrite) {
        Err(error) if error.is_read_only() => return Err(Attached::ReadOnly(error)),
        file => file?,
    };
    for level in [LockLevel::Shared, LockLevel::Exclusive] {
        if file.lock(level)? == Locked::Busy {
            let holder = file.lock_holder(SHARED_BYTES, LockMode::Exclusive)?;
            return Err(held("a lock on the database", holder));
        }
    }
    if let Some(holder) = shm_holder(vfs, shm)? {
        let lock = match holder.first_byte {
            DEAD_MAN_SWITCH => "the dead-man switch (byte 128) of the wal-index".to_owned(),
            byte => format!("lock byte {byte} of the wal-index"),
        };
        return Err(held(&lock, Some(holder)));
    }
    Ok(Offline { database: file })
}

/// Who holds a lock of the wal-index; nobody when it is not there. It is never created.
///
/// # Errors
/// When it is there and cannot be opened or asked.
pub fn shm_holder(vfs: &dyn Vfs, shm: Option<&Path>) -> storage::Result<Option<LockHolder>> {
    let Some(shm) = shm else { return Ok(None) };
    match vfs.open(shm, OpenMode::ReadOnly) {
        Ok(file) => file.lock_holder(SHM_LOCK_BYTES, LockMode::Exclusive),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn held(lock: &str, holder: Option<LockHolder>) -> Attached {
    Attached::Held { lock: lock.to_owned(), pid: holder.and_then(|holder| holder.pid) }
}
