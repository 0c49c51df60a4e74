//! `repair`: a plan of what can be recovered of a damaged log, and the database that it gives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::live;
use crate::access::{Context, holders};
use crate::database::opaque::looks_encrypted;
use crate::database::{self, Pages};
use crate::diagnosis::finding;
use crate::diagnosis::rails::{self, Consents, Effect};
use crate::history::standing::newer::FileAge;
use crate::history::standing::{self, Depth, Pairing};
use crate::history::view::View;
use crate::log::Verdict;
use crate::output::{FileName, write_report};
use crate::repair::offline::{self, Offline};
use crate::repair::plan::{Action, Step, are_likely};
use crate::repair::replay::{self, SetAside};
use crate::repair::undo;
use crate::storage::SyncDirectory;
use crate::storage::process::brief;
use crate::storage::{Existing, NewFile};

use base::Base;
use prepared::{Prepared, unsound};
pub use report::{HealthReport, Loss, PageLoss, RepairReport};

mod base;
mod claim;
mod explain;
mod planning;
mod prepared;
mod readings;
mod report;
mod sizes;

/// Get back what SQLite would drop of a damaged log
///
/// Prints a plan: which frames are damaged, what proves their right bytes, what is left out because
/// a later frame writes the page again, and whether the result equals what was written (lossless).
/// A hot rollback journal is part of it. With --apply the result is written: to a new database
/// (--output; the damaged files stay as they are), or into the database itself (--in-place; what is
/// overwritten goes into an undo set first, and the log goes there afterwards). A plan that loses
/// something is carried out with --accept-loss only, and one of which a step is only likely, that
/// is the simplest of several explanations, with --accept-likely.
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
    /// Carry out a plan that is only likely
    #[arg(long, requires = "apply")]
    pub accept_likely: bool,
    /// Apply a log that seems to be another database's
    #[arg(long, requires = "apply")]
    pub accept_foreign: bool,
    /// With a plan that loses something: give this state instead, by its number in the plan
    #[arg(long, value_name = "N")]
    pub choose: Option<usize>,
    /// How the files are held while they are read.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// What keeps the files still.
