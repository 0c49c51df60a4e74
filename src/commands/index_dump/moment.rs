//! Whether an index and a log that were read one after the other are of one moment.

use crate::log::index_file::IndexFile;

use super::Comparison;

/// What a second look at the index says of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// It holds.
    One,
    /// The log was read later, and the index has followed it meanwhile: they are the same.
    Followed,
    /// Somebody wrote in between: it says nothing.
    Several,
}

/// Judges `comparison` of the index as it was `before` the log was read, by what it is `after`
/// that. `is_written` says that somebody holds the write lock: a commit may be in the log, and not
/// yet in the index. `log_frames` are those of the log.
///
/// While the salts in the index stay what they are, nothing before its last commit changes in
/// either file (wal.c walRestartHdr changes them before a frame is overwritten).
pub(super) fn judge(
    comparison: Comparison,
    before: &IndexFile,
    after: &IndexFile,
    log_frames: u32,
    is_written: bool,
) -> Moment {
    let is_unchanged = before.copies == after.copies;
    let is_valid = before.info.validate().is_ok() && after.info.validate().is_ok();
    let ([old, _], [new, _]) = (&before.copies, &after.copies);
    let is_one_generation =
        is_valid && old.salts == new.salts && old.mx_frame > 0 && new.mx_frame >= old.mx_frame;
    match comparison {
        Comparison::Same | Comparison::Alone | Comparison::Unread => Moment::One,
        Comparison::Invalid if is_unchanged => Moment::One,
        Comparison::Older if is_valid && old.salts == new.salts && log_frames <= new.mx_frame => {
            Moment::Followed
        }
        Comparison::Older if is_unchanged && !is_written => Moment::One,
        Comparison::Wrong if is_one_generation || (is_unchanged && !is_written) => Moment::One,
        Comparison::Invalid | Comparison::Older | Comparison::Wrong => Moment::Several,
    }
}
