//! Which pages a b-tree has, told by its interior pages alone.

use std::collections::HashSet;

use crate::format::Pgno;
use crate::format::btree::{BtreeHeader, MAX_LEVELS};

use super::{Error, Pages, TreeKind};

/// The pages of a b-tree. Leaves are not read: all of them are equally far from the root.
#[derive(Clone, Debug, Default)]
pub struct TreePages {
    /// Interior pages, each before those below it.
    pub interior: Vec<Pgno>,
    /// Leaves, in key order.
    pub leaves: Vec<Pgno>,
    /// Pages that are named and are none of such a tree, or twice in it.
    pub unreadable: Vec<Pgno>,
    /// Pages that are gone, and may name others; [`TreePages::read`] fails then.
    pub gone: Vec<Pgno>,
}

impl TreePages {
    /// The pages of the b-tree at `root`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn read(pages: &dyn Pages, root: Pgno, kind: TreeKind) -> Result<Self, Error> {
        let mut walk = Walk::new(pages, kind)?;
        walk.height = walk.height_of(root)?;
        walk.page(root, 1)?;
        Ok(walk.found)
    }

    /// The pages that are known where others are gone.
    ///
    /// # Errors
    /// When a page that is not gone cannot be read.
    pub fn read_known(pages: &dyn Pages, root: Pgno, kind: TreeKind) -> Result<Self, Error> {
        let mut walk = Walk { goes_on: true, ..Walk::new(pages, kind)? };
        walk.height = match walk.height_of(root) {
            // So that each page is looked at.
            Err(Error::Gone { .. }) => MAX_LEVELS,
            height => height?,
        };
        walk.page(root, 1)?;
        Ok(walk.found)
    }
}

struct Walk<'a> {
    pages: &'a dyn Pages,
    size_pages: u32,
    is_table: bool,
    /// A page that is gone does not end it.
    goes_on: bool,
    /// The level of the leaves; the root is on level 1.
    height: u32,
    seen: HashSet<Pgno, foldhash::fast::RandomState>,
    found: TreePages,
}

/// The children of `page` in a b-tree of this kind, in key order; none of a leaf, and `None` where
/// it is no page of such a b-tree.
///
/// # Errors
/// When it cannot be read.
pub fn page_children(
    pages: &dyn Pages,
    page: Pgno,
    kind: TreeKind,
) -> Result<Option<Vec<Pgno>>, Error> {
    children_of(pages, page, kind == TreeKind::Table)
}

fn children_of(pages: &dyn Pages, page: Pgno, is_table: bool) -> Result<Option<Vec<Pgno>>, Error> {
    if page.0 == 0 || page.0 > pages.size_pages()? {
        return Ok(None);
    }
    let page_size = pages.page_size();
    let mut found = None;
    pages.show(page, &mut |image| {
        let header = BtreeHeader::decode(page, page_size, image);
        let header = header.filter(|header| header.kind.is_of_table() == is_table);
        found = header.map(|header| children(&header, image));
    })?;
    Ok(found)
}

impl<'a> Walk<'a> {
    fn new(pages: &'a dyn Pages, kind: TreeKind) -> Result<Self, Error> {
        Ok(Self {
            pages,
            size_pages: pages.size_pages()?,
            is_table: kind == TreeKind::Table,
            goes_on: false,
            height: 0,
            seen: HashSet::default(),
            found: TreePages::default(),
        })
    }

    fn children(&self, page: Pgno) -> Result<Option<Vec<Pgno>>, Error> {
        children_of(self.pages, page, self.is_table)
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
        let children = match self.children(page) {
            Err(Error::Gone { .. }) if self.goes_on => {
                self.found.gone.push(page);
                return Ok(());
            }
            children => children?,
        };
        match children {
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

/// The children that an interior page names; none of a leaf. A cell begins with its child.
fn children(header: &BtreeHeader, image: &[u8]) -> Vec<Pgno> {
    let Some(right) = header.right_child else { return Vec::new() };
    let child = |offset: usize| {
        let bytes = image.get(offset..offset.checked_add(4)?)?;
        Some(Pgno(u32::from_be_bytes(bytes.try_into().ok()?)))
    };
    let mut children: Vec<Pgno> =
        header.cell_offsets(image).into_iter().filter_map(child).collect();
    children.push(right);
    children
}
