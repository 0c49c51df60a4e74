//! What later transactions of the log did to the pages of the first ones, and whether the file has
//! it.
//!
//! A page of which the file has no image of the log is, in a true pair, as it was before its first
//! frame. What later transactions did to it is not there then, unless the first one undid it
//! before: locks that are taken and given back, marks that are set and cleared, caches that are
//! emptied and filled again look like that. So a page says something only where the first
//! transaction left most of its rows, where the file has nothing that later transactions changed,
//! and where rows are new, not a flag that came back. And one page alone says too little: a second
//! one must say it, of another table and of another first transaction, or a counter of
//! AUTOINCREMENT.

use std::collections::BTreeMap;

use crate::database::check::{Health, Owner};
use crate::database::{self, Error, Pages, check};
use crate::format::btree::BtreeHeader;
use crate::format::record::{self, Value};
use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageKind, Pgno};
use crate::scan::Watch;

use super::content::{Compared, distinct_values};
use super::{Evidence, Pair, Reason, SpeaksFor};

/// Most pages whose rows are compared.
const MAX_PAGES: usize = 256;

/// Shortest record that says something, and the fewest different bytes in it.
const MIN_RECORD_BYTES: usize = 12;
const MIN_RECORD_VALUES: usize = 8;

/// Fewest bytes by which a row differs from the one that it replaces, and is no flag.
const MIN_NEW_BYTES: usize = 8;

/// Most entries that one may have replaced.
const MAX_REPLACED: usize = 256;

/// Rows of a leaf by their keys: row ids, or the records themselves.
struct Leaf {
    is_table: bool,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What transactions after the first one did to a page.
struct Effect {
    page: Pgno,
    first: FrameNo,
    /// Rows that the first frame has as the file has them.
    kept: usize,
    /// Rows of later frames that the file has, too, and flags that were turned among them.
    like_newest: usize,
    /// The rows among them that are new.
    in_file: usize,
    /// Rows of later frames whose keys the file does not have.
    missing: usize,
    /// Rows of the first frame that later ones changed or removed, and the file has.
    unchanged: usize,
    /// The file has the rows of the newest frame.
    is_same: bool,
}

/// What the rows of the pages say of the order in time.
#[derive(Default)]
pub(super) struct Effects {
    pages: Vec<Effect>,
}

impl Effects {
    /// Compares the pages of which the file has no image of the log.
    pub(super) fn of(pair: &Pair, compared: &Compared) -> Result<Self, Error> {
        let mut found = Self::default();
        if !compared.beginning.is_known(pair) {
            return Ok(found);
        }
        let reserved = usize::from(database::header(&pair.file)?.reserved_bytes);
        let leaf = |page, image: &[u8]| Leaf::decode(pair, page, image, reserved);
        let other = |page: &super::content::Page| {
            page.equal.is_none() && page.newest > page.first && page.first > FrameNo(0)
        };
        let mut image = vec![0; pair.shape.page_size().in_memory()];
        for (&page, of_log) in compared.pages.iter().filter(|it| other(it.1)).take(MAX_PAGES) {
            let frames = [of_log.first, of_log.newest];
            let [at_first, at_last] = frames.map(|it| compared.beginning.transaction_of(it));
            if at_first == at_last {
                continue;
            }
            pair.file.read(page, &mut image)?;
            let Some(ours) = leaf(page, &image) else { continue };
            let mut of_frame = |frame: FrameNo| -> Result<Option<Leaf>, Error> {
                let at = frame.offset_bytes(pair.shape.page_size()) + FRAME_HEADER_BYTES as u64;
                let is_whole = pair.log.read_at(&mut image, at)? == image.len();
                Ok(leaf(page, &image).filter(|it| is_whole && it.is_table == ours.is_table))
            };
            let (first, newest) = (of_frame(of_log.first)?, of_frame(of_log.newest)?);
            if let (Some(first), Some(newest)) = (first, newest) {
                found.pages.push(Effect::of(page, of_log.first, [&ours, &first, &newest]));
            }
        }
        Ok(found)
    }

