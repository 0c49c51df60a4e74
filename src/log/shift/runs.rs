//! Frames of one generation at any byte offset: found by their salts, believed by their sums.

use std::collections::{HashMap, VecDeque};

use memchr::memmem;

use crate::format::{Checksum, FRAME_HEADER_BYTES, FrameHeader, FrameNo, Salts};
use crate::log::LogShape;
use crate::scan::{Error, FrameFacts, Watch};
use crate::storage::File;

use super::MOST_LIKELY_PAGES;
use super::window::ByteWindow;

/// Offset of the salts in a frame.
const SALTS_OFFSET: u64 = 8;
/// Length of both.
const SALTS_LEN: usize = 8;
/// Runs that are kept apart. A file that was shifted in more places is torn to pieces.
const MOST_RUNS: usize = 4096;
/// Places that are summed although they are no frames, besides one for each slot that there is room
/// for: a file full of salts must not take longer than its length.
const MOST_IN_VAIN: u64 = 1024;
/// Places that only look like frames and are kept.
const MOST_LIKELY: usize = 65_536;
/// Damaged frames that a single frame is compared with.
const MOST_DOUBTED: usize = 8;

/// Frames one after the other, each of which follows from the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Offset of the first in the file.
    pub offset: u64,
    /// How many.
    pub frames: u32,
    /// Commit frames among them.
    pub commits: u32,
    /// The last of them, counted from 1; 0 without one.
    pub last_commit: u32,
    /// The sum that the first follows from.
    pub before: Checksum,
    /// The sum after the last.
    pub after: Checksum,
}

impl Run {
    /// A run without frames, at an offset.
    fn new(offset: u64, before: Checksum) -> Self {
        Self { offset, frames: 0, commits: 0, last_commit: 0, before, after: before }
    }
}

/// What a search has found.
#[derive(Debug, Default)]
pub(super) struct FoundRuns {
    /// By offset.
    pub runs: Vec<Run>,
    /// Places that look like a frame and cannot be proven, ascending.
    pub likely: Vec<u64>,
    /// The search ended early: there may be more.
    pub is_cut_short: bool,
}

/// A search from front to end.
struct Search<'a> {
    window: ByteWindow<'a>,
    shape: &'a LogShape,
    end: u64,
    slot_bytes: u64,
    slot_len: usize,
    /// The sums after the prefix and after the last run: what comes next follows from one of them.
    ends: [Checksum; 2],
    /// Frames of the last run.
    last_frames: u32,
    /// Stored sums of what looks like a frame and cannot be proven: one that is damaged may be
    /// right in this. The newest last.
    doubted: VecDeque<Checksum>,
}

/// Finds the frames of the generation of `shape` at or after the offset `from`. A place is taken
/// for a frame if its sum follows from `before` or from the end of a run, or if the frame after it
/// follows from its own.
///
/// # Errors
/// When the file cannot be read, or the watcher stops it.
pub(super) fn find(
    file: &dyn File,
    shape: &LogShape,
    from: u64,
    before: Checksum,
    watch: &dyn Watch,
) -> Result<FoundRuns, Error> {
    let end = shape.extent.file_bytes;
    let mut search = Search {
        window: ByteWindow::new(file, end),
        shape,
        end,
        slot_bytes: shape.page_size().slot_bytes(),
        slot_len: shape.extent.slot_len(),
        ends: [before; 2],
        last_frames: 0,
        doubted: VecDeque::new(),
    };
    let finder = memmem::Finder::new(&salt_bytes(shape.salts)).into_owned();
    let slots = (end - from.min(end)) / search.slot_bytes;
    let mut in_vain = slots + MOST_IN_VAIN;
    let mut found = FoundRuns::default();
    let mut at = from;
    while at + search.slot_bytes <= end {
        if watch.is_interrupted() {
            return Err(Error::Interrupted);
        }
        // Together with the last bytes of one window, so that salts on its border are found.
        let bytes = search.window.rest(at + SALTS_OFFSET, SALTS_LEN)?;
        if bytes.len() < SALTS_LEN {
            break;
        }
        let Some(distance) = finder.find(bytes) else {
            at += (bytes.len() as u64 + 1).saturating_sub(SALTS_OFFSET);
            continue;
        };
        at += distance as u64;
        if at + search.slot_bytes > end {
            break;
        }
        if found.runs.len() >= MOST_RUNS || in_vain == 0 {
            found.is_cut_short = true;
            break;
        }
        let Walk { read, is_likely, holds_last, run } = search.walk(at)?;
        match read {
            0 => {
                if is_likely && found.likely.len() < MOST_LIKELY {
                    found.likely.push(at);
                }
                in_vain -= 1;
                at += 1;
            }
            frames => at += u64::from(frames) * search.slot_bytes,
        }
        if let Some(run) = run {
            let [_, end] = &mut search.ends;
            *end = run.after;
            search.last_frames = run.frames;
            if holds_last {
                found.runs.pop();
            }
            found.runs.push(run);
        }
    }
    Ok(found)
}

