//! `checkpoint-now`: copies a log into its database through SQLite's own lock protocol.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::access::Context;
use crate::access::attach::AttachTarget;
use crate::access::failure::{Exit, is_busy};
use crate::access::files::{FileArgs, Files, open_if_there};
use crate::access::holders::{self, Blocked, Blocker};
use crate::access::missing::{self, MissingLog};
use crate::access::patience::{Patience, duration};
use crate::diagnosis::rails::{self, Accepted, Consents, Effect, Looked};
use crate::engine::connection::Connection;
use crate::engine::wal::{Checkpoint, CheckpointMode, Mend, Request, Synchronous, Verify};
use crate::format::FrameNo;
use crate::history::standing::Pairing;
use crate::history::standing::newer::FileAge;
use crate::output::{FileName, write_report};
use crate::storage::DeleteShm;

mod forecast;
mod report;

/// Copy the log into the database, beside running SQLite processes
///
/// A real checkpoint through SQLite's own locks: safe on a database that is in use, and on an idle
/// one. Says before and after in frames and bytes, and who was in the way. Exits with 0 when the
/// mode kept its promise, 5 when it did not but something was copied or all frames already were, 4
/// when nothing was copied.
///
/// Frames are verified on the way, which SQLite does not do: a frame that has rotten since its
/// commit stops the copy at the transaction before it. On an idle database, where attaching would
/// rebuild the wal-index, the log is verified first, and a damaged one is refused.
#[derive(Args, Clone, Debug)]
pub struct CheckpointNow {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// How far to go
    #[arg(short, long, value_enum, default_value_t, value_name = "MODE")]
    pub mode: Mode,
    /// How long to wait for locks: 5 (seconds), 250ms, 1min
    #[arg(short, long, value_parser = duration, default_value = "0", value_name = "TIME")]
    pub timeout: Duration,
    /// How far writes must be on the disk before they count
    #[arg(long, value_enum, default_value_t, value_name = "LEVEL")]
    pub sync: Sync,
    /// Verify frames before they are copied (the default)
    #[arg(long, overrides_with = "no_verify")]
    pub verify: bool,
    /// Copy frames without verifying them, as SQLite does
    #[arg(long, overrides_with = "verify")]
    pub no_verify: bool,
    /// Say what would be copied, and touch nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Delete the log and the wal-index afterwards, if nobody else is attached
    #[arg(long)]
    pub remove_files: bool,
    /// Go on where the log is damaged, or sizes contradict each other: as SQLite would
    #[arg(long)]
    pub accept_loss: bool,
    /// Go on where the log seems to be another database's
    #[arg(long)]
    pub accept_foreign: bool,
}

/// How far a checkpoint goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Copy nothing, only report
    Noop,
    /// Copy what is safe now, and wait for nobody
    #[default]
    Passive,
    /// Wait for the writer and for readers, and copy everything
    Full,
    /// As full, and wait until the next writer can begin the log again
    Restart,
    /// As restart, and cut the log to nothing
    Truncate,
}

impl Mode {
    fn engine(self) -> CheckpointMode {
        match self {
            Self::Noop => CheckpointMode::Noop,
            Self::Passive => CheckpointMode::Passive,
            Self::Full => CheckpointMode::Full,
            Self::Restart => CheckpointMode::Restart,
            Self::Truncate => CheckpointMode::Truncate,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Passive => "passive",
            Self::Full => "full",
            Self::Restart => "restart",
            Self::Truncate => "truncate",
        }
    }

    /// What of a holder is in the way of this mode.
    fn minds(self, blocked: Blocked) -> bool {
        match blocked {
            Blocked::Checkpoint => self > Self::Noop,
            Blocked::Write => self > Self::Passive,
            Blocked::Reset => self > Self::Full,
            Blocked::Recovery => false,
        }
    }
}

/// How far writes must be on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// Never wait for the disk: a power loss may damage the database
    Off,
    /// Wait before and after the copy
    Normal,
    /// As normal
    #[default]
    Full,
    /// As normal
    Extra,
}

impl Sync {
    fn engine(self) -> Synchronous {
        match self {
            Self::Off => Synchronous::Off,
            Self::Normal => Synchronous::Normal,
            Self::Full => Synchronous::Full,
            Self::Extra => Synchronous::Extra,
        }
    }
}

