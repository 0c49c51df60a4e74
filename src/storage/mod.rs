//! The outside world behind SQLite's own verbs.
//!
//! [`Vfs`] and [`File`] follow `sqlite3_vfs` and `sqlite3_file` so that the engine can run on real
//! files, in memory, under injected faults, or on SQLite's own VFS. Floors above see only these
//! traits. No `Sync` bound: threads that work on a file together share a [`shared::SharedFile`] of
//! it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

mod database_lock;
mod error;
pub mod fault;
mod handle_locks;
pub mod library;
pub mod line_ends;
mod lock;
pub mod lock_list;
pub mod memory;
pub mod mounts;
pub mod new_directory;
pub mod new_file;
pub mod open_files;
pub mod os;
pub mod overlay;
pub mod process;
pub mod rearranged;
mod region;
mod regular;
pub mod runs;
pub mod shared;
mod shm;
pub mod status;
pub mod threaded;
pub mod window;

pub use database_lock::LockLevel;
pub use error::{Error, Result, Verb, if_there};
pub use lock::{LockHolder, LockMode, Locked};
pub use new_file::{Existing, NewFile};
pub use region::{REGION_BYTES, Region};
pub use regular::{FileType, NotRegular};
pub use shm::DeleteShm;

/// How a file is to be opened; `SQLITE_OPEN_*` as a sum type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reading only. Nothing is ever created or written.
    ReadOnly,
    /// Existing file, reading and writing.
    ReadWrite,
    /// Reading and writing; created when it does not exist.
    Create,
    /// As `Create`; an existing file that may not be written is opened for reading
    /// (os_unix.c unixOpen).
    CreateElseReadOnly,
    /// Reading and writing; an error when it exists already.
    CreateNew,
}

/// What an open file allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// What a sync must make durable (`SQLITE_SYNC_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// Content and size of the file.
    Normal,
    /// As `Normal`, and through the drive's cache where the system offers that.
    Full,
}

/// What a device promises beyond the ordinary (`SQLITE_IOCAP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceCharacteristics {
    /// A write that loses power does not change bytes around those it writes.
    pub powersafe_overwrite: bool,
    /// Writes reach the disk in the order in which they are issued.
    pub sequential: bool,
}

/// A hint to the file system (`SQLITE_FCNTL_*`); one that is not understood is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileControl {
    /// A checkpoint begins to write this database.
    CheckpointStart,
    /// It has ended.
    CheckpointDone,
    /// The file will grow to this many bytes.
    SizeHint(u64),
}

/// Whether [`File::shm_map`] may make the wal-index longer. Only the holder of the write lock may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extend {
    /// A region that is not there yet is added.
    Yes,
    /// It is answered with [`ShmMap::Absent`].
    No,
}

/// What [`File::shm_map`] found.
#[derive(Debug)]
pub enum ShmMap {
    /// The region, and what the mapping allows.
    Mapped(Region, Access),
    /// The wal-index is not that long.
    Absent(Access),
    /// Somebody is cutting the wal-index at this moment (`SQLITE_BUSY`).
    Busy,
    /// The wal-index may only be read, and nobody is attached who keeps it right
    /// (`SQLITE_READONLY_CANTINIT`).
    CannotInitialize,
}

/// Whether a deletion must be durable before it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncDirectory {
    /// Sync the directory after the deletion.
    Yes,
    /// Leave that to the file system.
    No,
}

/// A file system.
pub trait Vfs: std::fmt::Debug {
    /// Opens `path`.
    ///
    /// # Errors
    /// When the file is missing (unless `mode` creates it), exists already
    /// ([`OpenMode::CreateNew`]), is no regular file, or permission is lacking.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>>;

    /// Deletes `path`.
    ///
    /// # Errors
    /// When it does not exist or cannot be unlinked, or the directory cannot be synced.
    fn delete(&self, path: &Path, sync: SyncDirectory) -> Result<()>;

    /// Gives a file another name in the same directory, in place of whatever has it; durable when
    /// it returns. Not among SQLite's own verbs.
    ///
    /// # Errors
    /// When `from` does not exist, or the file system cannot rename.
    fn rename(&self, from: &Path, _to: &Path) -> Result<()> {
        Err(Error::new(Verb::Rename, from, std::io::ErrorKind::Unsupported.into()))
    }

