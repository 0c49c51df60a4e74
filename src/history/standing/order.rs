//! Where file and log are in time, once something contradicts that they belong together.
//!
//! What contradicts says that the log was not written on this file; here is weighed what that file
//! is instead: a later one, an earlier one, or one that went on from the same state by itself. No
//! step depends on the answer but the name that it gets: nothing is called wrong by it that is not
//! contradicted.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::database::{self, Error, Pages, check};
use crate::format::{FRAME_HEADER_BYTES, FrameNo, Pgno};

use crate::scan::Watch;

use super::beginning::Beginning;
use super::content::{self, Compared, Page};
use super::effects::Effects;
use super::tails::Tails;
use super::{Evidence, Pair, Reason, header};

/// Most pages whose rows are compared.
const MAX_PAGES: usize = 256;

/// The order of file and log in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The file is what the log was written on, or has pages of it.
    Current,
    /// The file has what came after the log.
    FileNewer,
    /// Something is missing between the file and the beginning of the log.
    FileOlder,
    /// File and log went on from the same state, each by itself.
    Fork,
    /// Nothing tells it.
    #[default]
    Unknown,
}

impl Order {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::FileNewer => "file-newer",
            Self::FileOlder => "file-older",
            Self::Fork => "fork",
            Self::Unknown => "unknown",
        }
    }
}

/// Weighs what a contradicted file is. Without anything in common the two have no order.
pub(super) fn weigh(
    pair: &Pair,
    compared: &Compared,
    effects: &Effects,
    reasons: &[Reason],
    watch: &dyn Watch,
) -> Result<Order, Error> {
    // Settings say nothing of time.
    let tells = |reason: &Reason| reason.contradicts() && reason.evidence != Evidence::Header;
    if !reasons.iter().any(Reason::is_in_common) || !reasons.iter().any(tells) {
        return Ok(Order::Unknown);
    }
    let rows = Lineage::of(pair, &compared.pages)?;
    let tails = match pair.is_small()? {
        true => Tails::of(pair, &compared.pages, &check(&pair.file, watch)?)?,
        false => Tails::default(),
    };
    let beginning = &compared.beginning;
    let ahead = header::ahead_of_newest(pair, beginning)?;
    // A later file has no smaller counter, and an earlier one no greater.
    match ahead.map(i32::signum) {
        Some(-1) => {}
        Some(0) | None if lacks_pages(pair, beginning)? => {}
        _ if rows.are_later() || effects.are_in_file() => return Ok(Order::FileNewer),
        _ if effects.has_unchanged() => {}
        Some(1) if tails.conflicts == 0 => return Ok(Order::FileNewer),
        _ if tails.go_on() => return Ok(Order::FileNewer),
        _ => {}
    }
    if ahead.is_some_and(|ahead| ahead > 0) {
        return Ok(Order::Fork);
    }
    // Below zero for an older file, above for one that went on by itself.
    let mut balance = rows.balance() + tails.balance();
    let file = database::header(&pair.file)?;
    if let Some(&first) = beginning.firsts.first().filter(|_| !beginning.has_page_1)
        && let Some(in_log) = pair.header_in(first)?
    {
        balance += match file.change_counter.wrapping_sub(in_log.change_counter).cast_signed() {
            1.. => 8,
            ..-1 => -2,
            -1..=0 => 0,
        };
    }
    if let (Some(count), Some(first)) = (file.page_count(), beginning.size_at_first()) {
        balance += match count.cmp(&first) {
            std::cmp::Ordering::Greater => 5,
            std::cmp::Ordering::Less => -2,
            std::cmp::Ordering::Equal => 0,
        };
    }
    Ok(match balance {
        1.. => Order::Fork,
        ..0 => Order::FileOlder,
        0 => Order::Unknown,
    })
}

/// Whether pages that the log does not write are after the end of the file: without VACUUM it was
/// smaller than before the log.
fn lacks_pages(pair: &Pair, beginning: &Beginning) -> Result<bool, Error> {
    let file = database::header(&pair.file)?;
    let count = file.page_count().filter(|_| file.largest_root == 0);
    let (Some(count), Some(first)) = (count, beginning.size_at_first()) else { return Ok(false) };
    let mut after = (count.saturating_add(1)..=first).map(Pgno);
    Ok(pair.file.size_pages()? == count
        && after.any(|page| !pair.snapshot.pages.contains_key(&page)))
}

