//! A file system that fails, tears, or loses power, on demand.
//!
//! [`FaultVfs`] wraps another file system and counts every call that can fail. A [`Fault`] names
//! the call that goes wrong and how. Whatever was written is kept in two layers: what a sync has
//! made durable, and what has not reached the disk yet; [`FaultVfs::crash_image`] gives the files
//! as a power loss at this moment leaves them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Access, DeleteShm, DeviceCharacteristics, Error, Extend, File, FileControl, LockHolder,
    LockLevel, LockMode, Locked, NewFile, OpenMode, Result, ShmMap, SyncDirectory, SyncKind, Verb,
    Vfs,
};

mod disk;
mod new_file;

use disk::{Chance, Change, Disk};
pub use disk::{SECTOR_BYTES, Unsynced};
use new_file::FaultNewFile;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It fails and does nothing.
    Fail,
    /// A write fails after this many bytes; other calls fail.
    ShortWrite(usize),
    /// A write, truncation or mapping finds the disk full; other calls work.
    DiskFull,
    /// The power goes: this call and all after it do nothing.
    PowerLoss,
}

/// Which call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The call, counted from 1.
    pub call: u64,
    /// How.
    pub kind: FaultKind,
    /// Whether calls after it go wrong, too.
    pub persistent: bool,
}

#[derive(Debug, Default)]
struct State {
    calls: Cell<u64>,
    fault: Cell<Option<Fault>>,
    off: Cell<bool>,
    disks: RefCell<BTreeMap<PathBuf, Disk>>,
    /// How often a fault really hit a call.
    hits: Cell<u64>,
}

/// A file system with faults; clones share them.
#[derive(Clone, Debug)]
pub struct FaultVfs<V> {
    inner: V,
    state: Rc<State>,
}

#[derive(Debug)]
struct FaultFile {
    inner: Box<dyn File>,
    path: Arc<Path>,
    state: Rc<State>,
}

/// What becomes of a call.
enum Fate {
    Works,
    Short(usize),
}

impl State {
    /// Counts a call and decides about it.
    fn call(&self, verb: Verb, path: &Path) -> Result<Fate> {
        let failed = |kind: io::ErrorKind| Err(Error::new(verb, path, kind.into()));
        self.calls.set(self.calls.get() + 1);
        if self.off.get() {
            return failed(io::ErrorKind::Other);
        }
        let Some(fault) = self.fault.get() else { return Ok(Fate::Works) };
        let comes_after = fault.persistent && self.calls.get() > fault.call;
        if self.calls.get() != fault.call && !comes_after {
            return Ok(Fate::Works);
        }
        let takes_space = matches!(verb, Verb::Write | Verb::Truncate | Verb::ShmMap);
        match fault.kind {
            FaultKind::DiskFull if !takes_space => return Ok(Fate::Works),
            FaultKind::ShortWrite(bytes) if verb == Verb::Write => {
                self.hits.set(self.hits.get() + 1);
                return Ok(Fate::Short(bytes));
            }
            FaultKind::PowerLoss => self.off.set(true),
            FaultKind::Fail | FaultKind::ShortWrite(_) | FaultKind::DiskFull => {}
        }
        self.hits.set(self.hits.get() + 1);
        match fault.kind {
            FaultKind::DiskFull => failed(io::ErrorKind::StorageFull),
            FaultKind::Fail | FaultKind::ShortWrite(_) | FaultKind::PowerLoss => {
                failed(io::ErrorKind::Other)
            }
        }
    }

    fn adopt(&self, path: &Path, file: &dyn File) -> Result<()> {
        self.disks.borrow_mut().entry(path.to_owned()).or_default().adopt(file)
    }

    fn change(&self, path: &Path, change: Change) {
        self.disks.borrow_mut().entry(path.to_owned()).or_default().change(change);
    }
}

impl<V: Vfs> FaultVfs<V> {
    /// Wraps `inner`, without a fault. Files that are there already count as durable.
    pub fn new(inner: V) -> Self {
        Self { inner, state: Rc::default() }
    }

    /// Plans a fault, or none; calls are counted from 1 again.
    pub fn plan(&self, fault: Option<Fault>) {
        self.state.fault.set(fault);
        self.state.calls.set(0);
        self.state.hits.set(0);
        self.state.off.set(false);
    }

