//! Plays a hot rollback journal back (pager.c sqlite3PagerSharedLock, pager_playback,
//! pager_playback_one_page, pager_delsuper).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::connection::has_hot_journal;
use super::wal::zeroed;
use super::{Error, Result};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::rollback_journal::{
    JOURNAL_HEADER_BYTES, JournalHeader, SUPER_TRAILER_BYTES, is_super_journal_name,
    record_checksum, super_journal_trailer,
};
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::storage::{File, LockLevel, Locked, OpenMode, SyncDirectory, SyncKind, Vfs};

/// What a rollback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledBack {
    /// The journal was not hot: nothing was touched.
    Cold,
    /// The transaction had been committed: its super-journal has gone. Only the journal was deleted.
    Committed,
    /// The database is as it was before the transaction.
    Played {
        /// Pages that were put back.
        pages: u32,
        /// Size of the database; `None` when the journal held no segment.
        db_size_pages: Option<u32>,
    },
}

/// A journal that is being read.
struct Journal<'a> {
    file: &'a dyn File,
    bytes: u64,
    sector_bytes: u64,
    page_size: Option<PageSize>,
    /// Where the next header or record begins.
    offset: u64,
}

/// Rolls the transaction of `journal` back if it is hot. The caller holds SHARED; EXCLUSIVE is taken
/// straight from there, without RESERVED, so that others keep seeing the journal as hot, and SHARED is
/// held again afterwards.
///
/// # Errors
/// [`Error::Busy`] while others read, or what the storage reports. The journal is still hot then, and
/// playing it back again ends well.
pub fn roll_back(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> Result<RolledBack> {
    if !has_hot_journal(vfs, database, journal)? {
        return Ok(RolledBack::Cold);
    }
    if database.lock(LockLevel::Exclusive)? == Locked::Busy {
        return Err(Error::Busy);
    }
    let done = roll_back_locked(vfs, database, journal);
    database.unlock(LockLevel::Shared)?;
    done
}

fn roll_back_locked(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> Result<RolledBack> {
    // Somebody else may have rolled it back before EXCLUSIVE was ours.
    if !vfs.exists(journal)? {
        return Ok(RolledBack::Cold);
    }
    let file = vfs.open(journal, OpenMode::ReadWrite)?;
    // What is read now must still be there after the next crash.
    file.sync(SyncKind::Normal)?;
    let super_journal = super_journal_of(file.as_ref())?;
    let committed = match &super_journal {
        Some(name) => !vfs.exists(name)?,
        None => false,
    };
    let played = if committed {
        RolledBack::Committed
    } else {
        let played = Journal::of(file.as_ref(), database)?.play(database)?;
        database.sync(SyncKind::Normal)?;
        played
    };
    drop(file);
    vfs.delete(journal, SyncDirectory::Yes)?;
    if let Some(name) = super_journal.filter(|_| !committed) {
        delete_super_journal(vfs, &name)?;
    }
    Ok(played)
}

impl<'a> Journal<'a> {
    fn of(file: &'a dyn File, database: &dyn File) -> Result<Self> {
        let mut header = [0; DATABASE_HEADER_BYTES];
        let whole = database.read_at(&mut header, 0)? == header.len();
        let page_size = DatabaseHeader::decode(&header).page_size().filter(|_| whole);
        Ok(Self { file, bytes: file.size()?, sector_bytes: 512, page_size, offset: 0 })
    }

    /// The next segment; `None` behind the last.
    fn next_header(&mut self) -> Result<Option<JournalHeader>> {
        let first = self.offset == 0;
        self.offset = self.offset.next_multiple_of(self.sector_bytes);
        if self.offset + self.sector_bytes > self.bytes {
            return Ok(None);
        }
        let mut bytes = [0; JOURNAL_HEADER_BYTES];
        if self.file.read_at(&mut bytes, self.offset)? < bytes.len() {
            return Ok(None);
        }
        let Some(header) = JournalHeader::decode(&bytes) else { return Ok(None) };
        if first {
            let Some((sector_bytes, page_size)) = header.sizes(self.page_size) else {
                return Ok(None);
            };
            self.sector_bytes = sector_bytes;
            self.page_size = Some(page_size);
        }
        self.offset += self.sector_bytes;
        Ok(Some(header))
    }

    fn play(mut self, database: &dyn File) -> Result<RolledBack> {
        let (mut restored, mut db_size_pages) = (0, None);
        while let Some(header) = self.next_header()? {
            let Some(page_size) = self.page_size else { break };
            let size_pages = match db_size_pages {
                Some(size_pages) => size_pages,
                None => {
                    resize(database, header.db_size_pages, page_size)?;
                    header.db_size_pages
                }
            };
            db_size_pages = Some(size_pages);
            let record_bytes = page_size.bytes_u64() + 8;
            let all = self.bytes.saturating_sub(self.sector_bytes) / record_bytes;
            let records = header.records.map_or(all, u64::from);
            let mut image = zeroed(page_size.in_memory())?;
            for _ in 0..records {
                match self.next_record(&mut image, header.nonce, (page_size, size_pages))? {
                    Record::Page(page) => {
                        database.write_at(&image, page.offset_bytes(page_size))?;
                        restored += 1;
                    }
                    Record::Skipped => {}
                    Record::End => {
                        return Ok(RolledBack::Played { pages: restored, db_size_pages });
                    }
                    // Records that were not synced describe pages that were never written.
                    Record::Invalid => {
                        self.offset = self.bytes;
                        break;
                    }
                }
            }
        }
        Ok(RolledBack::Played { pages: restored, db_size_pages })
    }

    fn next_record(
        &mut self,
        image: &mut [u8],
        nonce: u32,
        (page_size, size_pages): (PageSize, u32),
    ) -> Result<Record> {
        let (mut number, mut sum) = ([0; 4], [0; 4]);
        let start = self.offset;
        let sum_at = start + 4 + page_size.bytes_u64();
        if self.file.read_at(&mut number, start)? < 4
            || self.file.read_at(image, start + 4)? < image.len()
        {
            return Ok(Record::End);
        }
        self.offset = sum_at + 4;
        let page = Pgno(u32::from_be_bytes(number));
        if page.0 == 0 || page == page_size.lock_byte_page() {
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

/// What stands at a record's place.
enum Record {
    /// The original of a page.
    Page(Pgno),
    /// A page that the database did not have before: nothing to put back.
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

/// The super-journal that a journal names.
fn super_journal_of(journal: &dyn File) -> Result<Option<PathBuf>> {
    let bytes = journal.size()?;
    let mut trailer = [0; SUPER_TRAILER_BYTES];
    let Some(trailer_at) = bytes.checked_sub(SUPER_TRAILER_BYTES as u64) else { return Ok(None) };
    if journal.read_at(&mut trailer, trailer_at)? < trailer.len() {
        return Ok(None);
    }
    let Some((len, sum)) = super_journal_trailer(&trailer, bytes) else { return Ok(None) };
    // A path; a longer one is none.
    let Some(len) = usize::try_from(len).ok().filter(|&len| len <= 4096) else { return Ok(None) };
    let mut name = zeroed(len)?;
    if journal.read_at(&mut name, trailer_at - len as u64)? < len {
        return Ok(None);
    }
    let valid = is_super_journal_name(&name, sum);
    Ok(valid.then(|| PathBuf::from(OsString::from_vec(name))))
}

/// Deletes a super-journal once no journal that it lists names it any more.
fn delete_super_journal(vfs: &dyn Vfs, super_journal: &Path) -> Result<()> {
    let file = match vfs.open(super_journal, OpenMode::ReadOnly) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // A list of paths; what is longer than a megabyte is no such list, and stays.
    let Some(len) = usize::try_from(file.size()?).ok().filter(|&len| len <= 1 << 20) else {
        return Ok(());
    };
    let mut list = zeroed(len)?;
    let read = file.read_at(&mut list, 0)?;
    list.truncate(read);
    for child in list.split(|&byte| byte == 0).filter(|child| !child.is_empty()) {
        let child = PathBuf::from(OsString::from_vec(child.to_vec()));
        if vfs.exists(&child)? {
            let child = vfs.open(&child, OpenMode::ReadOnly)?;
            if super_journal_of(child.as_ref())?.as_deref() == Some(super_journal) {
                return Ok(());
            }
        }
    }
    drop(file);
    Ok(vfs.delete(super_journal, SyncDirectory::No)?)
}
