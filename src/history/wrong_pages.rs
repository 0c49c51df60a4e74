//! Pages of a cksumvfs database whose checksum is wrong in the file.

use serde::Serialize;

use crate::format::page_checksum::verifies;
use crate::format::{PageSize, Pgno};
use crate::history::snapshot::Snapshot;
use crate::scan::{Error, Watch};
use crate::storage::File;

/// Bytes of the file that one read takes.
const READ_BYTES: usize = 1 << 20;

/// What the pages of a database file with page checksums show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageChecksumCounts {
    /// Pages that were read.
    pub pages_checked: u32,
    /// Those of them that do not end with their checksum.
    pub pages_wrong: u32,
    /// The first of those.
    pub first_wrong_page: Option<u32>,
    /// Wrong pages that SQLite takes from the file: the log has no newer image of them. `None`
    /// where a hot journal may put other bytes there first.
    pub pages_wrong_in_use: Option<u32>,
    /// The first of those.
    pub first_wrong_page_in_use: Option<u32>,
}

/// What else is known of the database.
pub struct Around<'a> {
    /// What the log gives; empty without one.
    pub snapshot: &'a Snapshot,
    /// Frames up to this one are in the file, and SQLite reads their pages there.
    pub backfill: u32,
    /// A rollback journal is played back before SQLite reads a page.
    pub journal_is_hot: bool,
}

/// Reads every page of the database in `file`, which has page checksums
/// ([`crate::engine::page_checksum::are_in`]) and does not change.
///
/// # Errors
/// When the file cannot be read, or the watcher stops it.
pub fn find(
    file: &dyn File,
    page_size: PageSize,
    around: &Around<'_>,
    watch: &dyn Watch,
) -> Result<PageChecksumCounts, Error> {
    let mut found = PageChecksumCounts {
        pages_wrong_in_use: (!around.journal_is_hot).then_some(0),
        ..PageChecksumCounts::default()
    };
    let in_file = u32::try_from(file.size()? / page_size.bytes_u64()).unwrap_or(u32::MAX);
    let pages = in_file.min(around.snapshot.db_size_pages.unwrap_or(u32::MAX));
    let end = u64::from(pages) * page_size.bytes_u64();
    let mut chunk = vec![0; READ_BYTES];
    let mut offset = 0;
    while offset < end {
        if watch.scanned(offset, end).is_break() {
            return Err(Error::Interrupted);
        }
        let wanted = usize::try_from(end - offset).unwrap_or(READ_BYTES).min(READ_BYTES);
        let read = file.read_at(chunk.split_at_mut(wanted).0, offset)?;
        let images = chunk.split_at(read).0.chunks_exact(page_size.in_memory());
        for (page, image) in (page_at(offset, page_size)..).zip(images) {
            found.count(Pgno(page), verifies(image), around);
        }
        if read < wanted {
            break;
        }
        offset += read as u64;
    }
    Ok(found)
}

/// The page that begins at `offset`.
fn page_at(offset: u64, page_size: PageSize) -> u32 {
    u32::try_from(offset / page_size.bytes_u64() + 1).unwrap_or(u32::MAX)
}

impl PageChecksumCounts {
    fn count(&mut self, page: Pgno, right: bool, around: &Around<'_>) {
        self.pages_checked += 1;
        if right {
            return;
        }
        self.pages_wrong += 1;
        self.first_wrong_page = self.first_wrong_page.or(Some(page.0));
        let newest = around.snapshot.pages.get(&page);
        if newest.is_some_and(|frame| frame.0 > around.backfill) {
            return;
        }
        if let Some(in_use) = &mut self.pages_wrong_in_use {
            *in_use += 1;
            self.first_wrong_page_in_use = self.first_wrong_page_in_use.or(Some(page.0));
        }
    }
}
