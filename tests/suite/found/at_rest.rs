//! Faults of files that nobody uses. Files and logs of other times are in `standing_in_time`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use tempfile::TempDir;
use walsmith::format::{FrameHeader, WalHeader};

use super::{Faulty, Kind};
use crate::rails::rechained;
use crate::shim::Shim;
use crate::support::{
    Oracle, beside, hold_command, oracle, oracle_program, release, text, walsmith,
};

pub(super) const KINDS: [Kind; 16] = [
    Kind { name: "a byte of a frame", rules: &["log-damaged"], make: byte_of_a_frame },
    Kind { name: "a sector of a frame", rules: &["log-damaged"], make: sector_of_a_frame },
    Kind { name: "the header of the log", rules: &["log-header"], make: header_of_the_log },
    Kind { name: "bytes inserted or removed", rules: &["log-shifted"], make: shifted },
    Kind { name: "the log cut, its index there", rules: &["log-cut"], make: log_cut },
    Kind { name: "the database emptied", rules: &["log-discarded"], make: emptied },
    Kind { name: "the database gone", rules: &["log-discarded"], make: database_gone },
    Kind { name: "the log of another database", rules: &["pair-foreign"], make: foreign },
    Kind { name: "page 1 of rollback mode", rules: &["pair-unclear"], make: rollback_header },
    Kind { name: "another commit size", rules: &["sizes-contradict"], make: commit_size },
    Kind { name: "another count on page 1", rules: &["sizes-contradict"], make: header_count },
    Kind { name: "the file cut", rules: &["file-short"], make: file_cut },
    // Nothing of a small database may show that it was one.
    Kind { name: "page 1 overwritten", rules: &["page-1-lost", "not-sqlite"], make: page_one },
    Kind { name: "a byte of a page with a sum", rules: &["page-checksum"], make: page_checksum },
    Kind { name: "a b-tree page", rules: &["structure"], make: btree_page },
    Kind { name: "emptied beside a journal", rules: &["journal-discarded"], make: journal_unread },
];

/// Kinds of healthy sets whose log may have anything in it.
const WITH_LOG: [&str; 5] = ["plain", "never", "vacuum", "auto-vacuum", "incremental"];

fn healthy(seed: u64, rng: &mut Rng, end: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let kind = WITH_LOG[rng.usize(0..WITH_LOG.len())];
    let args = ["healthy", text(&database), &seed.to_string(), kind, end, "0"];
    // It may die by itself.
    Command::new(oracle_program()).args(args).output().unwrap();
    (folder, database)
}

fn faulty((folder, database): (TempDir, PathBuf)) -> Option<Faulty> {
    Some(Faulty { folder, database, users: Vec::new() })
}

/// A healthy log up to its last commit.
struct Log {
    bytes: Vec<u8>,
    slot: usize,
    /// Frames that commit.
    commits: Vec<usize>,
}

impl Log {
    /// What SQLite sees of the log beside `database`.
    fn read(database: &Path) -> Option<Self> {
        let bytes = fs::read(beside(database, "-wal")).ok()?;
        let file = fs::read(database).unwrap();
        let committed = Oracle::start().see_bytes(&file, &bytes).mx_frame? as usize;
        let slot = WalHeader::decode(bytes.first_chunk()?).page_size()?.slot_bytes();
        let slot = usize::try_from(slot).unwrap();
        let frames = bytes[32..].chunks_exact(slot).take(committed);
        let head = |frame: &[u8]| FrameHeader::decode(frame.first_chunk().unwrap());
        let commits = frames.enumerate().filter(|(_, frame)| head(frame).commit_size_pages > 0);
        let commits = commits.map(|(place, _)| place + 1).collect();
        Some(Self { bytes, slot, commits })
    }

    fn committed(&self) -> usize {
        self.commits.last().copied().unwrap_or_default()
    }

    /// Where a frame begins.
    fn place(&self, frame: usize) -> usize {
        32 + (frame - 1) * self.slot
    }

    /// A frame after which there is a commit that is not its own.
    fn frame_before_a_commit(&self, rng: &mut Rng) -> Option<usize> {
        let last_but_one = self.commits.len().checked_sub(2)?;
        Some(rng.usize(1..=self.commits[last_but_one]))
    }
}

