//! `repair`: a plan of what can be got back of a damaged log, and the database that it gives.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::analysis::Verdict;
use crate::analysis::plan::{Action, Plan, Proof, Step};
use crate::analysis::view::View;
use crate::format::Pgno;
use crate::output::quantity::{counted, grouped};
use crate::output::{Paint, Report, Tone, write_report};
use crate::repair::offline::{self, Offline};
use crate::repair::replay::{self, SetAside};
use crate::repair::undo;
use crate::storage::new_file::{Existing, NewFile};

use super::Context;
use super::blockers;
use super::failure::{Exit, Failure};
use super::files::{FileArgs, Files};
use super::live::{self, Reading};
use super::replay::rails;

use base::Base;

mod base;

/// Get back what SQLite would drop of a damaged log
///
/// Prints a plan: which frames are damaged, what proves their right bytes, what is left out because a
/// later frame writes the page again, and whether the result equals what was written (lossless). A
/// hot rollback journal is part of it. With --apply the result is written: to a new database
/// (--output; the damaged files stay as they are), or into the database itself (--in-place; what is
/// overwritten goes into an undo set first, and the log goes there afterwards). A plan that loses
/// something is carried out with --accept-loss only.
#[derive(Args, Clone, Debug)]
pub struct Repair {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Carry the plan out
    #[arg(long, requires = "target")]
    pub apply: bool,
    /// Write the result to this new file
    #[arg(short, long, value_name = "NEW", requires = "apply", group = "target")]
    pub output: Option<PathBuf>,
    /// Write the result into the database itself, undo set first
    #[arg(long, requires = "apply", group = "target")]
    pub in_place: bool,
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
    /// Where, or where it would be.
    pub output: Option<String>,
    /// The undo set; `None` when nothing was overwritten.
    pub undo: Option<String>,
}

/// What the plan is made from, and what it is.
struct Prepared {
    base: Option<Base>,
    reading: Option<Reading>,
    plan: Plan,
}

