//! A rewind: one new transaction that writes the pages of an earlier state.
//!
//! The newest state and the log before it stay as they are, so that nobody who reads is disturbed
//! and nothing is lost. Which pages are written is decided from the frames between the two states;
//! page 1 always is, since its counters go on (pager.c pager_write_changecounter, and
//! sqlite3BtreeUpdateMeta as sqlite3_backup_step calls it).

use std::collections::{BTreeSet, HashSet};

use crate::database::{self, Pages};
use crate::engine;
use crate::engine::connection::Connection;
use crate::engine::wal::Page;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::lock_bytes::PENDING_BYTE;
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::history::past::Past;
use crate::history::proven::ProvenPages;
use crate::history::snapshot::Snapshot;
use crate::scan::{self, Watch};

/// Bytes of pages that are handed to the log at once, at least one page.
const BATCH_BYTES: usize = 8 << 20;

/// Why a state cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A page cannot be read, or is gone.
    #[error(transparent)]
    Pages(#[from] scan::Error),
    /// The transaction could not be written.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// Page 1 of a state is no database header.
    #[error("page 1 of the state after transaction {txn} is no header of a database")]
    NoHeader {
        /// The last transaction of the state.
        txn: u32,
    },
    /// Processes that are attached do not expect what differs.
    #[error(
        "{what} differs between the two states, and processes that are attached would not expect \
         it"
    )]
    Layout {
        /// What it is.
        what: &'static str,
    },
}

/// What a rewind writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Pages that are written as they were, ascending; without page 1.
    pages: Vec<Pgno>,
    /// Page 1 as it was, with counters that go on.
    page_1: Vec<u8>,
    /// The last page, where no earlier state has an image of it: a page of the freelist, which
    /// has to be there so that the file has its size.
    blank: Option<Pgno>,
    /// Pages of the database after it.
    pub size_pages: u32,
    /// The schema cookie after it.
    pub schema_cookie: u32,
}

impl Plan {
    /// How many pages are written.
    #[must_use]
    pub fn written_pages(&self) -> usize {
        1 + self.pages.len() + usize::from(self.blank.is_some())
    }

    /// Decides what makes `target` of `newest`. Every page that is needed is read once.
    ///
    /// # Errors
    /// When a page of `target` is gone or cannot be read, or what differs cannot be changed while
    /// others are attached.
    pub fn new(
        past: &Past<'_>,
        newest: &Snapshot,
        target: &Snapshot,
        watch: &dyn Watch,
    ) -> Result<Self, Error> {
        let (before, then) = (ProvenPages::new(past, newest)?, ProvenPages::new(past, target)?);
        let [present, wanted] = [(&before, newest), (&then, target)]
            .map(|(pages, state)| header_of(pages, state.to_txn));
        let (present, wanted) = (present?, wanted?);
        may_change(&present, &wanted)?;
        let size_pages = then.size_pages()?;
        let smallest = smallest_size(past, newest, target, before.size_pages()?);
        let free = free_leaves(&then, &wanted)?;
        let lock_page = lock_page(past.page_size());
        let mut pages = Vec::new();
        let (mut image, mut newer) = (zeroed(past.page_size()), zeroed(past.page_size()));
        for page in candidates(newest, target, smallest..=size_pages) {
            if watch.is_interrupted() {
                return Err(scan::Error::Interrupted.into());
            }
            if page == Pgno::FIRST || page == lock_page || free.contains(&page) {
                continue;
            }
            then.read(page, &mut image)?;
            // A page after the smallest size may have been cut off since, or an older frame may
            // be found for it: what the newest state says of it does not count.
            if page.0 <= smallest {
                before.read(page, &mut newer)?;
                if image == newer {
                    continue;
                }
            }
            pages.push(page);
        }
        let last = Pgno(size_pages);
        let blank = size_pages > smallest && free.contains(&last);
        let schema_cookie = next_cookie(past, &present)?;
        let page_1 = page_1(&then, &before, size_pages, schema_cookie)?;
        let blank = blank.then_some(last);
        Ok(Self { pages, page_1, blank, size_pages, schema_cookie })
    }