/// Headers of this generation that are not where the slots are, by their stored sums: whether they
/// commit.
pub(in crate::log) type OffGrid = HashMap<Checksum, bool>;

/// Finds what looks like the header of a frame at or after the offset `from` and off the grid:
/// right salts, and numbers that a database can have. Nothing of it is proven.
pub(in crate::log) fn headers_off_grid(
    file: &dyn File,
    shape: &LogShape,
    from: u64,
    watch: &dyn Watch,
) -> Result<OffGrid, Error> {
    let end = shape.extent.file_bytes;
    let slot_bytes = shape.page_size().slot_bytes();
    let mut window = ByteWindow::new(file, end);
    let finder = memmem::Finder::new(&salt_bytes(shape.salts)).into_owned();
    let (mut at, mut found) = (from, OffGrid::default());
    while at < end && found.len() < MOST_LIKELY {
        if watch.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let bytes = window.rest(at + SALTS_OFFSET, SALTS_LEN)?;
        let Some(distance) = finder.find(bytes) else {
            at += (bytes.len() as u64 + 1).saturating_sub(SALTS_OFFSET).max(1);
            continue;
        };
        at += distance as u64;
        let head = window.at(at, FRAME_HEADER_BYTES)?.first_chunk::<FRAME_HEADER_BYTES>();
        if let Some(header) = head.map(FrameHeader::decode) {
            let FrameHeader { page, commit_size_pages, checksum, .. } = header;
            let can_be = page.0 != 0 && page.0.max(commit_size_pages) <= MOST_LIKELY_PAGES;
            if can_be && !(at - from).is_multiple_of(slot_bytes) {
                found.insert(checksum, commit_size_pages != 0);
            }
        }
        at += 1;
    }
    Ok(found)
}

/// The salts as a frame has them.
fn salt_bytes(salts: Salts) -> [u8; SALTS_LEN] {
    let mut bytes = [0; SALTS_LEN];
    let (first, second) = bytes.split_at_mut(4);
    first.copy_from_slice(&salts.salt1.to_be_bytes());
    second.copy_from_slice(&salts.salt2.to_be_bytes());
    bytes
}

/// What is at one place.
struct Walk {
    /// Frames that prove each other there; 0 where no sum shows that a frame begins.
    read: u32,
    /// It looks like one.
    is_likely: bool,
    /// The run before is a copy of a part of this one.
    holds_last: bool,
    /// Those of them that are not what the file has before already.
    run: Option<Run>,
}

