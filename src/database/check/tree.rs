//! A walk through one b-tree in key order (btree.c checkTreePage).

use std::cmp::Ordering;

use crate::database::{Error, TreeKind};
use crate::format::btree::{Cell, MAX_LEVELS};
use crate::format::{PageKind, Pgno, record};

use super::Entries;
use super::ahead::Judged;
use super::chain::PayloadEnd;
use super::entries::KeySum;
use super::key_order::{self, Key, KeyBefore};
use super::owners::Owner;
use super::page::{self, Checked, Summary};
use super::pass::Pass;
use super::pointer_map::Use;
use super::problem::StructureFault;

/// What a walk counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub pages: u32,
    /// Rows or entries.
    pub rows: u64,
    /// A sum over the row ids in any order, of a table's rows or of an index's entries; `None` when
    /// one could not be read.
    pub row_ids: Option<u64>,
    /// Sums over the keys: of an index over its entries, of a table for its indexes, in their
    /// order.
    pub keys: Vec<KeySum>,
    /// Records whose columns were not looked at.
    pub long_records: u64,
}

/// Longest row of an indexed table whose values are looked at.
const MAX_ROW_BYTES: u64 = 1 << 20;

/// The row id before, in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    None,
    /// Of a row: the next row's is greater, the next key of an interior page is not smaller.
    Row(i64),
    /// Of an interior page: whatever follows is greater.
    Divider(i64),
}

pub(super) struct Walk<'c, 'a> {
    pass: &'c mut Pass<'a>,
    root: Pgno,
    kind: TreeKind,
    ordered: bool,
    before: Before,
    key: KeyBefore,
    facts: Facts,
}

impl<'c, 'a> Walk<'c, 'a> {
    pub(super) fn new(
        pass: &'c mut Pass<'a>,
        (root, kind): (Pgno, TreeKind),
        ordered: bool,
        keys: Vec<KeySum>,
    ) -> Self {
        let row_ids = (pass.entries == Entries::Compared).then_some(0);
        let facts = Facts { row_ids, keys, ..Facts::default() };
        Self { pass, root, kind, ordered, before: Before::None, key: KeyBefore::default(), facts }
    }

    pub(super) fn run(mut self) -> Result<Facts, Error> {
        self.page(self.root, self.root, 1)?;
        Ok(self.facts)
    }

    /// Checks `page`, to which `from` refers, and everything below; returns its height, leaves
    /// being 0, if that is known.
    fn page(&mut self, from: Pgno, page: Pgno, level: u32) -> Result<Option<u32>, Error> {
        if !self.pass.claim(from, page, Owner::Btree(self.root)) {
            self.pass.forget(page);
            return Ok(None);
        }
        self.facts.pages += 1;
        if level > MAX_LEVELS {
            self.pass.fault(Some(page), StructureFault::TooDeep);
            self.pass.forget(page);
            return Ok(None);
        }
        let Judged { image, checked } = self.pass.judged(page)?;
        let height = match checked {
            Ok(checked) => self.checked(page, &checked, &image, level)?,
            Err(fault) => {
                self.pass.fault(Some(page), fault);
                None
            }
        };
        self.pass.put_image(image);
        Ok(height)
    }

    fn checked(
        &mut self,
        page: Pgno,
        checked: &Checked,
        image: &[u8],
        level: u32,
    ) -> Result<Option<u32>, Error> {
        let header = &checked.header;
        if !self.is_of_this_tree(header.kind) {
            let wanted = match self.kind {
                TreeKind::Table => "table b-tree",
                TreeKind::WithoutRowid | TreeKind::Index => "index b-tree",
            };
            let fault = StructureFault::Kind { found: header.kind, wanted };
            self.pass.fault(Some(page), fault);
        }
        if header.cell_count == 0 && page != self.root {
            self.pass.fault(Some(page), StructureFault::Empty);
        }
        for fault in &checked.faults {
            self.pass.fault(Some(page), fault.clone());
        }
        if header.kind != PageKind::TableInterior {
            self.facts.rows += u64::from(header.cell_count);
            let is_listed = checked.summary.is_none();
            if is_listed && checked.cells.len() < usize::from(header.cell_count) {
                self.facts.row_ids = None;
                self.facts.keys.iter_mut().for_each(|sum| sum.add(None));
            }
        }
        if let Some(Summary::Rows { first, last }) = checked.summary {
            if !self.row_id_fits(header.kind, first) {
                self.pass.fault(Some(page), StructureFault::RowIdOrder { cell: 0, row_id: first });
            }
            self.before = Before::Row(last);
        }
        let mut height = Height::default();
        let children = checked.children();
        for (place, (index, cell)) in checked.cells.iter().enumerate() {
            if let Some(child) = cell.left_child {
                self.pass.look_ahead(&children, place);
                self.child(page, child, level, &mut height)?;
            }
            let header_goes_on = checked.long_headers.binary_search(index).is_ok();
            self.cell(page, (header.kind, header_goes_on), (*index, cell), image)?;
        }
        match header.right_child {
            Some(child) => {
                self.pass.look_ahead(&children, checked.cells.len());
                self.child(page, child, level, &mut height)?;
                Ok(height.0.map(|below| below + 1))
            }
            None => Ok(Some(0)),
        }
    }

