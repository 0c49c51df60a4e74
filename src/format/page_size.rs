//! The database page size and its three encodings.

use std::fmt;

/// A valid database page size: a power of two from 512 to 65536 bytes.
///
/// Source: fileformat2.html section 1.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize(u32);

impl PageSize {
    /// Every page size that the format knows, ascending.
    pub const ALL: [Self; 8] = [
        Self(512),
        Self(1024),
        Self(2048),
        Self(4096),
        Self(8192),
        Self(16384),
        Self(32768),
        Self(65536),
    ];

    /// What SQLite assumes where nothing tells (`SQLITE_DEFAULT_PAGE_SIZE`).
    pub const DEFAULT: Self = Self(4096);

    /// Accepts a plain byte count, as the WAL header stores it; `None` when it is not a page size.
    ///
    /// The WAL header does not use the "1 means 65536" encoding (wal.c walIndexRecover).
    #[must_use]
    pub fn from_bytes(bytes: u32) -> Option<Self> {
        ((512..=65536).contains(&bytes) && bytes.is_power_of_two()).then_some(Self(bytes))
    }

    /// Decodes the big-endian 16-bit field at offset 16 of the database header, where 1 means
    /// 65536.
    ///
    /// btree.c lockBtree computes it as `(b[16] << 8) | (b[17] << 16)`.
    #[must_use]
    pub fn from_database_field(field: [u8; 2]) -> Option<Self> {
        let [high, low] = field;
        Self::from_bytes((u32::from(high) << 8) | (u32::from(low) << 16))
    }

    /// Decodes the native 16-bit `szPage` of a wal-index header (wal.c walIndexTryHdr).
    #[must_use]
    pub fn from_wal_index_field(field: u16) -> Option<Self> {
        Self::from_bytes(u32::from(field & 0xfe00) + (u32::from(field & 1) << 16))
    }

    /// Encodes for the wal-index header: 65536 becomes 1.
    #[must_use]
    pub fn to_wal_index_field(self) -> u16 {
        u16::try_from(self.0).unwrap_or(1)
    }

    /// The page size in bytes.
    #[must_use]
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// The page size in bytes, as a file offset.
    #[must_use]
    pub fn bytes_u64(self) -> u64 {
        u64::from(self.0)
    }

    /// The page size in bytes, as a length in memory.
    #[must_use]
    pub fn in_memory(self) -> usize {
        // At most 65536, and usize has at least 32 bits wherever std::fs works.
        self.0 as usize
    }

    /// Bytes of one slot of a log: frame header and page image.
    #[must_use]
    pub fn slot_bytes(self) -> u64 {
        self.bytes_u64() + super::FRAME_HEADER_BYTES as u64
    }

    /// The page that holds the lock bytes at 0x40000000 and is never written to a log.
    #[must_use]
    pub fn lock_byte_page(self) -> super::Pgno {
        super::Pgno(0x4000_0000 / self.0 + 1)
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_size_survives_every_encoding() {
        for size in PageSize::ALL {
            assert_eq!(PageSize::from_bytes(size.bytes()), Some(size));
            assert_eq!(PageSize::from_wal_index_field(size.to_wal_index_field()), Some(size));
        }
        assert_eq!(PageSize::from_database_field([0x00, 0x01]), PageSize::from_bytes(65536));
        assert_eq!(PageSize::from_database_field([0x10, 0x00]), PageSize::from_bytes(4096));
        assert_eq!(PageSize::from_database_field([0x02, 0x00]), PageSize::from_bytes(512));
    }

    #[test]
    fn one_is_not_a_page_size_in_the_wal_header() {
        for bad in [0, 1, 256, 513, 4095, 65535, 131_072, u32::MAX] {
            assert_eq!(PageSize::from_bytes(bad), None);
        }
    }

    #[test]
    fn lock_byte_page_follows_the_reference_table() {
        let pages: Vec<u32> = PageSize::ALL.iter().map(|size| size.lock_byte_page().0).collect();
        assert_eq!(
            pages,
            [2_097_153, 1_048_577, 524_289, 262_145, 131_073, 65_537, 32_769, 16_385]
        );
    }
}
