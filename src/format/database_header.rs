//! The first 100 bytes of a database (fileformat2.html section 1.3, btree.c lockBtree).

use super::PageSize;
use super::bytes::field_u32;

/// Bytes of the database header, at the start of page 1.
pub const DATABASE_HEADER_BYTES: usize = 100;

/// The header as found, right or wrong. All integers are stored big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseHeader {
    /// Offset 0, 16 bytes: `SQLite format 3` and a zero.
    pub magic: [u8; 16],
    /// Offset 16, 2 bytes: page size, 1 meaning 65536.
    pub page_size_field: [u8; 2],
    /// Offset 18: 1 for a rollback journal, 2 for a log.
    pub write_version: u8,
    /// Offset 19: the same for readers; 2 makes SQLite open the log.
    pub read_version: u8,
    /// Offset 20: reserved bytes at the end of every page.
    pub reserved_bytes: u8,
    /// Offset 21: payload fractions, always 64, 32, 32.
    pub payload_fractions: [u8; 3],
    /// Offset 24: file change counter; does not change over many commits in WAL mode.
    pub change_counter: u32,
    /// Offset 28: pages of the database, if `version_valid_for` equals the change counter.
    pub page_count_field: u32,
    /// Offset 32: first trunk page of the freelist; 0 without one.
    pub first_trunk: u32,
    /// Offset 36: pages on the freelist, trunks included.
    pub freelist_pages: u32,
    /// Offset 40: schema cookie, one more with each change of the schema.
    pub schema_cookie: u32,
    /// Offset 44: schema format, 1 to 4; 0 in a database without a schema.
    pub schema_format: u32,
    /// Offset 52: largest root page in an auto-vacuum database; 0 in others.
    pub largest_root: u32,
    /// Offset 56: 1 UTF-8, 2 UTF-16LE, 3 UTF-16BE.
    pub text_encoding: u32,
    /// Offset 60: `PRAGMA user_version`.
    pub user_version: u32,
    /// Offset 64: not 0 for incremental vacuum.
    pub incremental_vacuum: u32,
    /// Offset 68: `PRAGMA application_id`.
    pub application_id: u32,
    /// Offset 92: change counter at the last write of page 1.
    pub version_valid_for: u32,
}

/// What makes SQLite answer SQLITE_NOTADB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseHeaderFault {
    /// The magic is wrong.
    Magic,
    /// The page size is not a power of two from 512 to 65536.
    PageSize,
    /// The read version is above 2.
    ReadVersion,
    /// The payload fractions are not 64, 32, 32.
    PayloadFractions,
    /// Fewer than 480 bytes of a page are usable.
    ReservedBytes,
}

impl DatabaseHeader {
    /// Decodes without judging.
    #[must_use]
    pub fn decode(bytes: &[u8; DATABASE_HEADER_BYTES]) -> Self {
        let (magic, rest) = bytes.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let (fields, _) = rest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let &[size0, size1, write_version, read_version, reserved_bytes, f0, f1, f2] = fields;
        Self {
            magic: *magic,
            page_size_field: [size0, size1],
            write_version,
            read_version,
            reserved_bytes,
            payload_fractions: [f0, f1, f2],
            change_counter: field_u32::<24, 100>(bytes),
            page_count_field: field_u32::<28, 100>(bytes),
            first_trunk: field_u32::<32, 100>(bytes),
            freelist_pages: field_u32::<36, 100>(bytes),
            schema_cookie: field_u32::<40, 100>(bytes),
            schema_format: field_u32::<44, 100>(bytes),
            largest_root: field_u32::<52, 100>(bytes),
            text_encoding: field_u32::<56, 100>(bytes),
            user_version: field_u32::<60, 100>(bytes),
            incremental_vacuum: field_u32::<64, 100>(bytes),
            application_id: field_u32::<68, 100>(bytes),
            version_valid_for: field_u32::<92, 100>(bytes),
        }
    }

    /// Begins as every database that is not encrypted does.
    #[must_use]
    pub fn has_magic(&self) -> bool {
        &self.magic == b"SQLite format 3\0"
    }

    /// Judges as lockBtree does.
    ///
    /// # Errors
    /// The first fault that makes SQLite refuse the file.
    pub fn validate(&self) -> Result<(), DatabaseHeaderFault> {
        if !self.has_magic() {
            return Err(DatabaseHeaderFault::Magic);
        }
        if self.read_version > 2 {
            return Err(DatabaseHeaderFault::ReadVersion);
        }
        if self.payload_fractions != [64, 32, 32] {
            return Err(DatabaseHeaderFault::PayloadFractions);
        }
        let page_size = self.page_size().ok_or(DatabaseHeaderFault::PageSize)?;
        if page_size.bytes() - u32::from(self.reserved_bytes) < 480 {
            return Err(DatabaseHeaderFault::ReservedBytes);
        }
        Ok(())
    }

    /// Whether the database is in WAL mode.
    #[must_use]
    pub fn is_wal(&self) -> bool {
        (self.write_version, self.read_version) == (2, 2)
    }

    /// Whether it is that of a database in wal2 mode, of SQLite's branch of that name.
    #[must_use]
    pub fn is_wal2(&self) -> bool {
        &self.magic == b"SQLite format 3\0" && (self.write_version, self.read_version) == (3, 3)
    }

    /// The page size, if the field holds one.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        PageSize::from_database_field(self.page_size_field)
    }

    /// Pages of the database by its header; `None` when the field is not to be trusted.
    #[must_use]
    pub fn page_count(&self) -> Option<u32> {
        let trusted = self.version_valid_for == self.change_counter;
        Some(self.page_count_field).filter(|&pages| trusted && pages != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an empty database of 4096-byte pages in WAL mode, by hand from the spec.
    fn header() -> [u8; 100] {
        let mut bytes = [0; 100];
        bytes[..16].copy_from_slice(b"SQLite format 3\0");
        bytes[16..24].copy_from_slice(&[0x10, 0, 2, 2, 0, 64, 32, 32]);
        bytes[27] = 7;
        bytes[31] = 5;
        bytes[59] = 1;
        bytes[95] = 7;
        bytes
    }

    #[test]
    fn a_good_header_is_read_field_by_field() {
        let header = DatabaseHeader::decode(&header());
        assert_eq!(header.validate(), Ok(()));
        assert_eq!(header.page_size().map(|size| size.bytes()), Some(4096));
        assert_eq!((header.page_count(), header.text_encoding), (Some(5), 1));
    }

    #[test]
    fn the_page_count_counts_only_under_the_same_change_counter() {
        let mut bytes = header();
        bytes[95] = 6;
        assert_eq!(DatabaseHeader::decode(&bytes).page_count(), None);
    }

    #[test]
    fn each_fault_is_named() {
        let faults = [
            (0, 0, DatabaseHeaderFault::Magic),
            (16, 3, DatabaseHeaderFault::PageSize),
            (19, 3, DatabaseHeaderFault::ReadVersion),
            (21, 65, DatabaseHeaderFault::PayloadFractions),
        ];
        for (at, value, fault) in faults {
            let mut bytes = header();
            bytes[at] = value;
            assert_eq!(DatabaseHeader::decode(&bytes).validate(), Err(fault));
        }
        let mut bytes = header();
        bytes[16..18].copy_from_slice(&[2, 0]);
        bytes[20] = 33;
        let fault = DatabaseHeader::decode(&bytes).validate();
        assert_eq!(fault, Err(DatabaseHeaderFault::ReservedBytes));
    }
}
