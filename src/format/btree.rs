//! B-tree pages: header, cell pointers, cells, free blocks (fileformat2.html section 1.6,
//! btree.c decodeFlags and btreeParseCell).

use std::ops::Range;

use super::page_kind::PageKind;
use super::varint::varint;
use super::{PageSize, Pgno};

/// Most levels of a b-tree (`BTCURSOR_MAX_DEPTH`).
pub const MAX_LEVELS: u32 = 20;

/// The header of a b-tree page as found. Two-byte fields are big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtreeHeader {
    /// One of the four b-tree kinds.
    pub kind: PageKind,
    /// Where it begins: 100 on page 1, else 0.
    pub offset: usize,
    /// Offset 1: first free block; 0 without one.
    pub first_freeblock: u16,
    /// Offset 3: cells on the page.
    pub cell_count: u16,
    /// Offset 5: start of the cell content area; a stored 0 means 65536.
    pub content_start: u32,
    /// Offset 7: bytes in fragments of less than 4 bytes.
    pub fragmented_bytes: u8,
    /// Offset 8, interior pages only: the rightmost child.
    pub right_child: Option<Pgno>,
}

/// A cell as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The bytes it takes on the page.
    pub range: Range<usize>,
    /// Interior pages: the child left of it.
    pub left_child: Option<Pgno>,
    /// Table pages: the row id.
    pub row_id: Option<i64>,
    /// Bytes of the whole payload; 0 on interior table pages.
    pub payload_bytes: u64,
    /// The part of the payload on this page.
    pub local: Range<usize>,
    /// First overflow page of the rest.
    pub overflow: Option<Pgno>,
}

/// A free block inside the cell content area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeblock {
    /// Its offset in the page.
    pub offset: usize,
    /// Its size, its own 4-byte header included.
    pub size_bytes: usize,
    /// Offset of the next one; 0 after the last.
    pub next: usize,
}

