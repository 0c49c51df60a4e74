//! The engine's storage on `sqlite3_vfs` and `sqlite3_file`.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use walsmith::storage::{
    Access, DeleteShm, DeviceCharacteristics, Error, Extend, File, FileControl, LockHolder,
    LockLevel, LockMode, Locked, OpenMode, Region, Result, ShmMap, SyncDirectory, SyncKind, Verb,
    Vfs,
};

use crate::memory::{for_ever, try_box};
use crate::sqlite::*;

/// The name in errors. The caller knows which file he works on.
fn no_name() -> Arc<Path> {
    static NAME: OnceLock<Arc<Path>> = OnceLock::new();
    Arc::clone(NAME.get_or_init(|| for_ever(|| Arc::from(Path::new("")))))
}

/// An error that carries SQLite's own code.
pub fn failed(verb: Verb, code: c_int) -> Error {
    Error::new(verb, no_name(), io::Error::from_raw_os_error(code))
}

fn done(verb: Verb, code: c_int) -> Result<()> {
    if code == OK { Ok(()) } else { Err(failed(verb, code)) }
}

/// A VFS of SQLite, as far as one log needs it.
pub struct ForeignVfs {
    pub vfs: *mut SqliteVfs,
    /// The log's name as SQLite has it, with its URI parameters after it.
    pub wal_name: *const c_char,
    /// The log, once it is open.
    pub log: Cell<*mut SqliteFile>,
}

impl fmt::Debug for ForeignVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignVfs")
    }
}

/// A file of SQLite.
pub struct ForeignFile {
    pub file: *mut SqliteFile,
    pub access: Access,
    /// It is closed, and its memory given back, with this value.
    pub owned: bool,
}

impl fmt::Debug for ForeignFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignFile")
    }
}

impl Drop for ForeignFile {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: ours, open, and nobody uses it any more.
            unsafe {
                ws_close(self.file);
                ws_free(self.file.cast());
            }
        }
    }
}

impl Vfs for ForeignVfs {
    fn open(&self, _path: &Path, _mode: OpenMode) -> Result<Box<dyn File>> {
        let no_memory = || failed(Verb::Open, NOMEM);
        // SAFETY: the VFS lives as long as the pager; the file's memory has the size that it asks
        // for, and is zeroed, as sqlite3OsOpen wants it.
        unsafe {
            let bytes = usize::try_from(ws_file_bytes(self.vfs)).unwrap_or(0);
            let file = ws_malloc(bytes as u64).cast::<u8>();
            if file.is_null() {
                return Err(no_memory());
            }
            ptr::write_bytes(file, 0, bytes);
            let file = file.cast::<SqliteFile>();
            let mut read_only = 0;
            let code = ws_open(self.vfs, self.wal_name, file, &mut read_only);
            if code != OK {
                ws_close(file);
                ws_free(file.cast());
                return Err(failed(Verb::Open, code));
            }
            self.log.set(file);
            let access = if read_only == 0 { Access::ReadWrite } else { Access::ReadOnly };
            match try_box(ForeignFile { file, access, owned: true }) {
                Ok(file) => Ok(file),
                Err(_) => Err(no_memory()),
            }
        }
    }

    fn delete(&self, _path: &Path, _sync: SyncDirectory) -> Result<()> {
        // SAFETY: VFS and name live as long as the pager.
        done(Verb::Delete, unsafe { ws_delete(self.vfs, self.wal_name) })
    }

    fn exists(&self, _path: &Path) -> Result<bool> {
        Err(failed(Verb::Access, ERROR))
    }

    fn full_path(&self, _path: &Path) -> Result<PathBuf> {
        Err(failed(Verb::Access, ERROR))
    }

    fn randomness(&self, buffer: &mut [u8]) -> Result<()> {
        let bytes = c_int::try_from(buffer.len()).map_err(|_| failed(Verb::Randomness, ERROR))?;
        // SAFETY: the buffer has that many bytes.
        unsafe { ws_randomness(bytes, buffer.as_mut_ptr().cast()) };
        Ok(())
    }

