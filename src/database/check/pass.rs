//! One pass over the pages of a database: who uses each, and what is wrong.

use crate::database::{Error, PageLayout, Pages};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, Pgno};
use crate::scan::Watch;

use super::Entries;
use super::ahead::{Ahead, BATCH, Batch, Judged};
use super::owners::{Owner, Owners, Refused};
use super::pointer_map::{self, PointerMap, Use};
use super::problem::{Ledger, Problem, StructureFault};

/// A pass under way.
pub(super) struct Pass<'a> {
    pub pages: &'a dyn Pages,
    /// Pages that there are.
    pub size_pages: u32,
    watch: &'a dyn Watch,
    pub header: DatabaseHeader,
    pub layout: PageLayout,
    pub entries: Entries,
    pub owners: Owners,
    pub ledger: Ledger,
    pub pointer_map: Option<PointerMap>,
    /// The tree that faults are found in.
    pub current: Option<(Pgno, String)>,
    images: Vec<Vec<u8>>,
    ahead: Option<Ahead>,
    read_pages: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        pages: &'a dyn Pages,
        entries: Entries,
        watch: &'a dyn Watch,
    ) -> Result<Self, Error> {
        let page_size = pages.page_size();
        let mut image = vec![0; page_size.in_memory()];
        pages.read(Pgno::FIRST, &mut image)?;
        let bytes = image.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES]);
        let header = DatabaseHeader::decode(bytes);
        let usable = page_size.in_memory() - usize::from(header.reserved_bytes);
        let layout = PageLayout { page_size, usable };
        let in_header = header.page_count();
        let size_pages = pages.size_pages()?;
        let used_pages = in_header.unwrap_or(size_pages).min(size_pages);
        let map =
            (header.largest_root != 0).then(|| pointer_map::MapLayout::new(page_size, usable));
        Ok(Self {
            pages,
            size_pages,
            watch,
            header,
            layout,
            entries,
            owners: Owners::new(page_size, used_pages, map),
            ledger: Ledger::default(),
            pointer_map: map.map(|map| PointerMap::new(map, page_size)),
            current: None,
            images: vec![image],
            ahead: Ahead::begin(pages, (layout, entries), used_pages),
            read_pages: 0,
        })
    }

    pub(super) fn fault(&mut self, page: Option<Pgno>, fault: StructureFault) {
        let (root, name) = self.current.clone().unzip();
        self.ledger.add(Problem { page, root, name, fault });
    }

    /// Claims `target`, to which `page` refers; false when that cannot be.
    pub(super) fn claim(&mut self, page: Pgno, target: Pgno, owner: Owner) -> bool {
        match self.owners.claim(target, owner) {
            Ok(()) => true,
            Err(Refused::NoSuchPage) => {
                self.fault(Some(page), StructureFault::NoSuchPage { target });
                false
            }
            Err(Refused::UsedTwice) => {
                self.fault(Some(page), StructureFault::UsedTwice { target });
                false
            }
        }
    }

    /// The pointer map, where there is one, knows `target` as `kind` below `parent`.
    pub(super) fn pointer_map(
        &mut self,
        target: Pgno,
        kind: Use,
        parent: Pgno,
    ) -> Result<(), Error> {
        let Some(map) = &mut self.pointer_map else { return Ok(()) };
        let found = map.entry(self.pages, target)?.unwrap_or((0, Pgno(0)));
        if found != (kind.code(), parent) {
            let wanted_kind = kind.code();
            let fault = StructureFault::PointerMap {
                target,
                kind: found.0,
                parent: found.1,
                wanted_kind,
                wanted_parent: parent,
            };
            self.fault(Some(target), fault);
        }
        Ok(())
    }

    /// Reads a page that was claimed.
    pub(super) fn read(&mut self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        let page_bytes = self.layout.page_size.bytes_u64();
        let total = u64::from(self.owners.size_pages()) * page_bytes;
        if self.read_pages.is_multiple_of(256)
            && self.watch.scanned(self.read_pages * page_bytes, total).is_break()
        {
            return Err(Error::Interrupted);
        }
        self.read_pages += 1;
        self.pages.read(page, image)
    }

    /// Reads a page of a b-tree that was claimed, and judges it by itself.
    pub(super) fn judged(&mut self, page: Pgno) -> Result<Judged, Error> {
        if let Some(judged) = self.ahead.as_mut().and_then(|ahead| ahead.take(page)) {
            return Ok(judged);
        }
        let mut image = self.take_image();
        self.read(page, &mut image)?;
        Ok(Judged::new(page, self.layout, self.entries, image))
    }

    /// Before the child at `place` of an interior page is gone to: those that come after it are
    /// read, and judged by threads.
    pub(super) fn look_ahead(&mut self, children: &[Pgno], place: usize) {
        let Some(ahead) = self.ahead.as_ref().filter(|_| place.is_multiple_of(BATCH)) else {
            return;
        };
        let end = place + ahead.pages_ahead();
        let from = if place == 0 { 0 } else { end - BATCH };
        let next = children.get(from..children.len().min(end)).unwrap_or_default();
        for pages in next.chunks(BATCH) {
            self.give(pages);
        }
    }

    fn give(&mut self, pages: &[Pgno]) {
        let mut batch = Batch::new();
        for &page in pages {
            let is_known = self.ahead.as_ref().is_some_and(|ahead| ahead.has(page))
                || batch.iter().any(|(given, _)| *given == page);
            if is_known || !self.owners.is_free(page) {
                continue;
            }
            let mut image = self.take_image();
            match self.read(page, &mut image) {
                Ok(()) => batch.push((page, image)),
                // Told where the walk comes to it.
                Err(_) => self.put_image(image),
            }
        }
        if let Some(ahead) = &mut self.ahead {
            ahead.give(batch);
        }
    }

    /// A page that was read ahead is none of the tree.
    pub(super) fn forget(&mut self, page: Pgno) {
        if let Some(judged) = self.ahead.as_mut().and_then(|ahead| ahead.take(page)) {
            self.put_image(judged.image);
        }
    }

    /// A buffer of one page.
    pub(super) fn take_image(&mut self) -> Vec<u8> {
        self.images.pop().unwrap_or_else(|| vec![0; self.layout.page_size.in_memory()])
    }

    pub(super) fn put_image(&mut self, image: Vec<u8>) {
        self.images.push(image);
    }
}
