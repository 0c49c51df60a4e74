//! What a checkpoint would do at this moment, by asking only.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::access::attach::AttachTarget;
use crate::access::{Context, holders};
use crate::diagnosis::rails::{Looked, Newest};
use crate::format::lock_bytes::{DEAD_MAN_SWITCH, WAL_CKPT_LOCK, WAL_READ_LOCK_0, WAL_WRITE_LOCK};
use crate::format::wal_index::block_of;
use crate::format::{FrameNo, Pgno};
use crate::log::index_file::{IndexBlock, IndexFile};
use crate::storage::{File, LockMode};

use super::{CheckpointReport, Mode};

/// Fills the numbers of `report`.
pub(super) fn fill(
    report: &mut CheckpointReport,
    target: &AttachTarget,
    looked: &Looked,
    context: &Context,
) -> Result<()> {
    let recovers = target.would_recover(context)?;
    match target.files.open_shm(context.vfs)? {
        Some(shm) if !recovers => from_index(report, shm.as_ref(), looked)?,
        Some(_) | None => {
            let known = looked.known.as_ref();
            let is_there = known.is_some_and(|known| known.in_database.is_some());
            from_log(report, looked.newest, is_there);
        }
    }
    if report.mode == Mode::Truncate && report.kept_its_promise() {
        report.wal_bytes_after = Some(0);
    }
    if !report.kept_its_promise() {
        let own = |blocked| report.mode.minds(blocked);
        let mut rows = holders::find(&target.files, context)?.1;
        rows.retain(|row| row.blocks.iter().any(|&blocked| own(blocked)));
        report.blocked_by = rows;
    }
    Ok(())
}

/// Nobody is attached: the log is recovered, and all of it is copied, unless it is there already.
fn from_log(report: &mut CheckpointReport, newest: Option<Newest>, is_there: bool) {
    let Newest { frames, pages } = newest.unwrap_or(Newest { frames: 0, pages: 0 });
    let copies = report.mode > Mode::Noop && !is_there;
    report.log_frames = Some(if report.mode == Mode::Truncate { 0 } else { frames });
    report.checkpointed_frames = match report.mode {
        Mode::Noop => Some(0),
        Mode::Passive | Mode::Full | Mode::Restart => Some(frames),
        Mode::Truncate => Some(0),
    };
    report.copied_pages = Some(if copies { pages } else { 0 });
}

/// Somebody keeps the wal-index right: it tells what is copied, and its locks what may be.
fn from_index(report: &mut CheckpointReport, shm: &dyn File, looked: &Looked) -> Result<()> {
    let Some(index) = IndexFile::read(shm)? else { return Ok(()) };
    let held = |byte: u64, wanted| shm.lock_holder(byte..byte + 1, wanted);
    let index = index.info;
    let mode = report.mode;
    report.log_frames = Some(index.mx_frame);
    report.checkpointed_frames = Some(index.backfill);
    report.copied_pages = Some(0);
    if mode == Mode::Noop {
        return Ok(());
    }
    if held(WAL_CKPT_LOCK, LockMode::Exclusive)?.is_some() {
        report.busy = true;
        (report.log_frames, report.checkpointed_frames, report.copied_pages) = (None, None, None);
        return Ok(());
    }
    if report.backfill_repaired {
        return from_mend(report, shm, looked.newest);
    }
    let mut safe = index.mx_frame;
    let mut log_is_read = false;
    for (byte, mark) in (WAL_READ_LOCK_0 + 1..).zip(index.read_marks.iter().skip(1)) {
        if held(byte, LockMode::Exclusive)?.is_some() {
            log_is_read = true;
            safe = safe.min(mark.unwrap_or(u32::MAX));
        }
    }
    if index.backfill < safe && held(WAL_READ_LOCK_0, LockMode::Exclusive)?.is_none() {
        report.copied_pages = Some(pages_between(shm, &index, safe)?);
        report.checkpointed_frames = Some(safe);
    }
    let complete = report.is_complete();
    report.busy = match mode {
        Mode::Noop | Mode::Passive => false,
        Mode::Full | Mode::Restart | Mode::Truncate => {
            let writer = held(WAL_WRITE_LOCK, LockMode::Exclusive)?.is_some();
            writer || !complete || (mode > Mode::Full && log_is_read)
        }
    };
    if mode == Mode::Truncate && !report.busy {
        (report.log_frames, report.checkpointed_frames) = (Some(0), Some(0));
    }
    Ok(())
}

/// All frames are copied again, under the locks of all readers and of the writer.
fn from_mend(report: &mut CheckpointReport, shm: &dyn File, newest: Option<Newest>) -> Result<()> {
    let all = WAL_WRITE_LOCK..DEAD_MAN_SWITCH;
    if shm.lock_holder(all, LockMode::Exclusive)?.is_some() {
        report.busy = true;
        (report.log_frames, report.checkpointed_frames, report.copied_pages) = (None, None, None);
        return Ok(());
    }
    from_log(report, newest, false);
    Ok(())
}

/// Pages whose newest frame lies after what is copied and up to `safe`.
fn pages_between(shm: &dyn File, index: &crate::format::WalIndexHeader, safe: u32) -> Result<u32> {
    let mut newest: BTreeMap<Pgno, FrameNo> = BTreeMap::new();
    let first = index.backfill.saturating_add(1);
    for number in block_of(first)..=block_of(index.mx_frame) {
        let Some(block) = IndexBlock::read(shm, number)? else { break };
        let frames = first.max(*block.frames().start())..=index.mx_frame.min(*block.frames().end());
        newest.extend(frames.map(|frame| (block.page_of(frame), FrameNo(frame))));
    }
    let copied = newest
        .iter()
        .filter(|(page, frame)| page.0 != 0 && page.0 <= index.db_size_pages && frame.0 <= safe);
    Ok(u32::try_from(copied.count())?)
}