    /// What says that the file is no later than the log: it has rows that transactions after the
    /// first one of their page have changed, and none of theirs.
    pub(super) fn to_come(&self) -> Option<Reason> {
        let has_later = self.pages.iter().any(|page| page.like_newest > 0);
        let page = self.pages.iter().find(|page| page.unchanged > 0 && !has_later)?;
        let example = format!(
            "page {} of the file has rows as they were before transactions after frame {} changed \
             them",
            page.page, page.first
        );
        Some(reason(SpeaksFor::Same, example))
    }

    /// The file has what a transaction after the first one of its page changed.
    pub(super) fn has_unchanged(&self) -> bool {
        self.pages.iter().any(|page| page.unchanged > 0)
    }

    /// The file has what later transactions wrote, on a page at least.
    pub(super) fn are_in_file(&self) -> bool {
        let sum = |of: fn(&Effect) -> usize| self.pages.iter().map(of).sum::<usize>();
        self.pages.iter().all(|page| page.unchanged == 0)
            && sum(|page| page.in_file) > sum(|page| page.missing)
    }

    /// What contradicts that the file is the state on which the log was begun.
    pub(super) fn reason(
        &self,
        pair: &Pair,
        compared: &Compared,
        watch: &dyn Watch,
    ) -> Result<Option<Reason>, Error> {
        let telling: Vec<&Effect> = self.pages.iter().filter(|page| page.tells()).collect();
        if telling.is_empty() || !self.are_in_file() || !pair.is_small()? {
            return Ok(None);
        }
        let file = check(&pair.file, watch)?;
        // A copy that a loss of power ended may leave anything.
        if !file.is_sound() {
            return Ok(None);
        }
        let begun = |page: &Effect| compared.beginning.transaction_of(page.first);
        let second = telling.iter().find_map(|one| {
            telling.iter().find_map(|other| {
                let of_both = table(&file, one.page).zip(table(&file, other.page));
                let differ = of_both.is_some_and(|(one, other)| one != other);
                (differ && begun(one) != begun(other)).then_some((*one, *other))
            })
        });
        let (one, more) = if let Some((one, other)) = second {
            (one, format!("so it has on page {}", other.page))
        } else {
            match (telling.first(), sequence(pair, compared, &file)?) {
                (Some(one), Some(more)) => (*one, more),
                (_, _) => return Ok(None),
            }
        };
        let example = format!(
            "page {} of the file has rows as transactions after frame {} have written them, and \
             {more}",
            one.page, one.first
        );
        Ok(Some(reason(SpeaksFor::Foreign, example)))
    }
}

fn reason(speaks_for: SpeaksFor, example: String) -> Reason {
    let (evidence, table, page, count) = (Evidence::Beginning, None, None, 1);
    Reason { speaks_for, evidence, table, page, count, example }
}

/// The table of a page.
fn table(file: &Health, page: Pgno) -> Option<&str> {
    let Owner::Btree(root) = file.owners.of(page) else { return None };
    file.trees.iter().find(|tree| tree.root == root).map(|tree| tree.table.as_str())
}

/// A counter of AUTOINCREMENT that is greater in the file than after the first transaction that
/// wrote it: it never falls.
fn sequence(pair: &Pair, compared: &Compared, file: &Health) -> Result<Option<String>, Error> {
    let mut image = vec![0; pair.shape.page_size().in_memory()];
    for (&page, of_log) in compared.pages.iter().filter(|it| it.1.newest > FrameNo(0)) {
        if of_log.equal.is_some() || table(file, page) != Some("sqlite_sequence") {
            continue;
        }
        pair.file.read(page, &mut image)?;
        let ours = counters(pair, page, &image);
        let at = of_log.first.offset_bytes(pair.shape.page_size()) + FRAME_HEADER_BYTES as u64;
        if pair.log.read_at(&mut image, at)? < image.len() {
            continue;
        }
        let theirs = counters(pair, page, &image);
        for (name, count) in &ours {
            if let Some(first) = theirs.get(name).filter(|first| (1..*count).contains(*first)) {
                let name = String::from_utf8_lossy(name);
                return Ok(Some(format!(
                    "the counter of {name} is {count} there and {first} in frame {}",
                    of_log.first
                )));
            }
        }
    }
    Ok(None)
}

fn counters(pair: &Pair, page: Pgno, image: &[u8]) -> BTreeMap<Vec<u8>, i64> {
    let leaf = Leaf::decode(pair, page, image, 0);
    let rows = leaf.into_iter().flat_map(|leaf| leaf.rows.into_values());
    let counter = |row: Vec<u8>| match record::values(&row).as_slice() {
        [Value::Text { bytes, .. }, Value::Int(count)] => Some((bytes.to_vec(), *count)),
        _ => None,
    };
    rows.filter_map(counter).collect()
}

impl Leaf {
    fn decode(pair: &Pair, page: Pgno, image: &[u8], reserved: usize) -> Option<Self> {
        let header = BtreeHeader::decode(page, pair.shape.page_size(), image)?;
        let is_table = match header.kind {
            PageKind::TableLeaf => true,
            PageKind::IndexLeaf => false,
            PageKind::TableInterior
            | PageKind::IndexInterior
            | PageKind::LockByte
            | PageKind::Other => return None,
        };
        let usable = image.len().checked_sub(reserved)?;
        let row = |offset| {
            let cell = header.cell(image, offset, usable)?;
            let end = cell.range.end;
            let record = image.get(cell.local.start..end)?.to_vec();
            let key = cell.row_id.map_or_else(|| record.clone(), |id| id.to_be_bytes().to_vec());
            Some((key, record))
        };
        let offsets = header.cell_offsets(image).into_iter().take(image.len() / 4);
        Some(Self { is_table, rows: offsets.map(row).collect::<Option<_>>()? })
    }

