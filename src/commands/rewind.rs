//! `rewind`: a new transaction that makes the database what it was after an earlier one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::access::attach::AttachTarget;
use crate::access::differences::Differences;
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::generation::{Generation, rewind_command};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::patience::{Patience, duration};
use crate::access::states::{StateAt, StateName, States, changed_pages};
use crate::access::{Context, missing};
use crate::diagnosis::rails::{self, Consents, Danger, Looked};
use crate::engine;
use crate::engine::connection::{AfterCommit, Connection};
use crate::format::Salts;
use crate::format::lock_bytes::WAL_WRITE_LOCK;
use crate::history::past::Past;
use crate::history::rows::{Catalog, Comparison, State};
use crate::history::snapshot::Snapshot;
use crate::output::text::command;
use crate::output::write_report;
use crate::repair::rewind::Plan;
use crate::scan::KnownFrames;
use crate::storage::{DeleteShm, LockMode, SyncKind};

mod report;
mod safe;

use report::RewindReport;
use safe::stays_sound;

/// Take a database back to the state after an earlier transaction, while applications run
///
/// Writes one new transaction whose pages are those of that state. Applications go on: readers keep
/// what they see until their transaction ends, writers come after it, and every connection reads
/// its schema again. Nothing is lost: the transactions that are taken back stay in the log, and the
/// command that is printed brings them back, until a checkpoint copies the new one.
///
/// Numbers of transactions begin again when a log is reset, so the generation that N is of must be
/// named: the two salts of the log. --dry-run says what would be taken back, and prints the whole
/// command with the generation. Row ids that were given since, by AUTOINCREMENT too, are given
/// again. Refused where a checkpoint has overwritten a page of that state.
///
/// For one wrong transaction in the middle, `walsmith diff app.db 41 --invert --sql` writes the SQL
/// that takes back transaction 41 alone.
#[derive(Args, Clone, Debug)]
pub struct Rewind {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "DATABASE")]
    pub path: PathBuf,
    /// The state to go back to: after this transaction, 0 for before the log, or frame:N
    #[arg(long, value_name = "N")]
    pub to: StateName,
    /// The generation of the log that N is of: its two salts, as 1a2b3c4d-5e6f7a8b. With --dry-run
    /// it may be left out; the command that is printed has it
    #[arg(long, value_name = "SALT1-SALT2")]
    pub generation: Option<Generation>,
    /// How long to wait for locks: 5 (seconds), 250ms, 1min
    #[arg(short, long, value_parser = duration, default_value = "5s", value_name = "TIME")]
    pub timeout: Duration,
    /// Say what would be taken back, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Go back although nothing tells whether the file has later pages than the log; exits with 5
    #[arg(long)]
    pub accept_foreign: bool,
}

/// Attempts that are not waited between.
const RETRIES: u32 = 100;

/// The newest state and the one that is asked for.
struct Ends<'a> {
    past: &'a Past<'a>,
    newest: &'a Snapshot,
    wanted: &'a Snapshot,
    /// The generation of both.
    salts: Salts,
}

