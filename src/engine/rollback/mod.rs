//! Plays a hot rollback journal back (pager.c sqlite3PagerSharedLock, pager_playback,
//! pager_playback_one_page, pager_delsuper).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::wal::zeroed;
use super::{Error, Result};
use crate::format::lock_bytes::RESERVED_BYTE;
use crate::format::rollback_journal::{
    JOURNAL_HEADER_BYTES, SUPER_TRAILER_BYTES, super_journal_children, super_journal_name,
    super_journal_trailer,
};
use crate::storage::{
    self, Access, File, LockLevel, LockMode, Locked, OpenMode, SyncDirectory, SyncKind, Vfs,
    if_there,
};

pub use contents::Contents;
pub use flaw::Flaw;
use playback::Journal;

mod contents;
mod flaw;
mod playback;

/// What a rollback came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledBack {
    /// The journal was not hot: nothing was touched.
    ///
    /// DIFFERS: SQLite deletes a journal beside an empty database. It may be the only copy left of
    /// the pages in it.
    Cold,
    /// The transaction had been committed: its super-journal has gone. Only the journal was
    /// deleted.
    Committed,
    /// The database is as it was before the transaction.
    Played {
        /// Pages that were put back.
        pages: u32,
        /// Size of the database; `None` when the journal held no segment.
        db_size_pages: Option<u32>,
    },
}

/// What SQLite does with a rollback journal when it opens the database next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// There is none.
    Absent,
    /// It is left alone.
    Cold(Cold),
    /// Its pages are put back before anything is read.
    Hot,
    /// It is deleted, and none of its pages is put back.
    Discarded(Discarded),
}

/// Why a journal is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cold {
    /// It has no bytes: its transaction ended (TRUNCATE), or has not written the database yet.
    Empty,
    /// Its first byte is zero: its transaction ended (PERSIST), or has not written the database
    /// yet.
    Zeroed,
    /// The process that holds RESERVED is writing with it.
    LiveWriter,
}

/// Why a journal is deleted without being put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// The database has no page.
    EmptyDatabase,
    /// The super-journal that it names is not there, so its transaction counts as committed.
    Committed {
        /// The super-journal.
        super_journal: PathBuf,
        /// Its directory is here. Where it is not, the files were moved, and nobody can know
        /// whether the super-journal was still there then.
        was_looked_for: bool,
    },
}

