//! `repair`: a plan of what can be got back of a damaged log, and the database that it gives.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::analysis::plan::{Action, Plan, Proof, Step};
use crate::analysis::{LogShape, Verdict};
use crate::output::quantity::{counted, grouped};
use crate::output::{Paint, Report, Tone, write_report};
use crate::repair::replay;
use crate::storage::File;
use crate::storage::new_file::{Existing, NewFile};

use super::Context;
use super::blockers;
use super::failure::{Exit, Failure};
use super::files::{FileArgs, Files, open_if_there};
use super::live::{self, Reading};
use super::replay::rails;

/// Get back what SQLite would drop of a damaged log
///
/// Prints a plan: which frames are damaged, what proves their right bytes, what is left out because a
/// later frame writes the page again, and whether the result equals what was written (lossless).
/// With --apply the result is written to a new database (--output); the damaged files stay as they
/// are. A plan that loses something is carried out with --accept-loss only, and gives the newest
/// state that is complete.
#[derive(Args, Clone, Debug)]
pub struct Repair {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Carry the plan out
    #[arg(long, requires = "output")]
    pub apply: bool,
    /// Write the result to this new file
    #[arg(short, long, value_name = "NEW", requires = "apply")]
    pub output: Option<PathBuf>,
    /// Replace an existing output
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Carry out a plan that loses something
    #[arg(long, requires = "apply")]
    pub accept_loss: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// The plan, and what became of it.
#[derive(Debug, Serialize)]
pub struct RepairReport {
    /// The database.
    pub database: Option<String>,
    /// The log; `None` without one.
    pub wal: Option<String>,
    /// Its verdict.
    pub verdict: Verdict,
    /// The steps.
    pub plan: Vec<Step>,
    /// Every step is proven by checksums, or by evidence under the assumption that the damage of a
    /// dropped frame is confined to its image.
    pub lossless: bool,
    /// Chance that a one-word correction of this plan fits without being true.
    pub lossless_error_bound: f64,
    /// Transactions of the log that SQLite sees without a repair.
    pub transactions_before: u32,
    /// Transactions of the log that the result has.
    pub transactions_after: u32,
    /// The result was written.
    pub applied: bool,
    /// Where.
    pub output: Option<String>,
}

impl Repair {
    /// Runs the command.
    ///
    /// # Errors
    /// When a safety rail refuses, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let base = files.database.as_deref();
        if let Some(output) = &self.output {
            rails::output_is_free(output, &files, base, self.force, context)?;
            self.nobody_is_attached(&files, context)?;
        }
        rails::journal_is_cold(&files, context)?;
        let reading = live::read_log(&files, context)?;
        let base_file = open_if_there(context.vfs, base)?;
        if base_file.is_none() && reading.is_none() {
            let found = "no such file".to_owned();
            return Err(Failure::NotALog { path: self.path.clone(), found }.into());
        }
        let plan = match &reading {
            Some(Reading { file, examination }) => {
                Plan::of(file.as_ref(), examination, context.watch)
                    .with_context(|| files.wal.display().to_string())?
            }
            None => Plan::default(),
        };
        let mut report = RepairReport {
            database: base.map(|path| path.display().to_string()),
            wal: reading.as_ref().map(|_| files.wal.display().to_string()),
            verdict: reading.as_ref().map_or(Verdict::Absent, |read| read.examination.verdict),
            lossless: plan.is_lossless(),
            lossless_error_bound: plan.error_bound,
            transactions_before: plan.transactions_before,
            transactions_after: plan.restored.snapshot.to_txn,
            plan: plan.steps.clone(),
            applied: false,
            output: self.output.as_deref().map(|path| path.display().to_string()),
        };
        let exit = self.carry_out(&mut report, &plan, reading.as_ref(), &files, context)?;
        write_report(&mut context.output, &report)?;
        Ok(exit)
    }

    fn carry_out(
        &self,
        report: &mut RepairReport,
        plan: &Plan,
        reading: Option<&Reading>,
        files: &Files,
        context: &Context,
    ) -> Result<Exit> {
        let damaged = matches!(report.verdict, Verdict::Damaged | Verdict::BadHeader);
        if !self.apply {
            return Ok(if damaged { Exit::Found } else { Exit::Done });
        }
        if !report.lossless && !self.accept_loss {
            return Ok(Exit::Refused);
        }
        let shape = reading.and_then(|reading| reading.examination.shape);
        let log = reading.map(|reading| reading.file.as_ref());
        self.write(plan, log.zip(shape.as_ref()), files, context)?;
        report.applied = true;
        Ok(if report.lossless { Exit::Done } else { Exit::Found })
    }

