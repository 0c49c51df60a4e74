//! A file in memory in the making.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use super::MemoryVfs;
use crate::storage::{Error, Existing, NewFile, Result, Verb, Vfs};

/// A file in the making.
#[derive(Debug)]
pub(super) struct MemoryNewFile {
    vfs: MemoryVfs,
    target: PathBuf,
    bytes: RefCell<Vec<u8>>,
}

impl MemoryNewFile {
    pub(super) fn new(vfs: MemoryVfs, target: &Path) -> Self {
        Self { vfs, target: target.to_owned(), bytes: RefCell::default() }
    }
}

impl NewFile for MemoryNewFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let too_large = || {
            Error::at(
                Verb::Write,
                self.target.as_path(),
                offset,
                io::ErrorKind::FileTooLarge.into(),
            )
        };
        let start = usize::try_from(offset).map_err(|_| too_large())?;
        let end = start.checked_add(bytes.len()).ok_or_else(too_large)?;
        let mut all = self.bytes.borrow_mut();
        let length = all.len().max(end);
        all.resize(length, 0);
        if let Some(place) = all.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        let too_large = || {
            let source = io::ErrorKind::FileTooLarge.into();
            Error::new(Verb::Truncate, self.target.as_path(), source)
        };
        let length = usize::try_from(size_bytes).map_err(|_| too_large())?;
        self.bytes.borrow_mut().resize(length, 0);
        Ok(())
    }

    fn publish(self: Box<Self>, existing: Existing, _like: Option<&Path>) -> Result<()> {
        let Self { vfs, target, bytes } = *self;
        if existing == Existing::Keep && vfs.exists(&target)? {
            return Err(Error::new(Verb::Open, target, io::ErrorKind::AlreadyExists.into()));
        }
        vfs.put(&target, bytes.into_inner());
        Ok(())
    }
}
