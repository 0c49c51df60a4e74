//! The pages of one state, each frame proven by its checksum as it is read.
//!
//! A log is examined before its states are read, and the two may be far apart in time. What is read
//! page by page for an answer is looked at again here, so that no answer is made of a frame that
//! has changed since.

use std::cell::RefCell;

use crate::database::Pages;
use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageSize, Pgno};
use crate::scan::Error;

use super::page_map::PageMap;
use super::past::Past;
use super::snapshot::Snapshot;

/// Bytes of frames that are read at once where the one that is asked for comes after the last.
const RUN_BYTES: usize = 1 << 17;
/// Bytes of a cache line.
const ALIGNMENT_BYTES: usize = 64;

/// The pages of one state.
pub struct ProvenPages<'a> {
    past: &'a Past<'a>,
    /// Which frame has a page; the file has the others.
    frames: PageMap<FrameNo>,
    size_pages: u32,
    in_log: RefCell<Run>,
    in_file: RefCell<Run>,
}

/// Frames of the log, or pages of the file, that were read with one that was asked for. None of
/// them is given twice: who asks again gets what is there by then.
struct Run {
    /// The slots begin at `start`.
    bytes: Vec<u8>,
    start: usize,
    slot_bytes: usize,
    /// The number after the one that was given last.
    next: u32,
    /// Where its slot is in `slots`.
    place: usize,
    /// How many are in `slots`.
    count: usize,
    /// How many are read at once, more and more as long as one is asked for after the other.
    ahead: usize,
}

impl Run {
    fn of(slot_bytes: usize) -> Self {
        let len = (RUN_BYTES / slot_bytes).max(1) * slot_bytes;
        let bytes = vec![0; len + ALIGNMENT_BYTES];
        // Reading a page into memory 16 bytes after such a place takes more than twice as long.
        let start = bytes.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Self { bytes, start, slot_bytes, next: 0, place: 0, count: 0, ahead: 1 }
    }

