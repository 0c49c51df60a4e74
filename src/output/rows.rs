//! Rows written as they come: constant memory, whatever their number.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use super::{Error, ErrorReport, Format, Output, csv};

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

/// An open stream of rows.
pub struct RowStream<'o, 'a> {
    output: &'o mut Output<'a>,
    columns: Vec<Column>,
    rows: u64,
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
                let heads: Vec<&str> = columns.iter().map(|column| column.head).collect();
                line(output.to, &columns, &heads)?;
                rule(output.to, &columns, '═')?;
            }
            Format::Jsonl | Format::Csv => {}
        }
        Ok(Self { output, columns, rows: 0 })
    }

    /// Writes a row: `row` for programs, `cells` for the table.
    ///
    /// # Errors
    /// When the destination fails or a value cannot be encoded.
    pub fn row<R: Serialize>(
        &mut self,
        row: &R,
        cells: impl FnOnce(&R) -> Vec<String>,
    ) -> Result<(), Error> {
        let first = self.rows == 0;
        self.rows += 1;
        let to = &mut *self.output.to;
        match self.output.format {
            Format::Table => line(to, &self.columns, &cells(row))?,
            Format::Json => {
                to.write_all(if first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(to, row)?;
            }
            Format::Jsonl => {
                serde_json::to_writer(&mut *to, row)?;
                to.write_all(b"\n")?;
            }
            Format::Csv => {
                let flat = csv::flatten(&serde_json::to_value(row)?);
                let mut writer = ::csv::Writer::from_writer(to);
                if first {
                    writer.write_record(flat.keys()).map_err(std::io::Error::from)?;
                }
                let cells = flat.values().map(|value: &Value| csv::cell(Some(value)));
                writer.write_record(cells).map_err(std::io::Error::from)?;
                writer.flush()?;
            }
        }
        Ok(())
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
    pub fn close(self, error: Option<&ErrorReport>) -> Result<(), Error> {
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

fn rule(to: &mut dyn Write, columns: &[Column], dash: char) -> std::io::Result<()> {
    let width: usize =
        columns.iter().map(|column| column.width_chars.max(column.head.len()) + 2).sum();
    writeln!(to, "{}", dash.to_string().repeat(width))
}

fn line<S: AsRef<str>>(to: &mut dyn Write, columns: &[Column], cells: &[S]) -> std::io::Result<()> {
    let mut text = String::new();
    for (column, cell) in columns.iter().zip(cells) {
        let width = column.width_chars.max(column.head.len());
        text.push(' ');
        match column.side {
            Side::Left => text.push_str(&format!("{:<width$}", cell.as_ref())),
            Side::Right => text.push_str(&format!("{:>width$}", cell.as_ref())),
        }
        text.push(' ');
    }
    writeln!(to, "{}", text.trim_end())
}
