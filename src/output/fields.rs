//! The fields and cells of one row, written without a detour through strings.

use unicode_width::UnicodeWidthStr as _;

use super::columns::ShownColumns;
use super::text::cut;
use super::{Column, Side};

/// A row of a stream.
pub trait Row {
    /// Hands over every field in the order of the schema: JSON, JSON lines and CSV are made of
    /// them.
    fn fields(&self, to: &mut Fields<'_>);
}

/// What fields are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A JSON object.
    Json,
    /// The names of a CSV file.
    CsvHead,
    /// The values of a CSV file.
    CsvRow,
}

/// Takes the fields of one row. Each leaves a comma after it, the last one's is removed.
pub struct Fields<'l> {
    line: &'l mut Vec<u8>,
    style: Style,
}

impl<'l> Fields<'l> {
    /// Writes `row` to `line`, without the end of the line.
    pub(super) fn write(row: &(impl Row + ?Sized), style: Style, line: &'l mut Vec<u8>) {
        if style == Style::Json {
            line.push(b'{');
        }
        let mut fields = Self { line, style };
        row.fields(&mut fields);
        fields.line.pop();
        if style == Style::Json {
            fields.line.push(b'}');
        }
    }

    /// A number.
    pub fn number(&mut self, name: &'static str, value: impl Into<Option<u64>>) {
        self.field(name, value.into(), |line, number| {
            line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        });
    }

    /// A word that needs no quotes in CSV and no escapes in JSON.
    pub fn word(&mut self, name: &'static str, value: impl Into<Option<&'static str>>) {
        let quote: &[u8] = if self.style == Style::Json { b"\"" } else { b"" };
        self.field(name, value.into(), |line, word| {
            line.extend_from_slice(quote);
            line.extend_from_slice(word.as_bytes());
            line.extend_from_slice(quote);
        });
    }

    /// A value that is JSON already: its text in CSV, too, in quotes where that needs them.
    pub fn json(&mut self, name: &'static str, value: Option<&str>) {
        let quotes = self.style == Style::CsvRow;
        self.field(name, value, |line, json| {
            let needs_them = quotes && json.contains(['"', ',', '\n', '\r']);
            if needs_them {
                line.push(b'"');
                line.extend_from_slice(json.replace('"', "\"\"").as_bytes());
                line.push(b'"');
            } else {
                line.extend_from_slice(json.as_bytes());
            }
        });
    }

    fn field<T>(
        &mut self,
        name: &'static str,
        value: Option<T>,
        write: impl FnOnce(&mut Vec<u8>, T),
    ) {
        let line = &mut *self.line;
        match self.style {
            Style::CsvRow => {
                if let Some(value) = value {
                    write(line, value);
                }
            }
            Style::Json => {
                line.push(b'"');
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(b"\":");
                match value {
                    Some(value) => write(line, value),
                    None => line.extend_from_slice(b"null"),
                }
            }
            Style::CsvHead => line.extend_from_slice(name.as_bytes()),
        }
        line.push(b',');
    }
}

/// Takes the cells of one line of a table, column by column.
pub struct Cells<'l> {
    line: &'l mut Vec<u8>,
    columns: std::slice::Iter<'l, (Column, bool)>,
    margin: usize,
    start: usize,
}

impl<'l> Cells<'l> {
    /// Writes the cells that `row` puts to `line`: padded, without spaces at the end.
    pub(super) fn write(
        layout: &'l ShownColumns,
        line: &'l mut Vec<u8>,
        row: impl FnOnce(&mut Cells),
    ) {
        let start = line.len();
        let ShownColumns { columns, margin } = layout;
        let mut cells = Cells { line, columns: columns.iter(), margin: *margin, start };
        row(&mut cells);
        while cells.line.len() > start && cells.line.last() == Some(&b' ') {
            cells.line.pop();
        }
        cells.line.push(b'\n');
    }

    /// A cell of ASCII text.
    pub fn text(&mut self, text: &str) {
        self.cell(text.len(), |line| line.extend_from_slice(text.as_bytes()));
    }

    /// A cell of any text, on one line and no wider than its column.
    pub fn outside(&mut self, text: &str) {
        let width = self.columns.as_slice().first().map_or(0, |(column, _)| column.width());
        let shown = cut(text, width);
        self.cell(shown.width(), |line| line.extend_from_slice(shown.as_bytes()));
    }

    /// A number; `missing` where there is none.
    pub fn number(&mut self, value: impl Into<Option<u64>>, missing: &str) {
        match value.into() {
            Some(number) => self.text(itoa::Buffer::new().format(number)),
            None => self.text(missing),
        }
    }

    /// Words of eight hexadecimal digits with a space between them; `-` for one that is missing.
    pub fn words<const N: usize>(&mut self, words: [Option<u32>; N]) {
        let widths = words.iter().map(|word| if word.is_some() { 8 } else { 1 });
        self.cell(widths.sum::<usize>() + N.saturating_sub(1), |line| {
            for (index, word) in words.into_iter().enumerate() {
                if index > 0 {
                    line.push(b' ');
                }
                match word {
                    Some(word) => line.extend_from_slice(&hex(word)),
                    None => line.push(b'-'),
                }
            }
        });
    }

    /// A cell of `width` characters, which `write` writes.
    fn cell(&mut self, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let Some((column, true)) = self.columns.next() else { return };
        let padding = column.width().saturating_sub(width);
        let (before, after) = match column.side {
            Side::Left => (0, padding),
            Side::Right => (padding, 0),
        };
        let gap = usize::from(self.line.len() > self.start);
        self.spaces(self.margin.max(gap) + before);
        write(self.line);
        self.spaces(after + self.margin);
    }

    fn spaces(&mut self, count: usize) {
        self.line.resize(self.line.len() + count, b' ');
    }
}

/// Eight digits.
fn hex(word: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    let mut rest = word;
    for digit in digits.iter_mut().rev() {
        let [value, ..] = (rest & 15).to_le_bytes();
        *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        rest >>= 4;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Room;

    #[test]
    fn words_have_eight_digits() {
        for word in [0, 9, 10, 0x0012_abcd, u32::MAX, 0x8000_0000] {
            assert_eq!(hex(word).as_slice(), format!("{word:08x}").as_bytes());
        }
    }

    #[test]
    fn a_line_is_padded_between_its_cells_and_not_after_them() {
        let columns = [("n", Side::Right), ("word", Side::Left), ("last", Side::Left)]
            .map(|(head, side)| (Column { head, width_chars: 3, side, room: Room::Always }, true));
        let layout = ShownColumns { columns: columns.to_vec(), margin: 1 };
        let mut line = Vec::new();
        Cells::write(&layout, &mut line, |cells| {
            cells.number(12, "-");
            cells.number(None, "-");
            cells.words([Some(255), None]);
        });
        assert_eq!(line, b"  12  -     000000ff -\n");
    }
}
