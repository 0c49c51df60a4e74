//! `undo`: puts back what an in-place command has overwritten.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::access::Context;
use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files, with_suffix};
use crate::diagnosis::rails::{self, Consents};
use crate::output::quantity::{bytes, counted};
use crate::output::text::command;
use crate::output::{FileName, Paint, Report, wrapped, write_report};
use crate::repair::offline;
use crate::repair::undo::{self, Set, Stage, Trust};

/// Put back what an in-place command has overwritten
///
/// `replay --in-place` and `repair --apply --in-place` keep the old bytes in the file
/// DATABASE-walsmith-undo, and the log and the rollback journal beside it. This puts them back, bit
/// for bit, and removes the set. Nobody else may have the database open, and it must not have been
/// written since.
#[derive(Args, Clone, Debug)]
pub struct Undo {
    /// The database
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Show what the undo set holds, and change nothing
    #[arg(long)]
    pub list: bool,
    /// Forget the old state instead: remove the undo set and keep the database as it is
    #[arg(long, conflicts_with = "list")]
    pub discard: bool,
    /// Put the old bytes back although the database was written since
    #[arg(long, conflicts_with_all = ["list", "discard"])]
    pub force: bool,
}

/// What was done, and with what.
#[derive(Debug, Serialize)]
pub struct UndoReport {
    /// The database.
    pub database: FileName,
    /// Ranges written back; `None` when nothing was put back.
    pub restored_records: Option<u64>,
    /// The set was removed without using it.
    pub discarded: bool,
    /// The set as it was found.
    pub set: SetReport,
}

/// An undo set.
#[derive(Debug, Serialize)]
pub struct SetReport {
    /// Its file.
    pub path: FileName,
    /// How far the change that it belongs to has come; `None` where its bytes do not tell.
    pub stage: Option<Stage>,
    /// Ranges of the database that it holds.
    pub records: Option<u64>,
    /// Size of the database before the change.
    pub size_before_bytes: Option<u64>,
    /// Size of the database after the change.
    pub size_after_bytes: Option<u64>,
    /// The log that it keeps; `None` without one.
    pub wal: Option<FileName>,
    /// The rollback journal that it keeps; `None` without one.
    pub journal: Option<FileName>,
}

impl Undo {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no undo set, it is damaged, the database was written since, or somebody has it
    /// open.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &FileArgs::default())?;
        files.must_have_names(&self.path)?;
        let database = files.database.clone().unwrap_or_else(|| self.path.clone());
        let vfs = context.vfs;
        let kept = [undo::path_of(&database), undo::kept_wal(&database)];
        let is_there = kept.iter().map(|path| vfs.exists(path)).collect::<Result<Vec<_>, _>>()?;
        if !is_there.contains(&true) {
            return Err(match vfs.exists(&database)? {
                true => Failure::NoUndo { path: database },
                false => Failure::not_found(&database),
            }
            .into());
        }
        let mut report = UndoReport {
            database: FileName::from(&database),
            restored_records: None,
            discarded: self.discard,
            set: self.set_report(&database, context)?,
        };
        if self.discard {
            // Under the same proof: it could be in use by an in-place command at this moment.
            let _offline = self.prove(&database, &files, context)?;
            undo::discard(vfs, &database)?;
        } else if !self.list {
            let offline = self.prove(&database, &files, context)?;
            if report.set.stage == Some(Stage::Done) {
                // A journal of before belongs to a change that was cut off; this one is newer.
                let journal = rails::hot_journal(&files, Some(offline.database.as_ref()), context)?;
                rails::refuse(journal.into_iter().collect(), Consents::default())?;
            }
            for (kept, suffix) in
                [(undo::kept_wal(&database), "-wal"), (undo::kept_journal(&database), "-journal")]
            {
                let own = with_suffix(&database, suffix);
                if vfs.exists(&kept)? && vfs.exists(&own)? {
                    let why = format!("a new {} is beside it", own.display());
                    let hint = "the old one would replace it: move it away first";
                    return Err(Failure::refused(&database, why, hint).into());
                }
            }
            let trust = if self.force { Trust::Anything } else { Trust::Unchanged };
            let restored = match Set::open(vfs, &database)? {
                Some(set) => set.restore(vfs, offline.database.as_ref(), trust)?,
                None => 0,
            };
            report.restored_records = Some(restored);
        }
        write_report(&mut context.output, &report)?;
        Ok(Exit::Done)
    }

    fn prove(&self, database: &Path, files: &Files, context: &Context) -> Result<offline::Offline> {
        offline::prove(context.vfs, database, files.shm.as_deref())
            .with_context(|| format!("{}: undo needs it alone", database.display()))
    }

    fn set_report(&self, database: &Path, context: &Context) -> Result<SetReport> {
        let set = match Set::look(context.vfs, database) {
            // A damaged set can still be discarded.
            Err(undo::Error::Damaged { .. }) if self.discard => None,
            set => set?,
        };
        let kept = |path: PathBuf| -> Result<Option<FileName>> {
            Ok(context.vfs.exists(&path)?.then(|| FileName::from(&path)))
        };
        Ok(SetReport {
            path: FileName::from(undo::path_of(database)),
            stage: set.as_ref().map(|set| set.stage),
            records: set.as_ref().map(Set::records),
            size_before_bytes: set.as_ref().map(Set::size_before_bytes),
            size_after_bytes: set.as_ref().map(Set::size_after_bytes),
            wal: kept(undo::kept_wal(database))?,
            journal: kept(undo::kept_journal(database))?,
        })
    }
}

impl Report for UndoReport {
    const COMMAND: &'static str = "undo";

    fn needs_attention(&self) -> bool {
        let is_half_written = matches!(self.set.stage, Some(Stage::Writing | Stage::Restored));
        is_half_written && self.restored_records.is_none() && !self.discarded
    }

    fn human(&self, to: &mut dyn Write, _paint: &Paint, width: Option<u16>) -> io::Result<()> {
        if let Some(records) = self.restored_records {
            let records = counted(records, "range");
            return writeln!(to, "{}: {records} and the size are as they were.", self.database);
        }
        if self.discarded {
            return writeln!(to, "{}: the undo set is gone.", self.database);
        }
        let set = &self.set;
        let stage = match set.stage {
            Some(Stage::Writing) => {
                "kept from a change that was cut off; the database is half written"
            }
            Some(Stage::Done) => "kept from a change that is complete",
            Some(Stage::Restored) => "the old bytes are back already; undo again to finish",
            None => "left of a change that never began",
        };
        writeln!(to, "{}", wrapped(&format!("{}: {stage}", set.path), 0, 2, width))?;
        if let (Some(records), Some(before), Some(after)) =
            (set.records, set.size_before_bytes, set.size_after_bytes)
        {
            let records = counted(records, "range");
            writeln!(
                to,
                "  {records} of the database, {} before, {} after",
                bytes(before),
                bytes(after)
            )?;
        }
        for kept in [&set.wal, &set.journal].into_iter().flatten() {
            writeln!(to, "  {kept}")?;
        }
        writeln!(to, "Back: {}", command("undo", &self.database))
    }
}
