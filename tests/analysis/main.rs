//! States, verdicts and the loss forecast on logs built frame by frame.
//!
//! What SQLite itself makes of such logs is asked in the oracle tests; here is what walsmith
//! says beyond that, by the definitions of states and verdicts.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

mod after_the_prefix;
mod any_bytes;
mod damage;
mod header;
#[path = "../log_builder/mod.rs"]
mod log_builder;
mod rewritten;

use walsmith::format::FrameNo;
use walsmith::log::state::{Slot, SlotState};
use walsmith::log::{Examination, Verdict, examine};
use walsmith::scan::Nobody;
use walsmith::storage::memory::MemoryFile;

use crate::log_builder::Log;

fn examined(bytes: &[u8]) -> Examination {
    examine(&MemoryFile::with_bytes(bytes.to_vec()), &Nobody).unwrap()
}

fn slots(bytes: &[u8]) -> Vec<Slot> {
    let file = MemoryFile::with_bytes(bytes.to_vec());
    let examination = examine(&file, &Nobody).unwrap();
    examination.slots(&file, FrameNo(u32::MAX), &Nobody).map(Result::unwrap).collect()
}

fn states(bytes: &[u8]) -> String {
    let letter = |slot: &Slot| match slot.state {
        SlotState::Partial => 'p',
        SlotState::Blank => 'b',
        SlotState::Committed => 'C',
        SlotState::Uncommitted => 'U',
        SlotState::Damaged => 'D',
        SlotState::Unproven => '?',
        SlotState::Unreachable => 'X',
        SlotState::Residue => 'r',
        SlotState::Stale => 's',
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
