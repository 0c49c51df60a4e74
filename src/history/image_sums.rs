//! Compares images in the log with pages of the database file, by sums.
//!
//! SQLite's VFS shims write into the reserved bytes of a page on its way into the file: cksumvfs
//! its checksum into 8, tmstmpvfs time and origin into 16. What the log has there says nothing
//! about the file, and these bytes are left out where so many are reserved.

use crate::format::checksum::Advance;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{ByteOrder, Checksum, DatabaseHeader, FRAME_HEADER_BYTES, FrameNo, Pgno};
use crate::log::LogShape;
use crate::scan::{self, FrameFacts, Images, Joiner, Watch, map_pages};
use crate::storage::{self, File};

/// Reserved bytes that a shim writes.
const WRITTEN_BY_SHIMS: [u8; 2] = [8, 16];

/// Bytes at the end of a page that are not compared where so many are reserved.
pub(super) fn left_out_bytes(reserved_bytes: u8) -> usize {
    if WRITTEN_BY_SHIMS.contains(&reserved_bytes) { reserved_bytes.into() } else { 0 }
}

/// Sums of images, without the bytes that may be others in the file.
pub struct ImageSums<'a> {
    log: &'a dyn File,
    database: &'a dyn File,
    shape: LogShape,
    joiner: Joiner,
    left_out_bytes: usize,
    /// The size of the database: pages after its end are not asked for.
    database_bytes: u64,
    /// Takes the bytes that are left out from the end of a sum.
    back: Advance,
    /// The sums of the first pages of the database, where they were read at once.
    known: Vec<Checksum>,
}

impl<'a> ImageSums<'a> {
    /// For the images of `log` and the pages of `database`, whose page 1 says how many bytes are
    /// reserved; `page_1` says it where that page is no header.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn of(
        log: &'a dyn File,
        shape: &LogShape,
        database: &'a dyn File,
        page_1: Option<&DatabaseHeader>,
    ) -> storage::Result<Self> {
        let mut bytes = [0; DATABASE_HEADER_BYTES];
        let whole = database.read_at(&mut bytes, 0)? == bytes.len();
        let in_file = Some(DatabaseHeader::decode(&bytes))
            .filter(|header| whole && header.validate().is_ok());
        let reserved = in_file.as_ref().or(page_1).map_or(0, |header| header.reserved_bytes);
        let left_out = left_out_bytes(reserved);
        Ok(Self {
            log,
            database,
            shape: *shape,
            joiner: shape.joiner(),
            left_out_bytes: left_out,
            database_bytes: database.size()?,
            back: Advance::back_over_pairs(u32::try_from(left_out / 8).unwrap_or_default()),
            known: Vec::new(),
        })
    }

    /// Bytes at the end of a page that are not compared.
    pub fn left_out_bytes(&self) -> usize {
        self.left_out_bytes
    }

    /// Reads all pages of the database at once if `frames` of the log will be compared and these
    /// are not much fewer: that is faster than one by one.
    ///
    /// # Errors
    /// When the database cannot be read, or the watcher stops it.
    pub fn ahead(self, frames: u32, watch: &dyn Watch) -> Result<Self, scan::Error> {
        let page_size = self.shape.page_size();
        let file_pages = self.database_bytes / page_size.bytes_u64();
        if u64::from(frames) < file_pages / 4 {
            return Ok(self);
        }
        let (order, left_out_bytes) = (self.shape.order, self.left_out_bytes);
        let sum = |image: &[u8]| sum_of_page(image, order, left_out_bytes);
        let known = map_pages(self.database, page_size, sum, watch)?;
        Ok(Self { known, ..self })
    }

    /// Whether the database has, as each page of `pairs`, the image in the frame beside it, byte by
    /// byte. They ascend by page.
    ///
    /// # Errors
    /// As [`Images::are_in_database`].
    pub fn are_in_database(
        &self,
        pairs: &[(Pgno, FrameNo)],
        watch: &dyn Watch,
    ) -> Result<Vec<bool>, scan::Error> {
        let images = Images {
            log: self.log,
            database: self.database,
            page_size: self.shape.page_size(),
            left_out_bytes: self.left_out_bytes,
        };
        images.are_in_database(pairs, watch)
    }

    /// The sum of the image in a frame.
    ///
    /// # Errors
    /// When the log cannot be read, or was cut.
    pub fn of_frame(&self, facts: &FrameFacts) -> Result<Checksum, scan::Error> {
        let whole = self.joiner.image_sum(facts);
        if self.left_out_bytes == 0 {
            return Ok(whole);
        }
        let page_size = self.shape.page_size();
        let mut tail = vec![0; self.left_out_bytes];
        let slot = facts.frame.offset_bytes(page_size);
        let end = slot + FRAME_HEADER_BYTES as u64 + page_size.bytes_u64();
        if self.log.read_at(&mut tail, end - self.left_out_bytes as u64)? < tail.len() {
            let path = self.log.path().display().to_string();
            return Err(scan::Error::Shrunk { path, frame: facts.frame, offset_bytes: slot });
        }
        let tail = Checksum::ZERO.update(self.shape.order, &tail);
        Ok(self.back.apply(whole.minus(tail)))
    }

    /// The sum of a page of the database; `None` where the file ends before it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn of_page(&self, page: Pgno) -> storage::Result<Option<Checksum>> {
        if let Some(&known) = page.0.checked_sub(1).and_then(|n| self.known.get(n as usize)) {
            return Ok(Some(known));
        }
        let page_size = self.shape.page_size();
        if page.offset_bytes(page_size) >= self.database_bytes {
            return Ok(None);
        }
        let mut image = vec![0; page_size.in_memory()];
        let read = self.database.read_at(&mut image, page.offset_bytes(page_size))?;
        let sum = || sum_of_page(&image, self.shape.order, self.left_out_bytes);
        Ok((read == image.len()).then(sum))
    }
}

fn sum_of_page(image: &[u8], order: ByteOrder, left_out_bytes: usize) -> Checksum {
    let compared = image.split_at(image.len() - left_out_bytes).0;
    Checksum::ZERO.update(order, compared)
}
