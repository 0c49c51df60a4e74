//! What a journal was found to hold, and what of it is missing.

use super::RolledBack;
use super::flaw::Flaw;
use crate::format::{PageSize, Pgno};

/// What a journal holds, as far as SQLite would read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Page size by its header; without one that of the database.
    pub page_size: PageSize,
    /// Pages that the database had before the transaction; `None` without a valid first header.
    pub db_size_pages: Option<u32>,
    /// Records that are put back.
    pub records: u32,
    /// Their pages, each once, ascending.
    pub pages: Vec<Pgno>,
    /// Records that there should be: as many as its headers count, and of a segment that the size
    /// of the file counts those that are put back.
    pub counted_records: u64,
    /// Where what it was to hold is not there, or is wrong: SQLite stops there without an error.
    pub flaw: Option<Flaw>,
}

impl Contents {
    pub(super) fn rolled_back(&self) -> RolledBack {
        RolledBack::Played { pages: self.records, db_size_pages: self.db_size_pages }
    }

    /// Pages that the headers count and no record puts back.
    #[must_use]
    pub fn missing_pages(&self) -> u64 {
        self.counted_records.saturating_sub(self.pages.len() as u64)
    }

    /// Pages of the database before the transaction that neither the journal nor a file of
    /// `file_bytes` has: nothing but zeros can stand there.
    #[must_use]
    pub fn pages_nowhere(&self, file_bytes: u64) -> u64 {
        let Some(size) = self.db_size_pages else { return 0 };
        let in_file = file_bytes.div_ceil(self.page_size.bytes_u64());
        let lock = self.page_size.lock_byte_page();
        let is_wanted = |page: &&Pgno| u64::from(page.0) > in_file && page.0 <= size;
        let held = self.pages.iter().filter(is_wanted).count() as u64;
        let lock_page = u64::from(u64::from(lock.0) > in_file && lock.0 <= size);
        u64::from(size).saturating_sub(in_file).saturating_sub(held + lock_page)
    }
}
