//! Files in memory, for tests and for views that never reach a disk.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::{
    Error, File, LockHolder, LockLevel, LockMode, Locked, OpenMode, Result, SyncDirectory,
    SyncKind, Verb, Vfs,
};
use crate::format::lock_bytes::SHARED_BYTES;

type Content = Rc<Shared>;

/// What all handles of a file share.
#[derive(Debug, Default)]
struct Shared {
    bytes: RefCell<Vec<u8>>,
    readers: Cell<u32>,
    exclusive: Cell<bool>,
}

/// A file system in memory; clones share their files.
#[derive(Clone, Debug, Default)]
pub struct MemoryVfs {
    files: Rc<RefCell<HashMap<PathBuf, Content>>>,
    clock: Rc<RefCell<Duration>>,
}

/// A file in memory. It lives on after its deletion as long as a handle is open, as on Unix.
#[derive(Debug, Default)]
pub struct MemoryFile {
    path: PathBuf,
    content: Content,
    held: Cell<Option<LockLevel>>,
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.release();
    }
}

impl MemoryFile {
    /// A file that belongs to no file system, holding `bytes`.
    #[must_use]
    pub fn with_bytes(bytes: Vec<u8>) -> Self {
        let content = Shared { bytes: RefCell::new(bytes), ..Shared::default() };
        Self { path: PathBuf::from(":memory:"), content: Rc::new(content), held: Cell::new(None) }
    }
}

impl MemoryFile {
    fn release(&self) {
        match self.held.take() {
            Some(LockLevel::Shared) => self.content.readers.set(self.content.readers.get() - 1),
            Some(LockLevel::Exclusive) => self.content.exclusive.set(false),
            None => {}
        }
    }
}

impl Vfs for MemoryVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>> {
        let mut files = self.files.borrow_mut();
        let exists = files.contains_key(path);
        let refused = match mode {
            OpenMode::ReadOnly | OpenMode::ReadWrite if !exists => Some(io::ErrorKind::NotFound),
            OpenMode::CreateNew if exists => Some(io::ErrorKind::AlreadyExists),
            OpenMode::ReadOnly | OpenMode::ReadWrite | OpenMode::Create | OpenMode::CreateNew => {
                None
            }
        };
        if let Some(kind) = refused {
            return Err(Error::new(Verb::Open, path, kind.into()));
        }
        let content = Rc::clone(files.entry(path.to_owned()).or_default());
        Ok(Box::new(MemoryFile { path: path.to_owned(), content, held: Cell::new(None) }))
    }

    fn delete(&self, path: &Path, _sync: SyncDirectory) -> Result<()> {
        match self.files.borrow_mut().remove(path) {
            Some(_) => Ok(()),
            None => Err(Error::new(Verb::Delete, path, io::ErrorKind::NotFound.into())),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        Ok(self.files.borrow().contains_key(path))
    }

    fn full_path(&self, path: &Path) -> Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn randomness(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer)
            .map_err(|source| Error::new(Verb::Randomness, "", io::Error::other(source)))
    }

    fn sleep(&self, duration: Duration) {
        *self.clock.borrow_mut() += duration;
    }

    fn now(&self) -> Duration {
        *self.clock.borrow()
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let content = self.content.bytes.borrow();
        let rest = usize::try_from(offset).ok().and_then(|o| content.get(o..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..read), rest.get(..read)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let full =
            || Error::at(Verb::Write, &self.path, offset, io::ErrorKind::FileTooLarge.into());
        let start = usize::try_from(offset).map_err(|_| full())?;
        let end = start.checked_add(bytes.len()).ok_or_else(full)?;
        let mut content = self.content.bytes.borrow_mut();
        if content.len() < end {
            content.resize(end, 0);
        }
        if let Some(target) = content.get_mut(start..end) {
            target.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        let size = usize::try_from(size_bytes).map_err(|_| {
            Error::new(Verb::Truncate, &self.path, io::ErrorKind::FileTooLarge.into())
        })?;
        self.content.bytes.borrow_mut().resize(size, 0);
        Ok(())
    }

    fn sync(&self, _kind: SyncKind) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.content.bytes.borrow().len() as u64)
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        let shared = &self.content;
        let own = u32::from(self.held.get() == Some(LockLevel::Shared));
        let granted = match level {
            LockLevel::Shared => !shared.exclusive.get() || self.held.get().is_some(),
            LockLevel::Exclusive => {
                self.held.get() == Some(LockLevel::Exclusive)
                    || (!shared.exclusive.get() && shared.readers.get() == own)
            }
        };
        if !granted {
            return Ok(Locked::Busy);
        }
        self.release();
        match level {
            LockLevel::Shared => shared.readers.set(shared.readers.get() + 1),
            LockLevel::Exclusive => shared.exclusive.set(true),
        }
        self.held.set(Some(level));
        Ok(Locked::Granted)
    }

    fn unlock(&self) -> Result<()> {
        self.release();
        Ok(())
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        let others =
            self.content.readers.get() - u32::from(self.held.get() == Some(LockLevel::Shared));
        let excluded =
            self.content.exclusive.get() && self.held.get() != Some(LockLevel::Exclusive);
        let in_range = bytes.start < SHARED_BYTES.end && SHARED_BYTES.start < bytes.end;
        let mode = match wanted {
            _ if !in_range => None,
            _ if excluded => Some(LockMode::Exclusive),
            LockMode::Exclusive if others > 0 => Some(LockMode::Shared),
            LockMode::Shared | LockMode::Exclusive => None,
        };
        let first_byte = SHARED_BYTES.start;
        Ok(mode.map(|mode| LockHolder { mode, first_byte, pid: None }))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_file_lives_on_behind_its_handle() {
        let vfs = MemoryVfs::default();
        let path = Path::new("/x");
        let file = vfs.open(path, OpenMode::CreateNew).unwrap();
        file.write_at(b"abc", 2).unwrap();
        vfs.delete(path, SyncDirectory::No).unwrap();
        assert!(vfs.open(path, OpenMode::ReadOnly).unwrap_err().is_not_found());
        let mut buffer = [9; 8];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 5);
        assert_eq!(buffer, [0, 0, b'a', b'b', b'c', 9, 9, 9]);
    }
}