/// Judges `journal` as SQLite does (pager.c hasHotJournal, sqlite3PagerSharedLock): the one place
/// that does. The caller holds SHARED on the database, or only wants to say what it sees.
///
/// # Errors
/// What the storage reports.
pub fn judge(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> Result<JournalState> {
    let standing = first_look(vfs, database, journal)?;
    if standing != JournalState::Hot {
        return Ok(standing);
    }
    let file = vfs.open(journal, OpenMode::ReadOnly)?;
    let Some(super_journal) = super_journal_of(file.as_ref())? else { return Ok(standing) };
    if !is_missing(vfs, &super_journal)? {
        return Ok(standing);
    }
    let directory = super_journal.parent().filter(|parent| !parent.as_os_str().is_empty());
    let was_looked_for = match directory {
        Some(directory) => matches!(vfs.file_type(directory), Ok(Some(_))),
        None => true,
    };
    Ok(JournalState::Discarded(Discarded::Committed { super_journal, was_looked_for }))
}

/// Whether `X-journal` must be dealt with before anything is read (pager.c hasHotJournal). The
/// caller holds SHARED on the database.
///
/// # Errors
/// What the storage reports.
pub fn has_hot_journal(
    vfs: &dyn Vfs,
    database: &dyn File,
    journal: &Path,
) -> storage::Result<bool> {
    Ok(first_look(vfs, database, journal)? == JournalState::Hot)
}

/// What is known of a journal before its super-journal is asked for.
fn first_look(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> storage::Result<JournalState> {
    if !vfs.exists(journal)? {
        return Ok(JournalState::Absent);
    }
    let reserved = RESERVED_BYTE..RESERVED_BYTE + 1;
    if database.lock_holder(reserved, LockMode::Exclusive)?.is_some() {
        return Ok(JournalState::Cold(Cold::LiveWriter));
    }
    if is_empty(database)? {
        return Ok(JournalState::Discarded(Discarded::EmptyDatabase));
    }
    let Some(file) = if_there(vfs.open(journal, OpenMode::ReadOnly))? else {
        // It was finished meanwhile.
        return Ok(JournalState::Absent);
    };
    let mut first = [0];
    Ok(match file.read_at(&mut first, 0)? {
        0 => JournalState::Cold(Cold::Empty),
        _ if first == [0] => JournalState::Cold(Cold::Zeroed),
        _ => JournalState::Hot,
    })
}

/// Whether the database has no page; one byte counts as none (os_unix.c unixFileSize).
pub(super) fn is_empty(database: &dyn File) -> storage::Result<bool> {
    Ok(database.size()? <= 1)
}

/// Rolls the transaction of `journal` back if it is hot. The caller holds SHARED; EXCLUSIVE is
/// taken straight from there, without RESERVED, so that others keep seeing the journal as hot, and
/// SHARED is held again afterwards.
///
/// `journal` is the absolute path that SQLite would use: a super-journal is deleted only if it
/// lists the journal under this very name.
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

/// Plays the transaction of `journal` back into `target`, a copy or an overlay of `database`, if
/// the journal is hot; neither journal nor database is touched. The caller holds SHARED on
/// `database`, or knows that nobody writes it.
///
/// # Errors
/// What the storage reports.
pub fn preview(
    vfs: &dyn Vfs,
    database: &dyn File,
    journal: &Path,
    target: &dyn File,
) -> Result<RolledBack> {
    match judge(vfs, database, journal)? {
        JournalState::Absent
        | JournalState::Cold(_)
        | JournalState::Discarded(Discarded::EmptyDatabase) => Ok(RolledBack::Cold),
        JournalState::Discarded(Discarded::Committed { .. }) => Ok(RolledBack::Committed),
        JournalState::Hot => Ok(play_into(vfs, database, journal, target)?.rolled_back()),
    }
}

/// Puts the pages of `journal` back into `target`, a copy or an overlay of `database`, whatever
/// SQLite would do with it; neither journal nor database is touched.
///
/// # Errors
/// What the storage reports.
pub fn play_into(
    vfs: &dyn Vfs,
    database: &dyn File,
    journal: &Path,
    target: &dyn File,
) -> Result<Contents> {
    let file = vfs.open(journal, OpenMode::ReadOnly)?;
    Journal::of(file.as_ref(), Some(database))?.play(target)
}

/// What `journal` holds. Where it names no page size, it is that of `database`.
///
/// # Errors
/// What the storage reports.
pub fn contents(vfs: &dyn Vfs, database: Option<&dyn File>, journal: &Path) -> Result<Contents> {
    let file = vfs.open(journal, OpenMode::ReadOnly)?;
    Journal::of(file.as_ref(), database)?.contents()
}

/// Whether the header of `journal` is all zeros, and something comes after its sector: a
/// transaction has ended there (`journal_mode=PERSIST`), or the header was lost, and nothing tells
/// which. One that was not synced yet has a nonce (pager.c writeJournalHdr, zeroJournalHdr).
///
/// # Errors
/// What the storage reports.
pub fn header_is_zeros(vfs: &dyn Vfs, journal: &Path) -> storage::Result<bool> {
    let file = vfs.open(journal, OpenMode::ReadOnly)?;
    let mut header = [1; JOURNAL_HEADER_BYTES];
    file.read_at(&mut header, 0)?;
    Ok(header == [0; JOURNAL_HEADER_BYTES] && file.size()? > 512)
}

fn roll_back_locked(vfs: &dyn Vfs, database: &dyn File, journal: &Path) -> Result<RolledBack> {
    // Somebody else may have rolled it back before EXCLUSIVE was ours. SQLite asks only whether it
    // is still there, and would delete one that was finished with zeros meanwhile.
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
        Journal::of(file.as_ref(), Some(database))?.play(database)?.rolled_back()
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

/// Whether a super-journal has gone. An empty one counts as gone, one that cannot be opened as
/// there (os_unix.c unixAccess).
///
/// DIFFERS: SQLite also takes one as gone in a folder that it may not search, and thereby keeps
/// half a transaction.
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
    let Some(file) = if_there(vfs.open(super_journal, OpenMode::ReadOnly))? else {
        return Ok(());
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
