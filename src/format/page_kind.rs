//! What a page is, by its first byte (fileformat2.html section 1.6).

use serde::Serialize;

use super::{PageSize, Pgno};

/// The kind of a database page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageKind {
    /// 13: rows of a table.
    TableLeaf,
    /// 5: keys and children of a table.
    TableInterior,
    /// 10: entries of an index.
    IndexLeaf,
    /// 2: entries and children of an index.
    IndexInterior,
    /// The page of the lock bytes, never written.
    LockByte,
    /// Overflow, freelist, pointer map, or garbage: the page alone does not tell.
    Other,
}

impl PageKind {
    /// The kind of page `pgno` by `kind_byte`: byte 0 of the image, byte 100 on page 1.
    #[must_use]
    pub fn of_byte(pgno: Pgno, page_size: PageSize, kind_byte: u8) -> Self {
        match kind_byte {
            _ if pgno == page_size.lock_byte_page() => Self::LockByte,
            2 => Self::IndexInterior,
            5 => Self::TableInterior,
            10 => Self::IndexLeaf,
            13 => Self::TableLeaf,
            _ => Self::Other,
        }
    }

    /// Whether it is a page of a table's b-tree: of rows by row id.
    #[must_use]
    pub fn is_of_table(self) -> bool {
        matches!(self, Self::TableLeaf | Self::TableInterior)
    }

    /// The word for it in tables and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TableLeaf => "table-leaf",
            Self::TableInterior => "table-interior",
            Self::IndexLeaf => "index-leaf",
            Self::IndexInterior => "index-interior",
            Self::LockByte => "lock-byte",
            Self::Other => "other",
        }
    }
}
