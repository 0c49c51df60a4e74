//! The rows of some pages of a b-tree.

use crate::format::btree::BtreeHeader;
use crate::format::{PageKind, Pgno};

use super::payload::read_payload;
use super::{Error, PageLayout, Pages, TreeKind};

/// A row of a table as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRow {
    /// Its row id; `None` in a b-tree of the index kind.
    pub row_id: Option<i64>,
    /// Its record.
    pub record: Vec<u8>,
    /// The b-tree page that it is on.
    pub page: Pgno,
}

/// What [`PageRows`] comes upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRow {
    /// A row.
    Row(StoredRow),
    /// A page that is none of such a b-tree, or has a row that cannot be read.
    Unreadable(Pgno),
}

/// Reads the rows of given pages, in the order of pages and cells. Interior pages of a table have
/// none; those of a WITHOUT ROWID table do.
pub struct PageRows<'a> {
    pages: &'a dyn Pages,
    layout: PageLayout,
    is_table: bool,
    rest: std::slice::Iter<'a, Pgno>,
    current: Option<Current>,
    image: Vec<u8>,
    chain: Vec<u8>,
}

struct Current {
    page: Pgno,
    header: BtreeHeader,
    offsets: std::vec::IntoIter<usize>,
}

impl<'a> PageRows<'a> {
    /// The rows of `list`, which are pages of a b-tree of this kind.
    ///
    /// # Errors
    /// When page 1 cannot be read.
    pub fn new(pages: &'a dyn Pages, kind: TreeKind, list: &'a [Pgno]) -> Result<Self, Error> {
        Ok(Self {
            pages,
            layout: PageLayout::of(pages)?,
            is_table: kind == TreeKind::Table,
            rest: list.iter(),
            current: None,
            image: Vec::new(),
            chain: Vec::new(),
        })
    }

    /// The row id of the first row on `page` of a table; `None` without one.
    ///
    /// # Errors
    /// When the page cannot be read.
    pub fn first_row_id(&self, page: Pgno) -> Result<Option<i64>, Error> {
        let mut row_id = None;
        self.pages.show(page, &mut |image| {
            let header = BtreeHeader::decode(page, self.layout.page_size, image);
            row_id = header.and_then(|header| {
                let first = header.cell_offsets(image).first().copied()?;
                header.cell(image, first, self.layout.usable)?.row_id
            });
        })?;
        Ok(row_id)
    }

    /// The next row; the overflow pages that it is on go to `on_chain`.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub fn next_row(&mut self, mut on_chain: impl FnMut(Pgno)) -> Result<Option<ReadRow>, Error> {
        loop {
            let Some(current) = &mut self.current else {
                match self.rest.next() {
                    Some(&page) if self.enter(page)? => {}
                    Some(&page) => return Ok(Some(ReadRow::Unreadable(page))),
                    None => return Ok(None),
                }
                continue;
            };
            let page = current.page;
            let Some(offset) = current.offsets.next() else {
                self.current = None;
                continue;
            };
            let Some(cell) = current.header.cell(&self.image, offset, self.layout.usable) else {
                return Ok(Some(ReadRow::Unreadable(page)));
            };
            let local = self.image.get(cell.local.clone()).unwrap_or_default();
            let mut record = Vec::with_capacity(local.len());
            let from = (self.pages, self.layout);
            let whole =
                read_payload(from, (&cell, local), u64::MAX, &mut self.chain, |at, part| {
                    record.extend_from_slice(part);
                    at.into_iter().for_each(&mut on_chain);
                })?;
            return Ok(Some(match whole {
                true => ReadRow::Row(StoredRow { row_id: cell.row_id, record, page }),
                false => ReadRow::Unreadable(page),
            }));
        }
    }

    /// Reads `page`; whether it is one of such a b-tree.
    fn enter(&mut self, page: Pgno) -> Result<bool, Error> {
        self.image.resize(self.layout.page_size.in_memory(), 0);
        self.pages.read(page, &mut self.image)?;
        let header = BtreeHeader::decode(page, self.layout.page_size, &self.image);
        let Some(header) = header.filter(|it| it.kind.is_of_table() == self.is_table) else {
            return Ok(false);
        };
        if header.kind == PageKind::TableInterior {
            return Ok(true);
        }
        let mut offsets = header.cell_offsets(&self.image);
        // A page that names one cell thousands of times would multiply its rows.
        offsets.truncate((self.image.len() - 8) / 6);
        self.current = Some(Current { page, header, offsets: offsets.into_iter() });
        Ok(true)
    }
}
