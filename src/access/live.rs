//! A truthful reading of a log that may change while it is read.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::Duration;

use anyhow::Result;

use crate::format::lock_bytes::{SHARED_BYTES, WAL_WRITE_LOCK};
use crate::format::{FrameNo, WAL_HEADER_BYTES};
use crate::history::snapshot::{self, Snapshot, Target, snapshot_of};
use crate::log::index_file::valid_header;
use crate::log::shift::Displacement;
use crate::log::{Examination, ExamineOptions, Verdict, examine_with};
use crate::repair::offline::shm_holder;
use crate::scan::{self, KnownFrames, Watch};
use crate::storage::{File, LockMode};

use super::files::{Files, open_if_readable};
use super::{Context, Failure};

/// Readings before a log is given up as busy.
const MAX_RESTARTS: u32 = 10;
/// Between two readings that must agree.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest step of a file system's clock (one tick of a Linux kernel).
const TIME_STEP: Duration = Duration::from_millis(20);

/// Who else may have the files open while they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Company {
    /// That is to be asked.
    #[default]
    Unknown,
    /// Nobody: the caller has proven it and holds the lock. Whoever seems to write the log is the
    /// caller itself.
    Nobody,
}

/// How a log is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions<'a> {
    /// The witness instead of the database file beside the log.
    database: Option<&'a dyn File>,
    /// Frames that are kept in memory at most.
    known_frames: usize,
    company: Company,
}

impl<'a> LogOptions<'a> {
    /// For a caller that holds the database alone, with `database` as the witness instead of the
    /// file beside the log.
    #[must_use]
    pub fn alone(database: Option<&'a dyn File>) -> Self {
        Self { database, known_frames: 0, company: Company::Nobody }
    }

    /// For commands that look at the frames a second time: they are kept as far as memory is to
    /// spare for them.
    pub const KEEPING_FRAMES: Self =
        Self { database: None, known_frames: KnownFrames::LIMIT, company: Company::Unknown };
}

/// A log and what its bytes tell.
pub struct Reading {
    /// The log, open for reading.
    pub file: Box<dyn File>,
    /// The examination that holds.
    pub examination: Examination,
    newest: OnceCell<Snapshot>,
}

impl Reading {
    /// A log that was examined.
    #[must_use]
    pub fn new(file: Box<dyn File>, examination: Examination) -> Self {
        Self { file, examination, newest: OnceCell::new() }
    }

    /// Examines the log; `None` when there is none.
    ///
    /// A clean reading is believed, and so is any reading of a file that did not change while
    /// nobody has the database open. Otherwise a verdict must be read twice the same before it is
    /// believed, because a log that is being written, reset or truncated can look damaged for a
    /// moment.
    ///
    /// # Errors
    /// When reading fails, or the log keeps changing.
    pub fn of(files: &Files, options: LogOptions<'_>, context: &Context) -> Result<Option<Self>> {
        let mut before: Option<Examination> = None;
        for restart in 0..MAX_RESTARTS {
            if restart > 0 {
                context.vfs.sleep(PAUSE * restart);
            }
            let alone = options.company == Company::Nobody;
            let attached = !alone && may_be_attached(files, context);
            let written_before = !alone && is_being_written(files, context)?;
            let Some(file) = files.open_wal(context.vfs)? else { return Ok(None) };
            let stamp = ReadStamp::of(file.as_ref())?;
            let beside = open_if_readable(context.vfs, files.database.as_deref());
            let database = options.database.or(beside.as_deref());
            let known_frames = options.known_frames;
            let examined = ExamineOptions { database, known_frames };
            let mut examination = match examine_with(file.as_ref(), examined, context.watch) {
                Ok(examination) => examination,
                Err(crate::log::Error::Scan(scan::Error::Shrunk { .. })) => continue,
                Err(error) => return Err(error.into()),
            };
            let quiet = alone || (!attached && !may_be_attached(files, context));
            let tail = matches!(examination.verdict, Verdict::TornTail | Verdict::UncommittedTail);
            if tail && !alone && is_being_written(files, context)? {
                // What a writer has not finished is open, not torn.
                examination.verdict = Verdict::UncommittedTail;
                (examination.undone, examination.displacement) = (None, Displacement::default());
                return Ok(Some(Self::new(file, examination)));
            }
            if examination.verdict == Verdict::Damaged
                && !alone
                && (written_before || is_being_written(files, context)?)
            {
                // A writer that rewrites its own frames looks like this, as long as it takes.
                before = None;
                continue;
            }
            let settled = matches!(examination.verdict, Verdict::Clean)
                || (quiet && stamp.holds(file.as_ref(), &examination, context)?)
                || before.as_ref().is_some_and(|before| agrees(before, &examination));
            if settled {
                return Ok(Some(Self::new(file, examination)));
            }
            before = Some(examination);
        }
        Err(Failure::KeepsChanging { path: files.wal.clone(), restarts: MAX_RESTARTS }.into())
    }

