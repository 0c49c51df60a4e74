//! The likeliest of several one-word corrections. Never a proof: a plan that uses it is lossy.

use std::collections::BTreeSet;

use crate::analysis::correction::{Correction, Word, corrected_header, plausible};
use crate::analysis::cure::Cure;
use crate::analysis::link::{Judged, Link, Seed};
use crate::analysis::snapshot::Snapshot;
use crate::format::{FRAME_HEADER_BYTES, FrameHeader, FrameNo, Pgno};
use crate::scan;
use crate::storage;

use super::walk::Source;

/// A correction that is likely.
pub(super) struct Guess {
    /// The header with it.
    pub header: FrameHeader,
    /// What it changes in the image.
    pub fix: Option<Cure>,
    /// Every page that the frame may have been to write.
    pub pages: BTreeSet<Pgno>,
}

/// The likeliest correction of a damaged frame, by what older images of the pages say: the right word
/// of an image is mostly what it was before, and an image is mostly like the older one of its page.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn likeliest(
    source: &Source<'_>,
    before: &Snapshot,
    judged: &Judged,
) -> Result<Option<Guess>, scan::Error> {
    let (Link::Broken { fault, .. }, Seed::Trusted(sum)) = (judged.link, judged.before) else {
        return Ok(None);
    };
    let (facts, shape) = (&judged.facts, source.shape);
    let joiner = shape.joiner();
    let computed = joiner.sum(facts, sum);
    let Some(image) = source.frame_image(facts.frame)? else { return Ok(None) };
    let mut best: Option<(usize, FrameHeader, Option<Cure>)> = None;
    let mut pages = BTreeSet::new();
    for correction in plausible(facts, computed, fault.stored_sum(), &joiner).take(64) {
        let header = corrected_header(facts, correction, shape.order);
        pages.insert(header.page);
        let mut corrected = image.clone();
        correction.apply(&mut corrected, shape.order);
        let Some(older) = source.older_image(before, header.page)? else { continue };
        let mut likeness = equal_words(&corrected, &older);
        if word_as_before(&correction, &corrected, &older) {
            // This alone explains why there is a single wrong word.
            likeness += corrected.len();
        }
        if best.as_ref().is_none_or(|(most, ..)| likeness > *most) {
            let fix = matches!(correction.word, Word::Image(_)).then_some(Cure::Word(correction));
            best = Some((likeness, header, fix));
        }
    }
    Ok(best.map(|(_, header, fix)| Guess { header, fix, pages }))
}

fn equal_words(one: &[u8], other: &[u8]) -> usize {
    let words = one.as_chunks::<4>().0.iter().zip(other.as_chunks::<4>().0);
    words.filter(|(one, other)| one == other).count()
}

fn word_as_before(correction: &Correction, corrected: &[u8], older: &[u8]) -> bool {
    let Word::Image(index) = correction.word else { return false };
    let word = |image: &[u8]| image.as_chunks::<4>().0.get(index as usize).copied();
    word(corrected).is_some_and(|right| Some(right) == word(older))
}

impl Source<'_> {
    /// The page image in `frame`; `None` when the file ends before.
    fn frame_image(&self, frame: FrameNo) -> storage::Result<Option<Vec<u8>>> {
        let page_size = self.shape.page_size();
        let mut image = vec![0; page_size.in_memory()];
        let offset = frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64;
        Ok((self.log.read_at(&mut image, offset)? == image.len()).then_some(image))
    }

    /// The image of `page` before: in the log, or else in the database.
    fn older_image(&self, before: &Snapshot, page: Pgno) -> storage::Result<Option<Vec<u8>>> {
        if let Some(&frame) = before.pages.get(&page) {
            return self.frame_image(frame);
        }
        let Some(database) = self.database else { return Ok(None) };
        let page_size = self.shape.page_size();
        let mut image = vec![0; page_size.in_memory()];
        let read = database.read_at(&mut image, page.offset_bytes(page_size))?;
        Ok((read == image.len()).then_some(image))
    }
}
