//! A log that SQLite throws away.

use anyhow::Result;

use crate::access::files::Files;
use crate::access::live::Reading;
use crate::access::{Context, Failure};
use crate::diagnosis::rule::Rule;
use crate::format::{PageSize, Pgno};
use crate::history::snapshot::{Snapshot, Target};
use crate::output::quantity::counted;
use crate::output::text::{argument, command, new_name};
use crate::storage::File;

use super::{Danger, database_of, rescue_command};

/// A log with commits beside a database without a page (wal.c sqlite3WalOpen, pager.c
/// pagerOpenWalIfPresent).
///
/// # Errors
/// When a file cannot be read.
pub fn discarded_log(
    files: &Files,
    log: &Reading,
    database: Option<&dyn File>,
    context: &Context,
) -> Result<Option<Danger>> {
    let examination = &log.examination;
    let commits = examination.prefix.transactions;
    let Some(shape) = examination.shape.filter(|_| commits > 0) else { return Ok(None) };
    let what = match database {
        Some(database) => match database.size()? {
            bytes @ (0 | 1) => format!("has {}", counted(bytes, "byte")),
            _ => return Ok(None),
        },
        // A log under a name of its own is no database's.
        None if files.database.is_none() => return Ok(None),
        None => "is not there".to_owned(),
    };
    let why = format!(
        "the database {what}: SQLite deletes the log unread, and {} with it",
        counted(commits.into(), "committed transaction")
    );
    let snapshot = log.snapshot(Target::Last, context.watch)?;
    let danger = Danger::new(Rule::LogDiscarded, &files.wal, why);
    let is_whole = missing_pages(&snapshot, shape.page_size()).next().is_none();
    Ok(Some(match is_whole {
        true => danger.next(replay_of_log(files), "writes what the log holds"),
        false => danger.next(rescue_command(files), "keeps it"),
    }))
}

/// Pages of the state that the log does not hold.
pub(super) fn missing_pages(
    snapshot: &Snapshot,
    page_size: PageSize,
) -> impl Iterator<Item = Pgno> + Clone {
    let size = snapshot.db_size_pages.unwrap_or_default();
    let locked = page_size.lock_byte_page();
    let is_missing = move |page: &Pgno| *page != locked && !snapshot.pages.contains_key(page);
    (1..=size).map(Pgno).filter(is_missing)
}

/// The refusal to write on a base of no page.
pub(super) fn empty_base(files: &Files) -> Failure {
    let why = "the database file is empty or missing beside a log with commits: SQLite would \
               delete the log";
    let hint = format!("the log alone, if it holds every page: {}", replay_of_log(files));
    Failure::refused(database_of(files), why, hint)
}

fn replay_of_log(files: &Files) -> String {
    let output = argument(new_name(database_of(files), "-replayed"));
    format!("{} --base none --output {output}", command("replay", &files.wal))
}
