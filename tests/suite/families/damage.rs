//! Families of damage. Each hits committed frames where it can; one that finds no place for itself
//! changes nothing, and another database is drawn.

use std::fs;
use std::ops::Range;
use std::path::Path;

use fastrand::Rng;

use super::content::Content;
use crate::support::beside;

/// A database and its log on the way to be damaged.
#[derive(Clone)]
pub(super) struct Set<'a> {
    pub content: &'a Content,
    pub database: Vec<u8>,
    pub wal: Vec<u8>,
}

pub(super) type Damage = fn(&mut Set<'_>, &mut Rng);

/// Every family, by the name that the table in the README has.
pub(super) const FAMILIES: &[(&str, Damage)] = &[
    ("one bit", |set, rng| {
        let (at, bit) = (set.word(rng) + rng.usize(..4), 1 << rng.u32(..8));
        set.change(at, |byte| byte ^ bit);
    }),
    ("one byte", |set, rng| {
        let (at, key) = (set.word(rng) + rng.usize(..4), rng.u8(1..));
        set.change(at, |byte| byte ^ key);
    }),
    ("one word", |set, rng| {
        let at = set.word(rng);
        set.put(at, &rng.u32(..).to_ne_bytes());
    }),
    ("pattern of 2 bytes", |set, rng| pattern(set, rng, &[b"ab", b"A ", b"\0\x01"])),
    ("pattern of 4 bytes", |set, rng| {
        pattern(set, rng, &[b"abcd", b"\xde\xad\xbe\xef", b"\0\0\0\x01"]);
    }),
    ("pattern of 8 bytes", |set, rng| {
        pattern(set, rng, &[b"abcdefgh", b"\x01\0\0\0\0\0\0\0", b"abcd\0\0\0\0"]);
    }),
    ("what the application writes there later", later_content),
    ("stride of 2 words", |set, rng| stride(set, rng, 2)),
    ("stride of 4 words", |set, rng| stride(set, rng, 4)),
    ("stride of 8 words", |set, rng| stride(set, rng, 8)),
    ("stride of 16 words", |set, rng| stride(set, rng, 16)),
    ("stride of 32 words", |set, rng| stride(set, rng, 32)),
    ("byte lane", byte_lane),
    ("stuck bit every 8 bytes", |set, rng| stuck_bit(set, rng, 8)),
    ("stuck bit every 16 bytes", |set, rng| stuck_bit(set, rng, 16)),
    ("stuck bit every 32 bytes", |set, rng| stuck_bit(set, rng, 32)),
    ("stuck bit every 64 bytes", |set, rng| stuck_bit(set, rng, 64)),
    ("counters off by one", counters),
    ("XOR with a key", xor_key),
    ("zeros to the end", |set, rng| {
        let at = rng.usize(..set.content.committed_bytes());
        set.zero_from(at);
    }),
    ("old 4 KiB block", old_block),
    ("two 4 KiB blocks exchanged", exchanged_blocks),
    ("frame missing", |set, rng| {
        let slot = set.slot(rng);
        drop(set.wal.drain(set.within(slot)));
    }),
    ("frame doubled", doubled_frame),
    ("bytes missing", |set, rng| {
        let at = rng.usize(..set.content.committed_bytes());
        drop(set.wal.drain(set.within(at..at + rng.usize(1..=100))));
    }),
    ("bytes inserted", inserted_bytes),
    ("byte order mark in front", |set, _| drop(set.wal.splice(0..0, *b"\xef\xbb\xbf"))),
    ("first 512 bytes of the generation before", |set, _| set.front_before_reset(512)),
    ("first 4096 bytes of the generation before", |set, _| set.front_before_reset(4096)),
    ("torn over a reset, front older", |set, rng| {
        let blocks = set.content.previous.len().min(set.content.committed_bytes()) / 4096;
        set.front_before_reset(4096 * rng.usize(..blocks + 1));
    }),
    ("torn over a reset, front newer", |set, rng| {
        if !set.content.previous.is_empty() {
            let cut = rng.usize(..set.content.committed_bytes()) / 4096 * 4096;
            set.wal.truncate(cut);
            set.wal.extend(set.content.previous.get(cut..).unwrap_or_default());
        }
    }),
    ("copied, then cut", |set, rng| {
        set.database.clone_from(&set.content.copied);
        let at = set.some_end(rng);
        set.wal.truncate(at);
    }),
    ("copied, then zeroed", |set, rng| {
        set.database.clone_from(&set.content.copied);
        let at = set.some_end(rng);
        set.zero_from(at);
    }),
    ("page number field", |set, rng| set.number_field(0, rng)),
    ("commit field", |set, rng| set.number_field(4, rng)),
    ("salt field", |set, rng| {
        let (at, key) = (set.slot(rng).start + 8 + rng.usize(..8), rng.u8(1..));
        set.change(at, |byte| byte ^ key);
    }),
    ("checksum field", |set, rng| {
        let (at, key) = (set.slot(rng).start + 16 + rng.usize(..8), rng.u8(1..));
        set.change(at, |byte| byte ^ key);
    }),
    ("header damaged", |set, rng| match rng.u32(..4) {
        0 => {
            let header = set.within(0..32);
            set.wal[header].fill(0);
        }
        1 => {
            let from = rng.usize(..31);
            let to = rng.usize(from + 1..=32);
            let bytes = set.within(from..to);
            set.wal[bytes].fill_with(|| rng.u8(..));
        }
        _ => {
            let (at, key) = (rng.usize(..32), rng.u8(1..));
            set.change(at, |byte| byte ^ key);
        }
    }),
];

impl<'a> Set<'a> {
    pub(super) fn of(content: &'a Content) -> Self {
        Self { content, database: content.database.clone(), wal: content.wal.clone() }
    }

    pub(super) fn write(&self, database: &Path) {
        fs::write(database, &self.database).unwrap();
        fs::write(beside(database, "-wal"), &self.wal).unwrap();
    }

    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.wal == other.wal && self.database == other.database
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.wal != self.content.wal
    }

    /// A range as far as the log goes.
    fn within(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.wal.len());
        range.start.min(end)..end
    }

    /// Bytes of a committed frame with its header.
    fn slot(&self, rng: &mut Rng) -> Range<usize> {
        let mut frame = rng.usize(..self.content.frames.len());
        if rng.bool() {
            // A false correction shows where no later frame writes the page again.
            let last = self.content.last_writers(self.content.frames.len());
            let number = frame % last.len();
            frame = last.into_values().nth(number).unwrap_or(frame);
        }
        let image = self.content.image_range(frame);
        image.start - 24..image.end
    }

    /// Offset of a word of a committed image.
    fn word(&self, rng: &mut Rng) -> usize {
        self.slot(rng).start + 24 + 4 * rng.usize(..self.content.page_bytes / 4)
    }

    /// Offset of a word of a committed image after which there are `words` more in the image.
    fn run(&self, words: usize, rng: &mut Rng) -> usize {
        let last = (self.content.page_bytes / 4).saturating_sub(words + 1);
        self.slot(rng).start + 24 + 4 * rng.usize(..=last)
    }

    fn change(&mut self, at: usize, to: impl Fn(u8) -> u8) {
        if let Some(byte) = self.wal.get_mut(at) {
            *byte = to(*byte);
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let range = self.within(at..at + bytes.len());
        let count = range.len();
        self.wal[range].copy_from_slice(&bytes[..count]);
    }

    fn zero_from(&mut self, at: usize) {
        self.wal.iter_mut().skip(at).for_each(|byte| *byte = 0);
    }

    /// The first bytes are from before the reset, where there was one.
    fn front_before_reset(&mut self, bytes: usize) {
        let front = &self.content.previous[..bytes.min(self.content.previous.len())];
        self.put(0, front);
    }

    /// Where a log may be cut: anywhere, at the border of a block, after a commit.
    fn some_end(&self, rng: &mut Rng) -> usize {
        let at = rng.usize(..self.content.committed_bytes());
        match rng.u32(..3) {
            0 => at,
            1 => at / 4096 * 4096,
            _ => {
                let ends: Vec<usize> = self.content.commit_ends().collect();
                ends[rng.usize(..ends.len())]
            }
        }
    }

    /// Another number in the four bytes at `field` of a frame header.
    fn number_field(&mut self, field: usize, rng: &mut Rng) {
        let at = self.slot(rng).start + field;
        let pages = u32::try_from(self.content.copied.len() / self.content.page_bytes).unwrap();
        match rng.u32(..4) {
            0 => self.put(at, &rng.u32(..=pages).to_be_bytes()),
            1 => self.put(at, &0_u32.to_be_bytes()),
            2 => self.put(at, &rng.u32(..).to_be_bytes()),
            _ => {
                let (byte, key) = (at + rng.usize(..4), rng.u8(1..));
                self.change(byte, |byte| byte ^ key);
            }
        }
    }

    /// Bytes of an image that are all blanks, all zeros, or all text.
    fn monotonous(&self, rng: &mut Rng) -> Option<Range<usize>> {
        const KINDS: [fn(u8) -> bool; 3] =
            [|byte| byte == b' ', |byte| byte == 0, |byte| (b' '..0x7f).contains(&byte)];
        let is_kind = KINDS[rng.usize(..KINDS.len())];
        (0..60).find_map(|_| {
            let image = self.within(self.slot(rng));
            let from = rng.usize(image.start..=image.end);
            let start = from + self.wal[from..image.end].iter().position(|&byte| is_kind(byte))?;
            let count =
                self.wal[start..image.end].iter().take_while(|&&byte| is_kind(byte)).count();
            (count >= 8).then_some(start..start + count)
        })
    }
}

