//! The beginning of a file, for reading: what lies after it does not exist.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::shared::SharedFile;
use super::{Access, Error, File, LockHolder, LockLevel, LockMode, Locked, Result, SyncKind, Verb};

/// The first bytes of a file that may be growing. It cannot be written.
#[derive(Debug)]
pub struct Window {
    file: Box<dyn File>,
    end_bytes: u64,
}

impl Window {
    /// The first `end_bytes` bytes of `file`, or all of it if it is shorter.
    #[must_use]
    pub fn new(file: Box<dyn File>, end_bytes: u64) -> Self {
        Self { file, end_bytes }
    }

    fn refused(&self, verb: Verb) -> Error {
        Error::new(verb, self.path(), std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl File for Window {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let room = usize::try_from(self.end_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = room.min(buffer.len());
        self.file.read_at(buffer.split_at_mut(wanted).0, offset)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> Result<()> {
        Err(self.refused(Verb::Write))
    }

    fn truncate(&self, _size_bytes: u64) -> Result<()> {
        Err(self.refused(Verb::Truncate))
    }

    fn sync(&self, _kind: SyncKind) -> Result<()> {
        Err(self.refused(Verb::Sync))
    }

    fn size(&self) -> Result<u64> {
        Ok(self.file.size()?.min(self.end_bytes))
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        self.file.lock(level)
    }

    fn unlock(&self, level: LockLevel) -> Result<()> {
        self.file.unlock(level)
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        self.file.lock_holder(bytes, wanted)
    }

    fn modified(&self) -> Result<Option<Duration>> {
        self.file.modified()
    }

    fn has_moved(&self) -> Result<bool> {
        self.file.has_moved()
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    /// Threads read at offsets that were taken from [`Window::size`], so they stay within it.
    fn shared(&self) -> Option<SharedFile> {
        self.file.shared()
    }

    fn access(&self) -> Access {
        Access::ReadOnly
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryFile;

    #[test]
    fn what_lies_after_the_window_does_not_exist() {
        let window = Window::new(Box::new(MemoryFile::with_bytes(b"abcdef".to_vec())), 4);
        let mut bytes = [0; 8];
        assert_eq!(window.size().unwrap(), 4);
        assert_eq!((window.read_at(&mut bytes, 2).unwrap(), &bytes[..2]), (2, &b"cd"[..]));
        assert_eq!(window.read_at(&mut bytes, 5).unwrap(), 0);
        assert!(window.write_at(b"x", 0).is_err());
        let whole = Window::new(Box::new(MemoryFile::with_bytes(b"ab".to_vec())), 4);
        assert_eq!(whole.size().unwrap(), 2);
    }
}
