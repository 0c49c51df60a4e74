//! The one frame in which bytes were inserted or are missing, put together again.
//!
//! The sum before it, its own stored sum and the number of bytes too many or too few are known.
//! Every place is tried. A result is believed if no other place gives a different image with the
//! same sum.

use crate::format::{ByteOrder, Checksum, FRAME_HEADER_BYTES, FrameHeader};
use crate::log::LogShape;
use crate::log::effects::{Effects, times};

/// Results with the right sum that are compared with each other; where there are more, none is
/// believed.
const MOST_FITS: usize = 64;

/// A frame as it was written.
#[derive(Debug, PartialEq)]
pub(super) struct Mended {
    /// Header and image.
    pub slot: Vec<u8>,
    /// How likely it is that something fits by chance.
    pub chance: f64,
}

/// What is known of the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedFrame<'a> {
    pub shape: &'a LogShape,
    /// The right sum before it.
    pub before: Checksum,
    /// The sum that the frame after it follows from; `None` without one.
    pub after: Option<Checksum>,
}

/// Removes the bytes from `found` that are too many: it is longer than a slot.
pub(super) fn without_inserted(found: &[u8], wanted: &WantedFrame<'_>) -> Option<Mended> {
    let slot_len = wanted.shape.extent.slot_len();
    let inserted = found.len().checked_sub(slot_len).filter(|&inserted| inserted > 0)?;
    let mut fits = Fits::default();
    // In the header: the image is whole.
    for at in 0..FRAME_HEADER_BYTES {
        let slot = [found.get(..at)?, found.get(at + inserted..)?].concat();
        let Some(image_sum) = wanted.image_sum(&slot) else { continue };
        if Checksum::ZERO.update(wanted.shape.order, slot.get(FRAME_HEADER_BYTES..)?) == image_sum {
            fits.add(slot);
        }
    }
    if let Some(target) = wanted.image_sum(found) {
        let image = found.get(FRAME_HEADER_BYTES..)?;
        let right = image.get(inserted..)?;
        let sums = Sums::of(image, right, wanted.shape.order);
        let mut is_known = false;
        for at in 0..=right.len() {
            let fits_here = sums.spliced(image, right, at) == target;
            if fits_here && !is_known {
                fits.add([found.get(..FRAME_HEADER_BYTES + at)?, right.get(at..)?].concat());
            }
            // Until two bytes differ, the next place gives the same image.
            is_known = (fits_here || is_known) && image.get(at) == right.get(at);
        }
    }
    fits.only(FRAME_HEADER_BYTES + slot_len)
}

/// Fills the gap in the image of `found`, which is shorter than a slot, with the bytes that another
/// image of the page has there; or, where one byte is missing, with that which the sum demands.
pub(super) fn with_missing(
    found: &[u8],
    wanted: &WantedFrame<'_>,
    others: &[Vec<u8>],
) -> Option<Mended> {
    let slot_len = wanted.shape.extent.slot_len();
    let missing = slot_len.checked_sub(found.len()).filter(|&missing| missing > 0)?;
    let target = wanted.image_sum(found)?;
    let (header, image) = found.split_at_checked(FRAME_HEADER_BYTES)?;
    // The part after the gap in its right place, and nothing before.
    let shifted = [vec![0; missing].as_slice(), image].concat();
    let mut fits = Fits::default();
    let mut tried = 0;
    for other in others.iter().filter(|other| other.len() == shifted.len()) {
        let order = wanted.shape.order;
        let (first, second) = (Sums::of(image, other, order), Sums::of(other, &shifted, order));
        let mut is_known = false;
        for at in 0..=image.len() {
            tried += 1;
            let end = at + missing;
            let fits_here = first.between(&second, [image, other, &shifted], [at, end]) == target;
            if fits_here && !is_known {
                fits.add(
                    [header, image.get(..at)?, other.get(at..end)?, image.get(at..)?].concat(),
                );
            }
            // Until two bytes differ, the next place gives the same image.
            let next = image.get(at);
            let same = next == other.get(at) && next == other.get(end);
            is_known = (fits_here || is_known) && same;
        }
    }
    if missing == 1 {
        let sums = Sums::of(image, &shifted, wanted.shape.order);
        let mut known: Option<u8> = None;
        for at in 0..=image.len() {
            let Some(effect) = sums.effect_of_byte(at) else { continue };
            let lacks = target.minus(sums.with_gap(image, &shifted, at));
            tried += 256;
            let byte = (0..=u8::MAX).find(|&byte| times(effect, byte.into()) == lacks);
            if let Some(byte) = byte.filter(|byte| known != Some(*byte)) {
                fits.add([header, image.get(..at)?, &[byte], image.get(at..)?].concat());
            }
            known = byte.or(known).filter(|byte| image.get(at) == Some(byte));
        }
    }
    fits.only(tried)
}

