//! A log that is not there, and what a wal-index still knows of it.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::format::lock_bytes::DEAD_MAN_SWITCH;
use crate::storage::LockMode;

use super::files::Files;
use super::{Context, holders};

/// A log with commits that were not copied into the database, and that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MissingLog {
    /// Committed frames that it had.
    pub mx_frame: u32,
    /// Those that had been copied.
    pub backfilled_frames: u32,
    /// Somebody is attached: the log was deleted while it was in use.
    pub is_attached: bool,
}

impl fmt::Display for MissingLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.mx_frame - self.backfilled_frames;
        let of = self.mx_frame;
        let noun = if of == 1 { "frame" } else { "frames" };
        write!(
            f,
            "there is no log, and the wal-index knows of one with {of} committed {noun}, {frames} \
             of them not copied into the database"
        )?;
        match self.is_attached {
            true => Ok(()),
            false => f.write_str(
                "; or somebody who had the database for himself has copied them since, and left \
                 the index",
            ),
        }
    }
}

/// Looks for a valid wal-index that knows of commits that were not copied, beside no log.
///
/// # Errors
/// When a file cannot be read or asked.
pub fn find(files: &Files, context: &Context) -> Result<Option<MissingLog>> {
    if context.vfs.exists(&files.wal)? {
        return Ok(None);
    }
    let Some(index) = holders::read_index(files, context)? else { return Ok(None) };
    if index.backfill >= index.mx_frame {
        return Ok(None);
    }
    let switch = DEAD_MAN_SWITCH..DEAD_MAN_SWITCH + 1;
    let is_attached = match files.open_shm(context.vfs)? {
        Some(shm) => shm.lock_holder(switch, LockMode::Exclusive)?.is_some(),
        None => false,
    };
    let (mx_frame, backfilled_frames) = (index.mx_frame, index.backfill);
    Ok(Some(MissingLog { mx_frame, backfilled_frames, is_attached }))
}
