//! Applies a snapshot of a log to a database, as SQLite's checkpoint would (wal.c walCheckpoint).

use std::collections::BTreeMap;
use std::path::Path;

use crate::analysis::LogShape;
use crate::analysis::cure::{Cure, ImageSource};
use crate::analysis::plan::Fix;
use crate::analysis::snapshot::Snapshot;
use crate::format::{FRAME_HEADER_BYTES, FrameNo, Pgno};
use crate::scan::Watch;
use crate::storage::new_file::{self, Existing, NewFile};
use crate::storage::{self, File, SyncKind};

use super::offline::Offline;
use super::undo::{self, Overwritten};

/// Bytes of the base that one read copies.
const COPY_BYTES: u64 = 1 << 20;

/// What to write: a snapshot, from the frames of a log.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// The log.
    pub log: &'a dyn File,
    /// Its shape.
    pub shape: &'a LogShape,
    /// The pages and the size of the result.
    pub snapshot: &'a Snapshot,
    /// What is changed in the images of some frames.
    pub fixes: &'a BTreeMap<FrameNo, Fix>,
    /// The database file, where fixes take bytes from it.
    pub base: Option<&'a dyn File>,
}

/// Nothing is changed.
static NO_FIXES: BTreeMap<FrameNo, Fix> = BTreeMap::new();

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The undo set could not be made.
    #[error(transparent)]
    Undo(#[from] undo::Error),
    /// The watcher asked to stop; nothing was changed.
    #[error("interrupted")]
    Interrupted,
    /// A frame could not be read whole: the log was cut meanwhile.
    #[error("{path}: frame {frame} at offset {offset_bytes}: the log was cut meanwhile")]
    Shrunk {
        /// The log.
        path: String,
        /// The frame.
        frame: FrameNo,
        /// Its offset.
        offset_bytes: u64,
    },
    /// A page did not read back as it was written.
    #[error("{path}: page {page} does not read back as it was written; undo set kept")]
    Check {
        /// The database.
        path: String,
        /// The page.
        page: Pgno,
    },
}

impl<'a> Replay<'a> {
    /// A replay of frames as they are.
    #[must_use]
    pub fn plain(log: &'a dyn File, shape: &'a LogShape, snapshot: &'a Snapshot) -> Self {
        Self { log, shape, snapshot, fixes: &NO_FIXES, base: None }
    }

    /// Size of the result in bytes; `None` when the snapshot is the base alone.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        let page_bytes = self.shape.page_size().bytes_u64();
        self.snapshot.db_size_pages.map(|pages| u64::from(pages) * page_bytes)
    }

    /// Writes every page of the snapshot through `write`, ascending.
    fn pages(
        &self,
        watch: &dyn Watch,
        mut write: impl FnMut(Pgno, &[u8], u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let page_size = self.shape.page_size();
        let mut image = vec![0; page_size.in_memory()];
        let total = self.snapshot.pages.len() as u64 * page_size.bytes_u64();
        for (done, (&page, &frame)) in self.snapshot.pages.iter().enumerate() {
            if done % 256 == 0
                && watch.scanned(done as u64 * page_size.bytes_u64(), total).is_break()
            {
                return Err(Error::Interrupted);
            }
            self.image(page, frame, &mut image)?;
            write(page, &image, page.offset_bytes(page_size))?;
        }
        Ok(())
    }

    /// The image of `page` in `frame` as it is to be written.
    fn image(&self, page: Pgno, frame: FrameNo, image: &mut [u8]) -> Result<(), Error> {
        match self.fixes.get(&frame) {
            None | Some(Fix::Cure(Cure::Header)) => self.read_image(frame, image),
            Some(Fix::Cure(Cure::Moved(other))) => self.read_image(*other, image),
            Some(Fix::Word(correction)) => {
                self.read_image(frame, image)?;
                correction.apply(image, self.shape.order);
                Ok(())
            }
            Some(&Fix::Cure(Cure::Image { source, first_byte, end_byte })) => {
                let mut other = vec![0; image.len()];
                match (source, self.base) {
                    (ImageSource::Frame(other_frame), _) => {
                        self.read_image(other_frame, &mut other)?;
                    }
                    (ImageSource::Database, Some(base)) => {
                        base.read_at(&mut other, page.offset_bytes(self.shape.page_size()))?;
                    }
                    (ImageSource::Database, None) => {}
                }
                self.read_image(frame, image)?;
                let part = first_byte as usize..end_byte as usize;
                if let (Some(to), Some(from)) = (image.get_mut(part.clone()), other.get(part)) {
                    to.copy_from_slice(from);
                }
                Ok(())
            }
        }
    }

    fn read_image(&self, frame: FrameNo, image: &mut [u8]) -> Result<(), Error> {
        let slot = frame.offset_bytes(self.shape.page_size());
        let read = self.log.read_at(image, slot + FRAME_HEADER_BYTES as u64)?;
        if read < image.len() {
            let path = self.log.path().display().to_string();
            return Err(Error::Shrunk { path, frame, offset_bytes: slot });
        }
        Ok(())
    }
}

