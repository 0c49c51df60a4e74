//! One frame of a log as a row.

use serde::Serialize;

use crate::format::{FrameNo, PageKind, Pgno};
use crate::log::LogShape;
use crate::log::state::{Slot, SlotState};
use crate::output::{Fields, Row};

/// One frame.
#[derive(Clone, Debug, Serialize)]
pub struct FrameRow {
    /// Its place.
    pub frame: FrameNo,
    /// Its offset in the log.
    pub offset_bytes: u64,
    /// The page it holds; `None` in blank and partial slots.
    pub page: Option<Pgno>,
    /// Database size after this commit; `None` when it commits nothing.
    pub commit_size_pages: Option<u32>,
    /// Its transaction; `None` outside the prefix.
    pub txn: Option<u32>,
    /// Its state.
    pub state: SlotState,
    /// 0 for the current generation.
    pub generation: Option<u32>,
    /// Kind of its page.
    pub page_kind: Option<PageKind>,
    /// First salt.
    pub salt1: Option<u32>,
    /// Second salt.
    pub salt2: Option<u32>,
    /// First checksum word.
    pub checksum1: Option<u32>,
    /// Second checksum word.
    pub checksum2: Option<u32>,
    /// CRC-32 of the page image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32: Option<u32>,
}

impl Row for FrameRow {
    fn fields(&self, to: &mut Fields<'_>) {
        let number = |field: Option<u32>| field.map(u64::from);
        to.number("frame", u64::from(self.frame.0));
        to.number("offset_bytes", self.offset_bytes);
        to.number("page", number(self.page.map(|page| page.0)));
        to.number("commit_size_pages", number(self.commit_size_pages));
        to.number("txn", number(self.txn));
        to.word("state", self.state.word());
        to.number("generation", number(self.generation));
        to.word("page_kind", self.page_kind.map(PageKind::word));
        to.number("salt1", number(self.salt1));
        to.number("salt2", number(self.salt2));
        to.number("checksum1", number(self.checksum1));
        to.number("checksum2", number(self.checksum2));
        if let Some(crc32) = self.crc32 {
            to.number("crc32", u64::from(crc32));
        }
    }
}

impl FrameRow {
    /// The row of a slot.
    #[must_use]
    pub fn of(slot: &Slot, shape: &LogShape) -> Self {
        let facts = &slot.judged.facts;
        let header = &facts.header;
        let held = slot.state != SlotState::Blank;
        Self {
            frame: facts.frame,
            offset_bytes: facts.frame.offset_bytes(shape.page_size()),
            page: held.then_some(header.page),
            commit_size_pages: facts.commit_size_pages(),
            txn: slot.txn,
            state: slot.state,
            generation: slot.generation,
            page_kind: held
                .then(|| PageKind::of_byte(header.page, shape.page_size(), facts.kind_byte)),
            salt1: held.then_some(header.salts.salt1),
            salt2: held.then_some(header.salts.salt2),
            checksum1: held.then_some(header.checksum.a),
            checksum2: held.then_some(header.checksum.b),
            crc32: None,
        }
    }

    /// A row without a page; its fields are those of every row.
    pub const EXAMPLE: Self = Self {
        frame: FrameNo::FIRST,
        offset_bytes: 0,
        page: None,
        commit_size_pages: None,
        txn: None,
        state: SlotState::Partial,
        generation: None,
        page_kind: None,
        salt1: None,
        salt2: None,
        checksum1: None,
        checksum2: None,
        crc32: None,
    };

    /// The row of the frame that the end of the file cuts.
    #[must_use]
    pub fn partial(shape: &LogShape) -> Self {
        let frame = shape.extent.end();
        let offset_bytes = frame.offset_bytes(shape.page_size());
        Self { frame, offset_bytes, ..Self::EXAMPLE }
    }
}
