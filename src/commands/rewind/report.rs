//! The report of `rewind`.

use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;

use crate::access::differences::Differences;
use crate::access::generation::rewind_command;
use crate::access::states::StateAt;
use crate::format::Salts;
use crate::output::quantity::counted;
use crate::output::text::{argument, escaped};
use crate::output::{FileName, Paint, Report, Tone, wrapped};

/// What a rewind did, or would do.
#[derive(Debug, Serialize)]
pub(super) struct RewindReport {
    /// The database.
    pub(super) database: FileName,
    /// Its log.
    pub(super) wal: FileName,
    /// Nothing was written: the numbers are a forecast.
    pub(super) dry_run: bool,
    /// The salts of the log that the transactions are of.
    pub(super) salts: [u32; 2],
    /// The same, as `--generation` names them.
    pub(super) generation: String,
    /// The newest state before.
    pub(super) from: StateAt,
    /// The state that was asked for.
    pub(super) to: StateAt,
    /// The transaction that was written; `None` where none was.
    pub(super) made: Option<StateAt>,
    /// Pages that it has, or would have.
    pub(super) written_pages: u64,
    /// Pages of the database before; `None` where the log does not tell.
    pub(super) db_size_pages_before: Option<u32>,
    /// Pages of the database afterwards.
    pub(super) db_size_pages: u32,
    /// What differs from the state before to the one that was asked for; `None` where the rows
    /// could not be compared.
    pub(super) takes_back: Option<Differences>,
    /// Why they could not.
    pub(super) not_known: Option<String>,
    /// The command that takes the rewind back; of a dry run, the one that does it.
    pub(super) next: Option<String>,
    /// Something that is not known was accepted, and is in [`Self::next`].
    #[serde(skip)]
    pub(super) is_accepted: bool,
}

impl RewindReport {
    /// Whether the state that was asked for is the newest.
    pub(super) fn is_there_already(&self) -> bool {
        self.from == self.to
    }

    /// With what follows from the two states.
    pub(super) fn settled(mut self) -> Self {
        if self.is_there_already() {
            self.written_pages = 0;
        } else if self.dry_run {
            self.next = Some(self.command_to(self.to.txn));
        }
        self
    }

    fn command_to(&self, txn: u32) -> String {
        let [salt1, salt2] = self.salts;
        let command = rewind_command(&self.database, txn, Salts { salt1, salt2 });
        if self.is_accepted { command + " --accept-foreign" } else { command }
    }

    /// The transaction was written, up to `frame`.
    pub(super) fn is_made(&mut self, frame: u32) {
        // A commit frame that is repeated to fill a sector counts as a transaction each time.
        let written = u32::try_from(self.written_pages).unwrap_or(u32::MAX);
        let repeated = frame.saturating_sub(self.from.frame).saturating_sub(written);
        self.made = Some(StateAt { txn: self.from.txn + 1 + repeated, frame });
        self.next = Some(self.command_to(self.from.txn));
    }

    /// What differs, or why that is not known.
    pub(super) fn take_back(&mut self, differences: Result<Differences>) {
        match differences {
            Ok(differences) => self.takes_back = Some(differences),
            Err(error) => self.not_known = Some(format!("{error:#}")),
        }
    }

    fn outcome(&self, paint: &Paint) -> String {
        let state = match self.to.txn {
            0 => "the state before the log".to_owned(),
            txn => format!("the state after transaction {txn}"),
        };
        if self.is_there_already() {
            return format!("{state} is the newest one; nothing to do.");
        }
        let pages = counted(self.written_pages, "page");
        let from = self.from.txn;
        match self.made {
            Some(made) => {
                let state = paint.tone(Tone::Good, &format!("back to {state}"));
                format!(
                    "{state}, from transaction {from}: {pages} written as transaction {}.",
                    made.txn
                )
            }
            None => format!("would go back to {state}, from transaction {from}: {pages} to write."),
        }
    }
}

impl Report for RewindReport {
    const COMMAND: &'static str = "rewind";

    fn needs_attention(&self) -> bool {
        self.not_known.is_some()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let sentence = format!("{}: {}", self.database, self.outcome(paint));
        writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        if self.is_there_already() {
            return Ok(());
        }
        if let Some(differences) = &self.takes_back {
            differences.human(to, paint, width)?;
        }
        if let Some(why) = &self.not_known {
            let sentence = format!("Which rows that changes is not known: {}.", escaped(why));
            writeln!(to, "{}", wrapped(&paint.tone(Tone::Notice, &sentence), 0, 2, width))?;
        }
        let again = "Row ids that were given since, by AUTOINCREMENT too, are given again.";
        writeln!(to, "{}", wrapped(again, 0, 2, width))?;
        let first = self.to.txn;
        if self.made.is_none() && self.from.txn.saturating_sub(first) > 1 {
            let path = argument(&self.database);
            let alone = format!("walsmith diff {path} {} --invert --sql", first + 1);
            writeln!(to, "What takes back transaction {} alone: {alone}", first + 1)?;
        }
        match (&self.next, self.made) {
            (Some(next), Some(_)) => {
                writeln!(to, "To take this back, until the next checkpoint: {next}")?;
            }
            (Some(next), None) => writeln!(to, "To do it: {next}")?,
            (None, _) => {}
        }
        Ok(())
    }
}