fn with_log(
    seed: u64,
    rng: &mut Rng,
    change: impl Fn(&mut Log, &mut Rng) -> Option<()>,
) -> Option<Faulty> {
    let set = healthy(seed, rng, "die");
    let mut log = Log::read(&set.1)?;
    change(&mut log, rng)?;
    fs::write(beside(&set.1, "-wal"), log.bytes).unwrap();
    faulty(set)
}

fn byte_of_a_frame(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let frame = log.frame_before_a_commit(rng)?;
        let at = log.place(frame) + rng.usize(0..log.slot);
        log.bytes[at] ^= rng.u8(1..);
        Some(())
    })
}

fn sector_of_a_frame(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let frame = log.frame_before_a_commit(rng)?;
        let at = log.place(frame) + 24 + 512 * rng.usize(0..(log.slot - 24) / 512);
        let fill = rng.u8(1..);
        log.bytes[at..at + 512].iter_mut().for_each(|byte| *byte ^= fill);
        Some(())
    })
}

fn header_of_the_log(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let _ = log.commits.first()?;
        match rng.bool() {
            true => log.bytes[rng.usize(0..32)] ^= rng.u8(1..),
            false => log.bytes[..32].fill(rng.u8(..)),
        }
        Some(())
    })
}

fn shifted(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let frame = log.frame_before_a_commit(rng)?;
        let at = log.place(frame) + rng.usize(0..log.slot);
        let bytes = rng.usize(1..100);
        match rng.bool() {
            true => drop(log.bytes.splice(at..at, std::iter::repeat_n(7, bytes))),
            false => drop(log.bytes.drain(at..at + bytes)),
        }
        Some(())
    })
}

fn log_cut(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let kept = rng.usize(0..log.committed().checked_sub(1)?);
        log.bytes.truncate(32 + kept * log.slot);
        Some(())
    })
}

fn emptied(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = healthy(seed, rng, "die");
    let _ = Log::read(&set.1)?.commits.first()?;
    fs::write(&set.1, &b"x"[..rng.usize(0..2)]).unwrap();
    faulty(set)
}

fn database_gone(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = healthy(seed, rng, "die");
    let _ = Log::read(&set.1)?.commits.first()?;
    fs::remove_file(&set.1).unwrap();
    faulty(set)
}

fn foreign(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = healthy(seed, rng, "die");
    let bytes = fs::read(&set.1).unwrap();
    let page_bytes = page_bytes(bytes.get(..100)?);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("x.db");
    let setup = format!(
        "PRAGMA page_size={page_bytes}; PRAGMA journal_mode=WAL;
         CREATE TABLE t(customer TEXT, total REAL, note BLOB); CREATE INDEX by_total ON t(total);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO t SELECT 'customer ' || i, random() / 1e9, randomblob(200) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE)"
    );
    oracle(&["run", text(&other), &setup]);
    let change = format!("UPDATE t SET total = total + 1 WHERE rowid % {} = 1", rng.u32(3..50));
    let mut command = Command::new(oracle_program());
    command.arg("hold-sql").arg(&other).arg(change);
    let user = hold_command(command);
    fs::copy(beside(&other, "-wal"), beside(&set.1, "-wal")).unwrap();
    release(user);
    let _ = fs::remove_file(beside(&set.1, "-shm"));
    faulty(set)
}

fn rollback_header(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = healthy(seed, rng, "die");
    let log = Log::read(&set.1)?;
    let _ = log.commits.first()?;
    let mut bytes = fs::read(&set.1).unwrap();
    if bytes.len() < 100 {
        return None;
    }
    bytes[18..20].fill(1);
    fs::write(&set.1, bytes).unwrap();
    // Of a log that holds every page, the file does not matter.
    let (info, _) = walsmith(&["info", text(&set.1)]);
    if info["pairing"]["self_contained"] == true {
        return None;
    }
    faulty(set)
}

/// Only where SQLite calls it corrupt: more pages than page 1 counts harm nobody.
fn commit_size(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = another_commit_size(seed, rng)?;
    let copy = set.folder.path().join("asked.db");
    for suffix in ["", "-wal"] {
        fs::copy(beside(&set.database, suffix), beside(&copy, suffix)).unwrap();
    }
    let outcome = Oracle::opening().outcome(&copy);
    (outcome["open"] == 11 || outcome["checkpoint"] == 11).then_some(set)
}