    fn nobody_is_attached(&self, files: &Files, context: &Context) -> Result<()> {
        if !live::is_attached(files, context)? {
            return Ok(());
        }
        let database = files.database.as_deref().unwrap_or(&self.path);
        let holders = blockers::find(files, context)?.1;
        let named: Vec<String> = holders
            .iter()
            .filter_map(|row| Some(format!("process {} ({})", row.pid?, row.command.as_deref()?)))
            .collect();
        let who = named.first().map_or("somebody".to_owned(), Clone::clone);
        let why = format!("{who} has it open");
        Err(Failure::refused(database, why, "stop it, or repair a copy of all files").into())
    }

    fn write(
        &self,
        plan: &Plan,
        log: Option<(&dyn File, &LogShape)>,
        files: &Files,
        context: &Context,
    ) -> Result<()> {
        let Some(output) = &self.output else { return Ok(()) };
        let base = files.database.as_deref();
        let base_file = open_if_there(context.vfs, base)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let file = NewFile::beside(output)?;
        if let Some(base) = &base_file {
            replay::copy_base(base.as_ref(), &file, u64::MAX, context.watch)?;
        }
        let restored = &plan.restored;
        match log.filter(|_| restored.snapshot.to_frame > 0) {
            None => file.publish(existing, base)?,
            Some((log, shape)) => {
                let rails = rails::Rails {
                    files,
                    log,
                    shape,
                    snapshot: &restored.snapshot,
                    base: base_file.as_deref(),
                };
                rails.base_fits(false)?;
                rails.growth_is_plausible()?;
                let replay = replay::Replay {
                    log,
                    shape,
                    snapshot: &restored.snapshot,
                    fixes: &restored.fixes,
                    base: base_file.as_deref(),
                };
                replay::finish_new_file(&replay, file, existing, base, context.watch)?;
            }
        }
        Ok(())
    }
}

impl Action {
    fn words(self) -> &'static str {
        match self {
            Self::RestoreHeader => "restore the header",
            Self::RestoreSalt => "restore the salts",
            Self::RestoreChecksum => "restore the checksum",
            Self::CorrectWord => "correct one word",
            Self::TakeImage => "take another image of the page",
            Self::TakeFrame => "take the frame from where it stands",
            Self::SolveHeader => "solve for the header",
            Self::DropFrame => "leave the frame out",
            Self::DropBehind => "give up what lies behind",
            Self::CutTail => "leave the tail out",
        }
    }
}

impl Report for RepairReport {
    const COMMAND: &'static str = "repair";

    fn human(&self, to: &mut dyn Write, paint: &Paint, _width: Option<u16>) -> io::Result<()> {
        let name = self.wal.as_deref().or(self.database.as_deref()).unwrap_or_default();
        writeln!(to, "{name}: {}", self.verdict.word())?;
        for (number, step) in (1..).zip(&self.plan) {
            let frame = step.frame.map_or(String::new(), |frame| format!("frame {frame}: "));
            let mark = match (step.lossless, step.proof) {
                (true, Some(Proof::Checksum)) => paint.tone(Tone::Good, "proven"),
                (true, _) => paint.tone(Tone::Good, "evident"),
                (false, _) => paint.tone(Tone::Bad, "lossy"),
            };
            writeln!(to, "  {number}. {frame}{} ({mark})", step.action.words())?;
            writeln!(to, "     {}; {}.", step.reason, step.gains)?;
        }
        if self.plan.is_empty() {
            writeln!(to, "  There is nothing to repair.")?;
        }
        if self.transactions_after > self.transactions_before {
            writeln!(
                to,
                "SQLite alone would keep {}; the result has {}.",
                counted(self.transactions_before.into(), "transaction"),
                grouped(self.transactions_after.into())
            )?;
        }
        match (&self.output, self.applied) {
            (Some(output), true) if self.lossless => writeln!(to, "Wrote {output}, without loss."),
            (Some(output), true) => writeln!(to, "Wrote {output}, with the loss named above."),
            (Some(_), false) => {
                writeln!(to, "Nothing was written: the plan loses something (--accept-loss).")
            }
            (None, _) if self.plan.is_empty() => Ok(()),
            (None, _) => {
                let database = self.database.as_deref().unwrap_or(name);
                writeln!(to, "Next: walsmith repair {database} --apply --output NEW")
            }
        }
    }
}
