//! Right bytes of a damaged frame that its sums alone do not show: in another image of its page, in
//! another slot, as the only header that fits between its neighbours, or with a look at its own image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::format::{FrameHeader, FrameNo};

use super::correction::Correction;

mod search;

pub(super) use search::Search;

/// Where another image of a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// In another frame of the log.
    Frame(FrameNo),
    /// In the database file.
    Database,
}

/// How the right bytes of a frame are had.
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
    /// The frame that belongs here stands in another slot: it alone follows from the sum before.
    Moved(FrameNo),
    /// Only one header fits between the frame before, the image and the frame behind.
    Header,
    /// One word is changed. The sums leave open whether a run of bytes was overwritten instead; the
    /// image shows none.
    Word(Correction),
}

/// A cure, and the header that the frame has with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cured {
    /// How.
    pub cure: Cure,
    /// The right header.
    pub header: FrameHeader,
    /// How likely it is that something fits by chance.
    pub chance: f64,
}

/// What images and other frames tell of a log's damaged frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cures {
    cured: Arc<BTreeMap<FrameNo, Cured>>,
    doubted: Arc<BTreeSet<FrameNo>>,
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

    /// Whether only one word explains the sums of a frame, but its image shows a run of bytes that may
    /// have been written over others.
    #[must_use]
    pub fn is_doubted(&self, frame: FrameNo) -> bool {
        self.doubted.contains(&frame)
    }

    fn with(&self, mut found: BTreeMap<FrameNo, Cured>) -> Self {
        found.extend(self.iter());
        Self { cured: Arc::new(found), doubted: Arc::clone(&self.doubted) }
    }

    fn doubting(&self, mut frames: BTreeSet<FrameNo>) -> Self {
        frames.extend(self.doubted.iter());
        Self { cured: Arc::clone(&self.cured), doubted: Arc::new(frames) }
    }
}