fn another_commit_size(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let last = log.committed();
        let _ = log.commits.first()?;
        let by = [1, 2, 3, 40, 9000][rng.usize(0..5)];
        let down = rng.bool();
        let mut is_changed = true;
        log.bytes.truncate(log.place(last + 1));
        log.bytes = rechained(&log.bytes, |number, head, _| {
            if number == last {
                let size = head.commit_size_pages;
                is_changed = !down || size > 2 * by;
                head.commit_size_pages = if down { size.saturating_sub(by) } else { size + by };
            }
        });
        is_changed.then_some(())
    })
}

fn header_count(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    with_log(seed, rng, |log, rng| {
        let _ = log.commits.first()?;
        log.bytes.truncate(log.place(log.committed() + 1));
        let by = rng.u32(1..60);
        let mut is_changed = false;
        log.bytes = rechained(&log.bytes, |_, head, image| {
            if head.page.0 == 1 {
                let count = u32::from_be_bytes(image[28..32].try_into().unwrap());
                image[28..32].copy_from_slice(&(count + by).to_be_bytes());
                is_changed = true;
            }
        });
        is_changed.then_some(())
    })
}

fn file_cut(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = closed(seed, rng);
    let bytes = fs::read(&set.1).unwrap();
    let page_bytes = page_bytes(&bytes);
    let pages = bytes.len() / page_bytes;
    let kept = rng.usize(1..pages.max(2)) * page_bytes;
    fs::write(&set.1, bytes.get(..kept).filter(|kept| kept.len() < bytes.len())?).unwrap();
    faulty(set)
}

fn page_bytes(database: &[u8]) -> usize {
    match u16::from_be_bytes(database[16..18].try_into().unwrap()) {
        1 => 65_536,
        bytes => bytes.into(),
    }
}

/// Copies the log into the database, and deletes it.
fn without_log(database: &Path, shim: Shim) {
    shim.oracle(&["run", text(database), "PRAGMA wal_checkpoint(TRUNCATE)"]);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(database, suffix));
    }
}

/// A database without a log.
fn closed(seed: u64, rng: &mut Rng) -> (TempDir, PathBuf) {
    let set = healthy(seed, rng, "die");
    without_log(&set.1, Shim(None));
    set
}

fn page_one(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = closed(seed, rng);
    let mut bytes = fs::read(&set.1).unwrap();
    let end = [16, 100, 512, page_bytes(&bytes)][rng.usize(0..4)];
    let (fill, is_random) = (rng.u8(..), rng.bool());
    let overwritten = &mut bytes[..end];
    overwritten.iter_mut().for_each(|byte| *byte = if is_random { rng.u8(..) } else { fill });
    fs::write(&set.1, bytes).unwrap();
    faulty(set)
}

fn page_checksum(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let shim = Shim(Some("cksumvfs"));
    shim.and_die(&["healthy", text(&database), &seed.to_string(), "plain", "die", "8"]);
    without_log(&database, shim);
    let mut bytes = fs::read(&database).unwrap();
    let at = rng.usize(page_bytes(&bytes)..bytes.len());
    bytes[at] ^= rng.u8(1..);
    fs::write(&database, bytes).unwrap();
    faulty((folder, database))
}

fn btree_page(seed: u64, rng: &mut Rng) -> Option<Faulty> {
    let set = closed(seed, rng);
    let mut bytes = fs::read(&set.1).unwrap();
    let page_bytes = page_bytes(&bytes);
    let page = rng.usize(1..bytes.len() / page_bytes);
    for _ in 0..4 {
        bytes[page * page_bytes + rng.usize(0..24)] ^= rng.u8(1..);
    }
    fs::write(&set.1, &bytes).unwrap();
    // SQLite says whether that is a fault.
    let copy = set.0.path().join("asked.db");
    fs::write(&copy, bytes).unwrap();
    if Oracle::checking().integrity(&copy).is_empty() {
        return None;
    }
    faulty(set)
}

fn journal_unread(_: u64, rng: &mut Rng) -> Option<Faulty> {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let page_bytes = ["512", "1024", "4096"][rng.usize(0..3)];
    let args = ["hot-journal", text(&database), page_bytes, "FULL"];
    // It dies in its transaction.
    Command::new(oracle_program()).args(args).output().unwrap();
    fs::write(&database, &b"x"[..rng.usize(0..2)]).unwrap();
    faulty((folder, database))
}
