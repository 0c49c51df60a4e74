//! Where the pages of a database come from.

use crate::analysis::LogShape;
use crate::analysis::snapshot::Snapshot;
use crate::format::{FRAME_HEADER_BYTES, PageSize, Pgno};
use crate::storage::File;

use super::Error;

/// The pages of a database, wherever they stand.
pub trait Pages {
    /// Bytes of a page.
    fn page_size(&self) -> PageSize;

    /// How many pages there are: the commit size of a log, or what a file holds, a part of a page at
    /// its end counted as one (pager.c pagerPagecount).
    fn size_pages(&self) -> u32;

    /// Fills `image`, which is one page long. A page or a part of one behind the end of a file reads
    /// as zeros, as in SQLite.
    ///
    /// # Errors
    /// When the storage fails, or a frame that was there is gone.
    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error>;
}

/// A database file without its log.
#[derive(Clone, Copy, Debug)]
pub struct FilePages<'a> {
    file: &'a dyn File,
    page_size: PageSize,
    size_pages: u32,
}

impl<'a> FilePages<'a> {
    /// The pages of `file`, whose size is sampled now.
    ///
    /// # Errors
    /// When the size cannot be had.
    pub fn new(file: &'a dyn File, page_size: PageSize) -> Result<Self, Error> {
        let size_pages = file.size()?.div_ceil(page_size.bytes_u64());
        Ok(Self { file, page_size, size_pages: u32::try_from(size_pages).unwrap_or(u32::MAX) })
    }
}

impl Pages for FilePages<'_> {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn size_pages(&self) -> u32 {
        self.size_pages
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        read_or_zeros(Some(self.file), page, self.page_size, image)
    }
}

/// A database file with a snapshot of a log over it: what SQLite sees of both.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPages<'a> {
    /// The database file; without one, pages that the log does not hold are zeros.
    pub base: Option<&'a dyn File>,
    /// The log.
    pub log: &'a dyn File,
    /// Its shape.
    pub shape: &'a LogShape,
    /// Which frames hold the newest images.
    pub snapshot: &'a Snapshot,
    /// Pages of the database.
    pub size_pages: u32,
}

impl<'a> SnapshotPages<'a> {
    /// The pages of `base` under `snapshot` of `log`.
    ///
    /// # Errors
    /// When the size of the base cannot be had.
    pub fn new(
        base: Option<&'a dyn File>,
        log: &'a dyn File,
        shape: &'a LogShape,
        snapshot: &'a Snapshot,
    ) -> Result<Self, Error> {
        let size_pages = match (snapshot.db_size_pages, base) {
            (Some(pages), _) => pages,
            (None, Some(base)) => FilePages::new(base, shape.page_size())?.size_pages,
            (None, None) => 0,
        };
        Ok(Self { base, log, shape, snapshot, size_pages })
    }
}

impl Pages for SnapshotPages<'_> {
    fn page_size(&self) -> PageSize {
        self.shape.page_size()
    }

    fn size_pages(&self) -> u32 {
        self.size_pages
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        let page_size = self.page_size();
        let Some(&frame) = self.snapshot.pages.get(&page) else {
            return read_or_zeros(self.base, page, page_size, image);
        };
        let offset_bytes = frame.offset_bytes(page_size);
        let read = self.log.read_at(image, offset_bytes + FRAME_HEADER_BYTES as u64)?;
        if read < image.len() {
            let path = self.log.path().display().to_string();
            return Err(Error::Shrunk { path, frame, offset_bytes });
        }
        Ok(())
    }
}

fn read_or_zeros(
    file: Option<&dyn File>,
    page: Pgno,
    page_size: PageSize,
    image: &mut [u8],
) -> Result<(), Error> {
    let read = match file {
        Some(file) => file.read_at(image, page.offset_bytes(page_size))?,
        None => 0,
    };
    image.iter_mut().skip(read).for_each(|byte| *byte = 0);
    Ok(())
}