    /// Calls since the last plan.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.calls.get()
    }

    /// Calls that went wrong since the last plan.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.state.hits.get()
    }

    /// The files after a power loss at this moment. Files of the wal-index are not among them: a
    /// file that is never synced is worth nothing after a crash.
    #[must_use]
    pub fn crash_image(&self, unsynced: Unsynced) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut chance = Chance::of(unsynced);
        let disks = self.state.disks.borrow();
        let files = disks.iter().filter_map(|(path, disk)| {
            disk.after_crash(&mut chance).map(|bytes| (path.clone(), bytes))
        });
        files.collect()
    }
}

impl<V: Vfs> Vfs for FaultVfs<V> {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>> {
        self.state.call(Verb::Open, path)?;
        let existed = self.inner.exists(path)?;
        let inner = self.inner.open(path, mode)?;
        if existed {
            self.state.adopt(path, inner.as_ref())?;
        } else {
            self.state.disks.borrow_mut().insert(path.to_owned(), Disk::default());
        }
        Ok(Box::new(FaultFile { inner, path: path.into(), state: Rc::clone(&self.state) }))
    }

    fn delete(&self, path: &Path, sync: SyncDirectory) -> Result<()> {
        self.state.call(Verb::Delete, path)?;
        self.inner.delete(path, sync)?;
        let mut disks = self.state.disks.borrow_mut();
        match sync {
            SyncDirectory::Yes => {
                disks.remove(path);
            }
            SyncDirectory::No => {
                if let Some(disk) = disks.get_mut(path) {
                    disk.deleted = true;
                }
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.state.call(Verb::Rename, from)?;
        let file = self.inner.open(from, OpenMode::ReadOnly)?;
        self.state.adopt(from, file.as_ref())?;
        self.inner.rename(from, to)?;
        let mut disks = self.state.disks.borrow_mut();
        if let Some(mut disk) = disks.remove(from) {
            disk.named = true;
            disks.insert(to.to_owned(), disk);
        }
        Ok(())
    }

    fn new_file(&self, target: &Path) -> Result<Box<dyn NewFile>> {
        self.state.call(Verb::Open, target)?;
        let inner = self.inner.new_file(target)?;
        Ok(Box::new(FaultNewFile::new(inner, target, Rc::clone(&self.state))))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.state.call(Verb::Access, path)?;
        self.inner.exists(path)
    }

    fn full_path(&self, path: &Path) -> Result<PathBuf> {
        self.inner.full_path(path)
    }

    fn randomness(&self, buffer: &mut [u8]) -> Result<()> {
        self.state.call(Verb::Randomness, Path::new(""))?;
        self.inner.randomness(buffer)
    }

    fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration);
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }
}

impl FaultFile {
    fn call(&self, verb: Verb) -> Result<Fate> {
        self.state.call(verb, &self.path)
    }
}

