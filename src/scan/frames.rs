//! Chunked reading of the slots of a log.

use std::ops::ControlFlow;
use std::vec;

use crate::format::{FrameNo, PageSize, WAL_HEADER_BYTES};
use crate::storage::{self, File};

/// Bytes that one read asks for, rounded down to whole slots.
const CHUNK_BYTES: u64 = 1 << 20;

/// The slots of a log by its size; nothing is judged beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Page size of the log.
    pub page_size: PageSize,
    /// Size of the file when it was sampled.
    pub file_bytes: u64,
    /// Whole slots behind the header.
    pub slot_frames: u32,
    /// Bytes behind the last whole slot.
    pub trailing_bytes: u64,
}

impl Extent {
    /// The slots of a file of `file_bytes`; `None` with more frames than SQLite can number (2^31).
    #[must_use]
    pub fn of(file_bytes: u64, page_size: PageSize) -> Option<Self> {
        let body_bytes = file_bytes.saturating_sub(WAL_HEADER_BYTES as u64);
        let slots = u32::try_from(body_bytes / page_size.slot_bytes()).ok()?;
        (slots < 1 << 31).then_some(Self {
            page_size,
            file_bytes,
            slot_frames: slots,
            trailing_bytes: body_bytes % page_size.slot_bytes(),
        })
    }

    /// The slot that begins at or behind the end of the file's whole slots.
    #[must_use]
    pub fn end(&self) -> FrameNo {
        FrameNo(self.slot_frames + 1)
    }
}

/// Who watches a scan: shows progress and may stop it.
pub trait Watch {
    /// Called between chunks; `Break` stops the scan with [`Error::Interrupted`].
    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()>;

    /// Whether whoever watches wants to stop: for work that has no bytes to count.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Watches nothing and never stops a scan.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Watch for Nobody {
    fn scanned(&self, _done_bytes: u64, _total_bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Why a scan ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The file became shorter than it was when the scan began.
    #[error("{path}: frame {frame} at offset {offset_bytes}: the file was cut during the scan")]
    Shrunk {
        /// The log.
        path: String,
        /// First frame that could not be read whole.
        frame: FrameNo,
        /// Its offset.
        offset_bytes: u64,
    },
    /// There is no memory for a chunk.
    #[error("out of memory")]
    OutOfMemory,
    /// The watcher asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Reads whole slots in file order, as many at once as a chunk holds.
pub struct Chunks<'a> {
    file: &'a dyn File,
    extent: Extent,
    next: FrameNo,
    end: FrameNo,
    chunk: Vec<u8>,
}

impl<'a> Chunks<'a> {
    /// Reads the whole slots `frames` of `file`, as far as `extent` goes.
    pub fn new(file: &'a dyn File, extent: Extent, frames: std::ops::Range<FrameNo>) -> Self {
        let next = frames.start.max(FrameNo::FIRST);
        Self { file, extent, next, end: frames.end.min(extent.end()), chunk: Vec::new() }
    }

    /// The frame that the next chunk begins with.
    #[must_use]
    pub fn position(&self) -> FrameNo {
        self.next
    }

    /// The next run of slots and the frame it begins with; `None` behind the last.
    ///
    /// # Errors
    /// When reading fails, the file has become shorter, or there is no memory for a chunk.
    pub fn read(&mut self) -> Result<Option<(FrameNo, &[u8])>, Error> {
        let first = self.next;
        if first >= self.end {
            return Ok(None);
        }
        let page_size = self.extent.page_size;
        let left = u64::from(self.end.0 - first.0);
        let slots = left.min((CHUNK_BYTES / page_size.slot_bytes()).max(1));
        let slot_len = page_size.in_memory() + crate::format::FRAME_HEADER_BYTES;
        // `slots` times a slot is at most 1 MiB, or one slot.
        let chunk_len = slot_len * usize::try_from(slots).unwrap_or(1);
        if self.chunk.len() < chunk_len {
            let more = chunk_len - self.chunk.len();
            self.chunk.try_reserve_exact(more).map_err(|_| Error::OutOfMemory)?;
        }
        self.chunk.resize(chunk_len, 0);
        let offset_bytes = first.offset_bytes(page_size);
        let read = self.file.read_at(&mut self.chunk, offset_bytes)?;
        let whole = read / slot_len;
        if whole == 0 {
            self.end = first;
            let path = self.file.path().display().to_string();
            return Err(Error::Shrunk { path, frame: first, offset_bytes });
        }
        self.next = FrameNo(first.0.saturating_add(u32::try_from(whole).unwrap_or(u32::MAX)));
        Ok(Some((first, self.chunk.split_at(whole * slot_len).0)))
    }
}

/// Reads slots in file order and maps each, one chunk at a time.
pub struct Frames<'a, T, M> {
    chunks: Chunks<'a>,
    watch: &'a dyn Watch,
    map: M,
    mapped: vec::IntoIter<T>,
    failed: bool,
}

