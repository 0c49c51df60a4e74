//! References from pages of the log to pages of the file, for databases that are too large to be
//! checked as a whole.

use std::collections::BTreeSet;

use crate::database::{self, Error};
use crate::format::btree::BtreeHeader;
use crate::format::{PageKind, Pgno};
use crate::scan::Watch;

use super::{Evidence, MAX_PAGES, Pair, Reason, SpeaksFor};

/// Most pages of the log that are named one by one.
const MAX_PARENTS: usize = 8;

/// A reference: the child, and the row ids that may be below it.
pub(super) struct PageLink {
    pub child: Pgno,
    /// In a table with row ids.
    pub table: bool,
    pub above: Option<i64>,
    pub up_to: Option<i64>,
}

/// One contradiction for each page of the log most of whose children in the file are no such pages,
/// or have row ids out of their bounds. A damaged page of the file is one child of many. Only
/// `interior` pages have children, where it is known which these are.
pub(super) fn follow(
    pair: &Pair,
    interior: Option<&BTreeSet<Pgno>>,
    watch: &dyn Watch,
) -> Result<Vec<Reason>, Error> {
    let mut image = vec![0; pair.shape.page_size().in_memory()];
    let (mut followed, mut reasons) = (0, Vec::new());
    let page_size = pair.shape.page_size();
    let header = database::header(pair.both)?;
    let usable = page_size.in_memory() - usize::from(header.reserved_bytes);
    // An entry of the pointer map may begin as an interior page does.
    let is_of_map =
        |page| header.largest_root != 0 && database::is_pointer_map(page_size, usable, page);
    let has_children = |page: &&Pgno| {
        interior.is_none_or(|interior| interior.contains(page)) && !is_of_map(**page)
    };
    for &page in pair.snapshot.pages.keys().filter(has_children) {
        if followed >= MAX_PAGES || reasons.len() >= MAX_PARENTS {
            break;
        }
        if watch.is_interrupted() {
            return Err(Error::Interrupted);
        }
        pair.both.read(page, &mut image)?;
        let mut links = children(pair, page, &image);
        links.retain(|link| !pair.snapshot.pages.contains_key(&link.child));
        links.truncate(MAX_PAGES - followed);
        followed += links.len();
        let mut wrong = Vec::new();
        for link in &links {
            pair.both.read(link.child, &mut image)?;
            wrong.extend(judge(pair, link, &image).map(|evidence| (link.child, evidence)));
        }
        if let Some(&(child, evidence)) = wrong.first().filter(|_| wrong.len() * 2 > links.len()) {
            let what = match evidence {
                Evidence::Order => "with row ids that cannot be there",
                _ => "and is no such page",
            };
            reasons.push(Reason {
                speaks_for: SpeaksFor::Foreign,
                evidence,
                table: None,
                page: Some(page),
                count: wrong.len() as u64,
                example: format!(
                    "page {child} of the file is below page {page} of the log, {what}"
                ),
            });
        }
    }
    Ok(reasons)
}

/// The children of an interior page; none of another page.
pub(super) fn children(pair: &Pair, page: Pgno, image: &[u8]) -> Vec<PageLink> {
    let page_size = pair.shape.page_size();
    let Some(header) = BtreeHeader::decode(page, page_size, image) else { return Vec::new() };
    let table = header.kind == PageKind::TableInterior;
    let Some(right) = header.right_child else { return Vec::new() };
    let mut links = Vec::new();
    let mut above = None;
    let cells = header.cell_offsets(image).into_iter().take(image.len() / 6);
    for cell in cells.filter_map(|offset| header.cell(image, offset, image.len())) {
        if let Some(child) = cell.left_child {
            links.push(PageLink { child, table, above, up_to: cell.row_id });
        }
        above = cell.row_id;
    }
    links.push(PageLink { child: right, table, above, up_to: None });
    links
}

/// What is wrong with `image` as the page of `link`.
pub(super) fn judge(pair: &Pair, link: &PageLink, image: &[u8]) -> Option<Evidence> {
    let header = BtreeHeader::decode(link.child, pair.shape.page_size(), image);
    let fits = header.filter(|header| match header.kind {
        PageKind::TableLeaf | PageKind::TableInterior => link.table,
        PageKind::IndexLeaf | PageKind::IndexInterior => !link.table,
        PageKind::LockByte | PageKind::Other => false,
    });
    let Some(header) = fits else { return Some(Evidence::Btree) };
    let ids = header.cell_offsets(image).into_iter().take(image.len() / 6);
    let mut ids = ids.filter_map(|offset| header.cell(image, offset, image.len())?.row_id);
    let outside = |id: i64| {
        link.above.is_some_and(|above| id <= above) || link.up_to.is_some_and(|last| id > last)
    };
    ids.any(outside).then_some(Evidence::Order)
}
