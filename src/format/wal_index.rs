//! The wal-index, `-shm` (walformat.html section 2, wal.c WalIndexHdr, WalCkptInfo): its header,
//! and where the blocks after it hold a frame.
//!
//! In the byte order of the machine that wrote it, except the salts, which are copied raw.

use super::wal_header::WAL_FORMAT_VERSION;
use super::{ByteOrder, Checksum, PageSize, Salts};

/// Bytes of both header copies and the checkpoint information.
pub const WAL_INDEX_HEADER_BYTES: usize = 136;

/// Words of one copy of the header.
pub const INDEX_HEADER_WORDS: usize = 12;
/// Read marks, and reader slots with their locks (`WAL_NREADER`). Slot 0 is that of readers who use
/// the database file alone.
pub const READER_SLOTS: usize = 5;
/// A read mark that is not in use.
pub const READMARK_NOT_USED: u32 = u32::MAX;

/// Page numbers of a block after the first (`HASHTABLE_NPAGE`).
pub const BLOCK_FRAMES: u32 = 4096;
/// Page numbers of the first block, which the header shortens (`HASHTABLE_NPAGE_ONE`).
pub const FIRST_BLOCK_FRAMES: u32 = 4062;
/// Hash slots of every block (`HASHTABLE_NSLOT`).
pub const BLOCK_SLOTS: u32 = 8192;

/// The block, counted from 0, that holds frame `frame` (wal.c walFramePage). Frame 0 is none; it
/// counts as before the first.
#[must_use]
pub fn block_of(frame: u32) -> u32 {
    frame.saturating_add(BLOCK_FRAMES - FIRST_BLOCK_FRAMES - 1) / BLOCK_FRAMES
}

/// The frame before the first of `block` (`iZero` of wal.c walHashGet).
#[must_use]
pub fn frame_before_block(block: u32) -> u32 {
    match block.checked_sub(1) {
        None => 0,
        Some(before) => FIRST_BLOCK_FRAMES.saturating_add(before.saturating_mul(BLOCK_FRAMES)),
    }
}

/// Where the search for `page` begins in a block (wal.c walHash).
#[must_use]
pub fn hash_of(page: u32) -> u32 {
    page.wrapping_mul(383) & (BLOCK_SLOTS - 1)
}

/// One copy of the header, 48 bytes (wal.c WalIndexHdr). Equality is equality of all bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHeader {
    /// Offset 0: 3007000.
    pub version: u32,
    /// Offset 4: 0.
    pub unused: u32,
    /// Offset 8: plus 1 for every commit; restarts with recovery.
    pub change: u32,
    /// Offset 12: 1 when the header is valid.
    pub is_init: u8,
    /// Offset 13: low bit of the log's magic; 1 for checksums over big-endian words.
    pub big_endian_checksum: u8,
    /// Offset 14: page size, 1 meaning 65536; 0 before the first commit.
    pub page_size_field: u16,
    /// Offset 16: last committed frame.
    pub mx_frame: u32,
    /// Offset 20: database size in pages at that frame.
    pub db_size_pages: u32,
    /// Offset 24: the checksum of frame `mx_frame`.
    pub frame_checksum: Checksum,
    /// Offset 32: the salts of the log, big-endian on every machine.
    pub salts: Salts,
    /// Offset 40: checksum over bytes 0..40 in native words.
    pub checksum: Checksum,
}

impl IndexHeader {
    /// All zeros: no log is known.
    pub const ZERO: Self = Self {
        version: 0,
        unused: 0,
        change: 0,
        is_init: 0,
        big_endian_checksum: 0,
        page_size_field: 0,
        mx_frame: 0,
        db_size_pages: 0,
        frame_checksum: Checksum::ZERO,
        salts: Salts { salt1: 0, salt2: 0 },
        checksum: Checksum::ZERO,
    };

