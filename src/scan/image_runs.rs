//! Images of single frames: those of frames that are next to each other come with one read.

use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageSize, Pgno};
use crate::storage;

use super::slots::Error;

/// Bytes of a read. More are no faster, and push other things out of the cache of a core.
const READ_BYTES: u64 = 1 << 18;

/// Reads images of frames.
pub struct ImageRuns {
    page_size: PageSize,
    slots: Vec<u8>,
}

impl ImageRuns {
    /// For frames of `page_size`.
    #[must_use]
    pub fn new(page_size: PageSize) -> Self {
        Self { page_size, slots: Vec::new() }
    }

    /// Cuts `pairs`, pages with a frame each, into pieces of which each takes one read.
    pub fn cut(
        page_size: PageSize,
        pairs: &[(Pgno, FrameNo)],
    ) -> impl Iterator<Item = &[(Pgno, FrameNo)]> {
        let most_frames = usize::try_from(READ_BYTES / page_size.slot_bytes()).unwrap_or(1).max(1);
        pairs
            .chunk_by(|(_, frame), (_, next)| frame.next() == *next)
            .flat_map(move |run| run.chunks(most_frames))
    }

    /// The images of a piece, in its order; fewer where the log ends before the last of them.
    ///
    /// # Errors
    /// When there is no memory, or the log cannot be read.
    pub fn read(
        &mut self,
        piece: &[(Pgno, FrameNo)],
        read: impl Fn(&mut [u8], u64) -> storage::Result<usize>,
    ) -> Result<impl ExactSizeIterator<Item = &[u8]>, Error> {
        let slot_len = FRAME_HEADER_BYTES + self.page_size.in_memory();
        let (first, len) =
            (piece.first().map_or(FrameNo(0), |pair| pair.1), piece.len() * slot_len);
        self.slots
            .try_reserve(len.saturating_sub(self.slots.len()))
            .map_err(|_| Error::OutOfMemory)?;
        self.slots.resize(len, 0);
        let found = match piece {
            [] => 0,
            [..] => read(&mut self.slots, first.offset_bytes(self.page_size))?,
        };
        let slots = self.slots.split_at(found).0.chunks_exact(slot_len);
        Ok(slots.map(|slot| slot.split_at(FRAME_HEADER_BYTES).1))
    }
}
