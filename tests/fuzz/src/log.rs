//! Edits to a log: what damages one, what makes its sums right again, and what its database has of
//! it.

use arbitrary::Arbitrary;
use walsmith::format::{
    FRAME_HEADER_BYTES, FrameHeader, PageSize, Pgno, WAL_HEADER_BYTES, WalHeader,
};

use crate::overwrite;

/// Something that is done to a log or to the database beside it. Frames are counted from 0, around
/// the end of the log.
#[derive(Arbitrary, Clone, Debug)]
pub enum Edit {
    /// Writes a word of the log's header.
    Header { word: u8, value: u32 },
    /// Gives the header its right sum.
    SumHeader,
    /// Writes a word of a frame's header.
    FrameHeader { frame: u8, word: u8, value: u32 },
    /// Makes a frame a commit of a small database, or none.
    Commit { frame: u8, size_pages: u8 },
    /// Gives a frame a small page number.
    Page { frame: u8, page: u8 },
    /// Writes bytes of a frame's image.
    Bytes { frame: u8, at: u16, bytes: Vec<u8> },
    /// Fills a part of a frame, header included.
    Fill { frame: u8, at: u16, length: u16, byte: u8 },
    /// Puts a copy of one slot into another.
    Copy { from: u8, to: u8 },
    /// Exchanges two slots.
    Swap { one: u8, other: u8 },
    /// Takes a slot out.
    Remove { frame: u8 },
    /// Writes a slot once more at the end.
    Append { frame: u8 },
    /// Ends the log with a slot, and keeps some bytes of the next one.
    Cut { frames: u8, more_bytes: u16 },
    /// Makes the salts and sums of some frames follow from what is before them.
    Chain { first: u8, frames: u8 },
    /// Begins a new generation, of which the first frames are.
    Restart { salt: u32, frames: u8 },
    /// Copies the images of the first frames into the database, without a look at them.
    Checkpoint { frames: u8 },
    /// Writes bytes of the database.
    Database { at: u16, bytes: Vec<u8> },
}

/// A database and its log.
#[derive(Clone, Debug)]
pub struct Files {
    pub database: Vec<u8>,
    pub wal: Vec<u8>,
}

impl Files {
    /// Applies `edits` in order.
    #[must_use]
    pub fn edited(mut self, edits: &[Edit]) -> Self {
        edits.iter().for_each(|edit| self.edit(edit));
        self
    }

    fn edit(&mut self, edit: &Edit) {
        match *edit {
            Edit::Header { word, value } => {
                let at = usize::from(word % 8) * 4;
                overwrite(&mut self.wal, at, &value.to_be_bytes());
            }
            Edit::SumHeader => self.change_header(|_| {}),
            Edit::FrameHeader { frame, word, value } => {
                let at = self.slot(frame) + usize::from(word % 6) * 4;
                overwrite(&mut self.wal, at, &value.to_be_bytes());
            }
            Edit::Commit { frame, size_pages } => {
                let at = self.slot(frame) + 4;
                overwrite(&mut self.wal, at, &u32::from(size_pages).to_be_bytes());
            }
            Edit::Page { frame, page } => {
                let at = self.slot(frame);
                overwrite(&mut self.wal, at, &u32::from(page).to_be_bytes());
            }
            Edit::Bytes { frame, at, ref bytes } => {
                let image = self.slot(frame) + FRAME_HEADER_BYTES;
                let at = image + usize::from(at) % self.page_size().in_memory();
                overwrite(&mut self.wal, at, bytes);
            }
            Edit::Fill { frame, at, length, byte } => {
                let at = self.slot(frame) + self.inside(at);
                let fill = vec![byte; self.inside(length)];
                overwrite(&mut self.wal, at, &fill);
            }
            Edit::Copy { from, to } => {
                let (from, to) = (self.slot_bytes(from), self.slot(to));
                overwrite(&mut self.wal, to, &from);
            }
            Edit::Swap { one, other } => {
                let (one_slot, other_slot) = (self.slot_bytes(one), self.slot_bytes(other));
                let (one, other) = (self.slot(one), self.slot(other));
                overwrite(&mut self.wal, one, &other_slot);
                overwrite(&mut self.wal, other, &one_slot);
            }
            Edit::Remove { frame } => {
                let at = self.slot(frame);
                let end = (at + self.slot_len()).min(self.wal.len());
                self.wal.drain(at.min(end)..end);
            }
            Edit::Append { frame } => {
                let slot = self.slot_bytes(frame);
                self.wal.extend(slot);
            }
            Edit::Cut { frames, more_bytes } => {
                let end = WAL_HEADER_BYTES + usize::from(frames) * self.slot_len();
                self.wal.truncate(end + self.inside(more_bytes));
            }
            Edit::Chain { first, frames } => self.chain(first, frames),
            Edit::Restart { salt, frames } => {
                self.change_header(|header| {
                    header.salts.salt1 = header.salts.salt1.wrapping_add(1);
                    header.salts.salt2 = salt;
                    header.checkpoint_seq = header.checkpoint_seq.wrapping_add(1);
                });
                self.chain(0, frames);
            }
            Edit::Checkpoint { frames } => self.checkpoint(frames),
            Edit::Database { at, ref bytes } => {
                overwrite(&mut self.database, usize::from(at), bytes);
            }
        }
    }

