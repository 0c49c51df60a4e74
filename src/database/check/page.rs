//! One b-tree page by itself (btree.c btreeInitPage, btreeComputeFreeSpace, checkTreePage).

use std::ops::Range;

use crate::database::PageLayout;
use crate::format::btree::{BtreeHeader, Cell};
use crate::format::varint::varint;
use crate::format::{PageKind, Pgno};

pub(super) use super::problem::StructureFault;

/// What a page holds, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// Its header.
    pub header: BtreeHeader,
    /// Its cells with their places, in key order, without those that leave the page.
    pub cells: Vec<(usize, Cell)>,
    /// Cells whose record has a header that goes on after what is on the page, ascending.
    pub long_headers: Vec<usize>,
    /// What is wrong with it.
    pub faults: Vec<StructureFault>,
    /// Instead of the cells, where no more is asked of them.
    pub summary: Option<Summary>,
}

/// The cells of a leaf without fault and without overflow pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Summary {
    /// Rows with ascending row ids.
    Rows { first: i64, last: i64 },
    /// Entries of an index.
    Entries,
}

/// Judges page `pgno` of `image`.
///
/// # Errors
/// When it is no b-tree page, or so damaged that its cells are not known.
pub(super) fn check(
    pgno: Pgno,
    layout: PageLayout,
    image: &[u8],
) -> Result<Checked, StructureFault> {
    let Some(header) = BtreeHeader::decode(pgno, layout.page_size, image) else {
        return Err(StructureFault::Kind { found: PageKind::Other, wanted: "b-tree" });
    };
    // MX_CELL: a cell takes 4 bytes and its pointer 2.
    if usize::from(header.cell_count) > (layout.page_size.in_memory() - 8) / 6 {
        return Err(StructureFault::CellCount { cells: header.cell_count });
    }
    let freeblocks = free_space(&header, layout, image).ok_or(StructureFault::FreeSpace)?;
    let cells = Vec::with_capacity(usize::from(header.cell_count));
    let (long_headers, faults) = (Vec::new(), Vec::new());
    let mut checked = Checked { header, cells, long_headers, faults, summary: None };
    if checked.add_cells(layout, image) {
        checked.coverage(freeblocks, layout);
    }
    Ok(checked)
}

/// The free blocks, if they and the start of the cells can be.
fn free_space(header: &BtreeHeader, layout: PageLayout, image: &[u8]) -> Option<Vec<Range<usize>>> {
    let content_start = usize::try_from(header.content_start).ok()?;
    let mut free_bytes = usize::from(header.fragmented_bytes) + content_start;
    let mut blocks = Vec::new();
    if header.first_freeblock != 0 {
        if usize::from(header.first_freeblock) < content_start {
            return None;
        }
        let mut chain = header.freeblocks(image).into_iter().peekable();
        while let Some(block) = chain.next() {
            let end = block.offset + block.size_bytes;
            let goes_on = block.next >= end + 4;
            if block.offset > layout.usable - 4 || block.size_bytes < 4 {
                return None;
            }
            if !goes_on && (block.next != 0 || end > layout.usable) {
                return None;
            }
            if goes_on && chain.peek().is_none() {
                return None;
            }
            free_bytes += block.size_bytes;
            blocks.push(block.offset..end);
        }
        if blocks.is_empty() {
            return None;
        }
    }
    (header.pointers().end..=layout.usable).contains(&free_bytes).then_some(blocks)
}

impl Checked {
    /// The children of an interior page, in their order.
    pub(super) fn children(&self) -> Vec<Pgno> {
        match self.header.right_child {
            Some(right) => {
                let left = self.cells.iter().filter_map(|(_, cell)| cell.left_child);
                left.chain([right]).collect()
            }
            None => Vec::new(),
        }
    }

    /// Without its cells, where keys are not asked for and a summary tells the rest.
    pub(super) fn summarized(mut self) -> Self {
        self.summary = self.summary();
        if self.summary.is_some() {
            self.cells = Vec::new();
        }
        self
    }

    fn summary(&self) -> Option<Summary> {
        let is_plain = self.faults.is_empty() && self.header.right_child.is_none();
        if !is_plain || self.cells.iter().any(|(_, cell)| cell.overflow.is_some()) {
            return None;
        }
        let mut row_ids = self.cells.iter().map(|(_, cell)| cell.row_id);
        match self.header.kind {
            PageKind::TableLeaf => {
                let first = row_ids.next()??;
                let mut last = first;
                for row_id in row_ids {
                    last = row_id.filter(|&row_id| row_id > last)?;
                }
                Some(Summary::Rows { first, last })
            }
            PageKind::IndexLeaf => Some(Summary::Entries),
            PageKind::TableInterior
            | PageKind::IndexInterior
            | PageKind::LockByte
            | PageKind::Other => None,
        }
    }

