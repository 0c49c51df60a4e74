//! What a fault of one word does to the sum of a frame.

use crate::format::Checksum;

/// What a fault of 1 in a word adds to the sums, by the number of summed words after it. From word
/// to word these are Fibonacci numbers, so that those of `p` to `q` add up to that of `q + 2`
/// without that of `p + 1`.
#[derive(Clone, Debug)]
pub(in crate::log) struct Effects(Vec<Checksum>);

impl Effects {
    /// For a word with up to `words` words after it.
    pub(super) fn of(words: u32) -> Self {
        let before = |&Checksum { a, b }: &Checksum| Some(Checksum { a: b, b: a.wrapping_add(b) });
        let all = std::iter::successors(Some(Checksum { a: 0, b: 1 }), before);
        Self(all.take(words as usize + 1).collect())
    }

    /// For a word with `after` words after it.
    pub(super) fn at(&self, after: usize) -> Checksum {
        self.0.get(after).copied().unwrap_or(Checksum::ZERO)
    }
}

/// A sum added `factor` times.
pub(in crate::log) fn times(Checksum { a, b }: Checksum, factor: u32) -> Checksum {
    Checksum { a: a.wrapping_mul(factor), b: b.wrapping_mul(factor) }
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration.
pub(in crate::log) fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
    }
    inverse
}