/// A pattern, one of `known` or any, over blanks, zeros or text.
fn pattern<const BYTES: usize>(set: &mut Set<'_>, rng: &mut Rng, known: &[&[u8; BYTES]]) {
    let Some(run) = set.monotonous(rng) else { return };
    let mut unit = *known[rng.usize(..known.len())];
    if rng.u32(..4) == 0 {
        rng.fill(&mut unit);
    }
    let bytes = run.len().min(4 * rng.usize(2..=20)) / BYTES * BYTES;
    let mut at = run.start + rng.usize(..=run.len() - bytes);
    if rng.bool() {
        at -= at % 4;
    }
    set.put(at, &unit.repeat(bytes / BYTES));
}

/// A part of an image is what a later image of the page has there.
fn later_content(set: &mut Set<'_>, rng: &mut Rng) {
    let content = set.content;
    for _ in 0..100 {
        let one = rng.usize(..content.frames.len());
        let later: Vec<usize> = (one + 1..content.frames.len())
            .filter(|&other| content.frames[other].page == content.frames[one].page)
            .collect();
        if later.is_empty() {
            continue;
        }
        let other = later[rng.usize(..later.len().min(6))];
        let (was, is) = (content.image(one), content.image(other));
        let differ: Vec<usize> = (0..was.len()).filter(|&at| was[at] != is[at]).collect();
        if differ.is_empty() {
            continue;
        }
        let first = differ[rng.usize(..differ.len())];
        let start = if rng.bool() { first / 4 * 4 } else { first };
        let end = (start + 4 * rng.usize(1..=20)).min(was.len());
        return set.put(content.image_range(one).start + start, &is[start..end]);
    }
}

