//! What must be known of a log before its frames can be read.

use std::ops::Range;

use crate::format::{ByteOrder, Checksum, FrameNo, PageSize, Salts, WalHeader};
use crate::scan::{Chain, Error, Extent, FrameFacts, Frames, Joiner, KnownFrames, Watch};
use crate::storage::File;

/// Page size, byte order, generation and start sum of a log: from its header, or guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogShape {
    /// The slots of the file.
    pub extent: Extent,
    /// The order in which checksums read words.
    pub order: ByteOrder,
    /// The salts of the current generation.
    pub salts: Salts,
    /// The sum that frame 1 continues from.
    pub start: Checksum,
}

impl LogShape {
    /// The shape that a valid `header` gives a file of `file_bytes`; `None` with an impossible page
    /// size or more frames than SQLite can number.
    #[must_use]
    pub fn of(header: &WalHeader, file_bytes: u64) -> Option<Self> {
        Some(Self {
            extent: Extent::of(file_bytes, header.page_size()?)?,
            order: header.byte_order(),
            salts: header.salts,
            start: header.checksum,
        })
    }

    /// The page size of the log.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.extent.page_size
    }

    /// Joins the sums of this log's frames.
    #[must_use]
    pub fn joiner(&self) -> Joiner {
        Joiner::new(self.extent.page_size, self.order)
    }

    /// What its frames follow from.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain { joiner: self.joiner(), salts: self.salts, start: self.start }
    }

    /// The facts of the slots `frames`, in file order.
    pub fn facts<'a>(
        &self,
        file: &'a dyn File,
        frames: Range<FrameNo>,
        watch: &'a dyn Watch,
    ) -> impl Iterator<Item = Result<FrameFacts, Error>> + use<'a> {
        let order = self.order;
        let judge = move |frame, slot: &[u8]| FrameFacts::judge(frame, slot, order);
        Frames::new(file, self.extent, frames, watch, judge)
    }

    /// The same, where the frames `known` of the log need not be read again.
    pub fn facts_beside<'a>(
        &self,
        known: &'a KnownFrames,
        file: &'a dyn File,
        frames: Range<FrameNo>,
        watch: &'a dyn Watch,
    ) -> impl Iterator<Item = Result<FrameFacts, Error>> + use<'a> {
        let border = known.end().clamp(frames.start, frames.end.max(frames.start));
        let read = self.facts(file, border..frames.end, watch);
        known.facts(self.chain(), frames.start, border).map(Ok).chain(read)
    }
}
