//! Writes a view of a database into a new file or into the database itself, as SQLite's checkpoint
//! would (wal.c walCheckpoint).

use std::path::Path;

use crate::engine::page_checksum::{self, Doubt, Wanted};
use crate::format::page_checksum::write as write_page_checksum;
use crate::format::{DatabaseHeader, Pgno};
use crate::history::view::View;
use crate::scan::{self, Nobody, Watch};
use crate::storage::runs::Runs;
use crate::storage::{self, File, NewFile, SyncDirectory, SyncKind, Vfs};

use super::copy::runs_of_data;
use super::offline::Offline;
use super::undo::{self, Set, Trust};

/// Bytes of the base that one read copies.
const COPY_BYTES: u64 = 1 << 20;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A page of the log could not be read.
    #[error(transparent)]
    Scan(#[from] scan::Error),
    /// The undo set could not be made.
    #[error(transparent)]
    Undo(#[from] undo::Error),
    /// The watcher asked to stop; nothing was changed.
    #[error("interrupted")]
    Interrupted,
    /// What the pages get in the database is not known; nothing was written.
    #[error(transparent)]
    PageChecksums(#[from] Doubt),
    /// A page did not read back as it was written.
    #[error("{path}: page {page} does not read back as it was written")]
    Check {
        /// The database.
        path: String,
        /// The page.
        page: Pgno,
    },
}

/// Takes a page, its image and its offset in the database.
type WritePage<'a> = dyn FnMut(Pgno, &[u8], u64) -> Result<(), Error> + 'a;

/// What pages get in the database that `view` is, where any are written.
///
/// # Errors
/// When a file cannot be read.
pub fn page_checksums(view: &View) -> Result<Wanted, scan::Error> {
    if view.snapshot.pages.is_empty() && view.base_pages.is_empty() {
        return Ok(Wanted::Nothing);
    }
    let mut page_1 = None;
    if view.snapshot.pages.contains_key(&Pgno::FIRST) {
        let mut image = vec![0; view.page_size.in_memory()];
        view.read(Pgno::FIRST, &mut image)?;
        page_1 = image.first_chunk().map(DatabaseHeader::decode);
    }
    Ok(page_checksum::wanted(view.base, view.page_size, page_1.as_ref())?)
}

/// The same before the first page is written.
fn known_page_checksums(view: &View) -> Result<Wanted, Error> {
    match page_checksums(view)? {
        Wanted::NotKnown(doubt) => Err(doubt.into()),
        wanted @ (Wanted::Nothing | Wanted::Checksum) => Ok(wanted),
    }
}

/// Gives every page of `view` that differs from the database file to `write`, ascending, with what
/// it gets there.
fn changed_pages(
    view: &View,
    wanted: Wanted,
    watch: &dyn Watch,
    write: &mut WritePage<'_>,
) -> Result<(), Error> {
    let page_bytes = view.page_size.bytes_u64();
    let mut image = vec![0; view.page_size.in_memory()];
    let pages = view.changed_pages();
    let total = pages.len() as u64 * page_bytes;
    for (done, page) in (0_u64..).zip(pages) {
        if done % 256 == 0 && watch.scanned(done * page_bytes, total).is_break() {
            return Err(Error::Interrupted);
        }
        view.read(page, &mut image)?;
        if wanted == Wanted::Checksum {
            write_page_checksum(&mut image);
        }
        write(page, &image, page.offset_bytes(view.page_size))?;
    }
    Ok(())
}

/// Copies the base into a new file, up to `limit_bytes`. Holes stay holes: a journal or a file may
/// count pages for which no disk is large enough.
///
/// # Errors
/// When either file fails, or the watcher stops it.
pub fn copy_base(
    base: &dyn File,
    to: &dyn NewFile,
    limit_bytes: u64,
    watch: &dyn Watch,
) -> Result<(), Error> {
    let end = base.size()?.min(limit_bytes);
    let mut chunk = vec![0; usize::try_from(COPY_BYTES.min(end)).unwrap_or_default()];
    let mut at = 0;
    while at < end {
        match base.next_data(at)? {
            Some(next) if next < end => at = next.max(at),
            Some(_) | None => break,
        }
        if watch.scanned(at, end).is_break() {
            return Err(Error::Interrupted);
        }
        let wanted = usize::try_from((end - at).min(COPY_BYTES)).unwrap_or_default();
        let read = base.read_at(chunk.split_at_mut(wanted).0, at)?;
        if read == 0 {
            break;
        }
        for run in runs_of_data(chunk.split_at(read).0) {
            let start = at + run.start as u64;
            to.write_at(chunk.get(run).unwrap_or_default(), start)?;
        }
        at += read as u64;
    }
    Ok(to.truncate(end)?)
}

/// Writes the view over a copy of its base, which is not published yet.
///
/// # Errors
/// When a file fails or the watcher stops it.
pub fn write_over(view: &View, file: &dyn NewFile, watch: &dyn Watch) -> Result<(), Error> {
    let write = |run: &[u8], offset| Ok::<(), Error>(file.write_at(run, offset)?);
    let most_bytes = 1 << 18;
    let mut runs =
        Runs::new(view.page_size.in_memory(), most_bytes).map_err(|_| scan::Error::OutOfMemory)?;
    changed_pages(view, known_page_checksums(view)?, watch, &mut |_, image, offset| {
        runs.page(offset, write)?.copy_from_slice(image);
        Ok(())
    })?;
    runs.finish(write)?;
    Ok(file.truncate(view.size_bytes()?)?)
}

/// The sidecars that a change in place makes superfluous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside<'a> {
    /// The log goes into the undo set.
    pub wal: Option<&'a Path>,
    /// The rollback journal goes there, too.
    pub journal: Option<&'a Path>,
    /// The wal-index is deleted: the next opener rebuilds it.
    pub shm: Option<&'a Path>,
}

/// Writes the view into the database itself: undo set, pages, size, check, sidecars.
/// [`undo::make_way`] has passed.
///
/// # Errors
/// When a step fails. The old state has been put back then, unless that failed, too: the undo set
/// is still there in that case.
pub fn in_place(
    vfs: &dyn Vfs,
    view: &View,
    offline: &Offline,
    sidecars: SetAside,
) -> Result<(), Error> {
    let database = offline.database.as_ref();
    let wanted = known_page_checksums(view)?;
    // From here on an interrupt would only leave work for `undo`.
    let mut set = Set::create::<Error>(vfs, database, view.size_bytes()?, &mut |write| {
        changed_pages(view, wanted, &Nobody, &mut |_, image, offset| write(image, offset))
    })?;
    let change = Change { view, wanted, sidecars };
    match write_in_place(vfs, change, database, &mut set) {
        Ok(()) => Ok(()),
        Err(error) => {
            // It is still there if this fails, and says so to the next command.
            let _ = set.restore(vfs, database, Trust::Anything);
            Err(error)
        }
    }
}

/// What is done in place.
#[derive(Clone, Copy)]
struct Change<'a> {
    view: &'a View<'a>,
    wanted: Wanted,
    sidecars: SetAside<'a>,
}