/// The same fault in 2 to 10 words that are `step` words apart.
fn stride(set: &mut Set<'_>, rng: &mut Rng, step: usize) {
    let most = (set.content.page_bytes / 4 / step).min(10);
    let count = rng.usize(2..=most.max(2));
    let start = set.run((count - 1) * step, rng);
    let (lane, key) = (rng.usize(..4), rng.u8(1..));
    let (kind, word) = (rng.u32(..4), rng.u32(..).to_ne_bytes());
    for number in 0..count {
        let at = start + 4 * step * number;
        match kind {
            0 => set.change(at + lane, |byte| byte ^ key),
            1 => set.change(at + lane, |byte| byte.wrapping_add(key)),
            2 => (0..4).for_each(|lane| set.change(at + lane, |byte| byte ^ word[lane])),
            _ => set.put(at, &word),
        }
    }
}

/// The same byte of every word of a run.
fn byte_lane(set: &mut Set<'_>, rng: &mut Rng) {
    let most = if rng.bool() { 20 } else { set.content.page_bytes / 8 };
    let count = rng.usize(2..=most);
    let start = set.run(count, rng) + rng.usize(..4);
    let (kind, key) = (rng.u32(..3), rng.u8(1..));
    for number in 0..count {
        set.change(start + 4 * number, |byte| match kind {
            0 => byte ^ key,
            1 => byte.wrapping_add(key),
            _ => key,
        });
    }
}