impl WantedFrame<'_> {
    /// The sum from zero that the image of a frame must have, which has the header of `slot`;
    /// `None` if that is no header of this place.
    fn image_sum(&self, slot: &[u8]) -> Option<Checksum> {
        let header = FrameHeader::decode(slot.first_chunk()?);
        let here = header.salts == self.shape.salts
            && header.page.0 != 0
            && self.after.is_none_or(|after| header.checksum == after);
        let no_image = vec![0; self.shape.page_size().in_memory()];
        let rest = header.sum_from(self.before, self.shape.order, &no_image);
        here.then(|| header.checksum.minus(rest))
    }
}

/// Slots that have the right sum.
#[derive(Default)]
struct Fits {
    first: Option<Vec<u8>>,
    compared: usize,
    has_rival: bool,
}

impl Fits {
    fn add(&mut self, slot: Vec<u8>) {
        self.compared += 1;
        if self.compared > MOST_FITS {
            self.has_rival = true;
        }
        if self.has_rival {
            return;
        }
        match &self.first {
            Some(first) => self.has_rival = *first != slot,
            None => self.first = Some(slot),
        }
    }

    /// The slot, if it is the only one; `tried` places were.
    fn only(self, tried: usize) -> Option<Mended> {
        let chance = u32::try_from(tried).map_or(1.0, f64::from) / 2_f64.powi(64);
        self.first.filter(|_| !self.has_rival).map(|slot| Mended { slot, chance })
    }
}

/// Sums of all beginnings of one image and all ends of another.
struct Sums {
    order: ByteOrder,
    effects: Vec<Checksum>,
    /// `[n]`: the first `n` words of the one.
    beginnings: Vec<Checksum>,
    /// `[n]`: the words of the other from `n` on.
    ends: Vec<Checksum>,
}

impl Sums {
    /// Of the beginning of `one` and the end of `other`, which is a whole image.
    fn of(one: &[u8], other: &[u8], order: ByteOrder) -> Self {
        let words = u32::try_from(other.len() / 4).unwrap_or_default();
        let table = Effects::of(words);
        let effects: Vec<Checksum> =
            (0..words as usize).rev().map(|after| table.at(after)).collect();
        let word = |image: &[u8], index: usize| {
            let bytes = image.as_chunks::<4>().0.get(index).copied().unwrap_or_default();
            order.word(bytes)
        };
        let mut beginnings = vec![Checksum::ZERO];
        let mut ends = vec![Checksum::ZERO];
        let mut sum = Checksum::ZERO;
        for (index, effect) in effects.iter().enumerate() {
            sum = sum.plus(times(*effect, word(one, index)));
            beginnings.push(sum);
        }
        sum = Checksum::ZERO;
        for (index, effect) in effects.iter().enumerate().rev() {
            sum = sum.plus(times(*effect, word(other, index)));
            ends.push(sum);
        }
        ends.reverse();
        Self { order, effects, beginnings, ends }
    }

    fn beginning(&self, words: usize) -> Checksum {
        self.beginnings.get(words).copied().unwrap_or_default()
    }

    fn end(&self, word: usize) -> Checksum {
        self.ends.get(word).copied().unwrap_or_default()
    }

    /// The word at `index` of an image that has the bytes that `byte` gives.
    fn word(&self, index: usize, byte: impl Fn(usize) -> u8) -> Checksum {
        let Some(effect) = self.effects.get(index) else { return Checksum::ZERO };
        let start = index * 4;
        let bytes = [start, start + 1, start + 2, start + 3].map(byte);
        times(*effect, self.order.word(bytes))
    }

    /// The sum of the bytes of `one` before `at`, and of those of `other` from there on.
    fn spliced(&self, one: &[u8], other: &[u8], at: usize) -> Checksum {
        let index = at / 4;
        let byte = |place: usize| byte_of(if place < at { one } else { other }, place);
        self.beginning(index).plus(self.word(index, byte)).plus(self.end(index + 1))
    }

    /// The same without the byte at `at`: a zero is there instead.
    fn with_gap(&self, one: &[u8], other: &[u8], at: usize) -> Checksum {
        let index = at / 4;
        let byte = |place: usize| match place {
            _ if place < at => byte_of(one, place),
            _ if place == at => 0,
            _ => byte_of(other, place),
        };
        self.beginning(index).plus(self.word(index, byte)).plus(self.end(index + 1))
    }

    /// What a fault of 1 in the byte at `at` adds to the sum.
    fn effect_of_byte(&self, at: usize) -> Option<Checksum> {
        let mut bytes = [0; 4];
        *bytes.get_mut(at % 4)? = 1;
        Some(times(*self.effects.get(at / 4)?, self.order.word(bytes)))
    }