    /// The slot with a number; `read` fills slots from there on, and tells how many there are.
    /// `None` where there is none.
    fn slot(
        &mut self,
        number: u32,
        read: impl FnOnce(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<Option<&[u8]>, Error> {
        let goes_on = number == self.next;
        if !goes_on || self.place >= self.count {
            self.ahead = if goes_on { 2 * self.ahead } else { 1 };
            let most = (self.ahead * self.slot_bytes).min(self.bytes.len() - ALIGNMENT_BYTES);
            self.ahead = most / self.slot_bytes;
            (self.place, self.count) = (0, 0);
            let slots = self.bytes.get_mut(self.start..self.start + most);
            self.count = read(slots.unwrap_or_default())?;
            if self.count == 0 {
                return Ok(None);
            }
        }
        let start = self.start + self.place * self.slot_bytes;
        (self.next, self.place) = (number.wrapping_add(1), self.place + 1);
        Ok(self.bytes.get(start..start + self.slot_bytes))
    }
}

impl<'a> ProvenPages<'a> {
    /// The pages of the state of `snapshot`.
    ///
    /// # Errors
    /// When the size of the file cannot be read.
    pub fn new(past: &'a Past<'a>, snapshot: &'a Snapshot) -> Result<Self, Error> {
        let size_pages = past.state(snapshot)?.size_pages()?;
        let page_bytes = past.page_size().in_memory();
        let mut frames = PageMap::default();
        for (&page, &frame) in &snapshot.pages {
            frames.insert(page, frame);
        }
        let in_log = RefCell::new(Run::of(FRAME_HEADER_BYTES + page_bytes));
        Ok(Self { past, frames, size_pages, in_log, in_file: RefCell::new(Run::of(page_bytes)) })
    }
}

impl Pages for ProvenPages<'_> {
    fn page_size(&self) -> PageSize {
        self.past.page_size()
    }

    fn size_pages(&self) -> Result<u32, Error> {
        Ok(self.size_pages)
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        self.show(page, &mut |found| image.copy_from_slice(found))
    }

    fn show(&self, page: Pgno, look: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        if let Some(&frame) = self.frames.get(page) {
            let mut run = self.in_log.borrow_mut();
            let slot = run.slot(frame.0, |slots| self.past.read_slots(frame, slots))?;
            look(self.past.prove((page, frame), slot.unwrap_or_default())?);
            return Ok(());
        }
        self.past.has_not_overwritten(page)?;
        let mut run = self.in_file.borrow_mut();
        let Some(found) = run.slot(page.0, |images| self.past.read_pages(page, images))? else {
            return self.past.show(page, None, look);
        };
        self.past.has_not_cut(page, true, found)?;
        look(found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::WAL_HEADER_BYTES;
    use crate::history::committed::CommittedFrames;
    use crate::log::{Examination, LogShape, examine};
    use crate::scan::Nobody;
    use crate::storage::memory::MemoryVfs;
    use crate::storage::{File, OpenMode, Vfs};

    /// The log of some transactions of SQLite's, in memory, and the file under it.
    fn made() -> (Box<dyn File>, Box<dyn File>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let connection = rusqlite::Connection::open(&path).unwrap();
        let sql = "PRAGMA page_size = 512; PRAGMA journal_mode = WAL;
                   PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(x)";
        connection.execute_batch(sql).unwrap();
        for number in 0..20 {
            connection.execute("INSERT INTO t VALUES(randomblob(100 + ?))", [number]).unwrap();
        }
        let vfs = MemoryVfs::default();
        let file = |name: &str| {
            let bytes = std::fs::read(folder.path().join(name)).unwrap();
            let file = vfs.open(name.as_ref(), OpenMode::Create).unwrap();
            file.write_at(&bytes, 0).unwrap();
            file
        };
        (file("x.db"), file("x.db-wal"))
    }

    struct Log {
        shape: LogShape,
        examination: Examination,
        frames: CommittedFrames,
    }

    impl Log {
        fn of(file: &dyn File) -> Self {
            let examination = examine(file, &Nobody).unwrap();
            let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
            let facts = examination.facts(file, committed, &Nobody);
            let frames = CommittedFrames::of(facts).unwrap();
            Self { shape: examination.shape.unwrap(), frames, examination }
        }
    }

    #[test]
    fn a_frame_that_has_changed_since_the_log_was_read_is_never_shown() {
        let (base, file) = made();
        let log = Log::of(file.as_ref());
        let page_size = log.shape.page_size();
        let in_log = Some((file.as_ref(), log.shape));
        let past = Past::new(page_size, Some(base.as_ref()), (in_log, &log.frames), None).unwrap();
        assert!(log.examination.prefix.mx_frame > 20);
        let mut image = vec![0; page_size.in_memory()];
        let mut wanted = image.clone();
        for txn in 1..=log.frames.transactions() {
            let snapshot = log.frames.snapshot(txn).unwrap();
            let (pages, proven) =
                (past.state(&snapshot).unwrap(), ProvenPages::new(&past, &snapshot).unwrap());
            for (&page, &frame) in &snapshot.pages {
                proven.read(page, &mut image).unwrap();
                pages.read(page, &mut wanted).unwrap();
                assert_eq!(image, wanted);
                let offset_bytes = frame.offset_bytes(page_size);
                // The page, the commit size, the salts, the sum, and the image.
                for at in [3, 7, 8, 15, 16, 23, 24, 300, 535] {
                    let mut byte = [0];
                    file.read_at(&mut byte, offset_bytes + at).unwrap();
                    file.write_at(&[byte[0] ^ 4], offset_bytes + at).unwrap();
                    for proven in [&proven, &ProvenPages::new(&past, &snapshot).unwrap()] {
                        let found = proven.read(page, &mut image);
                        let Err(Error::Broken { frame: told, offset_bytes: place, .. }) = found
                        else {
                            panic!("transaction {txn}, frame {frame}, byte {at}: {found:?}");
                        };
                        assert_eq!((told, place), (frame, offset_bytes));
                    }
                    file.write_at(&byte, offset_bytes + at).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_frame_that_is_cut_is_never_shown() {
        let (base, file) = made();
        let log = Log::of(file.as_ref());
        let in_log = Some((file.as_ref(), log.shape));
        let page_size = log.shape.page_size();
        let past = Past::new(page_size, Some(base.as_ref()), (in_log, &log.frames), None).unwrap();
        let snapshot = log.frames.snapshot(log.frames.transactions()).unwrap();
        let proven = ProvenPages::new(&past, &snapshot).unwrap();
        file.truncate(WAL_HEADER_BYTES as u64 + 100).unwrap();
        let mut image = vec![0; page_size.in_memory()];
        for &page in snapshot.pages.keys() {
            let found = proven.read(page, &mut image);
            assert!(matches!(found, Err(Error::Shrunk { .. })), "{found:?}");
        }
    }
}