    /// Begins a file that appears whole at `target`, or not at all. Not among SQLite's own verbs.
    ///
    /// # Errors
    /// When nothing can be created in the target's directory.
    fn new_file(&self, target: &Path) -> Result<Box<dyn NewFile>> {
        Err(Error::new(Verb::Open, target, std::io::ErrorKind::Unsupported.into()))
    }

    /// Whether something exists at `path`.
    ///
    /// # Errors
    /// When the directory cannot be searched.
    fn exists(&self, path: &Path) -> Result<bool>;

    /// What is at `path`, links followed; `None` when nothing is there. Opens nothing.
    ///
    /// # Errors
    /// When the directory cannot be searched, or links lead in a circle.
    fn file_type(&self, path: &Path) -> Result<Option<FileType>> {
        Ok(self.exists(path)?.then_some(FileType::Regular))
    }

    /// The path beside which SQLite looks for the log: a symbolic link is followed to its end,
    /// anything else stays as it was given, and so does a file of a process (`/proc/PID/fd/N`).
    ///
    /// # Errors
    /// When the link cannot be followed.
    fn full_path(&self, path: &Path) -> Result<PathBuf>;

    /// Fills `buffer` with random bytes.
    ///
    /// # Errors
    /// When the system's source of randomness fails.
    fn randomness(&self, buffer: &mut [u8]) -> Result<()>;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration);

    /// Time since the Unix epoch.
    fn now(&self) -> Duration;
}

/// An open file.
pub trait File: std::fmt::Debug {
    /// Reads at `offset` until `buffer` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    /// When the system reports one; the end of the file is not an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file when needed.
    ///
    /// # Errors
    /// When the system reports one; a part of `bytes` may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()>;

    /// Cuts or extends (with zeros) the file to `size_bytes`.
    ///
    /// # Errors
    /// When the system reports one.
    fn truncate(&self, size_bytes: u64) -> Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// When the system reports one; nothing is known then of the bytes since the last sync.
    fn sync(&self, kind: SyncKind) -> Result<()>;

    /// Size of the file in bytes.
    ///
    /// # Errors
    /// When the system reports one.
    fn size(&self) -> Result<u64>;

    /// Raises the lock on the database file to `level`. It is held until it is lowered or the
    /// handle is dropped. Never waits.
    ///
    /// # Errors
    /// When the system reports one; a lock in the way is [`Locked::Busy`].
    fn lock(&self, level: LockLevel) -> Result<Locked>;

    /// Lowers the lock on the database file to SHARED or to nothing.
    ///
    /// # Errors
    /// When the system reports one.
    fn unlock(&self, level: LockLevel) -> Result<()>;

    /// Who would be in the way of a `wanted` lock on `bytes`. A question only: no lock is set, and
    /// a handle for reading is enough.
    ///
    /// # Errors
    /// When the system reports one.
    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>>;

    /// Sets a lock on `bytes`, whatever they mean; it is dropped with the handle. Never waits. Not
    /// among SQLite's own verbs: a reader's locks on a wal-index that is only read are taken so.
    ///
    /// # Errors
    /// When the system reports one, or the storage has no such locks.
    fn lock_bytes(&self, _bytes: Range<u64>, _mode: LockMode) -> Result<Locked> {
        Err(Error::new(Verb::Lock, self.path(), std::io::ErrorKind::Unsupported.into()))
    }

    /// Drops the locks that [`File::lock_bytes`] has set on `bytes`.
    ///
    /// # Errors
    /// As there.
    fn unlock_bytes(&self, _bytes: Range<u64>) -> Result<()> {
        Err(Error::new(Verb::Lock, self.path(), std::io::ErrorKind::Unsupported.into()))
    }

    /// When the content was changed last, since the Unix epoch; `None` where the storage does not
    /// tell.
    ///
    /// # Errors
    /// When the system reports one.
    fn modified(&self) -> Result<Option<Duration>> {
        Ok(None)
    }

    /// The first offset at or after `offset` that may hold anything but zeros; `None` where only
    /// zeros are left. Holes are never shorter than what it skips.
    ///
    /// # Errors
    /// When the system reports one.
    fn next_data(&self, offset: u64) -> Result<Option<u64>> {
        Ok((offset < self.size()?).then_some(offset))
    }

