//! One document a run.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::{Format, Output, csv};

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

    /// The rows that CSV and JSON lines consist of; the whole report is one row by default.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    fn rows(&self) -> Result<Vec<Value>, serde_json::Error> {
        Ok(vec![serde_json::to_value(self)?])
    }
}

/// What failed, as it stands in a JSON document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// A word that scripts can compare.
    pub kind: &'static str,
    /// The file it happened on.
    pub file: Option<String>,
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
        Format::Table => {
            let paint = super::Paint::new(output.color);
            report.human(output.to, &paint, output.width_columns)?;
        }
        Format::Json => document(output.to, R::COMMAND, report)?,
        Format::Jsonl => {
            for row in report.rows()? {
                serde_json::to_writer(&mut *output.to, &row)?;
                output.to.write_all(b"\n")?;
            }
        }
        Format::Csv => csv::write(output.to, &report.rows()?)?,
    }
    Ok(output.to.flush()?)
}

/// Writes the document of a command that could not do its job; formats other than JSON have none.
///
/// # Errors
/// When the destination fails.
pub fn write_error(output: &mut Output, command: &str, error: &ErrorReport) -> Result<(), Error> {
    match output.format {
        Format::Json => document(output.to, command, &ErrorDocument { error })?,
        Format::Jsonl => {
            serde_json::to_writer(&mut *output.to, &ErrorDocument { error })?;
            output.to.write_all(b"\n")?;
        }
        Format::Table | Format::Csv => {}
    }
    Ok(output.to.flush()?)
}

fn document<R: Serialize>(to: &mut dyn Write, command: &str, report: &R) -> Result<(), Error> {
    let schema = format!("walsmith.{command}/1");
    serde_json::to_writer_pretty(&mut *to, &Envelope { schema, report })?;
    Ok(to.write_all(b"\n")?)
}