/// Of the file more: it went on by itself; of the log more: the file is older.
fn weight<T: Ord>(of_file: T, of_log: T, weight: i32) -> i32 {
    match of_file.cmp(&of_log) {
        std::cmp::Ordering::Less => -weight,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => weight,
    }
}

/// How the rows of the file's pages fit those of the log.
#[derive(Default)]
struct Lineage {
    /// Pages of which the file has the image of a frame.
    equal_pages: usize,
    /// Pages of which the file has the image of a frame, and not that of an earlier one.
    later_images: usize,
    /// Rows of the file that the log does not have.
    only_in_file: usize,
    /// Rows of the first frames that the file does not have.
    only_in_log: usize,
    /// Pages whose last row id is greater in the file, and in their first frame.
    longer_in_file: usize,
    longer_in_log: usize,
    /// Last rows of tables' pages in the file, and those of them that the log does not have.
    last_rows: usize,
    last_only_in_file: usize,
}

impl Lineage {
    fn of(pair: &Pair, pages: &BTreeMap<Pgno, Page>) -> Result<Self, Error> {
        let page_size = pair.shape.page_size();
        let mut image = vec![0; page_size.in_memory()];
        let (mut in_file, mut at_first) = (HashSet::new(), HashSet::new());
        let (mut found, mut last_rows) = (Self::default(), Vec::new());
        let of_log = pages.iter().filter(|(_, page)| page.newest > FrameNo(0));
        for (&pgno, page) in of_log.take(MAX_PAGES) {
            pair.file.read(pgno, &mut image)?;
            let ours = content::records(pgno, page_size, &image);
            let first = records_in(pair, pgno, page.first, &mut image)?;
            let equal = page.equal.filter(|frame| frame.0 <= pair.snapshot.to_frame);
            found.equal_pages += usize::from(equal.is_some());
            found.later_images += usize::from(equal.is_some_and(|frame| frame > page.first));
            if page.equal.is_none() {
                let newest = records_in(pair, pgno, page.newest, &mut image)?;
                let (last, theirs) = (last_row_id(&ours), last_row_id(&first));
                found.longer_in_file += usize::from(last > theirs);
                found.longer_in_log += usize::from(theirs > last);
                at_first.extend(newest);
                let is_last = |row: &&Vec<u8>| last.is_some() && row_id(row) == last;
                last_rows.extend(ours.iter().find(is_last).cloned());
            }
            in_file.extend(ours);
            at_first.extend(first);
        }
        found.only_in_log = at_first.difference(&in_file).count();
        // Rows that only went to other pages.
        let held = pair.snapshot.pages.iter().filter(|(page, _)| !pages.contains_key(page));
        for (&pgno, &frame) in held.take(MAX_PAGES) {
            at_first.extend(records_in(pair, pgno, frame, &mut image)?);
        }
        found.only_in_file = in_file.difference(&at_first).count();
        found.last_rows = last_rows.len();
        found.last_only_in_file = last_rows.iter().filter(|row| !at_first.contains(*row)).count();
        Ok(found)
    }

    /// The file has images that the log wrote.
    fn are_later(&self) -> bool {
        self.later_images > 0 || self.equal_pages > 2
    }

    fn balance(&self) -> i32 {
        weight(self.only_in_file, self.only_in_log, 1)
            + weight(self.longer_in_file, self.longer_in_log, 2)
            + match (self.last_rows, self.last_only_in_file) {
                (0, _) => 0,
                (_, 0) => -2,
                (all, only_in_file) if all == only_in_file => 2,
                (_, _) => 0,
            }
    }
}

/// The greatest row id of a table; `None` of an index.
fn last_row_id(rows: &HashSet<Vec<u8>>) -> Option<i64> {
    rows.iter().filter_map(|row| row_id(row)).max()
}

/// The row id before a record; `None` of an index, where it is zero.
fn row_id(row: &[u8]) -> Option<i64> {
    row.first_chunk().copied().map(i64::from_be_bytes).filter(|&id| id != 0)
}

fn records_in(
    pair: &Pair,
    page: Pgno,
    frame: FrameNo,
    image: &mut [u8],
) -> Result<HashSet<Vec<u8>>, Error> {
    let page_size = pair.shape.page_size();
    let offset_bytes = frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64;
    let is_whole = pair.log.read_at(image, offset_bytes)? == image.len();
    Ok(if is_whole { content::records(page, page_size, image) } else { HashSet::new() })
}
