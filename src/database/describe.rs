//! A page, part by part: what is where, and what does not fit.

use std::ops::Range;

use serde::Serialize;

use crate::format::btree::{BtreeHeader, Cell};
use crate::format::{DatabaseHeader, PageKind, PageSize, Pgno, record};

mod problem;
mod value;

pub use problem::PageProblem;
pub use value::ValueDescription;
use value::shown;

/// What must be known of a database before its pages can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFormat {
    /// Its page size.
    pub page_size: PageSize,
    /// Reserved bytes at the end of every page.
    pub reserved_bytes: u8,
    /// 1 UTF-8, 2 UTF-16LE, 3 UTF-16BE.
    pub text_encoding: u32,
}

/// A page.
#[derive(Clone, Debug, Serialize)]
pub struct PageDescription {
    /// Its kind.
    pub kind: PageKind,
    /// The b-tree header; `None` on other pages.
    pub header: Option<HeaderDescription>,
    /// Offsets of the cells, in key order.
    pub cell_pointers: Vec<usize>,
    /// The cells that lie on the page, in key order.
    pub cells: Vec<CellDescription>,
    /// Free blocks in the cell content area.
    pub freeblocks: Vec<Span>,
    /// Between the cell pointers and the cell content area.
    pub unallocated: Option<Span>,
    /// Unallocated, free block and fragment bytes.
    pub free_bytes: usize,
    /// What does not fit.
    pub problems: Vec<PageProblem>,
    /// Labelled parts, by offset, for a hex view.
    #[serde(skip)]
    pub parts: Vec<(Range<usize>, String)>,
}

/// The header of a b-tree page.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeaderDescription {
    /// First free block; `None` without one.
    pub first_freeblock: Option<u16>,
    /// Cells.
    pub cell_count: u16,
    /// Start of the cell content area.
    pub content_start: u32,
    /// Bytes in fragments.
    pub fragmented_bytes: u8,
    /// The rightmost child of an interior page.
    pub right_child: Option<Pgno>,
}

/// A part of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its offset in the page.
    pub offset: usize,
    /// Its size.
    pub size_bytes: usize,
}

/// A cell.
#[derive(Clone, Debug, Serialize)]
pub struct CellDescription {
    /// Its place in key order, from 0.
    pub index: usize,
    /// Its offset in the page.
    pub offset: usize,
    /// Its size on the page.
    pub size_bytes: usize,
    /// Interior pages: the child left of it.
    pub left_child: Option<Pgno>,
    /// Table pages: the row id.
    pub row_id: Option<i64>,
    /// The whole payload.
    pub payload_bytes: u64,
    /// First overflow page.
    pub overflow_page: Option<Pgno>,
    /// The values of the record, as far as they are on this page.
    pub values: Vec<ValueDescription>,
}

/// Describes page `pgno`, whose bytes are `image`.
#[must_use]
pub fn describe(pgno: Pgno, layout: &PageFormat, image: &[u8]) -> PageDescription {
    let kind_at = if pgno == Pgno::FIRST { 100 } else { 0 };
    let kind_byte = image.get(kind_at).copied().unwrap_or_default();
    let mut page = PageDescription {
        kind: PageKind::of_byte(pgno, layout.page_size, kind_byte),
        header: None,
        cell_pointers: Vec::new(),
        cells: Vec::new(),
        freeblocks: Vec::new(),
        unallocated: None,
        free_bytes: 0,
        problems: Vec::new(),
        parts: Vec::new(),
    };
    if pgno == Pgno::FIRST {
        page.parts.push((0..100, database_header(image)));
    }
    match BtreeHeader::decode(pgno, layout.page_size, image) {
        Some(header) => page.add_btree(&header, layout, image),
        None => page.parts.push((kind_at..image.len(), "content".to_owned())),
    }
    if layout.reserved_bytes > 0 {
        let reserved = usable(layout)..layout.page_size.in_memory();
        page.parts.push((reserved, "reserved".to_owned()));
    }
    page.parts.sort_by_key(|(range, _)| range.start);
    page
}

