//! Rollback journals made by hand: what no writer leaves behind on demand. SQLite rolls back a copy
//! of each, and says what the right bytes are.

use std::path::Path;

use walsmith::engine::Error;
use walsmith::engine::rollback::{RolledBack, roll_back};
use walsmith::storage::fault::{Fault, FaultKind, FaultVfs, Unsynced};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{LockLevel, Locked, OpenMode, Vfs};

use crate::journal::{both_agree, naming, ours, put};

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
const NONCE: u32 = 0x0102_0304;
/// Records that the file's size tells.
const BY_SIZE: u32 = u32::MAX;
/// Page 0x40000000 / 512 + 1.
const LOCK_BYTE_PAGE: u32 = 2_097_153;

/// A segment header, padded to its sector.
#[derive(Clone, Copy)]
struct Header {
    records: u32,
    nonce: u32,
    db_size_pages: u32,
    sector_bytes: u32,
    page_bytes: u32,
}

const HEADER: Header =
    Header { records: 2, nonce: NONCE, db_size_pages: 6, sector_bytes: 512, page_bytes: 512 };

/// A journal that grows.
#[derive(Clone, Default)]
struct Journal(Vec<u8>);

impl Journal {
    /// Adds a segment at the next multiple of `sector_bytes`.
    fn segment(mut self, sector_bytes: usize, header: Header) -> Self {
        self.0.resize(self.0.len().next_multiple_of(sector_bytes), 0);
        let end = self.0.len() + sector_bytes;
        self.0.extend(MAGIC);
        let Header { records, nonce, db_size_pages, sector_bytes, page_bytes } = header;
        for field in [records, nonce, db_size_pages, sector_bytes, page_bytes] {
            self.0.extend(field.to_be_bytes());
        }
        self.0.resize(end.max(self.0.len()), 0);
        self
    }

    /// A journal of one sector of 512 bytes so far.
    fn begin(header: Header) -> Self {
        Self::default().segment(512, header)
    }

    /// Adds a record of 512 bytes, all of them `fill`; the samples are bytes 312 and 112.
    fn page(self, pgno: u32, fill: u8) -> Self {
        self.record(pgno, &[fill; 512], NONCE + 2 * u32::from(fill))
    }

    fn record(mut self, pgno: u32, image: &[u8], sum: u32) -> Self {
        self.0.extend(pgno.to_be_bytes());
        self.0.extend(image);
        self.0.extend(sum.to_be_bytes());
        self
    }
}

/// Six pages of 512 bytes that no journal holds, and whose header says so.
fn database() -> Vec<u8> {
    let mut bytes: Vec<u8> = (1..=6).flat_map(|page| [page; 512]).collect();
    bytes[..16].copy_from_slice(b"SQLite format 3\0");
    bytes[16..18].copy_from_slice(&[2, 0]);
    bytes
}

/// Pages that were put back, and the size that was set.
fn played(database: &[u8], journal: &Journal, what: &str) -> (u32, Option<u32>) {
    match both_agree(database, &journal.0, what) {
        RolledBack::Played { pages, db_size_pages } => (pages, db_size_pages),
        other @ (RolledBack::Cold | RolledBack::Committed) => panic!("{what}: {other:?}"),
    }
}

#[test]
fn the_number_of_records_is_that_of_the_header_or_of_the_file() {
    let three = |records| {
        let begun = Journal::begin(Header { records, ..HEADER });
        begun.page(1, 0xa1).page(2, 0xa2).page(3, 0xa3)
    };
    for (records, wanted) in [(0, 0), (1, 1), (3, 3), (4, 3), (0x7fff_ffff, 3), (BY_SIZE, 3)] {
        let what = format!("{records} records");
        assert_eq!(played(&database(), &three(records), &what), (wanted, Some(6)));
        // A part of a fourth.
        let mut cut = three(records).page(4, 0xa4);
        cut.0.truncate(cut.0.len() - 1);
        assert_eq!(played(&database(), &cut, &what), (wanted, Some(6)));
    }
}

#[test]
fn what_is_no_record_ends_the_journal_and_new_pages_are_skipped() {
    let image = [0xa4; 512];
    let cases = [
        ("page 0", 0, NONCE + 2 * 0xa4, 1),
        ("lock-byte page", LOCK_BYTE_PAGE, NONCE + 2 * 0xa4, 1),
        ("wrong sum", 4, NONCE, 1),
        ("new page", 7, NONCE + 2 * 0xa4, 3),
        ("new page with a wrong sum", 7, NONCE, 3),
        ("the same page again", 1, NONCE + 2 * 0xa4, 4),
    ];
    for (what, pgno, sum, wanted) in cases {
        let first = Journal::begin(Header { records: 3, ..HEADER });
        let first = first.page(1, 0xa1).record(pgno, &image, sum).page(2, 0xa2);
        // Not even the next segment is played after it.
        let both = first.segment(512, Header { records: 1, ..HEADER }).page(3, 0xa3);
        assert_eq!(played(&database(), &both, what), (wanted, Some(6)));
    }
}

