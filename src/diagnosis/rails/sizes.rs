//! Commit size, the count on page 1 and the pages in use: do they fit each other?

use std::fmt;

use crate::database::{self, Pages, Schema};
use crate::diagnosis::rule::Rule;
use crate::format::btree::BtreeHeader;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, FRAME_HEADER_BYTES, PageSize, Pgno};
use crate::history::view::View;
use crate::log::Examination;
use crate::scan::Error;
use crate::storage::{self, File};

/// Pages that are looked at to tell a lost page 1 from a database that is encrypted.
const LOOKED_AT_PAGES: u32 = 64;

/// What does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// Page 1 counts more pages than there are (btree.c lockBtree): every statement fails.
    HeaderCountsMore {
        /// By page 1.
        counted: u32,
        /// By the last commit, or by the size of the file.
        there: u32,
        /// The last commit says so.
        by_commit: bool,
    },
    /// A page is in use that page 1 does not count: the schema is malformed.
    InUseBeyondHeader {
        /// By page 1.
        counted: u32,
        /// The page.
        page: Pgno,
    },
    /// The last commit says more pages than file and log can have (wal.c walCheckpoint): it can be
    /// read, but never be checkpointed.
    Growth {
        /// By the last commit.
        committed: u32,
        /// Bytes of the database file.
        file_bytes: u64,
    },
    /// Page 1 is no database header, though it begins like one, or other pages are b-tree pages:
    /// SQLite does not open it.
    PageOneLost {
        /// It begins like one.
        has_magic: bool,
    },
}

impl Contradiction {
    /// The rule that it breaks.
    #[must_use]
    pub fn rule(self) -> Rule {
        match self {
            Self::HeaderCountsMore { by_commit: false, .. } => Rule::FileShort,
            Self::HeaderCountsMore { .. }
            | Self::InUseBeyondHeader { .. }
            | Self::Growth { .. } => Rule::SizesContradict,
            Self::PageOneLost { .. } => Rule::PageOneLost,
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderCountsMore { counted, there, by_commit: true } => write!(
                f,
                "page 1 counts {counted} pages and the last commit {there}: SQLite calls the \
                 database malformed"
            ),
            Self::HeaderCountsMore { counted, there, by_commit: false } => write!(
                f,
                "page 1 counts {counted} pages and the file has {there}: SQLite calls the database \
                 malformed"
            ),
            Self::InUseBeyondHeader { counted, page } => write!(
                f,
                "page 1 counts {counted} pages, and page {page} is in use: SQLite calls the schema \
                 malformed"
            ),
            Self::Growth { committed, file_bytes } => write!(
                f,
                "the last commit says {committed} pages, more than a file of {file_bytes} bytes \
                 and this log can have: SQLite reads it, but can never checkpoint it"
            ),
            Self::PageOneLost { has_magic: true } => f.write_str(
                "page 1 begins like a database header and is none: SQLite does not open the \
                 database",
            ),
            Self::PageOneLost { has_magic: false } => f.write_str(
                "page 1 is no database header, though other pages are b-tree pages: SQLite does \
                 not open the database",
            ),
        }
    }
}

/// Whether page 1 of the file is no database header, though other pages are b-tree pages, and the
/// log has a page 1: SQLite opens the database as long as the log is there.
///
/// # Errors
/// When a page cannot be read.
pub fn page_one_is_only_in_log(view: &View) -> Result<bool, Error> {
    let Some(base) = view.base.filter(|_| view.snapshot.pages.contains_key(&Pgno::FIRST)) else {
        return Ok(false);
    };
    let is_lost = base.size()? > 0 && !has_valid_header(base)?;
    Ok(is_lost && database::header(view)?.validate().is_ok())
}

fn has_valid_header(file: &dyn File) -> Result<bool, storage::Error> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let whole = file.read_at(&mut bytes, 0)? == bytes.len();
    Ok(whole && DatabaseHeader::decode(&bytes).validate().is_ok())
}

