//! Does the database file have what came after the log?
//!
//! A log that was copied whole and then lost its end, or that is an older copy, puts its older pages
//! over newer ones of the file. Told by images first, and then by structure and rows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;

use crate::format::{Checksum, FrameNo, Pgno};
use crate::scan::{self, Watch};
use crate::storage::File;

use super::Examination;
use super::image_sums::ImageSums;
use super::link::{Judged, Link};
use super::snapshot::{Snapshot, Target, snapshot_of};
use super::state::StateFold;
use super::structure::{self, FilePages, Health, Pages, Rows};
use super::view::View;

/// A page of the file, and its frames.
struct Frames {
    in_file: Option<Checksum>,
    newest: FrameNo,
    /// The newest frame has the image of the file.
    is_equal: bool,
    /// An older frame has another image than the file: that they are equal is not because nothing was
    /// changed.
    was_other: bool,
    /// One of its frames is damaged.
    is_unknown: bool,
}

/// How file and log are in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileAge {
    /// Nothing says that the file has what the log has not.
    NotNewer,
    /// The images say so, and the content neither confirms nor excludes it.
    MayBeNewer,
    /// It has pages that came after the log: SQLite's view of both, and every state of the log, takes
    /// something back.
    Newer,
}

/// Whether the database file has pages that came after the log.
///
/// A checkpoint copies, by ascending number, each page whose newest frame is not after the one up to
/// which it may copy (wal.c walCheckpoint). So where a page equals its newest frame, a lower page whose
/// newest frame is older was copied as well, and if it is different now, it has a later image. Three
/// other explanations are excluded by the content: a page that went back to what it was, a loss of power
/// during a checkpoint, and a log that only deletes. The file alone must be sound, and SQLite's view of
/// both either unsound, or poorer in rows without any row that the file has not.
///
/// Where the log lost only what was after the newest page that was copied, the order of pages tells
/// nothing. If `thoroughly`, the content is asked there, too: both structures are checked whenever a part
/// of the log was copied.
///
/// # Errors
/// When a file cannot be read.
pub fn file_age(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    thoroughly: bool,
    watch: &dyn Watch,
) -> Result<FileAge, scan::Error> {
    let Some(shape) = examination.shape else { return Ok(FileAge::NotNewer) };
    let file = FilePages::new(database, shape.page_size())?;
    let pages = frames_by_page(log, database, examination, watch)?;
    let has_grown = has_grown(log, &file, examination, watch)?;
    let in_order = !has_later_page(&pages, false);
    let is_mixed = pages.values().any(|page| page.is_equal)
        && pages.values().any(|page| !page.is_equal && page.in_file.is_some());
    if !has_grown && in_order && !(thoroughly && is_mixed) {
        return Ok(FileAge::NotNewer);
    }
    let health = structure::check(&file, watch)?;
    if !health.is_sound() {
        return Ok(FileAge::NotNewer);
    }
    if has_grown {
        return Ok(FileAge::Newer);
    }
    let seen = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    let snapshot = match snapshot_of(examination.facts(log, seen, watch), Target::Last) {
        Ok(snapshot) => snapshot,
        Err(super::snapshot::Error::Scan(error)) => return Err(error),
        // No commit: SQLite sees the file.
        Err(_) => Snapshot::default(),
    };
    let view = View::plain(log, &shape, &snapshot, Some(database));
    let of_view = structure::check(&view, watch)?;
    Ok(match is_poorer((&view, &of_view), (&file, &health))? {
        _ if !of_view.is_sound() => FileAge::Newer,
        true if has_later_page(&pages, true) => FileAge::Newer,
        false if in_order => FileAge::NotNewer,
        true | false => FileAge::MayBeNewer,
    })
}

