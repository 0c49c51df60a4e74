//! Does the database file have what came after the log?
//!
//! A log that was copied whole and then lost its end, or that is an older copy, puts its older
//! pages over newer ones of the file. Told by images first, and then by structure and rows.

use std::cmp::Reverse;

use serde::Serialize;

use crate::database::check::Health;
use crate::database::{self, FilePages, Pages, Rows};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{Checksum, DatabaseHeader, FRAME_HEADER_BYTES, FrameHeader, FrameNo, Pgno};
use crate::history::image_sums::ImageSums;
use crate::history::page_map::PageMap;
use crate::history::snapshot::{self, Snapshot, Target, snapshot_of};
use crate::history::view::View;
use crate::log::link::{Judged, Link};
use crate::log::{Examination, LogShape, Verdict};
use crate::scan::{self, FrameFacts, Watch};
use crate::storage::File;

/// What the frames up to the last commit say.
#[derive(Default)]
struct SeenFrames {
    /// The pages that the file has, too.
    pages: PageMap<ComparedPage>,
    /// The frame of each commit, and the size of the database after it.
    commits: Vec<FrameNo>,
    sizes: Vec<u32>,
    /// Frames of the first transaction, and those of them that are of pages after the file's.
    frames_of_first: u32,
    grown_by_first: u32,
}

/// A page of the file, and its frames.
struct ComparedPage {
    in_file: Checksum,
    newest: FrameNo,
    /// The newest frame has the image of the file.
    is_equal: bool,
    /// An older frame has another image than the file: the log has changed the page, so being equal
    /// means something.
    was_other: bool,
    /// One of its frames is damaged.
    is_unknown: bool,
}

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
    let frames = SeenFrames::of(log, database, examination, watch)?;
    let mut pages = frames.pages.values();
    let has_all = frames.pages.values().next().is_some() && pages.all(|page| page.is_equal);
    let log = (log, examination);
    let age = weigh_age((log, &shape), (&file, database), &frames, thoroughly, watch)?;
    let is_whole = matches!(examination.verdict, Verdict::Clean | Verdict::UncommittedTail);
    let is_newest_state = is_whole && has_all && has_size(&file, database, &frames)?;
    Ok(Age { file: age, has_all, is_newest_state })
}

/// Whether the file ends where the newest state does.
fn has_size(
    file: &FilePages<'_>,
    database: &dyn File,
    frames: &SeenFrames,
) -> Result<bool, scan::Error> {
    let size_bytes = |pages: u32| u64::from(pages) * file.page_size().bytes_u64();
    let newest = frames.sizes.last().copied().map(size_bytes);
    Ok(newest == Some(database.size()?))
}

