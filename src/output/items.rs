//! A list of items of any shape, written as they come, with facts before and after it.

use std::io::{self, Write};

use serde_json::Value;

use super::report::{Error, json as json_of, schema};
use super::{Format, Output, Paint, csv};

/// What a list is.
pub struct ItemList<'l> {
    /// The command's name in the schema.
    pub command: &'static str,
    /// Fields before the list: an object.
    pub head: &'l Value,
    /// The name of the list in JSON.
    pub list: &'static str,
    /// The fields of an item, which are the columns of CSV.
    pub columns: &'l [&'static str],
}

/// An open list.
pub struct ItemStream<'o, 'a> {
    output: &'o mut Output<'a>,
    columns: Vec<&'static str>,
    items: u64,
}

impl<'o, 'a> ItemStream<'o, 'a> {
    /// Opens the list: `{"schema", .. head .., "<list>": [` in JSON, the header line in CSV.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn open(output: &'o mut Output<'a>, list: &ItemList<'_>) -> Result<Self, Error> {
        output.has_stream = true;
        let mut fields = serde_json::Map::new();
        fields.insert("schema".to_owned(), schema(list.command).into());
        if let Value::Object(head) = json_of(list.head)? {
            fields.extend(head);
        }
        let head = Value::Object(fields).to_string();
        match output.format {
            Format::Json => {
                let open = head.strip_suffix('}').unwrap_or(&head);
                write!(output.to, "{open},\"{}\":[", list.list)?;
            }
            Format::Jsonl => writeln!(output.to, "{head}")?,
            Format::Csv => csv::line(output.to, list.columns.iter().copied())?,
            Format::Table => {}
        }
        let columns = list.columns.to_vec();
        Ok(Self { output, columns, items: 0 })
    }

    /// Writes an item that was rendered before: JSON, a line of CSV, or what people read.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn rendered(
        &mut self,
        parts: &mut dyn Iterator<Item = io::Result<Vec<u8>>>,
    ) -> Result<(), Error> {
        let first = self.items == 0;
        self.items += 1;
        if self.output.format == Format::Json {
            self.output.to.write_all(if first { b"\n" } else { b",\n" })?;
        }
        for part in parts {
            self.output.to.write_all(&part?)?;
        }
        if self.output.format == Format::Jsonl {
            self.output.to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Writes an item: `item` for programs, what `human` writes for people.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn item(
        &mut self,
        item: impl FnOnce() -> Value,
        human: impl FnOnce(&mut dyn Write, &Paint, Option<u16>) -> io::Result<()>,
    ) -> Result<(), Error> {
        let first = self.items == 0;
        self.items += 1;
        match self.output.format {
            Format::Table => {
                let paint = Paint::new(self.output.color).with_charset(self.output.charset);
                human(self.output.to, &paint, self.output.width_columns)?;
            }
            Format::Json => {
                self.output.to.write_all(if first { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *self.output.to, &item())?;
            }
            Format::Jsonl => {
                serde_json::to_writer(&mut *self.output.to, &item())?;
                self.output.to.write_all(b"\n")?;
            }
            Format::Csv => {
                csv::item(self.output.to, &self.columns, &item())?;
            }
        }
        Ok(())
    }

    /// Lets `human` write something beside the items, where people read.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn people(
        &mut self,
        human: impl FnOnce(&mut dyn Write, &Paint, Option<u16>) -> io::Result<()>,
    ) -> Result<(), Error> {
        if self.output.format == Format::Table {
            let paint = Paint::new(self.output.color).with_charset(self.output.charset);
            human(self.output.to, &paint, self.output.width_columns)?;
        }
        Ok(())
    }

    /// Items written so far.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Closes the list, with the fields of `tail` after it in JSON; JSON lines have them in a last
    /// line of their own.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn close(self, tail: &Value) -> Result<(), Error> {
        match self.output.format {
            Format::Json => {
                let tail = json_of(tail)?.to_string();
                let inside = tail.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                self.output.to.write_all(b"\n]")?;
                if let Some(inside) = inside.filter(|inside| !inside.is_empty()) {
                    write!(self.output.to, ",{inside}")?;
                }
                self.output.to.write_all(b"}\n")?;
            }
            Format::Jsonl => writeln!(self.output.to, "{tail}")?,
            Format::Table | Format::Csv => {}
        }
        Ok(self.output.to.flush()?)
    }
}
