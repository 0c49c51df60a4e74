//! The 32-byte header of a write-ahead log (fileformat2.html section 4.1, wal.c walRestartHdr).

use serde::Serialize;

use super::bytes::{field_u32, put_u32};
use super::{ByteOrder, Checksum, PageSize, Salts};

/// Bytes of the log header; the first frame starts here.
pub const WAL_HEADER_BYTES: usize = 32;
/// Magic of a log whose checksums read little-endian words; the low bit set means big-endian.
pub const WAL_MAGIC: u32 = 0x377f_0682;
/// The only format version there is.
pub const WAL_FORMAT_VERSION: u32 = 3_007_000;

/// The header as found in the file, right or wrong. All integers are stored big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// Offset 0: [`WAL_MAGIC`], low bit chooses the byte order of the checksums.
    pub magic: u32,
    /// Offset 4: [`WAL_FORMAT_VERSION`].
    pub format_version: u32,
    /// Offset 8: page size in bytes, plain (65536 is not encoded as 1).
    pub page_size_bytes: u32,
    /// Offset 12: checkpoint sequence; informational, private to the writing connection.
    pub checkpoint_seq: u32,
    /// Offset 16: the two salts, copied into every frame of this generation.
    pub salts: Salts,
    /// Offset 24: checksum over bytes 0..24 from zero; the start state of frame 1.
    pub checksum: Checksum,
}

/// What makes SQLite ignore a header, in the order in which walIndexRecover tests it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WalHeaderFault {
    /// The magic is neither of the two.
    Magic,
    /// The page size is not a power of two from 512 to 65536.
    PageSize,
    /// The stored sum is not the sum of bytes 0..24.
    Checksum,
    /// The version is unknown under a good checksum: SQLite refuses to open the database.
    Version,
}

impl WalHeader {
    /// Decodes without judging.
    #[must_use]
    pub fn decode(bytes: &[u8; WAL_HEADER_BYTES]) -> Self {
        Self {
            magic: field_u32::<0, 32>(bytes),
            format_version: field_u32::<4, 32>(bytes),
            page_size_bytes: field_u32::<8, 32>(bytes),
            checkpoint_seq: field_u32::<12, 32>(bytes),
            salts: Salts { salt1: field_u32::<16, 32>(bytes), salt2: field_u32::<20, 32>(bytes) },
            checksum: Checksum { a: field_u32::<24, 32>(bytes), b: field_u32::<28, 32>(bytes) },
        }
    }

    /// Encodes every field as it is, the checksum included.
    #[must_use]
    pub fn encode(&self) -> [u8; WAL_HEADER_BYTES] {
        let mut bytes = [0; WAL_HEADER_BYTES];
        put_u32::<0, 32>(&mut bytes, self.magic);
        put_u32::<4, 32>(&mut bytes, self.format_version);
        put_u32::<8, 32>(&mut bytes, self.page_size_bytes);
        put_u32::<12, 32>(&mut bytes, self.checkpoint_seq);
        put_u32::<16, 32>(&mut bytes, self.salts.salt1);
        put_u32::<20, 32>(&mut bytes, self.salts.salt2);
        put_u32::<24, 32>(&mut bytes, self.checksum.a);
        put_u32::<28, 32>(&mut bytes, self.checksum.b);
        bytes
    }

    /// A header of a new generation, with its checksum.
    #[must_use]
    pub fn new(order: ByteOrder, page_size: PageSize, checkpoint_seq: u32, salts: Salts) -> Self {
        let mut header = Self {
            magic: WAL_MAGIC | u32::from(order == ByteOrder::Big),
            format_version: WAL_FORMAT_VERSION,
            page_size_bytes: page_size.bytes(),
            checkpoint_seq,
            salts,
            checksum: Checksum::ZERO,
        };
        header.checksum = header.computed_checksum();
        header
    }

    /// Whether the magic is one of the two that SQLite knows.
    #[must_use]
    pub fn has_magic(&self) -> bool {
        self.magic & !1 == WAL_MAGIC
    }

