//! Does the database file have what came after the log?
//!
//! A log that was copied whole and then lost its end, or that is an older copy, puts its older
//! pages over newer ones of the file. Told by images first, and then by structure and rows.

use serde::Serialize;

use crate::database::check::Health;
use crate::database::{self, FilePages, Pages, Rows};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, FRAME_HEADER_BYTES, FrameNo};
use crate::history::snapshot::{self, Snapshot, Target, snapshot_of};
use crate::history::view::View;
use crate::log::{Examination, LogShape, Verdict};
use crate::scan::{self, Watch};
use crate::storage::File;

use super::seen_frames::SeenFrames;

/// Which of file and log is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileAge {
    /// Nothing says that the file has what the log does not have.
    #[default]
    NotNewer,
    /// The images say that it is newer, and the content neither confirms nor excludes it.
    MayBeNewer,
    /// It has pages that came after the log: SQLite's view of both, and every state of the log,
    /// takes something back.
    Newer,
}

/// What the images and the content say of file and log in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Age {
    /// Which is newer.
    pub file: FileAge,
    /// The file has the newest image of every page of the log: what SQLite sees is the file, and
    /// whether that has more than the log, nothing tells.
    pub has_all: bool,
    /// And the file has the size of the newest state, after which no commit is lost: that state is
    /// the file, byte by byte, and takes nothing back, whatever the states before it are.
    pub is_newest_state: bool,
    /// And no bytes were left out of that comparison.
    pub is_same_bytes: bool,
}

/// Whether the database file has pages that came after the log.
///
/// A checkpoint copies, by ascending number, each page whose newest frame is not after the one up
/// to which it may copy (wal.c walCheckpoint). So where a page equals its newest frame, a lower
/// page whose newest frame is older was copied as well, and if it is different now, it has a later
/// image. Three other explanations are excluded by the content: a page that went back to what it
/// was, a loss of power during a checkpoint, and a log that only deletes. The file alone must be
/// sound, and SQLite's view of both must not be. A later file also has no smaller change counter
/// than the log.
///
/// Where the log lost only what was after the newest page that was copied, the order of pages tells
/// nothing. If `thoroughly`, the content is asked there, too: both structures are checked whenever
/// a part of the log was copied. A page that the copy of page 1 has passed over makes a sound file
/// one that may be newer.
///
/// # Errors
/// When a file cannot be read.
pub fn file_age(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    thoroughly: bool,
    watch: &dyn Watch,
) -> Result<Age, scan::Error> {
    let Some(shape) = examination.shape else { return Ok(Age::default()) };
    let file = FilePages::new(database, shape.page_size())?;
    // Then page 1 is another one, too.
    if examination.tail.last_lost_commit.is_none()
        && is_before(log, &file, examination, |header| header.change_counter)?
    {
        return Ok(Age::default());
    }
    let frames = SeenFrames::of(log, database, &shape, examination, watch)?;
    let has_all = frames.are_all_equal();
    let log = (log, examination);
    let age = weigh_age((log, &shape), (&file, database), &frames, thoroughly, watch)?;
    let is_whole = matches!(examination.verdict, Verdict::Clean | Verdict::UncommittedTail);
    let is_newest_state = is_whole && has_all && has_size(&file, database, &frames)?;
    let is_same_bytes = is_newest_state && frames.are_compared_whole();
    Ok(Age { file: age, has_all, is_newest_state, is_same_bytes })
}

/// Whether the file ends where the newest state does.
fn has_size(
    file: &FilePages<'_>,
    database: &dyn File,
    frames: &SeenFrames<'_>,
) -> Result<bool, scan::Error> {
    let size_bytes = |pages: u32| u64::from(pages) * file.page_size().bytes_u64();
    let newest = frames.sizes.last().copied().map(size_bytes);
    Ok(newest == Some(database.size()?))
}

