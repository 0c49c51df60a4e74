//! `undo`: puts back what an in-place command has overwritten.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::output::quantity::counted;
use crate::output::{Paint, Report, write_report};
use crate::repair::{offline, undo};

use super::Context;
use super::failure::{Exit, Failure};
use super::files::{FileArgs, Files, with_suffix};

/// Put back what an in-place command has overwritten
///
/// `replay --in-place` keeps the old bytes and the log in the directory DATABASE-walsmith-undo. This
/// puts them back, bit for bit, and removes the directory. Nobody else may have the database open.
#[derive(Args, Clone, Debug)]
pub struct Undo {
    /// The database
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Forget the old state instead: remove the undo set and keep the database as it is
    #[arg(long)]
    pub discard: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Undone {
    /// The database.
    pub database: String,
    /// Ranges written back; `None` when the set was discarded.
    pub restored_records: Option<u64>,
    /// The set was removed without using it.
    pub discarded: bool,
}

impl Undo {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no undo set, it is damaged, or somebody has the database open.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &FileArgs::default())?;
        let database = files.database.clone().unwrap_or_else(|| self.path.clone());
        if !context.vfs.exists(&undo::directory(&database))? {
            return Err(Failure::unsupported(&database, "there is no undo set beside it").into());
        }
        let mut restored_records = None;
        if self.discard {
            undo::discard(context.vfs, &database)?;
        } else {
            let offline = offline::prove(context.vfs, &database, files.shm.as_deref())
                .with_context(|| format!("{}: undo needs it alone", database.display()))?;
            let wal = with_suffix(&database, "-wal");
            let kept = context.vfs.exists(&undo::kept_wal(&database))?;
            if kept && context.vfs.exists(&wal)? {
                let why = "a new log stands beside it, and the old one would replace it";
                let hint = format!("move {} away first", wal.display());
                return Err(Failure::refused(&database, why, hint).into());
            }
            let records = undo::restore(context.vfs, offline.database.as_ref(), &wal)?;
            restored_records = Some(records);
        }
        let report = Undone {
            database: database.display().to_string(),
            restored_records,
            discarded: self.discard,
        };
        write_report(&mut context.output, &report)?;
        Ok(Exit::Done)
    }
}

impl Report for Undone {
    const COMMAND: &'static str = "undo";

    fn human(&self, to: &mut dyn Write, _paint: &Paint, _width: Option<u16>) -> io::Result<()> {
        match self.restored_records {
            Some(records) => {
                let records = counted(records, "range");
                writeln!(to, "{}: {records} and the size are as they were.", self.database)
            }
            None => writeln!(to, "{}: the undo set is gone.", self.database),
        }
    }
}
