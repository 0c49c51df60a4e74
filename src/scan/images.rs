//! Page images of a log beside the pages of a database file, byte by byte.

use std::panic;
use std::slice::{Chunks, ChunksMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::format::{FrameNo, PageSize, Pgno};
use crate::storage::shared::Spread;
use crate::storage::{self, File};

use super::image_runs::ImageRuns;
use super::slots::Error;
use super::watch::Watch;

/// Images of a log that a database file may have, too.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// The log.
    pub log: &'a dyn File,
    /// The database file.
    pub database: &'a dyn File,
    /// The page size of both.
    pub page_size: PageSize,
    /// Bytes at the end of a page that may differ.
    pub left_out_bytes: usize,
}

impl Images<'_> {
    /// Whether the database file has, as each page of `pairs`, the image in the frame beside it.
    /// They ascend by page. A page that the file does not have as a whole is another one.
    ///
    /// # Errors
    /// When a file cannot be read, the log was cut, there is no memory, or the watcher stops it.
    pub fn are_in_database(
        &self,
        pairs: &[(Pgno, FrameNo)],
        watch: &dyn Watch,
    ) -> Result<Vec<bool>, Error> {
        let mut equal = Vec::new();
        equal.try_reserve_exact(pairs.len()).map_err(|_| Error::OutOfMemory)?;
        equal.resize(pairs.len(), false);
        let shared = self.log.shared().zip(self.database.shared());
        let spread = shared.as_ref().map_or_else(Spread::default, |(log, _)| log.spread);
        let page_bytes = self.page_size.bytes_u64();
        let stretch_pages = usize::try_from(spread.chunk_bytes / page_bytes).unwrap_or(1).max(1);
        let work = Work {
            page_size: self.page_size,
            compared_bytes: self.page_size.in_memory().saturating_sub(self.left_out_bytes),
            stretches: Mutex::new(Stretches {
                pairs: pairs.chunks(stretch_pages),
                equal: equal.chunks_mut(stretch_pages),
            }),
            path: self.log.path().display().to_string(),
        };
        let is_stopped = AtomicBool::new(false);
        let here = || {
            let read = |buffer: &mut [u8], offset| self.log.read_at(buffer, offset);
            let read_pages = |buffer: &mut [u8], offset| self.database.read_at(buffer, offset);
            // The caller asks the watcher, and the others the caller.
            work.compare(read, read_pages, || watch.is_interrupted())
        };
        let beside = || {
            let Some((log, database)) = &shared else { return Ok(()) };
            let read = |buffer: &mut [u8], offset| log.read_at(buffer, offset);
            let read_pages = |buffer: &mut [u8], offset| database.read_at(buffer, offset);
            work.compare(read, read_pages, || is_stopped.load(Ordering::Relaxed))
        };
        thread::scope(|scope| {
            // Where the system gives no thread, all is done here.
            let threads = 1..spread.threads(pairs.len() as u64 * page_bytes);
            let others = threads.filter_map(|_| {
                let thread = thread::Builder::new().spawn_scoped(scope, beside);
                thread.ok()
            });
            let others = Vec::from_iter(others);
            here().inspect_err(|_| is_stopped.store(true, Ordering::Relaxed))?;
            others.into_iter().try_for_each(|other| {
                other.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
            })
        })?;
        Ok(equal)
    }
}

/// A page, and a frame that has an image of it.
type Pair = (Pgno, FrameNo);

/// Neighbouring pairs, and where is entered which of them are in the database file.
struct Stretch<'a> {
    pairs: &'a [Pair],
    equal: &'a mut [bool],
}

/// All stretches that nobody has taken.
struct Stretches<'a> {
    pairs: Chunks<'a, Pair>,
    equal: ChunksMut<'a, bool>,
}

/// What threads share: each takes the next stretch.
struct Work<'a> {
    page_size: PageSize,
    compared_bytes: usize,
    stretches: Mutex<Stretches<'a>>,
    /// The log, for messages.
    path: String,
}