/// Whether a look at page 1 and the sizes alone shows that everything fits: commit size and the
/// count on page 1 are the same, and no larger than file and log can be. Says nothing where they
/// differ.
///
/// # Errors
/// When a file cannot be read.
pub fn fits_at_a_glance(
    log: Option<(&dyn File, &Examination)>,
    database: Option<&dyn File>,
) -> Result<bool, storage::Error> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    if let Some(database) = database
        && database.size()? > 0
        && !has_valid_header(database)?
    {
        return Ok(false);
    }
    let committed = log.filter(|(_, it)| it.prefix.mx_frame > 0);
    let in_log = committed.and_then(|(file, it)| {
        let place = it.prefix.page_one?.offset_bytes(it.page_size()?);
        Some((file, place + FRAME_HEADER_BYTES as u64))
    });
    let read = match (in_log, database) {
        (Some((file, offset)), _) => file.read_at(&mut bytes, offset)?,
        (None, Some(database)) => database.read_at(&mut bytes, 0)?,
        (None, None) => return Ok(true),
    };
    let header = DatabaseHeader::decode(&bytes);
    let file_bytes = database.map_or(Ok(0), File::size)?;
    let Some(page_size) = header.page_size() else { return Ok(file_bytes == 0) };
    if read < bytes.len() || header.validate().is_err() {
        return Ok(false);
    }
    let file_pages = file_bytes.div_ceil(page_size.bytes_u64());
    let pages = match committed.and_then(|(_, it)| it.prefix.db_size_pages) {
        Some(committed) => u64::from(committed),
        None => file_pages,
    };
    let frames = committed.map_or(0, |(_, it)| u64::from(it.prefix.mx_frame));
    Ok(header.page_count().is_none_or(|counted| u64::from(counted) == pages)
        && pages <= file_pages + frames)
}

/// What does not fit in `view`, which has pages of a log or of a file.
///
/// # Errors
/// When a page cannot be read.
pub fn contradiction(view: &View) -> Result<Option<Contradiction>, Error> {
    let pages = view.size_pages()?;
    if pages == 0 {
        return Ok(None);
    }
    let header = database::header(view)?;
    if header.validate().is_err() {
        let has_magic = header.has_magic();
        let is_lost = has_magic || has_btree_pages(view, pages)?;
        return Ok(is_lost.then_some(Contradiction::PageOneLost { has_magic }));
    }
    let file_bytes = match view.base {
        Some(base) => base.size()?,
        None => 0,
    };
    let page_bytes = view.page_size.bytes_u64();
    if let Some(committed) = view.snapshot.db_size_pages {
        let need = u64::from(committed) * page_bytes;
        let reach = file_bytes + 65_536 + u64::from(view.snapshot.to_frame) * page_bytes;
        if view.base.is_some() && file_bytes < need && reach < need {
            return Ok(Some(Contradiction::Growth { committed, file_bytes }));
        }
    }
    let Some(counted) = header.page_count() else { return Ok(None) };
    if counted > pages {
        let by_commit = view.snapshot.db_size_pages.is_some();
        return Ok(Some(Contradiction::HeaderCountsMore { counted, there: pages, by_commit }));
    }
    let beyond = if counted < pages { used_beyond(view, &header, counted)? } else { None };
    Ok(beyond.map(|page| Contradiction::InUseBeyondHeader { counted, page }))
}

/// A root page or a trunk page of the freelist that page 1 does not count.
fn used_beyond(view: &View, header: &DatabaseHeader, counted: u32) -> Result<Option<Pgno>, Error> {
    let schema = Schema::read(view)?;
    let roots = schema.entries.iter().filter_map(|entry| u32::try_from(entry.root).ok());
    let used = roots.chain([header.first_trunk]).filter(|&page| page > counted);
    Ok(used.min().map(Pgno))
}

/// Whether one of the first pages after page 1 is a b-tree page, with cells where its header says.
fn has_btree_pages(view: &View, pages: u32) -> Result<bool, Error> {
    let mut image = vec![0; view.page_size.in_memory()];
    for page in (2..=pages.min(LOOKED_AT_PAGES)).map(Pgno) {
        Pages::read(view, page, &mut image)?;
        if is_btree_page(page, view.page_size, &image) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_btree_page(page: Pgno, page_size: PageSize, image: &[u8]) -> bool {
    let Some(header) = BtreeHeader::decode(page, page_size, image) else { return false };
    let offsets = header.cell_offsets(image);
    let within = |offset: &usize| header.cell(image, *offset, image.len()).is_some();
    !offsets.is_empty() && offsets.iter().all(within)
}

/// The page size of a file without a database header, by its b-tree pages; `None` where it has too
/// few to be the pages of a database.
///
/// # Errors
/// When it cannot be read.
pub fn page_size_by_pages(file: &dyn File) -> Result<Option<PageSize>, storage::Error> {
    let bytes = file.size()?;
    let mut best: Option<(u32, PageSize)> = None;
    for page_size in PageSize::ALL {
        let pages = u32::try_from(bytes / page_size.bytes_u64()).unwrap_or(u32::MAX);
        let looked_at = pages.min(LOOKED_AT_PAGES);
        let mut image = vec![0; page_size.in_memory()];
        let mut found = 0;
        for page in (2..=looked_at).map(Pgno) {
            if file.read_at(&mut image, page.offset_bytes(page_size))? == image.len()
                && is_btree_page(page, page_size, &image)
            {
                found += 1;
            }
        }
        let enough = found > 0 && found * 8 >= looked_at.saturating_sub(1);
        if enough && best.is_none_or(|(most, _)| found > most) {
            best = Some((found, page_size));
        }
    }
    Ok(best.map(|(_, page_size)| page_size))
}
