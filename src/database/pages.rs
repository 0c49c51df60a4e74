//! Where the pages of a database come from.

use crate::format::{PageSize, Pgno};
use crate::storage::File;
use crate::storage::shared::Spread;

use super::Error;

/// The pages of a database, wherever they are.
pub trait Pages {
    /// Bytes of a page.
    fn page_size(&self) -> PageSize;

    /// How many pages there are: the commit size of a log, or what a file holds, a part of a page
    /// at its end counted as one (pager.c pagerPagecount).
    ///
    /// # Errors
    /// When the storage cannot tell.
    fn size_pages(&self) -> Result<u32, Error>;

    /// Fills `image`, which is one page long. A page or a part of one after the end of a file
    /// reads as zeros, as in SQLite.
    ///
    /// # Errors
    /// When the storage fails, or a frame that was there is gone.
    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error>;

    /// How many threads may work on the pages, where they come from a file that says it.
    fn spread(&self) -> Option<Spread> {
        None
    }

    /// Shows a page to `look`: as [`Pages::read`], without a copy where it is in memory.
    ///
    /// # Errors
    /// As there; `look` is not called then.
    fn show(&self, page: Pgno, look: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut image = vec![0; self.page_size().in_memory()];
        self.read(page, &mut image)?;
        look(&image);
        Ok(())
    }
}

/// The layout of every page of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLayout {
    pub page_size: PageSize,
    /// Bytes of a page that are not reserved.
    pub usable: usize,
}

impl PageLayout {
    /// As page 1 has it.
    pub(super) fn of(pages: &dyn Pages) -> Result<Self, Error> {
        let page_size = pages.page_size();
        let reserved_bytes = usize::from(super::header(pages)?.reserved_bytes);
        Ok(Self { page_size, usable: page_size.in_memory() - reserved_bytes })
    }
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
    /// When the size cannot be read.
    pub fn new(file: &'a dyn File, page_size: PageSize) -> Result<Self, Error> {
        let size_pages = file.size()?.div_ceil(page_size.bytes_u64());
        Ok(Self { file, page_size, size_pages: u32::try_from(size_pages).unwrap_or(u32::MAX) })
    }
}

impl Pages for FilePages<'_> {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn size_pages(&self) -> Result<u32, Error> {
        Ok(self.size_pages)
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        let read = self.file.read_at(image, page.offset_bytes(self.page_size))?;
        image.iter_mut().skip(read).for_each(|byte| *byte = 0);
        Ok(())
    }

    fn spread(&self) -> Option<Spread> {
        self.file.shared().map(|shared| shared.spread)
    }
}
