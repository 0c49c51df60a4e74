//! Real files.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc;
use nix::unistd::Whence;

mod shm_file;

use shm_file::OsShm;

use super::handle_locks::HandleLocks;
use super::lock::{LockHolder, LockMode, Locked, RangeLocks};
use super::new_file::{OsNewFile, sync_directory};
use super::process::OpenFile;
use super::regular::{FileType, file_type, open_regular};
use super::shared::{SharedFile, Spread, read_fully};
use super::shm::Shm;
use super::{
    Access, DeleteShm, Error, Extend, File, LockLevel, NewFile, OpenMode, Result, ShmMap,
    SyncDirectory, SyncKind, Verb, Vfs,
};

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsVfs;

/// A file of the machine. Opened afresh for every owner, close-on-exec.
#[derive(Debug)]
pub struct OsFile {
    path: Arc<Path>,
    file: Arc<fs::File>,
    access: Access,
    locks: HandleLocks,
    /// The name of a file that was created is made durable with its first sync.
    name_is_new: Cell<bool>,
    /// `None`: whoever holds the handle reads alone.
    spread: Option<Spread>,
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>> {
        Ok(Box::new(OsFile::open(path, mode)?))
    }

    fn delete(&self, path: &Path, sync: SyncDirectory) -> Result<()> {
        let failed = |source| Error::new(Verb::Delete, path, source);
        fs::remove_file(path).map_err(failed)?;
        match sync {
            SyncDirectory::Yes => sync_directory(path),
            SyncDirectory::No => Ok(()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|source| Error::new(Verb::Rename, from, source))?;
        sync_directory(to)
    }

    fn new_file(&self, target: &Path) -> Result<Box<dyn NewFile>> {
        Ok(Box::new(OsNewFile::beside(target)?))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        path.try_exists().map_err(|source| Error::new(Verb::Access, path, source))
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>> {
        file_type(path).map_err(|source| Error::new(Verb::Access, path, source))
    }

    fn full_path(&self, path: &Path) -> Result<PathBuf> {
        // The name that such a link shows may lead to another file by now, or to none.
        if OpenFile::at(path).is_some() {
            return Ok(path.to_owned());
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => {
                fs::canonicalize(path).map_err(|source| Error::new(Verb::Access, path, source))
            }
            // What is missing or unreadable shows when it is opened.
            Ok(_) | Err(_) => Ok(path.to_owned()),
        }
    }

    fn randomness(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer)
            .map_err(|source| Error::new(Verb::Randomness, Path::new(""), io::Error::other(source)))
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// Opens a real file. A log, journal or undo set that is created gets the permissions of its
/// database, and its owner where root creates it (os_unix.c findCreateFileMode).
fn open(path: &Path, mode: OpenMode) -> Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    match mode {
        OpenMode::ReadOnly => &mut options,
        OpenMode::ReadWrite => options.write(true),
        OpenMode::Create | OpenMode::CreateElseReadOnly => options.write(true).create(true),
        OpenMode::CreateNew => options.write(true).create_new(true),
    };
    let database = match mode {
        OpenMode::ReadOnly | OpenMode::ReadWrite => None,
        OpenMode::Create | OpenMode::CreateElseReadOnly | OpenMode::CreateNew => {
            database_of(path).and_then(|database| fs::metadata(database).ok())
        }
    };
    if let Some(database) = &database {
        options.mode(database.mode() & 0o777);
    }
    let file = open_regular(&mut options, path, 0)
        .map_err(|source| Error::new(Verb::Open, path, source))?;
    if let Some(database) = &database {
        give_to_owner_of(&file, database);
    }
    Ok(file)
}

/// The database whose log, journal or undo set `path` is by its name.
fn database_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let suffixes = ["-wal", "-journal", "-walsmith-undo"];
    let name = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    Some(path.with_file_name(name))
}

/// Only root may give files away, and others need not.
fn give_to_owner_of(file: &fs::File, database: &fs::Metadata) {
    let differs = |own: fs::Metadata| (own.uid(), own.gid()) != (database.uid(), database.gid());
    if file.metadata().is_ok_and(differs) {
        let _ = fchown(file, Some(database.uid()), Some(database.gid()));
    }
}

impl OsFile {
    /// Opens `path`.
    pub(super) fn open(path: &Path, mode: OpenMode) -> Result<Self> {
        let (file, access) = match (open(path, mode), mode) {
            (Err(error), OpenMode::CreateElseReadOnly) if error.is_read_only() => {
                (open(path, OpenMode::ReadOnly)?, Access::ReadOnly)
            }
            (file, OpenMode::ReadOnly) => (file?, Access::ReadOnly),
            (file, _) => (file?, Access::ReadWrite),
        };
        let created =
            matches!(mode, OpenMode::Create | OpenMode::CreateElseReadOnly | OpenMode::CreateNew);
        Ok(Self {
            path: path.into(),
            file: Arc::new(file),
            access,
            locks: HandleLocks::default(),
            name_is_new: Cell::new(created && access == Access::ReadWrite),
            spread: None,
        })
    }

