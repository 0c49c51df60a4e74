//! Real files.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::lock::{self, LockHolder, LockLevel, LockMode, Locked};
use super::{Error, File, OpenMode, Result, SyncDirectory, SyncKind, Verb, Vfs};

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsVfs;

/// A file of the machine. Opened afresh for every owner, close-on-exec.
#[derive(Debug)]
pub struct OsFile {
    path: PathBuf,
    file: fs::File,
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::ReadOnly => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::Create => options.write(true).create(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        let failed = |source| Error::new(Verb::Open, path, source);
        let file = options.open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Box::new(OsFile { path: path.to_owned(), file }))
    }

    fn delete(&self, path: &Path, sync: SyncDirectory) -> Result<()> {
        let failed = |source| Error::new(Verb::Delete, path, source);
        fs::remove_file(path).map_err(failed)?;
        match sync {
            SyncDirectory::Yes => {
                let directory = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                fs::File::open(directory).and_then(|d| d.sync_all()).map_err(failed)
            }
            SyncDirectory::No => Ok(()),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        path.try_exists().map_err(|source| Error::new(Verb::Access, path, source))
    }

    fn full_path(&self, path: &Path) -> Result<PathBuf> {
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
            .map_err(|source| Error::new(Verb::Randomness, "", io::Error::other(source)))
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn now(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl OsFile {
    fn failed(&self, verb: Verb) -> impl Fn(io::Error) -> Error {
        move |source| Error::new(verb, &self.path, source)
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::at(Verb::Read, &self.path, offset, error)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file
            .write_all_at(bytes, offset)
            .map_err(|error| Error::at(Verb::Write, &self.path, offset, error))
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.file.set_len(size_bytes).map_err(self.failed(Verb::Truncate))
    }

    fn sync(&self, kind: SyncKind) -> Result<()> {
        match kind {
            SyncKind::Normal => self.file.sync_data(),
            SyncKind::Full => self.file.sync_all(),
        }
        .map_err(self.failed(Verb::Sync))
    }

    fn size(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(self.failed(Verb::Size))
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        lock::lock_database(&self.file, level).map_err(self.failed(Verb::Lock))
    }

    fn unlock(&self) -> Result<()> {
        lock::unlock_database(&self.file).map_err(self.failed(Verb::Lock))
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        lock::holder(&self.file, &bytes, wanted).map_err(self.failed(Verb::Lock))
    }

    fn path(&self) -> &Path {
        &self.path
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
        two.unlock().unwrap();
        assert_eq!(one.lock(LockLevel::Exclusive).unwrap(), Locked::Granted);
        assert_eq!(two.lock(LockLevel::Shared).unwrap(), Locked::Busy);
        let holder = looker.lock_holder(SHARED_BYTES, LockMode::Shared).unwrap().unwrap();
        assert_eq!((holder.mode, holder.pid), (LockMode::Exclusive, None));
        drop(one);
        assert_eq!(looker.lock_holder(SHARED_BYTES, LockMode::Exclusive).unwrap(), None);
    }
}