impl Repair {
    /// Runs the command.
    ///
    /// # Errors
    /// When a safety rail refuses, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let offline = self.pass_rails(&files, context)?;
        let prepared = self.prepare(&files, context)?;
        let Prepared { reading, plan, .. } = &prepared;
        let target = match (&self.output, self.in_place) {
            (Some(output), _) => Some(output.as_path()),
            (None, true) => files.database.as_deref(),
            (None, false) => None,
        };
        let mut report = RepairReport {
            database: files.database.as_deref().map(|path| path.display().to_string()),
            wal: reading.as_ref().map(|_| files.wal.display().to_string()),
            verdict: reading.as_ref().map_or(Verdict::Absent, |read| read.examination.verdict),
            lossless: plan.is_lossless(),
            lossless_error_bound: plan.error_bound,
            transactions_before: plan.transactions_before,
            transactions_after: plan.restored.snapshot.to_txn,
            plan: plan.steps.clone(),
            applied: false,
            output: target.map(|path| path.display().to_string()),
            undo: None,
        };
        let exit = self.carry_out(&mut report, &prepared, offline.as_ref(), &files, context)?;
        write_report(&mut context.output, &report)?;
        Ok(exit)
    }

    fn pass_rails(&self, files: &Files, context: &Context) -> Result<Option<Offline>> {
        if let Some(output) = &self.output {
            rails::output_is_free(output, files, files.database.as_deref(), self.force, context)?;
            self.nobody_is_attached(files, context)?;
        }
        if !self.in_place {
            rails::no_change_was_cut_off(files, context)?;
            return Ok(None);
        }
        rails::log_is_its_own(files)?;
        let database = files.database.as_deref().unwrap_or(&self.path);
        let offline = offline::prove(context.vfs, database, files.shm.as_deref())
            .with_context(|| format!("{}: in place needs it alone", database.display()))?;
        undo::make_way(context.vfs, offline.database.as_ref())?;
        Ok(Some(offline))
    }

    fn prepare(&self, files: &Files, context: &Context) -> Result<Prepared> {
        let base = Base::open(files, context)?;
        let witness = base.as_ref().map(Base::file);
        let reading = live::read_log_beside(files, witness, context)?;
        if base.is_none() && reading.is_none() {
            let found = "no such file".to_owned();
            return Err(Failure::NotALog { path: self.path.clone(), found }.into());
        }
        let mut plan = match &reading {
            Some(Reading { file, examination }) => {
                Plan::of(file.as_ref(), examination, witness, context.watch)
                    .with_context(|| files.wal.display().to_string())?
            }
            None => Plan::default(),
        };
        if let Some(step) = base.as_ref().and_then(Base::step) {
            plan.steps.insert(0, step);
        }
        Ok(Prepared { base, reading, plan })
    }

    fn carry_out(
        &self,
        report: &mut RepairReport,
        prepared: &Prepared,
        offline: Option<&Offline>,
        files: &Files,
        context: &Context,
    ) -> Result<Exit> {
        let damaged = matches!(report.verdict, Verdict::Damaged | Verdict::BadHeader);
        let hot = report.plan.iter().any(|step| step.action == Action::RollBackJournal);
        if !self.apply {
            return Ok(if damaged || hot { Exit::Found } else { Exit::Done });
        }
        if !report.lossless && !self.accept_loss {
            return Ok(Exit::Refused);
        }
        match (&self.output, offline) {
            (Some(output), _) => {
                self.write_new(prepared, output, files, context)?;
                report.applied = true;
            }
            (None, Some(offline)) if !report.plan.is_empty() => {
                self.write_in_place(prepared, offline, files, context)?;
                report.undo = Some(undo::path_of(offline.database.path()).display().to_string());
                report.applied = true;
            }
            (None, _) => {}
        }
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

    /// The result, if something differs from the base; passes the last rails.
    fn view<'a>(
        &self,
        prepared: &'a Prepared,
        pages: &'a BTreeSet<Pgno>,
        files: &'a Files,
    ) -> Result<Option<View<'a>>> {
        let base = prepared.base.as_ref();
        let base_file = base.map(Base::file);
        let restored = &prepared.plan.restored;
        let shape = prepared.reading.as_ref().and_then(|read| read.examination.shape.as_ref());
        let log = prepared.reading.as_ref().map(|read| read.file.as_ref()).zip(shape);
        let page_size = match (shape, base) {
            (Some(shape), _) => shape.page_size(),
            (None, Some(base)) => base.page_size,
            (None, None) => return Ok(None),
        };
        if let Some((log, shape)) = log.filter(|_| restored.snapshot.to_frame > 0) {
            let snapshot = &restored.snapshot;
            let rails = rails::Rails { files, log, shape, snapshot, base: base_file };
            rails.base_fits(false)?;
            rails.growth_is_plausible()?;
        }
        Ok(Some(View {
            page_size,
            log,
            snapshot: &restored.snapshot,
            fixes: &restored.fixes,
            base: base_file,
            base_pages: pages,
        }))
    }

    fn write_new(
        &self,
        prepared: &Prepared,
        output: &Path,
        files: &Files,
        context: &Context,
    ) -> Result<()> {
        let base = files.database.as_deref();
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let file = NewFile::beside(output)?;
        if let Some(base) = &prepared.base {
            // With what a journal puts back: no page of it needs to be written again.
            replay::copy_base(base.file(), &file, u64::MAX, context.watch)?;
        }
        match self.view(prepared, &BTreeSet::new(), files)? {
            Some(view) => replay::finish_new_file(&view, file, existing, base, context.watch)?,
            None => file.publish(existing, base)?,
        }
        Ok(())
    }

    fn write_in_place(
        &self,
        prepared: &Prepared,
        offline: &Offline,
        files: &Files,
        context: &Context,
    ) -> Result<()> {
        let pages = prepared.base.as_ref().map(Base::pages).unwrap_or_default();
        let Some(view) = self.view(prepared, &pages, files)? else { return Ok(()) };
        let sidecars = SetAside {
            wal: Some(&files.wal),
            journal: prepared.base.as_ref().and_then(|base| base.journal.as_deref()),
            shm: files.shm.as_deref(),
        };
        Ok(replay::in_place(context.vfs, &view, offline, sidecars)?)
    }
}

impl Action {
    fn words(self) -> &'static str {
        match self {
            Self::RollBackJournal => "roll the journal back",
            Self::SetJournalAside => "set the journal aside",
            Self::SkipCopied => "start from the database file",
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
            (Some(output), true) if self.lossless => writeln!(to, "Wrote {output}, without loss.")?,
            (Some(output), true) => writeln!(to, "Wrote {output}, with the loss named above.")?,
            (Some(_), false) if self.plan.is_empty() => writeln!(to, "Nothing was written.")?,
            (Some(_), false) => {
                writeln!(to, "Nothing was written: the plan loses something (--accept-loss).")?;
            }
            (None, _) if self.plan.is_empty() => {}
            (None, _) => {
                let database = self.database.as_deref().unwrap_or(name);
                writeln!(to, "Next: walsmith repair {database} --apply --output NEW")?;
            }
        }
        if let (Some(undo), Some(database)) = (&self.undo, &self.database) {
            writeln!(to, "The old state is kept in {undo}.")?;
            writeln!(to, "Back: walsmith undo {database}")?;
            writeln!(to, "Forget it: walsmith undo --discard {database}")?;
        }
        Ok(())
    }
}
