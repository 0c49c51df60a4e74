//! The last rows of tables, and what deleted rows have left: which of file and log went on.
//!
//! New rows come after the last one of their table. Of two states of one database, the later one
//! has the last row of the earlier one, unless that was changed or deleted since; two that went on
//! each by itself give the same row ids to rows of their own. And a row that was deleted is still
//! in the free bytes of its page for a while: the state that has its remains is the later one.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use memchr::memmem;

use crate::database::check::{Health, Owner};
use crate::database::{Error, Pages};
use crate::format::btree::BtreeHeader;
use crate::format::{PageKind, Pgno};

use super::content::{Page, distinct_values};
use super::effects::new_bytes;
use super::{Pair, frame_image};

/// Most pages of the log whose rows are compared.
const MAX_PAGES: usize = 256;

/// Shortest row whose remains say something, and the fewest different bytes in it.
const MIN_ROW_BYTES: usize = 15;
const MIN_ROW_VALUES: usize = 8;

/// First bytes of a cell that its deletion writes over (btree.c freeSpace), less the two varints
/// that are no part of the record.
const LOST_BYTES: usize = 3;

/// What last rows and remains say.
#[derive(Default)]
pub(super) struct Tails {
    /// Tables in which both have a row at the end of one of them, and it differs.
    pub conflicts: usize,
    /// Tables of which the file has the last row of the log, and later ones.
    pub in_file: usize,
    /// Tables of which the log has later rows than the file.
    pub only_in_log: usize,
    /// Tables of which the log has the last row of the file, and later ones.
    pub in_log: usize,
    /// Rows of the log that were deleted from the file.
    pub remains_in_file: usize,
    /// Rows of the file that were deleted from the first frames.
    pub remains_in_log: usize,
}

/// The rows of a table by their ids.
type TableRows<'a> = BTreeMap<i64, &'a [u8]>;

/// A leaf of a table.
struct Leaf {
    page: Pgno,
    image: Vec<u8>,
    /// Where its rows are, by their ids.
    rows: BTreeMap<i64, Range<usize>>,
    /// The bytes that no cell has.
    free: Vec<u8>,
}

impl Tails {
    /// Compares the pages of the log with the file, whose pages belong to the tables of `file`.
    pub(super) fn of(
        pair: &Pair,
        pages: &BTreeMap<Pgno, Page>,
        file: &Health,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut of_log: HashMap<Pgno, Vec<Leaf>> = HashMap::new();
        let ours = pages.iter().filter(|(_, page)| page.newest > super::FrameNo(0));
        for (&pgno, page) in ours.take(MAX_PAGES) {
            let Owner::Btree(root) = file.owners.of(pgno) else { continue };
            let newest = frame_image(pair, page.newest)?;
            let newest = newest.and_then(|image| Leaf::decode(pair, pgno, image));
            if page.equal.is_none() {
                let first = frame_image(pair, page.first)?;
                let first = first.and_then(|image| Leaf::decode(pair, pgno, image));
                let here = Leaf::decode(pair, pgno, file_image(pair, pgno)?);
                if let (Some(here), Some(first)) = (here, first) {
                    for of_log in std::iter::once(&first).chain(&newest) {
                        found.remains_in_file += here.remains_of(of_log);
                    }
                    found.remains_in_log += first.remains_of(&here);
                }
            }
            of_log.entry(root).or_default().extend(newest);
        }
        let sequence = file.trees.iter().find(|tree| tree.name == "sqlite_sequence");
        if let Some(sequence) = sequence {
            of_log.remove(&sequence.root);
        }
        found.compare_ends(pair, file, &of_log)?;
        Ok(found)
    }

    /// The file has what came after the log.
    pub(super) fn go_on(&self) -> bool {
        let has_rows = self.in_file > 0 && self.only_in_log == 0;
        let has_remains = self.remains_in_file > 0 && self.remains_in_log == 0;
        self.conflicts == 0 && (has_rows || has_remains)
    }

    /// Below zero for an older file, above for one that went on by itself.
    pub(super) fn balance(&self) -> i32 {
        match (self.conflicts, self.in_log) {
            (0, 0) => 0,
            (0, _) => -4,
            (_, 0) => 4,
            (_, _) => 0,
        }
    }