fn write_in_place(
    vfs: &dyn Vfs,
    change: Change,
    database: &dyn File,
    set: &mut Set,
) -> Result<(), Error> {
    let Change { view, wanted, sidecars } = change;
    let write = &mut |_, image: &[u8], offset| Ok(database.write_at(image, offset)?);
    changed_pages(view, wanted, &Nobody, write)?;
    database.truncate(view.size_bytes()?)?;
    database.sync(SyncKind::Full)?;
    let mut written = vec![0; view.page_size.in_memory()];
    changed_pages(view, wanted, &Nobody, &mut |page, image, offset| {
        if database.read_at(&mut written, offset)? < written.len() || written != image {
            return Err(Error::Check { path: database.path().display().to_string(), page });
        }
        Ok(())
    })?;
    let path = database.path();
    let kept = [(sidecars.wal, undo::kept_wal(path)), (sidecars.journal, undo::kept_journal(path))];
    for (sidecar, kept) in kept {
        if let Some(sidecar) = sidecar
            && vfs.exists(sidecar)?
        {
            set.take(vfs, sidecar, &kept)?;
        }
    }
    if let Some(shm) = sidecars.shm
        && vfs.exists(shm)?
    {
        vfs.delete(shm, SyncDirectory::Yes)?;
    }
    Ok(set.finish(database)?)
}
