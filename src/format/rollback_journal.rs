//! The rollback journal, `X-journal` (fileformat2.html section 3, pager.c readJournalHdr,
//! pager_playback_one_page, readSuperJournal). All integers are stored big-endian.

use super::PageSize;
use super::bytes::field_u32;

/// The first bytes of every segment, and the last of a journal that names a super-journal.
pub const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// Bytes of a segment header; zeros follow to the end of its sector.
pub const JOURNAL_HEADER_BYTES: usize = 28;
/// Bytes after the name of a super-journal: its length, its sum, the magic.
pub const SUPER_TRAILER_BYTES: usize = 16;
/// The longest name of a super-journal that SQLite accepts (os_unix.c MAX_PATHNAME).
pub const SUPER_NAME_MAX_BYTES: usize = 512;

/// The header of a segment as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHeader {
    /// Offset 8: records in this segment; `None` (0xffffffff) means as many as the file holds.
    pub records: Option<u32>,
    /// Offset 12: start of every record's checksum.
    pub nonce: u32,
    /// Offset 16: size of the database in pages before the transaction.
    pub db_size_pages: u32,
    /// Offset 20: bytes of a sector; segments begin at its multiples. Of the first header only.
    pub sector_bytes: u32,
    /// Offset 24: page size; 0 in journals of SQLite before 3.5.8. Of the first header only.
    pub page_size_bytes: u32,
}

impl JournalHeader {
    /// Decodes a header; `None` without the magic: here the journal ends.
    #[must_use]
    pub fn decode(bytes: &[u8; JOURNAL_HEADER_BYTES]) -> Option<Self> {
        bytes.starts_with(&JOURNAL_MAGIC).then(|| Self {
            records: Some(field_u32::<8, 28>(bytes)).filter(|&records| records != u32::MAX),
            nonce: field_u32::<12, 28>(bytes),
            db_size_pages: field_u32::<16, 28>(bytes),
            sector_bytes: field_u32::<20, 28>(bytes),
            page_size_bytes: field_u32::<24, 28>(bytes),
        })
    }

    /// Sector and page size of a first header; `None` when one of them is none. `database` is the
    /// page size where the header names none.
    #[must_use]
    pub fn sizes(&self, database: PageSize) -> Option<(u64, PageSize)> {
        let sector = self.sector_bytes;
        let page_size = match self.page_size_bytes {
            0 => Some(database),
            bytes => PageSize::from_bytes(bytes),
        };
        let valid = (32..=65_536).contains(&sector) && sector.is_power_of_two();
        page_size.filter(|_| valid).map(|page_size| (u64::from(sector), page_size))
    }
}

/// The checksum of a record: the nonce and every 200th byte of the image, from its end
/// (pager.c pager_cksum).
#[must_use]
pub fn record_checksum(nonce: u32, image: &[u8]) -> u32 {
    let sampled = (1..).map(|step| step * 200).map_while(|back| {
        let at = image.len().checked_sub(back).filter(|&at| at > 0)?;
        image.get(at)
    });
    sampled.fold(nonce, |sum, &byte| sum.wrapping_add(u32::from(byte)))
}

/// Bytes of the name of a super-journal, by the last [`SUPER_TRAILER_BYTES`] of a journal of
/// `journal_bytes`, and the sum that the name should have; `None` when there is none.
#[must_use]
pub fn super_journal_trailer(
    trailer: &[u8; SUPER_TRAILER_BYTES],
    journal_bytes: u64,
) -> Option<(usize, u32)> {
    let (len, sum) = (field_u32::<0, 16>(trailer), field_u32::<4, 16>(trailer));
    let fits = len > 0 && u64::from(len) <= journal_bytes.saturating_sub(16);
    let len = usize::try_from(len).ok().filter(|&len| fits && len <= SUPER_NAME_MAX_BYTES)?;
    trailer.ends_with(&JOURNAL_MAGIC).then_some((len, sum))
}

/// The name in `field`, the bytes before the trailer; `None` unless they have that sum and the name
/// looks like one that SQLite gives to a super-journal: its last 12 characters are `-mj`, six
/// hexadecimal digits, `9` and two more. A zero ends it, as everywhere in C, but the sum goes on.
#[must_use]
pub fn super_journal_name(field: &[u8], sum: u32) -> Option<&[u8]> {
    // The bytes are summed as signed characters.
    let signed = |&byte: &u8| {
        let low = u32::from(byte);
        if byte < 128 { low } else { low.wrapping_sub(256) }
    };
    let right = field.iter().map(signed).fold(0, u32::wrapping_add) == sum;
    let name = field.split(|&byte| byte == 0).next()?;
    let (_, end) = name.split_last_chunk::<12>()?;
    let [b'-', b'm', b'j', six @ .., b'9', a, b] = end else { return None };
    let hexadecimal = six.iter().chain([a, b]).all(u8::is_ascii_hexdigit);
    (right && hexadecimal).then_some(name)
}