/// What a checkpoint did, or would do.
#[derive(Debug, Serialize)]
pub struct CheckpointReport {
    /// The database.
    pub database: FileName,
    /// The mode that was asked for.
    pub mode: Mode,
    /// Nothing was touched: the numbers are a forecast.
    pub dry_run: bool,
    /// The mode's promise was not kept, because somebody was in the way.
    pub busy: bool,
    /// Frames in the log; `None` without one, or when the checkpoint did not run.
    pub log_frames: Option<u32>,
    /// Frames of it that are in the database now.
    pub checkpointed_frames: Option<u32>,
    /// Pages that were written; `None` when the checkpoint did not run.
    pub copied_pages: Option<u32>,
    /// Size of the log before; `None` without one.
    pub wal_bytes_before: Option<u64>,
    /// Size of the log after; `None` without one.
    pub wal_bytes_after: Option<u64>,
    /// A frame that has rotten since its commit.
    pub rot: Option<RotReport>,
    /// Frames were marked as copied that were not in the database: they were copied again.
    pub backfill_repaired: bool,
    /// The log and the wal-index were deleted.
    pub removed_files: bool,
    /// Who is in the way.
    pub blocked_by: Vec<Blocker>,
    /// Whether log and database belong together; `None` where somebody is attached, who works with
    /// both.
    pub pairing: Option<Pairing>,
    /// Whether the database file has what came after the log.
    pub file_age: FileAge,
    /// Dangers that were taken on.
    pub accepted: Vec<Accepted>,
    /// There is no log, and a wal-index knows of one with commits that were not copied.
    pub missing_log: Option<MissingLog>,
}

/// A rotten frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RotReport {
    /// The frame.
    pub frame: u32,
    /// Where it begins in the log.
    pub offset_bytes: u64,
    /// Its page.
    pub page: u32,
    /// Last frame of the transaction before it: what may have been copied ends there.
    pub last_good_commit: u32,
}

impl CheckpointReport {
    fn new(database: FileName, mode: Mode, dry_run: bool) -> Self {
        Self {
            database,
            mode,
            dry_run,
            busy: false,
            log_frames: None,
            checkpointed_frames: None,
            copied_pages: None,
            wal_bytes_before: None,
            wal_bytes_after: None,
            rot: None,
            backfill_repaired: false,
            removed_files: false,
            blocked_by: Vec::new(),
            pairing: None,
            file_age: FileAge::NotNewer,
            accepted: Vec::new(),
            missing_log: None,
        }
    }

    fn take(&mut self, done: &Checkpoint, target: &AttachTarget) {
        self.busy = done.busy;
        self.log_frames = done.log_frames;
        self.checkpointed_frames = done.checkpointed_frames;
        self.copied_pages = done.log_frames.map(|_| done.copied_pages);
        self.rot = done.rot.map(|rot| RotReport {
            frame: rot.frame.0,
            offset_bytes: rot.frame.offset_bytes(target.page_size),
            page: rot.page.0,
            last_good_commit: rot.last_good_commit,
        });
    }

    /// Whether everything that the log had is in the database.
    fn is_complete(&self) -> bool {
        self.log_frames.is_some() && self.checkpointed_frames == self.log_frames
    }

    /// Whether the mode did what it promises.
    fn kept_its_promise(&self) -> bool {
        match self.mode {
            // Whoever could not attach has nothing to report.
            Mode::Noop => !self.busy,
            Mode::Passive => self.is_complete(),
            Mode::Full | Mode::Restart | Mode::Truncate => self.is_complete() && !self.busy,
        }
    }

    fn exit(&self) -> Exit {
        let is_done = self.wal_bytes_before.is_none() || self.kept_its_promise();
        let is_lossy = !self.accepted.is_empty() && is_done;
        if self.rot.is_some() || self.missing_log.is_some() || is_lossy {
            Exit::Found
        } else if self.wal_bytes_before.is_none() || self.kept_its_promise() {
            Exit::Done
        } else if self.copied_pages > Some(0) || self.is_complete() {
            Exit::Incomplete
        } else {
            Exit::Busy
        }
    }
}

