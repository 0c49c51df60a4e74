//! Commits of a log that are not where its slots are.

use crate::format::FrameNo;
use crate::log::examination::{Examination, Verdict};
use crate::log::forecast::{Lost, Recoverable};
use crate::log::link::is_likely_leftover;
use crate::log::shift::runs;
use crate::log::tail::Certainty;
use crate::scan::Watch;
use crate::storage::File;

use super::Error;

/// Headers of commits that are not where the slots are show that committed frames were there, even
/// where no sum is right any more: SQLite loses them.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn with_commits(
    mut found: Examination,
    file: &dyn File,
    watch: &dyn Watch,
) -> Result<Examination, Error> {
    let loses = matches!(found.verdict, Verdict::Damaged | Verdict::BadHeader);
    let Some(shape) = found.shape.filter(|_| !loses) else { return Ok(found) };
    // Slots that hold frames, of whatever generation: the log goes on as it should, and what looks
    // like a header is in the middle of a page.
    let next = found.prefix.stop.frame.next();
    for facts in shape.facts(file, next..shape.extent.end(), watch) {
        let facts = facts?;
        if facts.header.salts == shape.salts || is_likely_leftover(&facts, None, shape.salts) {
            return Ok(found);
        }
    }
    let from = found.prefix.stop.offset_bytes;
    let mut off_grid = runs::headers_off_grid(file, &shape, from, watch)?;
    if !off_grid.is_empty() {
        // A copy of frames that the log has is no loss.
        for facts in found.facts(file, FrameNo::FIRST..found.prefix.stop.frame, watch) {
            off_grid.remove(&facts?.header.checksum);
        }
    }
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let commits = count(off_grid.values().filter(|commits| **commits).count());
    if commits > 0 {
        found.verdict = Verdict::Damaged;
        found.lost = Some(Lost {
            certainty: Certainty::Likely,
            frames: count(off_grid.len()),
            transactions: commits,
            recoverable: Recoverable::None,
            pages: Vec::new(),
            likely_frames: 0,
        });
        if let Some(undone) = &mut found.undone {
            undone.examination.verdict = found.verdict;
            undone.examination.lost.clone_from(&found.lost);
        }
    }
    Ok(found)
}
