//! Exact copies of files, and what shows that they are exact.
//!
//! A copy is made in one reading, and compared with its source in another that begins when the
//! first has ended. Where several files are copied, then all compared, and nothing differs, they
//! are what the sources were at the moment between the two: whatever is written to a source after
//! it was read shows as a difference. Holes stay holes, and memory is bounded by a chunk.

use std::cell::Cell;
use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::scan::Watch;
use crate::storage::{self, File};

/// Bytes of one read.
const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes of a hole that are summed at a time.
const HOLE_BYTES: u64 = 64 << 20;
/// What a file system stores at the least: a hole is not smaller.
const BLOCK_BYTES: usize = 4096;

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot be read.
    #[error(transparent)]
    Source(storage::Error),
    /// The copy cannot be written, or not be read back.
    #[error(transparent)]
    Target(storage::Error),
    /// The watcher asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Counts what is read, for whoever watches.
pub struct Meter<'w> {
    watch: &'w dyn Watch,
    done_bytes: Cell<u64>,
    total_bytes: Cell<u64>,
}

impl<'w> Meter<'w> {
    /// For `total_bytes` to be read.
    #[must_use]
    pub fn new(watch: &'w dyn Watch, total_bytes: u64) -> Self {
        Self { watch, done_bytes: Cell::new(0), total_bytes: Cell::new(total_bytes) }
    }

    fn passed(&self, bytes: u64) -> Result<(), Error> {
        let done = self.done_bytes.get().saturating_add(bytes);
        self.done_bytes.set(done);
        // What is copied again comes on top.
        self.total_bytes.set(self.total_bytes.get().max(done));
        match self.watch.scanned(done, self.total_bytes.get()).is_break() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// SHA-256 of the copy, in hexadecimal digits.
    pub sha256: String,
    /// Where source and copy differ first.
    pub first_difference: Option<u64>,
    /// Why the source could not be compared to its end.
    pub unread: Option<String>,
}

/// Makes `to` a copy of `from`, as long as that is now; returns how long it has become.
///
/// # Errors
/// When a file fails, or the watcher stops it.
pub fn copy(from: &dyn File, to: &dyn File, meter: &Meter<'_>) -> Result<u64, Error> {
    to.truncate(0).map_err(Error::Target)?;
    let end = from.size().map_err(Error::Source)?;
    let mut chunk = vec![0; usize::try_from(CHUNK_BYTES.min(end)).unwrap_or_default()];
    let mut at = 0;
    let copied = loop {
        let next = from.next_data(at).map_err(Error::Source)?.unwrap_or(end).clamp(at, end);
        meter.passed(next - at)?;
        at = next;
        let wanted = usize::try_from((end - at).min(CHUNK_BYTES)).unwrap_or_default();
        let read = from.read_at(chunk.split_at_mut(wanted).0, at).map_err(Error::Source)?;
        for run in runs_of_data(chunk.split_at(read).0) {
            let start = at + run.start as u64;
            let bytes = chunk.get(run).unwrap_or_default();
            to.write_at(bytes, start).map_err(Error::Target)?;
        }
        at += read as u64;
        meter.passed(read as u64)?;
        // It may have been cut meanwhile.
        if at == end || read == 0 {
            break at;
        }
    };
    to.truncate(copied).map_err(Error::Target)?;
    Ok(copied)
}

/// Compares the `copied_bytes` of a copy with its source.
///
/// # Errors
/// When the copy cannot be read, or the watcher stops it.
pub fn compare(
    from: &dyn File,
    to: &dyn File,
    copied_bytes: u64,
    meter: &Meter<'_>,
) -> Result<Compared, Error> {
    let mut sum = Sha256::new();
    let (mut first_difference, mut unread) = (None, None);
    let room = usize::try_from(CHUNK_BYTES.min(copied_bytes)).unwrap_or_default();
    let (mut copy, mut source) = (vec![0; room], vec![0; room]);
    let mut at = 0;
    while at < copied_bytes {
        let data = |found: storage::Result<Option<u64>>| match found {
            Ok(next) => next.unwrap_or(copied_bytes).clamp(at, copied_bytes),
            Err(_) => at,
        };
        let next = data(from.next_data(at)).min(data(to.next_data(at)));
        while at < next {
            let hole = (next - at).min(HOLE_BYTES);
            zeros(&mut sum, hole);
            meter.passed(hole)?;
            at += hole;
        }
        let wanted = usize::try_from((copied_bytes - at).min(CHUNK_BYTES)).unwrap_or_default();
        let (copy, source) = (copy.split_at_mut(wanted).0, source.split_at_mut(wanted).0);
        let kept = to.read_at(copy, at).map_err(Error::Target)?;
        sum.update(&copy);
        if unread.is_none() && first_difference.is_none() {
            match from.read_at(source, at) {
                Ok(read) => {
                    let common = read.min(kept);
                    let differs = copy.iter().zip(source.iter()).take(common);
                    let differs = differs.zip(0_u64..).find(|((one, other), _)| one != other);
                    let short = (common < wanted).then_some(common as u64);
                    first_difference = differs.map(|(_, at)| at).or(short).map(|it| at + it);
                }
                Err(error) => unread = Some(error.to_string()),
            }
        }
        at += wanted as u64;
        meter.passed(wanted as u64)?;
    }
    let sha256 = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Compared { sha256, first_difference, unread })
}

