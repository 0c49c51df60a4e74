//! One document a run.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::{FileName, Format, Output, csv, file_name};

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The destination failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A value could not be encoded.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// What a command found, for people and for programs.
pub trait Report: Serialize {
    /// The command's name in the schema.
    const COMMAND: &'static str;

    /// The human view.
    ///
    /// # Errors
    /// When the destination fails.
    fn human(
        &self,
        to: &mut dyn Write,
        output: &super::Paint,
        width: Option<u16>,
    ) -> io::Result<()>;

    /// Whether there is something to say where only what needs attention is wanted.
    fn needs_attention(&self) -> bool;

    /// A row whose fields are the columns of CSV, for reports that may have none.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    fn example() -> Result<Option<Value>, serde_json::Error> {
        Ok(None)
    }

    /// The rows that CSV and JSON lines consist of; the whole report is one row by default.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    fn rows(&self) -> Result<Vec<Value>, serde_json::Error> {
        Ok(vec![serde_json::to_value(self)?])
    }
}

/// What failed, as a JSON document has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// A word that scripts can compare.
    pub kind: &'static str,
    /// The file it happened on.
    pub file: Option<FileName>,
    /// Where in the file.
    pub offset_bytes: Option<u64>,
    /// In which frame.
    pub frame: Option<u32>,
    /// The whole story in a sentence.
    pub message: String,
    /// The next command to type.
    pub hint: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'a, R> {
    schema: String,
    #[serde(flatten)]
    report: &'a R,
}

impl<'a, R> Envelope<'a, R> {
    fn of(command: &str, report: &'a R) -> Self {
        Self { schema: schema(command), report }
    }
}

/// Commands whose documents have changed in a way that a program must know of, and the number of
/// that shape; 1 for all others.
const SHAPES: [(&str, u32); 1] = [("repair", 2)];

/// The schema of a command's documents: its name, and the number of its shape.
pub(super) fn schema(command: &str) -> String {
    let shape =
        SHAPES.iter().find(|(changed, _)| *changed == command).map_or(1, |(_, shape)| *shape);
    format!("walsmith.{command}/{shape}")
}

/// What the first line of a stream says beside its schema.
#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a ErrorReport,
}

/// Writes a report in the output's format.
///
/// # Errors
/// When the destination fails or a value cannot be encoded.
pub fn write_report<R: Report>(output: &mut Output, report: &R) -> Result<(), Error> {
    match output.format {
        Format::Table if output.quiet && !report.needs_attention() => {}
        Format::Table => {
            let paint = super::Paint::new(output.color).with_charset(output.charset);
            report.human(output.to, &paint, output.width_columns)?;
        }
        Format::Json => document(output.to, R::COMMAND, report)?,
        Format::Jsonl => {
            line(output.to, &Envelope::of(R::COMMAND, &Nothing {}))?;
            report.rows()?.iter().try_for_each(|row| line(output.to, row))?;
        }
        Format::Csv => csv::write(output.to, R::example()?.as_ref(), &report.rows()?)?,
    }
    Ok(output.to.flush()?)
}

/// Writes the document of a command that could not do its job, unless a stream has said it. Formats
/// other than JSON have none.
///
/// # Errors
/// When the destination fails.
pub fn write_error(output: &mut Output, command: &str, error: &ErrorReport) -> Result<(), Error> {
    match output.format {
        _ if output.has_stream => {}
        Format::Json => document(output.to, command, &ErrorDocument { error })?,
        Format::Jsonl => error_line(output.to, command, error)?,
        Format::Table | Format::Csv => {}
    }
    Ok(output.to.flush()?)
}

/// Writes the line of JSON that says why a stream ends early, or has not begun.
pub(super) fn error_line(
    to: &mut dyn Write,
    command: &str,
    error: &ErrorReport,
) -> Result<(), Error> {
    line(to, &Envelope::of(command, &ErrorDocument { error }))
}

fn document<R: Serialize>(to: &mut dyn Write, command: &str, report: &R) -> Result<(), Error> {
    serde_json::to_writer_pretty(&mut *to, &json(&Envelope::of(command, report))?)?;
    Ok(to.write_all(b"\n")?)
}

fn line(to: &mut dyn Write, value: &impl Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *to, &json(value)?)?;
    Ok(to.write_all(b"\n")?)
}

/// The JSON of a value, with the bytes of names that are no UTF-8.
pub(super) fn json(value: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    file_name::put_bytes_beside(&mut value);
    Ok(value)
}
