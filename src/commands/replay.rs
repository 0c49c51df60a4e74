//! `replay`: applies a log to a database, in a new file or in place.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::access::Context;
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::{FileArgs, Files, open_if_there};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::live::{LogOptions, Reading};
use crate::access::states::StateName;
use crate::diagnosis::rails::{self, Accepted, Consents, Effect, Scene};
use crate::format::FrameNo;
use crate::history::snapshot::{Snapshot, Target};
use crate::history::standing::{self, Depth, Pairing};
use crate::history::view::View;
use crate::log::LogShape;
use crate::output::{FileName, write_report};
use crate::repair::offline::{self, Offline};
use crate::repair::replay::{self, SetAside};
use crate::repair::undo;
use crate::scan::KnownFrames;
use crate::storage::File;
use crate::storage::{Existing, NewFile};

mod earlier;
mod report;

pub use report::Replayed;

/// Apply a log to a database, in a new file or in place
///
/// Writes the database as SQLite would see it after the last commit of the log, or after an earlier
/// one (--at, --to-txn, --to-frame; see txn-list). The safe way is a new file (--output). In place,
/// nobody else may have the database open; what is overwritten goes into an undo set first, and the
/// log goes there afterwards.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Write the result to this new file
    #[arg(short, long, value_name = "NEW", conflicts_with = "in_place")]
    #[arg(required_unless_present_any = ["in_place", "dry_run"])]
    pub output: Option<PathBuf>,
    /// Write into the database itself, undo set first
    #[arg(long, conflicts_with = "base")]
    pub in_place: bool,
    /// Up to and with this transaction
    #[arg(long, value_name = "N", conflicts_with = "to_frame")]
    pub to_txn: Option<u32>,
    /// Up to and with this commit frame
    #[arg(long, value_name = "N")]
    pub to_frame: Option<u32>,
    /// The state: a transaction, 0 for the file before the log, last, or frame:N
    #[arg(long, value_name = "STATE", conflicts_with_all = ["to_txn", "to_frame"])]
    pub at: Option<StateName>,
    /// Show what would be written, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Replace an existing output
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Leave the log where it is (with --in-place)
    #[arg(long, requires = "in_place")]
    pub keep_wal: bool,
    /// Replay a damaged log: exactly what SQLite would see of it
    #[arg(long)]
    pub accept_loss: bool,
    /// Replay a log that seems to be another database's
    #[arg(long)]
    pub accept_foreign: bool,
    /// Take pages for what they were before the log where that is likely, but not known
    #[arg(long)]
    pub accept_likely: bool,
    /// Take another database file as the base, or none
    #[arg(long, value_name = "FILE|none")]
    pub base: Option<PathBuf>,
    /// How the state is held while it is copied.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// What a log is applied to, and what is known of it.
struct Source<'a> {
    base: Option<&'a dyn File>,
    log: Option<&'a Reading>,
    /// The state that is held; `None` where nobody else can change the files.
    held: Option<&'a Held>,
}

/// A log as it is to be applied; without one the result is the base alone.
struct Plan<'a> {
    log: Option<(&'a dyn File, LogShape)>,
    snapshot: Snapshot,
    /// Dangers that were taken on.
    accepted: Vec<Accepted>,
    pairing: Option<Pairing>,
    /// It rests on pages that are likely as they were.
    is_likely: bool,
}

impl Plan<'_> {
    fn view<'v>(&'v self, base: Option<&'v dyn File>) -> Option<View<'v>> {
        let (log, shape) = self.log.as_ref()?;
        Some(View::plain(*log, shape, &self.snapshot, base))
    }

    fn outcome(self, undo: Option<FileName>, file: Option<Box<dyn NewFile>>) -> Outcome {
        let Self { snapshot, accepted, pairing, is_likely, .. } = self;
        Outcome { snapshot, accepted, pairing, is_likely, undo, file }
    }
}

/// What was done.
struct Outcome {
    snapshot: Snapshot,
    accepted: Vec<Accepted>,
    pairing: Option<Pairing>,
    is_likely: bool,
    /// Where the old state is.
    undo: Option<FileName>,
    /// The result, still without its name.
    file: Option<Box<dyn NewFile>>,
}