#[derive(Clone, Copy)]
enum Hold<'a> {
    /// The locks of a reader, or a second look.
    Held(&'a Held),
    /// Nobody else has them open.
    Offline(&'a Offline),
}

/// A new file that has no name yet; `None` where nothing is written, or in place.
type Unpublished = Option<Box<dyn NewFile>>;

impl Repair {
    /// Runs the command.
    ///
    /// # Errors
    /// When a safety rail refuses, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find_or_journal(context.vfs, &self.path, &self.files)?;
        if self.in_place {
            files.must_have_names(&self.path)?;
        }
        let offline = self.pass_rails(&files, context)?;
        let (report, exit, file) = match &offline {
            Some(offline) => self.repair(&files, Hold::Offline(offline), context)?,
            None => held::hold_unread(&files, &self.hold, context, |held| {
                self.repair(&files, Hold::Held(held), context)
            })?,
        };
        if let Some(file) = file {
            let existing = if self.force { Existing::Replace } else { Existing::Keep };
            file.publish(existing, files.database.as_deref())?;
        }
        write_report(&mut context.output, &report)?;
        Ok(exit)
    }

    /// Plans, and carries the plan out; a new file gets its name later.
    fn repair(
        &self,
        files: &Files,
        hold: Hold<'_>,
        context: &Context,
    ) -> Result<(RepairReport, Exit, Unpublished)> {
        let prepared = self.prepare(files, hold, context)?;
        let Prepared { reading, plan, .. } = &prepared;
        let target = match (&self.output, self.in_place) {
            (Some(output), _) => Some(output.as_path()),
            (None, true) => files.database.as_deref(),
            (None, false) => None,
        };
        let no_pages = BTreeSet::new();
        let view = prepared.view(prepared.restored(), &no_pages);
        let result_pages = view.as_ref().map(Pages::size_pages).transpose()?;
        let empty_result = result_pages == Some(0);
        let is_encrypted = match &view {
            Some(view) if !empty_result => looks_encrypted(view)?,
            Some(_) | None => false,
        };
        // Where no other thing tells, the structure may.
        let is_open = prepared.base.as_ref().is_some_and(Base::is_unknown);
        let matters = !plan.steps.is_empty() || is_open;
        let health = match &view {
            // An empty database has no header that could be wrong, and of an encrypted one nobody
            // sees the structure.
            Some(view) if matters && !empty_result && !is_encrypted => {
                Some(database::check(view, context.watch).context("structure check")?)
            }
            Some(_) | None => None,
        };
        let pairing = match prepared.view(prepared.intact(), &no_pages) {
            Some(view) => {
                standing::judge(&view, Depth::States, context.watch).context("pairing")?
            }
            None => None,
        };
        let age = prepared.file_age(context)?;
        let file_age = age.file;
        let pairing = pairing.map(|pairing| pairing.beside(age));
        let is_sound = prepared.is_sound(health.as_ref(), context)?;
        let lossless = prepared.lossless(is_sound, file_age, empty_result, is_encrypted);
        // What is left of a damaged log may contradict its own file; a sound result shows that it
        // does not.
        let is_wrong = |pairing: &Pairing| {
            let is_of_all = prepared.is_newest_evident() || !prepared.is_damaged();
            let is_shown = is_of_all || pairing.is_of_another_origin();
            let is_unsound = health.as_ref().is_some_and(|health| !health.is_sound());
            let is_foreign = pairing.verdict == standing::Belonging::Foreign;
            (is_foreign && is_shown) || (pairing.is_contradicted() && is_unsound)
        };
        let lossless = match pairing.as_ref().is_some_and(is_wrong) {
            true => Some(false),
            false => lossless,
        };
        let mut findings = prepared.findings.clone();
        let examination = reading.as_ref().map(|read| &read.examination);
        if let Some(examination) = examination.filter(|it| it.tail.is_blank_after) {
            findings.extend(finding::blank_tail(files, examination));
        }
        let is_cut = plan.steps.iter().any(|step| step.action == Action::CutTail);
        findings
            .extend(examination.filter(|_| !is_cut).and_then(|it| finding::open_tail(files, it)));
        if let Some(health) = health.as_ref().filter(|it| plan.steps.is_empty() && !it.is_sound()) {
            findings.push(unsound(files, health));
        }
        let steps = if is_sound { plan.steps.clone() } else { plan.doubted_steps() };
        let mut report = RepairReport {
            database: files.database.as_deref().map(FileName::from),
            wal: reading.as_ref().map(|_| FileName::from(&files.wal)),
            verdict: reading.as_ref().map_or(Verdict::Absent, |read| read.examination.verdict),
            lossless,
            file_age,
            is_encrypted,
            likely: are_likely(&steps),
            search_cut_short: reading
                .as_ref()
                .is_some_and(|read| read.examination.tail.cures.is_cut_short),
            empty_result,
            lossless_error_bound: plan.error_bound,
            candidates: prepared.candidates.clone(),
            lost: prepared
                .chosen()
                .map(|choice| Loss::of(choice, prepared.newest_is_whole(), health.as_ref())),
            health: health.as_ref().map(HealthReport::of),
            pairing,
            transactions_before: plan.transactions_before,
            transactions_after: prepared.restored().snapshot.to_txn,
            plan: steps,
            applied: false,
            output: target.map(FileName::from),
            undo: None,
            accepted: Vec::new(),
            findings,
            choose: self.choose,
            given: self.files.typed(),
        };
        let (exit, file) = self.carry_out(&mut report, &prepared, hold, files, context)?;
        Ok((report, exit, file))
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

    fn carry_out(
        &self,
        report: &mut RepairReport,
        prepared: &Prepared,
        hold: Hold<'_>,
        files: &Files,
        context: &Context,
    ) -> Result<(Exit, Unpublished)> {
        let damaged = matches!(report.verdict, Verdict::Damaged | Verdict::BadHeader);
        let hot = report.plan.iter().any(|step| step.action == Action::RollBackJournal);
        if !self.apply {
            let changes = [Action::CorrectCommitSize, Action::CorrectPageCount];
            let resized = report.plan.iter().any(|step| changes.contains(&step.action));
            // A torn tail is what a crash leaves, and no finding by itself.
            let is_torn = report.verdict == Verdict::TornTail
                && report.findings.is_empty()
                && report.file_age != FileAge::Newer;
            let gives_up = (report.lossless == Some(false) && !is_torn) || report.likely;
            let unclear = report.pairing.as_ref().is_some_and(Pairing::is_contradicted);
            let found = damaged || hot || resized || gives_up || unclear;
            return Ok((if found { Exit::Found } else { Exit::Done }, None));
        }
        let effect = if self.in_place { Effect::Writes } else { Effect::Copies };
        let given = Consents { loss: self.accept_loss, foreign: self.accept_foreign };
        let no_pages = BTreeSet::new();
        let view = prepared.view(prepared.restored(), &no_pages);
        if let Some(view) = &view {
            Self::result_fits(view, files)?;
        }
        let pairing = report.pairing.as_ref();
        // A newer file is no other database's: the report says what it is.
        let is_explained = damaged || report.file_age == FileAge::Newer;
        let dangers =
            rails::dangers_of_repair(files, view.as_ref(), pairing, is_explained, effect, context)?;
        report.accepted = rails::refuse(dangers, given)?;
        let is_lossy = report.lossless == Some(false);
        let is_refused = (is_lossy || report.likely) && !self.accept_loss;
        if is_refused && (is_lossy || !self.accept_likely) {
            return Ok((Exit::Refused, None));
        }
        let mut file = None;
        match (&self.output, hold) {
            (Some(output), _) => {
                file = Some(self.write_new(prepared, output, context)?);
                report.applied = true;
            }
            (None, Hold::Offline(offline)) if !report.plan.is_empty() => {
                if self.write_in_place(prepared, offline, files, context)? {
                    let set = undo::path_of(offline.database.path());
                    report.undo = Some(FileName::from(&set));
                }
                report.applied = true;
            }
            (None, _) => {}
        }
        let is_told = report.accepted.is_empty() && report.findings.is_empty();
        let is_clean = !is_lossy && !report.likely && is_told;
        Ok((if is_clean { Exit::Done } else { Exit::Found }, file))
    }

    fn nobody_is_attached(&self, files: &Files, context: &Context) -> Result<()> {
        if !live::is_attached(files, context)? {
            return Ok(());
        }
        let database = files.database.as_deref().unwrap_or(&self.path);
        let holders = holders::find(files, context)?.1;
        let named: Vec<String> = holders
            .iter()
            .filter_map(|row| {
                let command = brief(row.command.as_ref()?.raw());
                Some(format!("process {} ({command})", row.pid?))
            })
            .collect();
        let who = named.first().map_or("somebody".to_owned(), Clone::clone);
        let why = format!("{who} has it open");
        Err(Failure::refused(
            database,
            why,
            "copy all files first, then stop it, or repair the copy",
        )
        .into())
    }

    /// The last rails before something is written.
    fn result_fits(view: &View, files: &Files) -> Result<()> {
        let Some((log, shape)) = view.log.filter(|_| view.snapshot.to_frame > 0) else {
            return Ok(());
        };
        let rails = rails::Rails { files, log, shape, view: *view };
        rails.base_fits(false)?;
        rails.page_checksums_are_known()
    }

    fn write_new(
        &self,
        prepared: &Prepared,
        output: &Path,
        context: &Context,
    ) -> Result<Box<dyn NewFile>> {
        let file = context.vfs.new_file(output)?;
        if let Some(base) = &prepared.base {
            replay::copy_base(base.file(), file.as_ref(), u64::MAX, context.watch)?;
        }
        // What a journal puts back is there already, but pages may get a checksum on their way.
        let pages = prepared.base.as_ref().map(Base::pages).unwrap_or_default();
        if let Some(view) = prepared.view(prepared.restored(), &pages) {
            replay::write_over(&view, file.as_ref(), context.watch)?;
        }
        Ok(file)
    }

    /// Returns whether there is something to undo.
    fn write_in_place(
        &self,
        prepared: &Prepared,
        offline: &Offline,
        files: &Files,
        context: &Context,
    ) -> Result<bool> {
        let pages = prepared.base.as_ref().map(Base::pages).unwrap_or_default();
        let Some(view) = prepared.view(prepared.restored(), &pages) else { return Ok(false) };
        let only_index = |step: &Step| step.action == Action::RemoveIndex;
        if let (true, Some(shm)) = (prepared.plan.steps.iter().all(only_index), &files.shm) {
            context.vfs.delete(shm, SyncDirectory::Yes)?;
            return Ok(false);
        }
        let sidecars = SetAside {
            wal: Some(&files.wal),
            journal: prepared.journal(),
            shm: files.shm.as_deref(),
        };
        replay::in_place(context.vfs, &view, offline, sidecars)?;
        Ok(true)
    }
}
