//! The WAL checksum (wal.c walChecksumBytes) and its algebra.
//!
//! The input is taken as pairs of 32-bit words `(x, y)`; a pair turns the state `(a, b)` into
//! `a := a + x + b`, `b := b + y + a`, all modulo 2^32. The map is linear, so the sum over a block
//! from any start state is `advance(start, pairs) + sum(block, from zero)`. Every frame can
//! therefore be summed once, alone, and joined to any predecessor afterwards.

use serde::Serialize;

/// The order in which the words of the input are read; the low bit of the WAL magic chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ByteOrder {
    /// Magic 0x377f0682.
    Little,
    /// Magic 0x377f0683.
    Big,
}

impl ByteOrder {
    /// The order that SQLite gives to a log it starts on this machine (wal.c walFrames).
    pub const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    /// Reads one 32-bit word of checksum input.
    #[must_use]
    pub fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The bytes of one 32-bit word of checksum input.
    #[must_use]
    pub fn bytes(self, word: u32) -> [u8; 4] {
        match self {
            Self::Little => word.to_le_bytes(),
            Self::Big => word.to_be_bytes(),
        }
    }
}

/// Longest input that is summed word by word.
const SHORT_BYTES: usize = 32;

/// A running checksum; stored in files as two big-endian words whatever order was summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checksum {
    /// First word, `aFrameCksum[0]` in wal.c.
    pub a: u32,
    /// Second word, `aFrameCksum[1]` in wal.c.
    pub b: u32,
}

impl Checksum {
    /// The start state of a log header.
    pub const ZERO: Self = Self { a: 0, b: 0 };

    /// Continues this sum over `input`, whose length must be a multiple of 8 bytes.
    #[must_use]
    pub fn update(self, order: ByteOrder, input: &[u8]) -> Self {
        assert!(input.len().is_multiple_of(8), "checksum input is a whole number of word pairs");
        if input.len() <= SHORT_BYTES {
            return self.step(order, input);
        }
        let blocks = input.as_chunks::<4>().0.chunks(super::dot::MOST_WORDS);
        blocks.fold(self, |sum, words| {
            if order == ByteOrder::NATIVE {
                super::dot::sum::<false>(sum, words)
            } else {
                super::dot::sum::<true>(sum, words)
            }
        })
    }

    /// The loop of wal.c, word by word: the best there is for a few words.
    fn step(self, order: ByteOrder, input: &[u8]) -> Self {
        input.as_chunks::<8>().0.iter().fold(self, |sum, &[a, b, c, d, e, f, g, h]| {
            let first = sum.a.wrapping_add(order.word([a, b, c, d])).wrapping_add(sum.b);
            let second = sum.b.wrapping_add(order.word([e, f, g, h])).wrapping_add(first);
            Self { a: first, b: second }
        })
    }

    /// Component-wise sum modulo 2^32.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { a: self.a.wrapping_add(other.a), b: self.b.wrapping_add(other.b) }
    }

    /// Component-wise difference modulo 2^32.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { a: self.a.wrapping_sub(other.a), b: self.b.wrapping_sub(other.b) }
    }
}

/// The effect of a fixed number of word pairs of zeros on a start state: a 2x2 matrix mod 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    rows: [[u32; 2]; 2],
}

impl Advance {
    /// Leaves every state as it is.
    pub const IDENTITY: Self = Self { rows: [[1, 0], [0, 1]] };
    /// One pair: `a' = a + b`, `b' = a + 2b`.
    const STEP: Self = Self { rows: [[1, 1], [1, 2]] };
    /// The inverse of [`Self::STEP`]: `a = 2a' - b'`, `b = b' - a'`.
    const STEP_BACK: Self = Self { rows: [[2, u32::MAX], [u32::MAX, 1]] };

    /// The effect of `pairs` word pairs (8 bytes each).
    #[must_use]
    pub fn over_pairs(pairs: u32) -> Self {
        Self::STEP.power(pairs)
    }

    /// The inverse of [`Self::over_pairs`]: gives the state before `pairs` pairs of zeros.
    #[must_use]
    pub fn back_over_pairs(pairs: u32) -> Self {
        Self::STEP_BACK.power(pairs)
    }

    /// Applies the map to a state.
    #[must_use]
    pub fn apply(self, state: Checksum) -> Checksum {
        let [[aa, ab], [ba, bb]] = self.rows;
        Checksum {
            a: aa.wrapping_mul(state.a).wrapping_add(ab.wrapping_mul(state.b)),
            b: ba.wrapping_mul(state.a).wrapping_add(bb.wrapping_mul(state.b)),
        }
    }

    fn power(self, mut exponent: u32) -> Self {
        let (mut result, mut square) = (Self::IDENTITY, self);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result.then(square);
            }
            square = square.then(square);
            exponent >>= 1;
        }
        result
    }

    fn then(self, next: Self) -> Self {
        let [[a, b], [c, d]] = self.rows;
        let [left, right] = [Checksum { a, b: c }, Checksum { a: b, b: d }].map(|v| next.apply(v));
        Self { rows: [[left.a, right.a], [left.b, right.b]] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn sums_match_the_reference_vectors() {
        let pair = bytes(&[1, 2]);
        let big = Checksum::ZERO.update(ByteOrder::Big, &pair);
        let little = Checksum::ZERO.update(ByteOrder::Little, &pair);
        assert_eq!((big.a, big.b), (1, 3));
        assert_eq!((little.a, little.b), (0x0100_0000, 0x0300_0000));
    }

    /// The loop of wal.c, word by word.
    fn by_the_book(start: Checksum, order: ByteOrder, input: &[u8]) -> Checksum {
        let mut sum = start;
        for pair in input.chunks_exact(8) {
            let word = |at: usize| order.word(pair[at..at + 4].try_into().unwrap());
            sum.a = sum.a.wrapping_add(word(0)).wrapping_add(sum.b);
            sum.b = sum.b.wrapping_add(word(4)).wrapping_add(sum.a);
        }
        sum
    }

    #[test]
    fn vector_code_sums_what_the_loop_of_sqlite_sums() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut input = vec![0; 2 * 65_536 + 24];
        random.fill(&mut input);
        let lengths = (0..=4112).step_by(8).chain([8192, 16_384, 32_768, 65_536, 65_544, 131_096]);
        for len in lengths {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                for start in [Checksum::ZERO, Checksum { a: random.u32(..), b: random.u32(..) }] {
                    let wanted = by_the_book(start, order, &input[..len]);
                    assert_eq!(start.update(order, &input[..len]), wanted, "{len} {order:?}");
                }
            }
        }
    }

    #[test]
    fn a_block_can_be_summed_alone_and_joined_to_any_start() {
        let block: Vec<u8> = (0..520_u32).map(|i| (i * 37 % 251) as u8).collect();
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let alone = Checksum::ZERO.update(order, &block);
            for start in [Checksum::ZERO, Checksum { a: 7, b: u32::MAX }] {
                let joined = Advance::over_pairs(65).apply(start).plus(alone);
                assert_eq!(joined, start.update(order, &block));
                let back = Advance::back_over_pairs(65).apply(joined.minus(alone));
                assert_eq!(back, start);
            }
        }
    }
}
