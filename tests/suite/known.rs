//! Frames that an examination has kept are those that reading the log again would give, to a
//! listing and to recovery.

use std::path::Path;

use fastrand::Rng;
use walsmith::engine::connection::{Connection, Paths};
use walsmith::engine::wal::{CheckpointMode, KnownLog, Options, Request, Synchronous, Verify};
use walsmith::format::{DatabaseHeader, FrameNo, IndexHeader, Pgno};
use walsmith::log::{ExamineOptions, examine_with};
use walsmith::scan::{FrameFacts, Nobody};
use walsmith::storage::fault::FaultVfs;
use walsmith::storage::memory::{MemoryFile, MemoryVfs};
use walsmith::storage::{OpenMode, Vfs};

use crate::mutate;
use crate::support::{names, read};

fn same(wal: Vec<u8>, case: &str) {
    let file = MemoryFile::with_bytes(wal);
    for limit in [0, 1, 5, usize::MAX] {
        let options = ExamineOptions { known_frames: limit, ..ExamineOptions::default() };
        let examination = examine_with(&file, options, &Nobody).unwrap();
        let Some(shape) = examination.shape else { continue };
        let kept = examination.known.end().0 - 1;
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        assert_eq!(kept, examination.prefix.valid_frames.min(most), "{case}");
        let end = shape.extent.end();
        let ranges =
            [FrameNo(1)..end, FrameNo(4)..FrameNo(9), FrameNo(6)..end, FrameNo(3)..FrameNo(3)];
        for range in ranges {
            let read = shape.facts(&file, range.clone(), &Nobody).map(Result::unwrap);
            let known = examination.facts(&file, range.clone(), &Nobody).map(Result::unwrap);
            let (read, known): (Vec<FrameFacts>, Vec<FrameFacts>) =
                (read.collect(), known.collect());
            assert_eq!(known, read, "{case}, {limit} kept, {range:?}");
        }
    }
}

#[test]
fn kept_frames_are_the_ones_that_reading_again_gives() {
    for name in names() {
        let (_, wal) = read(&name);
        same(wal.clone(), &name);
        for &(kind, mutator) in mutate::ALL {
            let mut damaged = wal.clone();
            mutator(&mut damaged, &mut Rng::with_seed(11));
            same(damaged, &format!("{name}, {kind}"));
        }
    }
}

/// The frames of `wal`, up to `limit` of them.
fn known(wal: &[u8], limit: usize) -> Option<KnownLog> {
    let file = MemoryFile::with_bytes(wal.to_vec());
    let options = ExamineOptions { known_frames: limit, ..ExamineOptions::default() };
    let examination = examine_with(&file, options, &Nobody).unwrap();
    let (header, frames) = (examination.header?, examination.known);
    Some(KnownLog { header, frames, in_database: None })
}

const DATABASE: &str = "/known.db";

/// What recovery makes of a log: the header of the index, the newest frame of each page, and the
/// database after a checkpoint.
type Recovered = (IndexHeader, Vec<Option<FrameNo>>, Vec<u8>);

/// Recovers and checkpoints `wal`; and how many calls that took.
fn recovered(
    database: &[u8],
    wal: &[u8],
    known: Option<KnownLog>,
    verify: Verify,
) -> (Recovered, u64) {
    let memory = MemoryVfs::default();
    memory.put(Path::new(DATABASE), database.to_vec());
    memory.put(Path::new("/known.db-wal"), wal.to_vec());
    let vfs = &FaultVfs::new(memory.clone());
    let paths = Paths::beside(Path::new(DATABASE));
    let file = vfs.open(Path::new(DATABASE), OpenMode::ReadWrite).unwrap();
    let attached = Connection::attach(vfs, file.as_ref(), &paths, Options::default());
    let mut connection = attached.unwrap().unwrap();
    if let Some(known) = known {
        connection.wal_mut().know(known);
    }
    let before = vfs.calls();
    let mut request = Request {
        mode: CheckpointMode::Passive,
        page_size: connection.page_size().unwrap(),
        sync: Synchronous::Full.flags(),
        verify,
        mend: None,
        busy: None,
        watch: &Nobody,
    };
    connection.checkpoint(&mut request).unwrap();
    let calls = vfs.calls() - before;
    connection.begin_read().unwrap();
    let header = *connection.wal().header();
    let pages = connection.db_size_pages().unwrap();
    let newest = (1..=pages).map(|page| connection.wal_mut().find_frame(Pgno(page)).unwrap());
    let newest = newest.collect();
    connection.end_read().unwrap();
    drop(connection);
    ((header, newest, memory.bytes(Path::new(DATABASE)).unwrap()), calls)
}