    /// Lets threads share the handle for long reads.
    pub(super) fn spread_reads(self, spread: Spread) -> Self {
        Self { spread: Some(spread), ..self }
    }

    fn failed(&self, verb: Verb) -> impl Fn(io::Error) -> Error {
        move |source| Error::new(verb, Arc::clone(&self.path), source)
    }

    fn failed_at(&self, verb: Verb, offset: u64, source: io::Error) -> Error {
        Error::at(verb, Arc::clone(&self.path), offset, source)
    }

    fn shm_path(&self) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push("-shm");
        name.into()
    }

    /// Opens or creates the `-shm` with the permissions and the owner of the database.
    fn open_shm(&self) -> Result<Shm> {
        let path = self.shm_path();
        let failed = |source| Error::new(Verb::ShmOpen, path.as_path(), source);
        let database = self.file.metadata().map_err(failed)?;
        let mut options = fs::OpenOptions::new();
        options.read(true);
        let mut writing = options.clone();
        writing.write(true).create(true).truncate(false).mode(database.mode() & 0o777);
        let opened = match self.access {
            Access::ReadWrite => open_regular(&mut writing, &path, libc::O_NOFOLLOW)
                .map(|file| (file, Access::ReadWrite)),
            Access::ReadOnly => Err(io::ErrorKind::PermissionDenied.into()),
        };
        let (file, access) = match opened {
            Ok(opened) => opened,
            // As SQLite does; what is wrong shows when this fails, too.
            Err(first) => {
                let file = open_regular(&mut options, &path, libc::O_NOFOLLOW);
                // Where there is none, the reason is why it could not be made.
                let is_unmade = |second: &io::Error| {
                    second.kind() == io::ErrorKind::NotFound && self.access == Access::ReadWrite
                };
                let why = |second| if is_unmade(&second) { first } else { second };
                (file.map_err(|second| failed(why(second)))?, Access::ReadOnly)
            }
        };
        give_to_owner_of(&file, &database);
        Ok(Shm::new(Box::new(OsShm::new(file, access))))
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_fully(&self.file, &self.path, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| self.failed_at(Verb::Write, offset, error))
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.file.set_len(size_bytes).map_err(self.failed(Verb::Truncate))
    }

    fn sync(&self, kind: SyncKind) -> Result<()> {
        match kind {
            SyncKind::Normal => self.file.sync_data(),
            SyncKind::Full => self.file.sync_all(),
        }
        .map_err(self.failed(Verb::Sync))?;
        if self.name_is_new.replace(false) {
            sync_directory(&self.path)?;
        }
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(self.failed(Verb::Size))
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>> {
        let Ok(from) = i64::try_from(offset) else { return Ok(None) };
        match nix::unistd::lseek(self.file.as_ref(), from, Whence::SeekData) {
            Ok(at) => Ok(u64::try_from(at).ok()),
            Err(nix::errno::Errno::ENXIO) => Ok(None),
            // The file system keeps no holes.
            Err(nix::errno::Errno::EINVAL) => Ok((offset < self.size()?).then_some(offset)),
            Err(error) => Err(self.failed_at(Verb::Read, offset, error.into())),
        }
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        self.locks.raise(self.file.as_ref(), level).map_err(self.failed(Verb::Lock))
    }

    fn unlock(&self, level: LockLevel) -> Result<()> {
        self.locks.lower(self.file.as_ref(), level).map_err(self.failed(Verb::Lock))
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        self.file.holder(&bytes, wanted).map_err(self.failed(Verb::Lock))
    }

    fn lock_bytes(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        self.file.set(&bytes, Some(mode)).map_err(self.failed(Verb::Lock))
    }

    fn unlock_bytes(&self, bytes: Range<u64>) -> Result<()> {
        self.file.clear(&bytes).map_err(self.failed(Verb::Lock))
    }

    fn modified(&self) -> Result<Option<Duration>> {
        let metadata = self.file.metadata().map_err(self.failed(Verb::Size))?;
        // A file system without times, or a time before 1970, tells nothing.
        Ok(metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()))
    }

