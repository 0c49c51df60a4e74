//! Parts of another image of a page that, put into a damaged one, give its sum.

use std::collections::{HashMap, HashSet};

use crate::format::{ByteOrder, Checksum};
use crate::log::effects::{Effects, times};

/// Parts of one image that are looked at. Of faults of high bits many parts have the same sum, and
/// the whole difference comes last.
const MOST_SPLICES: usize = 64;

/// Low bits that no change of a part may lack in all its words: faults of high bits alone have so
/// few different sums that parts fit by accident.
const MOST_LACKING_BITS: u32 = 8;

/// What an explanation adds to a word of a damaged image, modulo 2^32, as the checksum reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct WordChange {
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
) -> Vec<Vec<WordChange>> {
    let differs = differences(damaged, other);
    runs(&differs, damaged.len(), difference, effects)
}

/// The same of words that are `stride` words apart: what a fault at equal distances has left of the
/// other image, whatever it is (a lane, a stuck bit, an XOR).
pub(super) fn strided_splices(
    damaged: &[u32],
    other: &[u32],
    stride: usize,
    difference: Checksum,
    effects: &Effects,
) -> Vec<Vec<WordChange>> {
    let mut classes = vec![Vec::new(); stride];
    for change in differences(damaged, other) {
        if let Some(class) = classes.get_mut(change.word % stride) {
            class.push(change);
        }
    }
    let many = classes.iter().filter(|class| class.len() > 1);
    many.flat_map(|class| runs(class, damaged.len(), difference, effects)).collect()
}

/// What turns one image into another.
fn differences(damaged: &[u32], other: &[u32]) -> Vec<WordChange> {
    let both = damaged.iter().zip(other).enumerate();
    let changed = both.filter(|(_, (from, to))| from != to);
    changed.map(|(word, (from, to))| WordChange { word, delta: to.wrapping_sub(*from) }).collect()
}

/// The runs of `changes` to an image of so many words that have the sum `difference`.
fn runs(
    changes: &[WordChange],
    words: usize,
    difference: Checksum,
    effects: &Effects,
) -> Vec<Vec<WordChange>> {
    let mut found = Vec::new();
    let mut after = Checksum::ZERO;
    let mut ends: HashMap<Checksum, usize> = HashMap::new();
    for (first, change) in changes.iter().enumerate().rev() {
        ends.entry(after).or_insert(first + 1);
        after = after.plus(times(effects.at(words - 1 - change.word), change.delta));
        let end = ends.get(&after.minus(difference));
        if let Some(run) = end.and_then(|&end| changes.get(first..end)) {
            found.push(run.to_vec());
            if found.len() >= MOST_SPLICES {
                break;
            }
        }
    }
    found
}

/// The greatest distance of which all distances between changes are multiples; `None` with one
/// change.
pub(super) fn stride(changes: &[WordChange]) -> Option<usize> {
    let distances = changes.windows(2).filter_map(|pair| match pair {
        [one, next] => Some(next.word - one.word),
        _ => None,
    });
    distances.reduce(common_divisor)
}

fn common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

/// Whether two changes are by the same amount, up or down.
pub(super) fn is_same_amount(one: u32, other: u32) -> bool {
    one == other || one == other.wrapping_neg()
}

/// Whether a part of the changes may add nothing to the sum of an image of so many words: then they
/// are not all shown by it, and what an application has changed looks damaged. So it is of two
/// signs at some distances: faults of the highest bit.
pub(super) fn may_add_nothing(changes: &[WordChange], words: usize, effects: &Effects) -> bool {
    /// Low bits that a change lacks which others may undo.
    const LACKING_BITS: u32 = 16;
    let effect = |change: &WordChange| times(effects.at(words - 1 - change.word), change.delta);
    let mut sums = HashSet::from([Checksum::ZERO]);
    let mut sum = Checksum::ZERO;
    let repeats = changes.iter().any(|change| {
        sum = sum.plus(effect(change));
        !sums.insert(sum)
    });
    let high = || changes.iter().filter(|it| it.delta.trailing_zeros() >= LACKING_BITS);
    let mut seen = HashSet::new();
    let undo = high().any(|change| {
        let one = effect(change);
        let is_undone = seen.contains(&Checksum::ZERO.minus(one));
        seen.insert(one);
        is_undone
    });
    // One sign alone: that of another changed word may have been another one, too.
    let is_sign = |change: &WordChange| change.delta == 1 << 31;
    repeats || undo || (changes.len() > 1 && changes.iter().any(is_sign))
}

