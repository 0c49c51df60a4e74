//! Faults of several words that have the sums of a fault of one: the models of faults.
//!
//! The checksum is linear modulo 2^32, and what a fault of 1 in a word adds to it are Fibonacci
//! numbers of the word's place. So a fault of one word always has the sums of other faults, and the
//! sums alone cannot tell them apart. [`MODELS`] lists the faults of this kind that really happen:
//! a pattern that was written over others, a stuck line, a byte lane, counters that are off by one.

use std::collections::HashMap;

use crate::format::Checksum;
use crate::log::effects::{Effects, inverse, times};

use super::splice::WordChange;

/// A kind of fault that can have the sums of one wrong word.
pub(super) struct Model {
    /// What it is, in words.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests name the models"))]
    pub name: &'static str,
    /// The words that are wrong, and how often the fault is in each, seen from the single word:
    /// those of `count` words, `stride` words from each other, of which the first is `first` words
    /// away.
    shapes: fn(words: usize) -> Vec<Shape>,
}

/// Equal faults, or opposite ones, at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Where the first is, in words after the single word that would explain the sums.
    first: isize,
    stride: usize,
    count: usize,
    /// Every second fault is subtracted.
    alternates: bool,
}

impl Shape {
    const fn equal(first: isize, stride: usize, count: usize) -> Self {
        Self { first, stride, count, alternates: false }
    }

    const fn opposite(first: isize, stride: usize, count: usize) -> Self {
        Self { first, stride, count, alternates: true }
    }
}

/// Every model of faults that the sums cannot tell from one wrong word.
pub(super) const MODELS: &[Model] = &[
    Model {
        name: "two words after each other, by the same amount: the word before them",
        shapes: |_| vec![Shape::equal(1, 1, 2)],
    },
    Model {
        name: "two neighbours of a word, by opposite amounts",
        shapes: |_| {
            vec![Shape::opposite(-1, 2, 2), Shape::opposite(-2, 1, 2), Shape::opposite(-1, 1, 2)]
        },
    },
    Model {
        name: "a run of words, by the same amount: a pattern of 1, 2 or 4 bytes over another",
        shapes: |words| centred(1, words, false),
    },
    Model {
        name: "every 2nd word: a pattern of 8 bytes, a lane, a stuck bit",
        shapes: |words| centred(2, words, false),
    },
    Model { name: "every 4th word", shapes: |words| centred(4, words, false) },
    Model { name: "every 8th word", shapes: |words| centred(8, words, false) },
    Model { name: "every 16th word", shapes: |words| centred(16, words, false) },
    Model { name: "every 32nd word", shapes: |words| centred(32, words, false) },
    Model {
        name: "words in turn by opposite amounts: an XOR with a short key, an alternation",
        shapes: |words| {
            [1, 2, 4].into_iter().flat_map(|stride| centred(stride, words, true)).collect()
        },
    },
];

/// Most words of a rival: a longer run of faults is no pattern any more.
const MOST_WORDS: usize = 1024;

/// Shapes of every length whose middle is at most two words from the single word.
fn centred(stride: usize, words: usize, alternates: bool) -> Vec<Shape> {
    let counts = 2..=(words / stride).min(MOST_WORDS);
    let shapes = counts.flat_map(|count| {
        let middle = isize::try_from((count - 1) * stride / 2).unwrap_or(isize::MAX);
        (-2..=2).map(move |off| Shape { first: off - middle, stride, count, alternates })
    });
    shapes.collect()
}

/// The models for images of one size.
pub(super) struct Models {
    words: usize,
    /// By stride and whether signs alternate: for each word, the effect of a fault of 1 in it and
    /// in every word that many further on.
    sums: HashMap<(usize, bool), Vec<Checksum>>,
}

impl Models {
    /// For images of so many words.
    pub(super) fn new(words: usize, effects: &Effects) -> Self {
        let mut sums = HashMap::new();
        for shape in MODELS.iter().flat_map(|model| (model.shapes)(words)) {
            let Shape { stride, alternates, .. } = shape;
            sums.entry((stride, alternates)).or_insert_with(|| {
                let mut sums = vec![Checksum::ZERO; words + stride];
                for word in (0..words).rev() {
                    let own = effects.at(words - 1 - word);
                    let later = sums.get(word + stride).copied().unwrap_or(Checksum::ZERO);
                    if let Some(sum) = sums.get_mut(word) {
                        *sum = if alternates { own.minus(later) } else { own.plus(later) };
                    }
                }
                sums
            });
        }
        Self { words, sums }
    }

    /// Every rival of a correction of word `only` that changes the sum by `difference`: what it
    /// would change instead. Words are those of the image, counted from 0; those of the header are
    /// -2 and -1. A rival that would change words before the image is left out. At most `most` of
    /// them.
    pub(super) fn rivals(
        &self,
        only: isize,
        difference: Checksum,
        most: usize,
    ) -> Vec<Vec<WordChange>> {
        let mut found: Vec<Vec<WordChange>> = Vec::new();
        for shape in MODELS.iter().flat_map(|model| (model.shapes)(self.words)) {
            let Some(places) = shape.places(only, self.words) else { continue };
            let Some(effect) = self.effect(shape, only) else { continue };
            for delta in factors(difference, effect) {
                let changes: Vec<WordChange> = places
                    .clone()
                    .map(|(word, is_negative)| {
                        let delta = if is_negative { delta.wrapping_neg() } else { delta };
                        WordChange { word, delta }
                    })
                    .collect();
                if !found.contains(&changes) {
                    found.push(changes);
                }
                if found.len() >= most {
                    return found;
                }
            }
        }
        found
    }