    /// Adds the cells; returns whether all of them have their place on the page.
    fn add_cells(&mut self, layout: PageLayout, image: &[u8]) -> bool {
        let content_start = usize::try_from(self.header.content_start).unwrap_or(usize::MAX);
        let mut all = true;
        for (index, offset) in self.header.cell_offsets(image).into_iter().enumerate() {
            if offset < content_start || offset > layout.usable - 4 {
                self.faults.push(StructureFault::CellOffset { cell: index, offset });
                all = false;
                continue;
            }
            let Some(mut cell) = self.header.cell(image, offset, layout.usable) else {
                self.faults.push(StructureFault::CellOutside { cell: index });
                all = false;
                continue;
            };
            // A cell has room for a free block's header at least.
            cell.range.end = cell.range.end.max(offset + 4);
            let local = image.get(cell.local.clone()).unwrap_or_default();
            if self.header.kind != PageKind::TableInterior {
                if !record_fits(local, cell.payload_bytes) {
                    self.faults.push(StructureFault::Record { cell: index });
                }
                if cell.overflow.is_some() && header_goes_on(local, cell.payload_bytes) {
                    self.long_headers.push(index);
                }
            }
            self.cells.push((index, cell));
        }
        all
    }

    /// Cells and free blocks share no byte, and what lies between them is counted.
    fn coverage(&mut self, mut ranges: Vec<Range<usize>>, layout: PageLayout) {
        ranges.extend(self.cells.iter().map(|(_, cell)| cell.range.clone()));
        ranges.sort_by_key(|range| (range.start, range.end));
        let mut end = usize::try_from(self.header.content_start).unwrap_or(usize::MAX);
        let mut found = 0;
        for range in &ranges {
            let Some(gap) = range.start.checked_sub(end) else {
                self.faults.push(StructureFault::SharedBytes { offset: range.start });
                return;
            };
            found += gap;
            end = range.end;
        }
        found += layout.usable.saturating_sub(end);
        if found != usize::from(self.header.fragmented_bytes) {
            let stored = self.header.fragmented_bytes;
            self.faults.push(StructureFault::Fragments { found, stored });
        }
    }
}

/// Whether the header of a record of `payload_bytes` goes on after `local`.
fn header_goes_on(local: &[u8], payload_bytes: u64) -> bool {
    let header_bytes = varint(local).map_or(0, |(header_bytes, _)| header_bytes);
    header_bytes <= payload_bytes && header_bytes > local.len() as u64
}

/// Whether the columns by a record's header are as long as its payload (vdbe.c OP_Column). Only
/// asked where the whole header is in `local`.
pub(super) fn record_fits(local: &[u8], payload_bytes: u64) -> bool {
    let Some((header_bytes, mut at)) = varint(local) else { return false };
    if header_bytes < 2 || header_bytes > payload_bytes {
        return false;
    }
    let Some(header) = usize::try_from(header_bytes).ok().and_then(|end| local.get(..end)) else {
        return true;
    };
    let mut body_bytes = 0_u64;
    while at < header.len() {
        let Some((serial_type, length)) = header.get(at..).and_then(varint) else { return false };
        at += length;
        body_bytes = body_bytes.saturating_add(crate::format::record::size_bytes(serial_type));
    }
    body_bytes == payload_bytes - header_bytes
}

#[cfg(test)]
mod tests {
    use crate::format::PageSize;

    use super::*;

    const LAYOUT: PageLayout = PageLayout { page_size: PageSize::ALL[0], usable: 512 };

    /// A table leaf with the row (7, 42) at 507, and a free block of 7 bytes at 500.
    fn page() -> Vec<u8> {
        let mut image = vec![0; 512];
        image[..8].copy_from_slice(&[13, 0x01, 0xf4, 0, 1, 0x01, 0xf4, 0]);
        image[8..10].copy_from_slice(&507_u16.to_be_bytes());
        image[500..504].copy_from_slice(&[0, 0, 0, 7]);
        image[507..512].copy_from_slice(&[3, 7, 2, 1, 42]);
        image
    }

    fn faults(image: &[u8]) -> Vec<StructureFault> {
        check(Pgno(2), LAYOUT, image).map_or_else(|fault| vec![fault], |checked| checked.faults)
    }

    #[test]
    fn a_sound_page_has_no_faults() {
        assert_eq!(faults(&page()), []);
    }

    #[test]
    fn bytes_that_nobody_counts_are_told() {
        let mut image = page();
        image[503] = 6;
        assert_eq!(faults(&image), [StructureFault::Fragments { found: 1, stored: 0 }]);
        image[7] = 1;
        assert_eq!(faults(&image), []);
        image[503] = 8;
        assert_eq!(faults(&image), [StructureFault::SharedBytes { offset: 507 }]);
    }

    #[test]
    fn a_free_block_that_leaves_the_page_is_told() {
        let mut image = page();
        image[503] = 13;
        assert_eq!(faults(&image), [StructureFault::FreeSpace]);
    }

    #[test]
    fn a_record_whose_columns_are_longer_than_it_is_told() {
        let mut image = page();
        image[510] = 2;
        assert_eq!(faults(&image), [StructureFault::Record { cell: 0 }]);
    }

    #[test]
    fn a_pointer_before_the_cells_is_told() {
        let mut image = page();
        image[8..10].copy_from_slice(&400_u16.to_be_bytes());
        assert_eq!(faults(&image), [StructureFault::CellOffset { cell: 0, offset: 400 }]);
    }
}
