//! The pages of a database file, in long runs and by several threads.

use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::format::PageSize;
use crate::storage::shared::Spread;
use crate::storage::{self, File};

use super::slots::Error;
use super::watch::Watch;

/// What every whole page of a file maps to; page `n` is at `n - 1`. The file ends where it ended
/// when the reading began, or earlier.
///
/// # Errors
/// When the file cannot be read, there is no memory, or the watcher stops it.
pub fn map_pages<T: Send>(
    file: &dyn File,
    page_size: PageSize,
    map: impl Fn(&[u8]) -> T + Sync,
    watch: &dyn Watch,
) -> Result<Vec<T>, Error> {
    let bytes = file.size()?;
    let pages = bytes / page_size.bytes_u64();
    let shared = file.shared();
    let spread = shared.as_ref().map_or_else(Spread::default, |shared| shared.spread);
    let mapper = Mapper { page_size, run_bytes: spread.chunk_bytes, map };
    let threads = spread.threads(bytes) as u64;
    let Some(shared) = shared.filter(|_| threads > 1) else {
        let read = |buffer: &mut [u8], offset| file.read_at(buffer, offset);
        return mapper.map(0..pages, read, || watch.is_interrupted());
    };
    let read = |buffer: &mut [u8], offset| shared.read_at(buffer, offset);
    let is_stopped = AtomicBool::new(false);
    let share = pages.div_ceil(threads);
    thread::scope(|scope| {
        let others = (1..threads).map(|part| {
            let pages = (part * share).min(pages)..((part + 1) * share).min(pages);
            let (mapper, is_stopped, own) = (&mapper, &is_stopped, pages.clone());
            let work = move || mapper.map(own, read, || is_stopped.load(Ordering::Relaxed));
            (pages, thread::Builder::new().spawn_scoped(scope, work).ok())
        });
        let others = Vec::from_iter(others);
        // The caller asks the watcher, and the others the caller.
        let is_interrupted = || watch.is_interrupted();
        let mut all = mapper.map(0..share.min(pages), read, is_interrupted).inspect_err(|_| {
            is_stopped.store(true, Ordering::Relaxed);
        })?;
        for (pages, thread) in others {
            let part = match thread.map(thread::ScopedJoinHandle::join) {
                Some(Ok(part)) => part?,
                Some(Err(panic)) => panic::resume_unwind(panic),
                // The system gave no thread.
                None => mapper.map(pages.clone(), read, is_interrupted)?,
            };
            // A file that was cut meanwhile ends with the first part that is not whole.
            if all.len() as u64 == pages.start {
                all.extend(part);
            }
        }
        Ok(all)
    })
}

/// How pages are read and what they map to.
struct Mapper<M> {
    page_size: PageSize,
    /// Bytes of one read.
    run_bytes: u64,
    map: M,
}

impl<M> Mapper<M> {
    /// Maps `pages`, counted from 0, as far as the file has them.
    fn map<T>(
        &self,
        pages: Range<u64>,
        read: impl Fn(&mut [u8], u64) -> storage::Result<usize>,
        is_interrupted: impl Fn() -> bool,
    ) -> Result<Vec<T>, Error>
    where
        M: Fn(&[u8]) -> T,
    {
        let page_bytes = self.page_size.in_memory();
        let run_pages = (self.run_bytes / self.page_size.bytes_u64()).max(1);
        let mut buffer = Vec::new();
        let mut mapped = Vec::new();
        let mut next = pages.start;
        while next < pages.end {
            if is_interrupted() {
                return Err(Error::Interrupted);
            }
            let run = usize::try_from(run_pages.min(pages.end - next)).unwrap_or(usize::MAX);
            let run_bytes = run.saturating_mul(page_bytes);
            buffer
                .try_reserve(run_bytes.saturating_sub(buffer.len()))
                .map_err(|_| Error::OutOfMemory)?;
            buffer.resize(run_bytes, 0);
            let found = read(&mut buffer, next * self.page_size.bytes_u64())?;
            let whole = buffer.split_at(found).0.chunks_exact(page_bytes);
            mapped.try_reserve(whole.len()).map_err(|_| Error::OutOfMemory)?;
            mapped.extend(whole.map(&self.map));
            if found < run_bytes {
                break;
            }
            next += run as u64;
        }
        Ok(mapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Nobody;
    use crate::storage::shared::Spread;
    use crate::storage::threaded::ThreadedVfs;
    use crate::storage::{OpenMode, Vfs};

    #[test]
    fn every_whole_page_is_mapped_once_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let page_size = PageSize::ALL[0];
        for (pages, rest) in [(0_u32, 0), (1, 0), (1, 511), (7, 1), (64, 0), (1001, 200)] {
            let mut bytes: Vec<u8> =
                (1..=pages).flat_map(|page| [page.to_be_bytes(); 128].concat()).collect();
            bytes.resize(bytes.len() + rest, 0xff);
            std::fs::write(&path, &bytes).unwrap();
            for threads in 1..=5 {
                let threads = std::num::NonZeroUsize::new(threads);
                let spread = Spread { threads, chunk_bytes: 3000, from_bytes: 600 };
                let file = ThreadedVfs { spread }.open(&path, OpenMode::ReadOnly).unwrap();
                let first = |image: &[u8]| u32::from_be_bytes(*image.first_chunk().unwrap());
                let found = map_pages(file.as_ref(), page_size, first, &Nobody).unwrap();
                assert_eq!(found, Vec::from_iter(1..=pages), "{threads:?} {rest}");
            }
        }
    }
}
