//! The rows of one b-tree in key order, as far as they can be read.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

use crate::format::btree::{BtreeHeader, Cell, MAX_LEVELS};
use crate::format::{PageKind, Pgno};

use super::payload::read_payload;
use super::{Error, PageLayout, Pages};

/// A row of a table, or an entry of an index or WITHOUT ROWID table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// Its row id; `None` in a b-tree of the index kind.
    pub row_id: Option<i64>,
    /// A hash of its record, equal for equal bytes wherever they are. Only to be compared within
    /// one run of the program.
    pub digest: u64,
    /// Its overflow chain could be followed to the end.
    pub whole: bool,
    /// The b-tree page on which it is.
    pub page: Pgno,
}

/// Iterates over the rows of the b-tree at a root page, in key order. Pages that are no pages of
/// such a b-tree, or that it has met already, are passed over and counted.
pub struct Rows<'a> {
    pages: &'a dyn Pages,
    layout: PageLayout,
    table: Option<bool>,
    levels: Vec<Level>,
    seen: HashSet<Pgno, foldhash::fast::RandomState>,
    pending: Option<Pgno>,
    skipped_pages: u32,
    images: Vec<Vec<u8>>,
}

/// A page on the way down to the current row.
struct Level {
    page: Pgno,
    image: Vec<u8>,
    header: BtreeHeader,
    offsets: Vec<usize>,
    next: usize,
    /// The child left of the next cell was visited.
    descended: bool,
}

/// A row as found.
pub(super) struct FoundRow {
    pub row_id: Option<i64>,
    page: Pgno,
    local: Vec<u8>,
    cell: Cell,
}

impl<'a> Rows<'a> {
    /// The rows below `root`.
    ///
    /// # Errors
    /// When page 1 cannot be read.
    pub fn new(pages: &'a dyn Pages, root: Pgno) -> Result<Self, Error> {
        Ok(Self {
            pages,
            layout: PageLayout::of(pages)?,
            table: None,
            levels: Vec::new(),
            seen: HashSet::default(),
            pending: Some(root),
            skipped_pages: 0,
            images: Vec::new(),
        })
    }

    /// Pages passed over so far: rows below them are missing.
    #[must_use]
    pub fn skipped_pages(&self) -> u32 {
        self.skipped_pages
    }

    /// The next row in key order.
    pub(super) fn find(&mut self) -> Result<Option<FoundRow>, Error> {
        loop {
            if let Some(page) = self.pending.take() {
                self.descend(page)?;
            }
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(&offset) = level.offsets.get(level.next) else {
                let right = level.header.right_child.filter(|_| !level.descended);
                level.descended = true;
                self.pending = right;
                if right.is_none() {
                    self.images.extend(self.levels.pop().map(|level| level.image));
                }
                continue;
            };
            let Some(cell) = level.header.cell(&level.image, offset, self.layout.usable) else {
                level.next += 1;
                level.descended = false;
                continue;
            };
            if let Some(child) = cell.left_child.filter(|_| !level.descended) {
                level.descended = true;
                self.pending = Some(child);
                continue;
            }
            level.next += 1;
            level.descended = false;
            if level.header.kind == PageKind::TableInterior {
                continue;
            }
            let local = level.image.get(cell.local.clone()).unwrap_or_default().to_vec();
            let page = level.page;
            return Ok(Some(FoundRow { row_id: cell.row_id, page, local, cell }));
        }
    }

    fn descend(&mut self, page: Pgno) -> Result<(), Error> {
        let in_range = page.0 != 0 && page.0 <= self.pages.size_pages()?;
        let level = u32::try_from(self.levels.len()).unwrap_or(u32::MAX);
        if !in_range || level >= MAX_LEVELS || !self.seen.insert(page) {
            self.skipped_pages += 1;
            return Ok(());
        }
        let mut image = self.images.pop().unwrap_or_default();
        image.resize(self.layout.page_size.in_memory(), 0);
        self.pages.read(page, &mut image)?;
        let header = BtreeHeader::decode(page, self.layout.page_size, &image);
        let is_table = |header: &BtreeHeader| {
            matches!(header.kind, PageKind::TableLeaf | PageKind::TableInterior)
        };
        let header =
            header.filter(|header| self.table.is_none_or(|table| table == is_table(header)));
        let Some(header) = header else {
            self.skipped_pages += 1;
            self.images.push(image);
            return Ok(());
        };
        self.table = Some(is_table(&header));
        let mut offsets = header.cell_offsets(&image);
        // A page that names one cell thousands of times would multiply its rows.
        offsets.truncate((image.len() - 8) / 6);
        self.levels.push(Level { page, image, header, offsets, next: 0, descended: false });
        Ok(())
    }