    /// The order of checksum words that the low bit of the magic names.
    #[must_use]
    pub fn byte_order(&self) -> ByteOrder {
        if self.magic & 1 == 1 { ByteOrder::Big } else { ByteOrder::Little }
    }

    /// The page size, if the field holds one.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        PageSize::from_bytes(self.page_size_bytes)
    }

    /// The checksum that bytes 0..24 should have.
    #[must_use]
    pub fn computed_checksum(&self) -> Checksum {
        let bytes = self.encode();
        Checksum::ZERO.update(self.byte_order(), bytes.split_at(24).0)
    }

    /// What a log of wal2 is called.
    pub const WAL2: &str = "wal2 mode: two logs, not supported";

    /// What branch of SQLite has written this header, by its version under a good checksum; `None`
    /// for SQLite itself, and where the checksum is wrong.
    #[must_use]
    pub fn branch(&self) -> Option<&'static str> {
        if self.validate() != Err(WalHeaderFault::Version) {
            return None;
        }
        match self.format_version {
            3_021_000 => Some(Self::WAL2),
            3_021_001 => Some("a wal2 log of Bedrock's with a larger wal-index, not supported"),
            3_048_000 => Some("a log of Bedrock's without checksums of pages, not supported"),
            3_048_001 => Some(
                "a log of Bedrock's with a larger wal-index and without checksums of pages, \
                 not supported",
            ),
            _ => None,
        }
    }

    /// Judges the header as SQLite's recovery does.
    ///
    /// # Errors
    /// The first fault in SQLite's own order of tests: magic, page size, checksum, version.
    pub fn validate(&self) -> Result<(), WalHeaderFault> {
        if !self.has_magic() {
            Err(WalHeaderFault::Magic)
        } else if self.page_size().is_none() {
            Err(WalHeaderFault::PageSize)
        } else if self.computed_checksum() != self.checksum {
            Err(WalHeaderFault::Checksum)
        } else if self.format_version != WAL_FORMAT_VERSION {
            Err(WalHeaderFault::Version)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALTS: Salts = Salts { salt1: 0x1122_3344, salt2: 0x5566_7788 };

    fn header(order: ByteOrder) -> WalHeader {
        WalHeader::new(order, PageSize::ALL[0], 0, SALTS)
    }

    #[test]
    fn headers_match_the_reference_vectors() {
        let little = header(ByteOrder::Little);
        assert_eq!(little.checksum, Checksum { a: 0x18fe_2524, b: 0x594f_631e });
        let big = header(ByteOrder::Big);
        assert_eq!(big.checksum, Checksum { a: 0x2726_fe1b, b: 0x2366_4f5c });
        assert_eq!(WalHeader::decode(&big.encode()), big);
        assert_eq!(big.validate(), Ok(()));
    }

    #[test]
    fn faults_are_found_in_the_order_of_sqlite() {
        let good = header(ByteOrder::Little);
        let wrong_version = WalHeader { format_version: 1, ..good };
        assert_eq!(wrong_version.validate(), Err(WalHeaderFault::Checksum));
        let summed = WalHeader { checksum: wrong_version.computed_checksum(), ..wrong_version };
        assert_eq!(summed.validate(), Err(WalHeaderFault::Version));
        assert_eq!(summed.branch(), None);
        for version in [3_021_000, 3_021_001, 3_048_000, 3_048_001] {
            let other = WalHeader { format_version: version, ..good };
            let summed = WalHeader { checksum: other.computed_checksum(), ..other };
            assert!(summed.branch().is_some());
            assert_eq!(other.branch(), None);
        }
        let encoded_64k = WalHeader { page_size_bytes: 1, ..good };
        assert_eq!(encoded_64k.validate(), Err(WalHeaderFault::PageSize));
        assert_eq!(WalHeader { magic: 0, ..encoded_64k }.validate(), Err(WalHeaderFault::Magic));
    }
}
