//! Named ways to damage a log. Each is a function of the bytes and a seeded random source.

#![allow(clippy::ptr_arg, reason = "all mutators have the type of those that change the length")]

use fastrand::Rng;
use walsmith::format::{FrameHeader, PageSize, WAL_HEADER_BYTES, WalHeader};

/// A way to damage a log.
pub(crate) type Mutator = fn(&mut Vec<u8>, &mut Rng);

/// All of them.
pub(crate) const ALL: &[(&str, Mutator)] = &[
    ("bit-flip", bit_flip),
    ("bit-flip-in-a-header", bit_flip_in_a_header),
    ("several-bit-flips", several_bit_flips),
    ("truncate", truncate),
    ("zero-sector", zero_sector),
    ("swap-frames", swap_frames),
    ("duplicate-frame", duplicate_frame),
    ("drop-frame", drop_frame),
    ("append-garbage", append_garbage),
    ("append-zeros", append_zeros),
    ("header-of-another-generation", header_of_another_generation),
    ("header-page-size", header_page_size),
    ("header-version", header_version),
    ("header-salt", header_salt),
    ("header-checksum", header_checksum),
    ("header-field-summed-again", header_field_summed_again),
    ("frame-salt", frame_salt),
    ("frame-checksum", frame_checksum),
    ("page-number-chained-again", page_number_chained_again),
    ("commit-size-chained-again", commit_size_chained_again),
];

fn header(bytes: &[u8]) -> Option<WalHeader> {
    Some(WalHeader::decode(bytes.first_chunk::<WAL_HEADER_BYTES>()?))
}

fn page_size(bytes: &[u8]) -> Option<PageSize> {
    header(bytes)?.page_size()
}

fn slot_bytes(bytes: &[u8]) -> usize {
    page_size(bytes).map_or(1048, |size| usize::try_from(size.slot_bytes()).unwrap())
}

fn slots(bytes: &[u8]) -> usize {
    bytes.len().saturating_sub(WAL_HEADER_BYTES) / slot_bytes(bytes)
}

/// The offset of a random slot.
fn any_slot(bytes: &[u8], random: &mut Rng) -> Option<usize> {
    let slots = slots(bytes);
    (slots > 0).then(|| WAL_HEADER_BYTES + random.usize(0..slots) * slot_bytes(bytes))
}

fn flip(bytes: &mut [u8], at: usize, random: &mut Rng) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.u8(0..8);
    }
}

fn bit_flip(bytes: &mut Vec<u8>, random: &mut Rng) {
    if !bytes.is_empty() {
        let at = random.usize(0..bytes.len());
        flip(bytes, at, random);
    }
}

fn several_bit_flips(bytes: &mut Vec<u8>, random: &mut Rng) {
    for _ in 0..random.usize(2..6) {
        bit_flip(bytes, random);
    }
}

fn bit_flip_in_a_header(bytes: &mut Vec<u8>, random: &mut Rng) {
    let at = match any_slot(bytes, random) {
        Some(slot) if random.bool() => slot + random.usize(0..24),
        Some(_) | None => random.usize(0..WAL_HEADER_BYTES),
    };
    flip(bytes, at, random);
}

fn truncate(bytes: &mut Vec<u8>, random: &mut Rng) {
    let size = random.usize(0..=bytes.len());
    bytes.truncate(size);
}

fn zero_sector(bytes: &mut Vec<u8>, random: &mut Rng) {
    let start = random.usize(0..=bytes.len() / 512) * 512;
    let end = (start + 512).min(bytes.len());
    bytes[start.min(end)..end].fill(0);
}

fn swap_frames(bytes: &mut Vec<u8>, random: &mut Rng) {
    let (Some(one), Some(two)) = (any_slot(bytes, random), any_slot(bytes, random)) else { return };
    for index in 0..slot_bytes(bytes) {
        bytes.swap(one + index, two + index);
    }
}

fn duplicate_frame(bytes: &mut Vec<u8>, random: &mut Rng) {
    let (Some(from), Some(to)) = (any_slot(bytes, random), any_slot(bytes, random)) else { return };
    let step = slot_bytes(bytes);
    bytes.copy_within(from..from + step, to);
}

fn drop_frame(bytes: &mut Vec<u8>, random: &mut Rng) {
    if let Some(slot) = any_slot(bytes, random) {
        bytes.drain(slot..slot + slot_bytes(bytes));
    }
}

fn append_garbage(bytes: &mut Vec<u8>, random: &mut Rng) {
    let size = random.usize(1..4 * slot_bytes(bytes));
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(size));
}

fn append_zeros(bytes: &mut Vec<u8>, random: &mut Rng) {
    let size = bytes.len() + random.usize(1..4 * slot_bytes(bytes));
    bytes.resize(size, 0);
}