impl Replay {
    /// Runs the command.
    ///
    /// # Errors
    /// When a safety rail refuses, the target is no commit, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        if self.in_place {
            files.must_have_names(&self.path)?;
        }
        let base = self.base_path(&files);
        self.check_output(&files, base.as_deref(), context)?;
        if self.in_place {
            rails::log_is_its_own(&files)?;
        }
        let mut outcome = match (self.in_place && !self.dry_run, &base) {
            (true, Some(database)) => self.replay_in_place(database, &files, context)?,
            (true, None) | (false, _) => self.replay_held(&files, base.as_deref(), context)?,
        };
        if let Some(file) = outcome.file.take() {
            let existing = if self.force { Existing::Replace } else { Existing::Keep };
            file.publish(existing, base.as_deref())?;
        }
        let exit = match outcome.is_likely {
            true => Exit::Incomplete,
            false if outcome.accepted.is_empty() => Exit::Done,
            false => Exit::Found,
        };
        let report = self.report(outcome, base.as_deref(), context)?;
        write_report(&mut context.output, &report)?;
        Ok(exit)
    }

    fn base_path(&self, files: &Files) -> Option<PathBuf> {
        match &self.base {
            Some(base) if base.as_os_str() == "none" => None,
            Some(base) => Some(base.clone()),
            None => files.database.clone(),
        }
    }

    fn target(&self) -> Target {
        match (self.at, self.to_txn, self.to_frame) {
            (Some(at), _, _) => at.into(),
            (None, Some(txn), _) => Target::Txn(txn),
            (None, None, Some(frame)) => Target::Frame(FrameNo(frame)),
            (None, None, None) => Target::Last,
        }
    }

    fn check_output(&self, files: &Files, base: Option<&Path>, context: &Context) -> Result<()> {
        match &self.output {
            Some(output) => rails::output_is_free(output, files, base, self.force, context),
            None => Ok(()),
        }
    }

    /// Copies a state that nobody changes meanwhile, or only looks at it.
    fn replay_held(
        &self,
        files: &Files,
        base: Option<&Path>,
        context: &Context,
    ) -> Result<Outcome> {
        rails::no_change_was_cut_off(files, context)?;
        held::hold(files, &self.hold, KnownFrames::LIMIT, context, |held| {
            let other = match &self.base {
                Some(_) => open_if_there(context.vfs, base)?,
                None => None,
            };
            let base_file = if self.base.is_some() { &other } else { &held.database };
            let source =
                Source { base: base_file.as_deref(), log: held.log.as_ref(), held: Some(held) };
            let plan = self.plan(files, &source, context)?;
            let file = match &self.output {
                Some(output) if !self.dry_run => Some(self.copy(output, &plan, &source, context)?),
                Some(_) | None => None,
            };
            Ok(plan.outcome(None, file))
        })
    }

    /// The result in a file that has no name yet.
    fn copy(
        &self,
        output: &Path,
        plan: &Plan<'_>,
        source: &Source<'_>,
        context: &Context,
    ) -> Result<Box<dyn NewFile>> {
        let file = context.vfs.new_file(output)?;
        let view = plan.view(source.base);
        if let Some(base) = source.base {
            let limit_bytes = match &view {
                Some(view) => view.size_bytes()?,
                None => u64::MAX,
            };
            replay::copy_base(base, file.as_ref(), limit_bytes, context.watch)?;
        }
        if let Some(view) = &view {
            replay::write_over(view, file.as_ref(), context.watch)?;
        }
        Ok(file)
    }

    fn replay_in_place(
        &self,
        database: &Path,
        files: &Files,
        context: &Context,
    ) -> Result<Outcome> {
        let offline = offline::prove(context.vfs, database, files.shm.as_deref())
            .with_context(|| format!("{}: in place needs it alone", database.display()))?;
        undo::make_way(context.vfs, offline.database.as_ref())?;
        let base = Some(offline.database.as_ref());
        let reading = Reading::of(files, LogOptions::alone(base), context)?;
        let source = Source { base, log: reading.as_ref(), held: None };
        let plan = self.plan(files, &source, context)?;
        let undo = self.write_in_place(&plan, &offline, files, context)?;
        Ok(plan.outcome(undo, None))
    }

    /// Passes every safety rail.
    fn plan<'a>(&self, files: &Files, source: &Source<'a>, context: &Context) -> Result<Plan<'a>> {
        if source.base.is_none() && source.log.is_none() {
            return Err(Failure::not_found(&self.path).into());
        }
        let effect = if self.in_place { Effect::Writes } else { Effect::Copies };
        let given = Consents { loss: self.accept_loss, foreign: self.accept_foreign };
        // A journal belongs to the database beside it, not to another base.
        let own = match self.base {
            Some(_) => Files { journal: None, ..files.clone() },
            None => files.clone(),
        };
        let mut scene = Scene {
            files: &own,
            database: source.base,
            log: source.log,
            index: source.held.and_then(|held| held.index.as_ref()),
            target: self.target(),
            pairing: None,
        };
        let has_commits = |it: &&Reading| it.examination.prefix.mx_frame > 0;
        let log = source.log.filter(has_commits);
        let shaped = log.and_then(|it| it.examination.shape.map(|shape| (it, shape)));
        let Some((log, shape)) = shaped else {
            let accepted = rails::refuse(rails::dangers(&scene, effect, context)?.dangers, given)?;
            if let Some(Reading { examination, .. }) = source.log {
                rails::version_is_known(files, examination)?;
            }
            return self.base_alone(files, accepted);
        };
        let Reading { file, examination, .. } = log;
        let snapshot =
            log.snapshot(self.target(), context.watch).with_context(|| About(files.wal.clone()))?;
        let view = View::plain(file.as_ref(), &shape, &snapshot, source.base);
        let rails = rails::Rails { files, log: file.as_ref(), shape: &shape, view };
        rails.base_fits(self.base.is_some())?;
        // A state that is gone must not be judged by what is left of it.
        let mut is_likely = snapshot.to_frame < examination.prefix.mx_frame
            && self.past_is_only_likely(&rails, examination, source.held, context)?;
        let pairing = rails::judge_pair(log, source.base, Depth::States, context)?;
        let takes_pages = snapshot.takes_pages_from_file(shape.page_size());
        let pairing = match pairing {
            // Judged was the newest state, and that takes nothing from the file.
            Some(judged) if takes_pages && judged.self_contained => {
                standing::judge(&view, Depth::States, context.watch)?
            }
            judged => judged,
        };
        scene.pairing = pairing.as_ref();
        let found = rails::dangers(&scene, effect, context)?;
        let accepted = rails::refuse(found.dangers, given)?;
        if snapshot.to_frame < examination.prefix.mx_frame && takes_pages {
            is_likely |=
                self.tell_doubt(files, source.held, (pairing.as_ref(), found.age), context)?;
        }
        let pairing = pairing.map(|pairing| pairing.beside(found.age));
        rails.page_checksums_are_known()?;
        let log = Some((file.as_ref(), shape));
        Ok(Plan { log, snapshot: snapshot.into_owned(), accepted, pairing, is_likely })
    }

    fn base_alone<'a>(&self, files: &Files, accepted: Vec<Accepted>) -> Result<Plan<'a>> {
        match self.target() {
            Target::Last | Target::Txn(0) => {
                let snapshot = Snapshot::default();
                Ok(Plan { log: None, snapshot, accepted, pairing: None, is_likely: false })
            }
            Target::Txn(_) | Target::Frame(_) => {
                let why = "the log holds no committed transaction";
                Err(Failure::unsupported(&files.wal, why).into())
            }
        }
    }

    fn write_in_place(
        &self,
        plan: &Plan<'_>,
        offline: &Offline,
        files: &Files,
        context: &Context,
    ) -> Result<Option<FileName>> {
        let Some(view) = plan.view(Some(offline.database.as_ref())) else { return Ok(None) };
        let sidecars = match self.keep_wal {
            true => SetAside::default(),
            false => SetAside { wal: Some(&files.wal), shm: files.shm.as_deref(), journal: None },
        };
        replay::in_place(context.vfs, &view, offline, sidecars)?;
        Ok(Some(FileName::from(undo::path_of(offline.database.path()))))
    }

    fn report(&self, outcome: Outcome, base: Option<&Path>, context: &Context) -> Result<Replayed> {
        let snapshot = &outcome.snapshot;
        let from_log = (snapshot.to_frame > 0).then_some(snapshot);
        let db_size_pages = match snapshot.db_size_pages {
            Some(pages) => Some(pages),
            None => rails::pages_of(open_if_there(context.vfs, base)?.as_deref())?,
        };
        Ok(Replayed {
            database: base.map(FileName::from),
            output: match self.in_place {
                true => base.map(FileName::from),
                false => self.output.as_deref().map(FileName::from),
            },
            to_txn: from_log.map(|snapshot| snapshot.to_txn),
            to_frame: from_log.map(|snapshot| snapshot.to_frame),
            pages_written: u32::try_from(snapshot.pages.len())?,
            db_size_pages,
            dry_run: self.dry_run,
            undo: outcome.undo,
            pairing: outcome.pairing,
            accepted: outcome.accepted,
        })
    }
}
