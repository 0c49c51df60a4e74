//! Runs of one byte over another that look like one wrong word.
//!
//! What a fault of one word adds to the sums are Fibonacci numbers, so equal faults of several words can
//! add up to that of one: `F(n) + F(n+1) = F(n+2)`, and around the middle of 6, 10, 14 words their sum is
//! 4, 11, 29 times that of the middle. Equal faults come from one byte that was written over another,
//! again and again. Where the sums leave that open, the image tells: such a run is still there. And
//! where the image shows a run, it is not only the sums that tell.

use crate::format::{ByteOrder, Checksum};
use crate::scan::Joiner;

use super::correction::{Correction, Word};

/// A fault of 1 in each byte of a word.
const EACH_BYTE: u32 = u32::from_ne_bytes([1; 4]);

/// A run of bytes that may all have been the same, before another byte was written over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// First byte of the image.
    pub first_byte: u32,
    /// End of the run.
    pub end_byte: u32,
    /// What each byte lacks.
    pub change: i16,
}

impl Fill {
    /// Whether a damaged image holds one byte there, to which another can have been changed.
    #[must_use]
    pub fn shows_in(&self, image: &[u8]) -> bool {
        let run = image.get(self.first_byte as usize..self.end_byte as usize);
        let Some([first, rest @ ..]) = run else { return false };
        let right = i16::from(*first) + self.change;
        u8::try_from(right).is_ok() && rest.iter().all(|byte| byte == first)
    }
}

/// The runs over several words of the image that explain `difference`, as a fault of the word `only`
/// does.
#[must_use]
pub fn fills(difference: Checksum, only: Word, joiner: &Joiner) -> Vec<Fill> {
    let words = 2 * (joiner.pairs() - 1);
    // Words behind it, in the order of the sum: those of the header, then the image.
    let behind = match only {
        Word::PageNumber => words + 1,
        Word::CommitSize => words,
        Word::Image(index) => words.saturating_sub(index + 1),
        Word::StoredA | Word::StoredB => 0,
    };
    let masks = |byte: [u8; 4]| joiner.order().word(byte);
    // What a fault of 1 in the last bytes of a word adds to it, and one in its first bytes.
    let ends = [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1; 4]].map(masks);
    let starts = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1; 4]].map(masks);
    let effects = Effects::of(words);
    // The run has the word near its middle, or is too short to have one there.
    let runs = (2..=words).flat_map(|length| {
        let middle = (behind + 2).saturating_sub(length / 2);
        (middle.saturating_sub(4)..=middle).map(move |last| (last, length))
    });
    let mut found = Vec::new();
    for (last, length) in runs.filter(|&(last, length)| last + length <= words) {
        let first = last + length - 1;
        let between = effects.at(first + 1).minus(effects.at(last + 2));
        let whole = times(between, EACH_BYTE);
        for (in_first, end) in (1..=4).zip(ends) {
            for (in_last, start) in (1..=4).zip(starts) {
                let ends = times(effects.at(first), end).plus(times(effects.at(last), start));
                let changes = as_bytes(difference, whole.plus(ends));
                found.extend(changes.map(|change| Fill {
                    first_byte: 4 * (words - first) - in_first,
                    end_byte: 4 * (words - 1 - last) + in_last,
                    change,
                }));
            }
        }
    }
    found
}

/// Whether what looks like one wrong word of an image may be the end of a run of one byte that goes on
/// over the next two words, or over more on both sides. If those were equal before, their faults are
/// one in that word; what was there in itself does not count. Not where the correction makes the word
/// a part of the run.
#[must_use]
pub fn hides_in_a_run(image: &[u8], only: Correction, order: ByteOrder) -> bool {
    let Word::Image(index) = only.word else { return false };
    let word = index as usize * 4;
    let Some([first, rest @ ..]) = image.get(word + 3..word + 12) else { return false };
    let mut corrected = image.to_vec();
    only.apply(&mut corrected, order);
    let joins = corrected.get(word..word + 4).is_some_and(|word| word == [*first; 4]);
    rest.iter().all(|byte| byte == first) && !joins
}

/// What a fault of 1 in a word adds to the sums, by the number of words behind it. From word to word
/// these are Fibonacci numbers, so that those of `p` to `q` add up to that of `q + 2` without that of
/// `p + 1`.
pub(super) struct Effects(Vec<Checksum>);

impl Effects {
    pub(super) fn of(words: u32) -> Self {
        let before = |&Checksum { a, b }: &Checksum| Some(Checksum { a: b, b: a.wrapping_add(b) });
        let all = std::iter::successors(Some(Checksum { a: 0, b: 1 }), before);
        Self(all.take(words as usize + 2).collect())
    }

    pub(super) fn at(&self, behind: u32) -> Checksum {
        self.0.get(behind as usize).copied().unwrap_or(Checksum::ZERO)
    }
}

/// The differences of two bytes that, times `effect`, are `difference`.
fn as_bytes(difference: Checksum, effect: Checksum) -> impl Iterator<Item = i16> {
    let on_one_line = effect.a.wrapping_mul(difference.b) == effect.b.wrapping_mul(difference.a);
    let bytes = on_one_line.then_some(1..=255_u8).into_iter().flatten();
    bytes.flat_map(move |byte| {
        let (up, change) = (times(effect, byte.into()), i16::from(byte));
        let down = Checksum::ZERO.minus(up);
        let fits = [(up, change), (down, -change)].map(|(sum, change)| (sum == difference, change));
        fits.into_iter().filter_map(|(fits, change)| fits.then_some(change))
    })
}

