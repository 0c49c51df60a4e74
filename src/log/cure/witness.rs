//! What another image of a page says of changed words.

use crate::format::Checksum;
use crate::log::effects::{Effects, times};

use super::ImageSource;
use super::splice::{self, WordChange};

/// Words on each side of a changed one that another image must have as well, to be a witness of it.
const WITNESSED_AROUND: usize = 2;
/// Most words of a fault that no sum shows.
const MOST_UNSEEN: usize = 16;
/// Distances in words at which the same fault may repeat.
const STRIDES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Another image of a page.
pub(super) struct OtherImage {
    pub source: ImageSource,
    /// Its words as the checksum reads them.
    pub words: Vec<u32>,
}

/// The words of an image after `changes`.
pub(super) fn changed(words: &[u32], changes: &[WordChange]) -> Vec<u32> {
    let mut words = words.to_vec();
    for WordChange { word, delta } in changes {
        if let Some(word) = words.get_mut(*word) {
            *word = word.wrapping_add(*delta);
        }
    }
    words
}

/// Whether another image differs from the corrected one by the same amount in a further word at a
/// multiple of the same distance: the fault goes on there, and the sum of that is 0. (Faults of
/// high bits have short periods.)
pub(super) fn goes_on(corrected: &[u32], other: &[u32], changes: &[WordChange]) -> bool {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return false };
    let lacks = |word: usize, delta: u32| {
        let both = corrected.get(word).zip(other.get(word));
        both.is_some_and(|(found, right)| splice::is_same_amount(right.wrapping_sub(*found), delta))
    };
    match splice::stride(changes) {
        Some(stride) => {
            let places = (first.word % stride..corrected.len()).step_by(stride);
            let amounts = || changes.iter().map(|change| change.delta);
            places.into_iter().any(|word| amounts().any(|delta| lacks(word, delta)))
        }
        None => STRIDES.into_iter().any(|stride| {
            let before = first.word.checked_sub(stride);
            before.is_some_and(|word| lacks(word, first.delta))
                || lacks(last.word + stride, last.delta)
        }),
    }
}

/// Differences of other images at equal distances: what a stuck bit, a lane, an XOR with any key
/// would have left of them.
pub(super) struct Differences<'a> {
    pub images: &'a [OtherImage],
    pub effects: &'a Effects,
}

impl Differences<'_> {
    /// Whether some of them, other than `changes`, change the sum of `words` by `difference` as
    /// well, or would leave one that no sum shows.
    pub(super) fn contest(
        &self,
        words: &[u32],
        difference: Checksum,
        changes: &[WordChange],
    ) -> bool {
        self.explain(words, difference, changes) || self.are_unseen(&changed(words, changes))
    }

    /// Whether no sum shows all that an explanation changes in an image, or that there is nothing
    /// else to change.
    pub(super) fn leave_open(&self, words: &[u32], changes: &[WordChange]) -> bool {
        splice::may_add_nothing(changes, words.len(), self.effects)
            || self.are_unseen(&changed(words, changes))
    }

    /// Whether some of them are left in a corrected image, and no sum shows them: faults of high
    /// bits.
    fn are_unseen(&self, corrected: &[u32]) -> bool {
        self.explain(corrected, Checksum::ZERO, &[])
    }

    /// Whether a fault at equal distances may go on from the changed words where nothing would show
    /// it: the words there are in no other image, and what they would add to the sum is 0. (Of
    /// three equal faults of bit 28 at every 8th word the sum is that of none.)
    pub(super) fn may_go_on(&self, corrected: &[u32], changes: &[WordChange]) -> bool {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return false };
        let is_unknown = |word: usize| {
            let found = corrected.get(word);
            found.is_some() && self.images.iter().all(|other| other.words.get(word) != found)
        };
        STRIDES.into_iter().any(|stride| {
            let is_open = first.word.checked_sub(stride).is_some_and(is_unknown)
                || is_unknown(last.word + stride);
            is_open && [first, last].iter().any(|end| adds_nothing(end.delta, stride, self.effects))
        })
    }

    fn explain(&self, words: &[u32], difference: Checksum, but: &[WordChange]) -> bool {
        let pairs = self.images.iter().flat_map(|other| STRIDES.map(|stride| (other, stride)));
        pairs.into_iter().any(|(other, stride)| {
            let parts =
                splice::strided_splices(words, &other.words, stride, difference, self.effects);
            parts.iter().any(|part| part != but)
        })
    }
}

/// Whether so few equal faults, or opposite ones in turn, have the sum 0.
fn adds_nothing(delta: u32, stride: usize, effects: &Effects) -> bool {
    let (mut equal, mut opposite) = (Checksum::ZERO, Checksum::ZERO);
    (0..MOST_UNSEEN).any(|turn| {
        let effect = times(effects.at(turn * stride), delta);
        equal = equal.plus(effect);
        opposite = effect.minus(opposite);
        turn > 0 && (equal == Checksum::ZERO || opposite == Checksum::ZERO)
    })
}

/// Words in which the nearest of `images` differs; `None` without one.
pub(super) fn distance(words: &[u32], images: &[OtherImage]) -> Option<usize> {
    let differ = |other: &OtherImage| {
        words.iter().zip(&other.words).filter(|(one, other)| one != other).count()
    };
    images.iter().map(differ).min()
}

/// Whether two images agree in a word and in those around it.
pub(super) fn agree_around(one: &[u32], other: &[u32], word: usize) -> bool {
    let around =
        word.saturating_sub(WITNESSED_AROUND)..(word + WITNESSED_AROUND + 1).min(one.len());
    one.get(around.clone()).is_some_and(|part| Some(part) == other.get(around))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_a_high_bit_may_go_on_where_no_image_is() {
        let effects = Effects::of(128);
        let right: Vec<u32> = (0..128).map(|word| word * 0x0101_0101).collect();
        let high = [WordChange { word: 95, delta: 1 << 28 }];
        let of = |changes: &[WordChange], other: &[u32]| {
            let images = [OtherImage { source: ImageSource::Database, words: other.to_vec() }];
            Differences { images: &images, effects: &effects }.may_go_on(&right, changes)
        };
        assert!(!of(&high, &right), "every word around it is known");
        let mut other = right.clone();
        other[87] = 7;
        assert!(of(&high, &other), "8 words before it nothing is known");
        assert!(!of(&[WordChange { word: 95, delta: 1 << 8 }], &other), "the sum would show that");
    }

    #[test]
    fn faults_of_high_bits_have_short_periods() {
        let effects = Effects::of(4096);
        // The period of Fibonacci numbers modulo 2^m is 3 * 2^(m-1).
        assert!(adds_nothing(1 << 31, 1, &effects) && adds_nothing(1 << 28, 8, &effects));
        assert!(!adds_nothing(1 << 20, 8, &effects) && !adds_nothing(1, 32, &effects));
    }
}