impl Rewind {
    /// Runs the command.
    ///
    /// # Errors
    /// When the state is not there or of another generation, a safety rail refuses, nobody lets us
    /// write in time, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &FileArgs::default())?;
        files.must_have_names(&self.path)?;
        let wal = files.wal.clone();
        let missing = missing::find(&files, context)?;
        let Some(target) = AttachTarget::of(files, context)? else {
            let found = match missing {
                Some(missing) => missing.to_string(),
                None => "there is no log, and so no earlier state".to_owned(),
            };
            return Err(Failure::NoLog { path: wal, found }.into());
        };
        let (looked, seen) = rails::look_with(&target, self.timeout, None, context, |held| {
            self.look(held, &target, context)
        })?;
        if let Some(backfill) = &looked.backfill {
            let never = rails::unmended_backfill(&target.files, backfill);
            rails::refuse(vec![Danger { consent: None, ..never }], Consents::default())?;
        }
        let report = match self.dry_run || seen.is_there_already() {
            true => seen,
            false => self.act(&target, (looked, seen.is_accepted), context)?,
        };
        write_report(&mut context.output, &report)?;
        Ok(if report.is_accepted { Exit::Incomplete } else { Exit::Done })
    }

    /// What would be done, as the files are now.
    fn look(&self, held: &Held, target: &AttachTarget, context: &Context) -> Result<RewindReport> {
        self.with_states(held, target, context, |ends| {
            let plan = plan(ends, target, context)?;
            stays_sound(ends, target, context)?;
            let mut report = self.report(ends, &plan, target);
            if !report.is_there_already() {
                report.is_accepted = self.is_accepted(ends, (held, target), context)?;
            }
            let mut report = report.settled();
            if self.dry_run || report.is_there_already() {
                report.take_back(differences(ends, target));
            }
            Ok(report)
        })
    }

    /// Runs `work` on the newest state that is held and the one that is asked for.
    fn with_states<T>(
        &self,
        held: &Held,
        target: &AttachTarget,
        context: &Context,
        work: impl FnOnce(&Ends<'_>) -> Result<T>,
    ) -> Result<T> {
        let states = States::of(held, &target.files, context)?;
        let Some(salts) = states.salts() else {
            return Err(self.other_generation(None, target).into());
        };
        if self.generation.is_some_and(|named| named.0 != salts) {
            return Err(self.other_generation(Some(Generation(salts)), target).into());
        }
        if states.is_log_damaged() || held.lost_frames_from.is_some() {
            let why = "the log is damaged, and what came last is not known";
            let hint = command("doctor", &target.database);
            return Err(Failure::refused(&target.database, why, hint).into());
        }
        let (newest, wanted) = (states.snapshot(StateName::Last)?, states.snapshot(self.to)?);
        let past = states.past(wanted.to_frame, context)?;
        if self.generation.is_none() && !self.dry_run {
            return Err(without_generation(&target.database, wanted.to_txn, salts).into());
        }
        work(&Ends { past: &past, newest: &newest, wanted: &wanted, salts })
    }

    fn other_generation(&self, found: Option<Generation>, target: &AttachTarget) -> Failure {
        let now = match found {
            Some(found) => format!("the log is of generation {found} now"),
            None => "the log has no transaction now".to_owned(),
        };
        let named = self.generation.map(|named| format!(", not {named}")).unwrap_or_default();
        let why = format!(
            "{now}{named}: numbers of transactions begin again with each generation, and what \
             came before it cannot be taken back"
        );
        let see = command("log --oneline", &target.database);
        Failure::refused(&target.database, why, format!("what the log has now: {see}"))
    }

    fn report(&self, ends: &Ends<'_>, plan: &Plan, target: &AttachTarget) -> RewindReport {
        RewindReport {
            database: (&target.database).into(),
            wal: (&target.paths.wal).into(),
            dry_run: self.dry_run,
            salts: [ends.salts.salt1, ends.salts.salt2],
            generation: Generation(ends.salts).to_string(),
            from: StateAt::from(ends.newest),
            to: StateAt::from(ends.wanted),
            made: None,
            written_pages: plan.written_pages() as u64,
            db_size_pages_before: ends.newest.db_size_pages,
            db_size_pages: plan.size_pages,
            takes_back: None,
            not_known: None,
            next: None,
            is_accepted: false,
        }
    }

    /// Attaches, writes the transaction and leaves.
    fn act(
        &self,
        target: &AttachTarget,
        (looked, is_accepted): (Looked, bool),
        context: &Context,
    ) -> Result<RewindReport> {
        let file = target.open(context)?;
        let mut patience = Patience::new(self.timeout, context.vfs, context.watch);
        let Some(mut connection) = target.attach(file.as_ref(), &mut patience)? else {
            let why = "somebody has it in exclusive mode, or is writing it";
            return Err(Failure::busy(&target.database, why, None).into());
        };
        // A checkpoint would copy what was written, and take the way back with it.
        connection.set_commit_hook(Box::new(|_| AfterCommit::Nothing));
        if let Some(known) = looked.known {
            connection.wal_mut().know(known);
        }
        // What others have written without a wait for the disk is waited for now, and not while
        // they wait for the write lock.
        connection.wal().file().sync(SyncKind::Normal)?;
        let done = self
            .begin(&mut connection, target, &mut patience, context)
            .and_then(|()| self.write(&mut connection, target, is_accepted, context));
        let delete = if target.had_index { DeleteShm::No } else { DeleteShm::Yes };
        let left = connection.detach(delete);
        match (done, left) {
            (Ok(report), Err(error)) => {
                context.warn(format!("the rewind is done; leaving the database failed: {error}"));
                Ok(report)
            }
            (done, _) => done,
        }
    }

    /// Begins the transaction, and keeps checkpoints out.
    fn begin(
        &self,
        connection: &mut Connection<'_>,
        target: &AttachTarget,
        patience: &mut Patience<'_>,
        context: &Context,
    ) -> Result<()> {
        use engine::Error::{Busy, BusyRecovery, BusySnapshot, NoSnapshot, SnapshotGone};
        let mut retries = 0;
        loop {
            match try_begin(connection) {
                Ok(()) => return Ok(()),
                // Somebody has committed between the two locks: the next look is at his state.
                Err(BusySnapshot) if retries < RETRIES => retries += 1,
                Err(NoSnapshot) => return Err(self.other_generation(None, target).into()),
                Err(Busy | BusyRecovery | BusySnapshot | SnapshotGone) if patience.wait() => {}
                Err(Busy | BusyRecovery | BusySnapshot | SnapshotGone) => {
                    let writer = WAL_WRITE_LOCK..WAL_WRITE_LOCK + 1;
                    let holder = match target.files.open_shm(context.vfs)? {
                        Some(shm) => shm.lock_holder(writer, LockMode::Exclusive)?,
                        None => None,
                    };
                    let why = "somebody was writing or copying all the time, and nothing was done";
                    return Err(Failure::busy(&target.database, why, holder).into());
                }
                Err(error) => {
                    let about = About(target.database.clone());
                    return Err(anyhow::Error::from(error).context(about));
                }
            }
        }
    }

    /// Under the write lock the newest state is looked at again, by its salts: what was seen before
    /// may be another generation. A reader's locks hold both states until it is known what was
    /// taken back; they also keep our own write from resetting the log.
    fn write(
        &self,
        connection: &mut Connection<'_>,
        target: &AttachTarget,
        is_accepted: bool,
        context: &Context,
    ) -> Result<RewindReport> {
        let timeout = self.timeout.max(HoldArgs::default().timeout);
        let args = HoldArgs { timeout, no_lock: false };
        held::hold(&target.files, &args, KnownFrames::LIMIT, context, |held| {
            if !held.is_locked() {
                let why = "its wal-index cannot be locked, and without locks nothing is written";
                return Err(Failure::unsupported(&target.database, why).into());
            }
            self.with_states(held, target, context, |ends| {
                let begun = connection.wal().header();
                if begun.salts != ends.salts || begun.mx_frame != ends.newest.to_frame {
                    let path = target.paths.wal.clone();
                    return Err(Failure::KeepsChanging { path, restarts: 1 }.into());
                }
                let plan = plan(ends, target, context)?;
                let mut report =
                    RewindReport { is_accepted, ..self.report(ends, &plan, target) }.settled();
                if !report.is_there_already() {
                    plan.write(connection, ends.past, ends.wanted, context.watch)
                        .with_context(|| About(target.paths.wal.clone()))?;
                    report.is_made(connection.wal().header().mx_frame);
                }
                connection.wal_mut().unlock_snapshot();
                connection.wal_mut().end_read();
                report.take_back(differences(ends, target));
                Ok(report)
            })
        })
    }
}