    /// Writes the transaction of this plan and commits it. `connection` has begun it, and no frame
    /// was added since the plan was made. Where this fails, the transaction is rolled back.
    ///
    /// # Errors
    /// When a page cannot be read again as it was, or the log cannot be written.
    pub fn write(
        &self,
        connection: &mut Connection<'_>,
        past: &Past<'_>,
        target: &Snapshot,
        watch: &dyn Watch,
    ) -> Result<(), Error> {
        let written = self.write_pages(connection, past, target, watch);
        if written.is_err() && connection.wal().is_writing() {
            // The first error is the one to be told.
            let _ = connection.rollback();
        }
        written
    }

    fn write_pages(
        &self,
        connection: &mut Connection<'_>,
        past: &Past<'_>,
        target: &Snapshot,
        watch: &dyn Watch,
    ) -> Result<(), Error> {
        let then = ProvenPages::new(past, target)?;
        let page_bytes = past.page_size().in_memory();
        let blank = zeroed(past.page_size());
        let mut batches = self.pages.chunks((BATCH_BYTES / page_bytes).max(1)).peekable();
        loop {
            let batch = batches.next().unwrap_or_default();
            let mut images = vec![0; batch.len() * page_bytes];
            for (page, image) in batch.iter().zip(images.chunks_exact_mut(page_bytes)) {
                then.read(*page, image)?;
            }
            let images = batch.iter().zip(images.chunks_exact(page_bytes));
            let mut pages: Vec<_> = images.map(|(&pgno, image)| Page { pgno, image }).collect();
            if watch.is_interrupted() {
                return Err(scan::Error::Interrupted.into());
            }
            if batches.peek().is_some() {
                connection.spill(&pages)?;
                continue;
            }
            pages.push(Page { pgno: Pgno::FIRST, image: &self.page_1 });
            pages.extend(self.blank.map(|pgno| Page { pgno, image: &blank }));
            return Ok(connection.commit(&pages, self.size_pages)?);
        }
    }
}

fn zeroed(page_size: PageSize) -> Vec<u8> {
    vec![0; page_size.in_memory()]
}

/// The page that SQLite never uses, because locks lie on its bytes.
fn lock_page(page_size: PageSize) -> Pgno {
    let page = PENDING_BYTE / page_size.bytes_u64() + 1;
    Pgno(u32::try_from(page).unwrap_or(u32::MAX))
}

fn header_of(pages: &dyn Pages, txn: u32) -> Result<DatabaseHeader, Error> {
    let header = database::header(pages)?;
    let is_whole = header.validate().is_ok() && header.page_size() == Some(pages.page_size());
    if is_whole { Ok(header) } else { Err(Error::NoHeader { txn }) }
}

/// Whether one transaction may go from the first header to the second.
fn may_change(present: &DatabaseHeader, wanted: &DatabaseHeader) -> Result<(), Error> {
    let is_same = present.reserved_bytes == wanted.reserved_bytes;
    let encodings = [present.text_encoding, wanted.text_encoding];
    let what = match is_same {
        false => "the number of reserved bytes of a page",
        true if encodings[0] != encodings[1] && !encodings.contains(&0) => "the text encoding",
        true => return Ok(()),
    };
    Err(Error::Layout { what })
}

/// The smallest size that the database has had from after `target` to `newest`.
fn smallest_size(past: &Past<'_>, newest: &Snapshot, target: &Snapshot, now: u32) -> u32 {
    let since = target.to_txn.saturating_add(1)..=newest.to_txn;
    let sizes = since.filter_map(|txn| past.frames().commit(txn));
    sizes.map(|commit| commit.db_size_pages).min().unwrap_or(now).min(now)
}

/// Pages that may differ, ascending: those with another frame, and all after the smallest size.
fn candidates(
    newest: &Snapshot,
    target: &Snapshot,
    sizes: std::ops::RangeInclusive<u32>,
) -> impl Iterator<Item = Pgno> {
    let (smallest, size_pages) = (*sizes.start(), *sizes.end());
    let pages = newest.pages.keys().chain(target.pages.keys());
    let differing: BTreeSet<Pgno> = pages
        .filter(|page| page.0 <= smallest.min(size_pages))
        .filter(|page| newest.pages.get(page) != target.pages.get(page))
        .copied()
        .collect();
    differing.into_iter().chain((smallest.saturating_add(1)..=size_pages).map(Pgno))
}