fn usable(layout: &PageFormat) -> usize {
    layout.page_size.in_memory() - usize::from(layout.reserved_bytes)
}

fn database_header(image: &[u8]) -> String {
    let Some(bytes) = image.first_chunk() else { return "database header".to_owned() };
    let header = DatabaseHeader::decode(bytes);
    let size = header.page_size().map_or("invalid".to_owned(), |size| size.to_string());
    let pages = header.page_count().map_or("unknown".to_owned(), |pages| pages.to_string());
    format!(
        "database header: page size {size}, {pages} pages, versions {}/{}, change counter {}, \
         encoding {}, {} reserved",
        header.write_version,
        header.read_version,
        header.change_counter,
        header.text_encoding,
        header.reserved_bytes
    )
}

impl PageDescription {
    fn add_btree(&mut self, header: &BtreeHeader, layout: &PageFormat, image: &[u8]) {
        let end = header.offset + header.bytes();
        self.parts.push((header.offset..end, header_label(header)));
        self.header = Some(HeaderDescription {
            first_freeblock: Some(header.first_freeblock).filter(|&offset| offset != 0),
            cell_count: header.cell_count,
            content_start: header.content_start,
            fragmented_bytes: header.fragmented_bytes,
            right_child: header.right_child,
        });
        self.cell_pointers = header.cell_offsets(image);
        let pointers = header.pointers();
        if header.cell_count > 0 {
            // A wrong count promises more pointers than the page has room for.
            let on_page = pointers.start..pointers.end.min(image.len());
            self.parts.push((on_page, "cell pointers".to_owned()));
        }
        self.add_cells(header, layout, image);
        let (cells, pointers_here) = (header.cell_count, self.cell_pointers.len());
        if pointers_here < usize::from(cells) {
            self.problems.push(PageProblem::PointersOutside { cells, pointers: pointers_here });
        }
        self.add_free(header, layout, image);
    }

    fn add_cells(&mut self, header: &BtreeHeader, layout: &PageFormat, image: &[u8]) {
        let usable = usable(layout);
        // Cells of a sound page share no bytes. Without this bound a page could name one long cell
        // thousands of times, and its description would not fit into memory.
        let mut left_bytes = image.len();
        let mut taken: Vec<(Range<usize>, usize)> = Vec::new();
        for (index, &offset) in self.cell_pointers.iter().enumerate() {
            let Some(cell) = header.cell(image, offset, usable) else {
                self.problems.push(PageProblem::CellOutside { index, offset });
                continue;
            };
            let content_start = header.content_start;
            if u32::try_from(offset).is_ok_and(|offset| offset < content_start) {
                self.problems.push(PageProblem::CellBeforeContent { index, offset, content_start });
            }
            taken.push((cell.range.clone(), index));
            let fits = left_bytes.checked_sub(cell.range.len());
            let mut values = Vec::new();
            if fits.is_some() {
                let local = image.get(cell.local.clone()).unwrap_or_default();
                let decoded = record::values(local);
                values.extend(decoded.iter().map(|value| shown(value, layout.text_encoding)));
                self.parts.push((cell.range.clone(), cell_label(index, &cell, &values)));
            } else if left_bytes > 0 {
                self.problems.push(PageProblem::ValuesLeftOut { index });
            }
            left_bytes = fits.unwrap_or(0);
            self.cells.push(CellDescription {
                index,
                offset,
                size_bytes: cell.range.len(),
                left_child: cell.left_child,
                row_id: cell.row_id,
                payload_bytes: cell.payload_bytes,
                overflow_page: cell.overflow,
                values,
            });
        }
        self.add_overlaps(taken);
    }