    fn sleep(&self, duration: Duration) {
        let micros = c_int::try_from(duration.as_micros()).unwrap_or(c_int::MAX);
        // SAFETY: the VFS lives as long as the pager.
        unsafe { ws_sleep(self.vfs, micros) };
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl ForeignFile {
    fn lock_slots(&self, bytes: &Range<u64>, mode: LockMode, lock: bool) -> c_int {
        let slot = c_int::try_from(bytes.start - 120).unwrap_or(0);
        let count = c_int::try_from(bytes.end - bytes.start).unwrap_or(0);
        let exclusive = c_int::from(mode == LockMode::Exclusive);
        // SAFETY: an open file.
        unsafe { ws_shm_lock(self.file, slot, count, c_int::from(lock), exclusive) }
    }
}

/// Most bytes of one call: os_unix.c cuts what is longer than 128 KiB.
const MOST_BYTES: usize = 65_536;

// SAFETY of all calls below: the file is open as long as this value lives, buffers have the length
// that is passed.
impl File for ForeignFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut at = i64::try_from(offset).map_err(|_| failed(Verb::Read, ERROR))?;
        let mut read = 0;
        for part in buffer.chunks_mut(MOST_BYTES) {
            let len = c_int::try_from(part.len()).map_err(|_| failed(Verb::Read, ERROR))?;
            match unsafe { ws_read(self.file, part.as_mut_ptr().cast(), len, at) } {
                OK => {}
                IOERR_SHORT_READ => {
                    let left = self.size()?.saturating_sub(u64::try_from(at).unwrap_or(0));
                    return Ok(read + usize::try_from(left).unwrap_or(0).min(part.len() - 1));
                }
                code => return Err(failed(Verb::Read, code)),
            }
            at += i64::from(len);
            read += part.len();
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut at = i64::try_from(offset).map_err(|_| failed(Verb::Write, ERROR))?;
        for part in bytes.chunks(MOST_BYTES) {
            let len = c_int::try_from(part.len()).map_err(|_| failed(Verb::Write, ERROR))?;
            done(Verb::Write, unsafe { ws_write(self.file, part.as_ptr().cast(), len, at) })?;
            at += i64::from(len);
        }
        Ok(())
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        let size = i64::try_from(size_bytes).map_err(|_| failed(Verb::Truncate, ERROR))?;
        done(Verb::Truncate, unsafe { ws_truncate(self.file, size) })
    }

    fn sync(&self, kind: SyncKind) -> Result<()> {
        let flags = match kind {
            SyncKind::Normal => 2,
            SyncKind::Full => 3,
        };
        done(Verb::Sync, unsafe { ws_sync(self.file, flags) })
    }

    fn size(&self) -> Result<u64> {
        let mut size = 0;
        done(Verb::Size, unsafe { ws_size(self.file, &mut size) })?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        let level = match level {
            LockLevel::None => 0,
            LockLevel::Shared => 1,
            LockLevel::Reserved => 2,
            LockLevel::Pending => 3,
            LockLevel::Exclusive => 4,
        };
        match unsafe { ws_lock(self.file, level) } {
            OK => Ok(Locked::Granted),
            BUSY => Ok(Locked::Busy),
            code => Err(failed(Verb::Lock, code)),
        }
    }

    fn unlock(&self, _level: LockLevel) -> Result<()> {
        // The pager's business.
        Ok(())
    }

    fn lock_holder(&self, _bytes: Range<u64>, _wanted: LockMode) -> Result<Option<LockHolder>> {
        Err(failed(Verb::Lock, ERROR))
    }

    fn path(&self) -> &Path {
        Path::new("")
    }

    fn access(&self) -> Access {
        self.access
    }

    /// One page: a VFS of SQLite's sees each page written by itself, and the tests count on it.
    fn most_write_bytes(&self) -> usize {
        0
    }

    fn sector_bytes(&self) -> u32 {
        u32::try_from(unsafe { ws_sector_bytes(self.file) }).unwrap_or(512)
    }

    fn device_characteristics(&self) -> DeviceCharacteristics {
        DeviceCharacteristics {
            powersafe_overwrite: unsafe { ws_is_powersafe(self.file) } != 0,
            sequential: unsafe { ws_is_sequential(self.file) } != 0,
        }
    }

    fn file_control(&self, hint: FileControl) -> Result<()> {
        match hint {
            FileControl::CheckpointStart => unsafe { ws_checkpoint_start(self.file) },
            FileControl::CheckpointDone => unsafe { ws_checkpoint_done(self.file) },
            FileControl::SizeHint(bytes) => {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                unsafe { ws_size_hint(self.file, bytes) };
            }
        }
        Ok(())
    }

    fn persists_wal(&self) -> bool {
        unsafe { ws_persists_wal(self.file) != 0 }
    }

    fn shm_map(&self, region: u32, extend: Extend) -> Result<ShmMap> {
        let index = c_int::try_from(region).map_err(|_| failed(Verb::ShmMap, ERROR))?;
        let mut at: *mut c_void = ptr::null_mut();
        let extend = c_int::from(extend == Extend::Yes);
        let code = unsafe { ws_shm_map(self.file, index, extend, &mut at) };
        // A region of SQLite's VFS is valid until xShmUnmap; the engine drops all of them before it
        // calls that.
        let region = NonNull::new(at.cast()).map(|at| unsafe { Region::foreign(at) });
        // A test may say here that memory is exhausted, as in wal.c.
        if code == OK && index > 0 && unsafe { ws_fault_sim(600) } != 0 {
            return Err(failed(Verb::ShmMap, NOMEM));
        }
        Ok(match (code, region) {
            (OK, Some(region)) => ShmMap::Mapped(region, Access::ReadWrite),
            (OK, None) => ShmMap::Absent(Access::ReadWrite),
            (READONLY, Some(region)) => ShmMap::Mapped(region, Access::ReadOnly),
            (READONLY, None) => ShmMap::Absent(Access::ReadOnly),
            (READONLY_CANTINIT, _) => ShmMap::CannotInitialize,
            (BUSY, _) => ShmMap::Busy,
            (code, _) => return Err(failed(Verb::ShmMap, code)),
        })
    }

    fn shm_lock(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        match self.lock_slots(&bytes, mode, true) {
            OK => Ok(Locked::Granted),
            BUSY => Ok(Locked::Busy),
            code => Err(failed(Verb::ShmLock, code)),
        }
    }

    fn shm_unlock(&self, bytes: Range<u64>, mode: LockMode) -> Result<()> {
        done(Verb::ShmLock, self.lock_slots(&bytes, mode, false))
    }

    fn shm_barrier(&self) {
        unsafe { ws_shm_barrier(self.file) };
    }

    fn shm_unmap(&self, delete: DeleteShm) -> Result<()> {
        let delete = c_int::from(delete == DeleteShm::Yes);
        done(Verb::ShmUnmap, unsafe { ws_shm_unmap(self.file, delete) })
    }
}
