//! Held states: the pages of a database at one commit, which do not change while they are held.
//!
//! A database file and its log, read one after the other beside a busy writer, give a database that
//! never was. So every command that reads pages of both gets them from [`hold`]. What keeps them
//! still depends on who uses them:
//!
//! - Somebody is attached (the dead-man switch is held): SHARED on the database, the switch, read
//!   slot 0 and one slot of the log, all shared and on handles for reading. A checkpoint takes slot
//!   0 exclusively before it sets `nBackfillAttempted` or writes a page (wal.c walCheckpoint), and
//!   a reset takes the slots of the log exclusively (walRestartLog, sqlite3WalCheckpoint): file and
//!   frames up to `mxFrame` stay as they are, and frames are only added.
//! - Nobody is: SHARED, which a rollback-mode writer, a last close and a change of the journal mode
//!   need to be alone; a new WAL writer does not, so everything is looked at again afterwards.
//! - Locks cannot be taken, or are not wanted: read, then prove by the wal-index that no checkpoint
//!   has begun since; again where it has.

use std::cell::Cell;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::engine::wal::KnownLog;
use crate::format::{WAL_HEADER_BYTES, WalIndexHeader};
use crate::log::{self, ExamineOptions, Verdict, examine_with};
use crate::output::text::command;
use crate::scan;
use crate::storage::window::Window;
use crate::storage::{File, LockMode};

use super::files::{Files, with_suffix};
use super::live::{self, Reading};
use super::patience::{Patience, duration};
use super::{Context, Failure};

mod slots;
mod stamp;

use slots::{
    IndexKeeper, Locks, SWITCH, look, nobody_writes_it, settled_index, take_shared, take_slots,
};
use stamp::Stamp;

/// Attempts before files are given up as changing.
const MAX_RESTARTS: u32 = 10;

/// After a longer hold, a warning says that checkpoints had to wait.
const SILENT: Duration = Duration::from_secs(3);

/// How a state is held.
#[derive(Args, Clone, Debug)]
pub struct HoldArgs {
    /// How long to wait for locks: 5, 250ms, 1min
    #[arg(long, value_parser = duration, default_value = "5s", value_name = "TIME")]
    #[arg(help_heading = "Lock options")]
    pub timeout: Duration,
    /// Take no lock: read, and again if a checkpoint came between
    #[arg(long, help_heading = "Lock options")]
    pub no_lock: bool,
}

impl Default for HoldArgs {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), no_lock: false }
    }
}

/// Files that stand still.
pub struct Held {
    /// The database; `None` without one. SHARED is held through it, unless no lock was wanted.
    pub database: Option<Box<dyn File>>,
    /// The log up to the state that is held, and what its bytes tell; `None` without a log, and
    /// after [`hold_unread`].
    pub log: Option<Reading>,
    /// The wal-index, where somebody is attached who keeps it right.
    pub index: Option<WalIndexHeader>,
    /// Last committed frame by that index, where the log does not give it: a frame has changed
    /// since it was committed. SQLite sees it until it recovers the log.
    pub lost_frames_from: Option<u32>,
    /// Commit of the oldest state that was asked for.
    oldest_frame: Cell<u32>,
    /// The log, to see whether it has changed.
    log_file: Option<Box<dyn File>>,
    guard: Guard,
}

/// What keeps them still.
enum Guard {
    /// A reader's locks; dropped with the handle.
    Slots { _shm: Box<dyn File> },
    /// Nobody is attached, and everything is as this says.
    Quiet(Stamp),
    /// By the wal-index no checkpoint has begun after `index.mx_frame`.
    Index(Stamp),
}

/// Runs `work` on a state of the database of `files` that does not change meanwhile; again from the
/// beginning where it did. Of the log, up to `known_frames` frames are kept in memory.
///
/// # Errors
/// [`Failure::Busy`] when a lock is not granted in time, [`Failure::KeepsChanging`] after ten
/// attempts without locks, what reading reports, and whatever `work` reports of a state that stood
/// still.
pub fn hold<T>(
    files: &Files,
    args: &HoldArgs,
    known_frames: usize,
    context: &Context,
    work: impl FnMut(&mut Held) -> Result<T>,
) -> Result<T> {
    hold_log(files, args, Some(known_frames), context, work)
}

/// As [`hold`], for whoever reads the log beside another witness than the database file; see
/// [`Held::read_log`].
///
/// # Errors
/// As [`hold`].
pub fn hold_unread<T>(
    files: &Files,
    args: &HoldArgs,
    context: &Context,
    work: impl FnMut(&mut Held) -> Result<T>,
) -> Result<T> {
    hold_log(files, args, None, context, work)
}

