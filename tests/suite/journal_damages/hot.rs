//! Hot journals, their damages, and what must be said of each.

use std::path::Path;

use crate::journal::{left_behind, naming};
use crate::support::text;

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
pub(super) const SECTOR: usize = 512;
/// SQLite and the file system go up to 16 TiB; files that are read whole here do not.
const MOST_PAGES: u32 = 20_000;
pub(super) const SUPER: &str = "x.db-mj0123AB9CD";

/// What must be said of a damaged journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// Nothing that counts was hit: as of an undamaged one.
    Whole,
    /// The bytes that are left do not tell: anything but "without loss".
    Unseen,
    /// They do: a loss.
    Lossy,
}

/// A header with the records that it counts, as SQLite wrote them.
pub(super) struct Segment {
    pub at: usize,
    /// As it is in the header.
    pub counted: u32,
    pub records: usize,
}

/// A database that a writer left half written, and its journal.
pub(super) struct Hot {
    pub database: Vec<u8>,
    pub journal: Vec<u8>,
    pub page_bytes: usize,
    pub segments: Vec<Segment>,
    /// Where the name of a super-journal begins.
    pub name_at: Option<usize>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Hot {
    pub(super) fn of((database, journal): (Vec<u8>, Vec<u8>)) -> Self {
        let page_bytes = word(&journal, 24) as usize;
        let mut hot = Self { database, journal, page_bytes, segments: Vec::new(), name_at: None };
        let mut at = 0;
        while hot.journal.get(at..at + 8) == Some(&MAGIC) {
            let counted = word(&hot.journal, at + 8);
            let by_size = (hot.journal.len() - SECTOR) / hot.record_bytes();
            let records = usize::try_from(counted).ok().filter(|_| counted != u32::MAX);
            let records = records.unwrap_or(by_size);
            hot.segments.push(Segment { at, counted, records });
            at = hot.end_of(hot.segments.last().unwrap()).next_multiple_of(SECTOR);
        }
        hot
    }

    /// The same with the name of a super-journal after the last record that counts.
    pub(super) fn naming(mut self, name: &Path) -> Self {
        let end = self.end_of(self.segments.last().unwrap());
        self.journal.truncate(end);
        self.journal = naming(&self.journal, text(name).as_bytes());
        let name_at = end.next_multiple_of(SECTOR);
        let lock_byte_page = u32::try_from((1 << 30) / self.page_bytes + 1).unwrap();
        self.journal[name_at..name_at + 4].copy_from_slice(&lock_byte_page.to_be_bytes());
        self.name_at = Some(name_at);
        self
    }

    pub(super) fn record_bytes(&self) -> usize {
        self.page_bytes + 8
    }

    fn end_of(&self, segment: &Segment) -> usize {
        segment.at + SECTOR + segment.records * self.record_bytes()
    }

    /// Where the records of every segment begin, with its place in the list.
    fn records(&self) -> impl Iterator<Item = (usize, usize)> {
        self.segments.iter().enumerate().flat_map(move |(index, segment)| {
            let at = move |number| segment.at + SECTOR + number * self.record_bytes();
            (0..segment.records).map(move |number| (index, at(number)))
        })
    }

    /// What must be said of `damaged`, by what of the journal it has changed.
    pub(super) fn wanted(&self, damaged: &[u8]) -> Wanted {
        let cut = (damaged.len() < self.journal.len()).then_some(damaged.len());
        let cut = cut.map_or(Wanted::Whole, |len| self.wanted_of_cut(len));
        let is_other = |at: usize| {
            let other = damaged.get(at);
            other.is_some() && other != Some(&self.journal[at])
        };
        if is_other(0) && damaged[..28] == [0; 28] {
            // As after a commit with journal_mode=PERSIST.
            return Wanted::Unseen;
        }
        let mut wanted = cut;
        for (index, segment) in self.segments.iter().enumerate() {
            if (segment.at..segment.at + 28).any(is_other) {
                wanted = wanted.max(self.wanted_of_header(index, damaged));
            }
        }
        for (index, at) in self.records() {
            if (at..at + self.record_bytes()).any(is_other) {
                wanted = wanted.max(self.wanted_of_record(index, at, damaged));
            }
        }
        if let Some(name_at) = self.name_at
            && (name_at..self.journal.len()).any(is_other)
        {
            let number_is_left = damaged[name_at..name_at + 4] == self.journal[name_at..][..4];
            let end = self.journal.len();
            let magic_is_left = damaged[end - 8..] == self.journal[end - 8..];
            wanted = wanted.max(match (name_at + 4..end).any(is_other) {
                false => Wanted::Whole,
                true if number_is_left || magic_is_left => Wanted::Lossy,
                true => Wanted::Unseen,
            });
        }
        wanted
    }

    fn wanted_of_cut(&self, len: usize) -> Wanted {
        if len < SECTOR {
            return Wanted::Lossy;
        }
        for (segment, next) in self.segments.iter().zip(self.segments.iter().skip(1)) {
            // Between two segments; the magic of the next tells of it.
            if (self.end_of(segment)..next.at + 8).contains(&len) {
                return Wanted::Unseen;
            }
        }
        let last = self.segments.last().unwrap();
        match self.name_at {
            _ if last.counted == u32::MAX && len < self.end_of(last) => Wanted::Unseen,
            _ if len < self.end_of(last) => Wanted::Lossy,
            Some(name_at) if len >= name_at + 4 => Wanted::Lossy,
            Some(_) => Wanted::Unseen,
            None => Wanted::Whole,
        }
    }

    fn wanted_of_header(&self, index: usize, damaged: &[u8]) -> Wanted {
        let segment = &self.segments[index];
        let (at, is_last) = (segment.at, index + 1 == self.segments.len());
        let is_same = |from: usize, to: usize| {
            damaged[at + from..at + to] == self.journal[at + from..at + to]
        };
        if damaged[at..at + 28] == [0; 28] {
            return if segment.records > 1 { Wanted::Lossy } else { Wanted::Unseen };
        }
        if !is_same(0, 8) || (!is_same(12, 16) && segment.records > 0) {
            return Wanted::Lossy;
        }
        if index == 0 && !is_same(20, 28) {
            // A header without a page size means that of the database.
            let means_the_same = is_same(20, 24) && word(damaged, 24) == 0;
            return if means_the_same { Wanted::Whole } else { Wanted::Lossy };
        }
        if !is_same(8, 12) {
            return match word(damaged, at + 8) {
                u32::MAX if is_last => Wanted::Unseen,
                counted if counted as usize == segment.records => Wanted::Whole,
                _ => Wanted::Lossy,
            };
        }
        if index > 0 || is_same(16, 20) {
            return Wanted::Whole;
        }
        // Pages that the file has by now, and the header does not count.
        let (new, old) = (word(damaged, 16), word(&self.journal, 16));
        let in_file = u32::try_from(self.database.len() / self.page_bytes).unwrap();
        if (old..=in_file).contains(&new) { Wanted::Unseen } else { Wanted::Lossy }
    }

    fn wanted_of_record(&self, index: usize, at: usize, damaged: &[u8]) -> Wanted {
        let is_other = |at: usize| damaged.get(at).is_some_and(|&byte| byte != self.journal[at]);
        let sum_at = at + 4 + self.page_bytes;
        let samples = (1..).map(|step| step * 200).take_while(|&back| back < self.page_bytes);
        let is_seen = samples.map(|back| sum_at - back).chain(sum_at..sum_at + 4).any(is_other);
        let page = word(damaged, at);
        if is_seen || page == 0 {
            // Where the size of the file counts, the last ones may have been on their way.
            let is_intact = |at: usize| !(at..at + self.record_bytes()).any(is_other);
            let is_last = !self.records().any(|(_, later)| later > at && is_intact(later));
            let by_size = self.segments[index].counted == u32::MAX;
            return if by_size && is_last { Wanted::Unseen } else { Wanted::Lossy };
        }
        if (at..at + 4).any(is_other) {
            let is_new = !(1..=word(&self.journal, 16)).contains(&page);
            let is_twice = self.records().any(|(_, other)| word(&self.journal, other) == page);
            return if is_new || is_twice { Wanted::Lossy } else { Wanted::Unseen };
        }
        Wanted::Unseen
    }
}

/// A change of one kind, by its number.
pub(super) fn damage(
    hot: &Hot,
    kind: usize,
    random: &mut fastrand::Rng,
) -> (&'static str, Vec<u8>) {
    let mut bytes = hot.journal.clone();
    let counts = |random: &mut fastrand::Rng, right: u32| match random.u8(0..7) {
        0 => 0,
        1 => u32::MAX,
        2 => 0x7fff_ffff,
        3 => random.u32(..),
        4 => right ^ (1 << random.u32(0..32)),
        5 => right.wrapping_add(1),
        _ => right.wrapping_sub(1),
    };
    let what = match kind {
        0 => {
            bytes.truncate(random.usize(1..bytes.len()));
            "cut"
        }
        1 => {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(0..8);
            "one bit"
        }
        2 => {
            let at = random.usize(..bytes.len()) / SECTOR * SECTOR;
            let end = bytes.len().min(at + SECTOR);
            bytes[at..end].fill(0);
            "a sector of zeros"
        }
        3 => {
            let at = hot.segments[random.usize(..hot.segments.len())].at + 8;
            let count = counts(random, word(&bytes, at));
            bytes[at..at + 4].copy_from_slice(&count.to_be_bytes());
            "the number of records"
        }
        4 => {
            let count = counts(random, word(&bytes, 16)) % MOST_PAGES;
            bytes[16..20].copy_from_slice(&count.to_be_bytes());
            "the page count"
        }
        5 => {
            let (_, at) = hot.records().nth(random.usize(..hot.records().count())).unwrap();
            bytes[at + random.usize(2..4)] ^= 1 << random.u8(0..8);
            "a page number"
        }
        6 => {
            let at = hot.segments[random.usize(..hot.segments.len())].at;
            bytes[at + random.usize(..28)] ^= 1 << random.u8(0..8);
            "a bit of a header"
        }
        7 => {
            let at = hot.segments[random.usize(..hot.segments.len())].at;
            bytes[at..at + SECTOR].fill(0);
            "a header of zeros"
        }
        _ => {
            let from = hot.name_at.unwrap_or(bytes.len() - 1);
            let at = random.usize(from..bytes.len());
            if random.bool() {
                bytes[at] ^= 1 << random.u8(0..8);
            } else {
                bytes.truncate(at);
            }
            "the name of the super-journal"
        }
    };
    if bytes.len() >= 20 && word(&bytes, 16) > MOST_PAGES {
        bytes[16..18].copy_from_slice(&hot.journal[16..18]);
    }
    (what, bytes)
}

/// Journals of several page sizes, with and without counts in their headers, and with a name.
pub(super) fn hot_journals(folder: &Path) -> Vec<Hot> {
    let mut all = Vec::new();
    for (page_bytes, sync) in [(512, "FULL"), (1024, "OFF"), (1024, "FULL"), (4096, "FULL")] {
        let files = left_behind(page_bytes, sync);
        if sync == "FULL" {
            all.push(Hot::of(files.clone()).naming(&folder.join(SUPER)));
        }
        all.push(Hot::of(files));
    }
    all
}