fn u16_at(image: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(image.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(image.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl BtreeHeader {
    /// Decodes the header of page `pgno`; `None` when its kind byte is of no b-tree page.
    #[must_use]
    pub fn decode(pgno: Pgno, page_size: PageSize, image: &[u8]) -> Option<Self> {
        let offset = if pgno == Pgno::FIRST { 100 } else { 0 };
        let kind = PageKind::of_byte(pgno, page_size, *image.get(offset)?);
        let interior = match kind {
            PageKind::TableInterior | PageKind::IndexInterior => true,
            PageKind::TableLeaf | PageKind::IndexLeaf => false,
            PageKind::LockByte | PageKind::Other => return None,
        };
        let content_start = u16_at(image, offset + 5)?;
        Some(Self {
            kind,
            offset,
            first_freeblock: u16_at(image, offset + 1)?,
            cell_count: u16_at(image, offset + 3)?,
            content_start: if content_start == 0 { 65_536 } else { content_start.into() },
            fragmented_bytes: *image.get(offset + 7)?,
            right_child: if interior { Some(Pgno(u32_at(image, offset + 8)?)) } else { None },
        })
    }

    /// Whether every number of the header fits its page, and so does every cell; it has two at
    /// least. Other content passes in less than one of 2^30 cases.
    #[must_use]
    pub fn fits(&self, image: &[u8]) -> bool {
        let content_start = usize::try_from(self.content_start).unwrap_or(usize::MAX);
        let mut offsets = self.cell_offsets(image);
        offsets.sort_unstable();
        offsets.dedup();
        offsets.len() >= 2
            && offsets.len() == usize::from(self.cell_count)
            && self.pointers().end <= content_start
            && self.fragmented_bytes <= 60
            && usize::from(self.first_freeblock) < image.len()
            && offsets.iter().all(|&offset| offset >= content_start)
            && offsets.iter().all(|&offset| self.cell(image, offset, image.len()).is_some())
    }

    /// Bytes of the header.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if self.right_child.is_some() { 12 } else { 8 }
    }

    /// Where the cell pointers are.
    #[must_use]
    pub fn pointers(&self) -> Range<usize> {
        let start = self.offset + self.bytes();
        start..start + 2 * usize::from(self.cell_count)
    }

    /// Offsets of the cells, in key order; pointers beyond the page are left out.
    #[must_use]
    pub fn cell_offsets(&self, image: &[u8]) -> Vec<usize> {
        let pointers = self.pointers();
        let area = image.get(pointers.start..pointers.end.min(image.len())).unwrap_or_default();
        area.as_chunks::<2>().0.iter().map(|&two| usize::from(u16::from_be_bytes(two))).collect()
    }

    /// Decodes the cell at `offset` of a page with `usable` bytes; `None` when it leaves them.
    #[must_use]
    pub fn cell(&self, image: &[u8], offset: usize, usable: usize) -> Option<Cell> {
        let mut at = offset;
        let mut left_child = None;
        if self.right_child.is_some() {
            left_child = Some(Pgno(u32_at(image, at)?));
            at += 4;
        }
        let mut number = |image: &[u8]| {
            let (value, length) = varint(image.get(at..)?)?;
            at += length;
            Some(value)
        };
        let (payload_bytes, row_id) = match self.kind {
            PageKind::TableInterior => (0, Some(number(image)?.cast_signed())),
            PageKind::TableLeaf => (number(image)?, Some(number(image)?.cast_signed())),
            PageKind::IndexLeaf | PageKind::IndexInterior => (number(image)?, None),
            PageKind::LockByte | PageKind::Other => return None,
        };
        let local_bytes = self.local_bytes(payload_bytes, usable)?;
        let local = at..at.checked_add(local_bytes)?;
        let spills = payload_bytes > local_bytes as u64;
        let overflow = if spills { Some(Pgno(u32_at(image, local.end)?)) } else { None };
        let end = local.end + if spills { 4 } else { 0 };
        image.get(..usable).unwrap_or(image).get(offset..end)?;
        Some(Cell { range: offset..end, left_child, row_id, payload_bytes, local, overflow })
    }

    /// Bytes of a payload that stay on the page: X, M and K of the format's section on overflow.
    fn local_bytes(&self, payload_bytes: u64, usable: usize) -> Option<usize> {
        let usable = u64::try_from(usable).ok()?;
        let smallest = (usable.checked_sub(12)? * 32 / 255).checked_sub(23)?;
        let largest = match self.kind {
            PageKind::TableLeaf | PageKind::TableInterior => usable.checked_sub(35)?,
            PageKind::IndexLeaf
            | PageKind::IndexInterior
            | PageKind::LockByte
            | PageKind::Other => ((usable - 12) * 64 / 255).checked_sub(23)?,
        };
        if payload_bytes <= largest {
            return usize::try_from(payload_bytes).ok();
        }
        let fitting = smallest + (payload_bytes - smallest) % usable.checked_sub(4)?;
        usize::try_from(if fitting <= largest { fitting } else { smallest }).ok()
    }

    /// The chain of free blocks, as far as it goes forward inside the page; the last `next` is not
    /// 0 when the chain breaks off.
    #[must_use]
    pub fn freeblocks(&self, image: &[u8]) -> Vec<Freeblock> {
        let mut blocks = Vec::new();
        let mut offset = usize::from(self.first_freeblock);
        while offset != 0 {
            let (Some(next), Some(size)) = (u16_at(image, offset), u16_at(image, offset + 2))
            else {
                break;
            };
            let next = usize::from(next);
            blocks.push(Freeblock { offset, size_bytes: usize::from(size), next });
            if next <= offset {
                break;
            }
            offset = next;
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table leaf with two rows and a free block, by hand.
    fn page() -> Vec<u8> {
        let mut image = vec![0; 512];
        image[..8].copy_from_slice(&[13, 0x01, 0x80, 0, 2, 0x01, 0x80, 3]);
        image[8..12].copy_from_slice(&[0x01, 0xf0, 0x01, 0xe0]);
        image[0x180..0x184].copy_from_slice(&[0, 0, 0, 0x60]);
        image[0x1e0..0x1e6].copy_from_slice(&[4, 0x81, 0x01, 3, 1, 1]);
        image[0x1f0..0x1f6].copy_from_slice(&[3, 7, 2, 1, 42, 0]);
        image
    }

    #[test]
    fn a_table_leaf_is_read_part_by_part() {
        let image = page();
        let header = BtreeHeader::decode(Pgno(2), PageSize::ALL[0], &image).unwrap();
        assert_eq!((header.kind, header.cell_count), (PageKind::TableLeaf, 2));
        assert_eq!(header.cell_offsets(&image), [0x1f0, 0x1e0]);
        let cell = header.cell(&image, 0x1f0, 512).unwrap();
        assert_eq!((cell.row_id, cell.payload_bytes, cell.local), (Some(7), 3, 0x1f2..0x1f5));
        let cell = header.cell(&image, 0x1e0, 512).unwrap();
        assert_eq!(cell.row_id, Some(129));
        assert_eq!(
            header.freeblocks(&image),
            [Freeblock { offset: 0x180, size_bytes: 0x60, next: 0 }]
        );
    }

    #[test]
    fn long_payloads_keep_what_the_format_says_on_the_page() {
        let header = BtreeHeader::decode(Pgno(2), PageSize::ALL[0], &page()).unwrap();
        // U = 512: X = 477, M = 39; P = 9000 gives K = 39 + 8961 % 508 = 364.
        assert_eq!(header.local_bytes(477, 512), Some(477));
        assert_eq!(header.local_bytes(9000, 512), Some(364));
    }

    #[test]
    fn random_pages_never_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut image = vec![0; 512];
        for _ in 0..200_000 {
            for _ in 0..24 {
                let at = random.usize(0..image.len());
                image[at] = random.u8(..);
            }
            image[0] = [2, 5, 10, 13][random.usize(0..4)];
            let header = BtreeHeader::decode(Pgno(2), PageSize::ALL[0], &image).unwrap();
            let _ = header.freeblocks(&image);
            for offset in header.cell_offsets(&image).into_iter().take(4) {
                if let Some(cell) = header.cell(&image, offset, 512) {
                    let _ = super::super::record::values(image.get(cell.local).unwrap());
                }
            }
        }
    }
}