fn rewrite_header(bytes: &mut [u8], change: impl FnOnce(&mut WalHeader)) {
    if let Some(mut header) = header(bytes) {
        change(&mut header);
        bytes[..WAL_HEADER_BYTES].copy_from_slice(&header.encode());
    }
}

fn summed(header: &mut WalHeader) {
    header.checksum = header.computed_checksum();
}

fn header_of_another_generation(bytes: &mut Vec<u8>, random: &mut Rng) {
    rewrite_header(bytes, |header| {
        header.salts.salt1 = header.salts.salt1.wrapping_add(1);
        header.salts.salt2 = random.u32(..);
        header.checkpoint_seq += 1;
        summed(header);
    });
}

fn header_page_size(bytes: &mut Vec<u8>, random: &mut Rng) {
    let sizes = [0, 1, 256, 512, 1024, 2048, 4096, 8192, 65536, 131_072, 4095];
    rewrite_header(bytes, |header| header.page_size_bytes = *random.choice(&sizes).unwrap());
}

fn header_version(bytes: &mut Vec<u8>, random: &mut Rng) {
    rewrite_header(bytes, |header| header.format_version = random.u32(3_006_999..3_007_003));
}

fn header_salt(bytes: &mut Vec<u8>, random: &mut Rng) {
    rewrite_header(bytes, |header| header.salts.salt1 ^= 1 << random.u32(0..32));
}

fn header_checksum(bytes: &mut Vec<u8>, random: &mut Rng) {
    rewrite_header(bytes, |header| header.checksum.a ^= 1 << random.u32(0..32));
}

fn header_field_summed_again(bytes: &mut Vec<u8>, random: &mut Rng) {
    let (field, value) = (random.u8(0..5), random.u32(..));
    rewrite_header(bytes, |header| {
        match field {
            0 => header.format_version = value,
            1 => header.page_size_bytes = 1 << (value % 18),
            2 => header.salts.salt2 = value,
            3 => header.magic ^= 1,
            _ => header.checkpoint_seq = value,
        }
        summed(header);
    });
}

fn rewrite_frame(bytes: &mut [u8], slot: usize, change: impl FnOnce(&mut FrameHeader)) {
    let head: [u8; 24] = bytes[slot..slot + 24].try_into().unwrap();
    let mut header = FrameHeader::decode(&head);
    change(&mut header);
    bytes[slot..slot + 24].copy_from_slice(&header.encode());
}

fn frame_salt(bytes: &mut Vec<u8>, random: &mut Rng) {
    let Some(slot) = any_slot(bytes, random) else { return };
    rewrite_frame(bytes, slot, |frame| frame.salts.salt2 ^= 1 << random.u32(0..32));
}

fn frame_checksum(bytes: &mut Vec<u8>, random: &mut Rng) {
    let Some(slot) = any_slot(bytes, random) else { return };
    rewrite_frame(bytes, slot, |frame| frame.checksum.b ^= 1 << random.u32(0..32));
}

fn page_number_chained_again(bytes: &mut Vec<u8>, random: &mut Rng) {
    let Some(slot) = any_slot(bytes, random) else { return };
    let page = [0, 1, 2, 3, 100_000, u32::MAX - 1, u32::MAX][random.usize(0..7)];
    rewrite_frame(bytes, slot, |frame| frame.page.0 = page);
    chain_again(bytes, slot);
}

fn commit_size_chained_again(bytes: &mut Vec<u8>, random: &mut Rng) {
    let Some(slot) = any_slot(bytes, random) else { return };
    let size = [0, 1, 2, 9, 40, 100_000, 0x7fff_ffff, u32::MAX - 1, u32::MAX][random.usize(0..9)];
    rewrite_frame(bytes, slot, |frame| frame.commit_size_pages = size);
    chain_again(bytes, slot);
}

/// Sums the slots from `slot` on again, so that the change is a valid one.
fn chain_again(bytes: &mut [u8], slot: usize) {
    let Some(log) = header(bytes).filter(|header| header.validate().is_ok()) else { return };
    let step = slot_bytes(bytes);
    let mut sum = log.checksum;
    if slot > WAL_HEADER_BYTES {
        let before: [u8; 24] = bytes[slot - step..slot - step + 24].try_into().unwrap();
        sum = FrameHeader::decode(&before).checksum;
    }
    for frame in bytes[slot..].chunks_exact_mut(step) {
        let (head, image) = frame.split_first_chunk_mut::<24>().unwrap();
        let mut header = FrameHeader::decode(head);
        if header.salts != log.salts {
            return;
        }
        header.checksum = header.sum_from(sum, log.byte_order(), image);
        sum = header.checksum;
        *head = header.encode();
    }
}
