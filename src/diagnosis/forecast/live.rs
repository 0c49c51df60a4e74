//! The forecast where somebody has the files open.

use std::cmp::Ordering;

use anyhow::Result;

use crate::access::Context;
use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::holders::{self, Blocker, HeldAs};
use crate::access::live::Reading;
use crate::format::WalIndexHeader;
use crate::history::snapshot::Target;
use crate::history::view::View;

use super::open::{self, Sight};
use super::{Checkpoint, Close, Forecast, Journal, Log, Open};

/// Others have the files open: their index tells what is committed, and their locks what can be
/// copied.
pub(super) fn forecast(
    files: &Files,
    held: &Held,
    index: &WalIndexHeader,
    context: &Context,
) -> Result<Forecast> {
    let sight = match &held.log {
        Some(log) => sight(log, index, held, context)?,
        None => None,
    };
    let sight = match (sight, held.database.as_deref()) {
        (Some(sight), _) => sight,
        (None, Some(file)) if index.mx_frame == 0 => open::of_file(file, context.watch)?,
        (None, _) => return Ok(Forecast { close: Close::KeepsLog, ..Forecast::UNKNOWN }),
    };
    // A journal is looked at before the log; a hot one cannot be rolled back beside others.
    let journal = super::journal(files, held.database.as_deref(), context)?.0;
    if !matches!(journal, Journal::None | Journal::Ignored) {
        return Ok(Forecast { close: Close::KeepsLog, ..Forecast::UNKNOWN });
    }
    Ok(Forecast {
        open: sight.open,
        journal,
        log: Log::Used,
        mx_frame: Some(index.mx_frame),
        db_size_pages: sight.size_pages,
        lost_transactions: Some(0),
        taken_back: Some(false),
        checkpoint: match sight.open {
            Open::Ok => checkpoint(files, index, context)?,
            Open::Unknown => Checkpoint::Unknown,
            Open::NotADb
            | Open::Corrupt
            | Open::CantOpen
            | Open::ReadOnly
            | Open::Busy
            | Open::IoErr => Checkpoint::None,
        },
        close: Close::KeepsLog,
    })
}

/// `None` where the log does not give what the index knows.
fn sight(
    log: &Reading,
    index: &WalIndexHeader,
    held: &Held,
    context: &Context,
) -> Result<Option<Sight>> {
    let Reading { file, examination, .. } = log;
    let is_whole = examination.prefix.mx_frame == index.mx_frame && index.mx_frame > 0;
    let Some(shape) = examination.shape.filter(|_| is_whole) else { return Ok(None) };
    let snapshot = log.snapshot(Target::Last, context.watch)?;
    let view = View::plain(file.as_ref(), &shape, &snapshot, held.database.as_deref());
    open::of_view(&view, context.watch).map(Some).map_err(Into::into)
}

/// What a PASSIVE checkpoint can copy (wal.c walCheckpoint): up to the lowest mark that a reader
/// holds, and nothing while one reads the file alone.
fn checkpoint(files: &Files, index: &WalIndexHeader, context: &Context) -> Result<Checkpoint> {
    let own = i32::try_from(std::process::id()).ok();
    let rows = holders::find(files, context)?.1;
    let others: Vec<&Blocker> =
        rows.iter().filter(|row| row.held != HeldAs::None && row.pid != own).collect();
    let has = |lock: &str| others.iter().any(|row| row.lock == lock);
    match index.backfill.cmp(&index.mx_frame) {
        Ordering::Less => {}
        Ordering::Equal => return Ok(Checkpoint::Ok),
        // It copies nothing, and says so: more frames copied than there are.
        Ordering::Greater => return Ok(Checkpoint::Partial),
    }
    if has("checkpoint") {
        return Ok(Checkpoint::Busy);
    }
    let reads_file_alone = has("read-0");
    let mark = others.iter().filter_map(|row| row.read_mark_frame).min();
    let is_pinned = reads_file_alone || mark.is_some_and(|mark| mark < index.mx_frame);
    Ok(if is_pinned { Checkpoint::Partial } else { Checkpoint::Ok })
}