impl CheckpointNow {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no database, a safety rail refuses, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &FileArgs::default())?;
        files.must_have_names(&self.path)?;
        let name = FileName::from(files.database.as_deref().unwrap_or(&self.path));
        let mut report = CheckpointReport::new(name, self.mode, self.dry_run);
        report.missing_log = missing::find(&files, context)?;
        if report.missing_log.is_some() {
            let dangers = rails::misusers(&files, Effect::Writes, context);
            rails::refuse(dangers, Consents::default())?;
        }
        if let Some(target) = AttachTarget::of(files, context)? {
            report.wal_bytes_before = wal_bytes(&target, context)?;
            match self.look(&mut report, &target, context)? {
                None => {
                    report.busy = true;
                    report.blocked_by = self.keeps_out(&target, context)?;
                }
                Some(looked) if self.dry_run => {
                    forecast::fill(&mut report, &target, &looked, context)?;
                }
                Some(looked) => self.act(&mut report, &target, looked, context)?,
            }
            if report.wal_bytes_after.is_none() {
                report.wal_bytes_after = wal_bytes(&target, context)?;
            }
        }
        if context.watch.is_interrupted() && !report.kept_its_promise() {
            return Err(crate::engine::Error::Interrupted.into());
        }
        write_report(&mut context.output, &report)?;
        Ok(report.exit())
    }

    /// Passes the rails; `None` while somebody works in exclusive mode.
    fn look(
        &self,
        report: &mut CheckpointReport,
        target: &AttachTarget,
        context: &Context,
    ) -> Result<Option<Looked>> {
        let given = Consents { loss: self.accept_loss, foreign: self.accept_foreign };
        let mut looked = match rails::look(target, self.timeout, given, context) {
            Ok(looked) => looked,
            Err(error) if is_busy(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        report.accepted = std::mem::take(&mut looked.accepted);
        (report.pairing, report.file_age) = (looked.pairing.take(), looked.file_age);
        if self.mode > Mode::Noop {
            rails::refuse(looked.page_checksums.take().into_iter().collect(), given)?;
        }
        if let Some(backfill) = &looked.backfill {
            report.backfill_repaired = self.mode > Mode::Passive;
            if self.mode <= Mode::Passive {
                rails::refuse(vec![rails::kept_backfill(&target.files, backfill)], given)?;
            } else if !backfill.is_last() {
                let danger = rails::unmended_backfill(&target.files, backfill);
                report.accepted.extend(rails::refuse(vec![danger], given)?);
            }
        }
        Ok(Some(looked))
    }

    fn act(
        &self,
        report: &mut CheckpointReport,
        target: &AttachTarget,
        looked: Looked,
        context: &Context,
    ) -> Result<()> {
        let mend = looked.backfill.map(|backfill| backfill.mend);
        report.backfill_repaired = false;
        let file = target.open(context)?;
        let mut patience = Patience::new(self.timeout, context.vfs, context.watch);
        let Some(mut connection) = target.attach(file.as_ref(), &mut patience)? else {
            report.busy = true;
            report.blocked_by = self.keeps_out(target, context)?;
            return Ok(());
        };
        connection.set_synchronous(self.sync.engine());
        if let Some(known) = looked.known {
            connection.wal_mut().know(known);
        }
        let done = self.checkpoint(&mut connection, target, mend, &mut patience, context);
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                self.leave(connection, target, None)?;
                return Err(error.into());
            }
        };
        report.take(&done, target);
        report.backfill_repaired = done.backfill_repaired;
        if !report.kept_its_promise() {
            report.blocked_by = self.in_the_way(target, context)?;
        }
        report.removed_files = self.leave(connection, target, Some(report))?;
        Ok(())
    }

    /// Runs the checkpoint, again and again while somebody else runs one.
    fn checkpoint(
        &self,
        connection: &mut Connection<'_>,
        target: &AttachTarget,
        mend: Option<Mend>,
        patience: &mut Patience<'_>,
        context: &Context,
    ) -> crate::engine::Result<Checkpoint> {
        loop {
            let mut busy = || patience.answer();
            let done = connection.checkpoint(&mut Request {
                mode: self.mode.engine(),
                page_size: target.page_size,
                sync: self.sync.engine().flags(),
                verify: if self.no_verify { Verify::Nothing } else { Verify::Frames },
                mend,
                busy: Some(&mut busy),
                watch: context.watch,
            })?;
            if done.log_frames.is_some() || !patience.wait() {
                return Ok(done);
            }
        }
    }

    /// Leaves the database; whether its log and wal-index were deleted. A wal-index that was not
    /// there before goes again.
    fn leave(
        &self,
        connection: Connection<'_>,
        target: &AttachTarget,
        report: Option<&CheckpointReport>,
    ) -> Result<bool> {
        use crate::engine::wal::Closed;
        let emptied = report.is_some_and(|report| report.is_complete() && report.rot.is_none());
        if self.remove_files && emptied {
            return Ok(connection.close()? == Closed::Deleted);
        }
        let delete = if target.had_index { DeleteShm::No } else { DeleteShm::Yes };
        connection.detach(delete)?;
        Ok(false)
    }

    /// Who lets nobody attach: in the way of every mode.
    fn keeps_out(&self, target: &AttachTarget, context: &Context) -> Result<Vec<Blocker>> {
        Self { mode: self.mode.max(Mode::Passive), ..self.clone() }.in_the_way(target, context)
    }

    fn in_the_way(&self, target: &AttachTarget, context: &Context) -> Result<Vec<Blocker>> {
        let own = i32::try_from(std::process::id()).ok();
        let mut rows = holders::find(&target.files, context)?.1;
        rows.retain(|row| row.pid.is_none() || row.pid != own);
        rows.retain(|row| row.blocks.iter().any(|&blocked| self.mode.minds(blocked)));
        Ok(rows)
    }
}

fn wal_bytes(target: &AttachTarget, context: &Context) -> Result<Option<u64>> {
    let file = open_if_there(context.vfs, Some(&target.paths.wal))?;
    Ok(file.map(|file| file.size()).transpose()?)
}

/// A frame in words, for the report.
fn frame_words(rot: &RotReport) -> String {
    format!("frame {} (page {}, offset {})", FrameNo(rot.frame), rot.page, rot.offset_bytes)
}
