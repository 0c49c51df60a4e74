//! States, verdicts and the loss forecast on logs built frame by frame.
//!
//! What SQLite itself makes of such logs is asked in the oracle tests; here is what walsmith
//! says beyond that, by the definitions of states and verdicts.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod log_builder;

use std::cell::RefCell;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::Duration;

use log_builder::{Log, P, SLOT};
use walsmith::access::files::{FileArgs, Files};
use walsmith::access::{Context, live};
use walsmith::format::{FrameNo, Pgno};
use walsmith::log::cure::{Cure, ImageSource};
use walsmith::log::proof::Proof;
use walsmith::log::state::{Slot, State, StateFold};
use walsmith::log::{Certainty, Examination, Recoverable, Verdict, What, examine, examine_beside};
use walsmith::output::{Format, Output};
use walsmith::repair::plan::Plan;
use walsmith::scan::{Nobody, Watch};
use walsmith::storage::memory::MemoryFile;
use walsmith::storage::os::OsVfs;
use walsmith::storage::{self, File, LockHolder, LockLevel, LockMode, Locked, SyncKind};

fn examined(bytes: &[u8]) -> Examination {
    examine(&MemoryFile::with_bytes(bytes.to_vec()), &Nobody).unwrap()
}

fn slots(bytes: &[u8]) -> Vec<Slot> {
    let file = MemoryFile::with_bytes(bytes.to_vec());
    let examination = examine(&file, &Nobody).unwrap();
    let Some(shape) = examination.shape else { return Vec::new() };
    let mut fold = StateFold::new(&shape, &examination.prefix, &examination.tail);
    let facts = shape.facts(&file, FrameNo::FIRST..shape.extent.end(), &Nobody);
    let mut slots: Vec<Slot> = facts.filter_map(|facts| fold.push(facts.unwrap())).collect();
    slots.extend(fold.finish());
    slots
}

fn states(bytes: &[u8]) -> String {
    let letter = |slot: &Slot| match slot.state {
        State::Partial => 'p',
        State::Blank => 'b',
        State::Committed => 'C',
        State::Uncommitted => 'U',
        State::Damaged => 'D',
        State::Unproven => '?',
        State::Unreachable => 'X',
        State::Residue => 'r',
        State::Stale => 's',
    };
    slots(bytes).iter().map(letter).collect()
}

/// Twenty transactions of one page, then nothing.
fn twenty() -> Log {
    let mut log = Log::new(1);
    for _ in 0..20 {
        log.commit(&[2]);
    }
    log
}

#[test]
fn an_intact_log_is_clean() {
    let log = twenty();
    let found = examined(&log.bytes);
    assert_eq!((found.verdict, found.prefix.transactions), (Verdict::Clean, 20));
    assert_eq!(states(&log.bytes), "C".repeat(20));
}

#[test]
fn one_flipped_bit_names_its_frame_and_the_transactions_behind_it() {
    let mut log = twenty();
    log.bytes[32 + 10 * SLOT + 24 + 100] ^= 4;
    let found = examined(&log.bytes);
    let lost = found.lost.unwrap();
    assert_eq!(found.verdict, Verdict::Damaged);
    assert_eq!(found.damaged.len(), 1);
    assert_eq!((found.damaged[0].frame, found.damaged[0].what), (FrameNo(11), What::Content));
    assert_eq!((lost.transactions, lost.frames), (10, 10));
    // One word explains the sums, and nothing witnesses that it is the right one.
    assert_eq!((lost.recoverable, lost.pages), (Recoverable::Some, vec![]));
    assert_eq!((lost.certainty, lost.likely_frames), (Certainty::Likely, 1));
    assert_eq!(states(&log.bytes), "CCCCCCCCCCDXXXXXXXXX");
}

#[test]
fn a_flipped_top_bit_has_several_corrections_and_is_likely() {
    let mut found = Vec::new();
    for word in 20..26 {
        let mut log = twenty();
        log.bytes[32 + 10 * SLOT + 24 + 4 * word + 3] ^= 0x80;
        let lost = examined(&log.bytes).lost.unwrap();
        assert_eq!(lost.certainty, Certainty::Likely);
        found.push(lost.recoverable);
    }
    assert_eq!(found, [Recoverable::Some; 6]);
}

