//! Files in memory, for tests and for views that never reach a disk.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::{Error, File, OpenMode, Result, SyncDirectory, SyncKind, Verb, Vfs};

type Content = Rc<RefCell<Vec<u8>>>;

/// A file system in memory; clones share their files.
#[derive(Clone, Debug, Default)]
pub struct MemoryVfs {
    files: Rc<RefCell<HashMap<PathBuf, Content>>>,
    clock: Rc<RefCell<Duration>>,
}

/// A file in memory. It lives on after its deletion as long as a handle is open, as on Unix.
#[derive(Clone, Debug, Default)]
pub struct MemoryFile {
    path: PathBuf,
    content: Content,
}

impl MemoryFile {
    /// A file that belongs to no file system, holding `bytes`.
    #[must_use]
    pub fn with_bytes(bytes: Vec<u8>) -> Self {
        Self { path: PathBuf::from(":memory:"), content: Rc::new(RefCell::new(bytes)) }
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
        Ok(Box::new(MemoryFile { path: path.to_owned(), content }))
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
        let content = self.content.borrow();
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
        let mut content = self.content.borrow_mut();
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
        self.content.borrow_mut().resize(size, 0);
        Ok(())
    }

    fn sync(&self, _kind: SyncKind) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.content.borrow().len() as u64)
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
