//! Which pages a b-tree has, told by its interior pages alone.

use std::collections::HashSet;

use crate::format::Pgno;
use crate::format::btree::{BtreeHeader, MAX_LEVELS};

use super::{Error, PageLayout, Pages, TreeKind};

/// The pages of a b-tree. Leaves are not read: all of them are equally far from the root.
#[derive(Clone, Debug, Default)]
pub struct TreePages {
    /// Interior pages, each before those below it.
    pub interior: Vec<Pgno>,
    /// Leaves, in key order.
    pub leaves: Vec<Pgno>,
    /// Pages that are named and are none of such a tree, or twice in it.
    pub unreadable: Vec<Pgno>,
}

impl TreePages {
    /// The pages of the b-tree at `root`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn read(pages: &dyn Pages, root: Pgno, kind: TreeKind) -> Result<Self, Error> {
        let layout = PageLayout::of(pages)?;
        let mut walk = Walk {
            pages,
            layout,
            size_pages: pages.size_pages()?,
            is_table: kind == TreeKind::Table,
            height: 0,
            seen: HashSet::new(),
            found: Self::default(),
        };
        walk.height = walk.height_of(root)?;
        walk.page(root, 1)?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    pages: &'a dyn Pages,
    layout: PageLayout,
    size_pages: u32,
    is_table: bool,
    /// The level of the leaves; the root is on level 1.
    height: u32,
    seen: HashSet<Pgno>,
    found: TreePages,
}

impl Walk<'_> {
    /// The children of `page` if it is an interior page of such a tree; empty for a leaf.
    fn children(&self, page: Pgno) -> Result<Option<Vec<Pgno>>, Error> {
        if page.0 == 0 || page.0 > self.size_pages {
            return Ok(None);
        }
        let mut image = vec![0; self.layout.page_size.in_memory()];
        self.pages.read(page, &mut image)?;
        let header = BtreeHeader::decode(page, self.layout.page_size, &image);
        Ok(header
            .filter(|header| header.kind.is_of_table() == self.is_table)
            .map(|header| children(&header, &image, self.layout.usable)))
    }

    fn height_of(&self, root: Pgno) -> Result<u32, Error> {
        let mut page = root;
        for level in 1..MAX_LEVELS {
            match self.children(page)?.and_then(|children| children.first().copied()) {
                Some(first) => page = first,
                None => return Ok(level),
            }
        }
        Ok(MAX_LEVELS)
    }

    fn page(&mut self, page: Pgno, level: u32) -> Result<(), Error> {
        let is_leaf_level = level >= self.height && level > 1;
        if page.0 == 0 || page.0 > self.size_pages || !self.seen.insert(page) {
            self.found.unreadable.push(page);
            return Ok(());
        }
        if is_leaf_level {
            self.found.leaves.push(page);
            return Ok(());
        }
        match self.children(page)? {
            None => self.found.unreadable.push(page),
            Some(children) if children.is_empty() => self.found.leaves.push(page),
            Some(children) => {
                self.found.interior.push(page);
                for child in children {
                    self.page(child, level + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// The children of an interior page, in key order; none of a leaf.
pub(crate) fn children(header: &BtreeHeader, image: &[u8], usable: usize) -> Vec<Pgno> {
    let Some(right) = header.right_child else { return Vec::new() };
    let offsets = header.cell_offsets(image).into_iter();
    let mut children: Vec<Pgno> =
        offsets.filter_map(|offset| header.cell(image, offset, usable)?.left_child).collect();
    children.push(right);
    children
}
