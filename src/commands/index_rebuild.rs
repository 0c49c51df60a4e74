//! `index-rebuild`: builds a wal-index from the log again, beside running processes.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::access::Context;
use crate::access::attach::AttachTarget;
use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::holders::{self, Blocked, Blocker};
use crate::access::patience::{Patience, duration};
use crate::diagnosis::rails::{self, Accepted, Consent, Consents, Danger, Newest};
use crate::diagnosis::rule::Rule;
use crate::engine;
use crate::engine::wal::KnownLog;
use crate::format::{WAL_HEADER_BYTES, WalHeader, WalIndexHeader};
use crate::output::quantity::counted;
use crate::output::text::escaped;
use crate::output::{FileName, Paint, Report, Tone, wrapped, write_report};
use crate::storage::DeleteShm;

/// Build a wal-index from the log again
///
/// Runs SQLite's own recovery under SQLite's own locks: readers go on undisturbed, and nobody
/// writes or checkpoints meanwhile. Every frame counts as not copied afterwards, so the next
/// checkpoint copies all of them again. A log that is damaged is refused, because its index may be
/// the only thing that still knows its committed frames.
#[derive(Args, Clone, Debug)]
pub struct IndexRebuild {
    /// A wal-index (-shm), its database or its log (-wal)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// How long to wait for locks: 5 (seconds), 250ms, 1min
    #[arg(short, long, value_parser = duration, default_value = "0", value_name = "TIME")]
    pub timeout: Duration,
    /// Go on where the log is damaged, or sizes contradict each other: as SQLite would
    #[arg(long)]
    pub accept_loss: bool,
    /// Go on where the log seems to be another database's
    #[arg(long)]
    pub accept_foreign: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Rebuilt {
    /// The database.
    pub database: FileName,
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
    /// Dangers that were taken on.
    pub accepted: Vec<Accepted>,
}

impl IndexRebuild {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no log, a safety rail refuses, or a file cannot be read or written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &FileArgs::default())?;
        files.must_have_names(&self.path)?;
        let wal = files.wal.clone();
        let Some(target) = AttachTarget::of(files, context)? else {
            let found = "there is no log to build an index from".to_owned();
            return Err(Failure::NoLog { path: wal, found }.into());
        };
        let before = holders::read_index(&target.files, context)?;
        let given = Consents { loss: self.accept_loss, foreign: self.accept_foreign };
        let looked = rails::look(&target, self.timeout, given, context)?;
        let mut accepted = looked.accepted;
        let lost = lost_frames(&target, before.as_ref(), &looked.newest, context)?;
        let backfill = looked.backfill.as_ref();
        // Connections would keep the pages that they have read without those frames.
        let unmended = backfill
            .map(|found| rails::unmended_backfill(&target.files, found).unless(Consent::Loss));
        let dangers = lost.into_iter().chain(unmended).collect();
        accepted.extend(rails::refuse(dangers, given)?);
        let mut report = Rebuilt {
            database: FileName::from(&target.database),
            busy: false,
            mx_frame_before: before.map(|index| index.mx_frame),
            mx_frame: None,
            db_size_pages: None,
            blocked_by: Vec::new(),
            accepted,
        };
        if !self.rebuild(&target, looked.known, &mut report, context)? {
            report.busy = true;
            let own = i32::try_from(std::process::id()).ok();
            report.blocked_by = holders::find(&target.files, context)?.1;
            report.blocked_by.retain(|row| {
                (row.pid.is_none() || row.pid != own) && row.blocks.contains(&Blocked::Recovery)
            });
        }
        write_report(&mut context.output, &report)?;
        Ok(match (report.busy, report.accepted.is_empty()) {
            (true, _) => Exit::Busy,
            (false, false) => Exit::Found,
            (false, true) => Exit::Done,
        })
    }

    /// Whether the index could be built.
    fn rebuild(
        &self,
        target: &AttachTarget,
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

/// Committed frames that the index knows and the log does not give: it was cut or changed.
fn lost_frames(
    target: &AttachTarget,
    before: Option<&WalIndexHeader>,
    newest: &Option<Newest>,
    context: &Context,
) -> Result<Option<Danger>> {
    let Some(before) = before else { return Ok(None) };
    let Some(log) = target.files.open_wal(context.vfs)? else { return Ok(None) };
    let mut bytes = [0; WAL_HEADER_BYTES];
    let whole = log.read_at(&mut bytes, 0)? == bytes.len();
    let given = newest.map_or(0, |newest| newest.frames);
    if !whole || WalHeader::decode(&bytes).salts != before.salts || before.mx_frame <= given {
        return Ok(None);
    }
    let why = format!(
        "the index knows {} committed frames, the log gives only {given}: it was cut or changed",
        before.mx_frame
    );
    Ok(Some(Danger::new(Rule::LogCut, &target.paths.wal, why).unless(Consent::Loss)))
}

impl Report for Rebuilt {
    const COMMAND: &'static str = "index-rebuild";

    fn needs_attention(&self) -> bool {
        self.busy || !self.accepted.is_empty()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let Some(frames) = self.mx_frame else {
            let busy = paint.tone(Tone::Notice, "not rebuilt");
            let sentence = format!("{}: {busy}, somebody is in the way.", self.database);
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
            if !self.blocked_by.is_empty() {
                writeln!(to, "{}", holders::rows_table(&self.blocked_by, paint, width))?;
            }
            return Ok(());
        };
        let frames = counted(frames.into(), "committed frame");
        let before = match self.mx_frame_before {
            Some(before) => format!("it had {}", counted(before.into(), "frame")),
            None => "there was no valid one".to_owned(),
        };
        let sentence = format!("{}: the wal-index holds {frames} now; {before}.", self.database);
        writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        for accepted in &self.accepted {
            let message = paint.tone(Tone::Bad, &escaped(&accepted.message));
            let sentence = format!("Accepted ({}): {message}.", accepted.rule);
            writeln!(to, "{}", wrapped(&sentence, 2, 4, width))?;
        }
        Ok(())
    }
}