    fn header(&self) -> Option<WalHeader> {
        self.wal.first_chunk().map(WalHeader::decode)
    }

    /// The page size of the header, or one where it has none.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.header().and_then(|header| header.page_size()).unwrap_or(PageSize::ALL[0])
    }

    fn slot_len(&self) -> usize {
        FRAME_HEADER_BYTES + self.page_size().in_memory()
    }

    /// Slots of the log, at least one.
    fn slots(&self) -> usize {
        (self.wal.len().saturating_sub(WAL_HEADER_BYTES) / self.slot_len()).max(1)
    }

    /// The frame that a number means, counted from 0.
    #[must_use]
    pub fn frame(&self, number: u8) -> usize {
        usize::from(number) % self.slots()
    }

    /// Where a slot begins.
    fn slot(&self, frame: u8) -> usize {
        WAL_HEADER_BYTES + self.frame(frame) * self.slot_len()
    }

    fn slot_bytes(&self, frame: u8) -> Vec<u8> {
        let at = self.slot(frame);
        self.wal.get(at..at + self.slot_len()).unwrap_or_default().to_vec()
    }

    /// An offset inside a slot.
    fn inside(&self, at: u16) -> usize {
        usize::from(at) % self.slot_len()
    }

    /// Changes the header and sums it again.
    fn change_header(&mut self, change: impl FnOnce(&mut WalHeader)) {
        let Some(mut header) = self.header() else { return };
        change(&mut header);
        header.checksum = header.computed_checksum();
        overwrite(&mut self.wal, 0, &header.encode());
    }

    fn chain(&mut self, first: u8, frames: u8) {
        let Some(log) = self.header() else { return };
        let (slot_len, first) = (self.slot_len(), usize::from(first) % self.slots());
        let Some(slots) = self.wal.get_mut(WAL_HEADER_BYTES..) else { return };
        let mut sum = log.checksum;
        for (index, slot) in slots.chunks_exact_mut(slot_len).enumerate() {
            let (head, image) = slot.split_first_chunk_mut::<FRAME_HEADER_BYTES>().unwrap();
            let mut header = FrameHeader::decode(head);
            if (first..first + usize::from(frames)).contains(&index) {
                header.salts = log.salts;
                header.checksum = header.sum_from(sum, log.byte_order(), image);
                *head = header.encode();
            }
            sum = header.checksum;
        }
    }

    fn checkpoint(&mut self, frames: u8) {
        let (slot_len, page_size) = (self.slot_len(), self.page_size());
        let slots = self.wal.get(WAL_HEADER_BYTES..).unwrap_or_default();
        for slot in slots.chunks_exact(slot_len).take(usize::from(frames)) {
            let (head, image) = slot.split_first_chunk::<FRAME_HEADER_BYTES>().unwrap();
            let page = FrameHeader::decode(head).page;
            // No database of a fixture is larger.
            if (Pgno(1)..=Pgno(255)).contains(&page) {
                let at = usize::try_from(page.offset_bytes(page_size)).unwrap();
                let end = at + image.len();
                self.database.resize(self.database.len().max(end), 0);
                overwrite(&mut self.database, at, image);
            }
        }
    }
}
