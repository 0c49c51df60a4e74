//! Headers that are lost, in part or as a whole, and logs that are nothing else.

use walsmith::format::FrameNo;
use walsmith::log::cure::Cure;
use walsmith::log::proof::Proof;
use walsmith::log::{Certainty, ExamineOptions, Recoverable, Verdict, examine_with};
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryFile;

use super::{examined, twenty};
use crate::log_builder::{Log, P, SLOT};

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
    let found =
        examine_with(&log, ExamineOptions { database: Some(&database), known_frames: 0 }, &Nobody)
            .unwrap();
    let lost = found.lost.unwrap();
    assert_eq!((lost.certainty, lost.recoverable), (Certainty::Proven, Recoverable::All));
    let cures: Vec<_> = found.tail.cures.iter().map(|(at, cured)| (at.0, cured.cure)).collect();
    assert!(matches!(cures[..], [(4, Cure::Image { .. }), (5, Cure::Image { .. })]), "{cures:?}");
    let header = found.tail.cures.get(FrameNo(5)).unwrap().header.encode();
    assert_eq!(header[..], before[slot(5)..slot(5) + 24]);
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
