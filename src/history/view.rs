//! A database as a log makes it: pages of frames over those of the database file.

use std::collections::{BTreeMap, BTreeSet};

use crate::database;
use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageSize, Pgno};
use crate::log::LogShape;
use crate::log::cure::{Cure, ImageSource};
use crate::scan::{Error, KnownFrames};
use crate::storage::shared::Spread;
use crate::storage::{self, File};

use super::snapshot::Snapshot;

/// Nothing is changed.
static NO_FIXES: BTreeMap<FrameNo, Cure> = BTreeMap::new();
/// Where page 1 counts the pages of the database (fileformat2.html section 1.3.8).
const PAGE_COUNT_FIELD: std::ops::Range<usize> = 28..32;
/// The file's own pages are right.
static NO_PAGES: BTreeSet<Pgno> = BTreeSet::new();
/// Nothing was read.
static NO_FRAMES: KnownFrames = KnownFrames::none();

/// A database as it is to be.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its page size.
    pub page_size: PageSize,
    /// The log and its shape; `None` where no frame is taken.
    pub log: Option<(&'a dyn File, &'a LogShape)>,
    /// Which frame holds each page, and the size.
    pub snapshot: &'a Snapshot,
    /// What is changed in the images of some frames.
    pub fixes: &'a BTreeMap<FrameNo, Cure>,
    /// Where all other pages come from.
    pub base: Option<&'a dyn File>,
    /// Pages of `base` that the database file itself does not have so: a hot journal puts them
    /// back.
    pub base_pages: &'a BTreeSet<Pgno>,
    /// Pages that page 1 counts; `None` leaves it as it is.
    pub page_count: Option<u32>,
    /// Frames of the log that were read before.
    pub known: &'a KnownFrames,
}

impl<'a> View<'a> {
    /// Frames as they are, over `base`.
    #[must_use]
    pub fn plain(
        log: &'a dyn File,
        shape: &'a LogShape,
        snapshot: &'a Snapshot,
        base: Option<&'a dyn File>,
    ) -> Self {
        Self::new(shape.page_size(), Some((log, shape)), snapshot, base)
    }

    /// Frames of `log` over `base`, as far as there are such.
    #[must_use]
    pub fn new(
        page_size: PageSize,
        log: Option<(&'a dyn File, &'a LogShape)>,
        snapshot: &'a Snapshot,
        base: Option<&'a dyn File>,
    ) -> Self {
        let (fixes, base_pages) = (&NO_FIXES, &NO_PAGES);
        let (page_count, known) = (None, &NO_FRAMES);
        Self { page_size, log, snapshot, fixes, base, base_pages, page_count, known }
    }

    /// The same, where frames of the log were read before.
    #[must_use]
    pub fn knowing(self, known: &'a KnownFrames) -> Self {
        Self { known, ..self }
    }

    /// A database file alone. `snapshot` is the default one.
    #[must_use]
    pub fn of_file(base: &'a dyn File, page_size: PageSize, snapshot: &'a Snapshot) -> Self {
        Self::new(page_size, None, snapshot, Some(base))
    }

    /// Size in bytes: what the snapshot commits, or that of the base.
    ///
    /// # Errors
    /// When the base cannot be asked.
    pub fn size_bytes(&self) -> storage::Result<u64> {
        let page_bytes = self.page_size.bytes_u64();
        match (self.snapshot.db_size_pages, self.base) {
            (Some(pages), _) => Ok(u64::from(pages) * page_bytes),
            (None, Some(base)) => base.size(),
            (None, None) => Ok(0),
        }
    }

    /// Pages that differ from the database file, ascending.
    #[must_use]
    pub fn changed_pages(&self) -> BTreeSet<Pgno> {
        let size = self.snapshot.db_size_pages.unwrap_or(u32::MAX);
        let from_base = self.base_pages.iter().copied().filter(|page| page.0 <= size);
        let first = self.page_count.map(|_| Pgno::FIRST);
        from_base.chain(first).chain(self.snapshot.pages.keys().copied()).collect()
    }

