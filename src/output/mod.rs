//! Reports and row streams on a writer: tables, JSON, JSON lines, CSV. Knows nothing of the rest.
//!
//! A command hands over typed rows; every format is derived from the same struct.

mod columns;
mod csv;
mod fields;
pub mod file_name;
mod grid;
pub mod hexdump;
mod items;
pub mod quantity;
mod report;
mod results;
mod rows;
mod table;
pub mod text;

pub use columns::{Column, Side};
pub use csv::item as csv_line;
pub use fields::{Cells, Fields, Row};
pub use file_name::FileName;
pub use grid::Cell;
pub use items::{ItemList, ItemStream};
pub use report::{Error, ErrorReport, Report, write_error, write_report};
pub use results::ResultStream;
pub use rows::{RowStream, Stream};
pub use table::{Heading, Room, Table, key_values};
pub use text::Outside;

use std::io::Write;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people: tables and sentences
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header line
    Csv,
}

/// Where and how a command's report goes.
pub struct Output<'a> {
    /// The report's destination.
    pub to: &'a mut dyn Write,
    /// Its format.
    pub format: Format,
    /// Colours and other terminal escapes are allowed.
    pub color: bool,
    /// Columns of the terminal; `None` where nobody knows.
    pub width_columns: Option<u16>,
    /// What tables are drawn with.
    pub charset: Charset,
    /// The human view shows only what needs attention.
    pub quiet: bool,
    /// A stream has begun: an error that comes later is in its document.
    pub has_stream: bool,
}

impl<'a> Output<'a> {
    /// A report as it goes into a file: plain, whole, of any width.
    pub fn new(to: &'a mut dyn Write, format: Format) -> Self {
        Self {
            to,
            format,
            color: false,
            width_columns: None,
            charset: Charset::default(),
            quiet: false,
            has_stream: false,
        }
    }
}

/// What tables are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// Lines of Unicode.
    #[default]
    Unicode,
    /// Dashes, for locales that have nothing else.
    Ascii,
}

/// Emphasis of a word in a human view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Damage or loss.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Strong,
}

/// How a human view looks: painted or plain, and what its tables are drawn with.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    color: bool,
    charset: Charset,
}

impl Paint {
    /// Paints when `color` is allowed.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self { color, charset: Charset::default() }
    }

    /// The same, with tables drawn in `charset`.
    #[must_use]
    pub fn with_charset(self, charset: Charset) -> Self {
        Self { charset, ..self }
    }

    /// What tables are drawn with.
    #[must_use]
    pub fn charset(self) -> Charset {
        self.charset
    }

    /// `word` in the given tone.
    #[must_use]
    pub fn tone(self, tone: Tone, word: &str) -> String {
        if !self.color {
            return word.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Notice => "33",
            Tone::Bad => "1;31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{word}\x1b[0m")
    }
}

/// A sentence broken between words, to the width of the terminal or 100 columns; `first` and `rest`
/// are the columns by which its first line and the others are indented.
#[must_use]
pub fn wrapped(sentence: &str, first: usize, rest: usize, width: Option<u16>) -> String {
    let width = usize::from(width.unwrap_or(100).clamp(40, 100));
    let (first, rest) = (" ".repeat(first), " ".repeat(rest));
    let options = textwrap::Options::new(width).initial_indent(&first).subsequent_indent(&rest);
    textwrap::fill(sentence, options)
}
