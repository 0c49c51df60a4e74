//! Pages of an earlier checkpoint that are not in the database file.
//!
//! A log begins again only when all of it is in the file (wal.c walRestartLog), so what its frames
//! leave of the generation before must be there. Its frames are read from the first one that the
//! log has not written over, as far as each follows from the one before: they are the end of that
//! generation, or what it gave up (a rollback, a recovery that dropped them). Which of the two, the
//! file tells: where it has the image of one of them, and did not have it before, everything up to
//! the commit of that frame was committed, and copied. A page that is another one all the same was
//! lost, unless the log has it again, or a later commit cut it off.
//!
//! What comes after the last frame that was read may be cut off (`journal_size_limit`): then only
//! an image that is older than the one that is missing is proof.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::format::{Checksum, FrameNo, Pgno, Salts};
use crate::log::{Break, Examination, LogShape};
use crate::scan::{Error, FrameFacts, Watch};
use crate::storage::File;

use super::image_sums::ImageSums;

/// Most frames of older generations that are read.
const MAX_FRAMES: u32 = 65_536;

/// Pages that an earlier checkpoint has not copied, or that were lost after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPages {
    /// Each page, and what is known of it.
    pub pages: BTreeMap<Pgno, LostPage>,
    /// A page that the same checkpoint has copied, and the frame of its image.
    pub copied: (Pgno, FrameNo),
    /// The last commit that is known to have been copied.
    pub commit: FrameNo,
}

/// A page of which the file does not have the newest image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPage {
    /// The frame of the older generation that has it.
    pub frame: FrameNo,
    /// The file has an older one.
    pub is_older: bool,
}

/// A frame of the generation before.
struct Frame {
    frame: FrameNo,
    page: Pgno,
    image: Checksum,
    /// Its image follows from the frame before it.
    is_linked: bool,
    commit_size_pages: Option<u32>,
}

/// What is left of the generation before.
#[derive(Default)]
struct Remains {
    /// Frames that follow from each other; the first one may follow from any.
    run: Vec<Frame>,
    /// The places in it of each page.
    places: BTreeMap<Pgno, Vec<usize>>,
    /// Images in frames of the generation before that one, in file order.
    older: BTreeMap<Pgno, Vec<Checksum>>,
    /// Pages of frames with the same salts that do not follow from it.
    given_up: BTreeSet<Pgno>,
    /// Another frame is where the next one would be: nothing was cut off.
    is_whole: bool,
}

/// Compares what is left of the generation before with `database`, which does not change.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn find(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<Option<LostPages>, Error> {
    let Some(shape) = examination.shape else { return Ok(None) };
    if examination.tail.broken != Break::None || examination.undone.is_some() {
        return Ok(None);
    }
    let images = ImageSums::of(log, &shape, database, None)?;
    let from = FrameNo(examination.prefix.valid_frames).next();
    let remains = Remains::read(log, &shape, from, &images, watch)?;
    if remains.run.iter().all(|frame| frame.commit_size_pages.is_none()) {
        return Ok(None);
    }
    let mut live = Live::default();
    let frames = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    for facts in examination.facts(log, frames, watch) {
        live.take(&facts?);
    }
    remains.lost(&live, &images)
}

/// The generation of the log itself.
#[derive(Default)]
struct Live {
    pages: BTreeSet<Pgno>,
    smallest_pages: Option<u32>,
}

impl Live {
    fn take(&mut self, facts: &FrameFacts) {
        self.pages.insert(facts.header.page);
        if let Some(size) = facts.commit_size_pages() {
            self.smallest_pages = Some(self.smallest_pages.map_or(size, |it| it.min(size)));
        }
    }
}

impl Remains {
    fn read(
        log: &dyn File,
        shape: &LogShape,
        from: FrameNo,
        images: &ImageSums<'_>,
        watch: &dyn Watch,
    ) -> Result<Self, Error> {
        let ago = |salts: Salts| shape.salts.salt1.wrapping_sub(salts.salt1);
        let joiner = shape.joiner();
        let end = shape.extent.end().min(FrameNo(from.0.saturating_add(MAX_FRAMES)));
        let mut found = Self::default();
        let mut last: Option<FrameFacts> = None;
        for facts in shape.facts(log, from..end, watch) {
            let facts = facts?;
            let salts = facts.header.salts;
            if last.is_none() && (salts == shape.salts || facts.is_in_progress()) {
                continue;
            }
            let Some(before) = &last else {
                if ago(salts) != 1 || facts.blank {
                    break;
                }
                found.push(&facts, false, images)?;
                last = Some(facts);
                continue;
            };
            let is_own = salts == before.header.salts;
            if !found.is_whole && is_own && joiner.follows(&facts, before.header.checksum) {
                found.push(&facts, true, images)?;
                last = Some(facts);
                continue;
            }
            if facts.blank {
                break;
            }
            found.is_whole = true;
            if is_own {
                found.given_up.insert(facts.header.page);
            } else if ago(salts) == 2 {
                let image = images.of_frame(&facts)?;
                found.older.entry(facts.header.page).or_default().push(image);
            }
        }
        Ok(found)
    }