/// A bit that is always set, or never, in a byte of each `step`.
fn stuck_bit(set: &mut Set<'_>, rng: &mut Rng, step: usize) {
    let count = rng.usize(2..=(set.content.page_bytes / step - 1).clamp(2, 12));
    let start = set.run((count - 1) * step / 4, rng) + rng.usize(..4);
    let (is_set, bit) = (rng.bool(), 1 << rng.u32(..8));
    for number in 0..count {
        let stuck = |byte| if is_set { byte | bit } else { byte & !bit };
        set.change(start + number * step, stuck);
    }
}

/// Two neighbouring words are one too high or too low.
fn counters(set: &mut Set<'_>, rng: &mut Rng) {
    let start = set.run(1, rng);
    let lane = if rng.bool() { 0 } else { 3 };
    let by = if rng.bool() { 1 } else { u8::MAX };
    for at in [start, start + 4] {
        set.change(at + lane, |byte| byte.wrapping_add(by));
    }
}

fn xor_key(set: &mut Set<'_>, rng: &mut Rng) {
    let mut key = vec![0; rng.usize(1..=8)];
    rng.fill(&mut key);
    let words = rng.usize(2..=40);
    let start = set.run(words, rng) + rng.usize(..4);
    for number in 0..words * 4 {
        set.change(start + number, |byte| byte ^ key[number % key.len()]);
    }
}

/// A block of the file is as it was before its last write.
fn old_block(set: &mut Set<'_>, rng: &mut Rng) {
    let blocks = set.content.committed_bytes().div_ceil(4096);
    let start = 4096 * rng.usize(..blocks);
    let ends: Vec<usize> = set.content.commit_ends().filter(|&end| end < start + 4096).collect();
    let mut old = if rng.u32(..3) == 0 {
        set.content.previous.clone()
    } else {
        // Mostly a part of the block had been written by then.
        set.content.log_when(ends[ends.len() - 1 - rng.usize(..ends.len().min(3))])
    };
    // What the file did not have yet is a hole.
    old.resize(old.len().max(start + 4096), 0);
    set.put(start, &old[start..start + 4096]);
}

fn exchanged_blocks(set: &mut Set<'_>, rng: &mut Rng) {
    let blocks = set.content.committed_bytes() / 4096;
    let (one, two) = (4096 * rng.usize(..blocks), 4096 * rng.usize(..blocks));
    for at in 0..4096 {
        if one.max(two) + at < set.wal.len() {
            set.wal.swap(one + at, two + at);
        }
    }
}

/// A frame is there twice: a copy comes between, or lies over the next one.
fn doubled_frame(set: &mut Set<'_>, rng: &mut Rng) {
    let slot = set.within(set.slot(rng));
    let frame = set.wal[slot.clone()].to_vec();
    if rng.bool() {
        set.wal.splice(slot.end..slot.end, frame);
    } else {
        set.put(slot.end, &frame);
    }
}

fn inserted_bytes(set: &mut Set<'_>, rng: &mut Rng) {
    let at = rng.usize(..set.wal.len().min(set.content.committed_bytes()).max(1));
    let mut bytes = vec![0; rng.usize(1..=100)];
    if rng.bool() {
        rng.fill(&mut bytes);
    }
    let at = at.min(set.wal.len());
    set.wal.splice(at..at, bytes);
}
