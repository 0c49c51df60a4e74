//! A page, part by part: what stands where, and what does not fit.

use std::ops::Range;

use serde::Serialize;

use crate::format::btree::{BtreeHeader, Cell};
use crate::format::record::{self, Value};
use crate::format::{DatabaseHeader, PageKind, PageSize, Pgno};

/// Characters of a text, or bytes of a blob, that a description shows.
const SHOWN: usize = 48;

/// What must be known of a database before its pages can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
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
    pub problems: Vec<Problem>,
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
    /// The values of the record, as far as they stand on this page.
    pub values: Vec<ValueDescription>,
}

/// A value of a record; long ones are shortened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ValueDescription {
    /// NULL.
    Null,
    /// An integer.
    Integer {
        /// It.
        value: i64,
    },
    /// A floating-point number.
    Real {
        /// It.
        value: f64,
    },
    /// Text.
    Text {
        /// Its beginning.
        value: String,
        /// The whole length.
        length_bytes: u64,
    },
    /// A blob.
    Blob {
        /// Its beginning, in hex.
        hex: String,
        /// The whole length.
        length_bytes: u64,
    },
    /// On an overflow page, or of an unused serial type.
    Unknown {
        /// The serial type.
        serial_type: u64,
    },
}

/// What does not fit on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// A cell leaves the page.
    #[error("cell {index} at offset {offset} leaves the page")]
    CellOutside {
        /// Its place.
        index: usize,
        /// Where its pointer points.
        offset: usize,
    },
    /// The pointers run into the cell content area.
    #[error(
        "the cell pointers end at offset {pointers_end}, behind the start of the cells at {content_start}"
    )]
    PointersOverlap {
        /// Where the pointers end.
        pointers_end: usize,
        /// Where the cells begin.
        content_start: u32,
    },
    /// A free block leaves the page.
    #[error("the free block at offset {offset} leaves the page")]
    FreeblockOutside {
        /// Its offset.
        offset: usize,
    },
}

/// Describes page `pgno`, whose bytes are `image`.
#[must_use]
pub fn describe(pgno: Pgno, layout: &Layout, image: &[u8]) -> PageDescription {
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
        let usable = usable(layout, image);
        page.parts.push((usable..image.len(), "reserved".to_owned()));
    }
    page.parts.sort_by_key(|(range, _)| range.start);
    page
}

fn usable(layout: &Layout, image: &[u8]) -> usize {
    image.len().saturating_sub(usize::from(layout.reserved_bytes))
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
    fn add_btree(&mut self, header: &BtreeHeader, layout: &Layout, image: &[u8]) {
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
            self.parts.push((pointers.clone(), "cell pointers".to_owned()));
        }
        self.add_cells(header, layout, image);
        self.add_free(header, pointers.end, image);
    }

    fn add_cells(&mut self, header: &BtreeHeader, layout: &Layout, image: &[u8]) {
        let usable = usable(layout, image);
        for (index, &offset) in self.cell_pointers.iter().enumerate() {
            let Some(cell) = header.cell(image, offset, usable) else {
                self.problems.push(Problem::CellOutside { index, offset });
                continue;
            };
            let local = image.get(cell.local.clone()).unwrap_or_default();
            let values = record::values(local);
            let values: Vec<ValueDescription> =
                values.iter().map(|value| shown(value, layout.text_encoding)).collect();
            self.parts.push((cell.range.clone(), cell_label(index, &cell, &values)));
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
    }

    fn add_free(&mut self, header: &BtreeHeader, pointers_end: usize, image: &[u8]) {
        let content_start = usize::try_from(header.content_start).unwrap_or(usize::MAX);
        self.free_bytes = usize::from(header.fragmented_bytes);
        if pointers_end > content_start {
            let content_start = header.content_start;
            self.problems.push(Problem::PointersOverlap { pointers_end, content_start });
        } else if pointers_end < content_start.min(image.len()) {
            let end = content_start.min(image.len());
            let span = Span { offset: pointers_end, size_bytes: end - pointers_end };
            self.unallocated = Some(span);
            self.free_bytes += span.size_bytes;
            self.parts.push((pointers_end..end, format!("unallocated, {} bytes", span.size_bytes)));
        }
        for block in header.freeblocks(image) {
            let end = block.offset + block.size_bytes;
            if end > image.len() {
                self.problems.push(Problem::FreeblockOutside { offset: block.offset });
            }
            self.free_bytes += block.size_bytes;
            self.freeblocks.push(Span { offset: block.offset, size_bytes: block.size_bytes });
            let label = format!("free block, {} bytes", block.size_bytes);
            self.parts.push((block.offset..end.min(image.len()), label));
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
        label += &format!(", goes on on page {page}");
    }
    if !values.is_empty() {
        let values: Vec<String> = values.iter().map(ValueDescription::text).collect();
        label += &format!(": {}", values.join(", "));
    }
    label
}

fn shown(value: &Value, text_encoding: u32) -> ValueDescription {
    match *value {
        Value::Null => ValueDescription::Null,
        Value::Int(value) => ValueDescription::Integer { value },
        Value::Float(value) => ValueDescription::Real { value },
        Value::Unknown { serial_type } => ValueDescription::Unknown { serial_type },
        Value::Text { bytes, length_bytes } => {
            let text = text(bytes, text_encoding);
            let value = text.chars().take(SHOWN).collect();
            ValueDescription::Text { value, length_bytes }
        }
        Value::Blob { bytes, length_bytes } => {
            let hex = bytes.iter().take(SHOWN / 2).map(|byte| format!("{byte:02x}")).collect();
            ValueDescription::Blob { hex, length_bytes }
        }
    }
}

fn text(bytes: &[u8], encoding: u32) -> String {
    let units = |read: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes.as_chunks::<2>().0.iter().map(|&two| read(two)).collect()
    };
    match encoding {
        2 => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        3 => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

impl ValueDescription {
    /// The value for people: SQL-like, with the length of what was shortened.
    fn text(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Integer { value } => value.to_string(),
            Self::Real { value } => format!("{value:?}"),
            Self::Text { value, length_bytes } => {
                let more = if *length_bytes > SHOWN as u64 { "..." } else { "" };
                let length = if more.is_empty() {
                    String::new()
                } else {
                    format!(" ({length_bytes} bytes)")
                };
                format!("'{}{more}'{length}", value.escape_debug())
            }
            Self::Blob { hex, length_bytes } => {
                let more = if *length_bytes > SHOWN as u64 / 2 { "..." } else { "" };
                format!("x'{hex}{more}' ({length_bytes} bytes)")
            }
            Self::Unknown { serial_type } => format!("? (serial type {serial_type})"),
        }
    }
}
