//! Edited logs: their analysis does not panic and contradicts neither itself nor the engine, which
//! recovers the same log.

#![no_main]

use std::num::NonZeroUsize;
use std::path::Path;

use libfuzzer_sys::arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use walsmith::database::describe::{PageFormat, describe};
use walsmith::engine::Error;
use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{CheckpointMode, Options, Request, Synchronous, Verify};
use walsmith::format::{DatabaseHeader, FrameNo, Pgno, WalHeaderFault};
use walsmith::history::snapshot::{Snapshot, Target, snapshot, snapshot_of};
use walsmith::history::view::View;
use walsmith::log::index_file::{IndexBlock, IndexFile};
use walsmith::log::state::SlotState;
use walsmith::log::transactions::TransactionFold;
use walsmith::log::{
    Examination, ExamineOptions, HeaderStatus, LogShape, Verdict, examine, examine_with,
};
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::shared::Spread;
use walsmith::storage::threaded::ThreadedVfs;
use walsmith::storage::{OpenMode, REGION_BYTES, Vfs};
use walsmith_fuzz::file;
use walsmith_fuzz::fixture::Fixture;
use walsmith_fuzz::log::{Edit, Files};

#[derive(Arbitrary, Debug)]
struct Input {
    fixture: Fixture,
    edits: Vec<Edit>,
    /// A transaction or frame that may be there or not.
    asked: u8,
    /// Frames that an examination keeps.
    kept: u8,
    /// Slots a thread reads at once; `None` without threads.
    slots_a_chunk: Option<u8>,
    /// Words of the wal-index that are changed before it is read as a file.
    index: Vec<(u16, u32)>,
}

fuzz_target!(|input: Input| {
    let (database, wal) = input.fixture.files();
    let files = Files { database: database.to_vec(), wal: wal.to_vec() }.edited(&input.edits);
    let (log, base) = (file(&files.wal), file(&files.database));
    let options = ExamineOptions { database: Some(&base), ..ExamineOptions::default() };
    let examination = examine_with(&log, options, &Nobody).unwrap();
    let shape = examination.shape;
    states(&files.wal, &examination);
    pages(&files.wal, &examination);
    if let Some(shape) = shape {
        kept_frames(&files.wal, &shape, input.kept);
        asked(&files.wal, &shape, &examination, input.asked);
    }
    if let Some(slots) = input.slots_a_chunk {
        threads(&files.wal, slots);
    }
    engine(&files, &examination, &input.index);
});

/// One state a slot, in the order of the file; and transactions as the prefix counts them.
fn states(wal: &[u8], examination: &Examination) {
    let Some(shape) = &examination.shape else { return };
    let prefix = &examination.prefix;
    let log = file(wal);
    let slots = examination.slots(&log, FrameNo(u32::MAX), &Nobody).map(Result::unwrap);
    let slots = Vec::from_iter(slots);
    let frames: Vec<_> = slots.iter().map(|slot| slot.judged.facts.frame.0).collect();
    assert_eq!(frames, (1..=shape.extent.slot_frames).collect::<Vec<_>>());
    assert!(prefix.mx_frame <= prefix.valid_frames);
    assert!(prefix.valid_frames <= shape.extent.slot_frames);
    let mut transactions = TransactionFold::default();
    let mut last = None;
    for slot in &slots {
        let frame = slot.judged.facts.frame.0;
        assert_eq!(slot.state == SlotState::Committed, frame <= prefix.mx_frame, "{slot:?}");
        let is_open = (prefix.mx_frame + 1..=prefix.valid_frames).contains(&frame);
        assert_eq!(slot.state == SlotState::Uncommitted, is_open, "{slot:?}");
        if slot.state == SlotState::Committed {
            let transaction = transactions.push(&slot.judged.facts);
            assert!(transaction.is_none_or(|transaction| slot.txn == Some(transaction.txn)));
            last = transaction.or(last);
        }
    }
    assert_eq!(last.map_or(0, |last| last.txn), prefix.transactions);
    assert_eq!(last.map(|last| last.db_size_pages), prefix.db_size_pages);
    let damaged: Vec<_> = examination.damaged.iter().map(|damaged| damaged.frame).collect();
    assert!(damaged.is_sorted_by(|one, next| one < next), "{damaged:?}");
    assert!(damaged.iter().all(|frame| *frame < shape.extent.end()), "{damaged:?}");
    assert!(examination.verdict != Verdict::Damaged || examination.lost.is_some());
}

