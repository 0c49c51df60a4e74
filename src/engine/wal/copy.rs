//! The copy of a checkpoint: the newest image of each page, from the log into the database.
//!
//! Pages ascend, and neighbours share a write. Nothing here is ordered against anything else: the
//! log is durable before the first page is written, and the database is synced after the last. Two
//! threads therefore share a long copy: each takes the next stretch of pages from a counter.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Wal;
use super::checkpoint::{Pair, Request};
use super::read::image_offset;
use crate::engine::page_checksum::{self, PageChecksums, Wanted};
use crate::engine::{Error, Result};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::page_checksum::write as write_page_checksum;
use crate::format::wal_index::block_of;
use crate::format::{DatabaseHeader, FrameNo, PageSize, Pgno};
use crate::scan::ImageRuns;
use crate::storage;
use crate::storage::runs::Runs;
use crate::storage::shared::SharedFile;

/// How pages are copied.
#[derive(Clone, Copy)]
struct Copying {
    page_size: PageSize,
    most_write_bytes: usize,
    /// Pages end with their checksum in this database.
    wanted: Wanted,
}

impl Wal<'_> {
    /// What pages get on their way into the database. Fails before anything is changed.
    pub(super) fn page_checksums_wanted(&mut self, request: &Request<'_>) -> Result<Wanted> {
        if self.page_checksums == PageChecksums::Leave {
            return Ok(Wanted::Nothing);
        }
        let (first, last) = (self.live()?.backfill().saturating_add(1), self.header.mx_frame);
        let mut page_1 = None;
        for number in (block_of(first)..=block_of(last)).rev() {
            let block = self.block(number)?;
            let mut frames = first.max(block.first_frame())..=last.min(block.last_frame());
            page_1 = frames.rfind(|&frame| block.page_of(frame) == Pgno::FIRST.0).map(FrameNo);
            if page_1.is_some() {
                break;
            }
        }
        let mut bytes = [0; DATABASE_HEADER_BYTES];
        if let Some(frame) = page_1 {
            let offset_bytes = image_offset(frame, request.page_size);
            if self.log.read_at(&mut bytes, offset_bytes)? < bytes.len() {
                return Err(Error::ShortRead { frame, offset_bytes });
            }
        }
        let page_1 = page_1.map(|_| DatabaseHeader::decode(&bytes));
        let wanted =
            page_checksum::wanted(Some(self.database), request.page_size, page_1.as_ref())?;
        match wanted {
            Wanted::NotKnown(doubt) => Err(doubt.into()),
            wanted @ (Wanted::Nothing | Wanted::Checksum) => Ok(wanted),
        }
    }

    /// The newest frame of each page of the database after `nBackfill`, by ascending page. C is
    /// held.
    pub(super) fn pages_to_copy(&mut self, wanted: Wanted) -> Result<Vec<Pair>> {
        let newest = (self.header.salts, self.header.mx_frame);
        if wanted == Wanted::Nothing && self.in_database == Some(newest) {
            // Since it was recovered, nobody has copied anything over these pages.
            return Ok(Vec::new());
        }
        let (first, last) = (self.live()?.backfill().saturating_add(1), self.header.mx_frame);
        let mut pairs: Vec<Pair> = Vec::new();
        pairs.try_reserve_exact((last.saturating_sub(first) as usize).saturating_add(1))?;
        for number in block_of(first)..=block_of(last) {
            let block = self.block(number)?;
            let frames = first.max(block.first_frame())..=last.min(block.last_frame());
            pairs.extend(frames.map(|frame| (Pgno(block.page_of(frame)), FrameNo(frame))));
        }
        newest_of_each(pairs, self.header.db_size_pages)
    }

    /// Copies `pairs`, which ascend by page; returns how many. Each gets what is `wanted`. C and L0
    /// are held.
    pub(super) fn copy_pages(
        &self,
        request: &Request<'_>,
        pairs: &[Pair],
        wanted: Wanted,
    ) -> Result<u32> {
        let most_write_bytes = self.database.most_write_bytes();
        let copying = Copying { page_size: request.page_size, most_write_bytes, wanted };
        let total_bytes = pairs.len() as u64 * request.page_size.bytes_u64();
        let shared = self.log.shared().zip(self.database.shared());
        let shared = shared.filter(|(log, _)| log.spread.threads(total_bytes) > 1);
        let read = |image: &mut [u8], offset| self.log.read_at(image, offset);
        let write = |run: &[u8], offset| self.database.write_at(run, offset);
        let watch = |pages: usize| {
            let done_bytes = pages as u64 * request.page_size.bytes_u64();
            request.watch.scanned(done_bytes, total_bytes)
        };
        let Some((log, database)) = &shared else {
            return copying.copy(pairs, read, write, watch);
        };
        copying.copy_together(pairs, log, database, |stretch, done| {
            copying.copy(stretch, read, write, |pages| watch(done + pages))
        })
    }
}

