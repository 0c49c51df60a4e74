//! Logs of which bytes were inserted, are missing, or were translated as text: what comes after is
//! intact, but not where the slots of a log are.
//!
//! `runs` finds the frames of the current generation at any offset; `layout` puts the bytes
//! back in their places, as a view of the file; `splice` mends the one frame in which bytes were
//! inserted or are missing; `front` finds a log whose header is elsewhere or lost. The view is
//! then examined and repaired like any other log.

use std::sync::Arc;

use serde::Serialize;

use crate::format::FrameNo;
use crate::storage::File;
use crate::storage::line_ends::{LineEnds, Untranslated};
use crate::storage::rearranged::{Arrangement, Rearranged};

pub(super) mod front;
pub(super) mod layout;
pub(super) mod runs;
mod splice;
mod window;

/// Pages of a database that is larger than nearly any.
const MOST_LIKELY_PAGES: u32 = 1 << 27;

/// Intact frames of the current generation that are not where the slots of the log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// Offset of the first in the file.
    pub offset_bytes: u64,
    /// How many bytes too many the file has before it; negative where bytes are missing.
    pub shift_bytes: i64,
    /// Its number with the shift undone.
    pub first_frame: FrameNo,
    /// How many frames follow from each other there.
    pub frames: u32,
    /// Commit frames among them.
    pub commits: u32,
}

/// What is not where it should be in a log; by default, nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Displacement {
    /// Intact frames off the grid, by offset.
    pub shifts: Vec<Shift>,
    /// Frames in which bytes were inserted or are missing, and that were put together again.
    pub mended_frames: u32,
    /// Every line feed had become a carriage return and a line feed: how many were added.
    pub line_ends: Option<u64>,
    /// Frames are missing, and nobody knows how many.
    pub frames_missing: bool,
    /// The header is that of the generation before.
    pub header_is_older: bool,
    /// The search was cut short: there may be more.
    pub is_cut_short: bool,
    /// How likely it is that bytes which were put back fit by chance.
    pub chance: f64,
}

impl Displacement {
    /// Whether everything is where it should be.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.shifts.is_empty() && self.line_ends.is_none() && self.mended_frames == 0
    }

    /// Where the frames are, in words: the first places.
    #[must_use]
    pub fn places(&self) -> String {
        const SHOWN: usize = 4;
        let place = |shift: &Shift| {
            let bytes = counted(shift.shift_bytes.unsigned_abs(), "byte");
            let side = if shift.shift_bytes < 0 { "missing" } else { "too many" };
            format!("{bytes} {side} before offset {}", shift.offset_bytes)
        };
        let shown: Vec<String> = self.shifts.iter().take(SHOWN).map(place).collect();
        let more = match self.shifts.len().checked_sub(SHOWN) {
            None | Some(0) => String::new(),
            Some(more) => format!(", and {more} more places"),
        };
        match shown.is_empty() {
            true => "bytes were inserted or are missing".to_owned(),
            false => format!("{}{more}", shown.join(", ")),
        }
    }

    /// How many frames and commits are off the grid, in words.
    #[must_use]
    pub fn counts(&self) -> String {
        let (frames, commits) = (self.frames().into(), self.commits().into());
        let mended = match self.mended_frames {
            0 => String::new(),
            mended => {
                format!(", {} put together again by the sums", counted(mended.into(), "frame"))
            }
        };
        format!("{} and {}{mended}", counted(frames, "frame"), counted(commits, "commit"))
    }

    /// Intact frames off the grid.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.shifts.iter().map(|shift| shift.frames).fold(0, u32::saturating_add)
    }

    /// Commit frames among them.
    #[must_use]
    pub fn commits(&self) -> u32 {
        self.shifts.iter().map(|shift| shift.commits).fold(0, u32::saturating_add)
    }
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How the bytes of a log get back to their places: one step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Layer {
    /// Line ends were translated.
    LineEnds(Arc<LineEnds>),
    /// Bytes were inserted, or are missing.
    Pieces(Arc<Arrangement>),
}

/// The steps from a file to the log that it was, the first first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layers {
    pub layers: Vec<Layer>,
}

impl Layer {
    /// The view of `file` that it makes.
    pub(super) fn over<'a>(&self, file: &'a dyn File) -> Box<dyn File + 'a> {
        match self {
            Self::LineEnds(line_ends) => Box::new(Untranslated::over(file, Arc::clone(line_ends))),
            Self::Pieces(pieces) => Box::new(Rearranged::over(file, Arc::clone(pieces))),
        }
    }
}

impl Layers {
    /// The log as it was: `file` with its bytes in their places.
    pub(super) fn apply(&self, file: Box<dyn File>) -> Box<dyn File> {
        self.layers.iter().fold(file, |file, layer| match layer {
            Layer::LineEnds(line_ends) => Box::new(Untranslated::of(file, Arc::clone(line_ends))),
            Layer::Pieces(pieces) => Box::new(Rearranged::of(file, Arc::clone(pieces))),
        })
    }
}
