//! Earlier states of a database: frames of the log over what the file was before it.
//!
//! A page that a state takes from the file is right unless a checkpoint has written a later frame
//! of it there. Then it is gone, and only whoever reads that page has to know.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};

use crate::database;
use crate::database::check::PageRules;
use crate::format::{FRAME_HEADER_BYTES, FrameHeader, FrameNo, PageSize, Pgno};
use crate::log::LogShape;
use crate::scan::Error;
use crate::storage::File;
use crate::storage::shared::Spread;

mod overwritten;

pub use overwritten::Backfilled;
use overwritten::NotCopied;

use super::committed::CommittedFrames;
use super::image_sums::left_out_bytes;
use super::read_ahead::ReadAhead;
use super::view::{read_base, read_image};

/// A log, and the file as it was before it.
pub struct Past<'a> {
    page_size: PageSize,
    /// `None` where there is no database file.
    base: Option<&'a dyn File>,
    log: Option<(&'a dyn File, LogShape)>,
    frames: &'a CommittedFrames,
    backfilled: Option<Backfilled>,
    /// A page that was not copied says nothing of others: the log may have had more commits, or
    /// page 1 of the file is damaged, and others may be.
    is_doubtful: bool,
    /// Bytes at the end of a page that a VFS of SQLite may have changed on the way into the file.
    left_out_bytes: usize,
    /// While somebody goes back through all states.
    ahead: RefCell<Option<ReadAhead>>,
    /// What an image of a page of the file has to be like; `None` where its page 1 is no header.
    rules: Option<PageRules>,
    /// Pages that were looked at: the frame of which the file may have a part.
    begun: RefCell<HashMap<Pgno, Option<FrameNo>>>,
    /// The same: the frames whose image the file has, newest first.
    equal: RefCell<HashMap<Pgno, Vec<FrameNo>>>,
    /// The pages of the log, ascending.
    pages: OnceCell<Vec<Pgno>>,
    /// The last commit that is known to have been copied.
    copied_to: OnceCell<FrameNo>,
    /// Pages that no checkpoint has copied.
    not_copied: RefCell<NotCopied>,
    /// Pages of the file that are likely as they were before the log are taken for that.
    accepts_likely: bool,
    /// Those that were.
    likely: RefCell<BTreeSet<Pgno>>,
}

impl<'a> Past<'a> {
    /// Of `log`, whose committed frames are `frames`, over `base`. `backfilled` is `None` where no
    /// index tells it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(
        page_size: PageSize,
        base: Option<&'a dyn File>,
        (log, frames): (Option<(&'a dyn File, LogShape)>, &'a CommittedFrames),
        backfilled: Option<Backfilled>,
    ) -> Result<Self, Error> {
        let header = base.map(database::header_of_file).transpose()?.flatten();
        let has_bytes = base.map(|base| base.size()).transpose()?.unwrap_or_default() > 0;
        let left_out_bytes = header.map_or(0, |header| left_out_bytes(header.reserved_bytes));
        Ok(Self {
            page_size,
            base,
            log,
            frames,
            backfilled,
            is_doubtful: has_bytes && header.is_none(),
            left_out_bytes,
            ahead: RefCell::default(),
            rules: header.and_then(|header| PageRules::of(&header, page_size)),
            begun: RefCell::default(),
            equal: RefCell::default(),
            pages: OnceCell::new(),
            copied_to: OnceCell::new(),
            not_copied: RefCell::default(),
            accepts_likely: false,
            likely: RefCell::default(),
        })
    }

    /// The same of a damaged log, which may have had more commits: a checkpoint passes over pages
    /// that have frames of these, so that a page that was not copied says nothing of others.
    #[must_use]
    pub fn of_damaged_log(mut self) -> Self {
        self.is_doubtful = true;
        self
    }

    /// Takes pages of the file for what they were before the log where that is likely, but not
    /// known.
    #[must_use]
    pub fn accepting_likely(mut self) -> Self {
        self.accepts_likely = true;
        self
    }

    /// The pages that were taken so, ascending.
    #[must_use]
    pub fn likely_pages(&self) -> Vec<Pgno> {
        self.likely.borrow().iter().copied().collect()
    }