/// Every page image can be described.
fn pages(wal: &[u8], examination: &Examination) {
    let Some(page_size) = examination.page_size() else { return };
    let layout = PageFormat { page_size, reserved_bytes: 0, text_encoding: 1 };
    let slots = wal.get(32..).unwrap_or_default().chunks_exact(page_size.in_memory() + 24);
    for slot in slots.take(8) {
        let (header, image) = slot.split_at(24);
        let page = u32::from_be_bytes(header[..4].try_into().unwrap());
        let _ = describe(Pgno(page), &layout, image);
    }
}

/// Frames that an examination has kept are what reading them again gives.
fn kept_frames(wal: &[u8], shape: &LogShape, kept: u8) {
    let log = file(wal);
    let options = ExamineOptions { known_frames: kept.into(), ..ExamineOptions::default() };
    let examination = examine_with(&log, options, &Nobody).unwrap();
    let frames = FrameNo::FIRST..shape.extent.end();
    let read: Vec<_> = shape.facts(&log, frames.clone(), &Nobody).map(Result::unwrap).collect();
    let known: Vec<_> = examination.facts(&log, frames, &Nobody).map(Result::unwrap).collect();
    // Without its database, a log whose header is bad may have another shape.
    if examination.shape == Some(*shape) {
        assert_eq!(known, read);
    }
}

/// A transaction or frame that is asked for is one of the prefix, or an error.
fn asked(wal: &[u8], shape: &LogShape, examination: &Examination, asked: u8) {
    let (log, prefix) = (file(wal), &examination.prefix);
    let (frame, txn) = (FrameNo(asked.into()), u32::from(asked));
    for target in [Target::Txn(txn), Target::Frame(frame), Target::Last] {
        let committed = FrameNo::FIRST..FrameNo(prefix.mx_frame + 1);
        let known = snapshot_of(examination.facts(&log, committed, &Nobody), target);
        match (snapshot(&log, shape, prefix, target, &Nobody), known) {
            (Ok(found), Ok(known)) => {
                assert_eq!(found, known);
                assert!(found.to_frame <= prefix.mx_frame);
                assert!(found.pages.values().all(|frame| frame.0 <= found.to_frame));
            }
            (Err(_), Err(_)) => assert_ne!(target, Target::Last),
            (found, known) => panic!("{target:?}: {found:?} {known:?}"),
        }
    }
}

/// Threads change nothing.
fn threads(wal: &[u8], slots: u8) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db-wal");
    std::fs::write(&path, wal).unwrap();
    let chunk_bytes = (u64::from(slots % 8) + 1) * 536;
    let spread = Spread { threads: NonZeroUsize::new(3), chunk_bytes, from_bytes: 0 };
    let shared = ThreadedVfs { spread }.open(&path, OpenMode::ReadOnly).unwrap();
    let together = examine(shared.as_ref(), &Nobody).unwrap();
    let alone = examine(&file(wal), &Nobody).unwrap();
    assert_eq!(format!("{together:?}"), format!("{alone:?}"));
}

const DATABASE: &str = "/x.db";

/// The engine recovers what the analysis says, and copies what the snapshot says.
fn engine(files: &Files, examination: &Examination, index: &[(u16, u32)]) {
    let vfs = MemoryVfs::default();
    vfs.put(Path::new(DATABASE), files.database.clone());
    vfs.put(Path::new("/x.db-wal"), files.wal.clone());
    let paths = Paths::beside(Path::new(DATABASE));
    let database = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite).unwrap();
    let attached = Connection::attach(&vfs, database.as_ref(), &paths, Options::default());
    let mut connection = attached.unwrap().expect("the log is there");
    let began = connection.begin_read();
    let version = HeaderStatus::Fault(WalHeaderFault::Version);
    if examination.header_status == version && examination.verdict == Verdict::BadHeader {
        assert!(matches!(began, Err(Error::Version { .. })), "{began:?}");
        return;
    }
    began.unwrap();
    let prefix = &examination.prefix;
    let header = *connection.wal().header();
    assert_eq!(header.mx_frame, prefix.mx_frame);
    assert_eq!(Some(header.db_size_pages).filter(|&pages| pages != 0), prefix.db_size_pages);
    let Some(shape) = examination.shape.filter(|_| prefix.mx_frame > 0) else { return };
    let (log, base) = (file(&files.wal), file(&files.database));
    let snapshot = snapshot(&log, &shape, prefix, Target::Last, &Nobody).unwrap();
    let view = View::plain(&log, &shape, &snapshot, Some(&base));
    same_pages(&mut connection, &view, &snapshot);
    index_of(&vfs, &log, &shape, prefix.mx_frame, index);
    connection.end_read().unwrap();
    checkpoint(&vfs, connection, files, &view);
}

