//! Rows written as they come: constant memory, whatever their number.

use std::io::Write;

use super::fields::{Cells, Fields, Row, Style};
use super::{Error, ErrorReport, Format, Output};

/// Bytes of rows that are collected before they go to the destination.
const BUFFER_BYTES: usize = 1 << 16;

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
    /// Where its cells stand.
    pub side: Side,
}

impl Column {
    /// Characters between the spaces around a cell.
    pub(super) fn width(&self) -> usize {
        self.width_chars.max(self.head.len())
    }
}

/// An open stream of rows. What is still collected goes out when it is closed or dropped.
pub struct RowStream<'o, 'a> {
    output: &'o mut Output<'a>,
    columns: Vec<Column>,
    rows: u64,
    lines: Vec<u8>,
}

impl<'o, 'a> RowStream<'o, 'a> {
    /// Opens the stream: `{"schema", "wal", "<list>": [` in JSON, the heading in a table.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn open(
        output: &'o mut Output<'a>,
        command: &str,
        wal: &str,
        list: &str,
        columns: Vec<Column>,
    ) -> Result<Self, Error> {
        match output.format {
            Format::Json => {
                let wal = serde_json::to_string(wal)?;
                let head =
                    format!("{{\"schema\":\"walsmith.{command}/1\",\"wal\":{wal},\"{list}\":[");
                output.to.write_all(head.as_bytes())?;
            }
            Format::Table => {
                rule(output.to, &columns, '─')?;
                let mut heads = Vec::new();
                Cells::write(&columns, &mut heads, |cells| {
                    columns.iter().for_each(|column| cells.text(column.head));
                });
                output.to.write_all(&heads)?;
                rule(output.to, &columns, '═')?;
            }
            Format::Jsonl | Format::Csv => {}
        }
        Ok(Self { output, columns, rows: 0, lines: Vec::new() })
    }

    /// Writes a row: its fields for programs, `cells` for the table.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn row<R: Row>(
        &mut self,
        row: &R,
        cells: impl FnOnce(&R, &mut Cells),
    ) -> Result<(), Error> {
        let first = self.rows == 0;
        self.rows += 1;
        let lines = &mut self.lines;
        match self.output.format {
            Format::Table => Cells::write(&self.columns, lines, |to| cells(row, to)),
            Format::Json => {
                lines.extend_from_slice(if first { b"\n" } else { b",\n" });
                Fields::write(row, Style::Json, lines);
            }
            Format::Jsonl => {
                Fields::write(row, Style::Json, lines);
                lines.push(b'\n');
            }
            Format::Csv => {
                if first {
                    Fields::write(row, Style::CsvHead, lines);
                    lines.push(b'\n');
                }
                Fields::write(row, Style::CsvRow, lines);
                lines.push(b'\n');
            }
        }
        if self.lines.len() >= BUFFER_BYTES {
            self.write_lines()?;
        }
        Ok(())
    }

    fn write_lines(&mut self) -> Result<(), Error> {
        let written = self.output.to.write_all(&self.lines);
        self.lines.clear();
        Ok(written?)
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes the stream; `error` says why it ended early.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn close(mut self, error: Option<&ErrorReport>) -> Result<(), Error> {
        self.write_lines()?;
        let to = &mut *self.output.to;
        match self.output.format {
            Format::Json => {
                to.write_all(b"\n]")?;
                if let Some(error) = error {
                    to.write_all(b",\"error\":")?;
                    serde_json::to_writer(&mut *to, error)?;
                }
                to.write_all(b"}\n")?;
            }
            Format::Table => rule(to, &self.columns, '─')?,
            Format::Jsonl | Format::Csv => {}
        }
        Ok(to.flush()?)
    }
}

impl Drop for RowStream<'_, '_> {
    fn drop(&mut self) {
        // Only a stream that was left without a close still has lines, and its error is told already.
        let _ = self.write_lines();
    }
}

fn rule(to: &mut dyn Write, columns: &[Column], dash: char) -> std::io::Result<()> {
    let width: usize = columns.iter().map(|column| column.width() + 2).sum();
    writeln!(to, "{}", dash.to_string().repeat(width))
}