#[test]
fn a_page_that_is_not_written_again_cannot_be_had() {
    let mut log = Log::new(1);
    log.commit(&[2]);
    log.commit(&[3, 4]);
    log.commit(&[2]);
    log.scramble(3);
    let found = examined(&log.bytes);
    let lost = found.lost.unwrap();
    assert_eq!(lost.certainty, Certainty::Likely);
    assert_eq!((lost.recoverable, lost.pages), (Recoverable::Some, vec![Pgno(4)]));
    assert_eq!(states(&log.bytes), "CUDX");
}

#[test]
fn salt_and_checksum_fields_are_told_from_content() {
    let mut log = twenty();
    log.bytes[32 + 4 * SLOT + 9] ^= 1;
    log.bytes[32 + 9 * SLOT + 17] ^= 1;
    let found = examined(&log.bytes);
    let what: Vec<_> = found.damaged.iter().map(|d| (d.frame.0, d.what)).collect();
    assert_eq!(what, [(5, What::Salt), (10, What::ChecksumField)]);
    let lost = found.lost.unwrap();
    assert_eq!((lost.certainty, lost.transactions), (Certainty::Proven, 16));
    assert_eq!(lost.recoverable, Recoverable::All);
}

#[test]
fn a_frame_behind_two_lost_sums_is_unproven() {
    let mut log = twenty();
    log.scramble(11);
    log.bytes[32 + 10 * SLOT + 18] ^= 0x55;
    assert_eq!(states(&log.bytes), "CCCCCCCCCCD?rrrrrrrr");
    let lost = examined(&log.bytes).lost.unwrap();
    assert_eq!(lost.certainty, Certainty::Possible);
    assert_eq!(lost.recoverable, Recoverable::Some);
}

#[test]
fn an_aborted_spill_behind_the_last_commit_is_residue_of_a_clean_log() {
    let mut log = Log::new(1);
    log.commit(&[2, 3]);
    let back = log.mark();
    log.spill(&[4, 5, 6, 7, 8]);
    log.write_again_from(back, |log| log.commit(&[2]));
    let found = examined(&log.bytes);
    assert_eq!(found.verdict, Verdict::Clean);
    assert_eq!(states(&log.bytes), "CCCrrrr");
}

#[test]
fn an_abandoned_history_is_only_possibly_lost() {
    // Frame 3 was damaged, SQLite recovered two transactions, wrote two others and was killed.
    let mut log = Log::new(1);
    log.commit(&[2]);
    log.commit(&[3]);
    let back = log.mark();
    for page in [4, 5, 6, 7, 8] {
        log.commit(&[page]);
    }
    log.write_again_from(back, |log| {
        log.commit(&[3]);
        log.commit(&[4]);
    });
    let found = examined(&log.bytes);
    let lost = found.lost.unwrap();
    assert_eq!(found.verdict, Verdict::Damaged);
    assert_eq!(lost.certainty, Certainty::Possible);
    assert_ne!(lost.recoverable, Recoverable::All);
    assert_eq!(states(&log.bytes), "CCCCDrr");
}

#[test]
fn another_image_of_the_page_proves_what_the_right_bytes_are() {
    let mut log = Log::new(1);
    log.commit(&[2]);
    log.commit(&[3]);
    log.commit(&[4]);
    let page = log.bytes[32 + SLOT + 24..32 + 2 * SLOT].to_vec();
    log.scramble(2);
    let alone = examined(&log.bytes).lost.unwrap();
    assert_eq!((alone.certainty, alone.recoverable), (Certainty::Possible, Recoverable::Some));
    assert_eq!(alone.pages, [Pgno(3)]);
    // The database holds the page as it was written: the log was copied before it was damaged.
    let database = [vec![0; 2 * P], page].concat();
    let log = MemoryFile::with_bytes(log.bytes);
    let database = MemoryFile::with_bytes(database);
    let found = examine_beside(&log, Some(&database), &Nobody).unwrap();
    let lost = found.lost.unwrap();
    assert_eq!((lost.certainty, lost.recoverable), (Certainty::Proven, Recoverable::All));
    let cure = found.tail.cures.get(FrameNo(2)).unwrap().cure;
    assert!(matches!(cure, Cure::Image { source: ImageSource::Database, .. }), "{cure:?}");
}