/// Sums a hole.
fn zeros(sum: &mut Sha256, bytes: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    for _ in 0..bytes / ZEROS.len() as u64 {
        sum.update(ZEROS);
    }
    let rest = usize::try_from(bytes % ZEROS.len() as u64).unwrap_or_default();
    sum.update(ZEROS.split_at(rest).0);
}

/// The parts of `bytes` that are not blocks of zeros: where the file system does not tell of holes,
/// or somebody has filled them, none is written out.
pub(super) fn runs_of_data(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        if block.iter().all(|&byte| byte == 0) {
            continue;
        }
        let start = number * BLOCK_BYTES;
        let end = start + block.len();
        match runs.last_mut().filter(|run| run.end == start) {
            Some(run) => run.end = end,
            None => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Nobody;
    use crate::storage::memory::MemoryFile;
    use crate::storage::os::OsVfs;
    use crate::storage::{OpenMode, Vfs};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_copy_is_exact_and_its_sum_is_known() {
        let from = MemoryFile::with_bytes(b"abc".to_vec());
        let to = MemoryFile::with_bytes(b"what was there before".to_vec());
        let meter = Meter::new(&Nobody, 6);
        assert_eq!(copy(&from, &to, &meter).unwrap(), 3);
        let compared = compare(&from, &to, 3, &meter).unwrap();
        // FIPS 180-4, the example of one block.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((compared.sha256.as_str(), compared.first_difference), (wanted, None));
        from.write_at(b"X", 2).unwrap();
        assert_eq!(compare(&from, &to, 3, &meter).unwrap().first_difference, Some(2));
        from.truncate(1).unwrap();
        assert_eq!(compare(&from, &to, 3, &meter).unwrap().first_difference, Some(1));
    }

    #[test]
    fn a_file_of_holes_is_copied_with_its_holes() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name| OsVfs.open(&folder.path().join(name), OpenMode::Create).unwrap();
        let (from, to) = (open("from"), open("to"));
        from.write_at(b"x", 40 << 20).unwrap();
        from.truncate((80 << 20) + 5).unwrap();
        let meter = Meter::new(&Nobody, 0);
        let copied = copy(from.as_ref(), to.as_ref(), &meter).unwrap();
        assert_eq!(copied, (80 << 20) + 5);
        let compared = compare(from.as_ref(), to.as_ref(), copied, &meter).unwrap();
        assert_eq!(compared.first_difference, None);
        let mut whole = vec![0; (80 << 20) + 5];
        whole[40 << 20] = b'x';
        let sum: String = Sha256::digest(&whole).iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(compared.sha256, sum);
        let blocks = std::fs::metadata(folder.path().join("to")).unwrap().blocks();
        assert!(blocks < 1000, "{blocks}");
    }

    #[test]
    fn nothing_is_copied_of_nothing() {
        let (from, to) = (MemoryFile::with_bytes(Vec::new()), MemoryFile::with_bytes(vec![1]));
        let meter = Meter::new(&Nobody, 0);
        assert_eq!(copy(&from, &to, &meter).unwrap(), 0);
        assert_eq!(compare(&from, &to, 0, &meter).unwrap().first_difference, None);
        assert_eq!(to.size().unwrap(), 0);
    }
}