    /// Whether a row is new after `first`: no flag of a row there was turned to give it.
    fn is_new(&self, first: &Self, key: &[u8], row: &[u8]) -> bool {
        let is_other = |before: &Vec<u8>| new_bytes(before, row) >= MIN_NEW_BYTES;
        let tells = row.len() >= MIN_RECORD_BYTES && distinct_values(row) >= MIN_RECORD_VALUES;
        tells
            && match self.is_table {
                true => first.rows.get(key).is_none_or(is_other),
                false => {
                    let gone = first.rows.keys().filter(|key| !self.rows.contains_key(*key));
                    gone.take(MAX_REPLACED).all(is_other)
                }
            }
    }
}

/// Bytes of `after` between what it begins and what it ends with as `before` does.
pub(super) fn new_bytes(before: &[u8], after: &[u8]) -> usize {
    let alike = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let rest = before.len().min(after.len()).saturating_sub(alike);
    let ends = before.iter().rev().zip(after.iter().rev()).take(rest);
    after.len() - alike - ends.take_while(|(one, other)| one == other).count()
}

impl Effect {
    fn of(page: Pgno, first_frame: FrameNo, [ours, first, newest]: [&Leaf; 3]) -> Self {
        let kept = ours.rows.iter().filter(|(key, row)| first.rows.get(*key) == Some(row)).count();
        let is_same = ours.rows == newest.rows;
        let (mut like_newest, mut in_file, mut missing, mut unchanged) = (0, 0, 0, 0);
        for (key, row) in &newest.rows {
            let before = first.rows.get(key);
            match ours.rows.get(key) {
                _ if before == Some(row) => {}
                Some(here) if here == row => {
                    like_newest += 1;
                    in_file += usize::from(newest.is_new(first, key, row));
                }
                Some(here) if Some(here) == before => unchanged += 1,
                None if before.is_none() => missing += 1,
                Some(_) | None => {}
            }
        }
        let removed = first.rows.iter().filter(|(key, _)| !newest.rows.contains_key(*key));
        unchanged += removed.filter(|(key, row)| ours.rows.get(*key) == Some(row)).count();
        let first = first_frame;
        Self { page, first, kept, like_newest, in_file, missing, unchanged, is_same }
    }

    /// What a transaction would have undone to give the first frame is less than what it left.
    fn tells(&self) -> bool {
        self.in_file > self.missing
            && self.unchanged == 0
            && self.kept >= self.in_file
            && !self.is_same
    }
}
