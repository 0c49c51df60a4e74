//! A database with its log, copied to be harmed.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::beside;

pub(super) const WAL_HEADER_BYTES: usize = 32;
pub(super) const FRAME_HEADER_BYTES: usize = 24;

/// Where the wal-index has `nBackfill` and `nBackfillAttempted` (wal.c WalCkptInfo).
const BACKFILL: usize = 96;
const ATTEMPTED: usize = 128;

/// A frame of the log.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) page: u32,
    /// Pages of the database after the commit that it ends.
    pub(super) commit_pages: Option<u32>,
}

/// Files that may be harmed, and what the log had before that.
pub(super) struct Set {
    _folder: TempDir,
    pub(super) database: PathBuf,
    pub(super) page_bytes: usize,
    /// The frames of all commits.
    pub(super) frames: Vec<Frame>,
    /// How many frames there are up to each commit; none up to the file before the log.
    pub(super) ends: Vec<usize>,
}

impl Set {
    /// A copy of the files in `directory`, whose log has `last` commits.
    pub(super) fn copy(directory: &Path, last: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        for suffix in ["", "-wal", "-shm"] {
            let from = beside(&directory.join("x.db"), suffix);
            if from.exists() {
                fs::copy(from, beside(&database, suffix)).unwrap();
            }
        }
        let log = fs::read(beside(&database, "-wal")).unwrap();
        let page_bytes = word(&log, 8) as usize;
        let slots = log[WAL_HEADER_BYTES..].chunks_exact(FRAME_HEADER_BYTES + page_bytes);
        let (mut frames, mut ends) = (Vec::new(), vec![0]);
        for slot in slots {
            if ends.len() > last as usize {
                break;
            }
            let commit_pages = Some(word(slot, 4)).filter(|pages| *pages > 0);
            frames.push(Frame { page: word(slot, 0), commit_pages });
            if commit_pages.is_some() {
                ends.push(frames.len());
            }
        }
        assert_eq!(ends.len(), last as usize + 1, "commits of {}", database.display());
        Self { _folder: folder, database, page_bytes, frames, ends }
    }

    pub(super) fn last(&self) -> u32 {
        u32::try_from(self.ends.len() - 1).unwrap()
    }

    pub(super) fn log(&self) -> PathBuf {
        beside(&self.database, "-wal")
    }

    pub(super) fn index(&self) -> PathBuf {
        beside(&self.database, "-shm")
    }

    pub(super) fn remove_index(&self) {
        if self.index().exists() {
            fs::remove_file(self.index()).unwrap();
        }
    }

    /// Where a frame begins in the log; frames count from 1.
    pub(super) fn offset(&self, frame: usize) -> usize {
        WAL_HEADER_BYTES + (frame - 1) * (FRAME_HEADER_BYTES + self.page_bytes)
    }

    /// The last commit before which all frames are left when `frame` is not.
    pub(super) fn commits_before(&self, frame: usize) -> u32 {
        let whole = self.ends.iter().filter(|end| **end < frame).count();
        u32::try_from(whole.saturating_sub(1)).unwrap()
    }

    /// Does what a checkpoint does that may copy up to commit `safe` while `now` is the last one:
    /// writes the first `pages` pages of those that it has to, in their order (wal.c
    /// walCheckpoint). Returns how many it would have to write.
    pub(super) fn copy_pages(&self, safe: u32, now: u32, pages: usize) -> usize {
        self.copy_those(safe, now, |place| place < pages)
    }

    /// The same, of those whose place among them is `taken`: after a power loss it may be any.
    pub(super) fn copy_those(
        &self,
        safe: u32,
        now: u32,
        mut taken: impl FnMut(usize) -> bool,
    ) -> usize {
        let (safe, now) = (self.ends[safe as usize], self.ends[now as usize]);
        let newest = |page: u32| self.frames[..now].iter().rposition(|it| it.page == page);
        let Some(size) = self.frames[..now].last().and_then(|it| it.commit_pages) else { return 0 };
        let mut wanted: Vec<(u32, usize)> = self.frames[..safe]
            .iter()
            .filter_map(|it| Some((it.page, newest(it.page)?)))
            .filter(|(page, frame)| *frame < safe && *page <= size)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let log = fs::read(self.log()).unwrap();
        let mut file = fs::read(&self.database).unwrap();
        for (place, (page, frame)) in wanted.iter().enumerate() {
            if !taken(place) {
                continue;
            }
            let image = self.offset(frame + 1) + FRAME_HEADER_BYTES;
            let place = (*page as usize - 1) * self.page_bytes;
            if file.len() < place + self.page_bytes {
                file.resize(place + self.page_bytes, 0);
            }
            file[place..place + self.page_bytes]
                .copy_from_slice(&log[image..image + self.page_bytes]);
        }
        fs::write(&self.database, file).unwrap();
        wanted.len()
    }

    /// Enters in the wal-index that a copy up to commit `attempted` was begun, and one up to
    /// `done` ended; whether there is one.
    pub(super) fn set_backfill(&self, attempted: u32, done: Option<u32>) -> bool {
        let Ok(mut index) = fs::read(self.index()) else { return false };
        let places = [(ATTEMPTED, Some(attempted)), (BACKFILL, done)];
        for (at, commit) in places.into_iter().filter_map(|(at, it)| Some((at, it?))) {
            let frames = u32::try_from(self.ends[commit as usize]).unwrap();
            let field = &mut index[at..at + 4];
            let known = u32::from_ne_bytes(field.try_into().unwrap());
            field.copy_from_slice(&frames.max(known).to_ne_bytes());
        }
        fs::write(self.index(), index).unwrap();
        true
    }

    /// Changes a file.
    pub(super) fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

/// A number of the format, most significant byte first.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}
