//! The right bytes of a damaged frame: in another image of its page, in another slot, as the only
//! header that fits between its neighbours, or as a correction of one word; and how sure that is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::format::{FrameHeader, FrameNo};

use super::correction::{Correction, Word};
use super::proof::Proof;

mod explain;
mod hole;
mod rivals;
mod search;
mod sources;
mod splice;
mod witness;

pub(super) use sources::Sources;

/// Where another image of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// In another frame of the log.
    Frame(FrameNo),
    /// In the database file.
    Database,
}

/// How the right bytes of a frame are recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// A part of its image, or all of it, is taken from another image of the same page; the stored
    /// sum results.
    Image {
        /// The other image.
        source: ImageSource,
        /// First byte of the part.
        first_byte: u32,
        /// End of the part.
        end_byte: u32,
    },
    /// The frame that belongs here is in another slot: it alone follows from the sum before.
    Moved(FrameNo),
    /// Only one header fits between the frame before, the image and the frame after.
    Header,
    /// Nothing is changed: SQLite left the frame without salts and sum (see `spill`).
    Unsummed,
    /// One word of the image is changed.
    Word(Correction),
    /// One word of the header or of the stored sum is changed; the image is right.
    Field(Word),
}

impl Cure {
    /// The part of another image that makes `changes`; `None` without one.
    fn of_part(source: ImageSource, changes: &[splice::WordChange]) -> Option<Self> {
        let (first, last) = (changes.first()?, changes.last()?);
        let byte = |word: usize| u32::try_from(word * 4).ok();
        let (first_byte, end_byte) = (byte(first.word)?, byte(last.word + 1)?);
        Some(Self::Image { source, first_byte, end_byte })
    }
}

/// A cure, and the header that the frame has with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cured {
    /// How.
    pub cure: Cure,
    /// The right header.
    pub header: FrameHeader,
    /// How likely it is that something fits by chance; `None` where that cannot be put into a
    /// number.
    pub chance: Option<f64>,
    /// How sure it is.
    pub proof: Proof,
    /// Other explanations that the sums leave.
    pub rivals: u32,
}

/// What images and other frames tell of a log's damaged frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cures {
    cured: Arc<BTreeMap<FrameNo, Cured>>,
    /// Frames without a cure of which other images show that theirs is damaged.
    shown_damaged: Arc<BTreeSet<FrameNo>>,
    /// The search ended before every damaged frame was looked at.
    pub is_cut_short: bool,
}

impl Cures {
    /// The cure of a frame.
    #[must_use]
    pub fn get(&self, frame: FrameNo) -> Option<Cured> {
        self.cured.get(&frame).copied()
    }

    /// All cures, by frame.
    pub fn iter(&self) -> impl Iterator<Item = (FrameNo, Cured)> {
        self.cured.iter().map(|(&frame, &cured)| (frame, cured))
    }

    /// Whether the image of a frame is damaged, and of the page that its header names: images of
    /// that page before and after it say so.
    #[must_use]
    pub fn is_shown_damaged(&self, frame: FrameNo) -> bool {
        self.shown_damaged.contains(&frame)
    }

    pub(super) fn with(&self, mut found: BTreeMap<FrameNo, Cured>) -> Self {
        found.extend(self.iter());
        Self { cured: Arc::new(found), ..self.clone() }
    }

    fn showing(&self, mut frames: BTreeSet<FrameNo>) -> Self {
        frames.extend(self.shown_damaged.iter());
        Self { shown_damaged: Arc::new(frames), ..self.clone() }
    }
}
