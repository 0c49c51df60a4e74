//! The slots of a log, and runs of them in memory.

use std::ops::Range;

use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageSize, Pgno, WAL_HEADER_BYTES};
use crate::storage;

/// The slots of a log by its size; nothing is judged beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Page size of the log.
    pub page_size: PageSize,
    /// Size of the file when it was sampled.
    pub file_bytes: u64,
    /// Whole slots after the header.
    pub slot_frames: u32,
    /// Bytes after the last whole slot.
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

    /// Bytes of a slot, as a length in memory.
    #[must_use]
    pub fn slot_len(&self) -> usize {
        self.page_size.in_memory() + FRAME_HEADER_BYTES
    }

    /// Whole slots in `bytes` bytes, at least one.
    pub(super) fn slots_in(&self, bytes: u64) -> u32 {
        u32::try_from(bytes / self.page_size.slot_bytes()).unwrap_or(u32::MAX).max(1)
    }

    /// The slot that begins at or after the end of the file's whole slots.
    #[must_use]
    pub fn end(&self) -> FrameNo {
        FrameNo(self.slot_frames + 1)
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
    /// A page as an earlier state had it is not in the file any more, or may not be.
    #[error("{}", gone(*page, path, *frame, *is_likely_there))]
    Gone {
        /// The database file.
        path: String,
        /// The page.
        page: Pgno,
        /// A frame whose image is there now, or the commit that ends before the page.
        frame: FrameNo,
        /// It is more likely that SQLite has written the page in that frame as it was.
        is_likely_there: bool,
    },
    /// The database file ends before a page that it should have.
    #[error("page {page} is past the end of {path}")]
    CutOff {
        /// The database file.
        path: String,
        /// The page.
        page: Pgno,
    },
    /// A frame is not what its checksum says.
    #[error(
        "{path}: frame {frame} at offset {offset_bytes}: {why}; it has changed since it was read"
    )]
    Broken {
        /// The log.
        path: String,
        /// The frame.
        frame: FrameNo,
        /// Its offset.
        offset_bytes: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no memory for a chunk.
    #[error("out of memory")]
    OutOfMemory,
    /// The watcher asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn gone(page: Pgno, path: &str, frame: FrameNo, is_likely_there: bool) -> String {
    let what = format!("page {page} as it was before");
    match is_likely_there {
        true => format!(
            "{what} may be gone: {path} has the image of frame {frame} there, or a part of it: \
             SQLite has written it unchanged, or a checkpoint that was cut short has copied it"
        ),
        false => format!(
            "{what} is gone, or may be: a checkpoint up to frame {frame} has changed {path} there"
        ),
    }
}

impl Error {
    /// Whether it is of the state that was read: another one may be there.
    #[must_use]
    pub fn is_of_the_state(&self) -> bool {
        match self {
            Self::Gone { .. } | Self::CutOff { .. } => true,
            Self::Storage(_)
            | Self::Shrunk { .. }
            | Self::Broken { .. }
            | Self::OutOfMemory
            | Self::Interrupted => false,
        }
    }
}

/// A buffer for runs of whole slots.
#[derive(Debug, Default)]
pub(super) struct SlotBuffer {
    bytes: Vec<u8>,
}

impl SlotBuffer {
    /// Reads the slots `frames`, or as many of them as `read` still finds; never none of them.
    pub(super) fn fill(
        &mut self,
        extent: &Extent,
        frames: Range<FrameNo>,
        read: impl FnOnce(&mut [u8], u64) -> storage::Result<usize>,
        path: impl FnOnce() -> String,
    ) -> Result<&[u8], Error> {
        let slots = usize::try_from(frames.end.0 - frames.start.0).unwrap_or(usize::MAX);
        let len = extent.slot_len().checked_mul(slots).ok_or(Error::OutOfMemory)?;
        if self.bytes.len() < len {
            let more = len - self.bytes.len();
            self.bytes.try_reserve_exact(more).map_err(|_| Error::OutOfMemory)?;
            self.bytes.resize(len, 0);
        }
        let offset_bytes = frames.start.offset_bytes(extent.page_size);
        let found = read(self.bytes.split_at_mut(len).0, offset_bytes)?;
        let whole = found - found % extent.slot_len();
        if whole == 0 {
            return Err(Error::Shrunk { path: path(), frame: frames.start, offset_bytes });
        }
        Ok(self.bytes.split_at(whole).0)
    }
}

/// Maps each of `slots`, whose first is `frame`.
pub(super) fn map_slots<T>(
    extent: &Extent,
    frame: FrameNo,
    slots: &[u8],
    map: &impl Fn(FrameNo, &[u8]) -> T,
    mapped: &mut Vec<T>,
) -> Result<(), Error> {
    let slots = slots.chunks_exact(extent.slot_len());
    mapped.try_reserve(slots.len()).map_err(|_| Error::OutOfMemory)?;
    mapped.extend((frame.0..).zip(slots).map(|(frame, slot)| map(FrameNo(frame), slot)));
    Ok(())
}