    /// Decodes native words without judging.
    #[must_use]
    pub fn from_words(words: [u32; INDEX_HEADER_WORDS]) -> Self {
        let [version, unused, change, flags, mx_frame, db_size_pages, a, b, salt1, salt2, sa, sb] =
            words;
        let [is_init, big_endian_checksum, size0, size1] = flags.to_ne_bytes();
        let raw = |word: u32| u32::from_be_bytes(word.to_ne_bytes());
        Self {
            version,
            unused,
            change,
            is_init,
            big_endian_checksum,
            page_size_field: u16::from_ne_bytes([size0, size1]),
            mx_frame,
            db_size_pages,
            frame_checksum: Checksum { a, b },
            salts: Salts { salt1: raw(salt1), salt2: raw(salt2) },
            checksum: Checksum { a: sa, b: sb },
        }
    }

    /// Encodes every field as it is, as native words.
    #[must_use]
    pub fn to_words(&self) -> [u32; INDEX_HEADER_WORDS] {
        let [size0, size1] = self.page_size_field.to_ne_bytes();
        let raw = |salt: u32| u32::from_ne_bytes(salt.to_be_bytes());
        [
            self.version,
            self.unused,
            self.change,
            u32::from_ne_bytes([self.is_init, self.big_endian_checksum, size0, size1]),
            self.mx_frame,
            self.db_size_pages,
            self.frame_checksum.a,
            self.frame_checksum.b,
            raw(self.salts.salt1),
            raw(self.salts.salt2),
            self.checksum.a,
            self.checksum.b,
        ]
    }

    /// The checksum that the words before it should have.
    #[must_use]
    pub fn computed_checksum(&self) -> Checksum {
        let mut bytes = [0; 40];
        for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.to_words()) {
            *bytes = word.to_ne_bytes();
        }
        Checksum::ZERO.update(ByteOrder::NATIVE, &bytes)
    }

    /// The order of the words that the log's checksums sum.
    #[must_use]
    pub fn byte_order(&self) -> ByteOrder {
        if self.big_endian_checksum == 0 { ByteOrder::Little } else { ByteOrder::Big }
    }

    /// The page size; `None` before the first commit.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        PageSize::from_wal_index_field(self.page_size_field)
    }
}

/// The first copy of the header, and the checkpoint information after both copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalIndexHeader {
    /// Offset 0: 3007000.
    pub version: u32,
    /// Offset 8: plus 1 for every commit; restarts with recovery.
    pub change: u32,
    /// Offset 12: 1 when the header is valid.
    pub is_init: u8,
    /// Offset 14: page size, 1 meaning 65536.
    pub page_size_field: u16,
    /// Offset 16: last committed frame.
    pub mx_frame: u32,
    /// Offset 20: database size in pages at that frame.
    pub db_size_pages: u32,
    /// Offset 32: the salts of the log.
    pub salts: Salts,
    /// Both copies are the same, byte for byte.
    pub copies_agree: bool,
    /// The checksum at offset 40 is that of bytes 0..40.
    pub checksum_is_right: bool,
    /// Offset 96: frames copied into the database. Raised under the checkpoint lock.
    pub backfill: u32,
    /// Offset 100: read marks 0 to 4; `None` when unused. Each is set under its own lock, and stays
    /// when its reader has gone.
    pub read_marks: [Option<u32>; 5],
    /// Offset 128: frames that a checkpoint has begun to copy. Set under the checkpoint lock.
    pub backfill_attempted: u32,
}

/// Why a wal-index is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalIndexFault {
    /// The copies differ: it was being written, or a crash tore it.
    Copies,
    /// It was never initialised, or a first opener has cut it.
    NotInit,
    /// The checksum is wrong.
    Checksum,
    /// Another version, or another machine's byte order.
    Version,
}

impl WalIndexFault {
    /// The fault in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Copies => "the copies differ",
            Self::NotInit => "it was never initialised, or has been cut",
            Self::Checksum => "its checksum is wrong",
            Self::Version => "its version is unknown, or it is from a machine of other byte order",
        }
    }
}

