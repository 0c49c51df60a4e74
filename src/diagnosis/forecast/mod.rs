//! What SQLite does to a set of files when one more process opens them.
//!
//! That process opens the database for reading and writing with the default VFS, runs one SELECT on
//! the schema and a PASSIVE checkpoint, and closes. Each answer follows a function of SQLite
//! (pager.c sqlite3PagerSharedLock, btree.c lockBtree, wal.c walIndexRecover, walCheckpoint,
//! sqlite3WalClose); tests put it to real SQLite. What is not known is `unknown`.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::access::Context;
use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::live::Reading;
use crate::diagnosis::rights::Rights;
use crate::engine::rollback::{self, JournalState};
use crate::format::WalHeaderFault;
use crate::history::snapshot::Target;
use crate::history::standing::newer::FileAge;
use crate::history::view::View;
use crate::log::{HeaderStatus, LogShape, Verdict};
use crate::storage::overlay::Overlay;
use crate::storage::{File, FileType};

mod limited;
mod live;
mod open;

use open::Sight;

/// How opening and the first SELECT end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Open {
    /// Rows come.
    Ok,
    /// SQLITE_NOTADB.
    NotADb,
    /// SQLITE_CORRUPT.
    Corrupt,
    /// SQLITE_CANTOPEN.
    CantOpen,
    /// SQLITE_READONLY.
    ReadOnly,
    /// SQLITE_BUSY.
    Busy,
    /// SQLITE_IOERR.
    IoErr,
    /// Not known.
    Unknown,
}

/// What becomes of a rollback journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Journal {
    /// There is none.
    None,
    /// Its pages are put back.
    RolledBack,
    /// It is deleted, and none of its pages is put back.
    Deleted,
    /// It is left alone.
    Ignored,
    /// Not known.
    Unknown,
}

/// What becomes of the log while the database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// There is none.
    None,
    /// Its committed frames are found, and an index is built.
    Recovered,
    /// Others have it open: their index is used.
    Used,
    /// No frame of it counts.
    Ignored,
    /// It is deleted unread.
    Deleted,
    /// Not known.
    Unknown,
}

/// How a PASSIVE checkpoint ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpoint {
    /// Everything is copied.
    Ok,
    /// Some frames are not: a reader needs them in the log, or the wal-index counts more as copied
    /// than there are.
    Partial,
    /// Another one is at work.
    Busy,
    /// SQLITE_CORRUPT: the sizes contradict each other.
    Corrupt,
    /// SQLITE_READONLY: log or wal-index may not be written.
    ReadOnly,
    /// There is nothing to copy from: no WAL mode, or the database could not be opened.
    None,
    /// Not known.
    Unknown,
}

/// What the close does to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Close {
    /// It copies what is left, and deletes the log.
    DeletesLog,
    /// The log stays.
    KeepsLog,
    /// There is no log any more.
    None,
    /// Not known.
    Unknown,
}

/// What SQLite does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// How opening and the first SELECT end.
    pub open: Open,
    /// What becomes of the rollback journal.
    pub journal: Journal,
    /// What becomes of the log.
    pub log: Log,
    /// Last committed frame that SQLite sees; `None` where no log is read.
    pub mx_frame: Option<u32>,
    /// Pages of the database that it sees; `None` where that is not known, or it is not opened.
    pub db_size_pages: Option<u32>,
    /// Committed transactions that it does not see; `None` where that is not known.
    pub lost_transactions: Option<u32>,
    /// The file has what the log does not, and the log takes it back; `None` where the content
    /// neither confirms nor excludes it.
    pub taken_back: Option<bool>,
    /// How a PASSIVE checkpoint ends.
    pub checkpoint: Checkpoint,
    /// What the close does to the log.
    pub close: Close,
}

