//! Opening a database, as lockBtree and the loading of the schema judge it.

use crate::database::check::{Problem, StructureFault};
use crate::database::{self, Pages as _, Schema};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::history::snapshot::Snapshot;
use crate::history::view::View;
use crate::log::LogShape;
use crate::scan::{Error, Watch};
use crate::storage::File;

use super::Open;

/// What SQLite sees of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub open: Open,
    /// Its pages, where it is opened.
    pub size_pages: Option<u32>,
    /// Page 1 says that it is in WAL mode.
    pub is_wal: bool,
}

impl Sight {
    /// A database without a page.
    pub(super) const EMPTY: Self = Self { open: Open::Ok, size_pages: Some(0), is_wal: false };

    fn refused(open: Open, header: &DatabaseHeader) -> Self {
        Self { open, size_pages: None, is_wal: opens_log(header) }
    }
}

/// A database file alone, which has at least two bytes.
pub(super) fn of_file(file: &dyn File, watch: &dyn Watch) -> Result<Sight, Error> {
    let page_size = page_size_before(file)?;
    let snapshot = Snapshot::default();
    of_view(&View::of_file(file, page_size, &snapshot), watch)
}

/// A file with a log over it (btree.c lockBtree).
pub(super) fn of_view(view: &View<'_>, watch: &dyn Watch) -> Result<Sight, Error> {
    let pages = view.size_pages()?;
    if pages == 0 {
        return Ok(Sight::EMPTY);
    }
    let header = database::header(view)?;
    if header.validate().is_err() {
        return Ok(Sight::refused(Open::NotADb, &header));
    }
    if header.page_size() != Some(view.page_size) {
        // Pages of one size are read out of frames of another.
        return Ok(Sight::refused(Open::Unknown, &header));
    }
    if header.page_count().is_some_and(|counted| counted > pages) {
        return Ok(Sight::refused(Open::Corrupt, &header));
    }
    let size = header.page_count().unwrap_or(pages);
    let open = schema(view, &header, size, watch)?;
    let size_pages = Some(size).filter(|_| open == Open::Ok);
    Ok(Sight { open, size_pages, is_wal: opens_log(&header) })
}

/// Whether the log is opened because page 1 says so, whatever comes of the rest.
fn opens_log(header: &DatabaseHeader) -> bool {
    header.has_magic() && header.read_version == 2
}

/// Page size of the pager before page 1 was judged: by the field of the file, or 4096 (btree.c
/// sqlite3BtreeOpen).
pub(super) fn page_size_before(file: &dyn File) -> Result<PageSize, Error> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    file.read_at(&mut bytes, 0)?;
    Ok(DatabaseHeader::decode(&bytes).page_size().unwrap_or(PageSize::DEFAULT))
}

/// How the schema is read (prepare.c sqlite3InitOne, sqlite3InitCallback).
fn schema(
    view: &View<'_>,
    header: &DatabaseHeader,
    pages: u32,
    watch: &dyn Watch,
) -> Result<Open, Error> {
    let health = database::check_schema(view, watch)?;
    let is_no_table = |problem: &Problem| {
        problem.page == Some(Pgno::FIRST) && matches!(problem.fault, StructureFault::Kind { .. })
    };
    if health.problems.iter().any(is_no_table) {
        return Ok(Open::Corrupt);
    }
    let schema = Schema::read(view)?;
    if health.is_sound() && !schema.entries.iter().all(|entry| entry.agrees) {
        return Ok(Open::Corrupt);
    }
    let with_tree = schema.entries.iter().filter(|entry| entry.kind.tree().is_some());
    let fits = |root: i64| (1..=i64::from(pages)).contains(&root);
    if health.is_sound() && !with_tree.map(|entry| entry.root).all(fits) {
        return Ok(Open::Corrupt);
    }
    let is_read = schema.unclear.is_empty() && schema.entries.iter().all(|it| it.is_understood);
    Ok(match health.is_sound() && is_read && header.schema_format <= 4 {
        true => Open::Ok,
        false => Open::Unknown,
    })
}

/// The last commit says more pages than file and log can have (wal.c walCheckpoint).
pub(super) fn grows_too_far(
    snapshot: &Snapshot,
    shape: &LogShape,
    base: Option<&dyn File>,
) -> Result<bool, Error> {
    let file_bytes = base.map_or(Ok(0), File::size)?;
    let page_bytes = shape.page_size().bytes_u64();
    let need = u64::from(snapshot.db_size_pages.unwrap_or_default()) * page_bytes;
    let reach = file_bytes + 65_536 + u64::from(snapshot.to_frame) * page_bytes;
    Ok(file_bytes < need && reach < need)
}
