//! What is done to databases to make mutants of them.

use fastrand::Rng;

type Damage = fn(&mut Vec<u8>, &mut Rng);

fn page_bytes(bytes: &[u8]) -> usize {
    match usize::from(u16::from_be_bytes([bytes[16], bytes[17]])) {
        1 => 65_536,
        size => size,
    }
}

/// The range of a random page.
fn page(bytes: &[u8], random: &mut Rng) -> std::ops::Range<usize> {
    let size = page_bytes(bytes);
    let start = random.usize(0..bytes.len() / size) * size;
    start..start + size
}

/// Where the b-tree header of the page at `start` is.
fn head(start: usize) -> usize {
    if start == 0 { 100 } else { start }
}

/// Each with its name.
pub(super) const DAMAGES: &[(&str, Damage)] = &[
    ("one byte", |bytes, random| {
        let at = random.usize(0..bytes.len());
        bytes[at] ^= random.u8(1..);
    }),
    ("one bit", |bytes, random| {
        let at = random.usize(0..bytes.len());
        bytes[at] ^= 1 << random.u8(0..8);
    }),
    ("header of the database", |bytes, random| {
        let at = random.usize(0..100);
        bytes[at] ^= 1 << random.u8(0..8);
    }),
    ("header of a page", |bytes, random| {
        let at = head(page(bytes, random).start) + random.usize(0..12);
        bytes[at] ^= 1 << random.u8(0..8);
    }),
    ("pointers of a page", |bytes, random| {
        let at = head(page(bytes, random).start) + random.usize(8..40);
        bytes[at] = random.u8(..);
    }),
    ("end of a page", |bytes, random| {
        let range = page(bytes, random);
        let at = range.end - random.usize(1..60);
        bytes[at] = random.u8(..);
    }),
    ("sector zeroed", |bytes, random| {
        let start = random.usize(0..bytes.len() / 512) * 512;
        bytes[start..start + 512].fill(0);
    }),
    ("page zeroed", |bytes, random| {
        let range = page(bytes, random);
        bytes[range].fill(0);
    }),
    ("garbage page", |bytes, random| {
        let range = page(bytes, random);
        bytes[range].iter_mut().for_each(|byte| *byte = random.u8(..));
    }),
    ("garbage after a page's head", |bytes, random| {
        let range = page(bytes, random);
        bytes[range].iter_mut().skip(108).for_each(|byte| *byte = random.u8(..));
    }),
    ("page over another", |bytes, random| {
        let (from, to) = (page(bytes, random), page(bytes, random));
        bytes.copy_within(from, to.start);
    }),
    ("pages swapped", |bytes, random| {
        let (one, other) = (page(bytes, random), page(bytes, random));
        (0..one.len()).for_each(|at| bytes.swap(one.start + at, other.start + at));
    }),
    ("cut", |bytes, random| {
        let size = random.usize(1000..bytes.len());
        bytes.truncate(size);
    }),
    ("one page less", |bytes, _| {
        let size = bytes.len() - page_bytes(bytes);
        bytes.truncate(size);
    }),
    ("zeros after", |bytes, random| {
        let size = bytes.len() + random.usize(1..9) * 512;
        bytes.resize(size, 0);
    }),
    ("words of a page swapped", |bytes, random| {
        let range = page(bytes, random);
        let (one, other) = (random.usize(0..range.len() / 4), random.usize(0..range.len() / 4));
        (0..4).for_each(|at| bytes.swap(range.start + 4 * one + at, range.start + 4 * other + at));
    }),
    ("two pointers swapped", |bytes, random| {
        let start = head(page(bytes, random).start);
        let first = start + if matches!(bytes[start], 2 | 5) { 12 } else { 8 };
        let at = first + 2 * random.usize(0..8);
        bytes.swap(at, at + 2);
        bytes.swap(at + 1, at + 3);
    }),
    ("several bytes", |bytes, random| {
        for _ in 0..random.usize(2..9) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
    }),
];