impl<'a> Work<'a> {
    fn next(&self) -> Option<Stretch<'a>> {
        let mut stretches = self.stretches.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Stretch { pairs: stretches.pairs.next()?, equal: stretches.equal.next()? })
    }

    fn compare(
        &self,
        read: impl Fn(&mut [u8], u64) -> storage::Result<usize>,
        read_pages: impl Fn(&mut [u8], u64) -> storage::Result<usize>,
        is_interrupted: impl Fn() -> bool,
    ) -> Result<(), Error> {
        let page_bytes = self.page_size.in_memory();
        let (mut images, mut pages) = (ImageRuns::new(self.page_size), Vec::<u8>::new());
        while let Some(Stretch { pairs, mut equal }) = self.next() {
            if is_interrupted() {
                return Err(Error::Interrupted);
            }
            for run in pairs.chunk_by(|(page, _), (next, _)| page.0 + 1 == next.0) {
                let Some(&(first, _)) = run.first() else { continue };
                let run_bytes = run.len() * page_bytes;
                let more = run_bytes.saturating_sub(pages.len());
                pages.try_reserve(more).map_err(|_| Error::OutOfMemory)?;
                pages.resize(run_bytes, 0);
                let found = read_pages(&mut pages, first.offset_bytes(self.page_size))?;
                let mut in_file = pages.split_at(found).0.chunks_exact(page_bytes);
                let (of_run, rest) = equal.split_at_mut(run.len());
                equal = rest;
                let mut of_run = of_run.iter_mut();
                for piece in ImageRuns::cut(self.page_size, run) {
                    let images = images.read(piece, &read)?;
                    if let Some(&(_, frame)) = piece.get(images.len()) {
                        let offset_bytes = frame.offset_bytes(self.page_size);
                        return Err(Error::Shrunk { path: self.path.clone(), frame, offset_bytes });
                    }
                    for (image, is_equal) in images.zip(of_run.by_ref()) {
                        let compared = image.split_at(self.compared_bytes).0;
                        *is_equal = in_file.next().is_some_and(|page| page.starts_with(compared));
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::scan::Nobody;
    use crate::storage::threaded::ThreadedVfs;
    use crate::storage::{OpenMode, Vfs};

    #[test]
    fn a_page_is_equal_where_all_compared_bytes_are() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let directory = tempfile::tempdir().unwrap();
        let (log_path, database_path) = (directory.path().join("l"), directory.path().join("d"));
        let page_size = PageSize::ALL[0];
        for _ in 0..100 {
            let left_out_bytes = [0, 8, 16][random.usize(..3)];
            let (frames, pages) = (random.u32(1..300), random.u32(1..200));
            let slots: Vec<Vec<u8>> = (0..frames).map(|_| vec![random.u8(..3); 24 + 512]).collect();
            let mut database = vec![0_u8; 512 * pages as usize];
            let mut frame = 1;
            let mut pairs = Vec::new();
            for page in 1..=pages + 3 {
                if random.u8(..10) == 0 {
                    continue;
                }
                // Often in the frame after the one of the page before it.
                frame = if random.bool() { frame % frames + 1 } else { random.u32(1..=frames) };
                pairs.push((Pgno(page), FrameNo(frame)));
                let start = 512 * (page as usize - 1);
                if let Some(there) = database.get_mut(start..start + 512) {
                    there.copy_from_slice(&slots[frame as usize - 1][24..]);
                    if random.u8(..4) == 0 {
                        there[random.usize(..512)] ^= 1;
                    }
                }
            }
            database.truncate(database.len() - random.usize(..512));
            let wanted = pairs.iter().map(|(page, frame)| {
                let start = 512 * (page.0 as usize - 1);
                let image = &slots[frame.0 as usize - 1][24..24 + 512 - left_out_bytes];
                database.get(start..start + 512).is_some_and(|page| page.starts_with(image))
            });
            let wanted = Vec::from_iter(wanted);
            fs::write(&log_path, [vec![0; 32], slots.concat()].concat()).unwrap();
            fs::write(&database_path, &database).unwrap();
            for threads in 1..=3 {
                let threads = NonZeroUsize::new(threads);
                let spread = Spread { threads, chunk_bytes: 3000, from_bytes: 600 };
                let vfs = ThreadedVfs { spread };
                let log = vfs.open(&log_path, OpenMode::ReadOnly).unwrap();
                let database = vfs.open(&database_path, OpenMode::ReadOnly).unwrap();
                let images = Images {
                    log: log.as_ref(),
                    database: database.as_ref(),
                    page_size,
                    left_out_bytes,
                };
                let found = images.are_in_database(&pairs, &Nobody).unwrap();
                assert_eq!(found, wanted, "seed {seed}, {threads:?}");
                let cut = [(Pgno(1), FrameNo(1)), (Pgno(2), FrameNo(frames + 1))];
                let error = images.are_in_database(&cut, &Nobody);
                let is_cut = matches!(error, Err(Error::Shrunk { frame, .. }) if frame.0 > frames);
                assert!(is_cut || pages == 1, "seed {seed}");
            }
        }
    }
}