impl<'a, T, M: FnMut(FrameNo, &[u8]) -> T> Frames<'a, T, M> {
    /// Reads the whole slots `first..end` of `file`; `map` sees each slot's header and image.
    pub fn new(
        file: &'a dyn File,
        extent: Extent,
        frames: std::ops::Range<FrameNo>,
        watch: &'a dyn Watch,
        map: M,
    ) -> Self {
        let chunks = Chunks::new(file, extent, frames);
        Self { chunks, watch, map, mapped: Vec::new().into_iter(), failed: false }
    }

    /// Whether there was a chunk to read.
    fn read_chunk(&mut self) -> Result<bool, Error> {
        let extent = self.chunks.extent;
        let slot_len = extent.page_size.in_memory() + crate::format::FRAME_HEADER_BYTES;
        if self.chunks.position() >= self.chunks.end {
            return Ok(false);
        }
        let offset = self.chunks.position().offset_bytes(extent.page_size);
        if self.watch.scanned(offset, extent.file_bytes).is_break() {
            return Err(Error::Interrupted);
        }
        let Some((mut frame, slots)) = self.chunks.read()? else { return Ok(false) };
        let mut mapped = Vec::with_capacity(slots.len() / slot_len);
        for slot in slots.chunks_exact(slot_len) {
            mapped.push((self.map)(frame, slot));
            frame = frame.next();
        }
        self.mapped = mapped.into_iter();
        Ok(true)
    }
}

impl<T, M: FnMut(FrameNo, &[u8]) -> T> Iterator for Frames<'_, T, M> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.mapped.next() {
                return Some(Ok(item));
            }
            if self.failed {
                return None;
            }
            match self.read_chunk() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryFile;

    fn log_of(slots: u32) -> MemoryFile {
        let mut bytes = vec![0; WAL_HEADER_BYTES];
        for frame in 1..=slots {
            bytes.extend_from_slice(&frame.to_be_bytes());
            bytes.resize(WAL_HEADER_BYTES + 536 * frame as usize, 0);
        }
        MemoryFile::with_bytes(bytes)
    }

    #[test]
    fn every_slot_is_read_once_and_in_order_across_chunk_borders() {
        let file = log_of(5000);
        let extent = Extent::of(file.size().unwrap() + 17, PageSize::ALL[0]).unwrap();
        assert_eq!((extent.slot_frames, extent.trailing_bytes), (5000, 17));
        let pages = Frames::new(&file, extent, FrameNo(3)..FrameNo(6000), &Nobody, |no, slot| {
            assert_eq!(slot[..4], no.0.to_be_bytes());
            no.0
        });
        let seen: Vec<u32> = pages.map(Result::unwrap).collect();
        assert_eq!(seen, (3..=5000).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_cut_during_the_scan_is_an_error() {
        let file = log_of(10);
        let extent = Extent::of(file.size().unwrap() + 536, PageSize::ALL[0]).unwrap();
        let frames = Frames::new(&file, extent, FrameNo(1)..extent.end(), &Nobody, |no, _| no);
        let results: Vec<_> = frames.collect();
        assert_eq!(results.len(), 11);
        assert!(matches!(results[10], Err(Error::Shrunk { frame: FrameNo(11), .. })));
    }
}