    /// The sum of the bytes of the first image up to `at`, of the second up to `end`, and of the
    /// third after that. `self` has the sums of the first two, `second` of the last two.
    fn between(
        &self,
        second: &Self,
        [one, middle, last]: [&[u8]; 3],
        [at, end]: [usize; 2],
    ) -> Checksum {
        let (from, to) = (at / 4, end / 4);
        let byte = |place: usize| match place {
            _ if place < at => byte_of(one, place),
            _ if place < end => byte_of(middle, place),
            _ => byte_of(last, place),
        };
        let mut sum = self.beginning(from).plus(self.word(from, byte)).plus(second.end(to + 1));
        if to > from {
            let between = second.beginning(to).minus(second.beginning(from + 1));
            sum = sum.plus(between).plus(self.word(to, byte));
        }
        sum
    }
}

fn byte_of(image: &[u8], place: usize) -> u8 {
    image.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{PageSize, Pgno, Salts};
    use crate::scan::Extent;
    use fastrand::Rng;

    const SALTS: Salts = Salts { salt1: 0x0d0a_0d0a, salt2: 77 };

    struct Case {
        shape: LogShape,
        before: Checksum,
        slot: Vec<u8>,
    }

    fn case(random: &mut Rng, page_size: PageSize, order: ByteOrder) -> Case {
        let extent = Extent::of(1 << 20, page_size).unwrap();
        let before = Checksum { a: random.u32(..), b: random.u32(..) };
        let shape = LogShape { extent, order, salts: SALTS, start: before };
        let image: Vec<u8> = (0..page_size.in_memory())
            .map(|at| if at / 40 % 2 == 0 { 0 } else { random.u8(0..4) })
            .collect();
        let mut header = FrameHeader {
            page: Pgno(random.u32(1..99)),
            commit_size_pages: random.u32(0..2) * 120,
            salts: SALTS,
            checksum: Checksum::ZERO,
        };
        header.checksum = header.sum_from(before, order, &image);
        Case { shape, before, slot: [header.encode().as_slice(), &image].concat() }
    }

    fn each(mut test: impl FnMut(&mut Rng, &Case)) {
        for seed in 0..12 {
            let mut random = Rng::with_seed(seed);
            for page_size in [PageSize::ALL[0], PageSize::ALL[3]] {
                for order in [ByteOrder::Little, ByteOrder::Big] {
                    let case = case(&mut random, page_size, order);
                    test(&mut random, &case);
                }
            }
        }
    }

    #[test]
    fn inserted_bytes_are_found_anywhere_in_a_frame() {
        each(|random, case| {
            let after = FrameHeader::decode(case.slot.first_chunk().unwrap()).checksum;
            let after = random.bool().then_some(after);
            let wanted = WantedFrame { shape: &case.shape, before: case.before, after };
            let mut found = case.slot.clone();
            let at = random.usize(0..found.len());
            let bytes: Vec<u8> = (0..random.usize(1..101)).map(|_| random.u8(..)).collect();
            found.splice(at..at, bytes.iter().copied());
            assert_eq!(
                without_inserted(&found, &wanted).map(|mended| mended.slot),
                Some(case.slot.clone())
            );
            // Damaged besides: nothing fits.
            let other = (at + 200) % case.slot.len();
            let other = if other < at { other } else { other + bytes.len() };
            found[other] ^= 0x40;
            assert_eq!(without_inserted(&found, &wanted), None);
        });
    }

    #[test]
    fn missing_bytes_are_taken_from_another_image_or_solved() {
        each(|random, case| {
            let after = FrameHeader::decode(case.slot.first_chunk().unwrap()).checksum;
            let wanted =
                WantedFrame { shape: &case.shape, before: case.before, after: Some(after) };
            let missing = random.usize(1..400);
            let at = random.usize(FRAME_HEADER_BYTES..=case.slot.len() - missing);
            let mut found = case.slot.clone();
            found.drain(at..at + missing);
            // The other image is older: it differs elsewhere.
            let mut other = case.slot[FRAME_HEADER_BYTES..].to_vec();
            let place = at - FRAME_HEADER_BYTES;
            for byte in
                (0..other.len()).step_by(31).filter(|byte| !(place..place + missing).contains(byte))
            {
                other[byte] ^= 0x21;
            }
            let mended = with_missing(&found, &wanted, &[vec![1; 8], other]);
            assert_eq!(mended.map(|mended| mended.slot), Some(case.slot.clone()));
            if missing > 1 {
                assert_eq!(with_missing(&found, &wanted, &[]), None);
            }
            let mut found = case.slot.clone();
            found.remove(at);
            let mended = with_missing(&found, &wanted, &[]);
            assert_eq!(mended.map(|mended| mended.slot), Some(case.slot.clone()));
        });
    }
}