impl Search<'_> {
    fn walk(&mut self, offset: u64) -> Result<Walk, Error> {
        let nothing = Walk { read: 0, is_likely: false, holds_last: false, run: None };
        let Some(first) = self.frame(offset)? else { return Ok(nothing) };
        let joiner = self.shape.joiner();
        let before = joiner.sum_before(&first);
        let mut run = Run::new(offset, before);
        let (mut read, mut holds_last, mut next) = (0, false, Some(first));
        while let Some(facts) = next.filter(|facts| joiner.follows(facts, run.after)) {
            read += 1;
            run.frames += 1;
            run.after = facts.header.checksum;
            if facts.commit_size_pages().is_some() {
                run.commits += 1;
                run.last_commit = run.frames;
            }
            let after = offset + u64::from(read) * self.slot_bytes;
            let [prefix, last] = self.ends;
            if run.after == last && last != prefix && run.frames > self.last_frames {
                holds_last = true;
            } else if self.ends.contains(&run.after) {
                // Up to here it repeats what is there before.
                run = Run::new(after, run.after);
            }
            next = self.frame(after)?;
        }
        let known = self.ends.contains(&before) || self.doubted.contains(&before);
        if read == 1 && !known {
            self.doubted.push_back(first.header.checksum);
            if self.doubted.len() > MOST_DOUBTED {
                self.doubted.pop_front();
            }
            let FrameHeader { page, commit_size_pages, .. } = first.header;
            let is_likely = page.0.max(commit_size_pages) <= MOST_LIKELY_PAGES;
            return Ok(Walk { is_likely, ..nothing });
        }
        Ok(Walk { read, is_likely: true, holds_last, run: Some(run).filter(|run| run.frames > 0) })
    }

    /// The frame at an offset, if its salts and its page number say that there is one.
    fn frame(&mut self, offset: u64) -> Result<Option<FrameFacts>, Error> {
        if offset + self.slot_bytes > self.end {
            return Ok(None);
        }
        let head = self.window.at(offset, FRAME_HEADER_BYTES)?;
        let Some(head) = head.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let header = FrameHeader::decode(head);
        if header.salts != self.shape.salts || header.page.0 == 0 {
            return Ok(None);
        }
        let slot = self.window.at(offset, self.slot_len)?;
        let whole = slot.len() == self.slot_len;
        // Its number is not known yet.
        Ok(whole.then(|| FrameFacts::judge(FrameNo::FIRST, slot, self.shape.order)))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::format::PageSize;
    use crate::format::{ByteOrder, WalHeader};
    use crate::scan::Nobody;
    use crate::storage::line_ends::LineEnds;
    use crate::storage::memory::MemoryFile;
    use crate::storage::{LockHolder, LockLevel, LockMode, Locked, Result, SyncKind};

    const SALTS: Salts = Salts { salt1: 0x0102_0304, salt2: 0x0506_0708 };

    /// Counts the bytes that are read of a file.
    #[derive(Debug)]
    struct Counted {
        file: MemoryFile,
        read: Cell<u64>,
    }

    impl File for Counted {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
            let read = self.file.read_at(buffer, offset)?;
            self.read.set(self.read.get() + read as u64);
            Ok(read)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
            self.file.write_at(bytes, offset)
        }
        fn truncate(&self, size_bytes: u64) -> Result<()> {
            self.file.truncate(size_bytes)
        }
        fn sync(&self, kind: SyncKind) -> Result<()> {
            self.file.sync(kind)
        }
        fn size(&self) -> Result<u64> {
            self.file.size()
        }
        fn lock(&self, level: LockLevel) -> Result<Locked> {
            self.file.lock(level)
        }
        fn unlock(&self, level: LockLevel) -> Result<()> {
            self.file.unlock(level)
        }
        fn lock_holder(
            &self,
            bytes: std::ops::Range<u64>,
            wanted: LockMode,
        ) -> Result<Option<LockHolder>> {
            self.file.lock_holder(bytes, wanted)
        }
        fn path(&self) -> &std::path::Path {
            self.file.path()
        }
    }

    /// A file that is nothing but salts is read a few times over, not once for each of them.
    #[test]
    fn a_file_full_of_salts_is_searched_in_linear_time() {
        for page_size in [PageSize::ALL[0], PageSize::ALL[3], PageSize::ALL[7]] {
            for megabytes in [1_u64, 4] {
                let header = WalHeader::new(ByteOrder::Little, page_size, 0, SALTS);
                let mut bytes = header.encode().to_vec();
                let len = usize::try_from(megabytes << 20).unwrap();
                bytes.extend(salt_bytes(SALTS).iter().cycle().take(len));
                let shape = LogShape::of(&header, bytes.len() as u64).unwrap();
                assert_eq!(
                    LineEnds::of(&MemoryFile::with_bytes(bytes.clone()), &|| true).unwrap(),
                    None
                );
                let size = bytes.len() as u64;
                let file = Counted { file: MemoryFile::with_bytes(bytes), read: Cell::new(0) };
                let found = find(&file, &shape, 32, header.checksum, &Nobody).unwrap();
                assert!(found.runs.is_empty() && found.is_cut_short);
                assert!(file.read.get() <= 4 * size, "{page_size}: {} of {size}", file.read.get());
            }
        }
    }
}