/// Of `pairs`, which ascend by frame, the last of each page from 1 to `size_pages`, by ascending
/// page. Where the pages are not many more than the pairs, an array of them is faster than sorting.
fn newest_of_each(mut pairs: Vec<Pair>, size_pages: u32) -> Result<Vec<Pair>> {
    if size_pages as usize / 2 > pairs.len() {
        pairs.retain(|(page, _)| (1..=size_pages).contains(&page.0));
        pairs.sort_unstable();
        pairs.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        return Ok(pairs);
    }
    let mut newest: Vec<Option<FrameNo>> = Vec::new();
    newest.try_reserve_exact(size_pages as usize)?;
    newest.resize(size_pages as usize, None);
    for (page, frame) in pairs.drain(..) {
        let place = page.0.checked_sub(1).and_then(|place| newest.get_mut(place as usize));
        if let Some(place) = place {
            *place = Some(frame);
        }
    }
    let newest = (1..).map(Pgno).zip(newest);
    pairs.extend(newest.filter_map(|(page, frame)| Some((page, frame?))));
    Ok(pairs)
}

/// Pages of one stretch, of which none is begun before those before it.
const STRETCH_PAGES: usize = 1024;

impl Copying {
    /// Copies `pairs` stretch by stretch: `copy_here` here, which gets the number of pages before
    /// its stretch, and a thread beside it.
    fn copy_together(
        &self,
        pairs: &[Pair],
        log: &SharedFile,
        database: &SharedFile,
        copy_here: impl Fn(&[Pair], usize) -> Result<u32>,
    ) -> Result<u32> {
        let next = AtomicUsize::new(0);
        let all = |copy: &dyn Fn(&[Pair], usize) -> Result<u32>| -> Result<u32> {
            let mut copied = 0;
            loop {
                let start = next.fetch_add(STRETCH_PAGES, Ordering::Relaxed);
                let Some(rest) = pairs.get(start..).filter(|rest| !rest.is_empty()) else {
                    return Ok(copied);
                };
                let stretch = rest.split_at(rest.len().min(STRETCH_PAGES)).0;
                copied += copy(stretch, start).inspect_err(|_| {
                    // Nobody begins another.
                    next.store(pairs.len(), Ordering::Relaxed);
                })?;
            }
        };
        let beside = || {
            let read = |image: &mut [u8], offset| log.read_at(image, offset);
            let write = |run: &[u8], offset| database.write_at(run, offset);
            all(&|stretch, _| self.copy(stretch, read, write, |_| ControlFlow::Continue(())))
        };
        thread::scope(|scope| {
            // Where the system refuses a thread, the whole is done here.
            let thread = thread::Builder::new().spawn_scoped(scope, beside).ok();
            let here = all(&copy_here);
            let there = thread.map_or(Ok(0), |thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            Ok(here? + there?)
        })
    }

    /// Copies `pairs`; `watch` sees how many of them are copied, once a run.
    fn copy(
        &self,
        pairs: &[Pair],
        read: impl Fn(&mut [u8], u64) -> storage::Result<usize>,
        write: impl Fn(&[u8], u64) -> storage::Result<()>,
        watch: impl Fn(usize) -> ControlFlow<()>,
    ) -> Result<u32> {
        let mut runs = Runs::new(self.page_size.in_memory(), self.most_write_bytes)?;
        let mut log = ImageRuns::new(self.page_size);
        let mut copied = 0_u32;
        if watch(0).is_break() {
            return Err(Error::Interrupted);
        }
        for piece in ImageRuns::cut(self.page_size, pairs) {
            let images = log.read(piece, &read)?;
            if let Some(&(_, frame)) = piece.get(images.len()) {
                let offset_bytes = image_offset(frame, self.page_size);
                return Err(Error::ShortRead { frame, offset_bytes });
            }
            for (&(page, _), image) in piece.iter().zip(images) {
                let place = runs.page(page.offset_bytes(self.page_size), |run, offset| {
                    if watch(copied as usize).is_break() {
                        return Err(Error::Interrupted);
                    }
                    Ok(write(run, offset)?)
                })?;
                place.copy_from_slice(image);
                if self.wanted == Wanted::Checksum {
                    write_page_checksum(place);
                }
                copied += 1;
            }
        }
        runs.finish(|run, offset| Ok::<(), Error>(write(run, offset)?))?;
        Ok(copied)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_page_of_the_database_is_copied_from_its_newest_frame() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..500 {
            let most_pages = random.u32(1..200);
            let pages = (0..random.u32(0..100)).map(|_| Pgno(random.u32(0..=most_pages)));
            let pairs: Vec<Pair> = pages.zip((1..).map(FrameNo)).collect();
            let size_pages = random.u32(0..250);
            let in_database = |(page, _): &Pair| (1..=size_pages).contains(&page.0);
            let wanted = BTreeMap::from_iter(pairs.iter().copied().filter(in_database));
            let found = newest_of_each(pairs, size_pages).unwrap();
            assert_eq!(found, Vec::from_iter(wanted), "seed {seed}");
        }
    }
}
