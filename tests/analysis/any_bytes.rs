//! Any bytes, and more of them than memory has.

use std::ops::Range;
use std::path::Path;

use walsmith::log::state::Slot;
use walsmith::log::{Examination, Verdict, examine};
use walsmith::scan::Nobody;
use walsmith::storage::{self, File, LockHolder, LockLevel, LockMode, Locked, SyncKind};

use super::{examined, slots, states, twenty};
use crate::log_builder::{Log, P, SLOT};

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
    // Stale slots and the trailing partial slot carry no meaning: every flip there is silent,
    // except where the first stale slot gets a page number, a commit size or a first salt that no
    // leftover has.
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
