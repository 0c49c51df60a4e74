//! Frames that an examination has kept are those that reading the log again would give.

use fastrand::Rng;
use walsmith::analysis::{KnownFrames, examine_keeping};
use walsmith::format::FrameNo;
use walsmith::scan::{FrameFacts, Nobody};
use walsmith::storage::memory::MemoryFile;

use crate::mutate;
use crate::support::{names, read};

fn same(wal: Vec<u8>, case: &str) {
    let file = MemoryFile::with_bytes(wal);
    for limit in [0, 1, 5, usize::MAX] {
        let known = KnownFrames::up_to(limit);
        let examination = examine_keeping(known, &file, None, &Nobody).unwrap();
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
