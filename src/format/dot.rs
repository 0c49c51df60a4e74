//! The checksum as two dot products: the one file with vector code.
//!
//! The sum over n words from the start `(s0, s1)` is, modulo 2^32,
//! `s0' = F(n-1) s0 + F(n) s1 + sum F(n-1-i) x_i` and
//! `s1' = F(n) s0 + F(n+1) s1 + sum F(n-i) x_i` with the Fibonacci numbers F. The sums have no
//! order, so a compiler turns them into vector code where the loop of wal.c must go word by word.

use super::Checksum;

/// Most words of one call: a page of 65536 bytes.
pub(super) const MOST_WORDS: usize = 16_384;
/// Fibonacci numbers that are needed for that: F(0) to F(MOST_WORDS + 1).
const NUMBERS: usize = MOST_WORDS + 2;

/// Fibonacci numbers modulo 2^32, the largest index first.
static FALLING: [u32; NUMBERS] = {
    let mut numbers = [0; NUMBERS];
    let (mut one, mut next, mut index) = (0_u32, 1_u32, NUMBERS);
    while index > 0 {
        index -= 1;
        #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
        {
            numbers[index] = one;
        }
        (one, next) = (next, one.wrapping_add(next));
    }
    numbers
};

/// The sum over `words`, at most [`MOST_WORDS`] and an even number of them, continued from `start`.
/// `SWAP` says that they are not in the byte order of the machine.
pub(super) fn sum<const SWAP: bool>(start: Checksum, words: &[[u8; 4]]) -> Checksum {
    // F(n) for n words, then falling: the coefficients of s1; one further: those of s0.
    let first = NUMBERS.saturating_sub(words.len() + 1);
    let (above, falling) = FALLING.split_at(first.min(NUMBERS));
    let falling_rest = falling.split_first().map_or(&[][..], |(_, rest)| rest);
    let (a, b) = dot::<SWAP>(words, falling_rest, falling);
    let number = |numbers: &[u32]| numbers.first().copied().unwrap_or(0);
    let (before, at, next) =
        (number(falling_rest), number(falling), above.last().copied().unwrap_or(0));
    let map = |left: u32, right: u32, sum: u32| {
        let start = left.wrapping_mul(start.a).wrapping_add(right.wrapping_mul(start.b));
        start.wrapping_add(sum)
    };
    Checksum { a: map(before, at, a), b: map(at, next, b) }
}

/// Both dot products, with the widest vectors that the machine has.
fn dot<const SWAP: bool>(words: &[[u8; 4]], for_a: &[u32], for_b: &[u32]) -> (u32, u32) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, by the line above.
        return unsafe { dot_avx2::<SWAP>(words, for_a, for_b) };
    }
    plain_dot::<SWAP>(words, for_a, for_b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_avx2<const SWAP: bool>(words: &[[u8; 4]], for_a: &[u32], for_b: &[u32]) -> (u32, u32) {
    plain_dot::<SWAP>(words, for_a, for_b)
}

#[inline(always)]
fn plain_dot<const SWAP: bool>(words: &[[u8; 4]], for_a: &[u32], for_b: &[u32]) -> (u32, u32) {
    let (mut a, mut b) = (0_u32, 0_u32);
    for ((word, left), right) in words.iter().zip(for_a).zip(for_b) {
        let word = u32::from_ne_bytes(*word);
        let word = if SWAP { word.swap_bytes() } else { word };
        a = a.wrapping_add(word.wrapping_mul(*left));
        b = b.wrapping_add(word.wrapping_mul(*right));
    }
    (a, b)
}
