//! Files in memory, for tests and for views that never reach a disk.
//!
//! Every handle is an owner of its own: locks and shared memory work between handles of one thread
//! as they do between processes on real files.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle_locks::HandleLocks;
use super::lock::RangeLocks;
use super::region::Cells;
use super::shm::{Shm, ShmFile};
use super::{
    Access, DeleteShm, Error, Extend, File, LockHolder, LockLevel, LockMode, Locked, REGION_BYTES,
    Region, Result, ShmMap, SyncKind, Verb,
};

mod new_file;
mod vfs;

type Files = Rc<RefCell<HashMap<PathBuf, Rc<Content>>>>;

/// What all handles of a file share.
#[derive(Default)]
struct Content {
    bytes: RefCell<Vec<u8>>,
    /// Regions that were mapped; where there are any, they are the content.
    regions: RefCell<Vec<Rc<Cells>>>,
    locks: RefCell<Vec<Held>>,
    owners: Cell<u64>,
}

/// A lock that a handle holds.
#[derive(Clone, Debug)]
struct Held {
    owner: u64,
    bytes: Range<u64>,
    mode: LockMode,
}

/// A file system in memory; clones share their files.
#[derive(Clone, Default)]
pub struct MemoryVfs {
    files: Files,
    clock: Rc<Cell<Duration>>,
}

/// A file in memory. It lives on after its deletion as long as a handle is open, as on Unix.
pub struct MemoryFile {
    path: Arc<Path>,
    content: Rc<Content>,
    owner: u64,
    locks: HandleLocks,
    files: Files,
}

impl std::fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.content.locks.borrow_mut().retain(|held| held.owner != self.owner);
    }
}

impl MemoryFile {
    fn new(path: &Path, content: Rc<Content>, files: Files) -> Self {
        let owner = content.owners.get() + 1;
        content.owners.set(owner);
        Self { path: path.into(), content, owner, locks: HandleLocks::default(), files }
    }

    /// A file that belongs to no file system, holding `bytes`.
    #[must_use]
    pub fn with_bytes(bytes: Vec<u8>) -> Self {
        let content = Content { bytes: RefCell::new(bytes), ..Content::default() };
        Self::new(Path::new(":memory:"), Rc::new(content), Files::default())
    }

    fn failed(&self, verb: Verb) -> impl Fn(io::Error) -> Error {
        move |source| Error::new(verb, Arc::clone(&self.path), source)
    }

    fn too_large(&self, verb: Verb, offset: u64) -> Error {
        Error::at(verb, Arc::clone(&self.path), offset, io::ErrorKind::FileTooLarge.into())
    }

    fn shm_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push("-shm");
        name.into()
    }
}