    fn push(
        &mut self,
        facts: &FrameFacts,
        is_linked: bool,
        images: &ImageSums<'_>,
    ) -> Result<(), Error> {
        let (frame, page) = (facts.frame, facts.header.page);
        let (image, commit_size_pages) = (images.of_frame(facts)?, facts.commit_size_pages());
        self.places.entry(page).or_default().push(self.run.len());
        self.run.push(Frame { frame, page, image, is_linked, commit_size_pages });
        Ok(())
    }

    /// The pages whose newest image is not in the file.
    fn lost(&self, live: &Live, images: &ImageSums<'_>) -> Result<Option<LostPages>, Error> {
        let mut in_file = BTreeMap::new();
        for &page in self.places.keys().filter(|page| !live.pages.contains(page)) {
            if let Some(image) = images.of_page(page)? {
                in_file.insert(page, image);
            }
        }
        let Some((copied, commit)) = self.copied(&in_file) else { return Ok(None) };
        let end = self.run.partition_point(|it| it.frame <= commit);
        let mut pages = BTreeMap::new();
        for (&page, ours) in &in_file {
            let images = self.images(page, 0..end);
            let Some((newest, place)) = images.last().copied() else { continue };
            let is_there = self.images(page, place..self.run.len()).iter().any(|it| it.0 == *ours);
            let sizes = self.run.iter().skip(place).filter_map(|it| it.commit_size_pages);
            let is_kept = sizes.chain(live.smallest_pages).all(|size| page.0 <= size);
            let is_proven = self.run.get(place).is_some_and(|it| it.is_linked);
            if is_there || !is_kept || !is_proven {
                continue;
            }
            let older = self.older.get(&page).into_iter().flatten();
            let mut earlier = older.copied().chain(images.iter().map(|it| it.0));
            let is_last = self.images(page, end..self.run.len()).is_empty();
            let nothing_follows = self.is_whole && is_last && !self.given_up.contains(&page);
            let is_older = earlier.any(|it| it == *ours && it != newest);
            let frame = self.run.get(place).map(|it| it.frame);
            if let Some(frame) = frame.filter(|_| nothing_follows || is_older) {
                pages.insert(page, LostPage { frame, is_older });
            }
        }
        Ok((!pages.is_empty()).then_some(LostPages { pages, copied, commit }))
    }

    /// A page that the file has from the latest commit, and that it did not have before; and the
    /// frame of that commit.
    fn copied(&self, in_file: &BTreeMap<Pgno, Checksum>) -> Option<((Pgno, FrameNo), FrameNo)> {
        let mut commit = None;
        for (place, frame) in self.run.iter().enumerate().rev() {
            if frame.commit_size_pages.is_some() {
                commit = Some(frame.frame);
            }
            let Some(commit) = commit else { continue };
            if in_file.get(&frame.page) != Some(&frame.image) {
                continue;
            }
            let older = self.older.get(&frame.page).into_iter().flatten().copied();
            let earlier = self.images(frame.page, 0..place).into_iter().map(|it| it.0);
            let mut before = older.chain(earlier).peekable();
            if before.peek().is_some() && before.all(|it| it != frame.image) {
                return Some(((frame.page, frame.frame), commit));
            }
        }
        None
    }

    /// The images of `page` at `places` of the run, in order.
    fn images(&self, page: Pgno, places: Range<usize>) -> Vec<(Checksum, usize)> {
        let all = self.places.get(&page).map(Vec::as_slice).unwrap_or_default();
        let from = all.partition_point(|&place| place < places.start);
        let all = all.iter().skip(from).take_while(|&&place| place < places.end);
        all.filter_map(|&place| Some((self.run.get(place)?.image, place))).collect()
    }
}
