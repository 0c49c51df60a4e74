//! The report of `replay`: what was written, or would be.

use std::io::{self, Write};

use serde::Serialize;

use crate::diagnosis::rails::Accepted;
use crate::history::standing::{Belonging, Pairing};
use crate::output::quantity::{counted, grouped};
use crate::output::text::{command, escaped};
use crate::output::{FileName, Paint, Report, Tone, wrapped};

/// What was written, or would be.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The base; `None` without one.
    pub database: Option<FileName>,
    /// The file that was written; `None` in a dry run without --output.
    pub output: Option<FileName>,
    /// Last transaction applied; `None` when the log has none.
    pub to_txn: Option<u32>,
    /// Its commit frame.
    pub to_frame: Option<u32>,
    /// Pages taken from the log.
    pub pages_written: u32,
    /// Size of the result.
    pub db_size_pages: Option<u32>,
    /// Nothing was written.
    pub dry_run: bool,
    /// Where the old state is kept; `None` when nothing was overwritten.
    pub undo: Option<FileName>,
    /// Whether log and base belong together; `None` when one of them holds nothing.
    pub pairing: Option<Pairing>,
    /// Dangers that were taken on.
    pub accepted: Vec<Accepted>,
}

impl Report for Replayed {
    const COMMAND: &'static str = "replay";

    fn needs_attention(&self) -> bool {
        let pairing = self.pairing.as_ref().map(|pairing| pairing.verdict);
        !self.accepted.is_empty() || pairing == Some(Belonging::Foreign)
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let verb = if self.dry_run { "would write" } else { "wrote" };
        let output = self.output.as_ref();
        let output = output.map_or("the result".to_owned(), ToString::to_string);
        let size = self
            .db_size_pages
            .map_or("unknown size".to_owned(), |pages| counted(pages.into(), "page"));
        match (self.to_txn, self.to_frame) {
            (Some(txn), Some(frame)) => {
                let sentence = format!(
                    "{verb} {output}: {size}, {} of them from the log, as of transaction {} (frame \
                     {}).",
                    grouped(self.pages_written.into()),
                    grouped(txn.into()),
                    grouped(frame.into())
                );
                writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
            }
            _ => {
                let sentence = format!("{verb} {output}: {size}; the log holds nothing to apply.");
                writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
            }
        }
        if let Some(pairing) = &self.pairing {
            writeln!(to, "{}", wrapped(&pairing.sentence(), 0, 2, width))?;
        }
        for accepted in &self.accepted {
            let message = paint.tone(Tone::Bad, &escaped(&accepted.message));
            let sentence = format!("Accepted ({}): {message}.", accepted.rule);
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        if let (Some(undo), Some(database)) = (&self.undo, &self.database) {
            writeln!(to, "The old state is kept in {undo}.")?;
            writeln!(to, "Back: {}", command("undo", database))?;
            writeln!(to, "Forget it: {}", command("undo --discard", database))?;
        }
        Ok(())
    }
}
