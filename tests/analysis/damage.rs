//! Damaged frames: what the sums and other images prove of them.

use std::fs;

use walsmith::format::{FrameNo, Pgno};
use walsmith::log::cure::{Cure, ImageSource};
use walsmith::log::link::FrameFault;
use walsmith::log::proof::Proof;
use walsmith::log::{Certainty, ExamineOptions, Recoverable, Verdict, examine_with};
use walsmith::repair::plan::Plan;
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryFile;

use super::{examined, states, twenty};
use crate::log_builder::{Log, P, SLOT};

#[test]
fn one_flipped_bit_names_its_frame_and_the_transactions_behind_it() {
    let mut log = twenty();
    log.bytes[32 + 10 * SLOT + 24 + 100] ^= 4;
    let found = examined(&log.bytes);
    let lost = found.lost.unwrap();
    assert_eq!(found.verdict, Verdict::Damaged);
    assert_eq!(found.damaged.len(), 1);
    assert_eq!((found.damaged[0].frame, found.damaged[0].what), (FrameNo(11), FrameFault::Content));
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
    assert_eq!(what, [(5, FrameFault::Salt), (10, FrameFault::ChecksumField)]);
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
    let found =
        examine_with(&log, ExamineOptions { database: Some(&database), known_frames: 0 }, &Nobody)
            .unwrap();
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
