//! Whether files are still what they were.

use crate::format::{FRAME_HEADER_BYTES, FrameNo, WAL_HEADER_BYTES};
use crate::log::Examination;
use crate::storage::File;
use anyhow::Result;
use std::time::Duration;

/// How the files were; equal stamps mean that nothing was written in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    database: Option<(u64, Option<Duration>)>,
    pub(super) log: Option<LogStamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogStamp {
    bytes: u64,
    modified: Option<Duration>,
    pub(super) header: [u8; WAL_HEADER_BYTES],
    /// Headers of the last valid frame and of the slot after it.
    end: [[u8; FRAME_HEADER_BYTES]; 2],
}

impl Stamp {
    pub(super) fn of(
        database: Option<&dyn File>,
        log: Option<&dyn File>,
        examination: Option<&Examination>,
    ) -> Result<Self> {
        let stamp = |file: &dyn File| Ok::<_, anyhow::Error>((file.size()?, file.modified()?));
        let log = log.map(|log| LogStamp::of(log, examination)).transpose()?;
        Ok(Self { database: database.map(stamp).transpose()?, log })
    }

    /// Whether nothing was written since `earlier`, which knows of no frames.
    pub(super) fn has_same_files(&self, earlier: &Self) -> bool {
        let whole = |log: &LogStamp| (log.bytes, log.modified, log.header);
        self.database == earlier.database
            && self.log.as_ref().map(whole) == earlier.log.as_ref().map(whole)
    }
}

impl LogStamp {
    pub(super) fn of(file: &dyn File, examination: Option<&Examination>) -> Result<Self> {
        let mut header = [0; WAL_HEADER_BYTES];
        file.read_at(&mut header, 0)?;
        let mut end = [[0; FRAME_HEADER_BYTES]; 2];
        if let Some(examination) = examination
            && let Some(shape) = &examination.shape
        {
            let last = FrameNo(examination.prefix.valid_frames.max(1));
            for (slot, frame) in end.iter_mut().zip([last, last.next()]) {
                file.read_at(slot, frame.offset_bytes(shape.page_size()))?;
            }
        }
        Ok(Self { bytes: file.size()?, modified: file.modified()?, header, end })
    }
}