    /// Reads `page` into `image`, a whole page long. What the base does not have is zero.
    ///
    /// # Errors
    /// When a file cannot be read, or the log was cut.
    pub fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        match (self.snapshot.pages.get(&page), self.log) {
            (Some(&frame), Some((log, shape))) => {
                self.read_frame(log, shape, page, frame, image)?
            }
            (_, _) => self.read_base(page, image)?,
        }
        if let Some(count) = self.page_count.filter(|_| page == Pgno::FIRST)
            && let Some(field) = image.get_mut(PAGE_COUNT_FIELD)
        {
            field.copy_from_slice(&count.to_be_bytes());
        }
        Ok(())
    }

    fn read_base(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        read_base(self.base, self.page_size, page, image).map(drop)
    }

    fn read_frame(
        &self,
        log: &dyn File,
        shape: &LogShape,
        page: Pgno,
        frame: FrameNo,
        image: &mut [u8],
    ) -> Result<(), Error> {
        let fix = self.fixes.get(&frame);
        let slot = match fix {
            Some(Cure::Moved(other)) => *other,
            Some(
                Cure::Header | Cure::Unsummed | Cure::Field(_) | Cure::Image { .. } | Cure::Word(_),
            )
            | None => frame,
        };
        read_image(log, shape, slot, image)?;
        match fix {
            Some(Cure::Word(correction)) => correction.apply(image, shape.order),
            Some(&Cure::Image { source, first_byte, end_byte }) => {
                let mut other = vec![0; image.len()];
                match source {
                    ImageSource::Frame(other_frame) => {
                        read_image(log, shape, other_frame, &mut other)?;
                    }
                    ImageSource::Database => self.read_base(page, &mut other)?,
                }
                let part = first_byte as usize..end_byte as usize;
                if let (Some(to), Some(from)) = (image.get_mut(part.clone()), other.get(part)) {
                    to.copy_from_slice(from);
                }
            }
            Some(Cure::Moved(_) | Cure::Header | Cure::Unsummed | Cure::Field(_)) | None => {}
        }
        Ok(())
    }
}

/// Reads `page` of a database file into `image`; what the file does not have is zero. Whether it
/// has the whole page.
pub(super) fn read_base(
    base: Option<&dyn File>,
    page_size: PageSize,
    page: Pgno,
    image: &mut [u8],
) -> Result<bool, Error> {
    let read = match base {
        Some(base) => base.read_at(image, page.offset_bytes(page_size))?,
        None => 0,
    };
    image.iter_mut().skip(read).for_each(|byte| *byte = 0);
    Ok(read == image.len())
}

/// Reads the image in a frame.
pub(super) fn read_image(
    log: &dyn File,
    shape: &LogShape,
    frame: FrameNo,
    image: &mut [u8],
) -> Result<(), Error> {
    let slot = frame.offset_bytes(shape.page_size());
    if log.read_at(image, slot + FRAME_HEADER_BYTES as u64)? < image.len() {
        let path = log.path().display().to_string();
        return Err(Error::Shrunk { path, frame, offset_bytes: slot });
    }
    Ok(())
}

impl database::Pages for View<'_> {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn size_pages(&self) -> Result<u32, Error> {
        let pages = self.size_bytes()?.div_ceil(self.page_size.bytes_u64());
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        Self::read(self, page, image)
    }

    fn spread(&self) -> Option<Spread> {
        let file = self.base.or(self.log.map(|(log, _)| log))?;
        file.shared().map(|shared| shared.spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Pages;
    use crate::scan::Nobody;
    use crate::storage::fault::{Fault, FaultKind, FaultVfs};
    use crate::storage::memory::MemoryVfs;
    use crate::storage::{OpenMode, Vfs};

    #[test]
    fn a_size_that_cannot_be_asked_is_an_error_that_names_the_file() {
        let vfs = FaultVfs::new(MemoryVfs::default());
        let file = vfs.open("t.db".as_ref(), OpenMode::Create).unwrap();
        file.write_at(&[0; 1024], 0).unwrap();
        let snapshot = Snapshot::default();
        let view = View::of_file(file.as_ref(), PageSize::ALL[0], &snapshot);
        assert_eq!(view.size_pages().unwrap(), 2);
        vfs.plan(Some(Fault { call: 1, kind: FaultKind::Fail, persistent: false }));
        let error = view.size_pages().unwrap_err().to_string();
        assert!(error.contains("t.db"), "{error}");
        // Page 1 is read, and then the size is asked.
        vfs.plan(Some(Fault { call: 2, kind: FaultKind::Fail, persistent: false }));
        assert!(database::check(&view, &Nobody).is_err());
    }
}