    /// The effect of a fault of 1 of that shape.
    fn effect(&self, shape: Shape, only: isize) -> Option<Checksum> {
        let sums = self.sums.get(&(shape.stride, shape.alternates))?;
        let first = usize::try_from(only.checked_add(shape.first)?).ok()?;
        let (from, rest) = (sums.get(first)?, sums.get(first + shape.count * shape.stride)?);
        Some(match shape.alternates && shape.count % 2 == 1 {
            true => from.plus(*rest),
            false => from.minus(*rest),
        })
    }
}

impl Shape {
    /// The words that it changes, and whether by the opposite amount; `None` where one is not in
    /// the image.
    fn places(
        self,
        only: isize,
        words: usize,
    ) -> Option<impl Iterator<Item = (usize, bool)> + Clone> {
        let first = usize::try_from(only.checked_add(self.first)?).ok()?;
        let last = first + (self.count - 1) * self.stride;
        let all = (0..self.count)
            .map(move |turn| (first + turn * self.stride, self.alternates && turn % 2 == 1));
        (last < words).then_some(all)
    }
}

/// Factors of one effect that are tried: where both of its halves are divisible by 2^k, there are
/// 2^k.
const MOST_FACTORS: u32 = 256;

/// The factors that turn `effect` into `difference`, but 0.
fn factors(difference: Checksum, effect: Checksum) -> impl Iterator<Item = u32> {
    let common = effect.a.trailing_zeros().min(effect.b.trailing_zeros());
    let (odd, of_odd) = match effect.a.trailing_zeros() == common {
        true => (effect.a, difference.a),
        false => (effect.b, difference.b),
    };
    let divides = common < 32 && of_odd.trailing_zeros() >= common;
    let count = if divides { MOST_FACTORS.min(1_u32.checked_shl(common).unwrap_or(0)) } else { 0 };
    let factor = odd
        .checked_shr(common)
        .zip(of_odd.checked_shr(common))
        .map_or(0, |(odd, of_odd)| of_odd.wrapping_mul(inverse(odd)));
    let step = 1_u32.checked_shl(32 - common.min(32)).unwrap_or(0);
    let all = (0..count).map(move |turn| factor.wrapping_add(turn.wrapping_mul(step)));
    all.filter(move |&factor| factor != 0 && times(effect, factor) == difference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    const WORDS: usize = 256;

    /// The sum of a fault.
    fn sum(changes: &[WordChange], effects: &Effects) -> Checksum {
        changes.iter().fold(Checksum::ZERO, |sum, change| {
            sum.plus(times(effects.at(WORDS - 1 - change.word), change.delta))
        })
    }

    /// The word that alone has the sum of `fault`, if there is one.
    fn single(fault: Checksum, effects: &Effects) -> Vec<usize> {
        let explains = |word: &usize| factors(fault, effects.at(WORDS - 1 - word)).next().is_some();
        (0..WORDS).filter(explains).collect()
    }

    /// A fault of each model that looks like one word has the fault itself among its rivals.
    #[test]
    fn each_model_gives_the_fault_that_it_is_named_after() {
        let effects = Effects::of(u32::try_from(WORDS).unwrap());
        let models = Models::new(WORDS, &effects);
        let mut random = Rng::with_seed(14);
        for model in MODELS {
            let mut looked_like_one = 0;
            for shape in (model.shapes)(64) {
                let delta = random.u32(1..);
                let only = 100 + random.isize(0..40);
                let Some(places) = shape.places(only, WORDS) else { continue };
                let fault: Vec<WordChange> = places
                    .map(|(word, is_negative)| WordChange {
                        word,
                        delta: if is_negative { delta.wrapping_neg() } else { delta },
                    })
                    .collect();
                let difference = sum(&fault, &effects);
                for word in single(difference, &effects) {
                    let word = isize::try_from(word).unwrap();
                    // A shape is looked for around its middle.
                    if (word - only).abs() > 2 {
                        continue;
                    }
                    looked_like_one += 1;
                    let found = models.rivals(word, difference, usize::MAX);
                    assert!(
                        found.contains(&fault),
                        "{}: {shape:?} at {only}: {fault:?}",
                        model.name
                    );
                    for rival in found {
                        assert_eq!(sum(&rival, &effects), difference);
                    }
                }
            }
            assert!(looked_like_one > 0, "{}", model.name);
        }
    }

    #[test]
    fn a_factor_is_found_where_both_halves_are_even() {
        let effect = Checksum { a: 12, b: 8 };
        let of = |difference, effect| factors(difference, effect).collect::<Vec<u32>>();
        for factor in [1_u32, 5, 7_u32.wrapping_neg()] {
            let found = of(times(effect, factor), effect);
            assert!(found.contains(&factor) && found.len() == 4, "{found:?}");
        }
        assert!(of(Checksum { a: 6, b: 8 }, effect).is_empty());
        assert!(of(Checksum { a: 1, b: 1 }, Checksum::ZERO).is_empty());
        assert_eq!(of(Checksum { a: 14, b: 21 }, Checksum { a: 2, b: 3 }), [7]);
    }
}