#[test]
fn later_segments_bring_a_nonce_and_nothing_else() {
    let begun = |sector_bytes: u32| {
        let header = Header { sector_bytes, ..HEADER };
        Journal::default().segment(sector_bytes as usize, header).page(1, 0xa1).page(2, 0xa2)
    };
    let other =
        Header { records: 1, nonce: 99, db_size_pages: 1, sector_bytes: 16, page_bytes: 4096 };
    for sector_bytes in [32, 512, 1024, 65_536] {
        let journal = begun(sector_bytes).segment(sector_bytes as usize, other);
        let journal = journal.record(3, &[0xa3; 512], 99 + 2 * 0xa3);
        let what = format!("sectors of {sector_bytes}");
        assert_eq!(played(&database(), &journal, &what), (3, Some(6)));
    }
    // An empty segment between two others, and one that the file's size counts: it is taken for the
    // only one, and its last records are missing.
    let empty = begun(512).segment(512, Header { records: 0, ..HEADER });
    let journal = empty.segment(512, Header { records: 1, ..HEADER }).page(3, 0xa3);
    assert_eq!(played(&database(), &journal, "an empty segment"), (3, Some(6)));
    let journal = begun(512).segment(512, Header { records: BY_SIZE, ..HEADER }).page(3, 0xa3);
    assert_eq!(played(&database(), &journal, "counted by size"), (3, Some(6)));
    // Not at a sector: the bytes between are no header.
    let journal = begun(1024).segment(512, HEADER).page(3, 0xa3).page(4, 0xa4);
    let what = "a segment off its sector";
    assert_eq!(played(&database(), &journal, what), (2, Some(6)));
}

#[test]
fn sizes_that_are_none_end_the_journal_before_it_begins() {
    let with = |header: Header| Journal::begin(header).page(1, 0xa1).page(2, 0xa2);
    for sector_bytes in [0, 16, 33, 131_072] {
        let journal = with(Header { sector_bytes, ..HEADER });
        let what = format!("sectors of {sector_bytes}");
        assert_eq!(played(&database(), &journal, &what), (0, None));
    }
    for page_bytes in [1, 256, 1000, 131_072] {
        let journal = with(Header { page_bytes, ..HEADER });
        let what = format!("pages of {page_bytes}");
        assert_eq!(played(&database(), &journal, &what), (0, None));
    }
    let mut no_magic = with(HEADER);
    no_magic.0[7] ^= 1;
    assert_eq!(played(&database(), &no_magic, "no magic"), (0, None));
}

#[test]
fn without_a_page_size_it_is_that_of_the_database_or_the_default() {
    let header = Header { page_bytes: 0, records: 1, ..HEADER };
    let small = Journal::begin(header).page(1, 0xa1);
    assert_eq!(played(&database(), &small, "that of the database"), (1, Some(6)));
    assert_eq!(played(&database()[..20], &small, "a database of 20 bytes"), (1, Some(6)));
    let mut damaged = database();
    damaged[16] = 3;
    // Twenty samples: 4096 - 200 and every 200th before it, down to 96.
    let image = [0xa2; 4096];
    let large = Journal::begin(header).record(2, &image, NONCE + 20 * 0xa2);
    assert_eq!(played(&damaged, &large, "the default"), (1, Some(6)));
    // A header that names one is believed, whatever the database says.
    let named = Header { page_bytes: 4096, ..header };
    let large = Journal::begin(named).record(2, &image, NONCE + 20 * 0xa2);
    assert_eq!(played(&database(), &large, "that of the journal"), (1, Some(6)));
}

#[test]
fn the_database_gets_its_old_size() {
    for file_bytes in [3072, 3072 + 100, 2560 + 100, 20, 1, 0] {
        let file = &database()[..3072.min(file_bytes)];
        let file = [file, &vec![0xee; file_bytes - file.len()]].concat();
        for db_size_pages in [0, 1, 5, 6, 7, 40] {
            let header = Header { records: 1, db_size_pages, ..HEADER };
            let journal = Journal::begin(header).page(3, 0xa3);
            let what = format!("{file_bytes} bytes to {db_size_pages} pages");
            if file_bytes > 1 {
                let restored = u32::from(db_size_pages >= 3);
                assert_eq!(played(&file, &journal, &what), (restored, Some(db_size_pages)));
            } else {
                // DIFFERS: SQLite deletes the journal.
                let folder = tempfile::tempdir().unwrap();
                let path = put(folder.path(), &file, &journal.0);
                assert_eq!(ours(&path), RolledBack::Cold, "{what}");
            }
        }
    }
}