impl WalIndexHeader {
    /// Decodes without judging.
    #[must_use]
    pub fn decode(bytes: &[u8; WAL_INDEX_HEADER_BYTES]) -> Self {
        let word = |offset: usize| u32::from_ne_bytes(four(bytes, offset));
        let raw = |offset: usize| u32::from_be_bytes(four(bytes, offset));
        let [is_init, _, size0, size1] = four(bytes, 12);
        let stored = Checksum { a: word(40), b: word(44) };
        let (first, rest) = bytes.split_at(48);
        let (second, _) = rest.split_at(48);
        let computed = Checksum::ZERO.update(ByteOrder::NATIVE, first.split_at(40).0);
        Self {
            version: word(0),
            change: word(8),
            is_init,
            page_size_field: u16::from_ne_bytes([size0, size1]),
            mx_frame: word(16),
            db_size_pages: word(20),
            salts: Salts { salt1: raw(32), salt2: raw(36) },
            copies_agree: first == second,
            checksum_is_right: stored == computed,
            backfill: word(96),
            read_marks: [100, 104, 108, 112, 116]
                .map(|offset| Some(word(offset)).filter(|&mark| mark != u32::MAX)),
            backfill_attempted: word(128),
        }
    }

    /// Judges in the order of walIndexTryHdr.
    ///
    /// # Errors
    /// The first fault that makes SQLite rebuild or refuse it.
    pub fn validate(&self) -> Result<(), WalIndexFault> {
        if !self.copies_agree {
            Err(WalIndexFault::Copies)
        } else if self.is_init == 0 {
            Err(WalIndexFault::NotInit)
        } else if !self.checksum_is_right {
            Err(WalIndexFault::Checksum)
        } else if self.version != WAL_FORMAT_VERSION {
            Err(WalIndexFault::Version)
        } else {
            Ok(())
        }
    }

    /// The page size; `None` before the first commit.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        PageSize::from_wal_index_field(self.page_size_field)
    }
}

fn four(bytes: &[u8; WAL_INDEX_HEADER_BYTES], offset: usize) -> [u8; 4] {
    let field = bytes.get(offset..offset + 4).and_then(|field| field.try_into().ok());
    field.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference vector, as a little-endian machine writes it.
    const VECTOR: [u8; 48] = [
        0x18, 0xe2, 0x2d, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 1, 0, 0, 0, 1, 0, 0, 0, 4, 3, 2,
        1, 8, 7, 6, 5, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x6e, 0x36, 0x55, 0x61,
        0xd9, 0x32, 0x98, 0xfd,
    ];

    #[test]
    #[cfg(target_endian = "little")]
    fn one_copy_decodes_and_encodes_to_the_reference_vector() {
        let mut words = [0; INDEX_HEADER_WORDS];
        for (word, bytes) in words.iter_mut().zip(VECTOR.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        let header = IndexHeader::from_words(words);
        assert_eq!(header.to_words(), words);
        assert_eq!(header.computed_checksum(), Checksum { a: 0x6155_366e, b: 0xfd98_32d9 });
        assert_eq!(header.salts, Salts { salt1: 0x1122_3344, salt2: 0x5566_7788 });
        assert_eq!((header.version, header.mx_frame, header.is_init), (3_007_000, 1, 1));
    }

    #[test]
    fn blocks_and_hashes_match_the_reference_vectors() {
        let blocks = [1, 4062, 4063, 8158, 8159].map(block_of);
        assert_eq!(blocks, [0, 0, 1, 1, 2]);
        assert_eq!([0, 1, 2].map(frame_before_block), [0, 4062, 8158]);
        let hashes = [1, 2, 3, 21, 22, 8191, 8192, 262_145].map(hash_of);
        assert_eq!(hashes, [383, 766, 1149, 8043, 234, 7809, 0, 383]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_header_matches_the_reference_vector() {
        let mut bytes = [0; 136];
        bytes[..48].copy_from_slice(&VECTOR);
        bytes[48..96].copy_from_slice(&VECTOR);
        let header = WalIndexHeader::decode(&bytes);
        assert_eq!(header.validate(), Ok(()));
        assert_eq!(header.page_size().map(|size| size.bytes()), Some(512));
        assert_eq!(header.salts, Salts { salt1: 0x1122_3344, salt2: 0x5566_7788 });
        assert_eq!((header.mx_frame, header.db_size_pages), (1, 1));
        bytes[50] ^= 1;
        assert_eq!(WalIndexHeader::decode(&bytes).validate(), Err(WalIndexFault::Copies));
        bytes[2] ^= 1;
        assert_eq!(WalIndexHeader::decode(&bytes).validate(), Err(WalIndexFault::Checksum));
    }
}
