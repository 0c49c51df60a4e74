//! Builds small logs frame by frame, with the steps that SQLite's writer takes.

use walsmith::format::{
    ByteOrder, Checksum, FrameHeader, PageSize, Pgno, Salts, WAL_HEADER_BYTES, WalHeader,
};

/// Page size of the logs.
pub(crate) const P: usize = 512;
/// Bytes of a slot.
pub(crate) const SLOT: usize = P + 24;

/// A log under construction.
pub(crate) struct Log {
    /// The file.
    pub bytes: Vec<u8>,
    header: WalHeader,
    sum: Checksum,
    at: usize,
    written: u32,
}

/// Where a writer can go back to after recovery or rollback.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    sum: Checksum,
    at: usize,
}

impl Log {
    /// An empty log of generation `salt`.
    pub(crate) fn new(salt: u32) -> Self {
        let header = header(salt);
        let bytes = header.encode().to_vec();
        Self { bytes, header, sum: header.checksum, at: WAL_HEADER_BYTES, written: 0 }
    }

    /// A transaction that writes `pages`; database size 9 pages.
    pub(crate) fn commit(&mut self, pages: &[u32]) {
        for (index, &page) in pages.iter().enumerate() {
            let size = if index + 1 == pages.len() { 9 } else { 0 };
            self.append(page, size);
        }
    }

    /// Frames of a transaction that does not commit.
    pub(crate) fn spill(&mut self, pages: &[u32]) {
        for &page in pages {
            self.append(page, 0);
        }
    }

    /// A new generation from slot 1 on; old frames stay.
    pub(crate) fn restart(&mut self, salt: u32) {
        self.header = header(salt);
        self.bytes[..WAL_HEADER_BYTES].copy_from_slice(&self.header.encode());
        self.sum = self.header.checksum;
        self.at = WAL_HEADER_BYTES;
    }

    /// The end of what was written.
    pub(crate) fn mark(&self) -> Mark {
        Mark { sum: self.sum, at: self.at }
    }

    /// Writes over what lies after `mark`.
    pub(crate) fn write_again_from(&mut self, mark: Mark, write: impl FnOnce(&mut Self)) {
        (self.sum, self.at) = (mark.sum, mark.at);
        write(self);
    }

    /// Damages many words of the page in slot `frame`.
    pub(crate) fn scramble(&mut self, frame: usize) {
        let start = 32 + (frame - 1) * SLOT + 24;
        for (index, byte) in self.bytes[start + 40..start + 300].iter_mut().enumerate() {
            *byte ^= u8::try_from(index % 250).unwrap() | 1;
        }
    }

    fn append(&mut self, page: u32, commit_size_pages: u32) {
        self.written += 1;
        let fill = self.written.wrapping_mul(0x9e37_79b9);
        let image: Vec<u8> = (0..PageSize::ALL[0].bytes() / 4)
            .flat_map(|word| (word.wrapping_mul(fill) ^ page).to_le_bytes())
            .collect();
        let mut frame = FrameHeader {
            page: Pgno(page),
            commit_size_pages,
            salts: self.header.salts,
            checksum: Checksum::ZERO,
        };
        frame.checksum = frame.sum_from(self.sum, self.header.byte_order(), &image);
        self.sum = frame.checksum;
        let slot = [frame.encode().as_slice(), &image].concat();
        self.bytes.resize(self.bytes.len().max(self.at + SLOT), 0);
        self.bytes[self.at..self.at + SLOT].copy_from_slice(&slot);
        self.at += SLOT;
    }
}

fn header(salt: u32) -> WalHeader {
    let salts = Salts { salt1: salt, salt2: salt.wrapping_mul(0x85eb_ca6b) | 1 };
    WalHeader::new(ByteOrder::Little, PageSize::ALL[0], salt, salts)
}
