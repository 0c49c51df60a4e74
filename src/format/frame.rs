//! Frames of a log: the 24-byte frame header and where a frame lies (fileformat2.html section 4.1).

use std::fmt;

use serde::Serialize;

use super::bytes::{field_u32, put_u32};
use super::{ByteOrder, Checksum, PageSize, WAL_HEADER_BYTES};

/// Bytes of a frame header; the page image follows.
pub const FRAME_HEADER_BYTES: usize = 24;

/// A frame's place in the log, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FrameNo(pub u32);

impl FrameNo {
    /// The first frame of a log.
    pub const FIRST: Self = Self(1);

    /// Offset in bytes of the frame's header in the file.
    #[must_use]
    pub fn offset_bytes(self, page_size: PageSize) -> u64 {
        let before = u64::from(self.0).saturating_sub(1);
        WAL_HEADER_BYTES as u64 + before * page_size.slot_bytes()
    }

    /// The frame after this one. A log has fewer than 2^31 frames (wal.c uses `int`).
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for FrameNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A page number of the database, counted from 1. 0 is never valid, but a damaged file may hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Pgno(pub u32);

impl Pgno {
    /// The page that holds the database header.
    pub const FIRST: Self = Self(1);

    /// Offset in bytes of the page in the database file; 0 for the invalid page 0.
    #[must_use]
    pub fn offset_bytes(self, page_size: PageSize) -> u64 {
        u64::from(self.0).saturating_sub(1) * page_size.bytes_u64()
    }
}

impl fmt::Display for Pgno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The salts of a generation. Compared for equality only: they carry no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Salts {
    /// `aSalt[0]`: usually one more than in the generation before.
    pub salt1: u32,
    /// `aSalt[1]`: random for every generation.
    pub salt2: u32,
}

/// A frame header as found in the file, right or wrong. All integers are stored big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Offset 0: page number; 0 is invalid.
    pub page: Pgno,
    /// Offset 4: database size in pages after this commit; 0 in a frame that is not a commit.
    pub commit_size_pages: u32,
    /// Offset 8: copy of the log header's salts. Not covered by any checksum.
    pub salts: Salts,
    /// Offset 16: sum over bytes 0..8 and the page image, continued from the frame before.
    pub checksum: Checksum,
}

impl FrameHeader {
    /// Decodes without judging.
    #[must_use]
    pub fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Self {
        Self {
            page: Pgno(field_u32::<0, 24>(bytes)),
            commit_size_pages: field_u32::<4, 24>(bytes),
            salts: Salts { salt1: field_u32::<8, 24>(bytes), salt2: field_u32::<12, 24>(bytes) },
            checksum: Checksum { a: field_u32::<16, 24>(bytes), b: field_u32::<20, 24>(bytes) },
        }
    }

    /// Encodes every field as it is.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        put_u32::<0, 24>(&mut bytes, self.page.0);
        put_u32::<4, 24>(&mut bytes, self.commit_size_pages);
        put_u32::<8, 24>(&mut bytes, self.salts.salt1);
        put_u32::<12, 24>(&mut bytes, self.salts.salt2);
        put_u32::<16, 24>(&mut bytes, self.checksum.a);
        put_u32::<20, 24>(&mut bytes, self.checksum.b);
        bytes
    }

    /// The sum of this frame continued from `start`, over header bytes 0..8 and `image`.
    #[must_use]
    pub fn sum_from(&self, start: Checksum, order: ByteOrder, image: &[u8]) -> Checksum {
        let bytes = self.encode();
        start.update(order, bytes.split_at(8).0).update(order, image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::WalHeader;

    #[test]
    fn frame_sums_match_the_reference_vectors() {
        let image: Vec<u8> = (0..512_u32).map(|i| (i & 255) as u8).collect();
        let salts = Salts { salt1: 0x1122_3344, salt2: 0x5566_7788 };
        let stored = [
            (ByteOrder::Little, Checksum { a: 0x178c_41f2, b: 0x7e1f_a4a6 }),
            (ByteOrder::Big, Checksum { a: 0x02bb_5bbc, b: 0xf63d_c570 }),
        ];
        for (order, sum) in stored {
            let header = WalHeader::new(order, PageSize::ALL[0], 0, salts);
            let frame = FrameHeader { page: Pgno(1), commit_size_pages: 1, salts, checksum: sum };
            assert_eq!(frame.sum_from(header.checksum, order, &image), sum);
            assert_eq!(FrameHeader::decode(&frame.encode()), frame);
        }
    }

    #[test]
    fn offsets_are_64_bit() {
        let page_size = PageSize::ALL[7];
        assert_eq!(FrameNo(1).offset_bytes(page_size), 32);
        assert_eq!(FrameNo(100_001).offset_bytes(page_size), 32 + 100_000 * 65_560);
    }
}