impl File for FaultFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.call(Verb::Read)?;
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = match self.call(Verb::Write)? {
            Fate::Works => bytes,
            Fate::Short(short) => bytes.get(..short).unwrap_or(bytes),
        };
        self.inner.write_at(written, offset)?;
        self.state.change(&self.path, Change::Write { offset, bytes: written.to_vec() });
        if written.len() < bytes.len() {
            let full = io::ErrorKind::StorageFull.into();
            return Err(Error::at(Verb::Write, Arc::clone(&self.path), offset, full));
        }
        Ok(())
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.call(Verb::Truncate)?;
        self.inner.truncate(size_bytes)?;
        self.state.change(&self.path, Change::Truncate { size_bytes });
        Ok(())
    }

    fn sync(&self, kind: SyncKind) -> Result<()> {
        self.call(Verb::Sync)?;
        self.inner.sync(kind)?;
        let mut disks = self.state.disks.borrow_mut();
        let disk = disks.entry(self.path.to_path_buf()).or_default();
        disk.settle();
        // The first sync of a new file makes its name durable, too (os_unix.c unixSync).
        disk.named = true;
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        self.call(Verb::Size)?;
        self.inner.size()
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        self.call(Verb::Lock)?;
        self.inner.lock(level)
    }

    fn unlock(&self, level: LockLevel) -> Result<()> {
        self.inner.unlock(level)
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        self.call(Verb::Lock)?;
        self.inner.lock_holder(bytes, wanted)
    }

    fn lock_bytes(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        self.call(Verb::Lock)?;
        self.inner.lock_bytes(bytes, mode)
    }

    fn unlock_bytes(&self, bytes: Range<u64>) -> Result<()> {
        self.inner.unlock_bytes(bytes)
    }

    fn modified(&self) -> Result<Option<Duration>> {
        self.call(Verb::Size)?;
        self.inner.modified()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn access(&self) -> Access {
        self.inner.access()
    }

    fn sector_bytes(&self) -> u32 {
        self.inner.sector_bytes()
    }

    fn most_write_bytes(&self) -> usize {
        self.inner.most_write_bytes()
    }

    fn device_characteristics(&self) -> DeviceCharacteristics {
        self.inner.device_characteristics()
    }

    fn file_control(&self, hint: FileControl) -> Result<()> {
        self.inner.file_control(hint)
    }

    fn has_moved(&self) -> Result<bool> {
        self.call(Verb::FileControl)?;
        self.inner.has_moved()
    }

    fn persists_wal(&self) -> bool {
        self.inner.persists_wal()
    }

    fn shm_map(&self, region: u32, extend: Extend) -> Result<ShmMap> {
        self.call(Verb::ShmMap)?;
        self.inner.shm_map(region, extend)
    }

    fn shm_lock(&self, bytes: Range<u64>, mode: LockMode) -> Result<Locked> {
        self.call(Verb::ShmLock)?;
        self.inner.shm_lock(bytes, mode)
    }

    fn shm_unlock(&self, bytes: Range<u64>, mode: LockMode) -> Result<()> {
        // A lock that could not be dropped would be held by nobody: the kernel drops them with the
        // process.
        self.inner.shm_unlock(bytes, mode)
    }

    fn shm_downgrade(&self, bytes: Range<u64>) -> Result<Locked> {
        self.call(Verb::ShmLock)?;
        self.inner.shm_downgrade(bytes)
    }

    fn shm_unlock_all(&self, locks: &[(Range<u64>, LockMode)]) -> Result<()> {
        self.inner.shm_unlock_all(locks)
    }

    fn shm_barrier(&self) {
        self.inner.shm_barrier();
    }

    fn shm_unmap(&self, delete: DeleteShm) -> Result<()> {
        if self.state.off.get() {
            return self.inner.shm_unmap(DeleteShm::No);
        }
        self.inner.shm_unmap(delete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryVfs;

    fn image(vfs: &FaultVfs<MemoryVfs>, unsynced: Unsynced) -> Option<Vec<u8>> {
        vfs.crash_image(unsynced).remove(Path::new("/x"))
    }

    #[test]
    fn only_what_was_synced_survives_for_sure() {
        let vfs = FaultVfs::new(MemoryVfs::default());
        let file = vfs.open(Path::new("/x"), OpenMode::Create).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        assert_eq!(image(&vfs, Unsynced::Lost), None);
        file.sync(SyncKind::Normal).unwrap();
        file.write_at(&[2; 1024], 512).unwrap();
        file.truncate(1100).unwrap();
        assert_eq!(image(&vfs, Unsynced::Lost).unwrap(), [1; 1024]);
        let kept = image(&vfs, Unsynced::Kept).unwrap();
        assert_eq!((kept.len(), kept[511], kept[512]), (1100, 1, 2));
        let torn: std::collections::BTreeSet<Vec<u8>> =
            (0..64).filter_map(|seed| image(&vfs, Unsynced::Torn { seed })).collect();
        // Two sectors and one cut, each there or not; some of the eight look alike.
        assert!(torn.len() >= 5, "{}", torn.len());
        assert!(torn.iter().all(|bytes| bytes[..512] == [1; 512]));
    }

    #[test]
    fn a_planned_fault_hits_the_call_that_it_names() {
        let vfs = FaultVfs::new(MemoryVfs::default());
        let file = vfs.open(Path::new("/x"), OpenMode::Create).unwrap();
        let at = |call, kind| vfs.plan(Some(Fault { call, kind, persistent: false }));
        at(2, FaultKind::ShortWrite(3));
        file.write_at(b"abcdef", 0).unwrap();
        assert!(file.write_at(b"ABCDEF", 0).is_err());
        let mut buffer = [0; 6];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 6);
        assert_eq!((&buffer, vfs.hits()), (b"ABCdef", 1));
        at(1, FaultKind::DiskFull);
        assert_eq!(file.size().unwrap(), 6);
        at(1, FaultKind::PowerLoss);
        assert!(file.size().is_err() && file.size().is_err());
    }
}