fn same_pages(connection: &mut Connection<'_>, view: &View<'_>, snapshot: &Snapshot) {
    let size_pages = snapshot.db_size_pages.unwrap_or_default();
    let mut ours = vec![0; view.page_size.in_memory()];
    let mut theirs = ours.clone();
    let newest = snapshot.pages.keys().copied();
    for page in (1..=size_pages.min(40)).map(Pgno).chain(newest) {
        let frame = connection.wal_mut().find_frame(page).unwrap();
        assert_eq!(frame, snapshot.pages.get(&page).copied(), "page {page}");
        if frame.is_some() {
            view.read(page, &mut ours).unwrap();
            connection.read_page(page, &mut theirs).unwrap();
            assert_eq!(ours, theirs, "page {page}");
        }
    }
}

/// The wal-index that recovery has built leads to every frame; changed at will, it still can be
/// read.
fn index_of(
    vfs: &MemoryVfs,
    log: &dyn walsmith::storage::File,
    shape: &LogShape,
    mx_frame: u32,
    changes: &[(u16, u32)],
) {
    let mut bytes = vfs.bytes(Path::new("/x.db-shm")).unwrap();
    let shm = file(&bytes);
    let found = IndexFile::read(&shm).unwrap().unwrap();
    assert_eq!(found.info.validate(), Ok(()));
    assert_eq!(found.info.mx_frame, mx_frame);
    assert_eq!(bytes.len(), REGION_BYTES);
    let block = IndexBlock::read(&shm, 0).unwrap().unwrap();
    for facts in shape.facts(log, FrameNo::FIRST..FrameNo(mx_frame + 1), &Nobody) {
        let facts = facts.unwrap();
        assert_eq!(block.check(facts.frame.0, facts.header.page), Ok(()));
    }
    for &(word, value) in changes {
        walsmith_fuzz::overwrite(&mut bytes, usize::from(word) * 4, &value.to_ne_bytes());
    }
    let shm = file(&bytes);
    let changed = IndexFile::read(&shm).unwrap().unwrap();
    let _ = (changed.info.validate(), changed.info.page_size());
    let block = IndexBlock::read(&shm, 0).unwrap().unwrap();
    assert!(block.used_slots() <= 8192);
    for frame in 0..=mx_frame.saturating_add(1) {
        let _ = block.check(frame, block.page_of(frame));
    }
}

/// A checkpoint writes the pages that the snapshot says, or refuses.
fn checkpoint(vfs: &MemoryVfs, mut connection: Connection<'_>, files: &Files, view: &View<'_>) {
    let Ok(page_size) = connection.page_size() else { return };
    let in_file = files.database.first_chunk().map(DatabaseHeader::decode);
    let fits = in_file.and_then(|header| header.page_size()) == Some(view.page_size);
    let mut request = Request {
        mode: CheckpointMode::Passive,
        page_size,
        sync: Synchronous::Full.flags(),
        verify: Verify::Frames,
        mend: None,
        busy: None,
        watch: &Nobody,
    };
    let done = match connection.checkpoint(&mut request) {
        Ok(done) => done,
        Err(Error::Corrupt(_)) => return,
        Err(error) => panic!("{error}"),
    };
    assert!(done.log_frames == done.checkpointed_frames || !fits, "{done:?}");
    let after = vfs.bytes(Path::new(DATABASE)).unwrap();
    let mut image = vec![0; page_size.in_memory()];
    for &page in view.snapshot.pages.keys() {
        view.read(page, &mut image).unwrap();
        let at = usize::try_from(page.offset_bytes(page_size)).unwrap();
        assert_eq!(after.get(at..at + image.len()), Some(&image[..]), "page {page}");
    }
}