fn hold_log<T>(
    files: &Files,
    args: &HoldArgs,
    known_frames: Option<usize>,
    context: &Context,
    mut work: impl FnMut(&mut Held) -> Result<T>,
) -> Result<T> {
    let mut patience = Patience::new(args.timeout, context.vfs, context.watch);
    for _ in 0..MAX_RESTARTS {
        let Some(mut held) = begin(files, args, known_frames, &mut patience, context)? else {
            continue;
        };
        let started = context.vfs.now();
        let done = work(&mut held);
        if context.watch.is_interrupted() || held.has_stood_still(files, context)? {
            let lasted = context.vfs.now().saturating_sub(started);
            if matches!(held.guard, Guard::Slots { .. }) && lasted > SILENT {
                let seconds = lasted.as_secs_f64();
                context.warn(format!(
                    "a read slot was held for {seconds:.1} s; checkpoints had to wait"
                ));
            }
            return done;
        }
    }
    Err(Failure::KeepsChanging { path: files.wal.clone(), restarts: MAX_RESTARTS }.into())
}

/// Takes the locks and examines the log; `None` where it was cut while it was read.
fn begin(
    files: &Files,
    args: &HoldArgs,
    known_frames: Option<usize>,
    patience: &mut Patience<'_>,
    context: &Context,
) -> Result<Option<Held>> {
    let database = files.open_database(context.vfs)?;
    let locks = match (&database, args.no_lock) {
        (Some(database), false) => take_shared(database.as_ref(), patience)?,
        (Some(database), true) => {
            nobody_writes_it(database.as_ref(), files, context)?;
            Locks::None
        }
        (None, _) => Locks::None,
    };
    let shm = match is_own_log(files) {
        true => files.open_shm(context.vfs)?,
        false => None,
    };
    let found = match (shm, locks) {
        (Some(shm), Locks::Held) => take_slots(shm, files, patience, context)?,
        (Some(shm), Locks::None) => look(shm.as_ref(), context)?,
        (None, _) => IndexKeeper::Nobody,
    };
    let (index, slots) = match found {
        IndexKeeper::Nobody => (None, None),
        IndexKeeper::Seen(index) => (Some(index), None),
        IndexKeeper::Slots(index, shm) => (Some(index), Some(shm)),
    };
    let log_file = files.open_wal(context.vfs)?;
    let guard = |stamp| match (slots, index) {
        (Some(shm), _) => Guard::Slots { _shm: shm },
        (None, Some(_)) => Guard::Index(stamp),
        (None, None) => Guard::Quiet(stamp),
    };
    let stamp = Stamp::of(database.as_deref(), log_file.as_deref(), None)?;
    let mut held = Held {
        database,
        log: None,
        index,
        lost_frames_from: None,
        oldest_frame: Cell::new(u32::MAX),
        log_file,
        guard: guard(stamp),
    };
    if !held.log_is_there(files, context)? {
        return Ok(None);
    }
    if let Some(known_frames) = known_frames {
        let Some(log) = held.read(files, known_frames, None, context)? else { return Ok(None) };
        if let Some(log) = log {
            let (log, lost) = held.compared_with_index(log);
            (held.log, held.lost_frames_from) = (Some(log), lost);
        }
        if let Guard::Quiet(stamp) = &mut held.guard {
            let examination = held.log.as_ref().map(|log| &log.examination);
            let (database, file) = (held.database.as_deref(), held.log_file.as_deref());
            let after = Stamp::of(database, file, examination)?;
            if !after.has_same_files(stamp) {
                return Ok(None);
            }
            *stamp = after;
        }
    }
    Ok(Some(held))
}

/// Whether the log of `files` is the one that the wal-index beside the database is about. Of the
/// open files of a process the salts decide.
fn is_own_log(files: &Files) -> bool {
    let has_its_name = |database| with_suffix(database, "-wal") == files.wal;
    files.through_process || files.database.as_deref().is_some_and(has_its_name)
}

/// The frames that `index` knows as committed, and no more: what comes after them may be changing.
fn up_to(file: Box<dyn File>, index: &WalIndexHeader) -> Box<dyn File> {
    let slot_bytes = index.page_size().map_or(0, |size| size.slot_bytes());
    let end = WAL_HEADER_BYTES as u64 + u64::from(index.mx_frame) * slot_bytes;
    Box::new(Window::new(file, end))
}

impl Held {
    /// Whether a log that the index counts on is at its path; no where the last process has closed
    /// the database in this moment (wal.c sqlite3WalClose removes the wal-index before the log).
    fn log_is_there(&self, files: &Files, context: &Context) -> Result<bool> {
        let Some(index) = &self.index else { return Ok(true) };
        if index.backfill >= index.mx_frame || self.log_file.is_some() {
            return Ok(true);
        }
        if !live::is_attached(files, context)? || files.open_wal(context.vfs)?.is_some() {
            return Ok(false);
        }
        let why = "its log is gone, and attached processes still use it";
        let path = files.database.as_deref().unwrap_or(&files.wal);
        let hint = command("blockers", path);
        Err(Failure::refused(path, why, format!("this names them: {hint}")).into())
    }