fn weigh_age(
    ((log, examination), shape): ((&dyn File, &Examination), &LogShape),
    (file, database): (&FilePages<'_>, &dyn File),
    frames: &SeenFrames,
    thoroughly: bool,
    watch: &dyn Watch,
) -> Result<FileAge, scan::Error> {
    let has_grown = has_grown(file, frames)?;
    let in_order = !frames.has_later_page();
    let pages = &frames.pages;
    let is_mixed =
        pages.values().any(|page| page.is_equal) && pages.values().any(|page| !page.is_equal);
    if !has_grown && in_order && !(thoroughly && is_mixed) {
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
        false if in_order && !frames.has_passed_over() && !frames.is_partly_copied() => {
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
fn has_grown(file: &FilePages<'_>, frames: &SeenFrames) -> Result<bool, scan::Error> {
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
fn lacks_pages(file: &FilePages<'_>, frames: &SeenFrames) -> Result<bool, scan::Error> {
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

/// The last commit that the log has, whether SQLite sees it or not.
fn last_commit(examination: &Examination) -> FrameNo {
    let lost = examination.tail.last_lost_commit.unwrap_or(FrameNo(0));
    FrameNo(examination.prefix.mx_frame).max(lost)
}

impl SeenFrames {
    fn of(
        log: &dyn File,
        database: &dyn File,
        examination: &Examination,
        watch: &dyn Watch,
    ) -> Result<Self, scan::Error> {
        let mut frames = Self::default();
        let Some(shape) = examination.shape else { return Ok(frames) };
        let images = ImageSums::of(log, &shape, database, None)?;
        let last = last_commit(examination);
        let images = images.ahead(last.0, watch)?;
        let last_page = Pgno(FilePages::new(database, shape.page_size())?.size_pages()?);
        let stop = FrameNo(examination.prefix.valid_frames).min(last).next();
        let mut prefix = examination.facts(log, FrameNo::FIRST..stop, watch);
        // Nearly twice as fast as a loop over `next`.
        prefix.try_for_each(|facts| {
            let facts = facts?;
            frames.take_size(facts.frame, &facts.header, last_page);
            match facts.header.page <= last_page {
                true => frames.take_image(&facts, facts.header.page, true, &images),
                false => Ok(()),
            }
        })?;
        for slot in examination.slots_after_prefix(log, last, watch) {
            let judged = slot?.judged;
            let Judged { facts, header, link, .. } = &judged;
            if judged.is_proven() {
                frames.take_size(facts.frame, header, last_page);
            }
            if !matches!(link, Link::Blank | Link::Foreign) && header.page <= last_page {
                frames.take_image(facts, header.page, *link == Link::Linked, &images)?;
            }
        }
        Ok(frames)
    }

    fn take_size(&mut self, frame: FrameNo, header: &FrameHeader, last_page: Pgno) {
        self.frames_of_first += u32::from(self.sizes.is_empty());
        self.grown_by_first += u32::from(self.sizes.is_empty() && header.page > last_page);
        if header.commit_size_pages != 0 {
            self.commits.push(frame);
            self.sizes.push(header.commit_size_pages);
        }
    }

    /// Whether the first transaction has written every page, as VACUUM does.
    fn may_begin_with_vacuum(&self) -> bool {
        self.sizes.first().is_some_and(|&first| self.frames_of_first >= first)
    }

    /// Where a checkpoint that copied this frame may have ended at the earliest: it copies up to a
    /// commit.
    fn copied_to(&self, frame: FrameNo) -> FrameNo {
        let next = self.commits.partition_point(|&commit| commit < frame);
        self.commits.get(next).copied().unwrap_or(frame)
    }

    /// Whether a page is not its newest frame, though a higher one is that is newer.
    fn has_later_page(&self) -> bool {
        let known = self.pages.iter().filter(|(_, page)| !page.is_unknown);
        let mut known = Vec::from_iter(known);
        known.sort_unstable_by_key(|(page, _)| Reverse(*page));
        let mut copied_to = FrameNo(0);
        known.into_iter().any(|(_, page)| {
            if page.is_equal {
                copied_to = copied_to.max(self.copied_to(page.newest));
            }
            !page.is_equal && page.newest <= copied_to
        })
    }

    /// Whether a page was copied that the log has changed more than once, and another one was not.
    fn is_partly_copied(&self) -> bool {
        let known = || self.pages.values().filter(|page| !page.is_unknown);
        known().any(|page| page.is_equal && page.was_other) && known().any(|page| !page.is_equal)
    }

    /// Whether page 1 was copied from its newest frame, and a page that the same checkpoint copies
    /// is another one now: it was cut off, or the page has a later image. Other pages may equal a
    /// frame because nothing was changed; page 1 has counters.
    fn has_passed_over(&self) -> bool {
        let first = self.pages.get(Pgno::FIRST).filter(|page| page.is_equal);
        let copied_to = first.map(|page| self.copied_to(page.newest));
        let mut others = self.pages.values().filter(|page| !page.is_equal && !page.is_unknown);
        others.any(|page| Some(page.newest) <= copied_to)
    }

    fn take_image(
        &mut self,
        facts: &FrameFacts,
        pgno: Pgno,
        is_linked: bool,
        images: &ImageSums<'_>,
    ) -> Result<(), scan::Error> {
        let newest = facts.frame;
        if self.pages.get(pgno).is_none() {
            let Some(in_file) = images.of_page(pgno)? else { return Ok(()) };
            let (is_equal, was_other, is_unknown) = (false, false, false);
            let page = ComparedPage { in_file, newest, is_equal, was_other, is_unknown };
            self.pages.insert(pgno, page);
        }
        let Some(page) = self.pages.get_mut(pgno) else { return Ok(()) };
        page.newest = newest;
        if is_linked {
            page.is_equal = page.in_file == images.of_frame(facts)?;
            page.was_other |= !page.is_equal;
        } else {
            page.is_unknown = true;
        }
        Ok(())
    }
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
