//! A file as it would be after some writes, which stay in memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::{File, LockHolder, LockLevel, LockMode, Locked, Result, SyncKind};

/// A file that is never written: writes go into memory, and reads see them. Locks and questions
/// about them go to the file itself.
#[derive(Debug)]
pub struct Overlay {
    base: Box<dyn File>,
    /// Bytes of the base that count.
    base_bytes: Cell<u64>,
    bytes: Cell<u64>,
    /// Writes by offset. A later write at the same offset replaces the earlier one; they do not
    /// overlap in any other way.
    writes: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl Overlay {
    /// Begins with the content of `base`.
    ///
    /// # Errors
    /// When its size is not known.
    pub fn new(base: Box<dyn File>) -> Result<Self> {
        let bytes = base.size()?;
        let size = Cell::new(bytes);
        Ok(Self { base, base_bytes: size.clone(), bytes: size, writes: RefCell::default() })
    }

    /// Offsets of all writes, ascending.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.writes.borrow().keys().copied().collect()
    }
}

impl File for Overlay {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let room = self.bytes.get().saturating_sub(offset);
        let wanted = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let (buffer, _) = buffer.split_at_mut(wanted);
        let in_base = self.base_bytes.get().saturating_sub(offset);
        let in_base = usize::try_from(in_base).unwrap_or(usize::MAX).min(wanted);
        let (from_base, after) = buffer.split_at_mut(in_base);
        let read = self.base.read_at(from_base, offset)?;
        from_base.iter_mut().skip(read).for_each(|byte| *byte = 0);
        after.fill(0);
        let end = offset + wanted as u64;
        for (&start, bytes) in self.writes.borrow().range(..end) {
            let written_end = start + bytes.len() as u64;
            if written_end <= offset {
                continue;
            }
            // The part that both have.
            let (first, last) = (start.max(offset), written_end.min(end));
            let range = |from: u64| {
                usize::try_from(first - from).ok().zip(usize::try_from(last - from).ok())
            };
            if let (Some((a, b)), Some((c, d))) = (range(offset), range(start))
                && let (Some(to), Some(from)) = (buffer.get_mut(a..b), bytes.get(c..d))
            {
                to.copy_from_slice(from);
            }
        }
        Ok(wanted)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.writes.borrow_mut().insert(offset, bytes.to_vec());
        self.bytes.set(self.bytes.get().max(offset + bytes.len() as u64));
        Ok(())
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.bytes.set(size_bytes);
        self.base_bytes.set(self.base_bytes.get().min(size_bytes));
        self.writes.borrow_mut().retain(|&offset, _| offset < size_bytes);
        Ok(())
    }

    fn sync(&self, _kind: SyncKind) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.bytes.get())
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>> {
        let in_base = match offset < self.base_bytes.get() {
            true => self.base.next_data(offset)?.filter(|&at| at < self.base_bytes.get()),
            false => None,
        };
        let writes = self.writes.borrow();
        let before = writes.range(..=offset).next_back();
        let inside = before.filter(|(start, bytes)| *start + bytes.len() as u64 > offset);
        let next = inside.map(|_| offset).or(writes.range(offset..).next().map(|(&at, _)| at));
        let found = in_base.into_iter().chain(next).min();
        Ok(found.filter(|&at| at < self.bytes.get()))
    }

    fn lock(&self, level: LockLevel) -> Result<Locked> {
        self.base.lock(level)
    }

    fn unlock(&self, level: LockLevel) -> Result<()> {
        self.base.unlock(level)
    }

    fn lock_holder(&self, bytes: Range<u64>, wanted: LockMode) -> Result<Option<LockHolder>> {
        self.base.lock_holder(bytes, wanted)
    }

    fn path(&self) -> &Path {
        self.base.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryFile;

    #[test]
    fn it_reads_as_the_file_would_after_the_writes() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..200 {
            let mut bytes: Vec<u8> = (0..random.usize(0..4000)).map(|_| random.u8(..)).collect();
            let overlay = Overlay::new(Box::new(MemoryFile::with_bytes(bytes.clone()))).unwrap();
            for _ in 0..8 {
                let page = random.usize(0..10);
                if random.bool() {
                    let image = vec![random.u8(..); 512];
                    bytes.resize(bytes.len().max(page * 512 + 512), 0);
                    bytes[page * 512..page * 512 + 512].copy_from_slice(&image);
                    overlay.write_at(&image, page as u64 * 512).unwrap();
                } else {
                    bytes.resize(page * 512, 0);
                    overlay.truncate(page as u64 * 512).unwrap();
                }
                let start = random.usize(0..5000);
                let mut found = vec![1; random.usize(0..5000)];
                let read = overlay.read_at(&mut found, start as u64).unwrap();
                let wanted = bytes.get(start..).unwrap_or_default();
                assert_eq!(found[..read], wanted[..wanted.len().min(found.len())]);
                assert_eq!(overlay.size().unwrap(), bytes.len() as u64);
                // Everything before the next data is zero.
                let next = overlay.next_data(start as u64).unwrap().unwrap_or(bytes.len() as u64);
                let hole = bytes.get(start..usize::try_from(next).unwrap()).unwrap_or_default();
                assert!(hole.iter().all(|&byte| byte == 0));
            }
        }
    }
}