fn weigh_age(
    ((log, examination), shape): ((&dyn File, &Examination), &LogShape),
    (file, database): (&FilePages<'_>, &dyn File),
    frames: &SeenFrames<'_>,
    thoroughly: bool,
    watch: &dyn Watch,
) -> Result<FileAge, scan::Error> {
    let has_grown = has_grown(file, frames)?;
    let in_order = !frames.has_later_page();
    if !has_grown && in_order && !(thoroughly && frames.are_mixed()) {
        return Ok(FileAge::NotNewer);
    }
    if is_before(log, file, examination, |header| header.change_counter)? {
        return Ok(FileAge::NotNewer);
    }
    // VACUUM writes half-empty pages together, too, and adds one to the schema cookie (vacuum.c),
    // which a later file would have.
    let may_be_vacuumed = has_grown && frames.may_begin_with_vacuum();
    if may_be_vacuumed && is_before(log, file, examination, |header| header.schema_cookie)? {
        return Ok(FileAge::NotNewer);
    }
    let lacks_pages = lacks_pages(file, frames)?;
    if lacks_pages && !may_be_vacuumed_since(log, file, examination)? {
        return Ok(FileAge::NotNewer);
    }
    let health = database::check(file, watch)?;
    if !health.is_sound() {
        return Ok(FileAge::NotNewer);
    }
    if has_grown {
        return Ok(FileAge::Newer);
    }
    let seen = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    let snapshot = match snapshot_of(examination.facts(log, seen, watch), Target::Last) {
        Ok(snapshot) => snapshot,
        Err(snapshot::Error::Scan(error)) => return Err(error),
        // No commit: SQLite sees the file.
        Err(_) => Snapshot::default(),
    };
    let view = View::plain(log, shape, &snapshot, Some(database));
    let of_view = database::check(&view, watch)?;
    Ok(match is_poorer((&view, &of_view), (file, &health))? {
        _ if lacks_pages => FileAge::MayBeNewer,
        _ if !of_view.is_sound() => FileAge::Newer,
        false if in_order && !frames.has_passed_over() && !frames.is_partly_copied(watch)? => {
            FileAge::NotNewer
        }
        // A later file in which only values were changed looks like one that was copied in part,
        // and a log that only deletes, and of which a loss of power has left some pages, like an
        // old one.
        true | false => FileAge::MayBeNewer,
    })
}

/// Whether the file has more pages than every commit of the log, though no transaction of it can
/// have made the database smaller: there is no auto-vacuum, the sizes never fall, and the first
/// transaction is no VACUUM, which writes every page, or the file does not have the
/// free pages that it would have given up.
fn has_grown(file: &FilePages<'_>, frames: &SeenFrames<'_>) -> Result<bool, scan::Error> {
    let (file_pages, sizes) = (file.size_pages()?, &frames.sizes);
    let (Some(&first), Some(&newest)) = (sizes.first(), sizes.last()) else { return Ok(false) };
    if file_pages <= newest || !sizes.is_sorted() {
        return Ok(false);
    }
    let header = database::header(file)?;
    let is_plain = header.validate().is_ok() && header.largest_root == 0;
    let given_up = file_pages.saturating_sub(first);
    Ok(is_plain
        && header.page_count() == Some(file_pages)
        && (!frames.may_begin_with_vacuum() || header.freelist_pages < given_up / 2))
}

/// Whether pages after the end of the file are in the database before the first commit, and so are
/// missing: a file that is no older was made smaller by VACUUM.
fn lacks_pages(file: &FilePages<'_>, frames: &SeenFrames<'_>) -> Result<bool, scan::Error> {
    let header = database::header(file)?;
    let count = header.page_count().filter(|_| header.largest_root == 0);
    let (Some(count), Some(&first)) = (count, frames.sizes.first()) else { return Ok(false) };
    let grown = first.saturating_sub(count);
    Ok(file.size_pages()? == count && frames.sizes.is_sorted() && grown > frames.grown_by_first)
}

/// Whether the file may have come from the log's newest state by VACUUM, which adds one to the
/// schema cookie (vacuum.c): not by the newest page 1 of the log.
fn may_be_vacuumed_since(
    log: &dyn File,
    file: &FilePages<'_>,
    examination: &Examination,
) -> Result<bool, scan::Error> {
    let ahead = ahead(log, file, examination, |header| header.schema_cookie)?;
    Ok(ahead.is_none_or(|log_is_ahead| log_is_ahead < 0))
}

/// Whether page 1 of the file has a smaller `counter` than the newest page 1 of the log: whatever
/// came after the log has no smaller one (pager.c pager_write_changecounter).
fn is_before(
    log: &dyn File,
    file: &FilePages<'_>,
    examination: &Examination,
    counter: fn(&DatabaseHeader) -> u32,
) -> Result<bool, scan::Error> {
    Ok(ahead(log, file, examination, counter)?.is_some_and(|ahead| ahead > 0))
}

/// How far a counter of the newest page 1 of the log is ahead of the file's; `None` where one of
/// them is no page 1.
fn ahead(
    log: &dyn File,
    file: &FilePages<'_>,
    examination: &Examination,
    counter: fn(&DatabaseHeader) -> u32,
) -> Result<Option<i32>, scan::Error> {
    let place = examination.prefix.page_one.zip(examination.page_size());
    let Some((frame, page_size)) = place else { return Ok(None) };
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let offset_bytes = frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64;
    let whole = log.read_at(&mut bytes, offset_bytes)? == bytes.len();
    let (in_log, in_file) = (DatabaseHeader::decode(&bytes), database::header(file)?);
    let are_valid = whole && in_log.validate().is_ok() && in_file.validate().is_ok();
    // They wrap around.
    let ahead = counter(&in_log).wrapping_sub(counter(&in_file)).cast_signed();
    Ok(are_valid.then_some(ahead))
}

/// Whether one database lacks rows of another, and has no row, and no other content of a row, that
/// the other does not have.
fn is_poorer(
    (one, of_one): (&dyn Pages, &Health),
    (other, of_other): (&dyn Pages, &Health),
) -> Result<bool, scan::Error> {
    let mut lacks = false;
    for table in of_one.tables() {
        let Some(same) = of_other.tables().find(|other| other.name == table.name) else {
            return Ok(false);
        };
        let (ours, theirs) = (Rows::new(one, table.root)?, Rows::new(other, same.root)?);
        let changes = database::row_changes(ours, theirs)?;
        if changes.missing + changes.altered > 0 {
            return Ok(false);
        }
        lacks |= same.rows > table.rows;
    }
    Ok(lacks || of_other.tables().count() > of_one.tables().count())
}
