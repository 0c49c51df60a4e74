//! Rollback journals of any content: they are played back the same in place and over a copy, and a
//! call that fails leaves a journal that the next attempt plays back to the same end.

#![no_main]

use std::path::Path;

use libfuzzer_sys::arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use walsmith::engine::rollback::{RolledBack, preview, roll_back};
use walsmith::engine::{self, Error};
use walsmith::format::rollback_journal::{JOURNAL_MAGIC, record_checksum};
use walsmith::storage::fault::{Fault, FaultKind, FaultVfs};
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::overlay::Overlay;
use walsmith::storage::{File, LockLevel, Locked, OpenMode, Vfs};
use walsmith_fuzz::{file, overwrite};

const DATABASE: &str = "/x.db";
const JOURNAL: &str = "/x.db-journal";
const SUPER_JOURNAL: &str = "/x.db-mj0123AB9CD";

#[derive(Arbitrary, Debug)]
struct Input {
    database: Vec<u8>,
    /// Pages of zeros behind that.
    pages: u8,
    sector: u8,
    segments: Vec<Segment>,
    /// The journal names a super-journal, which lists these children.
    children: Option<Vec<u8>>,
    super_journal_is_there: bool,
    changes: Vec<(u16, u8)>,
    cut_bytes: u16,
    failing_call: Option<u8>,
}

#[derive(Arbitrary, Debug)]
struct Segment {
    /// `None`: the size of the file tells how many there are.
    counted: Option<u8>,
    nonce: u32,
    db_size_pages: u8,
    records: Vec<Record>,
}

#[derive(Arbitrary, Debug)]
struct Record {
    page: u8,
    fill: u8,
    sum_is_right: bool,
}

fuzz_target!(|input: Input| {
    let database = input.database();
    let journal = input.journal();
    let vfs = input.files(&database, &journal);
    let copy = Overlay::new(Box::new(file(&database))).unwrap();
    let original = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite).unwrap();
    let previewed = preview(&vfs, original.as_ref(), Path::new(JOURNAL), &copy).unwrap();
    drop(original);
    assert_eq!(vfs.bytes(Path::new(DATABASE)).as_ref(), Some(&database));
    assert_eq!(vfs.bytes(Path::new(JOURNAL)).as_ref(), Some(&journal));
    let done = begin(&vfs).unwrap();
    assert_eq!(done, previewed);
    let after = vfs.bytes(Path::new(DATABASE)).unwrap();
    assert!(bytes_of(&copy) == after, "{done:?}");
    assert_eq!(vfs.bytes(Path::new(JOURNAL)).is_some(), done == RolledBack::Cold);
    if matches!(done, RolledBack::Cold | RolledBack::Committed) {
        assert!(after == database);
    }
    if let Some(call) = input.failing_call {
        fails(&input.files(&database, &journal), call.into(), &after);
    }
});

/// One call fails; whoever comes next ends it well.
fn fails(memory: &MemoryVfs, call: u64, wanted: &[u8]) {
    let vfs = FaultVfs::new(memory.clone());
    vfs.plan(Some(Fault { call, kind: FaultKind::Fail, persistent: false }));
    let done = begin(&vfs);
    if memory.bytes(Path::new(JOURNAL)).is_some() {
        begin(memory).unwrap();
    }
    assert!(memory.bytes(Path::new(DATABASE)).unwrap() == wanted, "{done:?}");
}

/// Rolls back as a reader does who has just come.
fn begin(vfs: &dyn Vfs) -> engine::Result<RolledBack> {
    let database = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite)?;
    match database.lock(LockLevel::Shared)? {
        Locked::Busy => Err(Error::Busy),
        Locked::Granted => roll_back(vfs, database.as_ref(), Path::new(JOURNAL)),
    }
}

fn bytes_of(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

impl Input {
    /// A database of 512-byte pages, as far as its header says nothing else.
    fn database(&self) -> Vec<u8> {
        let mut bytes = self.database.clone();
        if self.pages > 0 {
            bytes.resize(usize::from(self.pages) * 512, 0);
            overwrite(&mut bytes, 16, &[2, 0]);
        }
        bytes
    }

    fn journal(&self) -> Vec<u8> {
        let sector_bytes = 32_usize << (self.sector % 6);
        let mut bytes = Vec::new();
        for segment in &self.segments {
            bytes.resize(bytes.len().next_multiple_of(sector_bytes), 0);
            segment.append(sector_bytes, &mut bytes);
        }
        for &(at, value) in &self.changes {
            overwrite(&mut bytes, at.into(), &[value]);
        }
        // The size of the database: a terabyte would fill the memory.
        overwrite(&mut bytes, 16, &[0; 3]);
        bytes.truncate(bytes.len().saturating_sub(self.cut_bytes.into()));
        if self.children.is_some() {
            append_name(&mut bytes);
        }
        bytes
    }

    fn files(&self, database: &[u8], journal: &[u8]) -> MemoryVfs {
        let vfs = MemoryVfs::default();
        vfs.put(Path::new(DATABASE), database.to_vec());
        vfs.put(Path::new(JOURNAL), journal.to_vec());
        if let Some(children) = self.children.as_ref().filter(|_| self.super_journal_is_there) {
            let own = [JOURNAL.as_bytes(), b"\0", children].concat();
            vfs.put(Path::new(SUPER_JOURNAL), own);
        }
        vfs
    }
}

/// The name of the super-journal at the end of a journal: the number of the page that no record may
/// have, the name, its length, the sum of its bytes, and the magic.
fn append_name(journal: &mut Vec<u8>) {
    let sum: u32 = SUPER_JOURNAL.bytes().map(u32::from).sum();
    journal.extend((0x4000_0000_u32 / 512 + 1).to_be_bytes());
    journal.extend(SUPER_JOURNAL.bytes());
    journal.extend(u32::try_from(SUPER_JOURNAL.len()).unwrap().to_be_bytes());
    journal.extend(sum.to_be_bytes());
    journal.extend(JOURNAL_MAGIC);
}

impl Segment {
    fn append(&self, sector_bytes: usize, journal: &mut Vec<u8>) {
        let end = journal.len() + sector_bytes;
        journal.extend(JOURNAL_MAGIC);
        let records = self.counted.map_or(u32::MAX, u32::from);
        let sector = u32::try_from(sector_bytes).unwrap();
        for field in [records, self.nonce, self.db_size_pages.into(), sector, 512] {
            journal.extend(field.to_be_bytes());
        }
        journal.resize(end, 0);
        for record in &self.records {
            let image = [record.fill; 512];
            let sum = record_checksum(self.nonce, &image);
            journal.extend(u32::from(record.page).to_be_bytes());
            journal.extend(image);
            journal.extend((sum ^ u32::from(!record.sum_is_right)).to_be_bytes());
        }
    }
}
