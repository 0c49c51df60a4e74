//! Hot rollback journals of SQLite, damaged at random: `repair` gives what SQLite gives, byte for byte,
//! and never calls that without loss. 200 here; more with
//! `WALSMITH_JOURNALS=5000 cargo test --release --test suite journal_damages -- --nocapture`.
//! `WALSMITH_SEED` chooses others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::journal::{left_behind, naming};
use crate::support::{beside, oracle_program, text, walsmith};

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const SECTOR: usize = 512;
/// SQLite and the file system go up to 16 TiB; files that are read whole here do not.
const MOST_PAGES: u32 = 20_000;
const SUPER: &str = "x.db-mj0123AB9CD";

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// What must be said of a damaged journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    /// Nothing that counts was hit: as of an undamaged one.
    Whole,
    /// The bytes that are left do not tell: anything but "without loss".
    Unseen,
    /// They do: a loss.
    Lossy,
}

/// A header with the records that it counts, as SQLite wrote them.
struct Segment {
    at: usize,
    /// As it is in the header.
    counted: u32,
    records: usize,
}

/// A database that a writer left half written, and its journal.
struct Hot {
    database: Vec<u8>,
    journal: Vec<u8>,
    page_bytes: usize,
    segments: Vec<Segment>,
    /// Where the name of a super-journal begins.
    name_at: Option<usize>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Hot {
    fn of((database, journal): (Vec<u8>, Vec<u8>)) -> Self {
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
    fn naming(mut self, name: &Path) -> Self {
        let end = self.end_of(self.segments.last().unwrap());
        self.journal.truncate(end);
        self.journal = naming(&self.journal, text(name).as_bytes());
        let name_at = end.next_multiple_of(SECTOR);
        let lock_byte_page = u32::try_from((1 << 30) / self.page_bytes + 1).unwrap();
        self.journal[name_at..name_at + 4].copy_from_slice(&lock_byte_page.to_be_bytes());
        self.name_at = Some(name_at);
        self
    }

    fn record_bytes(&self) -> usize {
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
    fn wanted(&self, damaged: &[u8]) -> Wanted {
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
fn damage(hot: &Hot, kind: usize, random: &mut fastrand::Rng) -> (&'static str, Vec<u8>) {
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

/// Puts a set into `folder` and lets `act` have it; what is left of the database.
fn with(folder: &Path, hot: &Hot, journal: &[u8], act: impl FnOnce(&Path)) -> Vec<u8> {
    let path = folder.join("x.db");
    fs::write(&path, &hot.database).unwrap();
    fs::write(beside(&path, "-journal"), journal).unwrap();
    if hot.name_at.is_some() {
        fs::write(folder.join(SUPER), format!("{}-journal\0", path.display())).unwrap();
    }
    act(&path);
    fs::read(&path).unwrap()
}

fn by_sqlite(path: &Path) {
    Command::new(oracle_program())
        .args(["rows", text(path), "PRAGMA schema_version"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
}

/// Runs `repair --apply` into a new file; its report, the exit code, and the file.
fn repaired(path: &Path, more: &[&str]) -> (Value, i32, Option<Vec<u8>>) {
    let new = path.with_file_name("new.db");
    let _ = fs::remove_file(&new);
    let args = [&["repair", text(path), "--apply", "--output", text(&new)], more].concat();
    let (report, exit) = walsmith(&args);
    (report, exit, fs::read(&new).ok())
}

/// Journals of several page sizes, with and without counts in their headers, and with a name.
fn hot_journals(folder: &Path) -> Vec<Hot> {
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

#[test]
fn a_damaged_journal_gives_what_sqlite_gives_and_is_never_called_without_loss() {
    let (count, first) = (number("WALSMITH_JOURNALS", 200), number("WALSMITH_SEED", 41));
    let parent = tempfile::tempdir().unwrap();
    let folder: PathBuf = parent.path().canonicalize().unwrap();
    let hot_journals = hot_journals(&folder);
    let mut said: BTreeMap<(&str, Wanted), u64> = BTreeMap::new();
    for seed in first..first + count {
        let mut random = fastrand::Rng::with_seed(seed);
        let hot = &hot_journals[random.usize(..hot_journals.len())];
        let kinds = if hot.name_at.is_some() { 10 } else { 8 };
        let (what, journal) = damage(hot, random.usize(..kinds), &mut random);
        let wanted = hot.wanted(&journal);
        let what_of = format!("seed {seed}, {what}, pages of {}", hot.page_bytes);
        let theirs = with(&folder, hot, &journal, by_sqlite);
        let mut ours = None;
        with(&folder, hot, &journal, |path| {
            let (report, exit, result) = repaired(path, &[]);
            // A rail that refuses prints no plan.
            let plan = match report.get("lossless") {
                Some(_) => report.clone(),
                None => walsmith(&["repair", text(path)]).0,
            };
            let lossless = plan["lossless"].as_bool();
            let said =
                format!("{what_of}: {wanted:?}, lossless {lossless:?}, exit {exit}: {report}");
            match wanted {
                Wanted::Whole => assert!(lossless.is_none() && exit == 0, "{said}"),
                Wanted::Lossy => assert!(lossless == Some(false) && exit == 6, "{said}"),
                Wanted::Unseen => {
                    let exit_of_claim = if lossless.is_none() { 0 } else { 6 };
                    assert!(lossless != Some(true) && exit == exit_of_claim, "{said}");
                }
            }
            ours = match exit {
                0 => result,
                _ => {
                    assert!(result.is_none(), "{what_of}: refused, and written");
                    let (report, exit, result) = repaired(path, &["--accept-loss"]);
                    assert!(report["lossless"] == false && exit == 1, "{what_of}: {report}");
                    result
                }
            };
            // What only the result tells, `info` does not look at.
            if wanted == Wanted::Lossy && what != "the page count" {
                let (info, exit) = walsmith(&["info", text(path)]);
                assert!(exit == 1 && info["journal"]["damage"].is_string(), "{what_of}: {info}");
            }
        });
        assert!(ours.is_some_and(|ours| ours == theirs), "{what_of}: other than SQLite's");
        *said.entry((what, wanted)).or_default() += 1;
    }
    println!("{said:#?}");
    let lossy = said.iter().filter(|((_, wanted), _)| *wanted == Wanted::Lossy);
    assert!(lossy.map(|(_, count)| count).sum::<u64>() > count / 4, "{said:?}");
}

#[test]
fn plan_and_info_say_how_many_pages_a_damaged_journal_lacks() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().canonicalize().unwrap();
    let hot = Hot::of(left_behind(512, "FULL"));
    let counted: usize = hot.segments.iter().map(|segment| segment.records).sum();
    let first = &hot.segments[0];
    assert!(hot.segments.len() > 1 && first.records > 2);
    // The second record of the first segment: SQLite stops there. A wrong page count changes nothing of
    // what the later headers count.
    let mut journal = hot.journal.clone();
    journal[16..20].copy_from_slice(&5000_u32.to_be_bytes());
    journal[first.at + SECTOR + hot.record_bytes() + 4 + 512 - 200] ^= 1;
    with(&folder, &hot, &journal, |path| {
        let words = format!(
            "its headers count {} pages, and 1 is valid: {} are missing",
            counted,
            counted - 1
        );
        let (report, _) = walsmith(&["repair", text(path)]);
        let reason = report["plan"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(&words), "{reason} / {words}");
        assert_eq!(report["plan"][0]["lossless"], false);
        let (info, exit) = walsmith(&["info", text(path)]);
        let journal = &info["journal"];
        assert!(journal["damage"].as_str().unwrap().contains(&words), "{journal}");
        assert_eq!((journal["pages"].as_u64(), exit), (Some(1), 1));
        assert_eq!(journal["counted_pages"].as_u64(), u64::try_from(counted).ok());
    });
}

#[test]
fn zeros_of_a_database_are_not_written_out() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().canonicalize().unwrap();
    let hot = Hot::of(left_behind(4096, "FULL"));
    // 64 MiB that the file system has stored: no hole tells that they are zeros.
    let mut database = hot.database.clone();
    let pages = 16_384 + database.len() / 4096;
    database.resize(pages * 4096, 0);
    let mut journal = hot.journal.clone();
    journal[16..20].copy_from_slice(&u32::try_from(pages).unwrap().to_be_bytes());
    let hot = Hot { database, journal, ..hot };
    let on_disk = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
    let theirs = with(&folder, &hot, &hot.journal, by_sqlite);
    with(&folder, &hot, &hot.journal, |path| {
        let (_, exit, result) = repaired(path, &[]);
        assert!(exit == 0 && result.unwrap() == theirs);
        assert!(on_disk(path) > 64 << 20);
        assert!(on_disk(&path.with_file_name("new.db")) < 8 << 20);
        // And an ordinary copy.
        fs::remove_file(beside(path, "-journal")).unwrap();
        fs::write(path, &theirs).unwrap();
        let new = path.with_file_name("copy.db");
        let (report, exit) = walsmith(&["repair", text(path), "--apply", "--output", text(&new)]);
        assert_eq!(exit, 0, "{report}");
        assert!(fs::read(&new).unwrap() == theirs && on_disk(&new) < 8 << 20);
    });
}