#[test]
fn a_flipped_bit_in_a_page_of_sqlite_is_mostly_corrected_and_never_wrongly() {
    let wal = fs::read("fixtures/page-4096/x.db-wal").unwrap();
    let slot_bytes = 24 + 4096;
    let mut random = fastrand::Rng::with_seed(60);
    let (mut tried, mut whole, mut by_its_image, mut likely) = (0, 0, 0, 0);
    for _ in 0..1000 {
        let at = random.usize(32..wal.len() - slot_bytes);
        let start = at - (at - 32) % slot_bytes;
        if at < start + 24 {
            continue;
        }
        let mut bytes = wal.clone();
        bytes[at] ^= 1 << random.u32(..8);
        let found = examined(&bytes);
        tried += 1;
        whole += u32::from(found.lost.unwrap().recoverable == Recoverable::All);
        let frame = FrameNo(u32::try_from((start - 32) / slot_bytes + 1).unwrap());
        let Some(cured) = found.tail.cures.get(frame) else { continue };
        let image = start + 24..start + slot_bytes;
        match cured.cure {
            Cure::Word(only) => only.apply(&mut bytes[image], found.shape.unwrap().order),
            Cure::Image { source: ImageSource::Frame(other), first_byte, end_byte } => {
                let other = 32 + (other.0 as usize - 1) * slot_bytes + 24;
                let part = first_byte as usize..end_byte as usize;
                let right = wal[other..][part.clone()].to_vec();
                bytes[image][part].copy_from_slice(&right);
            }
            _ => continue,
        }
        by_its_image += 1;
        likely += u32::from(bytes == wal);
        assert!(bytes == wal || cured.proof == Proof::Likelihood, "byte {at}: {cured:?}");
    }
    println!("{whole} whole, {likely} of {by_its_image} right, {tried} tried");
    assert!(whole * 100 > tried * 80 && likely * 100 > by_its_image * 95);
}

#[test]
fn frames_that_changed_places_are_found_again() {
    for (one, two) in [(2, 3), (2, 7), (4, 8)] {
        let mut log = twenty();
        let slot = |frame: u32| 32 + (frame as usize - 1) * SLOT;
        for at in 0..SLOT {
            log.bytes.swap(slot(one) + at, slot(two) + at);
        }
        let found = examined(&log.bytes);
        let lost = found.lost.unwrap();
        assert_eq!((lost.certainty, lost.recoverable), (Certainty::Proven, Recoverable::All));
        let cures: Vec<_> = found.tail.cures.iter().map(|(at, cured)| (at.0, cured.cure)).collect();
        let moved = |frame: u32| Cure::Moved(FrameNo(frame));
        assert_eq!(cures, [(one, moved(two)), (two, moved(one))]);
    }
}

#[test]
fn a_header_that_is_gone_is_solved_from_what_stands_around_it() {
    // The frame after shows what the sum must be, and one after that one, that it is current.
    for frame in 1..=18_u32 {
        let mut log = twenty();
        let at = 32 + (frame as usize - 1) * SLOT;
        let header = log.bytes[at..at + 24].to_vec();
        log.bytes[at..at + 24].fill(0);
        let found = examined(&log.bytes);
        let cured = found.tail.cures.get(FrameNo(frame)).unwrap();
        assert_eq!((cured.cure, cured.header.encode().to_vec()), (Cure::Header, header));
        // No other image of the page witnesses that its own first words are right.
        assert_eq!(cured.proof, Proof::Likelihood);
        assert_eq!(found.lost.unwrap().recoverable, Recoverable::Some);
    }
}

