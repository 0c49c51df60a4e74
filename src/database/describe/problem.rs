//! What does not fit on a page.

use serde::Serialize;

/// What does not fit on a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum PageProblem {
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
        "the cell pointers end at offset {pointers_end}, after the start of the cells at \
         {content_start}"
    )]
    PointersOverlap {
        /// Where the pointers end.
        pointers_end: usize,
        /// Where the cells begin.
        content_start: u32,
    },
    /// The pointers leave the page.
    #[error("{cells} cells are counted, but the page ends after {pointers} cell pointers")]
    PointersOutside {
        /// Cells by the header.
        cells: u16,
        /// Pointers on the page.
        pointers: usize,
    },
    /// A cell lies before the cell content area.
    #[error("cell {index} at offset {offset} is before the cells, which begin at {content_start}")]
    CellBeforeContent {
        /// Its place.
        index: usize,
        /// Its offset.
        offset: usize,
        /// Where the cells begin.
        content_start: u32,
    },
    /// Two cells share bytes.
    #[error("cells {index} and {other} share bytes")]
    CellsOverlap {
        /// The one with the lower offset.
        index: usize,
        /// The one that begins inside it.
        other: usize,
    },
    /// The cells share so many bytes that together they are longer than the page: from this one on
    /// their bytes and values are not shown.
    #[error("from cell {index} on, values are left out: the cells are longer than the page")]
    ValuesLeftOut {
        /// The first cell without values.
        index: usize,
    },
    /// A free block leaves the page.
    #[error("the free block at offset {offset} leaves the page")]
    FreeblockOutside {
        /// Its offset.
        offset: usize,
    },
    /// The chain of free blocks goes back, leaves the page or enters a block that it has passed.
    #[error("the free block at offset {offset} is followed by one at {next}")]
    FreeblockOrder {
        /// Its offset.
        offset: usize,
        /// What it names as the next one.
        next: usize,
    },
}
