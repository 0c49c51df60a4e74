//! The columns of a stream of rows, and which of them have room.

use super::Room;

/// On which side a column is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Text: flush left.
    Left,
    /// Numbers: flush right.
    Right,
}

/// A column of the human table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub head: &'static str,
    /// Characters that its widest cell is expected to need.
    pub width_chars: usize,
    /// How its cells are aligned.
    pub side: Side,
    /// What becomes of it where the terminal is narrow. Cells of a stream are neither cut nor
    /// broken.
    pub room: Room,
}

impl Column {
    /// Characters between the spaces around a cell.
    pub(super) fn width(&self) -> usize {
        self.width_chars.max(self.head.len())
    }
}

/// The columns of a table that have room.
pub(super) struct ShownColumns {
    /// Every column, and whether it is shown.
    pub(super) columns: Vec<(Column, bool)>,
    /// Spaces before the first column and after a cell.
    pub(super) margin: usize,
}

impl ShownColumns {
    /// Takes the spaces between columns first, then whole columns.
    pub(super) fn of(columns: Vec<Column>, width: Option<u16>) -> Self {
        let mut layout =
            Self { columns: columns.into_iter().map(|one| (one, true)).collect(), margin: 1 };
        let Some(width) = width.map(usize::from) else { return layout };
        if layout.width() > width {
            layout.margin = 0;
        }
        while layout.width() > width {
            let candidates = layout.columns.iter_mut().filter(|(_, shown)| *shown);
            let next = candidates.filter_map(|(column, shown)| match column.room {
                Room::IfWide(rank) => Some((rank, shown)),
                Room::Always | Room::Cut | Room::Broken => None,
            });
            match next.min_by_key(|(rank, _)| *rank) {
                Some((_, shown)) => *shown = false,
                None => break,
            }
        }
        layout
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|(_, shown)| *shown).map(|(column, _)| column)
    }

    pub(super) fn width(&self) -> usize {
        let cells: usize = self.shown().map(|column| column.width() + 1 + self.margin).sum();
        cells.saturating_sub(1 - self.margin)
    }
}
