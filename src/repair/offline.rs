//! The proof that nobody else is attached to a database (`engine/PROTOCOL.md`, Offline).
//!
//! By locks, and by open files: a process can have lost its locks, and its log and wal-index with
//! them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::format::lock_bytes::{DEAD_MAN_SWITCH, SHARED_BYTES, SHM_LOCK_BYTES};
use crate::storage::open_files::open_files;
use crate::storage::process::{brief, command_of};
use crate::storage::{
    self, File, LockHolder, LockLevel, LockMode, Locked, OpenMode, Vfs, if_there,
};

/// A database that nobody else has open, as long as this value lives: it holds EXCLUSIVE.
#[derive(Debug)]
pub struct Offline {
    /// The database, open for writing.
    pub database: Box<dyn File>,
    /// Processes that we may not look into: only locks tell of them.
    pub unseen_processes: u32,
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
    /// A process without a lock can write.
    #[error("{} is open in process {pid}{}", file.display(), in_parentheses(command.as_deref()))]
    Open {
        /// The file.
        file: PathBuf,
        /// The process.
        pid: i32,
        /// Its command line.
        command: Option<String>,
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
            Some(command) => format!(" by process {pid} ({})", brief(&command)),
            None => format!(" by process {pid}"),
        },
        None => " by a process that the system does not name".to_owned(),
    }
}

/// Between the two looks at open files: a last close unlinks before it closes.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes EXCLUSIVE on the database, asks for every lock of the wal-index, and looks for processes
/// that have a file open without a lock.
///
/// # Errors
/// [`Attached::Held`] and [`Attached::Open`] when somebody else is attached, [`Attached::ReadOnly`]
/// when the database cannot be written, [`Attached::Storage`] when asking failed.
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
    let unseen_processes = nobody_has_it_open(vfs, database, shm)?;
    Ok(Offline { database: file, unseen_processes })
}

/// Whoever has log or wal-index open for writing or mapped, or the database open for writing, can
/// go on writing at any moment. Returns the processes that could not be looked into.
fn nobody_has_it_open(vfs: &dyn Vfs, database: &Path, shm: Option<&Path>) -> Result<u32, Attached> {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let paths: Vec<&Path> = [database, &log].into_iter().chain(shm).collect();
    let writers = || {
        let mut seen = open_files(&paths);
        seen.uses.retain(|used| used.is_writable || (used.is_mapped && used.file > 0));
        seen
    };
    let first = writers();
    if first.uses.is_empty() {
        return Ok(first.unseen_processes);
    }
    vfs.sleep(PAUSE);
    let second = writers();
    let again = second
        .uses
        .iter()
        .find(|used| first.uses.iter().any(|it| (it.pid, it.file) == (used.pid, used.file)));
    match again {
        Some(used) => Err(Attached::Open {
            file: paths.get(used.file).map(|path| path.to_path_buf()).unwrap_or_default(),
            pid: used.pid,
            command: command_of(used.pid),
        }),
        None => Ok(second.unseen_processes),
    }
}

/// Who holds a lock of the wal-index; nobody when it is not there. It is never created.
///
/// # Errors
/// When it is there and cannot be opened or asked.
pub fn shm_holder(vfs: &dyn Vfs, shm: Option<&Path>) -> storage::Result<Option<LockHolder>> {
    let Some(shm) = shm else { return Ok(None) };
    match if_there(vfs.open(shm, OpenMode::ReadOnly))? {
        Some(file) => file.lock_holder(SHM_LOCK_BYTES, LockMode::Exclusive),
        None => Ok(None),
    }
}

fn held(lock: &str, holder: Option<LockHolder>) -> Attached {
    Attached::Held { lock: lock.to_owned(), pid: holder.and_then(|holder| holder.pid) }
}

fn in_parentheses(command: Option<&str>) -> String {
    command.map_or(String::new(), |command| format!(" ({command})"))
}
