//! The header of a wal-index, `-shm` (walformat.html section 2, wal.c WalIndexHdr, WalCkptInfo).
//!
//! In the byte order of the machine that wrote it, except the salts, which are copied raw.

use super::wal_header::WAL_FORMAT_VERSION;
use super::{ByteOrder, Checksum, PageSize, Salts};

/// Bytes of both header copies and the checkpoint information.
pub const WAL_INDEX_HEADER_BYTES: usize = 136;

/// The first copy of the header, and the checkpoint information behind both copies.
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
