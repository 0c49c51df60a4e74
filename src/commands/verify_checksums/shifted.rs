//! What the human view says of frames that are not where they should be.

use crate::output::quantity::{counted, grouped};

use super::FileReport;

/// Frames shown at most that are not where they should be.
const MOST_PLACES: usize = 8;

/// Where intact frames are that are not on the grid of slots.
pub(super) fn shifted(file: &FileReport) -> Vec<String> {
    let mut story = Vec::new();
    if file.header_is_older == Some(true) {
        story.push(
            "The header is that of the generation before: the write of the new one was lost, or \
             the beginning of the file is from an older copy. Frames of a generation after it \
             follow from each other, and cannot be left over."
                .to_owned(),
        );
    }
    if let Some(added) = file.line_ends_added_bytes {
        story.push(format!(
            "Every line feed became a carriage return and a line feed, as a transfer in text mode \
             does: {} inserted. With them taken out the frames prove each other.",
            counted(added, "byte")
        ));
        return story;
    }
    for shift in file.shifted.iter().take(MOST_PLACES) {
        let side = if shift.shift_bytes < 0 { "missing" } else { "too many" };
        story.push(format!(
            "At offset {} the log goes on, with {} {side} before: {} with {}, from frame {} on.",
            grouped(shift.offset_bytes),
            counted(shift.shift_bytes.unsigned_abs(), "byte"),
            counted(shift.frames.into(), "intact frame"),
            counted(shift.commits.into(), "commit"),
            shift.first_frame
        ));
    }
    if let Some(more) = file.shifted.len().checked_sub(MOST_PLACES).filter(|&more| more > 0) {
        story.push(format!("The same in {}.", counted(more as u64, "more place")));
    }
    if let Some(mended) = file.shifted_frames_mended.filter(|&mended| mended > 0) {
        story.push(format!(
            "In {} bytes were inserted or are missing; put together again, the sums are right.",
            counted(mended.into(), "frame")
        ));
    }
    if file.shifted_frames_missing == Some(true) {
        story.push(
            "Frames are missing; how many is not known, so these numbers are the least.".into(),
        );
    }
    story
}