#[test]
fn a_header_that_is_gone_with_a_part_of_the_image_is_found_with_the_help_of_another_image() {
    let mut log = Log::new(1);
    (2..=9).for_each(|page| log.commit(&[page]));
    let before = log.bytes.clone();
    let slot = |frame: usize| 32 + (frame - 1) * SLOT;
    // The database has the pages of frames 4 and 5; a sector over the border of the two is lost.
    let mut database = vec![0; 9 * P];
    for frame in [4, 5] {
        let image = &before[slot(frame) + 24..slot(frame + 1)];
        database[frame * P..(frame + 1) * P].copy_from_slice(image);
    }
    log.bytes[slot(5) - 100..slot(5) + 60].fill(0);
    let (log, database) = (MemoryFile::with_bytes(log.bytes), MemoryFile::with_bytes(database));
    let found = examine_beside(&log, Some(&database), &Nobody).unwrap();
    let lost = found.lost.unwrap();
    assert_eq!((lost.certainty, lost.recoverable), (Certainty::Proven, Recoverable::All));
    let cures: Vec<_> = found.tail.cures.iter().map(|(at, cured)| (at.0, cured.cure)).collect();
    assert!(matches!(cures[..], [(4, Cure::Image { .. }), (5, Cure::Image { .. })]), "{cures:?}");
    let header = found.tail.cures.get(FrameNo(5)).unwrap().header.encode();
    assert_eq!(header[..], before[slot(5)..slot(5) + 24]);
}

#[test]
fn a_torn_last_transaction_loses_nothing() {
    let mut log = twenty();
    log.commit(&[3, 4, 5]);
    let torn_at = 32 + 22 * SLOT + 300;
    log.bytes.truncate(torn_at);
    let found = examined(&log.bytes);
    assert_eq!(found.verdict, Verdict::TornTail);
    assert_eq!(found.lost, None);
    log.bytes.truncate(32 + 22 * SLOT);
    assert_eq!(examined(&log.bytes).verdict, Verdict::UncommittedTail);
    log.bytes.resize(32 + 24 * SLOT, 0);
    assert_eq!(examined(&log.bytes).verdict, Verdict::TornTail);
    assert_eq!(states(&log.bytes), "C".repeat(20) + "UUbb");
}

#[test]
fn a_lost_write_that_shows_an_older_generation_is_damage() {
    let mut older = Log::new(7);
    older.commit(&[2, 3, 4, 7, 6]);
    let mut log = Log::new(8);
    log.commit(&[2, 3]);
    log.commit(&[4, 5, 6]);
    let at = 32 + 3 * SLOT;
    log.bytes[at..at + SLOT].copy_from_slice(&older.bytes[at..at + SLOT]);
    assert_eq!(states(&log.bytes), "CCUD?");
    // Its commit frame cannot be proven, so no commit is known to be lost.
    assert_eq!(examined(&log.bytes).verdict, Verdict::TornTail);
}

#[test]
fn frames_of_an_older_generation_behind_the_prefix_are_stale() {
    let mut log = Log::new(7);
    log.commit(&[2, 3, 4, 5, 6]);
    log.restart(8);
    log.commit(&[2, 3]);
    assert_eq!(examined(&log.bytes).verdict, Verdict::Clean);
    assert_eq!(states(&log.bytes), "CCsss");
    assert!(slots(&log.bytes)[2..].iter().all(|slot| slot.generation == Some(1)));
}

#[test]
fn a_destroyed_header_is_rebuilt_from_the_frames() {
    let log = twenty();
    for at in [0, 3, 6, 9, 13, 17, 22, 26, 31] {
        let mut bytes = log.bytes.clone();
        bytes[at] ^= 0x10;
        let found = examined(&bytes);
        assert_eq!(found.verdict, Verdict::BadHeader, "byte {at}");
        let lost = found.lost.unwrap();
        assert_eq!((lost.transactions, lost.recoverable), (20, Recoverable::All), "byte {at}");
    }
    let mut bytes = log.bytes;
    bytes[..32].fill(0);
    assert_eq!(examined(&bytes).lost.unwrap().transactions, 20);
}

#[test]
fn sizes_up_to_a_header_are_empty() {
    let log = twenty();
    for size in 0..=32 {
        let found = examined(&log.bytes[..size]);
        assert_eq!((found.verdict, found.prefix.mx_frame), (Verdict::Empty, 0));
    }
}

/// What the reports show of a log.
fn shown(bytes: &[u8]) -> (Examination, String, Vec<Slot>) {
    (examined(bytes), states(bytes), slots(bytes))
}

