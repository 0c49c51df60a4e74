//! A part of a file in memory, that moves with whoever reads it from front to end.

use std::ops::Range;

use crate::scan::Error;
use crate::storage::File;

/// Bytes that one read asks for: many slots, so that going back by one costs little.
const CHUNK_BYTES: usize = 1 << 20;

/// Some bytes of a file, from an offset on.
pub(super) struct ByteWindow<'a> {
    file: &'a dyn File,
    /// Bytes of the file that count.
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> ByteWindow<'a> {
    /// Over the first `end` bytes of a file.
    pub(super) fn new(file: &'a dyn File, end: u64) -> Self {
        Self { file, end, start: 0, bytes: Vec::new() }
    }

    /// The bytes from `offset` on, `len` or as many as the file has. More of them are read where
    /// they are not there yet.
    pub(super) fn at(&mut self, offset: u64, len: usize) -> Result<&[u8], Error> {
        let wanted = offset..self.end.min(offset.saturating_add(len as u64));
        if wanted.is_empty() {
            return Ok(&[]);
        }
        if wanted.start < self.start || wanted.end > self.start + self.bytes.len() as u64 {
            self.load(offset, len.max(CHUNK_BYTES))?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let known = self.bytes.get(from..).unwrap_or_default();
        Ok(known.split_at(len.min(known.len())).0)
    }

    /// What is in memory from `offset` on, at least `least` bytes unless the file ends before.
    pub(super) fn rest(&mut self, offset: u64, least: usize) -> Result<&[u8], Error> {
        self.at(offset, least)?;
        let from = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..).unwrap_or_default())
    }

    fn load(&mut self, offset: u64, len: usize) -> Result<(), Error> {
        let Range { start, end } = offset..self.end.min(offset.saturating_add(len as u64));
        let len = usize::try_from(end - start).map_err(|_| Error::OutOfMemory)?;
        if self.bytes.len() < len {
            self.bytes.try_reserve(len - self.bytes.len()).map_err(|_| Error::OutOfMemory)?;
        }
        self.bytes.resize(len, 0);
        let read = self.file.read_at(&mut self.bytes, start)?;
        self.bytes.truncate(read);
        self.start = start;
        Ok(())
    }
}
