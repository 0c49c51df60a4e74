//! Chunked reading of the slots of a log, in file order.

use std::ops::Range;
use std::vec;

use crate::format::FrameNo;
use crate::storage::File;

use super::crew::{Crew, Job};
use super::slots::{Error, Extent, SlotBuffer, map_slots};
use super::watch::Watch;

/// Bytes that one read asks for, rounded down to whole slots. Reads of a short range are shorter:
/// it costs more to touch a large buffer for the first time than to read twice.
const CHUNK_BYTES: std::ops::RangeInclusive<u64> = 1 << 17..=1 << 19;
/// Reads that a range is cut into at least, as far as [`CHUNK_BYTES`] allows.
const LEAST_CHUNKS: u64 = 16;

/// Reads whole slots in file order, as many at once as a chunk holds, and by itself.
pub struct Chunks<'a> {
    file: &'a dyn File,
    reader: ChunkReader,
}

impl<'a> Chunks<'a> {
    /// Reads the whole slots `frames` of `file`, as far as `extent` goes.
    pub fn new(file: &'a dyn File, extent: Extent, frames: Range<FrameNo>) -> Self {
        Self { file, reader: ChunkReader::new(extent, frames) }
    }

    /// The next run of slots and the frame it begins with; `None` after the last.
    ///
    /// # Errors
    /// When reading fails, the file has become shorter, or there is no memory for a chunk.
    pub fn read(&mut self) -> Result<Option<(FrameNo, &[u8])>, Error> {
        self.reader.read(self.file)
    }
}

/// The place up to which [`Chunks`] have been read, and the memory for them.
#[derive(Debug)]
struct ChunkReader {
    extent: Extent,
    next: FrameNo,
    end: FrameNo,
    slots_a_chunk: u32,
    buffer: SlotBuffer,
}

impl ChunkReader {
    fn new(extent: Extent, frames: Range<FrameNo>) -> Self {
        let next = frames.start.max(FrameNo::FIRST);
        let end = frames.end.min(extent.end());
        let bytes = u64::from(end.0.saturating_sub(next.0)) * extent.page_size.slot_bytes();
        let chunk_bytes = (bytes / LEAST_CHUNKS).clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end());
        let slots_a_chunk = extent.slots_in(chunk_bytes);
        Self { extent, next, end, slots_a_chunk, buffer: SlotBuffer::default() }
    }

    fn read(&mut self, file: &dyn File) -> Result<Option<(FrameNo, &[u8])>, Error> {
        let first = self.next;
        if first >= self.end {
            return Ok(None);
        }
        let slots = self.slots_a_chunk.min(self.end.0 - first.0);
        let frames = first..FrameNo(first.0 + slots);
        let read = |buffer: &mut [u8], offset| file.read_at(buffer, offset);
        let path = || file.path().display().to_string();
        let slots = self.buffer.fill(&self.extent, frames, read, path).inspect_err(|_| {
            self.end = first;
        })?;
        let whole = u32::try_from(slots.len() / self.extent.slot_len()).unwrap_or(u32::MAX);
        self.next = FrameNo(first.0.saturating_add(whole));
        Ok(Some((first, slots)))
    }
}

/// Who reads and maps the chunks.
enum Readers<T, M> {
    /// The caller.
    Caller(ChunkReader, M),
    /// The caller, and threads beside it.
    Crew(Crew<T, M>),
}

/// Reads slots, maps each, and gives what they map to in file order. Where the file can be shared
/// and is long enough, threads do that chunk by chunk; what comes out is the same.
///
/// It borrows nothing between two calls. Where nothing else is needed of the file meanwhile,
/// [`Frames`] is simpler.
pub struct Scan<T, M> {
    readers: Readers<T, M>,
    extent: Extent,
    mapped: vec::IntoIter<T>,
    /// Comes after what was mapped; nothing comes after it.
    error: Option<Error>,
    ended: bool,
}

impl<T, M> Scan<T, M>
where
    T: Send + 'static,
    M: Fn(FrameNo, &[u8]) -> T + Clone + Send + 'static,
{
    /// Reads the whole slots `frames` of `file`; `map` sees each slot's header and image.
    pub fn new(file: &dyn File, extent: Extent, frames: Range<FrameNo>, map: M) -> Self {
        let frames = frames.start.max(FrameNo::FIRST)..frames.end.min(extent.end());
        let slots = frames.end.0.saturating_sub(frames.start.0);
        let bytes = u64::from(slots) * extent.page_size.slot_bytes();
        let crew = file.shared().and_then(|reader| {
            let threads = reader.spread.threads(bytes);
            let job = Job { reader, extent, frames: frames.clone() };
            (threads > 1).then(|| job.hire(threads, &map))
        });
        let readers = match crew {
            Some(crew) => Readers::Crew(crew),
            None => Readers::Caller(ChunkReader::new(extent, frames), map),
        };
        let mapped = Vec::new().into_iter();
        Self { readers, extent, mapped, error: None, ended: false }
    }

    /// The next slot of `file`, which is the one that the scan began with; `None` after the last
    /// and after an error.
    ///
    /// # Errors
    /// When reading fails, the file has become shorter, there is no memory for a chunk, or `watch`
    /// stops it.
    pub fn next(&mut self, file: &dyn File, watch: &dyn Watch) -> Option<Result<T, Error>> {
        loop {
            if let Some(item) = self.mapped.next() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            let result = match self.error.take() {
                Some(error) => Err(error),
                None => self.read_chunk(file, watch),
            };
            match result {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Whether there was a chunk to read.
    fn read_chunk(&mut self, file: &dyn File, watch: &dyn Watch) -> Result<bool, Error> {
        let position = match &self.readers {
            Readers::Caller(chunks, _) => (chunks.next < chunks.end).then_some(chunks.next),
            Readers::Crew(crew) => crew.position(),
        };
        let Some(position) = position else { return Ok(false) };
        let offset = position.offset_bytes(self.extent.page_size);
        if watch.scanned(offset, self.extent.file_bytes).is_break() {
            return Err(Error::Interrupted);
        }
        let mut mapped = Vec::new();
        match &mut self.readers {
            Readers::Caller(chunks, map) => {
                let Some((frame, slots)) = chunks.read(file)? else { return Ok(false) };
                map_slots(&self.extent, frame, slots, map, &mut mapped)?;
            }
            Readers::Crew(crew) => (mapped, self.error) = crew.take(),
        }
        self.mapped = mapped.into_iter();
        Ok(true)
    }
}

/// A [`Scan`] as an iterator.
pub struct Frames<'a, T, M> {
    scan: Scan<T, M>,
    file: &'a dyn File,
    watch: &'a dyn Watch,
}

impl<'a, T, M> Frames<'a, T, M>
where
    T: Send + 'static,
    M: Fn(FrameNo, &[u8]) -> T + Clone + Send + 'static,
{
    /// Reads the whole slots `frames` of `file`; `map` sees each slot's header and image.
    pub fn new(
        file: &'a dyn File,
        extent: Extent,
        frames: Range<FrameNo>,
        watch: &'a dyn Watch,
        map: M,
    ) -> Self {
        Self { scan: Scan::new(file, extent, frames, map), file, watch }
    }
}

impl<T, M> Iterator for Frames<'_, T, M>
where
    T: Send + 'static,
    M: Fn(FrameNo, &[u8]) -> T + Clone + Send + 'static,
{
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scan.next(self.file, self.watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{PageSize, WAL_HEADER_BYTES};
    use crate::scan::Nobody;
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