    /// The committed frames.
    #[must_use]
    pub fn frames(&self) -> &'a CommittedFrames {
        self.frames
    }

    /// Bytes of a page.
    #[must_use]
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// How many threads may work on its pages.
    pub(super) fn spread(&self) -> Option<Spread> {
        let file = self.base.or(self.log.map(|(log, _)| log))?;
        file.shared().map(|shared| shared.spread)
    }

    /// Pages of the file before the log: those that its page 1 counts, if that is still there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn size_pages(&self) -> Result<u32, Error> {
        let Some(base) = self.base else { return Ok(0) };
        let in_file = base.size()?.div_ceil(self.page_size.bytes_u64());
        let in_file = u32::try_from(in_file).unwrap_or(u32::MAX);
        let header = database::header_of_file(base)?;
        let counted = header.and_then(|header| header.page_count());
        let is_gone = self.overwritten_by(Pgno::FIRST)?.is_some();
        Ok(counted.filter(|&counted| !is_gone && counted <= in_file).unwrap_or(in_file))
    }

    /// Reads the image in `frame`, or the page as it was before the log.
    ///
    /// # Errors
    /// [`Error::Gone`] when a checkpoint has overwritten it, [`Error::CutOff`] where the file ends
    /// before it, and when a file cannot be read.
    pub fn read(&self, page: Pgno, frame: Option<FrameNo>, image: &mut [u8]) -> Result<(), Error> {
        if let Some(frame) = frame {
            return self.read_frame(frame, image);
        }
        self.has_not_overwritten(page)?;
        let is_whole = self.read_base(page, image)?;
        self.has_not_cut(page, is_whole, image)
    }

    /// Reads committed frames from `frame` on into `slots`, header and image of each, as many as
    /// have room; how many are there, one at least.
    ///
    /// # Errors
    /// [`Error::Shrunk`] where the log ends before the first, and when it cannot be read.
    pub(super) fn read_slots(&self, frame: FrameNo, slots: &mut [u8]) -> Result<usize, Error> {
        let Some((log, _)) = &self.log else { return Ok(0) };
        let slot_bytes = FRAME_HEADER_BYTES + self.page_size.in_memory();
        let committed = self.frames.count().saturating_sub(frame.0 - 1) as usize;
        let most = (slots.len() / slot_bytes).min(committed);
        let offset_bytes = frame.offset_bytes(self.page_size);
        let wanted = slots.get_mut(..most * slot_bytes).unwrap_or_default();
        match log.read_at(wanted, offset_bytes)? / slot_bytes {
            0 => Err(Error::Shrunk { path: log.path().display().to_string(), frame, offset_bytes }),
            count => Ok(count),
        }
    }

    /// Reads pages of the file from `page` on into `images`, as many as have room; how many whole
    /// ones are there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read_pages(&self, page: Pgno, images: &mut [u8]) -> Result<usize, Error> {
        let Some(base) = self.base else { return Ok(0) };
        let read = base.read_at(images, page.offset_bytes(self.page_size))?;
        Ok(read / self.page_size.in_memory())
    }

    /// Proves a slot that was read: its salts, its page, and its sum, which goes on from that of
    /// the frame before as it was when the log was examined. Returns the image in it.
    ///
    /// # Errors
    /// [`Error::Broken`] when it is not what was committed.
    pub(super) fn prove<'s>(
        &self,
        (page, frame): (Pgno, FrameNo),
        slot: &'s [u8],
    ) -> Result<&'s [u8], Error> {
        let broken = |why| {
            let path =
                self.log.map_or_else(String::new, |(log, _)| log.path().display().to_string());
            Error::Broken { path, frame, offset_bytes: frame.offset_bytes(self.page_size), why }
        };
        let (Some((header, found)), Some((_, shape))) = (slot.split_first_chunk(), &self.log)
        else {
            return Err(broken("it is too short"));
        };
        let header = FrameHeader::decode(header);
        if header.salts != shape.salts {
            return Err(broken("its salts are not those of the log"));
        }
        if header.page != page {
            return Err(broken("it has another page"));
        }
        let before = self.frames.sum_before(frame, shape.start);
        let sum = before.map(|before| header.sum_from(before, shape.order, found));
        if sum != Some(header.checksum) {
            return Err(broken("its checksum is not that of its bytes"));
        }
        Ok(found)
    }

    fn base_path(&self) -> String {
        self.base.map_or_else(String::new, |base| base.path().display().to_string())
    }

    /// Whether the file has the whole page.
    fn read_base(&self, page: Pgno, image: &mut [u8]) -> Result<bool, Error> {
        read_base(self.base, self.page_size, page, image)
    }

    fn read_frame(&self, frame: FrameNo, image: &mut [u8]) -> Result<(), Error> {
        if let Some(ahead) = &*self.ahead.borrow()
            && let Some(found) = ahead.image(frame)
        {
            image.copy_from_slice(found);
            return Ok(());
        }
        match &self.log {
            Some((log, shape)) => read_image(*log, shape, frame, image),
            None => Ok(()),
        }
    }

    /// Lets the frames that going back from a transaction asks for be read before it does.
    pub(super) fn read_ahead_from(&self, txn: u32) {
        let begin = |(log, shape): &(&dyn File, LogShape)| ReadAhead::begin(*log, shape, txn);
        *self.ahead.borrow_mut() = self.log.as_ref().and_then(begin);
    }

    /// Whoever goes back comes to a transaction.
    pub(super) fn come_to(&self, txn: u32) {
        if let Some(ahead) = &mut *self.ahead.borrow_mut() {
            ahead.come_to(txn, self.frames);
        }
    }

    /// Shows `look` what [`Past::read`] reads, without a copy where it has been read ahead.
    ///
    /// # Errors
    /// As there.
    pub(super) fn show(
        &self,
        page: Pgno,
        frame: Option<FrameNo>,
        look: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        if let (Some(frame), Some(ahead)) = (frame, &*self.ahead.borrow())
            && let Some(image) = ahead.image(frame)
        {
            look(image);
            return Ok(());
        }
        let mut image = vec![0; self.page_size.in_memory()];
        self.read(page, frame, &mut image)?;
        look(&image);
        Ok(())
    }
}