    /// The log with its bytes in their places, if they are not.
    #[must_use]
    pub fn with_shift_undone(mut self) -> Self {
        match self.examination.undone.take() {
            Some(undone) => Self::new(undone.file(self.file), undone.examination),
            None => self,
        }
    }

    /// The snapshot of a commit of the valid prefix; that of the last is taken once.
    ///
    /// # Errors
    /// When the log cannot be read, or `target` names no commit.
    pub fn snapshot(
        &self,
        target: Target,
        watch: &dyn Watch,
    ) -> Result<Cow<'_, Snapshot>, snapshot::Error> {
        if let (Target::Last, Some(newest)) = (target, self.newest.get()) {
            return Ok(Cow::Borrowed(newest));
        }
        let committed = FrameNo::FIRST..FrameNo(self.examination.prefix.mx_frame).next();
        let facts = self.examination.facts(self.file.as_ref(), committed, watch);
        let taken = snapshot_of(facts, target)?;
        Ok(match target {
            Target::Last => Cow::Borrowed(self.newest.get_or_init(|| taken)),
            Target::Txn(_) | Target::Frame(_) => Cow::Owned(taken),
        })
    }
}

/// What changes when somebody writes the log.
#[derive(PartialEq, Eq)]
struct ReadStamp {
    /// `None` where the storage has no times.
    modified: Option<Duration>,
    header: [u8; WAL_HEADER_BYTES],
}

impl ReadStamp {
    fn of(file: &dyn File) -> Result<Self> {
        let modified = file.modified()?;
        let mut header = [0; WAL_HEADER_BYTES];
        file.read_at(&mut header, 0)?;
        Ok(Self { modified, header })
    }

    /// Whether `file` is still what was examined since this stamp was taken: somebody may have
    /// opened the database, written the log and left within that time, so that locks tell nothing
    /// of it.
    fn holds(&self, file: &dyn File, examined: &Examination, context: &Context) -> Result<bool> {
        let now = Self::of(file)?;
        // What was written a moment ago can be written again without a change of the time.
        let age = now.modified.map(|time| context.vfs.now().saturating_sub(time));
        let can_tell = age.is_none_or(|age| age > TIME_STEP);
        Ok(can_tell && *self == now && file.size()? == examined.file_bytes)
    }
}

/// The last commit by a valid wal-index of the same generation, whoever left it.
///
/// # Errors
/// When it cannot be read.
pub fn commit_of_index(
    files: &Files,
    examination: &Examination,
    context: &Context,
) -> Result<Option<u32>> {
    let Some(shm) = open_if_readable(context.vfs, files.shm.as_deref()) else { return Ok(None) };
    let index = valid_header(shm.as_ref())?;
    let salts = examination.header.map(|header| header.salts);
    Ok(index.filter(|index| Some(index.salts) == salts).map(|index| index.mx_frame))
}

/// Whether anybody has the database open, by the locks that every connection holds. Asks only.
pub fn is_attached(files: &Files, context: &Context) -> Result<bool> {
    if shm_holder(context.vfs, files.shm.as_deref())?.is_some() {
        return Ok(true);
    }
    let Some(database) = files.open_database(context.vfs)? else { return Ok(false) };
    Ok(database.lock_holder(SHARED_BYTES, LockMode::Exclusive)?.is_some())
}

/// Whether anybody may have the database open: also where a file that would tell cannot be read.
fn may_be_attached(files: &Files, context: &Context) -> bool {
    is_attached(files, context).unwrap_or(true)
}

/// Whether somebody holds the write lock, or has the database in exclusive mode. Asks only.
fn is_being_written(files: &Files, context: &Context) -> Result<bool> {
    if let Some(shm) = open_if_readable(context.vfs, files.shm.as_deref()) {
        let write_lock = WAL_WRITE_LOCK..WAL_WRITE_LOCK + 1;
        if shm.lock_holder(write_lock, LockMode::Shared)?.is_some() {
            return Ok(true);
        }
    }
    let Some(database) = open_if_readable(context.vfs, files.database.as_deref()) else {
        return Ok(false);
    };
    Ok(database.lock_holder(SHARED_BYTES, LockMode::Shared)?.is_some())
}

fn agrees(before: &Examination, after: &Examination) -> bool {
    before.verdict == after.verdict
        && before.header == after.header
        && before.file_bytes == after.file_bytes
        && before.prefix == after.prefix
        && before.tail == after.tail
        && before.damaged == after.damaged
}
