//! Parts of another image of a page that, put into a damaged one, give its sum.

use std::collections::HashMap;

use crate::format::{ByteOrder, Checksum};

use crate::analysis::effects::{Effects, times};

/// Parts of one image that are looked at: more than one is a doubt already.
const MOST_SPLICES: usize = 4;

/// What an explanation adds to a word of a damaged image, modulo 2^32, as the checksum reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Change {
    /// The n-th 32-bit word of the image, counted from 0.
    pub word: usize,
    /// What is added.
    pub delta: u32,
}

/// The words of an image as the checksum reads them.
pub(super) fn words(image: &[u8], order: ByteOrder) -> Vec<u32> {
    image.as_chunks::<4>().0.iter().map(|word| order.word(*word)).collect()
}

/// The changes that turn a part of `damaged` into that of `other`, for each part with which its sum
/// changes by `difference`. A part begins and ends with a word that differs. Looks at every part
/// with the sums of its two ends.
pub(super) fn splices(
    damaged: &[u32],
    other: &[u32],
    difference: Checksum,
    effects: &Effects,
) -> Vec<Vec<Change>> {
    let mut found = Vec::new();
    let mut after = Checksum::ZERO;
    let mut ends: HashMap<Checksum, usize> = HashMap::new();
    let differs = damaged.iter().zip(other).enumerate().rev().filter(|(_, (from, to))| from != to);
    for (word, (from, to)) in differs {
        ends.entry(after).or_insert(word + 1);
        let effect = effects.at(damaged.len() - 1 - word);
        after = after.plus(times(effect, to.wrapping_sub(*from)));
        if let Some(&end) = ends.get(&after.minus(difference)) {
            found.push(changes(damaged, other, word, end));
            if found.len() >= MOST_SPLICES {
                break;
            }
        }
    }
    found
}

fn changes(damaged: &[u32], other: &[u32], first: usize, end: usize) -> Vec<Change> {
    let both = damaged.iter().zip(other).enumerate().take(end).skip(first);
    let changed = both.filter(|(_, (from, to))| from != to);
    changed.map(|(word, (from, to))| Change { word, delta: to.wrapping_sub(*from) }).collect()
}

/// Whether so many words, and so different ones, were changed that no other fault has their sum but
/// by chance: at least three, and not by equal amounts at equal distances.
pub(super) fn is_beyond_models(changes: &[Change]) -> bool {
    let [first, second, rest @ ..] = changes else { return false };
    let (step, delta) = (second.word - first.word, first.delta);
    let mut all = changes.windows(2);
    let is_even = all.all(|pair| match pair {
        [one, next] => next.word - one.word == step && next.delta == delta,
        _ => false,
    });
    !rest.is_empty() && !is_even
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn sum(words: &[u32]) -> Checksum {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Checksum::ZERO.update(ByteOrder::Little, &bytes)
    }

    #[test]
    fn the_part_that_was_damaged_is_found_among_other_differences() {
        let mut random = Rng::with_seed(3);
        for len in [128, 1024, 16_384] {
            let effects = Effects::of(len);
            let right: Vec<u32> = (0..len).map(|_| random.u32(..)).collect();
            let mut damaged = right.clone();
            damaged[33..80].fill(0);
            // The other image differs elsewhere too, before and after.
            let mut other = right.clone();
            other[..16].fill(7);
            other[100..110].fill(9);
            let difference = sum(&right).minus(sum(&damaged));
            let found = splices(&damaged, &other, difference, &effects);
            let [part] = found.as_slice() else { panic!("{found:?}") };
            for Change { word, delta } in part {
                damaged[*word] = damaged[*word].wrapping_add(*delta);
            }
            assert!(damaged == right && part.len() == 47 && is_beyond_models(part));
            // An image that lacks the right bytes explains nothing.
            other[50] ^= 1;
            damaged[33..80].fill(0);
            assert_eq!(splices(&damaged, &other, difference, &effects), Vec::<Vec<Change>>::new());
        }
    }

    #[test]
    fn a_single_word_is_found_at_both_places_of_a_pair() {
        for word in [20, 21] {
            let right: Vec<u32> = (0..128).collect();
            let mut damaged = right.clone();
            damaged[word] ^= 0x100;
            let mut other = right.clone();
            other[word ^ 1] = 77;
            let difference = sum(&right).minus(sum(&damaged));
            let found = splices(&damaged, &other, difference, &Effects::of(128));
            assert_eq!(found.len(), 1);
            assert_eq!(found[0], [Change { word, delta: right[word].wrapping_sub(damaged[word]) }]);
        }
    }

    #[test]
    fn few_words_and_equal_ones_are_not_beyond_the_models() {
        let of = |changes: &[(usize, u32)]| {
            let all: Vec<Change> =
                changes.iter().map(|&(word, delta)| Change { word, delta }).collect();
            is_beyond_models(&all)
        };
        assert!(!of(&[]) && !of(&[(3, 7)]) && !of(&[(3, 7), (9, 8)]));
        assert!(!of(&[(3, 7), (5, 7), (7, 7), (9, 7)]));
        assert!(of(&[(3, 7), (5, 7), (8, 7)]) && of(&[(3, 7), (4, 7), (5, 8)]));
    }
}
