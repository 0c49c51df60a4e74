//! Plays a hot rollback journal back (pager.c sqlite3PagerSharedLock, pager_playback,
//! pager_playback_one_page, pager_delsuper).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::connection::has_hot_journal;
use super::wal::zeroed;
use super::{Error, Result};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::rollback_journal::{
    JOURNAL_HEADER_BYTES, JournalHeader, SUPER_TRAILER_BYTES, record_checksum,
    super_journal_children, super_journal_name, super_journal_trailer,
};
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::storage::{Access, File, LockLevel, Locked, OpenMode, SyncDirectory, SyncKind, Vfs};

/// What a rollback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledBack {
    /// The journal was not hot: nothing was touched.
    ///
    /// DIFFERS: SQLite deletes a journal beside an empty database. It may be the only copy left of
    /// the pages in it.
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
    /// Of the first header; until then what SQLite assumes where a write spoils no other bytes.
    sector_bytes: u64,
    /// Of the first header; until then that of the database.
    page_size: PageSize,
    /// Where the next header or record begins.
    offset: u64,
}

/// Rolls the transaction of `journal` back if it is hot. The caller holds SHARED; EXCLUSIVE is taken
/// straight from there, without RESERVED, so that others keep seeing the journal as hot, and SHARED is
/// held again afterwards.
///
/// `journal` is the absolute path that SQLite would use: a super-journal is deleted only if it lists
/// the journal under this very name.
///
/// # Errors
/// [`Error::Busy`] while others read, [`Error::ReadOnly`] if the database may only be read, or what
/// the storage reports. As long as the journal is there, it is still hot, and playing it back again
/// ends well; once it has gone, the database is right, and a super-journal may be left behind.
pub fn roll_back(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> Result<RolledBack> {
    if !has_hot_journal(vfs, database, journal)? {
        return Ok(RolledBack::Cold);
    }
    if database.access() == Access::ReadOnly {
        return Err(Error::ReadOnly);
    }
    if database.lock(LockLevel::Exclusive)? == Locked::Busy {
        return Err(Error::Busy);
    }
    let done = roll_back_locked(vfs, database, journal);
    let unlocked = database.unlock(LockLevel::Shared);
    let done = done?;
    unlocked?;
    Ok(done)
}

/// Plays the transaction of `journal` back into `target`, a copy or an overlay of `database`, if the
/// journal is hot; neither journal nor database is touched. The caller holds SHARED on `database`, or
/// knows that nobody writes it.
///
/// # Errors
/// What the storage reports.
pub fn preview(
    vfs: &dyn Vfs,
    database: &dyn File,
    journal: &Path,
    target: &dyn File,
) -> Result<RolledBack> {
    if !has_hot_journal(vfs, database, journal)? {
        return Ok(RolledBack::Cold);
    }
    let file = vfs.open(journal, OpenMode::ReadOnly)?;
    if let Some(name) = super_journal_of(file.as_ref())?
        && is_missing(vfs, &name)?
    {
        return Ok(RolledBack::Committed);
    }
    Journal::of(file.as_ref(), database)?.play(target)
}

fn roll_back_locked(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> Result<RolledBack> {
    // Somebody else may have rolled it back before EXCLUSIVE was ours. SQLite asks only whether it is
    // still there, and would delete one that was finished with zeros meanwhile.
    if !has_hot_journal(vfs, database, journal)? {
        return Ok(RolledBack::Cold);
    }
    let file = vfs.open(journal, OpenMode::ReadWrite)?;
    // What is read now must still be there after the next crash.
    file.sync(SyncKind::Normal)?;
    let super_journal = super_journal_of(file.as_ref())?;
    let committed = match &super_journal {
        Some(name) => is_missing(vfs, name)?,
        None => false,
    };
    let done = if committed {
        RolledBack::Committed
    } else {
        Journal::of(file.as_ref(), database)?.play(database)?
    };
    // Before the journal goes, also where nothing was played: a commit with synchronous=OFF leaves
    // it to whoever comes next.
    database.sync(SyncKind::Normal)?;
    drop(file);
    vfs.delete(journal, SyncDirectory::Yes)?;
    if let Some(name) = super_journal.filter(|_| !committed) {
        delete_super_journal(vfs, &name, journal)?;
    }
    Ok(done)
}

/// Whether a super-journal has gone. An empty one counts as gone, one that cannot be opened as there
/// (os_unix.c unixAccess).
///
/// DIFFERS: SQLite also takes one as gone in a folder that it may not search, and thereby keeps half
/// a transaction.
fn is_missing(vfs: &dyn Vfs, super_journal: &Path) -> Result<bool> {
    match vfs.exists(super_journal) {
        Ok(true) => {}
        Ok(false) => return Ok(true),
        Err(error) => {
            let kind = error.source.kind();
            let impossible = [io::ErrorKind::NotADirectory, io::ErrorKind::InvalidFilename];
            return if impossible.contains(&kind) { Ok(true) } else { Err(error.into()) };
        }
    }
    match vfs.open(super_journal, OpenMode::ReadOnly) {
        Ok(file) => Ok(file.size()? == 0),
        Err(error) => Ok(error.is_not_found()),
    }
}

impl<'a> Journal<'a> {
    fn of(file: &'a dyn File, database: &dyn File) -> Result<Self> {
        // What the file does not have stays zero (btree.c sqlite3BtreeOpen).
        let mut header = [0; DATABASE_HEADER_BYTES];
        database.read_at(&mut header, 0)?;
        let page_size = DatabaseHeader::decode(&header).page_size().unwrap_or(PageSize::DEFAULT);
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
            self.page_size = page_size;
        }
        self.offset += self.sector_bytes;
        Ok(Some(header))
    }

    fn play(mut self, database: &dyn File) -> Result<RolledBack> {
        let (mut restored, mut db_size_pages) = (0_u32, None);
        while let Some(header) = self.next_header()? {
            let page_size = self.page_size;
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
                        restored = restored.saturating_add(1);
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
    let mut name = zeroed(len)?;
    if journal.read_at(&mut name, trailer_at - len as u64)? < len {
        return Ok(None);
    }
    Ok(super_journal_name(&name, sum).map(path_of))
}

fn path_of(name: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(name.to_vec()))
}

/// Deletes a super-journal that lists `own`, once no other journal in it names it any more
/// (pager.c pager_delsuper).
fn delete_super_journal(vfs: &dyn Vfs, super_journal: &Path, own: &Path) -> Result<()> {
    let file = match vfs.open(super_journal, OpenMode::ReadOnly) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // DIFFERS: a list of more than a megabyte of paths stays; SQLite reads up to 2 GiB.
    let Some(len) = usize::try_from(file.size()?).ok().filter(|&len| len <= 1 << 20) else {
        return Ok(());
    };
    let mut list = zeroed(len)?;
    let read = file.read_at(&mut list, 0)?;
    list.truncate(read);
    let mut lists_own = false;
    for child in super_journal_children(&list).map(path_of) {
        // Names are compared byte by byte: `Path` would take a//b for a/b.
        if child.as_os_str() == own.as_os_str() {
            lists_own = true;
        } else if vfs.exists(&child)? {
            let child = vfs.open(&child, OpenMode::ReadOnly)?;
            let named = super_journal_of(child.as_ref())?;
            if named.is_some_and(|named| named.as_os_str() == super_journal.as_os_str()) {
                return Ok(());
            }
        }
    }
    drop(file);
    // A journal that was made by hand could name any file: what does not list it is not deleted.
    if lists_own {
        vfs.delete(super_journal, SyncDirectory::No)?;
    }
    Ok(())
}