/// Which generation a number is of is not guessed: the log may have been reset since it was read.
fn without_generation(database: &Path, txn: u32, salts: Salts) -> Failure {
    let why = "the generation of the log is to be named, since numbers of transactions begin again \
               with each";
    let next = rewind_command(database, txn, salts);
    Failure::refused(database, why, format!("that of now: {next}; --dry-run needs none"))
}

fn try_begin(connection: &mut Connection<'_>) -> engine::Result<()> {
    connection.begin_read()?;
    let begun = begin_write(connection);
    if begun.is_err() {
        connection.end_read()?;
    }
    begun
}

fn begin_write(connection: &mut Connection<'_>) -> engine::Result<()> {
    let snapshot = connection.wal().get_snapshot()?;
    connection.wal().check_snapshot(&snapshot)?;
    let begun = connection.begin_write();
    if begun.is_err() {
        connection.wal().unlock_snapshot();
    }
    begun
}

fn plan(ends: &Ends<'_>, target: &AttachTarget, context: &Context) -> Result<Plan> {
    Plan::new(ends.past, ends.newest, ends.wanted, context.watch)
        .with_context(|| About(target.database.clone()))
}

/// The rows that differ from the newest state to the one that is asked for.
fn differences(ends: &Ends<'_>, target: &AttachTarget) -> Result<Differences> {
    let about = || About(target.database.clone());
    let (before, after) = (ends.past.state(ends.newest)?, ends.past.state(ends.wanted)?);
    let catalogs = [Catalog::read(&before), Catalog::read(&after)];
    let [old, new] = catalogs.map(|catalog| catalog.with_context(about));
    let (old, new) = (old?, new?);
    let before = State { pages: &before, catalog: &old };
    let after = State { pages: &after, catalog: &new };
    let changed = changed_pages(ends.newest, ends.wanted);
    let comparison = Comparison::new(before, after, &changed).with_context(about)?;
    Differences::of(&comparison).with_context(about)
}
