//! The log, and where its bytes go.

use anyhow::Result;
use serde::Serialize;

use crate::access::files::Files;
use crate::format::FrameNo;
use crate::log::shift::Shift;
use crate::log::state::SlotState;
use crate::log::{Examination, Verdict};
use crate::output::FileName;
use crate::scan::Watch;
use crate::storage::File;

/// The log.
#[derive(Debug, Serialize)]
pub struct WalSummary {
    /// Its path.
    pub path: FileName,
    /// Its size.
    pub file_bytes: u64,
    /// The verdict of `verify-checksums`.
    pub verdict: Verdict,
    /// Page size.
    pub page_size_bytes: Option<u32>,
    /// Last committed frame.
    pub mx_frame: u32,
    /// Committed transactions.
    pub transactions: u32,
    /// Database size after the last of them.
    pub db_size_pages: Option<u32>,
    /// Whole slots.
    pub slot_frames: u32,
    /// Newest committed image of a page.
    pub live_frames: u32,
    /// Their bytes.
    pub live_bytes: u64,
    /// Committed images that a later committed frame replaces.
    pub superseded_frames: u32,
    /// Their bytes.
    pub superseded_bytes: u64,
    /// Slots that nobody will read again: stale, residue, blank or uncommitted.
    pub reusable_frames: u32,
    /// Their bytes, and those after the last whole slot.
    pub reusable_bytes: u64,
    /// Slots after a break: damaged, unproven or unreachable. SQLite will write over them too.
    pub lost_frames: u32,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Committed frames that are not yet in the database by the wal-index; `None` without one of
    /// this generation.
    pub pinned_frames: Option<u32>,
    /// Their bytes.
    pub pinned_bytes: Option<u64>,
    /// Intact frames that are not where the slots of the log are, by offset.
    pub shifted: Vec<Shift>,
    /// Slots by state.
    pub frames_by_state: Vec<StateCount>,
}

/// Slots of one state.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StateCount {
    /// The state.
    pub state: SlotState,
    /// How many.
    pub frames: u32,
}

impl WalSummary {
    pub(super) fn of(
        files: &Files,
        file: &dyn File,
        examination: &Examination,
        backfilled: Option<u32>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let prefix = &examination.prefix;
        let mut counts: Vec<StateCount> =
            SlotState::ALL.iter().map(|&state| StateCount { state, frames: 0 }).collect();
        let mut pages = std::collections::HashSet::new();
        for slot in examination.slots(file, FrameNo(u32::MAX), watch) {
            let slot = slot?;
            if slot.state == SlotState::Committed {
                pages.insert(slot.judged.facts.header.page);
            }
            if let Some(row) = counts.iter_mut().find(|row| row.state == slot.state) {
                row.frames += 1;
            }
        }
        let shape = examination.shape;
        let live_frames = u32::try_from(pages.len()).unwrap_or(prefix.mx_frame);
        let slot_bytes = shape.map_or(0, |shape| shape.page_size().slot_bytes());
        let of = |frames: u32| u64::from(frames) * slot_bytes;
        let slot_frames = shape.map_or(0, |shape| shape.extent.slot_frames);
        let lost_frames: u32 = counts
            .iter()
            .filter(|row| {
                matches!(
                    row.state,
                    SlotState::Damaged | SlotState::Unproven | SlotState::Unreachable
                )
            })
            .map(|row| row.frames)
            .sum();
        let reusable_frames = slot_frames - prefix.mx_frame - lost_frames;
        let superseded_frames = prefix.mx_frame - live_frames;
        let pinned_frames = backfilled.map(|done| prefix.mx_frame.saturating_sub(done));
        counts.retain(|row| row.frames > 0);
        Ok(Self {
            path: FileName::from(&files.wal),
            file_bytes: examination.file_bytes,
            verdict: examination.verdict,
            page_size_bytes: examination.page_size().map(|size| size.bytes()),
            mx_frame: prefix.mx_frame,
            transactions: prefix.transactions,
            db_size_pages: prefix.db_size_pages,
            slot_frames,
            live_frames,
            live_bytes: of(live_frames),
            superseded_frames,
            superseded_bytes: of(superseded_frames),
            reusable_frames,
            reusable_bytes: of(reusable_frames)
                + shape.map_or(0, |shape| shape.extent.trailing_bytes),
            lost_frames,
            lost_bytes: of(lost_frames),
            pinned_frames,
            pinned_bytes: pinned_frames.map(of),
            shifted: examination.displacement.shifts.clone(),
            frames_by_state: counts,
        })
    }
}