/// Whether the file has more pages than every commit of the log, though no transaction of it can have
/// made the database smaller: there is no auto-vacuum, the sizes never fall, and the first transaction
/// is no VACUUM, which writes every page, or the file has not the free pages that it would have given
/// up.
fn has_grown(
    log: &dyn File,
    file: &FilePages<'_>,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<bool, scan::Error> {
    let header = structure::header(file)?;
    let file_pages = file.size_pages();
    let is_plain = header.validate().is_ok() && header.largest_root == 0;
    if !is_plain || header.page_count() != Some(file_pages) {
        return Ok(false);
    }
    let Some(shape) = examination.shape else { return Ok(false) };
    let (mut sizes, mut frames_of_first) = (Vec::new(), 0_u32);
    let last = last_commit(examination);
    let mut fold = StateFold::new(&shape, &examination.prefix, &examination.tail);
    let mut take = |judged: &Judged| {
        frames_of_first += u32::from(sizes.is_empty());
        let size = judged.header.commit_size_pages;
        sizes.extend(Some(size).filter(|&size| size != 0 && judged.is_proven()));
    };
    for facts in examination.facts(log, FrameNo::FIRST..last.next(), watch) {
        if let Some(slot) = fold.push(facts?) {
            take(&slot.judged);
        }
    }
    if let Some(slot) = fold.finish() {
        take(&slot.judged);
    }
    let (Some(&first), Some(&newest)) = (sizes.first(), sizes.last()) else { return Ok(false) };
    let may_be_vacuum = frames_of_first >= first;
    let given_up = file_pages.saturating_sub(first);
    Ok(sizes.is_sorted()
        && file_pages > newest
        && (!may_be_vacuum || header.freelist_pages < given_up / 2))
}

/// The last commit that the log has, whether SQLite sees it or not.
fn last_commit(examination: &Examination) -> FrameNo {
    let lost = examination.tail.last_lost_commit.unwrap_or(FrameNo(0));
    FrameNo(examination.prefix.mx_frame).max(lost)
}

fn frames_by_page(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<BTreeMap<Pgno, Frames>, scan::Error> {
    let mut pages: BTreeMap<Pgno, Frames> = BTreeMap::new();
    let Some(shape) = examination.shape else { return Ok(pages) };
    let last = last_commit(examination);
    let images = ImageSums::of(log, &shape, database, None)?;
    let mut fold = StateFold::new(&shape, &examination.prefix, &examination.tail);
    let mut take = |judged: &Judged| -> Result<(), scan::Error> {
        let (newest, pgno) = (judged.facts.frame, judged.header.page);
        if matches!(judged.link, Link::Blank | Link::Foreign) || newest > last {
            return Ok(());
        }
        let page = match pages.entry(pgno) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Frames {
                in_file: images.of_page(pgno)?,
                newest,
                is_equal: false,
                was_other: false,
                is_unknown: false,
            }),
        };
        page.newest = newest;
        if judged.link == Link::Linked {
            page.is_equal = page.in_file == Some(images.of_frame(&judged.facts)?);
            page.was_other |= !page.is_equal;
        } else {
            page.is_unknown = true;
        }
        Ok(())
    };
    for facts in examination.facts(log, FrameNo::FIRST..last.next(), watch) {
        if let Some(slot) = fold.push(facts?) {
            take(&slot.judged)?;
        }
    }
    if let Some(slot) = fold.finish() {
        take(&slot.judged)?;
    }
    Ok(pages)
}

/// Whether a page is not its newest frame, though a higher one is that is newer; if `strictly`, one that
/// was changed by the log.
fn has_later_page(pages: &BTreeMap<Pgno, Frames>, strictly: bool) -> bool {
    let mut copied_to = FrameNo(0);
    pages.values().rev().filter(|page| !page.is_unknown).any(|page| {
        if page.is_equal && (page.was_other || !strictly) {
            copied_to = copied_to.max(page.newest);
        }
        !page.is_equal && page.in_file.is_some() && page.newest <= copied_to
    })
}

/// Whether one database lacks rows of another, and has none, nor another content of one, that the
/// other has not.
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
        let changes = structure::row_changes(ours, theirs)?;
        if changes.missing + changes.altered > 0 {
            return Ok(false);
        }
        lacks |= same.rows > table.rows;
    }
    Ok(lacks || of_other.tables().count() > of_one.tables().count())
}