    /// Reads the log up to the state that is held, with `witness` instead of the database file.
    ///
    /// # Errors
    /// When it cannot be read, or was cut.
    pub fn read_log(
        &self,
        files: &Files,
        witness: Option<&dyn File>,
        context: &Context,
    ) -> Result<Option<Reading>> {
        match self.read(files, 0, witness, context)? {
            Some(log) => Ok(log.map(|log| self.compared_with_index(log).0)),
            None => Err(Failure::KeepsChanging { path: files.wal.clone(), restarts: 1 }.into()),
        }
    }

    /// `None` where the log was cut while it was read.
    fn read(
        &self,
        files: &Files,
        known_frames: usize,
        witness: Option<&dyn File>,
        context: &Context,
    ) -> Result<Option<Option<Reading>>> {
        let Some(file) = files.open_wal(context.vfs)? else { return Ok(Some(None)) };
        let file = match &self.index {
            Some(index) => up_to(file, index),
            None => file,
        };
        let database = witness.or(self.database.as_deref());
        let options = ExamineOptions { database, known_frames };
        match examine_with(file.as_ref(), options, context.watch) {
            Ok(examination) => Ok(Some(Some(Reading::new(file, examination)))),
            Err(log::Error::Scan(scan::Error::Shrunk { .. })) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A log that gives less than the index of its attached processes knows is damaged, wherever
    /// the first frame that is wrong lies. With the last commit that the index knows, where that is
    /// so.
    fn compared_with_index(&self, mut log: Reading) -> (Reading, Option<u32>) {
        let known = self.index.map(|index| index.mx_frame);
        let lost = known.filter(|&known| log.examination.prefix.mx_frame < known);
        if lost.is_some() && log.examination.verdict != Verdict::BadHeader {
            log.examination.verdict = Verdict::Damaged;
        }
        (log, lost)
    }

    /// What recovery need not read again. It can be taken once.
    pub fn take_known(&mut self) -> Option<KnownLog> {
        let examination = &mut self.log.as_mut()?.examination;
        let frames = std::mem::take(&mut examination.known);
        examination.header.map(|header| KnownLog { header, frames, in_database: None })
    }

    /// Whether a reader's locks hold it: no checkpoint, no reset.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self.guard, Guard::Slots { .. })
    }

    /// Whether every page of the commit in `frame` is held, whatever checkpoints have done before.
    /// The newest commit always is. Where this says no, a page may have been overwritten; a state
    /// that is held without locks must then not be read at all.
    #[must_use]
    pub fn holds_commit(&self, frame: u32) -> bool {
        self.oldest_frame.set(self.oldest_frame.get().min(frame));
        self.index.is_some_and(|index| index.backfill_attempted <= frame)
    }

    /// Whether the files were the same all the time.
    fn has_stood_still(&self, files: &Files, context: &Context) -> Result<bool> {
        let stamp = match &self.guard {
            Guard::Slots { .. } => return Ok(true),
            Guard::Quiet(stamp) | Guard::Index(stamp) => stamp,
        };
        for file in [self.database.as_deref(), self.log_file.as_deref()] {
            if file.map_or(Ok(false), File::has_moved)? {
                return Ok(false);
            }
        }
        if self.log_file.is_none() && context.vfs.exists(&files.wal)? {
            return Ok(false);
        }
        let examination = self.log.as_ref().map(|log| &log.examination);
        let (database, log) = (self.database.as_deref(), self.log_file.as_deref());
        let now = Stamp::of(database, log, examination)?;
        let shm = match is_own_log(files) {
            true => files.open_shm(context.vfs)?,
            false => None,
        };
        let Some(before) = &self.index else {
            let attached = match &shm {
                Some(shm) => shm.lock_holder(SWITCH, LockMode::Exclusive)?.is_some(),
                None => false,
            };
            return Ok(!attached && now == *stamp);
        };
        // The file may have changed, as long as every page that did has a frame up to the state.
        let index = shm.map(|shm| settled_index(shm.as_ref())).transpose()?.flatten();
        let same_log = match (&now.log, &stamp.log) {
            (Some(now), Some(then)) => before.mx_frame == 0 || now.header == then.header,
            (now, then) => now == then,
        };
        Ok(same_log
            && index.is_some_and(|index| {
                index.salts == before.salts
                    && index.backfill_attempted <= before.mx_frame.min(self.oldest_frame.get())
            }))
    }
}