/// Random segments and records, and a few random changes to them. `WALSMITH_SEED` gives a seed
/// back.
#[test]
fn random_journals_are_played_as_sqlite_plays_them() {
    let seed = std::env::var("WALSMITH_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let mut restored = 0;
    for seed in seed..seed + 120 {
        let mut random = fastrand::Rng::with_seed(seed);
        let sector_bytes = 32 << random.u32(0..6);
        let mut journal = Journal::default();
        for _ in 0..random.u32(1..5) {
            let count = random.u32(0..5);
            let records = if random.u8(..) < 20 { BY_SIZE } else { count };
            let db_size_pages = random.u32(0..9);
            let header = Header { records, db_size_pages, sector_bytes, ..HEADER };
            journal = journal.segment(sector_bytes as usize, header);
            for _ in 0..count {
                journal = journal.page(random.u32(1..9), random.u8(..));
            }
        }
        for _ in 0..random.u32(0..4) {
            // Byte 16 is the size of the database: a terabyte would take its time.
            let at = random.usize(28.min(journal.0.len() - 1)..journal.0.len());
            journal.0[at] ^= 1 << random.u32(0..8);
        }
        if random.bool() {
            journal.0.truncate(random.usize(..=journal.0.len()));
        }
        if let RolledBack::Played { pages, .. } =
            both_agree(&database(), &journal.0, &format!("seed {seed}"))
        {
            restored += pages;
        }
    }
    assert!(restored > 100, "seed {seed}: {restored} pages");
}

/// A file system that can fail, on files in memory.
fn faulty(memory: MemoryVfs, files: &[(&str, Vec<u8>)]) -> FaultVfs<MemoryVfs> {
    files.iter().for_each(|(path, bytes)| memory.put(Path::new(path), bytes.clone()));
    let faulty = FaultVfs::new(memory);
    // Whatever was opened once is part of a crash image.
    files.iter().for_each(|(path, _)| drop(faulty.open(Path::new(path), OpenMode::ReadOnly)));
    faulty
}

/// Rolls back as a reader does who has just come.
fn begin(vfs: &dyn Vfs) -> walsmith::engine::Result<RolledBack> {
    let file = vfs.open(Path::new("/x.db"), OpenMode::ReadWrite)?;
    if file.lock(LockLevel::Shared)? == Locked::Busy {
        return Err(Error::Busy);
    }
    let done = roll_back(vfs, file.as_ref(), Path::new("/x.db-journal"));
    // SHARED is what the caller still holds, however it ended: nobody else is shut out.
    let other = vfs.open(Path::new("/x.db"), OpenMode::ReadWrite)?;
    assert_eq!(other.lock(LockLevel::Shared)?, Locked::Granted);
    done
}

/// Rolls back what a fault has left: the database is as it was before the transaction.
fn ends_well(vfs: &MemoryVfs, wanted: &[u8], what: &str) {
    let journal = Path::new("/x.db-journal");
    if vfs.bytes(journal).is_some() {
        begin(vfs).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    assert_eq!(vfs.bytes(journal), None, "{what}");
    assert!(vfs.bytes(Path::new("/x.db")).unwrap() == wanted, "{what}");
}

#[test]
fn whatever_fails_the_next_one_who_comes_ends_it_well() {
    let header = Header { db_size_pages: 5, ..HEADER };
    let first = Journal::begin(header).page(1, 0xa1).page(5, 0xa5);
    let journal = first.segment(512, header).page(2, 0xa2).page(3, 0xa3);
    assert_eq!(played(&database(), &journal, "without a fault"), (4, Some(5)));
    let fills = [0xa1, 0xa2, 0xa3, 4, 0xa5];
    let wanted: Vec<u8> = fills.into_iter().flat_map(|fill| [fill; 512]).collect();
    let name = "/x.db-mj0123AB9CD";
    let files = [
        ("/x.db", database()),
        ("/x.db-journal", naming(&journal.0, name.as_bytes())),
        (name, b"/x.db-journal\0/y.db-journal\0".to_vec()),
    ];
    let mut hits = 0;
    for kind in
        [FaultKind::Fail, FaultKind::ShortWrite(100), FaultKind::DiskFull, FaultKind::PowerLoss]
    {
        for call in 1.. {
            let memory = MemoryVfs::default();
            let vfs = faulty(memory.clone(), &files);
            vfs.plan(Some(Fault { call, kind, persistent: false }));
            let done = begin(&vfs);
            if vfs.calls() < call {
                done.unwrap();
                assert_eq!(memory.bytes(Path::new(name)), None);
                break;
            }
            hits += vfs.hits();
            let what = format!("{kind:?} at call {call}: {done:?}");
            if kind != FaultKind::PowerLoss {
                ends_well(&memory, &wanted, &what);
                continue;
            }
            let mut powers = vec![Unsynced::Lost, Unsynced::Kept];
            let seeds = (0..4).map(|seed| call * 1000 + seed);
            powers.extend(seeds.clone().map(|seed| Unsynced::Reordered { seed }));
            powers.extend(seeds.map(|seed| Unsynced::Torn { seed }));
            for unsynced in powers {
                let after = MemoryVfs::default();
                vfs.crash_image(unsynced).into_iter().for_each(|(path, bytes)| {
                    after.put(&path, bytes);
                });
                ends_well(&after, &wanted, &format!("{what}, {unsynced:?}"));
            }
        }
    }
    assert!(hits > 100, "{hits} faults");
}
