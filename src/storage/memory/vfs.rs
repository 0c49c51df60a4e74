//! The file system of files in memory.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::new_file::MemoryNewFile;
use super::{Content, MemoryFile, MemoryVfs};
use crate::storage::{Error, File, NewFile, OpenMode, Result, SyncDirectory, Verb, Vfs};

impl std::fmt::Debug for MemoryVfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryVfs").field("files", &self.files.borrow().keys()).finish()
    }
}

impl MemoryVfs {
    /// The bytes of a file; `None` when it is not there.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        self.files.borrow().get(path).map(|content| content.to_bytes())
    }

    /// Puts a file there, or replaces what was there for handles that are opened from now on.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let content = Content { bytes: RefCell::new(bytes), ..Content::default() };
        self.files.borrow_mut().insert(path.to_owned(), Rc::new(content));
    }
}

impl Vfs for MemoryVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>> {
        let mut files = self.files.borrow_mut();
        let exists = files.contains_key(path);
        let refused = match mode {
            OpenMode::ReadOnly | OpenMode::ReadWrite if !exists => Some(io::ErrorKind::NotFound),
            OpenMode::CreateNew if exists => Some(io::ErrorKind::AlreadyExists),
            OpenMode::ReadOnly
            | OpenMode::ReadWrite
            | OpenMode::Create
            | OpenMode::CreateElseReadOnly
            | OpenMode::CreateNew => None,
        };
        if let Some(kind) = refused {
            return Err(Error::new(Verb::Open, path, kind.into()));
        }
        let content = Rc::clone(files.entry(path.to_owned()).or_default());
        Ok(Box::new(MemoryFile::new(path, content, Rc::clone(&self.files))))
    }

    fn delete(&self, path: &Path, _sync: SyncDirectory) -> Result<()> {
        match self.files.borrow_mut().remove(path) {
            Some(_) => Ok(()),
            None => Err(Error::new(Verb::Delete, path, io::ErrorKind::NotFound.into())),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut files = self.files.borrow_mut();
        let Some(content) = files.remove(from) else {
            return Err(Error::new(Verb::Rename, from, io::ErrorKind::NotFound.into()));
        };
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn new_file(&self, target: &Path) -> Result<Box<dyn NewFile>> {
        Ok(Box::new(MemoryNewFile::new(self.clone(), target)))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        Ok(self.files.borrow().contains_key(path))
    }

    fn full_path(&self, path: &Path) -> Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn randomness(&self, buffer: &mut [u8]) -> Result<()> {
        getrandom::fill(buffer)
            .map_err(|source| Error::new(Verb::Randomness, Path::new(""), io::Error::other(source)))
    }

    fn sleep(&self, duration: Duration) {
        self.clock.set(self.clock.get() + duration);
    }

    fn now(&self) -> Duration {
        self.clock.get()
    }
}