impl Forecast {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        open: Open::Unknown,
        journal: Journal::Unknown,
        log: Log::Unknown,
        mx_frame: None,
        db_size_pages: None,
        lost_transactions: None,
        taken_back: None,
        checkpoint: Checkpoint::Unknown,
        close: Close::Unknown,
    };

    /// What SQLite does for a user with these rights, where this is what it does for one who may do
    /// everything; `is_attached` if somebody has the files open.
    #[must_use]
    pub fn limited(self, rights: &Rights, is_attached: bool) -> Self {
        limited::limit(self, rights, is_attached)
    }

    /// What SQLite does for a user with these rights, where not even this program can read one of
    /// the files.
    #[must_use]
    pub fn of_unread(rights: &Rights, files: &Files) -> Self {
        let bytes = |path: Option<&Path>| {
            path.and_then(|path| path.metadata().ok()).map_or(0, |found| found.len())
        };
        let bytes = limited::Bytes {
            database: bytes(files.database.as_deref()),
            log: bytes(Some(&files.wal)),
            journal: bytes(files.journal.as_deref()),
        };
        limited::unread(rights, &bytes)
    }

    /// Somebody has the database for himself.
    #[must_use]
    pub fn exclusive() -> Self {
        Self { open: Open::Busy, checkpoint: Checkpoint::None, ..Self::UNKNOWN }
    }
}

/// What SQLite does to `files`, which stand still, for a user who may do everything with them.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn forecast(
    files: &Files,
    held: &Held,
    file_age: FileAge,
    context: &Context,
) -> Result<Forecast> {
    match &held.index {
        Some(index) => live::forecast(files, held, index, context),
        None => alone(files, held, file_age, context),
    }
}

/// Nobody has the files open.
fn alone(files: &Files, held: &Held, file_age: FileAge, context: &Context) -> Result<Forecast> {
    let (journal, rolled_back) = journal(files, held.database.as_deref(), context)?;
    let base = match &rolled_back {
        Some(overlay) => Some(overlay as &dyn File),
        None => held.database.as_deref(),
    };
    // unix.c unixFileSize: one byte is none, as some systems cannot truncate to nothing.
    let is_empty = base.map_or(Ok(0), File::size)? <= 1;
    let nothing_lost = Forecast { journal, lost_transactions: Some(0), ..Forecast::UNKNOWN };
    let Some(log) = &held.log else {
        let sight = match base.filter(|_| !is_empty) {
            Some(base) => open::of_file(base, context.watch)?,
            None => Sight::EMPTY,
        };
        let checkpoint = match (sight.open, sight.is_wal) {
            (Open::Ok, true) => Checkpoint::Ok,
            (Open::Unknown, _) => Checkpoint::Unknown,
            (_, _) => Checkpoint::None,
        };
        return Ok(Forecast {
            open: sight.open,
            log: Log::None,
            db_size_pages: sight.size_pages,
            taken_back: Some(false),
            checkpoint,
            close: Close::None,
            ..nothing_lost
        });
    };
    let examination = &log.examination;
    if examination.file_bytes == 0 {
        return empty_log(base.filter(|_| !is_empty), nothing_lost, context);
    }
    let beyond = examination.lost.as_ref().map_or(0, |lost| lost.transactions);
    if is_empty {
        return Ok(Forecast {
            open: Open::Ok,
            log: Log::Deleted,
            db_size_pages: Some(0),
            lost_transactions: Some(examination.prefix.transactions + beyond),
            taken_back: Some(false),
            checkpoint: Checkpoint::None,
            close: Close::None,
            ..nothing_lost
        });
    }
    // A torn end may have been a commit.
    let is_torn = examination.verdict == Verdict::TornTail;
    let seen = Forecast {
        lost_transactions: Some(beyond).filter(|_| !is_torn),
        taken_back: match file_age {
            FileAge::Newer => Some(true),
            FileAge::MayBeNewer => None,
            FileAge::NotNewer => Some(false),
        },
        ..nothing_lost
    };
    let version_is_unknown =
        examination.header_status == HeaderStatus::Fault(WalHeaderFault::Version);
    if version_is_unknown {
        let (open, checkpoint) = (Open::CantOpen, Checkpoint::None);
        return Ok(Forecast {
            open,
            log: Log::Ignored,
            checkpoint,
            close: Close::KeepsLog,
            ..seen
        });
    }
    let shape = examination.shape.filter(|_| examination.prefix.mx_frame > 0);
    with_log(log, shape, base, seen, context)
}

