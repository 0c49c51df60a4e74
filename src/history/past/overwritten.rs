//! Which pages of the file are not what they were before the log: a checkpoint has written over
//! them, or has cut them off.

use crate::database::check::Soundness;
use crate::format::{FrameNo, Pgno};
use crate::scan::Error;

use super::Past;
use crate::history::snapshot::Snapshot;

/// How far checkpoints have gone, by the wal-index of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfilled {
    /// Frames of which a copy was begun (`nBackfillAttempted`).
    pub attempted: u32,
    /// Attached processes keep it. One that is left may lack the last checkpoint: of a process that
    /// had the database alone, recovered the log for itself, and died.
    pub is_kept: bool,
}

/// What a page of the file may have been overwritten with.
pub(super) struct Overwritten {
    /// A frame that has this image.
    frame: FrameNo,
    /// It is likely that SQLite has written the page there as it was.
    is_likely: bool,
}

/// Pages of the log of which the file has no image, as far as they were looked at.
#[derive(Default)]
pub(super) struct NotCopied {
    /// How many pages of the log were looked at, in their order.
    looked_at: usize,
    /// Those whose newest frame is older than that of all before them, with that frame.
    oldest: Vec<(Pgno, FrameNo)>,
}

/// Bytes of a write that a signal does not divide.
const KERNEL_PAGE_BYTES: usize = 4096;
/// Bytes of a write that no disk divides, whatever becomes of its power.
const SECTOR_BYTES: usize = 512;