    /// Compares the last rows.
    fn compare_ends(
        &mut self,
        pair: &Pair,
        file: &Health,
        of_log: &HashMap<Pgno, Vec<Leaf>>,
    ) -> Result<(), Error> {
        let mut of_file: HashMap<Pgno, Vec<Leaf>> = HashMap::new();
        for page in (1..=pair.file.size_pages()?).map(Pgno) {
            let Owner::Btree(root) = file.owners.of(page) else { continue };
            if page > Pgno::FIRST && of_log.contains_key(&root) {
                let leaf = Leaf::decode(pair, page, file_image(pair, page)?);
                of_file.entry(root).or_default().extend(leaf);
            }
        }
        for (root, leaves) in of_log {
            let Some(here) = of_file.get(root) else { continue };
            let (theirs, ours) = (all_rows(leaves), all_rows(here));
            let ends = ours.last_key_value().zip(theirs.last_key_value());
            let Some(((&last, row), (&end, of_end))) = ends else { continue };
            if last >= end {
                // An inner leaf of the tree has rows after it as well, and none of its own.
                let at_end = leaves.iter().find(|leaf| leaf.rows.contains_key(&end));
                let same = at_end.and_then(|leaf| here.iter().find(|it| it.page == leaf.page));
                let is_longer = same
                    .is_some_and(|it| it.rows.last_key_value().is_some_and(|(&id, _)| id > end));
                let goes_on = is_longer && ours.get(&end) == Some(of_end);
                self.in_file += usize::from(goes_on);
                self.conflicts +=
                    usize::from(ours.get(&end).is_some_and(|row| are_two(row, of_end)));
            } else {
                self.only_in_log += 1;
                self.in_log += usize::from(theirs.get(&last) == Some(row));
                self.conflicts += usize::from(theirs.get(&last).is_some_and(|it| are_two(it, row)));
            }
        }
        Ok(())
    }
}

/// Whether two records are of two rows, and not of one that was changed.
fn are_two(one: &[u8], other: &[u8]) -> bool {
    one != other && new_bytes(one, other) * 2 >= other.len()
}

fn all_rows(leaves: &[Leaf]) -> TableRows<'_> {
    leaves.iter().flat_map(Leaf::rows).collect()
}

fn file_image(pair: &Pair, page: Pgno) -> Result<Vec<u8>, Error> {
    let mut image = vec![0; pair.shape.page_size().in_memory()];
    pair.file.read(page, &mut image)?;
    Ok(image)
}

impl Leaf {
    fn decode(pair: &Pair, page: Pgno, image: Vec<u8>) -> Option<Self> {
        let header = BtreeHeader::decode(page, pair.shape.page_size(), &image)?;
        if header.kind != PageKind::TableLeaf || page == Pgno::FIRST {
            return None;
        }
        let mut free = image.clone();
        let mut take = |bytes: Range<usize>| {
            free.get_mut(bytes).into_iter().flatten().for_each(|byte| *byte = 0);
        };
        take(0..header.pointers().end);
        let mut rows = BTreeMap::new();
        for offset in header.cell_offsets(&image).into_iter().take(image.len() / 4) {
            let cell = header.cell(&image, offset, image.len())?;
            rows.insert(cell.row_id?, cell.local);
            take(cell.range);
        }
        Some(Self { page, image, rows, free })
    }

    fn rows(&self) -> impl Iterator<Item = (i64, &[u8])> {
        self.rows.iter().filter_map(|(&id, row)| Some((id, self.image.get(row.clone())?)))
    }

    /// Rows that `other` has, and that are in the free bytes here.
    fn remains_of(&self, other: &Self) -> usize {
        let here: TableRows<'_> = self.rows().collect();
        let gone = other.rows().filter(|(id, row)| here.get(id) != Some(row));
        let tells =
            |row: &&[u8]| row.len() >= MIN_ROW_BYTES && distinct_values(row) >= MIN_ROW_VALUES;
        let gone = gone.map(|(_, row)| row).filter(tells);
        let remains = gone.filter_map(|row| row.get(LOST_BYTES..));
        remains.filter(|row| memmem::find(&self.free, row).is_some()).count()
    }
}