    fn is_of_this_tree(&self, kind: PageKind) -> bool {
        match kind {
            PageKind::TableLeaf | PageKind::TableInterior => self.kind == TreeKind::Table,
            PageKind::IndexLeaf | PageKind::IndexInterior => self.kind != TreeKind::Table,
            PageKind::LockByte | PageKind::Other => false,
        }
    }

    fn child(
        &mut self,
        page: Pgno,
        child: Pgno,
        level: u32,
        height: &mut Height,
    ) -> Result<(), Error> {
        self.pass.pointer_map(child, Use::Btree, page)?;
        let Some(found) = self.page(page, child, level + 1)? else { return Ok(()) };
        if height.0.is_some_and(|height| height != found) {
            self.pass.fault(Some(page), StructureFault::Height { child });
        }
        height.0 = Some(found);
        Ok(())
    }

    fn cell(
        &mut self,
        page: Pgno,
        (kind, header_goes_on): (PageKind, bool),
        (index, cell): (usize, &Cell),
        image: &[u8],
    ) -> Result<(), Error> {
        let local = image.get(cell.local.clone()).unwrap_or_default();
        let is_read = header_goes_on || !self.facts.keys.is_empty();
        let most_bytes = match usize::try_from(cell.payload_bytes.min(MAX_ROW_BYTES)) {
            Ok(most_bytes) if is_read => most_bytes.max(PayloadEnd::NUMBER_BYTES),
            Ok(_) | Err(_) => PayloadEnd::NUMBER_BYTES,
        };
        let tail = match cell.overflow {
            None => None,
            Some(_) => {
                let tail = PayloadEnd::new(most_bytes);
                self.pass.overflow(self.root, page, (index, cell), local, tail)?
            }
        };
        let end = match cell.overflow {
            None => Some(local),
            Some(_) => tail.as_ref().map(PayloadEnd::bytes),
        };
        let row_id = match cell.row_id {
            Some(row_id) => {
                if !self.row_id_fits(kind, row_id) {
                    self.pass.fault(Some(page), StructureFault::RowIdOrder { cell: index, row_id });
                }
                (kind == PageKind::TableLeaf).then_some(row_id)
            }
            None => {
                self.key(page, index, cell, local);
                let end = end.filter(|_| self.facts.row_ids.is_some());
                let row_id = end.and_then(|end| key_order::last_integer(local, end));
                if row_id.is_none() {
                    self.facts.row_ids = None;
                }
                row_id
            }
        };
        if let (Some(row_id), Some(sum)) = (row_id, &mut self.facts.row_ids) {
            *sum = sum.wrapping_add(mixed(row_id));
        }
        let payload = end.filter(|end| end.len() as u64 == cell.payload_bytes);
        match payload {
            Some(payload) if header_goes_on => {
                if !page::record_fits(payload, cell.payload_bytes) {
                    self.pass.fault(Some(page), StructureFault::Record { cell: index });
                }
            }
            None if header_goes_on => self.facts.long_records += 1,
            Some(_) | None => {}
        }
        if kind != PageKind::TableInterior && !self.facts.keys.is_empty() {
            let values = payload.map(record::values);
            let row = values.as_deref().map(|values| (row_id, values));
            self.facts.keys.iter_mut().for_each(|sum| sum.add(row));
        }
        Ok(())
    }

    fn row_id_fits(&mut self, kind: PageKind, row_id: i64) -> bool {
        let divider = kind == PageKind::TableInterior;
        let fits = match self.before {
            Before::None => true,
            Before::Row(before) if divider => row_id >= before,
            Before::Row(before) | Before::Divider(before) => row_id > before,
        };
        self.before = if divider { Before::Divider(row_id) } else { Before::Row(row_id) };
        fits
    }

    fn key(&mut self, page: Pgno, index: usize, cell: &Cell, local: &[u8]) {
        if !self.ordered {
            return;
        }
        let order = self.key.compare_and_replace(&Key::new(local, cell.payload_bytes));
        if matches!(order, Some(Ordering::Greater | Ordering::Equal)) {
            self.pass.fault(Some(page), StructureFault::KeyOrder { cell: index });
        }
    }
}

/// Height of the children that a page has shown so far.
#[derive(Clone, Copy, Debug, Default)]
struct Height(Option<u32>);

/// Spreads a row id over 64 bits (the finalizer of splitmix64), so that sums of different sets
/// differ.
fn mixed(row_id: i64) -> u64 {
    let mut value = row_id.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
