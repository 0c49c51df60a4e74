//! Reads a journal record by record, as far as SQLite would (pager.c readJournalHdr,
//! pager_playback, pager_playback_one_page), and says whether that is all that it was to hold.

use super::contents::Contents;
use super::flaw::Flaw;
use super::super_journal_of;
use crate::engine::Result;
use crate::engine::wal::zeroed;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::rollback_journal::{
    JOURNAL_HEADER_BYTES, JOURNAL_MAGIC, JournalHeader, record_checksum,
};
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::storage::File;

/// Takes a page, its size and its image.
type VisitPage<'a> = dyn FnMut(Pgno, PageSize, &[u8]) -> Result<()> + 'a;

/// A journal that is being read.
pub(super) struct Journal<'a> {
    file: &'a dyn File,
    bytes: u64,
    /// Of the first header; until then what SQLite assumes where a write spoils no other bytes.
    sector_bytes: u64,
    /// Of the first header; until then that of the database.
    page_size: PageSize,
    /// Where the next header or record begins.
    offset: u64,
    /// Where the last record ends that was put back.
    records_end: u64,
    /// Bytes 16..28 of the first header, which every later one repeats.
    repeated: Option<[u8; 12]>,
    flaw: Option<Flaw>,
}

impl<'a> Journal<'a> {
    pub(super) fn of(file: &'a dyn File, database: Option<&dyn File>) -> Result<Self> {
        // What the file does not have stays zero (btree.c sqlite3BtreeOpen).
        let mut header = [0; DATABASE_HEADER_BYTES];
        if let Some(database) = database {
            database.read_at(&mut header, 0)?;
        }
        let page_size = DatabaseHeader::decode(&header).page_size().unwrap_or(PageSize::DEFAULT);
        Ok(Self {
            file,
            bytes: file.size()?,
            sector_bytes: 512,
            page_size,
            offset: 0,
            records_end: 0,
            repeated: None,
            flaw: None,
        })
    }

    /// Puts every page back into `database`, and gives it its old size.
    pub(super) fn play(self, database: &dyn File) -> Result<Contents> {
        self.read(
            &mut |pages, page_size| resize(database, pages, page_size),
            &mut |page, page_size, image| {
                Ok(database.write_at(image, page.offset_bytes(page_size))?)
            },
        )
    }

    /// What it holds.
    pub(super) fn contents(self) -> Result<Contents> {
        self.read(&mut |_, _| Ok(()), &mut |_, _, _| Ok(()))
    }

