//! The loss forecast on seeded single faults of a log made by SQLite.

use walsmith::log::link::FrameFault;
use walsmith::log::{Certainty, Recoverable, Verdict, examine};
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryFile;

use crate::support::read;

const SLOT: usize = 4120;
const TRANSACTIONS: u32 = 20;

/// What one fault in a log of 20 one-frame transactions must give.
fn check(wal: &[u8], at: usize, fault: &dyn Fn(&mut [u8]), tally: &mut [u32; 4]) {
    let mut bytes = wal.to_vec();
    fault(&mut bytes);
    let found = examine(&MemoryFile::with_bytes(bytes), &Nobody).unwrap();
    let frame = u32::try_from((at - 32) / SLOT).unwrap() + 1;
    assert_eq!(found.prefix.transactions, frame - 1, "fault at {at}");
    let damaged: Vec<u32> = found.damaged.iter().map(|damaged| damaged.frame.0).collect();
    let Some(lost) = found.lost else {
        // Only the last transaction can look like one that a crash tore.
        assert_eq!((frame, found.verdict), (TRANSACTIONS, Verdict::TornTail), "fault at {at}");
        tally[3] += 1;
        return;
    };
    assert_eq!(found.verdict, Verdict::Damaged);
    assert_eq!(damaged, [frame], "fault at {at}");
    assert_eq!(lost.transactions, TRANSACTIONS + 1 - frame, "fault at {at}");
    // The page is written again by every later transaction, so only doubt is against "all": about
    // the break, or about the page that the frame was to write.
    let last = frame == TRANSACTIONS && found.damaged[0].what == FrameFault::Content;
    match lost.certainty {
        _ if last => {}
        Certainty::Proven => assert_eq!(lost.recoverable, Recoverable::All, "fault at {at}"),
        Certainty::Likely => assert_ne!(lost.recoverable, Recoverable::None, "fault at {at}"),
        Certainty::Possible => assert_ne!(lost.recoverable, Recoverable::All, "fault at {at}"),
    }
    tally[lost.certainty as usize] += 1;
}

#[test]
fn a_single_fault_names_its_frame_and_counts_what_is_lost() {
    let (_, wal) = read("twenty-rows");
    let mut random = fastrand::Rng::with_seed(11);
    let (mut bits, mut words) = ([0; 4], [0; 4]);
    for _ in 0..2000 {
        let at = random.usize(32..wal.len());
        let bit = random.u8(0..8);
        check(&wal, at, &|bytes: &mut [u8]| bytes[at] ^= 1 << bit, &mut bits);
        let word = 32 + random.usize(0..(wal.len() - 32) / 4) * 4;
        let noise = random.u32(1..).to_le_bytes();
        let damage = |bytes: &mut [u8]| {
            bytes[word..word + 4].iter_mut().zip(noise).for_each(|(byte, noise)| *byte ^= noise);
        };
        check(&wal, word, &damage, &mut words);
    }
    println!("possible, likely, proven, torn: {bits:?} of 2000 bits, {words:?} of 2000 words");
    assert!(bits[2] + bits[1] > 1800 && words[2] > 1800);
}