impl Content {
    fn to_bytes(&self) -> Vec<u8> {
        let regions = self.regions.borrow();
        if regions.is_empty() {
            return self.bytes.borrow().clone();
        }
        let mut bytes = Vec::with_capacity(regions.len() * REGION_BYTES);
        for cells in regions.iter() {
            let region = Region::shared(Rc::clone(cells));
            let words = region.words().iter();
            bytes.extend(words.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()));
            let slots = region.slots().iter();
            bytes.extend(slots.flat_map(|slot| slot.load(Ordering::Relaxed).to_ne_bytes()));
        }
        bytes
    }

    fn size(&self) -> usize {
        let mapped = self.regions.borrow().len() * REGION_BYTES;
        self.bytes.borrow().len().max(mapped)
    }

    fn resize(&self, size: usize) {
        let mut bytes = self.to_bytes();
        bytes.resize(size, 0);
        self.regions.borrow_mut().clear();
        *self.bytes.borrow_mut() = bytes;
    }

    /// Turns the first regions of the bytes into shared memory, up to `region`.
    fn map(&self, region: usize) -> io::Result<Rc<Cells>> {
        let bytes = self.bytes.borrow();
        let mut regions = self.regions.borrow_mut();
        while regions.len() <= region {
            let cells = Rc::new(Cells::zeroed().map_err(io::Error::other)?);
            let start = regions.len() * REGION_BYTES;
            let old = bytes.get(start..).unwrap_or_default();
            let view = Region::shared(Rc::clone(&cells));
            for (word, old) in view.words().iter().zip(old.as_chunks::<4>().0) {
                word.store(u32::from_ne_bytes(*old), Ordering::Relaxed);
            }
            let old = old.get(REGION_BYTES / 2..).unwrap_or_default();
            for (slot, old) in view.slots().iter().zip(old.as_chunks::<2>().0) {
                slot.store(u16::from_ne_bytes(*old), Ordering::Relaxed);
            }
            regions.push(cells);
        }
        regions.get(region).cloned().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

fn overlap(one: &Range<u64>, two: &Range<u64>) -> bool {
    one.start < two.end && two.start < one.end
}

impl RangeLocks for MemoryFile {
    fn set(&self, bytes: &Range<u64>, mode: Option<LockMode>) -> io::Result<Locked> {
        if let Some(mode) = mode
            && self.holder(bytes, mode)?.is_some()
        {
            return Ok(Locked::Busy);
        }
        let mut locks = self.content.locks.borrow_mut();
        let (own, mut rest): (Vec<Held>, Vec<Held>) = locks
            .drain(..)
            .partition(|held| held.owner == self.owner && overlap(&held.bytes, bytes));
        for held in own {
            for left in [held.bytes.start..bytes.start, bytes.end..held.bytes.end] {
                if left.start < left.end {
                    rest.push(Held { bytes: left, ..held.clone() });
                }
            }
        }
        rest.extend(mode.map(|mode| Held { owner: self.owner, bytes: bytes.clone(), mode }));
        *locks = rest;
        Ok(Locked::Granted)
    }

    fn holder(&self, bytes: &Range<u64>, wanted: LockMode) -> io::Result<Option<LockHolder>> {
        let excludes = |held: &&Held| {
            held.owner != self.owner
                && overlap(&held.bytes, bytes)
                && (wanted == LockMode::Exclusive || held.mode == LockMode::Exclusive)
        };
        let locks = self.content.locks.borrow();
        Ok(locks.iter().find(excludes).map(|held| LockHolder {
            mode: held.mode,
            first_byte: held.bytes.start,
            pid: None,
        }))
    }
}

impl ShmFile for MemoryFile {
    fn access(&self) -> Access {
        Access::ReadWrite
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.size() as u64)
    }

    fn truncate(&self, size_bytes: u64) -> io::Result<()> {
        self.content.resize(usize::try_from(size_bytes).map_err(io::Error::other)?);
        Ok(())
    }

    fn grow(&self, size_bytes: u64) -> io::Result<()> {
        let last = size_bytes.div_ceil(REGION_BYTES as u64).saturating_sub(1);
        self.content.map(usize::try_from(last).map_err(io::Error::other)?).map(|_| ())
    }

    fn map(&self, region: u32) -> io::Result<Region> {
        let region = usize::try_from(region).map_err(io::Error::other)?;
        Ok(Region::shared(self.content.map(region)?))
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mapped = !self.content.regions.borrow().is_empty();
        let copy = if mapped { Some(self.content.to_bytes()) } else { None };
        let bytes = self.content.bytes.borrow();
        let content = copy.as_ref().unwrap_or(&bytes);
        let rest = usize::try_from(offset).ok().and_then(|o| content.get(o..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..read), rest.get(..read)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let full = || self.too_large(Verb::Write, offset);
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
        ShmFile::truncate(self, size_bytes).map_err(self.failed(Verb::Truncate))
    }

    fn sync(&self, _kind: SyncKind) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.content.size() as u64)
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        self.locks.raise(self, level).map_err(self.failed(Verb::Lock))
    }

    fn unlock(&self, level: LockLevel) -> Result<()> {
        self.locks.lower(self, level).map_err(self.failed(Verb::Lock))
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        self.holder(&bytes, wanted).map_err(self.failed(Verb::Lock))
    }

    fn lock_bytes(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        self.set(&bytes, Some(mode)).map_err(self.failed(Verb::Lock))
    }

    fn unlock_bytes(&self, bytes: Range<u64>) -> Result<()> {
        self.clear(&bytes).map_err(self.failed(Verb::Lock))
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn shm_map(&self, region: u32, extend: Extend) -> Result<ShmMap> {
        let open = || {
            let path = self.shm_path();
            let content = Rc::clone(self.files.borrow_mut().entry(path.clone()).or_default());
            Ok(Shm::new(Box::new(Self::new(&path, content, Rc::clone(&self.files)))))
        };
        let failed = |verb, source| self.failed(verb)(source);
        self.locks.map(open, (region, extend), failed)
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
        if self.locks.leave_shm().is_some() && delete == DeleteShm::Yes {
            self.files.borrow_mut().remove(&self.shm_path());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{OpenMode, SyncDirectory, Vfs};

    #[test]
    fn a_deleted_file_lives_on_as_long_as_its_handle() {
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

    #[test]
    fn handles_exclude_each_other_and_see_one_wal_index() {
        let vfs = MemoryVfs::default();
        let path = Path::new("/x.db");
        let one = vfs.open(path, OpenMode::Create).unwrap();
        let two = vfs.open(path, OpenMode::Create).unwrap();
        for file in [&one, &two] {
            assert_eq!(file.lock(LockLevel::Shared).unwrap(), Locked::Granted);
        }
        assert!(matches!(one.shm_map(0, Extend::No).unwrap(), ShmMap::Absent(_)));
        let ShmMap::Mapped(region, _) = one.shm_map(0, Extend::Yes).unwrap() else { panic!() };
        region.words()[7].store(5, Ordering::Relaxed);
        let ShmMap::Mapped(other, _) = two.shm_map(0, Extend::No).unwrap() else { panic!() };
        assert_eq!(other.words()[7].load(Ordering::Relaxed), 5);
        assert_eq!(one.shm_lock(120..121, LockMode::Exclusive).unwrap(), Locked::Granted);
        assert_eq!(two.shm_lock(120..121, LockMode::Shared).unwrap(), Locked::Busy);
        one.shm_unlock(120..121, LockMode::Exclusive).unwrap();
        assert_eq!(two.shm_lock(120..121, LockMode::Shared).unwrap(), Locked::Granted);
        // Somebody is attached: EXCLUSIVE is refused even though his database lock is lost.
        two.unlock(LockLevel::None).unwrap();
        assert_eq!(one.lock(LockLevel::Exclusive).unwrap(), Locked::Busy);
        drop(two);
        assert_eq!(one.lock(LockLevel::Exclusive).unwrap(), Locked::Granted);
    }
}
