//! What the log says of itself, beyond damage.

use crate::access::files::Files;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;
use crate::format::{FrameNo, WalIndexHeader};
use crate::log::{Examination, Verdict};
use crate::output::quantity::{bytes, counted, grouped};
use crate::output::text::{argument, command, new_name};

/// A log of which less than this is left over is no large one.
const OVERSIZED_BYTES: u64 = 4 << 20;

/// Four times what SQLite copies by itself (`SQLITE_DEFAULT_WAL_AUTOCHECKPOINT`).
const NEVER_COPIED_FRAMES: u32 = 4_000;

/// Everything that the log of `files` shows; `index` is that of attached processes.
#[must_use]
pub fn findings(
    files: &Files,
    examination: &Examination,
    index: Option<&WalIndexHeader>,
    is_blocked: bool,
) -> Vec<Finding> {
    let all = [
        shifted(files, examination),
        torn(files, examination),
        never_checkpointed(files, index, is_blocked),
        oversized(files, examination),
        only_in_log(files, examination, index),
    ];
    all.into_iter().flatten().collect()
}

/// Frames that go on off the slot grid.
fn shifted(files: &Files, examination: &Examination) -> Option<Finding> {
    let shifts = &examination.displacement.shifts;
    let first = shifts.first()?;
    let (frames, commits) = shifts
        .iter()
        .fold((0, 0), |(frames, commits), it| (frames + it.frames, commits + it.commits));
    let side = if first.shift_bytes < 0 { "missing" } else { "too many" };
    let message = format!(
        "{} with {} go on off the slot grid, from offset {} on: {} {side} before",
        counted(frames.into(), "frame"),
        counted(commits.into(), "commit"),
        grouped(first.offset_bytes),
        counted(first.shift_bytes.unsigned_abs(), "byte"),
    );
    let found = Finding::new(Rule::LogShifted, files.wal.clone(), message);
    let (offset_bytes, frame) = (Some(first.offset_bytes), Some(first.first_frame.0));
    Some(Finding { offset_bytes, frame, next: Some(command("repair", &files.wal)), ..found })
}

/// A last transaction that is not whole.
fn torn(files: &Files, examination: &Examination) -> Option<Finding> {
    if examination.verdict != Verdict::TornTail {
        return None;
    }
    let message = "the log ends in a transaction that is torn, as a crash leaves it: SQLite drops \
                   it, and whether it had been committed is not known";
    let found = Finding::new(Rule::LogTorn, files.wal.clone(), message.to_owned());
    let frame = examination.tail.stop;
    let offset_bytes = examination.page_size().map(|size| frame.offset_bytes(size));
    Some(Finding { frame: Some(frame.0), offset_bytes, ..found })
}

/// A long log of which nothing is copied, though nobody is in the way.
fn never_checkpointed(
    files: &Files,
    index: Option<&WalIndexHeader>,
    is_blocked: bool,
) -> Option<Finding> {
    let index = index.filter(|index| {
        !is_blocked && index.backfill == 0 && index.mx_frame >= NEVER_COPIED_FRAMES
    })?;
    let message = format!(
        "none of {} is copied into the database, and nobody is in the way: automatic checkpoints \
         are off, or fail",
        counted(index.mx_frame.into(), "committed frame")
    );
    let found = Finding::new(Rule::NeverCheckpointed, files.wal.clone(), message);
    let next = files.database.as_deref().map(|database| command("checkpoint-now", database));
    Some(Finding { next, ..found })
}

/// Most of the file is left over from before.
fn oversized(files: &Files, examination: &Examination) -> Option<Finding> {
    let page_size = examination.page_size()?;
    let used = FrameNo(examination.prefix.mx_frame).next().offset_bytes(page_size);
    let unused = examination.file_bytes.saturating_sub(used);
    let is_large = unused >= OVERSIZED_BYTES && unused > examination.file_bytes / 2;
    let is_whole = examination.damaged.is_empty() && examination.lost.is_none();
    if !is_large || !is_whole {
        return None;
    }
    let message = format!(
        "{} of {} are left over from before: the next commits are written there",
        bytes(unused),
        bytes(examination.file_bytes)
    );
    let found = Finding::new(Rule::LogOversized, files.wal.clone(), message);
    let next = files.database.as_deref();
    let next = next.map(|database| command("checkpoint-now --mode truncate", database));
    Some(Finding { next, ..found })
}

/// Commits that a copy of the database file alone does not have.
fn only_in_log(
    files: &Files,
    examination: &Examination,
    index: Option<&WalIndexHeader>,
) -> Option<Finding> {
    let database = files.database.as_deref()?;
    let (mx_frame, transactions) = (examination.prefix.mx_frame, examination.prefix.transactions);
    let message = match index {
        Some(index) if index.backfill < index.mx_frame => format!(
            "{} of {} are not in the database file yet",
            grouped((index.mx_frame - index.backfill).into()),
            counted(index.mx_frame.into(), "committed frame")
        ),
        Some(_) => return None,
        None if mx_frame == 0 => return None,
        None => format!(
            "the log has {} in {}, of which the database file may have none",
            counted(transactions.into(), "committed transaction"),
            counted(mx_frame.into(), "frame")
        ),
    };
    let found = Finding::new(Rule::OnlyInLog, files.wal.clone(), message);
    let output = argument(new_name(database, "-copy"));
    let next = format!("{} --output {output}", command("replay", database));
    Some(Finding { next: Some(next), ..found })
}