    /// The path it was opened under, for messages.
    fn path(&self) -> &Path;

    /// The file for threads to share; `None` where the caller has to read and write it alone.
    fn shared(&self) -> Option<shared::SharedFile> {
        None
    }

    /// What the handle allows.
    fn access(&self) -> Access {
        Access::ReadWrite
    }

    /// Bytes that one write changes at once at the least.
    fn sector_bytes(&self) -> u32 {
        4096
    }

    /// Most bytes of neighbouring pages that one write should have; a page is always written whole.
    /// SQLite's own VFSes may count on writes of one page, as its checksum VFS does.
    fn most_write_bytes(&self) -> usize {
        1 << 18
    }

    /// What the device promises.
    fn device_characteristics(&self) -> DeviceCharacteristics {
        DeviceCharacteristics { powersafe_overwrite: true, sequential: false }
    }

    /// Passes a hint on.
    ///
    /// # Errors
    /// When the hint was understood and could not be followed.
    fn file_control(&self, _hint: FileControl) -> Result<()> {
        Ok(())
    }

    /// Whether the path it was opened under leads to another file by now, or to none
    /// (`SQLITE_FCNTL_HAS_MOVED`).
    ///
    /// # Errors
    /// When the system reports one.
    fn has_moved(&self) -> Result<bool> {
        Ok(false)
    }

    /// Whether the log and the wal-index are to stay when the last connection closes
    /// (`SQLITE_FCNTL_PERSIST_WAL`).
    fn persists_wal(&self) -> bool {
        false
    }

    /// Maps region `region` (32 KiB each, from 0) of the wal-index that belongs to this database
    /// file. The first call attaches to the wal-index: it opens or creates the file, and cuts it
    /// when nobody else is attached (os_unix.c unixLockSharedMemory). The caller holds SHARED.
    ///
    /// # Errors
    /// When the system reports one; [`ShmMap`] has the answers that are no errors.
    fn shm_map(&self, _region: u32, _extend: Extend) -> Result<ShmMap> {
        Err(no_shared_memory(Verb::ShmMap, self.path()))
    }

    /// Takes a lock on `bytes` of the wal-index (120..128). Never waits. What this handle holds in
    /// one mode is in its own way in the other.
    ///
    /// # Errors
    /// When the wal-index is not attached, or the system reports one.
    fn shm_lock(&self, _bytes: Range<u64>, _mode: LockMode) -> Result<Locked> {
        Err(no_shared_memory(Verb::ShmLock, self.path()))
    }

    /// Drops a lock that [`File::shm_lock`] granted in that mode.
    ///
    /// # Errors
    /// When the wal-index is not attached, or the system reports one.
    fn shm_unlock(&self, _bytes: Range<u64>, _mode: LockMode) -> Result<()> {
        Err(no_shared_memory(Verb::ShmLock, self.path()))
    }

    /// Makes an exclusive lock that [`File::shm_lock`] granted a shared one. Unless the storage can
    /// do that at once, which SQLite's own VFSes cannot, somebody may be faster: nothing is held
    /// then.
    ///
    /// # Errors
    /// When the wal-index is not attached, or the system reports one.
    fn shm_downgrade(&self, bytes: Range<u64>) -> Result<Locked> {
        self.shm_unlock(bytes.clone(), LockMode::Exclusive)?;
        self.shm_lock(bytes, LockMode::Shared)
    }

    /// Drops locks as [`File::shm_unlock`] does, in one call where the storage can.
    ///
    /// # Errors
    /// As there; the locks before the one that failed are dropped.
    fn shm_unlock_all(&self, locks: &[(Range<u64>, LockMode)]) -> Result<()> {
        locks.iter().try_for_each(|(bytes, mode)| self.shm_unlock(bytes.clone(), *mode))
    }

    /// Orders every access to the wal-index before this call before every one after it.
    fn shm_barrier(&self) {
        fence(Ordering::SeqCst);
    }

    /// Leaves the wal-index. Regions that are still held keep their memory.
    ///
    /// # Errors
    /// When the system reports one.
    fn shm_unmap(&self, _delete: DeleteShm) -> Result<()> {
        Ok(())
    }
}

fn no_shared_memory(verb: Verb, path: &Path) -> Error {
    Error::new(verb, path, std::io::ErrorKind::Unsupported.into())
}