fn recovers_alike(database: &[u8], wal: &[u8], known: Option<KnownLog>, case: &str) {
    let (with, _) = recovered(database, wal, known, Verify::Frames);
    let (without, _) = recovered(database, wal, None, Verify::Frames);
    assert_eq!(with, without, "{case}");
}

#[test]
fn recovery_of_a_log_that_is_known_gives_what_reading_it_gives() {
    for name in names() {
        let (database, wal) = read(&name);
        let of_database = database.first_chunk().map(DatabaseHeader::decode);
        let of_database = of_database.and_then(|header| header.page_size());
        let of_log = known(&wal, 0).and_then(|known| known.header.page_size());
        if of_log.is_none() || of_database != of_log {
            continue;
        }
        for limit in [1, 5, usize::MAX] {
            recovers_alike(&database, &wal, known(&wal, limit), &format!("{name}, {limit}"));
        }
    }
}

/// Changes a log.
type Change<'c> = &'c dyn Fn(&mut Vec<u8>);

#[test]
fn what_is_known_of_a_log_that_has_changed_is_not_believed() {
    let (database, wal) = read("twenty-rows");
    let header = known(&wal, 0).unwrap().header;
    let slot = usize::try_from(header.page_size().unwrap().slot_bytes()).unwrap();
    let slots = wal.len() / slot;
    let changes: [(&str, Change<'_>); 6] = [
        ("cut by a frame", &|wal| wal.truncate(32 + (slots - 1) * slot)),
        ("cut to nothing", &|wal| wal.truncate(0)),
        ("another last sum", &|wal| wal[32 + (slots - 1) * slot + 16] ^= 1),
        ("another last page", &|wal| wal[32 + (slots - 1) * slot + 3] ^= 1),
        ("a header of other salts", &|wal| wal[16] ^= 1),
        ("a last frame of other salts", &|wal| wal[32 + (slots - 1) * slot + 8] ^= 1),
    ];
    for (case, change) in changes {
        let mut changed = wal.clone();
        change(&mut changed);
        recovers_alike(&database, &changed, known(&wal, usize::MAX), case);
    }
}

/// That the database has all of a log is believed of that log alone.
#[test]
fn what_the_database_has_is_not_copied_as_long_as_the_log_is_the_same() {
    let (database, wal) = read("twenty-rows");
    let (_, _, copied) = recovered(&database, &wal, None, Verify::Frames).0;
    let whole = known(&wal, usize::MAX).unwrap();
    let slot = usize::try_from(whole.header.page_size().unwrap().slot_bytes()).unwrap();
    let slots = wal.len() / slot;
    let told = |frames: usize| {
        let in_database = Some(FrameNo(u32::try_from(frames).unwrap()));
        Some(KnownLog { in_database, ..known(&wal, usize::MAX).unwrap() })
    };
    let after =
        |database: &[u8], wal: &[u8], known| recovered(database, wal, known, Verify::Frames).0.2;
    assert_eq!(after(&copied, &wal, told(slots)), copied);
    // Told something false, it is believed: so it is known that nothing was written.
    assert_eq!(after(&database, &wal, told(slots))[..database.len()], database[..]);
    // There is a later commit than the one that the database is said to be.
    assert_eq!(after(&database, &wal, told(slots - 1)), copied);
    let mut other = wal.clone();
    other[32 + (slots - 1) * slot + 16] ^= 1;
    let of_other = after(&database, &other, None);
    assert_eq!(after(&database, &other, told(slots)), of_other);
    assert_ne!(of_other, copied);
}

#[test]
fn a_log_that_is_known_is_not_read_again_before_it_is_copied() {
    let (database, wal) = read("twenty-rows");
    let calls = |known, verify| recovered(&database, &wal, known, verify).1;
    let trusting = calls(None, Verify::Nothing);
    // Recovery sums all frames; the checkpoint after it does not do so again.
    assert_eq!(calls(None, Verify::Frames), trusting);
    // One call reads the last frame's header instead of the one chunk.
    assert_eq!(calls(known(&wal, usize::MAX), Verify::Frames), trusting);
    // All but one frame known: that header, and the chunk.
    let frames = known(&wal, usize::MAX).unwrap().frames.end().0 - 1;
    let all_but_one = usize::try_from(frames).unwrap() - 1;
    assert_eq!(calls(known(&wal, all_but_one), Verify::Frames), trusting + 1);
}