/// Copies the base into a new file, up to `limit_bytes`.
///
/// # Errors
/// When either file fails, or the watcher stops it.
pub fn copy_base(
    base: &dyn File,
    to: &NewFile,
    limit_bytes: u64,
    watch: &dyn Watch,
) -> Result<(), Error> {
    let end = base.size()?.min(limit_bytes);
    let mut chunk = vec![0; usize::try_from(COPY_BYTES.min(end)).unwrap_or_default()];
    let mut at = 0;
    while at < end {
        if watch.scanned(at, end).is_break() {
            return Err(Error::Interrupted);
        }
        let wanted = usize::try_from((end - at).min(COPY_BYTES)).unwrap_or_default();
        let read = base.read_at(chunk.split_at_mut(wanted).0, at)?;
        if read == 0 {
            break;
        }
        to.write_at(chunk.split_at(read).0, at)?;
        at += read as u64;
    }
    Ok(())
}

/// Writes the pages of the snapshot over a copy of the base and publishes it.
///
/// # Errors
/// When a file fails or the watcher stops it; nothing appears at the target then.
pub fn finish_new_file(
    replay: &Replay,
    file: NewFile,
    existing: Existing,
    like: Option<&Path>,
    watch: &dyn Watch,
) -> Result<(), Error> {
    replay.pages(watch, |_, image, offset| Ok(file.write_at(image, offset)?))?;
    if let Some(size_bytes) = replay.size_bytes() {
        file.truncate(size_bytes)?;
    }
    Ok(file.publish(existing, like)?)
}

/// What happens to the log after a replay in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log<'a> {
    /// It stays where it is.
    Keep,
    /// It goes into the undo set, and a leftover wal-index goes away.
    SetAside {
        /// The wal-index.
        shm: Option<&'a Path>,
    },
}

/// Writes the snapshot into the database itself: undo set, pages, size, check, log.
///
/// # Errors
/// Before the undo set is complete nothing was changed; after that `undo` puts everything back.
pub fn in_place(replay: &Replay, offline: &Offline, log: Log) -> Result<(), Error> {
    let database = offline.database.as_ref();
    undo::save(database, &overwritten(replay, database.size()?))?;
    // From here on an interrupt would only leave work for `undo`.
    let nobody = &crate::scan::Nobody;
    replay.pages(nobody, |_, image, offset| Ok(database.write_at(image, offset)?))?;
    if let Some(size_bytes) = replay.size_bytes() {
        database.truncate(size_bytes)?;
    }
    database.sync(SyncKind::Full)?;
    let mut written = vec![0; replay.shape.page_size().in_memory()];
    replay.pages(nobody, |page, image, offset| {
        let read = database.read_at(&mut written, offset)?;
        if read < written.len() || written != image {
            return Err(Error::Check { path: database.path().display().to_string(), page });
        }
        Ok(())
    })?;
    match log {
        Log::Keep => Ok(()),
        Log::SetAside { shm } => {
            new_file::rename(replay.log.path(), &undo::kept_wal(database.path()))?;
            if let Some(shm) = shm.filter(|shm| shm.exists()) {
                std::fs::remove_file(shm)
                    .map_err(|source| storage::Error::new(storage::Verb::Delete, shm, source))?;
            }
            Ok(())
        }
    }
}

/// The ranges of the database that the replay overwrites or cuts off.
fn overwritten(replay: &Replay, size_bytes: u64) -> Vec<Overwritten> {
    let page_size = replay.shape.page_size();
    let page = |page: &Pgno| Overwritten {
        offset_bytes: page.offset_bytes(page_size),
        length_bytes: page_size.bytes_u64(),
    };
    let mut ranges: Vec<Overwritten> = replay.snapshot.pages.keys().map(page).collect();
    if let Some(end) = replay.size_bytes().filter(|&end| end < size_bytes) {
        ranges.push(Overwritten { offset_bytes: end, length_bytes: size_bytes - end });
    }
    ranges
}
