//! Frames that the wal-index counts as copied, and whose pages are not in the database file.

use std::collections::BTreeMap;

use crate::engine::wal::Mend;
use crate::format::{FrameNo, Pgno, WalIndexHeader};
use crate::history::image_sums::ImageSums;
use crate::log::Examination;
use crate::scan::{Error, Watch};
use crate::storage::File;

/// A wal-index that counts frames as copied that were not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FalseBackfill {
    /// Frames that it counts as copied.
    pub backfill_frames: u32,
    /// Committed frames of the log.
    pub mx_frame: u32,
    /// Pages whose newest frame is among them, and that the file does not have so.
    pub missing_pages: u32,
    /// The first of them.
    pub first_page: Option<Pgno>,
    /// The state that can be mended.
    pub mend: Mend,
}

impl FalseBackfill {
    /// Whether no commit can have followed: with everything counted as copied, the next one begins
    /// the log again.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.backfill_frames == self.mx_frame
    }
}

impl std::fmt::Display for FalseBackfill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { backfill_frames, mx_frame, missing_pages, .. } = self;
        let frames = if *backfill_frames == 1 { "frame is" } else { "frames are" };
        write!(f, "{backfill_frames} {frames} marked as copied into the database")?;
        if backfill_frames > mx_frame {
            write!(f, ", of a log with {mx_frame}")?;
        }
        let are = if *missing_pages == 1 { "page of them is" } else { "pages of them are" };
        write!(f, ", and {missing_pages} {are} not there")
    }
}

/// Compares the newest image of each page that counts as copied with the file, which does not
/// change. Pages beyond the size of a later commit are left out: a checkpoint skips them. Reserved
/// bytes are not compared where a VFS writes them on the way into the file.
///
/// # Errors
/// When a file cannot be read.
pub fn false_backfill(
    index: &WalIndexHeader,
    log: &dyn File,
    examination: &Examination,
    database: &dyn File,
    watch: &dyn Watch,
) -> Result<Option<FalseBackfill>, Error> {
    let Some(shape) = examination.shape else { return Ok(None) };
    // A checkpoint leaves pages out that a later frame writes again. Where the log does not give
    // all frames, nobody knows which.
    let is_whole = examination.prefix.mx_frame == index.mx_frame;
    if index.backfill == 0 || index.mx_frame == 0 || !is_whole {
        return Ok(None);
    }
    let images = ImageSums::of(log, &shape, database, None)?;
    let copied = copied_pages(index.backfill, log, examination, watch)?;
    let pairs = Vec::from_iter(copied);
    let are_there = images.are_in_database(&pairs, watch)?;
    let (mut missing_pages, mut first_page) = (0, None);
    for ((page, _), _) in pairs.iter().zip(are_there).filter(|(_, is_there)| !is_there) {
        missing_pages += 1;
        first_page = first_page.or(Some(*page));
    }
    let is_wrong = missing_pages > 0 || index.backfill > index.mx_frame;
    Ok(is_wrong.then_some(FalseBackfill {
        backfill_frames: index.backfill,
        mx_frame: index.mx_frame,
        missing_pages,
        first_page,
        mend: Mend { salts: index.salts, mx_frame: index.mx_frame },
    }))
}

/// Pages whose newest frame is at or before `backfill` and that no later commit has cut off.
fn copied_pages(
    backfill: u32,
    log: &dyn File,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<BTreeMap<Pgno, FrameNo>, Error> {
    let mut newest: BTreeMap<Pgno, FrameNo> = BTreeMap::new();
    let mut open: Vec<(Pgno, FrameNo)> = Vec::new();
    let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    for facts in examination.facts(log, committed, watch) {
        let facts = facts?;
        open.push((facts.header.page, facts.frame));
        if let Some(size) = facts.commit_size_pages() {
            newest.extend(open.drain(..));
            newest.split_off(&Pgno(size.saturating_add(1)));
        }
    }
    newest.retain(|_, frame| frame.0 <= backfill);
    Ok(newest)
}