/// A log without a byte is none (unix.c unixAccess), unless page 1 says that there is one.
fn empty_log(base: Option<&dyn File>, seen: Forecast, context: &Context) -> Result<Forecast> {
    let sight = base.map_or(Ok(Sight::EMPTY), |base| open::of_file(base, context.watch))?;
    let (checkpoint, close) = match (sight.is_wal, sight.open) {
        (_, Open::Unknown) => (Checkpoint::Unknown, Close::Unknown),
        (true, Open::Ok) => (Checkpoint::Ok, Close::DeletesLog),
        (true, _) => (Checkpoint::None, Close::DeletesLog),
        (false, _) => (Checkpoint::None, Close::KeepsLog),
    };
    Ok(Forecast {
        open: sight.open,
        log: Log::Ignored,
        mx_frame: sight.is_wal.then_some(0),
        db_size_pages: sight.size_pages,
        taken_back: Some(false),
        checkpoint,
        close,
        ..seen
    })
}

/// The log is opened, whether or not a frame of it counts.
fn with_log(
    log: &Reading,
    shape: Option<LogShape>,
    base: Option<&dyn File>,
    seen: Forecast,
    context: &Context,
) -> Result<Forecast> {
    let mx_frame = log.examination.prefix.mx_frame;
    let Some(shape) = shape else {
        let sight = base.map_or(Ok(Sight::EMPTY), |base| open::of_file(base, context.watch))?;
        return Ok(Forecast {
            open: sight.open,
            log: Log::Ignored,
            mx_frame: Some(0),
            db_size_pages: sight.size_pages,
            checkpoint: if sight.open == Open::Ok { Checkpoint::Ok } else { Checkpoint::None },
            close: Close::DeletesLog,
            ..seen
        });
    };
    let snapshot = log.snapshot(Target::Last, context.watch)?;
    let view = View::plain(log.file.as_ref(), &shape, &snapshot, base);
    let sight = open::of_view(&view, context.watch)?;
    let grows_too_far = open::grows_too_far(&snapshot, &shape, base)?;
    // The last checkpoint refuses pages of another size than the pager has by then.
    let has_page_size = match (sight.open, base) {
        (Open::NotADb, Some(base)) => open::page_size_before(base)? == shape.page_size(),
        (_, _) => true,
    };
    let (checkpoint, close) = match (sight.open, grows_too_far) {
        (Open::Unknown, _) => (Checkpoint::Unknown, Close::Unknown),
        (Open::Ok, true) => (Checkpoint::Corrupt, Close::KeepsLog),
        (Open::Ok, false) => (Checkpoint::Ok, Close::DeletesLog),
        (_, true) => (Checkpoint::None, Close::KeepsLog),
        (_, false) if !has_page_size => (Checkpoint::None, Close::KeepsLog),
        // The close copies what the log has all the same.
        (_, false) => (Checkpoint::None, Close::DeletesLog),
    };
    Ok(Forecast {
        open: sight.open,
        log: Log::Recovered,
        mx_frame: Some(mx_frame),
        db_size_pages: sight.size_pages,
        checkpoint,
        close,
        ..seen
    })
}

/// What becomes of the journal, and the database after it was put back.
fn journal(
    files: &Files,
    database: Option<&dyn File>,
    context: &Context,
) -> Result<(Journal, Option<Overlay>)> {
    let Some(path) = &files.journal else { return Ok((Journal::None, None)) };
    let is_there = context.vfs.file_type(path)? == Some(FileType::Regular);
    let Some(database) = database else {
        let fate = if is_there { Journal::Deleted } else { Journal::None };
        return Ok((fate, None));
    };
    Ok(match rollback::judge(context.vfs, database, path)? {
        JournalState::Absent => (Journal::None, None),
        JournalState::Cold(_) => (Journal::Ignored, None),
        JournalState::Discarded(_) => (Journal::Deleted, None),
        JournalState::Hot => {
            let Some(again) = files.open_database(context.vfs)? else {
                return Ok((Journal::Unknown, None));
            };
            let overlay = Overlay::new(again)?;
            rollback::play_into(context.vfs, database, path, &overlay)?;
            (Journal::RolledBack, Some(overlay))
        }
    })
}