    fn read(
        mut self,
        begin: &mut dyn FnMut(u32, PageSize) -> Result<()>,
        visit: &mut VisitPage<'_>,
    ) -> Result<Contents> {
        let (mut pages, mut db_size_pages, mut counted_records) = (Vec::new(), None, 0_u64);
        let mut records = 0_u32;
        while let Some(header) = self.next_header(db_size_pages)? {
            let page_size = self.page_size;
            let size_pages = match db_size_pages {
                Some(size_pages) => size_pages,
                None => {
                    begin(header.db_size_pages, page_size)?;
                    header.db_size_pages
                }
            };
            db_size_pages = Some(size_pages);
            let records_at = self.offset;
            let segment = self.segment(&header, size_pages, &mut |page, image| {
                records = records.saturating_add(1);
                pages.push(page);
                visit(page, page_size, image)
            })?;
            counted_records = counted_records.saturating_add(segment);
            if self.offset >= self.bytes {
                // Where it ended early, later headers are not read; what they count is missing,
                // too.
                if let Some(records) = header.records {
                    let end = records_at + u64::from(records) * self.record_bytes();
                    counted_records = counted_records.saturating_add(self.counted_after(end)?);
                }
                break;
            }
        }
        if let Some(Flaw::Header { offset_bytes }) = self.flaw {
            let lost = self.counted_without_magic(offset_bytes)?;
            counted_records = counted_records.saturating_add(lost);
        }
        if db_size_pages.is_none() {
            self.flaw = Some(Flaw::NoHeader);
        } else if self.flaw.is_none() && self.lost_its_name()? {
            self.flaw = Some(Flaw::Name { offset_bytes: self.records_end });
        }
        pages.sort_unstable();
        let twice = pages.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(*one),
            _ => None,
        });
        // A page has one record at most: the number of one of these is wrong.
        self.flaw = self.flaw.or(twice.map(|page| Flaw::Twice { page }));
        pages.dedup();
        let (page_size, flaw) = (self.page_size, self.flaw);
        Ok(Contents { page_size, db_size_pages, records, pages, counted_records, flaw })
    }

    /// The next segment; `None` after the last. `size_pages` is that of the first.
    fn next_header(&mut self, size_pages: Option<u32>) -> Result<Option<JournalHeader>> {
        let first = self.offset == 0;
        self.offset = self.offset.next_multiple_of(self.sector_bytes);
        let mut bytes = [0; JOURNAL_HEADER_BYTES];
        if self.offset + self.sector_bytes > self.bytes {
            let read = self.file.read_at(&mut bytes, self.offset)?;
            if !first && read >= JOURNAL_MAGIC.len() && bytes.starts_with(&JOURNAL_MAGIC) {
                self.flaw.get_or_insert(Flaw::Cut { offset_bytes: self.offset });
            }
            return Ok(None);
        }
        if self.file.read_at(&mut bytes, self.offset)? < bytes.len() {
            return Ok(None);
        }
        let Some(header) = JournalHeader::decode(&bytes) else {
            let records_at = self.offset + self.sector_bytes;
            let is_zero = bytes.iter().all(|&byte| byte == 0);
            let hides_records = match size_pages.filter(|_| is_zero) {
                Some(size_pages) => self.are_records(records_at, size_pages)?,
                None => false,
            };
            if self.lost_its_magic(&bytes) || hides_records {
                self.flaw.get_or_insert(Flaw::Header { offset_bytes: self.offset });
            }
            return Ok(None);
        };
        if first {
            let Some((sector_bytes, page_size)) = header.sizes(self.page_size) else {
                return Ok(None);
            };
            self.sector_bytes = sector_bytes;
            self.page_size = page_size;
            self.repeated = bytes.last_chunk::<12>().copied();
        }
        self.offset += self.sector_bytes;
        Ok(Some(header))
    }

    /// Whether a header without magic was one. While it is being filled its first 12 bytes are
    /// zero; and the magic of an older journal loses its first byte where a new one ends before it
    /// (pager.c syncJournal).
    fn lost_its_magic(&self, bytes: &[u8; JOURNAL_HEADER_BYTES]) -> bool {
        let is_like_first =
            self.repeated.is_some() && bytes.last_chunk::<12>() == self.repeated.as_ref();
        let (begin, _) = bytes.split_at(12);
        let was_zeroed = begin.first() == Some(&0) && begin.get(1..8) == JOURNAL_MAGIC.get(1..);
        is_like_first && !was_zeroed && begin.iter().any(|&byte| byte != 0)
    }

    /// Whether two records of one nonce begin at `offset`: those of a segment whose header is
    /// zeros. One that is not synced yet has its nonce.
    fn are_records(&self, offset: u64, size_pages: u32) -> Result<bool> {
        let mut image = zeroed(self.page_size.in_memory())?;
        let mut record = |offset: u64| -> Result<Option<(Pgno, u32)>> {
            let (mut number, mut sum) = ([0; 4], [0; 4]);
            let image_at = offset + 4;
            let sum_at = image_at + self.page_size.bytes_u64();
            let is_whole = self.file.read_at(&mut number, offset)? == 4
                && self.file.read_at(&mut image, image_at)? == image.len()
                && self.file.read_at(&mut sum, sum_at)? == 4;
            let page = u32::from_be_bytes(number);
            let is_page = is_whole && (1..=size_pages).contains(&page);
            let nonce = u32::from_be_bytes(sum).wrapping_sub(record_checksum(0, &image));
            Ok(is_page.then_some((Pgno(page), nonce)))
        };
        let (one, other) = (record(offset)?, record(offset + self.record_bytes())?);
        Ok(one.zip(other).is_some_and(|(one, other)| one.0 != other.0 && one.1 == other.1))
    }

    /// Whether the name of a super-journal comes after the last record, or the end of one is that
    /// of the file, and it is none (pager.c writeSuperJournal).
    fn lost_its_name(&self) -> Result<bool> {
        let mut number = [0; 4];
        let lock_byte_page = self.page_size.lock_byte_page().0.to_be_bytes();
        let mut is_named = false;
        for at in [self.records_end, self.records_end.next_multiple_of(self.sector_bytes)] {
            is_named |= self.file.read_at(&mut number, at)? == 4 && number == lock_byte_page;
        }
        let mut magic = [0; JOURNAL_MAGIC.len()];
        if let Some(at) = self.bytes.checked_sub(magic.len() as u64).filter(|&at| at > 0) {
            is_named |= self.file.read_at(&mut magic, at)? == magic.len() && magic == JOURNAL_MAGIC;
        }
        Ok(is_named && super_journal_of(self.file)?.is_none())
    }

    /// Records that the headers from `offset` on count.
    fn counted_after(&self, mut offset: u64) -> Result<u64> {
        let mut counted = 0_u64;
        loop {
            offset = offset.next_multiple_of(self.sector_bytes);
            let mut bytes = [0; JOURNAL_HEADER_BYTES];
            let is_whole = self.file.read_at(&mut bytes, offset)? == bytes.len();
            // The page count of the first may be what is wrong; the two sizes are not: it was read.
            let sizes = self.repeated.as_ref().and_then(|fields| fields.last_chunk::<8>());
            let is_like_first = bytes.last_chunk::<8>() == sizes;
            let header = JournalHeader::decode(&bytes).filter(|_| is_whole && is_like_first);
            let Some(records) = header.and_then(|header| header.records) else {
                return Ok(counted);
            };
            counted = counted.saturating_add(records.into());
            offset += self.sector_bytes + u64::from(records) * self.record_bytes();
        }
    }

    /// The same where the first of them has lost its magic: its count is believed if its records
    /// are there.
    fn counted_without_magic(&self, offset: u64) -> Result<u64> {
        let mut bytes = [0; JOURNAL_HEADER_BYTES];
        self.file.read_at(&mut bytes, offset)?;
        if let Some(magic) = bytes.first_chunk_mut() {
            *magic = JOURNAL_MAGIC;
        }
        let header = JournalHeader::decode(&bytes);
        let records = u64::from(header.and_then(|header| header.records).unwrap_or_default());
        let end = offset + self.sector_bytes + records * self.record_bytes();
        if end > self.bytes {
            return Ok(0);
        }
        Ok(records.saturating_add(self.counted_after(end)?))
    }

    fn record_bytes(&self) -> u64 {
        self.page_size.bytes_u64() + 8
    }

    /// Reads the records of a segment; returns how many there should be.
    fn segment(
        &mut self,
        header: &JournalHeader,
        size_pages: u32,
        visit: &mut dyn FnMut(Pgno, &[u8]) -> Result<()>,
    ) -> Result<u64> {
        let all = self.bytes.saturating_sub(self.sector_bytes) / self.record_bytes();
        let records = header.records.map_or(all, u64::from);
        let mut image = zeroed(self.page_size.in_memory())?;
        let mut valid = 0;
        self.records_end = self.offset;
        for _ in 0..records {
            let offset_bytes = self.offset;
            match self.next_record(&mut image, header.nonce, size_pages)? {
                Record::Page(page) => {
                    valid += 1;
                    self.records_end = self.offset;
                    visit(page, &image)?;
                }
                Record::Skipped => {
                    // SQLite journals no page that is new: the number is wrong.
                    self.flaw.get_or_insert(Flaw::Record { offset_bytes });
                }
                Record::End => {
                    if header.records.is_some() {
                        self.flaw.get_or_insert(Flaw::Cut { offset_bytes });
                    }
                    self.offset = self.bytes;
                    return Ok(header.records.map_or(valid, u64::from));
                }
                // Records that were not synced describe pages that were never written.
                Record::Invalid => {
                    if header.records.is_some() || self.goes_on(header.nonce, size_pages)? {
                        self.flaw.get_or_insert(Flaw::Record { offset_bytes });
                    } else if valid == 0 && self.are_records(offset_bytes, size_pages)? {
                        self.flaw.get_or_insert(Flaw::Nonce { offset_bytes });
                    } else if self.has_header_after(offset_bytes)? {
                        self.flaw.get_or_insert(Flaw::Count { offset_bytes });
                    }
                    self.offset = self.bytes;
                    return Ok(header.records.map_or(valid, u64::from));
                }
            }
        }
        let end = self.offset;
        let next = self.next_record(&mut image, header.nonce, size_pages)?;
        self.offset = end;
        if let (Record::Page(_), true) = (next, header.records.is_some()) {
            self.flaw.get_or_insert(Flaw::Count { offset_bytes: end });
        }
        Ok(header.records.map_or(valid, u64::from))
    }

    /// Whether a later segment begins at the next sector: who counts by the size of the file writes
    /// one segment (pager.c syncJournal).
    fn has_header_after(&self, offset: u64) -> Result<bool> {
        let mut bytes = [0; JOURNAL_HEADER_BYTES];
        let at = offset.next_multiple_of(self.sector_bytes);
        let is_whole = self.file.read_at(&mut bytes, at)? == bytes.len();
        let is_like_first = bytes.last_chunk::<12>() == self.repeated.as_ref();
        Ok(is_whole && is_like_first && bytes.starts_with(&JOURNAL_MAGIC))
    }

    /// Whether records of the same nonce come after a wrong one that only the size of the file
    /// counts: what an older transaction left there has another.
    fn goes_on(&mut self, nonce: u32, size_pages: u32) -> Result<bool> {
        let mut image = zeroed(self.page_size.in_memory())?;
        loop {
            match self.next_record(&mut image, nonce, size_pages)? {
                Record::Page(_) => return Ok(true),
                Record::Skipped | Record::Invalid => {}
                Record::End => return Ok(false),
            }
        }
    }

    fn next_record(&mut self, image: &mut [u8], nonce: u32, size_pages: u32) -> Result<Record> {
        let (mut number, mut sum) = ([0; 4], [0; 4]);
        let start = self.offset;
        let sum_at = start + 4 + self.page_size.bytes_u64();
        if self.file.read_at(&mut number, start)? < 4
            || self.file.read_at(image, start + 4)? < image.len()
        {
            return Ok(Record::End);
        }
        self.offset = sum_at + 4;
        let page = Pgno(u32::from_be_bytes(number));
        if page.0 == 0 || page == self.page_size.lock_byte_page() {
            return Ok(Record::Invalid);
        }
        if page.0 > size_pages {
            return Ok(Record::Skipped);
        }
        if self.file.read_at(&mut sum, sum_at)? < 4 {
            return Ok(Record::End);
        }
        let right = record_checksum(nonce, image) == u32::from_be_bytes(sum);
        Ok(if right { Record::Page(page) } else { Record::Invalid })
    }
}

/// What is at a record's place.
enum Record {
    /// The original of a page.
    Page(Pgno),
    /// A page that the database did not have before: SQLite goes on to the next.
    Skipped,
    /// The file ends.
    End,
    /// No record: playing back ends here.
    Invalid,
}

/// Gives the database the size that it had: cut, or with a page of zeros at its end
/// (pager.c pager_truncate).
fn resize(database: &dyn File, size_pages: u32, page_size: PageSize) -> Result<()> {
    let wanted_bytes = u64::from(size_pages) * page_size.bytes_u64();
    let size_bytes = database.size()?;
    if size_bytes > wanted_bytes {
        database.truncate(wanted_bytes)?;
    } else if size_bytes + page_size.bytes_u64() <= wanted_bytes {
        let zeros = zeroed(page_size.in_memory())?;
        database.write_at(&zeros, wanted_bytes - page_size.bytes_u64())?;
    }
    Ok(())
}
