//! A table whose columns and rows nobody knows before: rows are kept until all have been seen, in
//! memory, and from a size on in an unnamed file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;
use unicode_width::UnicodeWidthStr;

use super::table::dashes;
use super::{Paint, text};

/// Bytes of rows that are kept in memory.
const MEMORY_BYTES: usize = 1 << 20;
/// Least width of a column whose cells are cut.
const LEAST_COLUMNS: usize = 8;
/// Spaces around a cell.
const PADDING_COLUMNS: usize = 2;

/// A cell: what is shown, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The text, fit for a terminal.
    pub text: String,
    /// A number: a column of numbers is flush right.
    pub is_number: bool,
}

struct Column {
    head: String,
    width: usize,
    /// No cell is anything but a number.
    is_numbers: bool,
}

/// A table while its rows are collected.
pub(super) struct Grid {
    columns: Vec<Column>,
    cells: io::BufWriter<SpooledTempFile>,
    rows: u64,
}

impl Grid {
    pub(super) fn new(heads: &[String]) -> Self {
        let column = |head: &String| {
            let head = text::escaped(head).into_owned();
            Column { width: head.width(), head, is_numbers: true }
        };
        let cells = io::BufWriter::new(SpooledTempFile::new(MEMORY_BYTES));
        Self { columns: heads.iter().map(column).collect(), cells, rows: 0 }
    }

    /// Keeps a row, a cell a column.
    pub(super) fn row(&mut self, cells: &[Cell]) -> io::Result<()> {
        self.rows += 1;
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.width = column.width.max(cell.text.width());
            column.is_numbers &= cell.is_number;
            self.cells.write_all(&(cell.text.len() as u64).to_le_bytes())?;
            self.cells.write_all(cell.text.as_bytes())?;
        }
        Ok(())
    }

    /// Draws the table, no wider than `width` where its columns can be that narrow.
    pub(super) fn draw(
        mut self,
        to: &mut dyn Write,
        paint: &Paint,
        width: Option<u16>,
    ) -> io::Result<()> {
        self.fit(width);
        let (thin, thick) = dashes(paint);
        let widths = self.columns.iter().map(|column| column.width + PADDING_COLUMNS);
        let rule_columns: usize = widths.sum();
        let rule = |dash: char| dash.to_string().repeat(rule_columns);
        writeln!(to, "{}", rule(thin))?;
        let heads: Vec<&str> = self.columns.iter().map(|column| column.head.as_str()).collect();
        self.line(to, &heads)?;
        writeln!(to, "{}", rule(thick))?;
        self.cells.flush()?;
        let mut kept = io::BufReader::new(SpooledTempFile::new(0));
        std::mem::swap(kept.get_mut(), self.cells.get_mut());
        kept.seek(SeekFrom::Start(0))?;
        let mut cells = vec![String::new(); self.columns.len()];
        for _ in 0..self.rows {
            for cell in &mut cells {
                let mut bytes = [0; 8];
                kept.read_exact(&mut bytes)?;
                cell.clear();
                Read::by_ref(&mut kept).take(u64::from_le_bytes(bytes)).read_to_string(cell)?;
            }
            let shown: Vec<&str> = cells.iter().map(String::as_str).collect();
            self.line(to, &shown)?;
        }
        writeln!(to, "{}", rule(thin))
    }

    /// Makes the widest columns narrower until all fit.
    fn fit(&mut self, width: Option<u16>) {
        let Some(width) = width.map(usize::from) else { return };
        let taken = |columns: &[Column]| -> usize {
            columns.iter().map(|column| column.width + PADDING_COLUMNS).sum()
        };
        let mut most = width;
        while taken(&self.columns) > width && most > LEAST_COLUMNS {
            most -= 1;
            for column in &mut self.columns {
                column.width = column.width.min(most);
            }
        }
    }

    fn line(&self, to: &mut dyn Write, cells: &[&str]) -> io::Result<()> {
        let mut line = String::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            let shown = text::cut(cell, column.width);
            let space = " ".repeat(column.width.saturating_sub(shown.width()));
            match column.is_numbers && self.rows > 0 {
                true => line.extend([" ", &space, &shown, " "]),
                false => line.extend([" ", &shown, &space, " "]),
            }
        }
        writeln!(to, "{}", line.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: Option<u16>) -> String {
        let mut grid = Grid::new(&["id".to_owned(), "note\u{1b}".to_owned()]);
        for (id, note) in [("1", "a"), ("20", &"long ".repeat(20))] {
            let cell = |text: &str, is_number| Cell { text: text.to_owned(), is_number };
            grid.row(&[cell(id, true), cell(note, false)]).unwrap();
        }
        let mut text = Vec::new();
        grid.draw(&mut text, &Paint::new(false), width).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn numbers_are_flush_right_and_what_does_not_fit_is_cut() {
        let narrow = drawn(Some(24));
        let lines: Vec<&str> = narrow.lines().collect();
        assert_eq!(lines[1], " id  note\\x1b");
        assert_eq!(lines[3], "  1  a");
        assert!(lines[4].starts_with(" 20  long long") && lines[4].ends_with("..."), "{narrow}");
        assert!(lines.iter().all(|line| line.width() <= 24), "{narrow}");
        assert!(drawn(None).contains(&"long ".repeat(19)));
    }

    #[test]
    fn rows_that_memory_does_not_hold_come_back() {
        let mut grid = Grid::new(&["n".to_owned()]);
        for n in 0..200_000 {
            grid.row(&[Cell { text: n.to_string(), is_number: true }]).unwrap();
        }
        let mut text = Vec::new();
        grid.draw(&mut text, &Paint::new(false), None).unwrap();
        let text = String::from_utf8(text).unwrap();
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        assert_eq!(numbers, Vec::from_iter(0..200_000));
    }
}
