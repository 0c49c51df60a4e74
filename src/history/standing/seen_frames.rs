//! The frames of a log up to its last commit, and which of them the database file has.

use std::cmp::Reverse;

use crate::database::{FilePages, Pages as _};
use crate::format::{FrameHeader, FrameNo, Pgno};
use crate::history::image_sums::ImageSums;
use crate::history::page_map::PageMap;
use crate::log::link::{Judged, Link};
use crate::log::{Examination, LogShape};
use crate::scan::{self, FrameFacts, Watch};
use crate::storage::File;

/// What the frames up to the last commit say.
pub(super) struct SeenFrames<'a> {
    log: &'a dyn File,
    examination: &'a Examination,
    images: ImageSums<'a>,
    /// The last page of the file.
    last_page: Pgno,
    /// The pages that the file has, too.
    pages: PageMap<ComparedPage>,
    /// The frame of each commit, and the size of the database after it.
    commits: Vec<FrameNo>,
    pub sizes: Vec<u32>,
    /// Frames of the first transaction, and those of them that are of pages after the file's.
    frames_of_first: u32,
    pub grown_by_first: u32,
}

/// A page of the file, and its frames.
struct ComparedPage {
    newest: FrameNo,
    /// The newest frame that is not damaged has the image of the file.
    is_equal: bool,
    /// A frame that SQLite does not read has another one.
    was_other: bool,
    /// One of its frames is damaged.
    is_unknown: bool,
}

/// The last commit that the log has, whether SQLite sees it or not.
fn last_commit(examination: &Examination) -> FrameNo {
    let lost = examination.tail.last_lost_commit.unwrap_or(FrameNo(0));
    FrameNo(examination.prefix.mx_frame).max(lost)
}

/// The frames that SQLite reads.
fn read_by_sqlite<'a>(
    log: &'a dyn File,
    examination: &'a Examination,
    watch: &'a dyn Watch,
) -> impl Iterator<Item = Result<FrameFacts, scan::Error>> {
    let stop = FrameNo(examination.prefix.valid_frames).min(last_commit(examination)).next();
    examination.facts(log, FrameNo::FIRST..stop, watch)
}

impl<'a> SeenFrames<'a> {
    pub(super) fn of(
        log: &'a dyn File,
        database: &'a dyn File,
        shape: &LogShape,
        examination: &'a Examination,
        watch: &dyn Watch,
    ) -> Result<Self, scan::Error> {
        let mut images = ImageSums::of(log, shape, database, None)?;
        let last = last_commit(examination);
        if examination.tail.last_lost_commit.is_some() {
            images = images.ahead(last.0, watch)?;
        }
        let mut frames = Self {
            log,
            examination,
            images,
            last_page: Pgno(FilePages::new(database, shape.page_size())?.size_pages()?),
            pages: PageMap::default(),
            commits: Vec::new(),
            sizes: Vec::new(),
            frames_of_first: 0,
            grown_by_first: 0,
        };
        let mut read = read_by_sqlite(log, examination, watch);
        // Nearly twice as fast as a loop over `next`.
        read.try_for_each(|facts| {
            let facts = facts?;
            frames.take_size(facts.frame, &facts.header);
            frames.take(facts.frame, facts.header.page);
            Ok::<_, scan::Error>(())
        })?;
        frames.compare(watch)?;
        for slot in examination.slots_after_prefix(log, last, watch) {
            let judged = slot?.judged;
            let Judged { facts, header, link, .. } = judged;
            if judged.is_proven() {
                frames.take_size(facts.frame, &header);
            }
            if matches!(link, Link::Blank | Link::Foreign) {
                continue;
            }
            let is_equal = match link {
                Link::Linked => Some(frames.equals(&facts)?),
                _ => None,
            };
            frames.take(facts.frame, header.page);
            if let Some(page) = frames.pages.get_mut(header.page) {
                page.is_unknown |= is_equal.is_none();
                page.was_other |= is_equal == Some(false);
                page.is_equal = is_equal.unwrap_or(page.is_equal);
            }
        }
        Ok(frames)
    }

    fn take_size(&mut self, frame: FrameNo, header: &FrameHeader) {
        self.frames_of_first += u32::from(self.sizes.is_empty());
        let is_new = header.page > self.last_page;
        self.grown_by_first += u32::from(self.sizes.is_empty() && is_new);
        if header.commit_size_pages != 0 {
            self.commits.push(frame);
            self.sizes.push(header.commit_size_pages);
        }
    }