    fn add_overlaps(&mut self, mut taken: Vec<(Range<usize>, usize)>) {
        taken.sort_by_key(|(range, _)| range.start);
        let pairs = taken.iter().zip(taken.iter().skip(1));
        let shared = pairs.filter(|((before, _), (after, _))| before.end > after.start);
        self.problems.extend(
            shared.map(|(&(_, index), &(_, other))| PageProblem::CellsOverlap { index, other }),
        );
    }

    fn add_free(&mut self, header: &BtreeHeader, layout: &PageFormat, image: &[u8]) {
        let pointers_end = header.pointers().end;
        let page_bytes = layout.page_size.in_memory();
        let content_start = usize::try_from(header.content_start).unwrap_or(usize::MAX);
        self.free_bytes = usize::from(header.fragmented_bytes);
        if pointers_end > content_start {
            let content_start = header.content_start;
            self.problems.push(PageProblem::PointersOverlap { pointers_end, content_start });
        } else if pointers_end < content_start.min(page_bytes) {
            let end = content_start.min(page_bytes);
            let span = Span { offset: pointers_end, size_bytes: end - pointers_end };
            self.unallocated = Some(span);
            self.free_bytes += span.size_bytes;
            self.parts.push((pointers_end..end, format!("unallocated, {} bytes", span.size_bytes)));
        }
        for block in header.freeblocks(image) {
            let mut end = block.offset + block.size_bytes;
            if end > usable(layout) {
                self.problems.push(PageProblem::FreeblockOutside { offset: block.offset });
                end = end.min(page_bytes);
            }
            // btree.c btreeComputeFreeSpace: less than 4 bytes between two blocks are a fragment.
            let next = block.next;
            if next != 0 && next <= block.offset + block.size_bytes + 3 {
                self.problems.push(PageProblem::FreeblockOrder { offset: block.offset, next });
                // Shown and counted once, or a page of overlapping blocks has no end.
                end = if next > block.offset { end.min(next) } else { end };
            } else if next != 0 && next + 4 > image.len() {
                self.problems.push(PageProblem::FreeblockOrder { offset: block.offset, next });
            }
            self.free_bytes += end - block.offset;
            self.freeblocks.push(Span { offset: block.offset, size_bytes: block.size_bytes });
            let label = format!("free block, {} bytes", block.size_bytes);
            self.parts.push((block.offset..end, label));
        }
    }
}

fn header_label(header: &BtreeHeader) -> String {
    let right = match header.right_child {
        Some(page) => format!(", right child page {page}"),
        None => String::new(),
    };
    let kind = header.kind.word();
    let cells = if header.cell_count == 1 { "cell" } else { "cells" };
    format!(
        "b-tree header: {kind}, {} {cells}, content from {}{right}",
        header.cell_count, header.content_start
    )
}