    fn access(&self) -> Access {
        self.access
    }

    fn has_moved(&self) -> Result<bool> {
        let own = self.file.metadata().map_err(self.failed(Verb::FileControl))?;
        let named = fs::metadata(&self.path);
        Ok(!named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())))
    }

    fn shm_map(&self, region: u32, extend: Extend) -> Result<ShmMap> {
        let failed = |verb, source| self.failed(verb)(source);
        self.locks.map(|| self.open_shm(), (region, extend), failed)
    }

    fn shm_lock(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        self.locks.lock_shm(&bytes, mode).map_err(self.failed(Verb::ShmLock))
    }

    fn shm_unlock(&self, bytes: Range<u64>, mode: LockMode) -> Result<()> {
        self.locks.unlock_shm(&bytes, mode).map_err(self.failed(Verb::ShmLock))
    }

    fn shm_downgrade(&self, bytes: Range<u64>) -> Result<Locked> {
        self.locks.downgrade_shm(&bytes).map_err(self.failed(Verb::ShmLock))
    }

    fn shm_unlock_all(&self, locks: &[(Range<u64>, LockMode)]) -> Result<()> {
        self.locks.unlock_all_shm(locks).map_err(self.failed(Verb::ShmLock))
    }

    fn shm_unmap(&self, delete: DeleteShm) -> Result<()> {
        let Some(shm) = self.locks.leave_shm() else { return Ok(()) };
        let deleted = match delete {
            DeleteShm::Yes => fs::remove_file(self.shm_path()),
            DeleteShm::No => Ok(()),
        };
        // The switch falls after the name has gone, as in unixShmUnmap.
        drop(shm);
        deleted.map_err(self.failed(Verb::ShmUnmap))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn shared(&self) -> Option<SharedFile> {
        let (file, path) = (Arc::clone(&self.file), Arc::clone(&self.path));
        self.spread.map(|spread| SharedFile { file, path, spread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::lock_bytes::SHARED_BYTES;

    #[test]
    fn an_exclusive_handle_keeps_others_out_and_is_seen_by_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let one = OsVfs.open(&path, OpenMode::CreateNew).unwrap();
        let two = OsVfs.open(&path, OpenMode::ReadWrite).unwrap();
        let looker = OsVfs.open(&path, OpenMode::ReadOnly).unwrap();
        assert_eq!(one.lock(LockLevel::Shared).unwrap(), Locked::Granted);
        assert_eq!(two.lock(LockLevel::Shared).unwrap(), Locked::Granted);
        assert_eq!(one.lock(LockLevel::Exclusive).unwrap(), Locked::Busy);
        two.unlock(LockLevel::None).unwrap();
        assert_eq!(one.lock(LockLevel::Exclusive).unwrap(), Locked::Granted);
        assert_eq!(two.lock(LockLevel::Shared).unwrap(), Locked::Busy);
        let holder = looker.lock_holder(SHARED_BYTES, LockMode::Shared).unwrap().unwrap();
        assert_eq!((holder.mode, holder.pid), (LockMode::Exclusive, None));
        drop(one);
        assert_eq!(looker.lock_holder(SHARED_BYTES, LockMode::Exclusive).unwrap(), None);
    }
}