/// Names of the journals that a super-journal with this content lists, each ended by a zero.
pub fn super_journal_children(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|&byte| byte == 0).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_sums_match_the_reference_vector() {
        let image: Vec<u8> = (0..512_u32).map(|i| (i & 255) as u8).collect();
        assert_eq!(record_checksum(0x0102_0304, &image), 0x0102_03ac);
        // Byte 0 is never summed, however the steps fall.
        assert_eq!(record_checksum(0, &[9; 200]), 0);
        assert_eq!(record_checksum(0, &[9; 201]), 9);
    }

    #[test]
    fn headers_end_where_the_magic_does() {
        let mut bytes = [0; 28];
        assert_eq!(JournalHeader::decode(&bytes), None);
        bytes[..8].copy_from_slice(&JOURNAL_MAGIC);
        bytes[8..12].copy_from_slice(&[0xff; 4]);
        bytes[22..24].copy_from_slice(&[2, 0]);
        let header = JournalHeader::decode(&bytes).unwrap();
        assert_eq!((header.records, header.sector_bytes), (None, 512));
        // Without a page size it is that of the database.
        assert_eq!(header.sizes(PageSize::ALL[7]), Some((512, PageSize::ALL[7])));
        let own = JournalHeader { page_size_bytes: 512, sector_bytes: 32, ..header };
        assert_eq!(own.sizes(PageSize::DEFAULT), Some((32, PageSize::ALL[0])));
    }

    #[test]
    fn sizes_that_are_none_end_the_journal() {
        let header = JournalHeader {
            records: None,
            nonce: 0,
            db_size_pages: 1,
            sector_bytes: 512,
            page_size_bytes: 4096,
        };
        for sector_bytes in [0, 16, 33, 131_072, u32::MAX] {
            assert_eq!(JournalHeader { sector_bytes, ..header }.sizes(PageSize::DEFAULT), None);
        }
        for page_size_bytes in [1, 256, 1000, 131_072, u32::MAX] {
            assert_eq!(JournalHeader { page_size_bytes, ..header }.sizes(PageSize::DEFAULT), None);
        }
    }

    #[test]
    fn super_journals_are_known_by_sum_and_pattern() {
        let sum = |name: &[u8]| name.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        let named = |name| super_journal_name(name, sum(name));
        let name: &[u8] = b"/tmp/x.db-mj0A1B2C9FF";
        assert_eq!(named(name), Some(name));
        assert_eq!(super_journal_name(name, sum(name) + 1), None);
        assert_eq!(named(b"-mj"), None);
        assert_eq!(named(b"/tmp/x.db-mj0A1B2C8FF"), None);
        assert_eq!(named(b"/tmp/x.db-mj0A1B2G9FF"), None);
        assert_eq!(named(b"/tmp/x.db-wj0A1B2C9FF"), None);
        assert_eq!(named(b"/tmp/x.db-mj0A1B2C9FF\0tail"), Some(name));
        assert_eq!(named(b"tail\0/tmp/x.db-mj0A1B2C9FF"), None);
        // 0xc3 and 0xa9 count as -61 and -87.
        let signed = sum(b"-mj0A1B2C9FF").wrapping_sub(148);
        let umlaut: &[u8] = b"\xc3\xa9-mj0A1B2C9FF";
        assert_eq!(super_journal_name(umlaut, signed), Some(umlaut));
    }

    #[test]
    fn a_trailer_must_fit_into_the_journal_and_its_name_into_a_path() {
        let mut trailer = [0; 16];
        trailer[3] = 21;
        trailer[7] = 9;
        assert_eq!(super_journal_trailer(&trailer, 1000), None);
        trailer[8..].copy_from_slice(&JOURNAL_MAGIC);
        assert_eq!(super_journal_trailer(&trailer, 37), Some((21, 9)));
        assert_eq!(super_journal_trailer(&trailer, 36), None);
        trailer[2..4].copy_from_slice(&[2, 0]);
        assert_eq!(super_journal_trailer(&trailer, 1000), Some((512, 9)));
        trailer[3] = 1;
        assert_eq!(super_journal_trailer(&trailer, 1000), None);
        trailer[2..4].copy_from_slice(&[0, 0]);
        assert_eq!(super_journal_trailer(&trailer, 1000), None);
    }

    #[test]
    fn a_super_journal_lists_names_that_end_with_a_zero() {
        let listed: Vec<&[u8]> = super_journal_children(b"/a-journal\0\0/b-journal\0").collect();
        assert_eq!(listed, [b"/a-journal", b"/b-journal"]);
        assert_eq!(super_journal_children(b"").count(), 0);
    }
}