/// The leaves of the freelist, whose content means nothing; none where the list is damaged.
fn free_leaves(pages: &dyn Pages, header: &DatabaseHeader) -> Result<HashSet<Pgno>, Error> {
    let size_pages = pages.size_pages()?;
    let is_page = |page: Pgno| page.0 > 1 && page.0 <= size_pages;
    let usable = pages.page_size().in_memory() - usize::from(header.reserved_bytes);
    let (mut trunks, mut leaves) = (HashSet::new(), HashSet::new());
    let mut trunk = Pgno(header.first_trunk);
    let mut image = zeroed(pages.page_size());
    while trunk.0 != 0 {
        if !is_page(trunk) || !trunks.insert(trunk) {
            return Ok(HashSet::new());
        }
        pages.read(trunk, &mut image)?;
        let mut words = image.as_chunks::<4>().0.iter().map(|&word| u32::from_be_bytes(word));
        trunk = Pgno(words.next().unwrap_or_default());
        let count = usize::try_from(words.next().unwrap_or_default()).unwrap_or(usize::MAX);
        if count > usable / 4 - 2 {
            return Ok(HashSet::new());
        }
        for leaf in words.take(count).map(Pgno) {
            if !is_page(leaf) || !leaves.insert(leaf) {
                return Ok(HashSet::new());
            }
        }
    }
    let counted = trunks.len() + leaves.len();
    let is_sound = trunks.is_disjoint(&leaves)
        && u32::try_from(counted).is_ok_and(|counted| counted == header.freelist_pages);
    Ok(if is_sound { leaves } else { HashSet::new() })
}

/// A schema cookie that no state of this log has, and the file before it has not: connections keep
/// a schema as long as the cookie is the one that they have read it with.
fn next_cookie(past: &Past<'_>, present: &DatabaseHeader) -> Result<u32, Error> {
    let mut seen = HashSet::from([present.schema_cookie]);
    let mut image = zeroed(past.page_size());
    let frames = past.frames().of_page(Pgno::FIRST).map(Some);
    for frame in frames.chain([None]) {
        match past.read(Pgno::FIRST, frame, &mut image) {
            // The file has the page 1 of one of the frames.
            Err(scan::Error::Gone { .. } | scan::Error::CutOff { .. }) if frame.is_none() => {}
            read => {
                read?;
                seen.insert(decoded(&image).schema_cookie);
            }
        }
    }
    let highest = seen.iter().copied().max().unwrap_or_default();
    let after = std::iter::successors(Some(highest.wrapping_add(1)), |it| Some(it.wrapping_add(1)));
    Ok(after.into_iter().find(|cookie| !seen.contains(cookie)).unwrap_or_default())
}

fn decoded(page_1: &[u8]) -> DatabaseHeader {
    DatabaseHeader::decode(page_1.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES]))
}

/// Page 1 as `then` has it, with what goes on from `before`.
fn page_1(
    then: &dyn Pages,
    before: &dyn Pages,
    size_pages: u32,
    schema_cookie: u32,
) -> Result<Vec<u8>, Error> {
    let (mut image, mut newest) = (zeroed(then.page_size()), zeroed(then.page_size()));
    then.read(Pgno::FIRST, &mut image)?;
    before.read(Pgno::FIRST, &mut newest)?;
    let counter = decoded(&newest).change_counter.wrapping_add(1).to_be_bytes();
    let mut put = |offset: usize, bytes: &[u8]| {
        if let Some(field) = image.get_mut(offset..offset + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    // The versions of the format say WAL, and who has written page 1 last.
    put(18, newest.get(18..20).unwrap_or_default());
    put(96, newest.get(96..100).unwrap_or_default());
    put(24, &counter);
    put(28, &size_pages.to_be_bytes());
    put(40, &schema_cookie.to_be_bytes());
    put(92, &counter);
    Ok(image)
}