/// Whether so many words, and so different ones, were changed that no other fault has their sum but
/// by chance: at least three, in low bits as well, and not by equal amounts at distances with a
/// common divisor, or one after the other.
pub(super) fn is_beyond_models(changes: &[WordChange]) -> bool {
    let [first, _, _, ..] = changes else { return false };
    let lacking_bits = changes.iter().map(|change| change.delta.trailing_zeros()).min();
    let is_equal = changes.iter().all(|change| is_same_amount(change.delta, first.delta));
    let are_neighbours = changes.windows(2).all(|pair| match pair {
        [one, next] => next.word - one.word == 1,
        _ => false,
    });
    let is_regular = is_equal && (are_neighbours || stride(changes) > Some(1));
    lacking_bits <= Some(MOST_LACKING_BITS) && !is_regular
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
            for WordChange { word, delta } in part {
                damaged[*word] = damaged[*word].wrapping_add(*delta);
            }
            assert!(damaged == right && part.len() == 47 && is_beyond_models(part));
            // An image that lacks the right bytes explains nothing.
            other[50] ^= 1;
            damaged[33..80].fill(0);
            assert_eq!(
                splices(&damaged, &other, difference, &effects),
                Vec::<Vec<WordChange>>::new()
            );
        }
    }

    #[test]
    fn a_fault_at_equal_distances_is_found_among_other_differences() {
        let mut random = Rng::with_seed(4);
        for stride in [2, 4, 8, 16, 32, 64] {
            let effects = Effects::of(1024);
            let right: Vec<u32> = (0..1024).map(|_| random.u32(..)).collect();
            let mut damaged = right.clone();
            // A bit that is stuck: some words have it anyway.
            (5..700).step_by(stride).for_each(|word| damaged[word] |= 1 << 20);
            // The application changed words between them.
            let mut other = right.clone();
            (4..700).step_by(stride).for_each(|word| other[word] = 7);
            let difference = sum(&right).minus(sum(&damaged));
            assert!(splices(&damaged, &other, difference, &effects).is_empty());
            let found = strided_splices(&damaged, &other, stride, difference, &effects);
            let [fault] = found.as_slice() else { panic!("{stride}: {found:?}") };
            for WordChange { word, delta } in fault {
                damaged[*word] = damaged[*word].wrapping_add(*delta);
            }
            assert_eq!(damaged, right);
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
            assert_eq!(
                found[0],
                [WordChange { word, delta: right[word].wrapping_sub(damaged[word]) }]
            );
        }
    }

    #[test]
    fn few_words_and_equal_ones_are_not_beyond_the_models() {
        let of = |changes: &[(usize, u32)]| {
            let all: Vec<WordChange> =
                changes.iter().map(|&(word, delta)| WordChange { word, delta }).collect();
            is_beyond_models(&all)
        };
        assert!(!of(&[]) && !of(&[(3, 7)]) && !of(&[(3, 7), (9, 8)]));
        assert!(!of(&[(3, 7), (5, 7), (7, 7), (9, 7)]));
        assert!(
            !of(&[(3, 7), (5, 7), (11, 7)]) && !of(&[(3, 7), (4, 7), (5, 7_u32.wrapping_neg())])
        );
        // High bits alone.
        assert!(!of(&[(3, 1 << 31), (4, 3 << 30), (9, 1 << 30), (17, 5 << 29)]));
        assert!(of(&[(3, 7), (5, 7), (8, 7)]) && of(&[(3, 7), (4, 7), (5, 8)]));
    }

    #[test]
    fn signs_that_were_changed_may_add_nothing() {
        let effects = Effects::of(128);
        let may = |changes: &[(usize, u32)]| {
            let of = |&(word, delta): &(usize, u32)| WordChange { word, delta };
            let all: Vec<WordChange> = changes.iter().map(of).collect();
            may_add_nothing(&all, 128, &effects)
        };
        let sign = 1 << 31;
        // Two signs 24 bytes apart, after the damage, before it, around it.
        assert!(may(&[(3, 77), (20, sign), (26, sign)]));
        assert!(may(&[(20, sign), (26, sign), (30, 77)]));
        assert!(may(&[(20, sign), (22, 77), (26, sign)]));
        assert!(may(&[(3, 77), (20, sign), (21, 5), (23, sign), (24, 9), (25, sign)]));
        assert!(may(&[(3, 77), (20, sign)]));
        assert!(!may(&[(20, sign)]));
        assert!(!may(&[(3, 77), (4, 1 << 20), (5, 99), (60, 3)]));
        let mut random = Rng::with_seed(5);
        let burst: Vec<(usize, u32)> = (0..128).map(|word| (word, random.u32(1..))).collect();
        assert!(!may(&burst));
    }
}
