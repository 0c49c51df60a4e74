//! One-word corrections of a damaged frame.
//!
//! The checksum is linear modulo 2^32, so a fault in one 32-bit word changes the sum by a known
//! vector times the fault. Given the difference between the stored and the computed sum, each word
//! position has at most one fault that explains both halves.
//! Faults of several words can have the same sums: that a correction is the only one of its kind
//! proves nothing of the image ([`super::cure`] looks for a witness).

use crate::format::{ByteOrder, Checksum, FrameHeader};
use crate::scan::{FrameFacts, Joiner};

use super::effects::inverse;

/// Which word of a frame is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Frame header bytes 0..4.
    PageNumber,
    /// Frame header bytes 4..8.
    CommitSize,
    /// The n-th 32-bit word of the page image, counted from 0.
    Image(u32),
    /// Frame header bytes 16..20.
    StoredA,
    /// Frame header bytes 20..24.
    StoredB,
}

/// A change of one word that makes stored and computed sum equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The word.
    pub word: Word,
    /// To be added to it, modulo 2^32, as the checksum reads it.
    pub delta: u32,
}

impl Correction {
    /// Corrects the word in a page image, if it lies there.
    pub fn apply(&self, image: &mut [u8], order: ByteOrder) {
        let Word::Image(index) = self.word else { return };
        let words = image.as_chunks_mut::<4>().0;
        if let Some(word) = words.get_mut(index as usize) {
            let right = order.word(*word).wrapping_add(self.delta);
            *word = order.bytes(right);
        }
    }
}

/// What the successor says of the stored sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredSum {
    /// The successor follows from it: it is right.
    Proven,
    /// Nothing can be said.
    Unknown,
}

/// All one-word corrections of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrections {
    /// No change of one word explains the sums.
    None,
    /// Exactly one does.
    Unique(Correction),
    /// Several do. The true one is among them if one word was damaged.
    Several {
        /// One of them changes the page number or the commit size.
        touches_header: bool,
    },
}

/// Finds the corrections of `facts`, whose sum should be `computed`.
#[must_use]
pub fn corrections(
    facts: &FrameFacts,
    computed: Checksum,
    stored: StoredSum,
    joiner: &Joiner,
) -> Corrections {
    let (mut found, mut several, mut touches_header) = (None, false, false);
    for candidate in plausible(facts, computed, stored, joiner) {
        several |= found.is_some();
        touches_header |= matches!(candidate.word, Word::PageNumber | Word::CommitSize);
        found = Some(candidate);
    }
    match found {
        None => Corrections::None,
        Some(_) if several => Corrections::Several { touches_header },
        Some(only) => Corrections::Unique(only),
    }
}

/// Every correction of `facts` that no rule excludes.
pub fn plausible(
    facts: &FrameFacts,
    computed: Checksum,
    stored: StoredSum,
    joiner: &Joiner,
) -> impl Iterator<Item = Correction> {
    let (facts, order) = (*facts, joiner.order());
    let all = candidates(facts.header.checksum.minus(computed), joiner.pairs());
    all.filter(move |candidate| match candidate.word {
        Word::PageNumber => corrected_header(&facts, *candidate, order).page.0 != 0,
        // A frame that names page 0 is wrong in that word, whatever else is.
        _ if facts.header.page.0 == 0 => false,
        Word::StoredA | Word::StoredB => stored == StoredSum::Unknown,
        Word::CommitSize | Word::Image(_) => true,
    })
}

/// The header of `facts` with `correction` applied, if that touches the header.
#[must_use]
pub fn corrected_header(
    facts: &FrameFacts,
    correction: Correction,
    order: ByteOrder,
) -> FrameHeader {
    let mut header = facts.header;
    let fix = |field: u32| {
        let word = order.word(field.to_be_bytes()).wrapping_add(correction.delta);
        match order {
            ByteOrder::Big => word,
            ByteOrder::Little => word.swap_bytes(),
        }
    };
    match correction.word {
        Word::PageNumber => header.page.0 = fix(header.page.0),
        Word::CommitSize => header.commit_size_pages = fix(header.commit_size_pages),
        Word::StoredA => header.checksum.a = header.checksum.a.wrapping_add(correction.delta),
        Word::StoredB => header.checksum.b = header.checksum.b.wrapping_add(correction.delta),
        Word::Image(_) => {}
    }
    header
}

/// `difference` is stored minus computed; `pairs` word pairs are summed, the header's first.
fn candidates(difference: Checksum, pairs: u32) -> impl Iterator<Item = Correction> + use<> {
    let in_sums =
        [(Word::StoredA, difference.a, difference.b), (Word::StoredB, difference.b, difference.a)];
    let in_sums = in_sums.into_iter().filter(|&(_, wrong, other)| wrong != 0 && other == 0);
    let in_sums = in_sums.map(|(word, wrong, _)| Correction { word, delta: wrong.wrapping_neg() });
    // Effects of the two words of a pair, seen from `later` pairs later.
    let mut first = Checksum { a: 1, b: 1 };
    let mut second = Checksum { a: 0, b: 1 };
    let in_words = (0..pairs).flat_map(move |later| {
        let index = pairs - 1 - later;
        let words = match index {
            0 => [Word::PageNumber, Word::CommitSize],
            _ => [Word::Image(2 * (index - 1)), Word::Image(2 * (index - 1) + 1)],
        };
        let effects = [first, second];
        first = step(first);
        second = step(second);
        let solve = move |(word, effect)| {
            divide(difference, effect).map(|delta| Correction { word, delta })
        };
        words.into_iter().zip(effects).filter_map(solve)
    });
    in_sums.chain(in_words)
}