fn cell_label(index: usize, cell: &Cell, values: &[ValueDescription]) -> String {
    let mut label = format!("cell {index}");
    if let Some(page) = cell.left_child {
        label += &format!(", left child page {page}");
    }
    if let Some(row_id) = cell.row_id {
        label += &format!(", row id {row_id}");
    }
    if cell.payload_bytes > 0 {
        label += &format!(", payload {} bytes", cell.payload_bytes);
    }
    if let Some(page) = cell.overflow {
        label += &format!(", continues on page {page}");
    }
    if !values.is_empty() {
        let values: Vec<String> = values.iter().map(ValueDescription::text).collect();
        label += &format!(": {}", values.join(", "));
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: PageFormat =
        PageFormat { page_size: PageSize::ALL[0], reserved_bytes: 0, text_encoding: 1 };

    /// A table leaf whose cells are where `pointers` say; the cell (7, 42) is at 400.
    fn page(pointers: &[u16]) -> Vec<u8> {
        let mut image = vec![0; 512];
        image[0] = 13;
        image[4] = u8::try_from(pointers.len()).unwrap();
        image[5..7].copy_from_slice(&400_u16.to_be_bytes());
        for (index, pointer) in pointers.iter().enumerate() {
            image[8 + 2 * index..10 + 2 * index].copy_from_slice(&pointer.to_be_bytes());
        }
        image[400..405].copy_from_slice(&[3, 7, 2, 1, 42]);
        image
    }

    #[test]
    fn a_sound_page_has_no_problems() {
        let page = describe(Pgno(2), &LAYOUT, &page(&[400]));
        assert_eq!(page.problems, []);
        assert_eq!(page.cells[0].values, [ValueDescription::Integer { value: 42 }]);
        assert_eq!(page.unallocated, Some(Span { offset: 10, size_bytes: 390 }));
    }

    #[test]
    fn cells_that_share_bytes_are_told() {
        let page = describe(Pgno(2), &LAYOUT, &page(&[400, 402]));
        assert!(page.problems.contains(&PageProblem::CellsOverlap { index: 0, other: 1 }));
    }

    #[test]
    fn cell_pointers_end_with_the_page_whatever_their_count() {
        let mut image = page(&[400]);
        image[3..5].copy_from_slice(&57_344_u16.to_be_bytes());
        let page = describe(Pgno(2), &LAYOUT, &image);
        let pointers = page.parts.iter().find(|(_, label)| label == "cell pointers");
        assert_eq!(pointers.map(|(range, _)| range.clone()), Some(8..512));
        assert!(
            page.problems.contains(&PageProblem::PointersOutside { cells: 57_344, pointers: 252 })
        );
    }

    #[test]
    fn a_cell_in_the_page_header_is_told() {
        let page = describe(Pgno(2), &LAYOUT, &page(&[0]));
        let before = PageProblem::CellBeforeContent { index: 0, offset: 0, content_start: 400 };
        assert!(page.problems.contains(&before));
    }

    #[test]
    fn a_cell_in_the_reserved_bytes_is_outside() {
        let layout = PageFormat { reserved_bytes: 110, ..LAYOUT };
        let page = describe(Pgno(2), &layout, &page(&[400]));
        assert_eq!(page.problems, [PageProblem::CellOutside { index: 0, offset: 400 }]);
    }

    #[test]
    fn free_blocks_that_share_bytes_are_counted_once() {
        let mut image = page(&[400]);
        image[1..3].copy_from_slice(&450_u16.to_be_bytes());
        // At 450: next 460, 40 bytes. At 460: the last, 30 bytes.
        image[450..454].copy_from_slice(&[0x01, 0xcc, 0, 40]);
        image[460..464].copy_from_slice(&[0, 0, 0, 30]);
        let page = describe(Pgno(2), &LAYOUT, &image);
        assert_eq!(page.problems, [PageProblem::FreeblockOrder { offset: 450, next: 460 }]);
        assert_eq!(page.free_bytes, 390 + 10 + 30);
    }

    #[test]
    fn a_page_that_names_one_long_cell_often_is_described_in_bounds() {
        // 16000 pointers to a record of 32000 NULLs.
        let layout = PageFormat { page_size: PageSize::ALL[7], ..LAYOUT };
        let (cells, at) = (16_000_u16, 33_000_u16);
        let mut image = vec![0; 65_536];
        image[0] = 13;
        image[3..5].copy_from_slice(&cells.to_be_bytes());
        image[5..7].copy_from_slice(&at.to_be_bytes());
        for index in 0..usize::from(cells) {
            image[8 + 2 * index..10 + 2 * index].copy_from_slice(&at.to_be_bytes());
        }
        // Varints: 32000 = 0x81 0xfa 0x00.
        let cell = [0x81, 0xfa, 0x00, 1, 0x81, 0xfa, 0x00];
        image[33_000..33_007].copy_from_slice(&cell);
        let page = describe(Pgno(2), &layout, &image);
        let values: usize = page.cells.iter().map(|cell| cell.values.len()).sum();
        assert!(values <= image.len(), "{values} values");
        assert!(page.problems.contains(&PageProblem::ValuesLeftOut { index: 2 }));
    }
}