    /// Passes the payload of `found` to `take`, part by part, up to `limit_bytes`; returns whether
    /// it was all there.
    pub(super) fn payload(
        &mut self,
        found: &FoundRow,
        limit_bytes: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, Error> {
        let mut image = self.images.pop().unwrap_or_default();
        let payload = (&found.cell, found.local.as_slice());
        let from = (self.pages, self.layout);
        let whole = read_payload(from, payload, limit_bytes, &mut image, |_, part| take(part))?;
        self.images.push(image);
        Ok(whole)
    }

    fn row(&mut self) -> Result<Option<TableRow>, Error> {
        let Some(found) = self.find()? else { return Ok(None) };
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(found.cell.payload_bytes);
        let whole = self.payload(&found, u64::MAX, |bytes| hasher.write(bytes))?;
        let (row_id, page) = (found.row_id, found.page);
        Ok(Some(TableRow { row_id, digest: hasher.finish(), whole, page }))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<TableRow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.row().transpose()
    }
}

/// How the rows of one state of a table differ from those of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowChanges {
    /// In both, and equal.
    pub kept: u64,
    /// In both by row id, with other values.
    pub altered: u64,
    /// Only in the first.
    pub missing: u64,
    /// Only in the second.
    pub added: u64,
    /// Pages of either that could not be read as pages of this table.
    pub skipped_pages: u32,
}

/// What became of a row between two states of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// In both, and equal.
    Kept,
    /// In both by row id, with other values; how it is in the second.
    Altered(TableRow),
    /// Only in the first. The pages of the second that have its neighbours, before and after;
    /// `None` at an end of the table, and where rows have no order.
    Missing {
        /// Page of the row before.
        before: Option<Pgno>,
        /// Page of the row after.
        after: Option<Pgno>,
    },
    /// Only in the second.
    Added,
}

/// Compares two states of one table, each read once, and tells `visit` of every row. Tables with
/// row ids are merged in their order, in constant memory; of tables without, the digests of the
/// first are held. Returns the pages of either that could not be read as pages of this table.
///
/// # Errors
/// When a page cannot be read.
pub fn compare_rows(
    mut first: Rows,
    mut second: Rows,
    mut visit: impl FnMut(RowChange),
) -> Result<u32, Error> {
    let (mut ours, mut theirs) = (first.row()?, second.row()?);
    let mut digests: HashSet<u64> = HashSet::new();
    // Where the last row of the second is.
    let mut before = None;
    while ours.is_some() || theirs.is_some() {
        let our_id = ours.map(|row| row.row_id);
        let their_id = theirs.map(|row| row.row_id);
        let after = theirs.map(|row| row.page);
        match (our_id, their_id) {
            (Some(Some(one)), Some(Some(other))) if one == other => {
                let equal = ours.map(|row| row.digest) == theirs.map(|row| row.digest);
                let altered = theirs.filter(|_| !equal).map(RowChange::Altered);
                visit(altered.unwrap_or(RowChange::Kept));
                before = after;
                (ours, theirs) = (first.row()?, second.row()?);
            }
            (Some(Some(one)), other) if other.flatten().is_none_or(|other| one < other) => {
                visit(RowChange::Missing { before, after });
                ours = first.row()?;
            }
            (_, Some(Some(_))) => {
                visit(RowChange::Added);
                before = after;
                theirs = second.row()?;
            }
            (Some(None), _) => {
                digests.extend(ours.map(|row| row.digest));
                ours = first.row()?;
            }
            (Some(Some(_)), _) => {
                visit(RowChange::Missing { before, after });
                ours = first.row()?;
            }
            (None, _) => {
                let kept = theirs.is_some_and(|row| digests.remove(&row.digest));
                visit(if kept { RowChange::Kept } else { RowChange::Added });
                theirs = second.row()?;
            }
        }
    }
    digests.iter().for_each(|_| visit(RowChange::Missing { before: None, after: None }));
    Ok(first.skipped_pages() + second.skipped_pages())
}

/// Counts what [`compare_rows`] tells.
///
/// # Errors
/// When a page cannot be read.
pub fn row_changes(first: Rows, second: Rows) -> Result<RowChanges, Error> {
    let mut changes = RowChanges::default();
    changes.skipped_pages = compare_rows(first, second, |change| {
        *match change {
            RowChange::Kept => &mut changes.kept,
            RowChange::Altered(_) => &mut changes.altered,
            RowChange::Missing { .. } => &mut changes.missing,
            RowChange::Added => &mut changes.added,
        } += 1;
    })?;
    Ok(changes)
}