fn step(Checksum { a, b }: Checksum) -> Checksum {
    let a = a.wrapping_add(b);
    Checksum { a, b: b.wrapping_add(a) }
}

/// The factor that turns `effect` into `difference`. One half of an effect is always odd: they are
/// consecutive Fibonacci numbers.
fn divide(difference: Checksum, effect: Checksum) -> Option<u32> {
    let (odd, of_odd) =
        if effect.a & 1 == 1 { (effect.a, difference.a) } else { (effect.b, difference.b) };
    let delta = of_odd.wrapping_mul(inverse(odd));
    let explains = effect.a.wrapping_mul(delta) == difference.a
        && effect.b.wrapping_mul(delta) == difference.b;
    (explains && delta != 0).then_some(delta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{FrameNo, PageSize, Pgno, Salts};

    fn slot(page_size: PageSize) -> Vec<u8> {
        let header = FrameHeader {
            page: Pgno(3),
            commit_size_pages: 5,
            salts: Salts { salt1: 1, salt2: 2 },
            checksum: Checksum::ZERO,
        };
        let mut slot = header.encode().to_vec();
        slot.extend((0..page_size.bytes()).map(|i| (i * 31 % 241) as u8));
        slot
    }

    #[test]
    fn the_damaged_word_is_always_among_the_candidates_and_mostly_alone() {
        let page_size = PageSize::ALL[3];
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let joiner = Joiner::new(page_size, order);
            let slot = slot(page_size);
            let right = FrameFacts::judge(FrameNo(1), &slot, order).content;
            let mut unique = 0;
            let mut tried = 0;
            for word in (0..1026_usize).step_by(5) {
                let at = if word < 2 { word * 4 } else { 24 + (word - 2) * 4 };
                let mut damaged = slot.clone();
                damaged[at..at + 4]
                    .iter_mut()
                    .zip([0x5a, 0x13, 0x77, 0x91])
                    .for_each(|(byte, fault)| *byte ^= fault);
                let facts = FrameFacts::judge(FrameNo(1), &damaged, order);
                let difference = right.minus(facts.content);
                let expected = match word {
                    0 => Word::PageNumber,
                    1 => Word::CommitSize,
                    _ => Word::Image(u32::try_from(word - 2).unwrap()),
                };
                let all: Vec<_> = candidates(difference, joiner.pairs()).collect();
                assert!(all.iter().any(|found| found.word == expected), "{word} {all:?}");
                tried += 1;
                unique += usize::from(all.len() == 1);
            }
            assert!(unique * 100 >= tried * 97, "{unique} of {tried}");
        }
    }

    #[test]
    fn a_corrected_header_has_its_old_field_back() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let page_size = PageSize::ALL[0];
            let joiner = Joiner::new(page_size, order);
            let slot = slot(page_size);
            let right = FrameFacts::judge(FrameNo(1), &slot, order);
            let mut damaged = slot;
            damaged[6] ^= 0x6b;
            damaged[7] ^= 0x15;
            let mut facts = FrameFacts::judge(FrameNo(1), &damaged, order);
            facts.header.checksum = right.content;
            let found = corrections(&facts, facts.content, StoredSum::Proven, &joiner);
            let Corrections::Unique(correction) = found else { panic!("{found:?}") };
            assert_eq!(corrected_header(&facts, correction, order).commit_size_pages, 5);
        }
    }

    /// How many of `tries` random faults have one explanation only; the true one is always among
    /// them. `fault` makes a fault from a random word.
    fn unique_share(tries: u32, mut fault: impl FnMut(&mut fastrand::Rng) -> u32) -> f64 {
        let mut random = fastrand::Rng::with_seed(2026);
        let page_size = PageSize::from_bytes(4096).unwrap();
        let mut unique = 0;
        for _ in 0..tries {
            let order = if random.bool() { ByteOrder::Little } else { ByteOrder::Big };
            let joiner = Joiner::new(page_size, order);
            let mut slot = vec![0; 24 + 4096];
            random.fill(&mut slot);
            let right = FrameFacts::judge(FrameNo(1), &slot, order).content;
            // Words 0 and 1 are page number and commit size, the others the image.
            let word = random.usize(..1026);
            let at = if word < 2 { word * 4 } else { 16 + word * 4 };
            let fault = fault(&mut random).to_ne_bytes();
            slot[at..at + 4].iter_mut().zip(fault).for_each(|(byte, fault)| *byte ^= fault);
            let mut facts = FrameFacts::judge(FrameNo(1), &slot, order);
            facts.header.checksum = right;
            let truth = match word {
                0 => Word::PageNumber,
                1 => Word::CommitSize,
                _ => Word::Image(u32::try_from(word - 2).unwrap()),
            };
            let all: Vec<_> =
                plausible(&facts, facts.content, StoredSum::Unknown, &joiner).collect();
            assert!(all.iter().any(|found| found.word == truth), "{truth:?} {all:?}");
            let found = corrections(&facts, facts.content, StoredSum::Unknown, &joiner);
            unique += u32::from(matches!(found, Corrections::Unique(only) if only.word == truth));
        }
        f64::from(unique) / f64::from(tries)
    }

    #[test]
    fn most_faults_of_one_word_have_one_explanation() {
        let words = unique_share(3000, |random| random.u32(1..));
        let bytes = unique_share(3000, |random| u32::from(random.u8(1..)) << (8 * random.u32(..4)));
        let bits = unique_share(3000, |random| 1 << random.u32(..32));
        // Bit 31 is the same in every third word.
        assert!(words >= 0.998 && bytes >= 0.72 && bits >= 0.60, "{words} {bytes} {bits}");
    }
}
