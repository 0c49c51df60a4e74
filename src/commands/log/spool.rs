//! Entries that are kept until all are known: in memory, and from a size on in an unnamed file.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use anyhow::Result;
use tempfile::SpooledTempFile;

use crate::output::ItemStream;

use super::entry::Rendered;

/// Bytes that are kept in memory.
const MEMORY_BYTES: usize = 1 << 20;

/// Entries, newest first.
pub(super) struct Spool {
    file: SpooledTempFile,
    end_bytes: u64,
    /// Where the parts of each entry are: before its rows, the rows, after them.
    entries: Vec<[Range<u64>; 3]>,
}

/// The rows of an entry while they are written.
pub(super) struct Rows<'s> {
    spool: &'s mut Spool,
    start_bytes: u64,
    is_empty: bool,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self { file: SpooledTempFile::new(MEMORY_BYTES), end_bytes: 0, entries: Vec::new() }
    }

    /// Begins an entry.
    pub(super) fn begin(&mut self) -> Rows<'_> {
        let start_bytes = self.end_bytes;
        Rows { spool: self, start_bytes, is_empty: true }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<Range<u64>> {
        let start = self.end_bytes;
        self.file.write_all(bytes)?;
        self.end_bytes += bytes.len() as u64;
        Ok(start..self.end_bytes)
    }

    fn get(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.file).take(range.end - range.start).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes all entries: oldest first, or newest first.
    pub(super) fn write(
        &mut self,
        newest_first: bool,
        stream: &mut ItemStream<'_, '_>,
    ) -> Result<()> {
        let mut entries = std::mem::take(&mut self.entries);
        if !newest_first {
            entries.reverse();
        }
        for parts in entries {
            stream.rendered(&mut parts.into_iter().map(|part| self.get(part)))?;
        }
        Ok(())
    }
}

impl Rows<'_> {
    /// Whether no row was written.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Where the next row is written.
    pub(super) fn next(&mut self) -> &mut dyn Write {
        self.is_empty = false;
        self
    }

    /// Ends the entry; without a head, it is forgotten.
    pub(super) fn end(self, head: Option<Rendered>) -> Result<()> {
        let spool = self.spool;
        let rows = self.start_bytes..spool.end_bytes;
        let Some([before, after]) = head else {
            spool.file.seek(SeekFrom::Start(self.start_bytes))?;
            spool.end_bytes = self.start_bytes;
            return Ok(());
        };
        let entry = [spool.put(&before)?, rows, spool.put(&after)?];
        spool.entries.push(entry);
        Ok(())
    }
}

impl Write for Rows<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spool.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