#[test]
fn every_flipped_bit_of_a_small_log_changes_the_verdict_or_a_state() {
    let mut log = Log::new(7);
    log.commit(&[2, 3, 4, 5, 6]);
    log.restart(8);
    log.commit(&[2]);
    log.commit(&[3, 4]);
    log.bytes.extend_from_slice(&[9; 40]);
    let (verdict, before) = (examined(&log.bytes).verdict, states(&log.bytes));
    assert_eq!((verdict, before.as_str()), (Verdict::Clean, "CCCss"));
    // Stale slots and the trailing partial slot carry no meaning: every flip there is silent, except
    // where the first stale slot gets a page number, a commit size or a first salt that no leftover
    // has.
    let meaningless = 32 + 3 * SLOT;
    let looked_at = meaningless..meaningless + 12;
    for at in 0..log.bytes.len() {
        for bit in 0..8 {
            log.bytes[at] ^= 1 << bit;
            let after = examined(&log.bytes);
            let same = after.verdict == verdict && states(&log.bytes) == before;
            let either = looked_at.contains(&at);
            assert!(either || same == (at >= meaningless), "byte {at} bit {bit}: {same}");
            log.bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn a_last_frame_that_was_overwritten_is_not_taken_for_a_leftover() {
    let whole = twenty().bytes;
    let last = whole.len() - SLOT;
    // With its page number and size, and without: those look like those of any frame.
    for from in [0, 8] {
        let mut bytes = whole.clone();
        bytes[last + from..last + 300].fill(0xa5);
        let found = examined(&bytes);
        assert_eq!((found.verdict, found.prefix.mx_frame), (Verdict::TornTail, 19), "{from}");
        let file = MemoryFile::with_bytes(bytes);
        let plan = Plan::of(&file, &found, None, &Nobody).unwrap();
        assert!(!plan.is_lossless(), "{from}: {plan:?}");
    }
}

#[test]
fn a_transaction_whose_first_and_last_frames_are_damaged_was_to_commit() {
    for lost in [&[][..], &[2]] {
        let mut log = Log::new(1);
        lost.iter().for_each(|&page| log.commit(&[page]));
        log.commit(&[3, 4, 5]);
        let first = 1 + lost.len();
        log.scramble(first);
        log.scramble(first + 2);
        let found = examined(&log.bytes);
        assert_eq!(found.verdict, Verdict::TornTail);
        let plan = Plan::of(&MemoryFile::with_bytes(log.bytes), &found, None, &Nobody).unwrap();
        assert!(!plan.is_lossless(), "{plan:#?}");
    }
}

#[test]
fn a_run_over_zeros_and_a_word_before_them_is_not_taken_for_that_word() {
    let mut bytes = fs::read("fixtures/padded-commits/x.db-wal").unwrap();
    // From the size of the database, on page 1, to the freelist.
    let at = 32 + 31 * SLOT + 24 + 29;
    bytes[at..at + 11].fill(0xa0);
    let found = examined(&bytes);
    // Another image of the page has the right bytes; one word would explain the sums, too.
    let cure = found.tail.cures.get(FrameNo(32)).unwrap().cure;
    assert!(matches!(cure, Cure::Image { source: ImageSource::Frame(_), .. }), "{cure:?}");
}

#[test]
fn a_frame_of_page_0_is_never_taken_even_if_its_sum_follows() {
    let slot = |frame: usize| 32 + (frame - 1) * SLOT;
    // Its salts wrong, or one half of its sum, or both, or neither.
    for damaged in [0..0, 8..16, 16..20, 16..24] {
        let mut log = Log::new(1);
        for page in [2, 0, 3] {
            log.commit(&[page]);
        }
        log.bytes[slot(2) + damaged.start..slot(2) + damaged.end].fill(7);
        let found = examined(&log.bytes);
        let plan = Plan::of(&MemoryFile::with_bytes(log.bytes), &found, None, &Nobody).unwrap();
        let candidates = plan.candidates.iter().map(|candidate| &candidate.restored);
        for restored in candidates.chain([&plan.restored]) {
            assert!(!restored.snapshot.pages.contains_key(&Pgno(0)), "{plan:#?}");
        }
        assert!(!plan.is_lossless());
    }
}

#[test]
fn random_bytes_never_panic() {
    let seed = 0x5eed;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..10_000 {
        let mut bytes: Vec<u8> = (0..random.usize(0..3000)).map(|_| random.u8(..)).collect();
        if round % 2 == 0 && bytes.len() >= 32 {
            // A valid header in front, so that the frames are looked at.
            bytes[..32].copy_from_slice(&Log::new(round).bytes);
        }
        let _ = shown(&bytes);
    }
}

/// A log of blank slots that no disk holds.
#[derive(Debug)]
struct Endless {
    head: Vec<u8>,
    size_bytes: u64,
}

impl File for Endless {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> storage::Result<usize> {
        buffer.fill(0);
        if let Some(head) = usize::try_from(offset).ok().and_then(|at| self.head.get(at..)) {
            let known = head.len().min(buffer.len());
            buffer[..known].copy_from_slice(&head[..known]);
        }
        let left = self.size_bytes.saturating_sub(offset);
        Ok(buffer.len().min(usize::try_from(left).unwrap()))
    }

    fn size(&self) -> storage::Result<u64> {
        Ok(self.size_bytes)
    }

    fn write_at(&self, _: &[u8], _: u64) -> storage::Result<()> {
        unreachable!("examining writes nothing")
    }

    fn truncate(&self, _: u64) -> storage::Result<()> {
        unreachable!("examining truncates nothing")
    }

    fn sync(&self, _: SyncKind) -> storage::Result<()> {
        unreachable!("examining syncs nothing")
    }

    fn lock(&self, _: LockLevel) -> storage::Result<Locked> {
        unreachable!("examining locks nothing")
    }

    fn unlock(&self, _level: LockLevel) -> storage::Result<()> {
        unreachable!("examining locks nothing")
    }

    fn lock_holder(&self, _: Range<u64>, _: LockMode) -> storage::Result<Option<LockHolder>> {
        Ok(None)
    }

    fn path(&self) -> &Path {
        Path::new(":endless:")
    }
}

#[test]
fn offsets_beyond_4_gib_are_read() {
    let size_bytes = 5_u64 << 30;
    let log = Endless { head: twenty().bytes, size_bytes };
    let found = examine(&log, &Nobody).unwrap();
    assert_eq!((found.verdict, found.prefix.mx_frame), (Verdict::Clean, 20));
    let slots = u32::try_from((size_bytes - 32) / SLOT as u64).unwrap();
    assert_eq!(found.shape.unwrap().extent.slot_frames, slots);
    assert_eq!(P, 512);
}

#[test]
fn a_header_whose_salts_and_sum_became_zeros_is_no_end_of_the_log() {
    // An open transaction leaves a frame without them, too; but then no frame follows off the grid.
    for frame in 2..20 {
        let mut bytes = twenty().bytes;
        let salts = 32 + (frame - 1) * SLOT + 8;
        bytes.splice(salts..salts, [0; 95]);
        let found = examined(&bytes);
        assert_eq!(found.verdict, Verdict::Damaged, "{frame}");
    }
}

/// Puts another content into the file when half of it was read.
struct Rewrite<'a> {
    path: &'a Path,
    bytes: RefCell<Option<Vec<u8>>>,
}

impl Watch for Rewrite<'_> {
    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        if done_bytes > total_bytes / 2
            && let Some(bytes) = self.bytes.borrow_mut().take()
        {
            fs::write(self.path, bytes).unwrap();
        }
        ControlFlow::Continue(())
    }
}

#[test]
fn what_was_written_while_nobody_was_seen_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("x.db-wal");
    let mut log = Log::new(7);
    (0..8_000).for_each(|_| log.commit(&[2]));
    fs::write(&wal, &log.bytes).unwrap();
    log.restart(8);
    (0..8_000).for_each(|_| log.commit(&[3]));
    // Longer ago than a tick of the clock, so that the time of the file changes.
    std::thread::sleep(Duration::from_millis(50));
    let watch = Rewrite { path: &wal, bytes: RefCell::new(Some(log.bytes.clone())) };
    let mut out = Vec::new();
    let output = Output::new(&mut out, Format::Json);
    let context = Context { vfs: &OsVfs, watch: &watch, output, warnings: RefCell::default() };
    let files = Files::find(&OsVfs, &wal, &FileArgs::default()).unwrap();
    let reading = live::read_log(&files, &context).unwrap().unwrap();
    assert!(watch.bytes.borrow().is_none(), "the log was written while it was read");
    assert_eq!(reading.examination.verdict, Verdict::Clean);
    assert_eq!(reading.examination.header.unwrap().salts.salt1, 8);
}
