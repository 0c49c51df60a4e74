//! Rows written as they come: constant memory, whatever their number.

use serde_json::json;

use super::columns::{Column, ShownColumns};
use super::fields::{Cells, Fields, Row, Style};
use super::report::{error_line, json as json_of, schema};
use super::table::left_out;
use super::{Charset, Error, ErrorReport, FileName, Format, Output};

/// Bytes of rows that are collected before they go to the destination.
const BUFFER_BYTES: usize = 1 << 16;

/// What a stream of rows is.
pub struct Stream<'s> {
    /// The command's name in the schema.
    pub command: &'static str,
    /// The log that the rows come from.
    pub wal: &'s FileName,
    /// The name of the list in JSON.
    pub list: &'static str,
    /// The columns of the human table.
    pub columns: Vec<Column>,
    /// Any row: its fields are the columns of CSV.
    pub example: &'s dyn Row,
}

/// An open stream of rows. What is still collected goes out when it is closed or dropped.
pub struct RowStream<'o, 'a> {
    output: &'o mut Output<'a>,
    command: &'static str,
    layout: ShownColumns,
    rows: u64,
    lines: Vec<u8>,
    /// The heading of the table is written.
    is_headed: bool,
}

impl<'o, 'a> RowStream<'o, 'a> {
    /// Opens the stream: `{"schema", "wal", "<list>": [` in JSON, the heading in a table. Where
    /// only what needs attention is wanted, the heading waits for a row.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn open(output: &'o mut Output<'a>, stream: Stream<'_>) -> Result<Self, Error> {
        let Stream { command, wal, list, columns, example } = stream;
        output.has_stream = true;
        let head = json_of(&json!({ "schema": schema(command), "wal": wal }))?.to_string();
        let layout = ShownColumns::of(columns, output.width_columns);
        let mut this =
            Self { output, command, layout, rows: 0, lines: Vec::new(), is_headed: false };
        match this.output.format {
            Format::Json => {
                let open = head.strip_suffix('}').unwrap_or(&head);
                write!(this.output.to, "{open},\"{list}\":[")?;
            }
            Format::Jsonl => writeln!(this.output.to, "{head}")?,
            Format::Csv => {
                Fields::write(example, Style::CsvHead, &mut this.lines);
                this.lines.push(b'\n');
            }
            Format::Table if this.output.quiet => {}
            Format::Table => this.write_heading()?,
        }
        Ok(this)
    }

    fn write_heading(&mut self) -> Result<(), Error> {
        self.is_headed = true;
        self.rule('─', '-')?;
        let mut heads = Vec::new();
        Cells::write(&self.layout, &mut heads, |cells| {
            self.layout.columns.iter().for_each(|(column, _)| cells.text(column.head));
        });
        self.output.to.write_all(&heads)?;
        self.rule('═', '=')
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
        if self.output.format == Format::Table && !self.is_headed {
            self.write_heading()?;
        }
        let lines = &mut self.lines;
        match self.output.format {
            Format::Table => Cells::write(&self.layout, lines, |to| cells(row, to)),
            Format::Json => {
                lines.extend_from_slice(if first { b"\n" } else { b",\n" });
                Fields::write(row, Style::Json, lines);
            }
            Format::Jsonl => {
                Fields::write(row, Style::Json, lines);
                lines.push(b'\n');
            }
            Format::Csv => {
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
        match (self.output.format, error) {
            (Format::Json, _) => {
                self.output.to.write_all(b"\n]")?;
                if let Some(error) = error {
                    write!(self.output.to, ",\"error\":{}", json_of(error)?)?;
                }
                self.output.to.write_all(b"}\n")?;
            }
            (Format::Jsonl, Some(error)) => error_line(self.output.to, self.command, error)?,
            (Format::Table, _) if self.is_headed => {
                self.rule('─', '-')?;
                let hidden = self.layout.columns.iter().filter(|(_, shown)| !shown);
                let heads = hidden.map(|(column, _)| column.head);
                if let Some(line) = left_out(heads, self.output.width_columns) {
                    writeln!(self.output.to, "{line}")?;
                }
            }
            (Format::Jsonl, None) | (Format::Table | Format::Csv, _) => {}
        }
        Ok(self.output.to.flush()?)
    }

    fn rule(&mut self, unicode: char, ascii: char) -> Result<(), Error> {
        let dash = match self.output.charset {
            Charset::Unicode => unicode,
            Charset::Ascii => ascii,
        };
        Ok(writeln!(self.output.to, "{}", dash.to_string().repeat(self.layout.width()))?)
    }
}

impl Drop for RowStream<'_, '_> {
    fn drop(&mut self) {
        // Only a stream that was left without a close still has lines, and its error is reported
        // already.
        let _ = self.write_lines();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Room, Side};

    fn column(head: &'static str, width_chars: usize, room: Room) -> Column {
        Column { head, width_chars, side: Side::Left, room }
    }

    #[test]
    fn spaces_go_first_then_columns_by_rank() {
        let columns = || {
            vec![
                column("a", 10, Room::Always),
                column("b", 10, Room::IfWide(1)),
                column("c", 10, Room::IfWide(0)),
            ]
        };
        let shown = |width| {
            let layout = ShownColumns::of(columns(), width);
            let heads: Vec<&str> = layout.shown().map(|column| column.head).collect();
            (heads.concat(), layout.width())
        };
        assert_eq!(shown(None), ("abc".to_owned(), 36));
        assert_eq!(shown(Some(36)), ("abc".to_owned(), 36));
        assert_eq!(shown(Some(35)), ("abc".to_owned(), 32));
        assert_eq!(shown(Some(31)), ("ab".to_owned(), 21));
        assert_eq!(shown(Some(20)), ("a".to_owned(), 10));
        assert_eq!(shown(Some(5)), ("a".to_owned(), 10));
    }
}
