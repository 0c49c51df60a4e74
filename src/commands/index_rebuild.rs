//! `index-rebuild`: builds a wal-index anew from the log, beside running processes.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::access::Context;
use crate::access::attach::{Patience, Target, duration};
use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::holders::{self, Blocked, Blocker};
use crate::access::live::Reading;
use crate::engine;
use crate::engine::wal::KnownLog;
use crate::output::quantity::counted;
use crate::output::{Paint, Report, Tone, write_report};
use crate::storage::DeleteShm;

/// Build a wal-index anew from the log
///
/// Runs SQLite's own recovery under SQLite's own locks: readers go on undisturbed, and nobody writes
/// or checkpoints meanwhile. Every frame counts as not copied afterwards, so the next checkpoint
/// copies all of them again. A log that is damaged is refused, because its index may be the only
/// thing that still knows its committed frames.
#[derive(Args, Clone, Debug)]
pub struct IndexRebuild {
    /// A wal-index (-shm), its database or its log (-wal)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// How long to wait for locks: 5s, 250ms, 1min
    #[arg(short, long, value_parser = duration, default_value = "0", value_name = "TIME")]
    pub timeout: Duration,
    /// Go on where the log is damaged: what SQLite would drop is dropped
    #[arg(long)]
    pub accept_loss: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Rebuilt {
    /// The database.
    pub database: String,
    /// Nobody let the index be rebuilt.
    pub busy: bool,
    /// Last committed frame by the index as it was; `None` when it was not valid.
    pub mx_frame_before: Option<u32>,
    /// Last committed frame now.
    pub mx_frame: Option<u32>,
    /// Size of the database at that frame.
    pub db_size_pages: Option<u32>,
    /// Who is in the way.
    pub blocked_by: Vec<Blocker>,
}

impl IndexRebuild {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no log, a safety rail refuses, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &FileArgs::default())?;
        let wal = files.wal.clone();
        let Some(target) = Target::of(files, context)? else {
            let found = "there is no log to build an index from".to_owned();
            return Err(Failure::NotALog { path: wal, found }.into());
        };
        let before = holders::read_index(&target.files, context)?;
        let reading = target.protect_evidence(self.accept_loss, context)?;
        if let (Some(before), Some(Reading { examination: examined, .. })) = (before, &reading)
            && before.mx_frame > examined.prefix.mx_frame
            && examined.header.is_some_and(|header| header.salts == before.salts)
            && !self.accept_loss
        {
            let why = format!(
                "the index knows {} committed frames, the log gives only {}: it was cut or changed",
                before.mx_frame, examined.prefix.mx_frame
            );
            let hint = "--accept-loss gives the missing frames up";
            return Err(Failure::refused(&target.paths.wal, why, hint).into());
        }
        let mut report = Rebuilt {
            database: target.database.display().to_string(),
            busy: false,
            mx_frame_before: before.map(|index| index.mx_frame),
            mx_frame: None,
            db_size_pages: None,
            blocked_by: Vec::new(),
        };
        let known = reading.and_then(Reading::into_known);
        if !self.rebuild(&target, known, &mut report, context)? {
            report.busy = true;
            let own = i32::try_from(std::process::id()).ok();
            report.blocked_by = holders::find(&target.files, context)?.1;
            report.blocked_by.retain(|row| {
                (row.pid.is_none() || row.pid != own) && row.blocks.contains(&Blocked::Recovery)
            });
        }
        write_report(&mut context.output, &report)?;
        Ok(if report.busy { Exit::Busy } else { Exit::Done })
    }

    /// Whether the index could be built.
    fn rebuild(
        &self,
        target: &Target,
        known: Option<KnownLog>,
        report: &mut Rebuilt,
        context: &Context,
    ) -> Result<bool> {
        let file = target.open(context)?;
        let mut patience = Patience::new(self.timeout, context.vfs, context.watch);
        let Some(mut connection) = target.attach(file.as_ref(), &mut patience)? else {
            return Ok(false);
        };
        if let Some(known) = known {
            connection.wal_mut().know(known);
        }
        loop {
            match connection.rebuild_index(context.watch) {
                Ok(header) => {
                    report.mx_frame = Some(header.mx_frame);
                    report.db_size_pages = Some(header.db_size_pages).filter(|&pages| pages > 0);
                    connection.detach(DeleteShm::No)?;
                    return Ok(true);
                }
                Err(engine::Error::Busy | engine::Error::BusyRecovery) if patience.wait() => {}
                Err(engine::Error::Busy | engine::Error::BusyRecovery) => {
                    connection.detach(DeleteShm::No)?;
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Report for Rebuilt {
    const COMMAND: &'static str = "index-rebuild";

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let Some(frames) = self.mx_frame else {
            let busy = paint.tone(Tone::Notice, "not rebuilt");
            writeln!(to, "{}: {busy}, somebody is in the way.", self.database)?;
            if !self.blocked_by.is_empty() {
                writeln!(to, "{}", holders::rows_table(&self.blocked_by, width))?;
            }
            return Ok(());
        };
        let frames = counted(frames.into(), "committed frame");
        let before = match self.mx_frame_before {
            Some(before) => format!("it had {}", counted(before.into(), "frame")),
            None => "there was no valid one".to_owned(),
        };
        writeln!(to, "{}: the wal-index holds {frames} now; {before}.", self.database)
    }
}
