//! The page checksums of a database of cksumvfs.

use std::borrow::Cow;

use anyhow::Result;

use crate::access::Context;
use crate::access::held::Held;
use crate::database::header_of_file;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;
use crate::engine::page_checksum;
use crate::history::snapshot::{Snapshot, Target};
use crate::history::wrong_pages::{self, Around, PageChecksumCounts};
use crate::output::quantity::{counted, grouped};
use crate::storage::File;

/// Reads every page of a database that has checksums; `None` for others.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn read(
    held: &Held,
    journal_is_hot: bool,
    context: &Context,
) -> Result<Option<PageChecksumCounts>> {
    let Some(file) = held.database.as_deref() else { return Ok(None) };
    let header = header_of_file(file)?;
    let shape = held.log.as_ref().and_then(|reading| reading.examination.shape);
    let in_log = shape.map(|shape| shape.page_size());
    let Some(page_size) = header.and_then(|header| header.page_size()).or(in_log) else {
        return Ok(None);
    };
    if !page_checksum::are_in(file, page_size)? {
        return Ok(None);
    }
    let snapshot = match &held.log {
        Some(log) => log.snapshot(Target::Last, context.watch)?,
        None => Cow::Owned(Snapshot::default()),
    };
    // Who attaches first copies all of the log again.
    let backfill = held.index.map_or(0, |index| index.backfill);
    let around = Around { snapshot: &snapshot, backfill, journal_is_hot };
    Ok(Some(wrong_pages::find(file, page_size, &around, context.watch)?))
}

/// What must be known of them: SQLite would read a wrong page.
#[must_use]
pub fn finding(file: &dyn File, found: &PageChecksumCounts) -> Option<Finding> {
    let page = found.first_wrong_page_in_use?;
    let path = file.path().to_owned();
    let finding = Finding::new(Rule::PageChecksum, path, words(found));
    Some(Finding { page: Some(page), ..finding })
}

/// The same in words.
#[must_use]
pub fn words(found: &PageChecksumCounts) -> String {
    let checked = counted(found.pages_checked.into(), "page");
    let wrong = |count: u32| match count {
        1 => format!("1 of {checked} is wrong"),
        count => format!("{} of {checked} are wrong", grouped(count.into())),
    };
    let first =
        |page: Option<u32>| page.map_or(String::new(), |page| format!(" (first: page {page})"));
    match (found.pages_wrong, found.pages_wrong_in_use) {
        (0, _) => format!("{checked}, all with the right page checksum (cksumvfs)"),
        (count, None) => format!(
            "{}{}; the hot journal may put other bytes there",
            wrong(count),
            first(found.first_wrong_page)
        ),
        (count, Some(0)) => format!(
            "{}{} in the file, but the log has newer images of all of them",
            wrong(count),
            first(found.first_wrong_page)
        ),
        (_, Some(count)) => format!(
            "{}{}: with cksumvfs, SQLite answers \"disk I/O error\" there",
            wrong(count),
            first(found.first_wrong_page_in_use)
        ),
    }
}
