//! Who uses each page of a database.

use crate::format::{PageSize, Pgno};

use super::pointer_map::MapLayout;

/// Pages whose owners are held together; a part of the file that nobody refers to takes no memory.
const CHUNK_PAGES: usize = 4096;

/// Who uses a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Nobody.
    Unknown,
    /// The page of the lock bytes.
    LockByte,
    /// The pointer map.
    PointerMap,
    /// The freelist, as a trunk.
    FreelistTrunk,
    /// The freelist, as a leaf.
    FreelistLeaf,
    /// The b-tree with this root.
    Btree(Pgno),
    /// A payload of the b-tree with this root.
    Overflow(Pgno),
}

/// The owner of every page. A page has the first one that the check met.
#[derive(Clone, Debug)]
pub struct Owners {
    chunks: Vec<Option<Box<[u32; CHUNK_PAGES]>>>,
    roots: Vec<Pgno>,
    size_pages: u32,
    lock_byte_page: Pgno,
    pointer_map: Option<MapLayout>,
}

/// Why a page cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoSuchPage,
    UsedTwice,
}

const UNKNOWN: u32 = 0;
const TRUNK: u32 = 1;
const LEAF: u32 = 2;
/// From here on: twice the place in `roots`, one more for overflow pages.
const FIRST_TREE: u32 = 4;

impl Owners {
    pub(super) fn new(
        page_size: PageSize,
        size_pages: u32,
        pointer_map: Option<MapLayout>,
    ) -> Self {
        Self {
            chunks: Vec::new(),
            roots: Vec::new(),
            size_pages,
            lock_byte_page: page_size.lock_byte_page(),
            pointer_map,
        }
    }

    /// Who uses `page`.
    #[must_use]
    pub fn of(&self, page: Pgno) -> Owner {
        let code = self.code(page);
        if page == self.lock_byte_page {
            return Owner::LockByte;
        }
        match code {
            TRUNK => Owner::FreelistTrunk,
            LEAF => Owner::FreelistLeaf,
            UNKNOWN..FIRST_TREE => {
                if self.is_pointer_map(page) {
                    Owner::PointerMap
                } else {
                    Owner::Unknown
                }
            }
            FIRST_TREE.. => {
                let place = usize::try_from((code - FIRST_TREE) / 2).unwrap_or(usize::MAX);
                match self.roots.get(place) {
                    None => Owner::Unknown,
                    Some(&root) if code.is_multiple_of(2) => Owner::Btree(root),
                    Some(&root) => Owner::Overflow(root),
                }
            }
        }
    }

    /// Pages of the database.
    #[must_use]
    pub fn size_pages(&self) -> u32 {
        self.size_pages
    }

    /// A b-tree whose pages are claimed from now on.
    pub(super) fn begin_tree(&mut self, root: Pgno) {
        self.roots.push(root);
    }

    /// Gives `page` to the freelist or to the newest b-tree.
    pub(super) fn claim(&mut self, page: Pgno, owner: Owner) -> Result<(), Refused> {
        let newest = u32::try_from(self.roots.len().saturating_sub(1)).unwrap_or(u32::MAX >> 2);
        let code = match owner {
            Owner::Unknown | Owner::LockByte | Owner::PointerMap => UNKNOWN,
            Owner::FreelistTrunk => TRUNK,
            Owner::FreelistLeaf => LEAF,
            Owner::Btree(_) => FIRST_TREE + 2 * newest,
            Owner::Overflow(_) => FIRST_TREE + 2 * newest + 1,
        };
        let (chunk, place) = place(page);
        if page.0 == 0 || page.0 > self.size_pages {
            return Err(Refused::NoSuchPage);
        }
        if page == self.lock_byte_page {
            return Err(Refused::UsedTwice);
        }
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let Some(slot) = self.chunks.get_mut(chunk) else { return Err(Refused::NoSuchPage) };
        let owners = slot.get_or_insert_with(|| Box::new([UNKNOWN; CHUNK_PAGES]));
        match owners.get_mut(place) {
            Some(free) if *free == UNKNOWN => {
                *free = code;
                Ok(())
            }
            Some(_) | None => Err(Refused::UsedTwice),
        }
    }

    /// Whether `page` can be claimed.
    pub(super) fn is_free(&self, page: Pgno) -> bool {
        (1..=self.size_pages).contains(&page.0)
            && page != self.lock_byte_page
            && !self.is_claimed(page)
    }

    /// Whether something refers to `page`.
    pub(super) fn is_claimed(&self, page: Pgno) -> bool {
        self.code(page) != UNKNOWN
    }

    pub(super) fn is_pointer_map(&self, page: Pgno) -> bool {
        self.pointer_map.is_some_and(|layout| layout.map_page_of(page) == page)
    }

    /// Pages that are never used, and pages of the pointer map that are; calls `found` for the
    /// first ones of both as long as it returns true, and returns how many there are.
    pub(super) fn misused(&self, mut found: impl FnMut(Pgno, bool)) -> u64 {
        let mut count = 0;
        for page in (1..=self.size_pages).map(Pgno) {
            let claimed = self.is_claimed(page);
            if page != self.lock_byte_page && claimed == self.is_pointer_map(page) {
                count += 1;
                if count <= super::MAX_PROBLEMS as u64 {
                    found(page, claimed);
                }
            }
        }
        count
    }

    fn code(&self, page: Pgno) -> u32 {
        let (chunk, place) = place(page);
        let chunk = self.chunks.get(chunk).and_then(Option::as_ref);
        chunk.and_then(|chunk| chunk.get(place)).copied().unwrap_or(UNKNOWN)
    }
}

fn place(page: Pgno) -> (usize, usize) {
    let page = usize::try_from(page.0).unwrap_or(usize::MAX);
    (page / CHUNK_PAGES, page % CHUNK_PAGES)
}