impl Past<'_> {
    /// Fails where a page that the state of `snapshot` takes from the file is not, or may not be,
    /// what it was before the log. Tells whether a later frame has any of those that it takes.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::CutOff`], and when a file cannot be read.
    pub fn has_all_of(&self, snapshot: &Snapshot) -> Result<bool, Error> {
        let size_pages = snapshot.db_size_pages.map_or_else(|| self.size_pages(), Ok)?;
        let is_taken = |page: &Pgno| page.0 <= size_pages && !snapshot.pages.contains_key(page);
        let mut image = vec![0; self.page_size.in_memory()];
        let mut any = false;
        for page in self.frames.all_pages().into_iter().filter(is_taken) {
            any = true;
            self.read(page, None, &mut image)?;
        }
        let Some(smallest) = self.frames.smallest_size() else { return Ok(any) };
        let may_be_cut = (smallest.saturating_add(1)..=size_pages).map(Pgno).filter(is_taken);
        for page in may_be_cut.filter(|page| self.first_frame(*page).is_none()) {
            match self.read(page, None, &mut image) {
                // A page of the freelist that no state has written need not be in the file.
                Ok(()) | Err(Error::CutOff { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(any)
    }

    /// Fails where `page` of the file is not, or may not be, what it was before the log.
    ///
    /// # Errors
    /// [`Error::Gone`], and when a file cannot be read.
    pub(in crate::history) fn has_not_overwritten(&self, page: Pgno) -> Result<(), Error> {
        let Some(Overwritten { frame, is_likely }) = self.overwritten_by(page)? else {
            return Ok(());
        };
        let path = self.base_path();
        Err(Error::Gone { path, page, frame, is_likely_there: is_likely })
    }

    /// Fails where the file had a whole `page` before the log, and `image` is what it has of it
    /// now.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::CutOff`].
    pub(in crate::history) fn has_not_cut(
        &self,
        page: Pgno,
        is_whole: bool,
        image: &[u8],
    ) -> Result<(), Error> {
        if (!is_whole || image.iter().all(|byte| *byte == 0))
            && let Some(frame) = self.cut_by(page)
        {
            let path = self.base_path();
            return Err(Error::Gone { path, page, frame, is_likely_there: false });
        }
        if !is_whole {
            return Err(Error::CutOff { path: self.base_path(), page });
        }
        Ok(())
    }

    /// The commit with which a checkpoint may have cut the file before `page`. Such a page need not
    /// have a frame: it is gone although nothing was written over it. What the file has there is
    /// zeros, also where it has grown since.
    fn cut_by(&self, page: Pgno) -> Option<FrameNo> {
        let frame = self.frames.first_without(page)?;
        self.kept().is_none_or(|attempted| attempted >= frame.0).then_some(frame)
    }

    /// The frame whose image a checkpoint has written over `page` in the file, if one may have.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn overwritten_by(&self, page: Pgno) -> Result<Option<Overwritten>, Error> {
        let Some(first) = self.first_frame(page) else { return Ok(None) };
        if self.kept().is_some_and(|attempted| attempted < first.0) {
            return Ok(None);
        }
        let equal = self.equal_frames(page)?;
        let Some(&newest) = equal.first() else {
            let frame = self.begun_with(page, first)?;
            return Ok(frame.and_then(|frame| self.unless_accepted(page, frame)));
        };
        // Any of them may be the one that was copied.
        for &frame in &equal {
            if !self.is_likely_unchanged(page, frame)? {
                return Ok(Some(Overwritten { frame, is_likely: false }));
            }
        }
        Ok(self.unless_accepted(page, newest))
    }

    /// A page that is likely as it was, unless that is accepted.
    fn unless_accepted(&self, page: Pgno, frame: FrameNo) -> Option<Overwritten> {
        if self.accepts_likely {
            self.likely.borrow_mut().insert(page);
            return None;
        }
        Some(Overwritten { frame, is_likely: true })
    }

    /// A frame of which a checkpoint that was cut short may have written a part over `page`, whose
    /// first frame is `first`.
    fn begun_with(&self, page: Pgno, first: FrameNo) -> Result<Option<FrameNo>, Error> {
        if let Some(&known) = self.begun.borrow().get(&page) {
            return Ok(known);
        }
        let mut in_file = vec![0; self.page_size.in_memory()];
        self.read_base(page, &mut in_file)?;
        let by_kill = self.killed_amid(page, first, &in_file)?;
        let found = by_kill.map_or_else(|| self.torn_with(page, &in_file), |it| Ok(Some(it)))?;
        self.begun.borrow_mut().insert(page, found);
        Ok(found)
    }

    /// A frame with which the page begins: a write ends between pages of the kernel when its
    /// process is killed. It is the first page that this checkpoint has not copied whole.
    fn killed_amid(
        &self,
        page: Pgno,
        first: FrameNo,
        in_file: &[u8],
    ) -> Result<Option<FrameNo>, Error> {
        if in_file.len() <= KERNEL_PAGE_BYTES {
            return Ok(None);
        }
        let commit = self.frames.commit_of(first).unwrap_or(first);
        if !self.is_doubtful && self.is_not_copied_before(page, commit)? {
            return Ok(None);
        }
        let begins =
            |in_frame: &[u8]| in_file.get(..KERNEL_PAGE_BYTES) == in_frame.get(..KERNEL_PAGE_BYTES);
        self.frame_that(page, begins)
    }

    /// A frame of which the file has a sector or more, in a page that breaks the rules of a b-tree
    /// page: a power loss leaves any sectors of a write, and old pointers to new cells.
    fn torn_with(&self, page: Pgno, in_file: &[u8]) -> Result<Option<FrameNo>, Error> {
        let Some(rules) = &self.rules else { return Ok(None) };
        if rules.soundness(page, in_file) != Soundness::Unsound {
            return Ok(None);
        }
        let shares = |in_frame: &[u8]| {
            let mut sectors = in_file.chunks(SECTOR_BYTES).zip(in_frame.chunks(SECTOR_BYTES));
            sectors.any(|(ours, its)| ours == its)
        };
        self.frame_that(page, shares)
    }

    /// The newest frame of `page` whose image is as wanted.
    fn frame_that(
        &self,
        page: Pgno,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<FrameNo>, Error> {
        let mut in_frame = vec![0; self.page_size.in_memory()];
        for frame in self.frames.of_page(page) {
            self.read_frame(frame, &mut in_frame)?;
            if is_wanted(&in_frame) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// Frames of which a copy was begun, by an index that attached processes keep.
    fn kept(&self) -> Option<u32> {
        self.backfilled.filter(|it| it.is_kept).map(|it| it.attempted)
    }

    fn first_frame(&self, page: Pgno) -> Option<FrameNo> {
        self.frames.of_page(page).last()
    }

    /// Whether the file is likely to have the image of `frame` although no checkpoint has copied
    /// it: SQLite writes a page again as it was, after a statement that failed, say. A checkpoint
    /// that copies the frame has copied all pages before it that have no frame after that commit:
    /// others it may have passed over (wal.c walCheckpoint). That is no proof: after a power loss
    /// amid a checkpoint the file has any of its pages, and an index may be older than the file.
    fn is_likely_unchanged(&self, page: Pgno, frame: FrameNo) -> Result<bool, Error> {
        let first = self.first_frame(page).unwrap_or(frame);
        let is_begun = self.backfilled.is_none_or(|it| it.attempted >= first.0);
        // What an index that nobody keeps lacks is a checkpoint of the whole log: newest frames.
        if !is_begun && self.frames.newest(page) != Some(frame) {
            return Ok(true);
        }
        if self.is_doubtful || frame <= self.copied_to()? {
            return Ok(false);
        }
        let commit = self.frames.commit_of(frame).unwrap_or(frame);
        self.is_not_copied_before(page, commit)
    }

    /// Whether there is a page before `page` that has frames up to `commit` alone, and of which the
    /// file has no image.
    fn is_not_copied_before(&self, page: Pgno, commit: FrameNo) -> Result<bool, Error> {
        let pages = self.pages.get_or_init(|| self.frames.all_pages());
        let mut known = self.not_copied.borrow_mut();
        while let Some(&other) = pages.get(known.looked_at).filter(|other| **other < page) {
            known.looked_at += 1;
            let Some(newest) = self.frames.newest(other) else { continue };
            let is_older = known.oldest.last().is_none_or(|(_, oldest)| newest < *oldest);
            if is_older && self.equal_frames(other)?.is_empty() {
                known.oldest.push((other, newest));
            }
        }
        let before = known.oldest.partition_point(|(other, _)| *other < page);
        let oldest = before.checked_sub(1).and_then(|place| known.oldest.get(place));
        Ok(oldest.is_some_and(|(_, newest)| *newest <= commit))
    }

    /// The last commit that was copied into the file, as far as pages show it that had another
    /// image in the log before. A damaged page of such a file is not to be taken for one that no
    /// checkpoint has written.
    fn copied_to(&self) -> Result<FrameNo, Error> {
        if let Some(&known) = self.copied_to.get() {
            return Ok(known);
        }
        let mut copied_to = FrameNo(0);
        for &page in self.pages.get_or_init(|| self.frames.all_pages()) {
            let equal = self.equal_frames(page)?;
            // Of a page that went from one image to another and back, the oldest counts.
            let Some(&frame) = equal.last() else { continue };
            let commit = self.frames.commit_of(frame).unwrap_or(frame);
            if self.first_frame(page) != Some(frame) {
                copied_to = copied_to.max(commit);
            }
        }
        Ok(*self.copied_to.get_or_init(|| copied_to))
    }

    /// The frames of `page` whose image is the file's, newest first.
    fn equal_frames(&self, page: Pgno) -> Result<Vec<FrameNo>, Error> {
        if let Some(known) = self.equal.borrow().get(&page) {
            return Ok(known.clone());
        }
        let bytes = self.page_size.in_memory();
        let (mut in_file, mut in_frame) = (vec![0; bytes], vec![0; bytes]);
        self.read_base(page, &mut in_file)?;
        let compared = ..bytes - self.left_out_bytes;
        let mut found = Vec::new();
        for frame in self.frames.of_page(page) {
            self.read_frame(frame, &mut in_frame)?;
            if in_file.get(compared) == in_frame.get(compared) {
                found.push(frame);
            }
        }
        self.equal.borrow_mut().insert(page, found.clone());
        Ok(found)
    }
}