pub(super) fn times(Checksum { a, b }: Checksum, factor: u32) -> Checksum {
    Checksum { a: a.wrapping_mul(factor), b: b.wrapping_mul(factor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::correction::{StoredSum, plausible};
    use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageSize};
    use crate::scan::FrameFacts;

    /// The only word of `damaged` that explains the sum of `right`, and the runs that do.
    fn explanations(
        right: &[u8],
        damaged: &[u8],
        order: ByteOrder,
    ) -> Option<(Correction, Vec<Fill>)> {
        let page_size = PageSize::from_bytes(4096).unwrap();
        let joiner = Joiner::new(page_size, order);
        let sum = FrameFacts::judge(FrameNo(1), right, order).content;
        let mut facts = FrameFacts::judge(FrameNo(1), damaged, order);
        facts.header.checksum = sum;
        let difference = sum.minus(facts.content);
        let mut all = plausible(&facts, facts.content, StoredSum::Proven, &joiner);
        match (all.next(), all.next()) {
            (Some(only), None) => Some((only, fills(difference, only.word, &joiner))),
            _ => None,
        }
    }

    /// `length` bytes from `start` of an image of one byte, overwritten with another.
    fn is_not_mistaken(old: u8, new: u8, start: usize, length: usize, order: ByteOrder) {
        let mut right = vec![0x5a; FRAME_HEADER_BYTES + 4096];
        right[44..4024].fill(old);
        let mut damaged = right.clone();
        let start = FRAME_HEADER_BYTES + start;
        damaged[start..start + length].fill(new);
        if let Some((only, fills)) = explanations(&right, &damaged, order) {
            let image = &damaged[FRAME_HEADER_BYTES..];
            let mut corrected = image.to_vec();
            only.apply(&mut corrected, order);
            let is_right = corrected == right[FRAME_HEADER_BYTES..];
            let shows = fills.iter().any(|fill| fill.shows_in(image));
            assert!(is_right || shows, "{length} bytes at {start}, {old} to {new}: {only:?}");
        }
    }

    #[test]
    fn a_run_of_one_byte_over_another_is_not_taken_for_one_wrong_word() {
        let bytes = [(0, 0x81), (0, 0xff), (0xff, 0), (0x20, 0), (1, 2)];
        let lengths = (5..61).chain((61..3900).step_by(37)).chain((72..3900).step_by(16 * 5));
        for (length, at) in lengths.flat_map(|length| (24..28).map(move |at| (length, at))) {
            for (old, new) in bytes {
                for order in [ByteOrder::Little, ByteOrder::Big] {
                    is_not_mistaken(old, new, at, length, order);
                }
            }
        }
    }

    #[test]
    fn a_run_that_begins_in_a_word_of_anything_is_not_taken_for_that_word() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut asked = 0;
        for _ in 0..2000 {
            let order = if random.bool() { ByteOrder::Little } else { ByteOrder::Big };
            let mut right = vec![random.u8(..); FRAME_HEADER_BYTES + 4096];
            let word = FRAME_HEADER_BYTES + 4 * random.usize(4..1000);
            random.fill(&mut right[word..word + 4]);
            let mut damaged = right.clone();
            // Two words behind it; or a word before it and four behind.
            let (before, behind) = *random.choice(&[(0, 2), (4, 4)]).unwrap();
            let start = if before > 0 { word - before } else { word + random.usize(0..4) };
            damaged[start..word + 4 + 4 * behind].fill(random.u8(..));
            let Some((only, _)) = explanations(&right, &damaged, order) else { continue };
            let image = &damaged[FRAME_HEADER_BYTES..];
            let mut corrected = image.to_vec();
            only.apply(&mut corrected, order);
            let is_right = corrected == right[FRAME_HEADER_BYTES..];
            assert!(is_right || hides_in_a_run(image, only, order), "{start}: {only:?}");
            asked += u32::from(!is_right);
        }
        assert!(asked > 1000, "{asked}");
    }

    #[test]
    fn an_image_without_a_run_has_one_wrong_word() {
        let mut random = fastrand::Rng::with_seed(1202);
        let (mut asked, mut shown) = (0, 0);
        for _ in 0..2000 {
            let order = if random.bool() { ByteOrder::Little } else { ByteOrder::Big };
            let mut right = vec![0; FRAME_HEADER_BYTES + 4096];
            random.fill(&mut right);
            let mut damaged = right.clone();
            damaged[random.usize(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + 4096)] ^=
                1 << random.u32(..8);
            let Some((_, fills)) = explanations(&right, &damaged, order) else { continue };
            let image = &damaged[FRAME_HEADER_BYTES..];
            asked += u32::from(!fills.is_empty());
            shown += u32::from(fills.iter().any(|fill| fill.shows_in(image)));
        }
        assert!(asked > 100 && shown == 0, "{shown} of {asked}");
    }
}
