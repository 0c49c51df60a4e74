//! What is after the frames that SQLite accepts: leftovers, spills, lost writes.

use walsmith::log::{Certainty, Recoverable, Verdict};

use super::{examined, slots, states, twenty};
use crate::log_builder::{Log, SLOT};

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