    /// A frame of a page of the file.
    fn take(&mut self, newest: FrameNo, page: Pgno) {
        if page > self.last_page {
            return;
        }
        if let Some(known) = self.pages.get_mut(page) {
            known.newest = newest;
            return;
        }
        let (is_equal, was_other, is_unknown) = (false, false, false);
        self.pages.insert(page, ComparedPage { newest, is_equal, was_other, is_unknown });
    }

    /// Compares the newest image of each page that SQLite reads with the file.
    fn compare(&mut self, watch: &dyn Watch) -> Result<(), scan::Error> {
        let mut pairs = Vec::from_iter(self.pages.iter().map(|(page, known)| (page, known.newest)));
        pairs.sort_unstable();
        let equal = self.images.are_in_database(&pairs, watch)?;
        for ((page, _), is_equal) in pairs.into_iter().zip(equal) {
            if let Some(known) = self.pages.get_mut(page) {
                known.is_equal = is_equal;
            }
        }
        Ok(())
    }

    /// Whether the image in a frame is the one of the file.
    fn equals(&self, facts: &FrameFacts) -> Result<bool, scan::Error> {
        let in_file = self.images.of_page(facts.header.page)?;
        Ok(in_file == Some(self.images.of_frame(facts)?))
    }

    /// Whether the file has the newest image of every page.
    pub(super) fn are_all_equal(&self) -> bool {
        let mut pages = self.pages.values().peekable();
        pages.peek().is_some() && pages.all(|page| page.is_equal)
    }

    /// Whether pages are equal only where all their bytes are.
    pub(super) fn are_compared_whole(&self) -> bool {
        self.images.left_out_bytes() == 0
    }

    /// Whether the file has the newest image of some pages, and not of others.
    pub(super) fn are_mixed(&self) -> bool {
        let pages = || self.pages.values();
        pages().any(|page| page.is_equal) && pages().any(|page| !page.is_equal)
    }

    /// Whether the first transaction has written every page, as VACUUM does.
    pub(super) fn may_begin_with_vacuum(&self) -> bool {
        self.sizes.first().is_some_and(|&first| self.frames_of_first >= first)
    }

    /// Where a checkpoint that copied this frame may have ended at the earliest: it copies up to a
    /// commit.
    fn copied_to(&self, frame: FrameNo) -> FrameNo {
        let next = self.commits.partition_point(|&commit| commit < frame);
        self.commits.get(next).copied().unwrap_or(frame)
    }

    /// Whether a page is not its newest frame, though a higher one is that is newer.
    pub(super) fn has_later_page(&self) -> bool {
        let known = self.pages.iter().filter(|(_, page)| !page.is_unknown);
        let mut known = Vec::from_iter(known);
        known.sort_unstable_by_key(|(page, _)| Reverse(*page));
        let mut copied = FrameNo(0);
        known.into_iter().any(|(_, page)| {
            if page.is_equal {
                copied = copied.max(page.newest);
            }
            let is_after = || copied.0 > 0 && page.newest <= self.copied_to(copied);
            !page.is_equal && is_after()
        })
    }

    /// Whether a page was copied that the log has changed more than once, so that being equal means
    /// something, and another one was not.
    pub(super) fn is_partly_copied(&self, watch: &dyn Watch) -> Result<bool, scan::Error> {
        if self.pages.values().all(|page| page.is_equal || page.is_unknown) {
            return Ok(false);
        }
        let copied = |page: &&ComparedPage| page.is_equal && !page.is_unknown;
        if self.pages.values().filter(copied).any(|page| page.was_other) {
            return Ok(true);
        }
        for facts in read_by_sqlite(self.log, self.examination, watch) {
            let facts = facts?;
            let page = self.pages.get(facts.header.page).filter(copied);
            if page.is_some() && !self.equals(&facts)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether page 1 was copied from its newest frame, and a page that the same checkpoint copies
    /// is another one now: it was cut off, or the page has a later image. Other pages may equal a
    /// frame because nothing was changed; page 1 has counters.
    pub(super) fn has_passed_over(&self) -> bool {
        let first = self.pages.get(Pgno::FIRST).filter(|page| page.is_equal);
        let copied_to = first.map(|page| self.copied_to(page.newest));
        let mut others = self.pages.values().filter(|page| !page.is_equal && !page.is_unknown);
        others.any(|page| Some(page.newest) <= copied_to)
    }
}
