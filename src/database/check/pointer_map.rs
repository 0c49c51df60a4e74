//! The pointer map of auto-vacuum databases (fileformat2.html section 1.8, btree.c ptrmapGet).

use crate::database::{Error, Pages};
use crate::format::{PageSize, Pgno};

/// Where the entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapLayout {
    /// Entries on a page of the map.
    entries: u32,
    lock_byte_page: Pgno,
}

impl MapLayout {
    pub(super) fn new(page_size: PageSize, usable: usize) -> Self {
        let entries = u32::try_from(usable / 5).unwrap_or(u32::MAX);
        Self { entries, lock_byte_page: page_size.lock_byte_page() }
    }

    /// The page of the map that has the entry of `page`; 0 for page 1 (btree.c ptrmapPageno).
    pub(super) fn map_page_of(self, page: Pgno) -> Pgno {
        let Some(after) = page.0.checked_sub(2) else { return Pgno(0) };
        let group = self.entries + 1;
        let map_page = after / group * group + 2;
        if map_page == self.lock_byte_page.0 { Pgno(map_page + 1) } else { Pgno(map_page) }
    }
}

/// Whether `page` is one of the pointer map, in a database that has one; `usable` bytes of each
/// page are not reserved.
#[must_use]
pub fn is_pointer_map(page_size: PageSize, usable: usize, page: Pgno) -> bool {
    MapLayout::new(page_size, usable).map_page_of(page) == page
}

/// What a page is, by its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// 1: root of a b-tree; no parent.
    Root,
    /// 2: on the freelist; no parent.
    Free,
    /// 3: first of an overflow chain; the parent has the cell.
    Overflow1,
    /// 4: later in an overflow chain; the parent is the page before.
    Overflow2,
    /// 5: below the root of a b-tree.
    Btree,
}

impl Use {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Root => 1,
            Self::Free => 2,
            Self::Overflow1 => 3,
            Self::Overflow2 => 4,
            Self::Btree => 5,
        }
    }
}

/// Reads entries; neighbouring ones cost one read.
#[derive(Debug)]
pub(super) struct PointerMap {
    layout: MapLayout,
    loaded: Pgno,
    image: Vec<u8>,
}

impl PointerMap {
    pub(super) fn new(layout: MapLayout, page_size: PageSize) -> Self {
        Self { layout, loaded: Pgno(0), image: vec![0; page_size.in_memory()] }
    }

    /// Kind and parent in the entry of `page`; `None` where there is no entry.
    pub(super) fn entry(
        &mut self,
        pages: &dyn Pages,
        page: Pgno,
    ) -> Result<Option<(u8, Pgno)>, Error> {
        let map_page = self.layout.map_page_of(page);
        let Some(index) = page.0.checked_sub(map_page.0 + 1).filter(|_| map_page.0 != 0) else {
            return Ok(None);
        };
        if self.loaded != map_page {
            pages.read(map_page, &mut self.image)?;
            self.loaded = map_page;
        }
        let offset = 5 * usize::try_from(index).unwrap_or(usize::MAX / 8);
        let entry = self.image.get(offset..offset + 5).and_then(|entry| entry.first_chunk::<5>());
        Ok(entry.map(|&[kind, a, b, c, d]| (kind, Pgno(u32::from_be_bytes([a, b, c, d])))))
    }
}
