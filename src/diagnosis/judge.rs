//! What file, log and index tell together, while they are held.

use std::cmp::Reverse;

use anyhow::Result;

use crate::access::Context;
use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::live::Reading;
use crate::history::snapshot::Target;
use crate::history::standing::newer::Age;
use crate::history::standing::{self, Depth, Pairing};
use crate::history::view::View;
use crate::history::wrong_pages::PageChecksumCounts;
use crate::storage::File;

use super::finding::{self, Finding};
use super::page_checksums;
use super::rails::{self, Effect, FalseBackfill, Scene};
use super::rule::Rule;

/// What was found.
pub struct Judged {
    /// Whether log and database belong together; `None` when one of them holds nothing.
    pub pairing: Option<Pairing>,
    /// Whether the database file has what came after the log.
    pub age: Age,
    /// Frames that the wal-index of attached processes counts as copied and that are not.
    pub backfill: Option<FalseBackfill>,
    /// What the pages of the database file show; `None` where they have no checksums of their own.
    pub page_checksums: Option<PageChecksumCounts>,
    /// What must be known, worst first.
    pub findings: Vec<Finding>,
    /// Processes that could not be looked into: only locks tell of them.
    pub unseen_processes: u32,
}

/// Judges the files of `held`.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn judge(files: &Files, held: &Held, context: &Context) -> Result<Judged> {
    let pairing = match &held.log {
        Some(reading) => pairing(reading, held.database.as_deref(), context)?,
        None => None,
    };
    let scene = Scene {
        files,
        database: held.database.as_deref(),
        log: held.log.as_ref(),
        index: held.index.as_ref(),
        target: Target::Last,
        pairing: pairing.as_ref(),
    };
    let found = rails::dangers(&scene, Effect::Looks, context)?;
    let (age, backfill) = (found.age, found.backfill);
    let unseen_processes = found.unseen_processes;
    let mut findings = finding::of_rails(files, found);
    let examination = held.log.as_ref().map(|log| &log.examination);
    findings.extend(examination.and_then(|examination| finding::blank_tail(files, examination)));
    let journal_is_hot = findings.iter().any(|finding| finding.rule == Rule::JournalHot);
    let page_checksums = page_checksums::read(held, journal_is_hot, context)?;
    if let (Some(file), Some(found)) = (held.database.as_deref(), &page_checksums) {
        findings.extend(page_checksums::finding(file, found));
        findings.sort_by_key(|finding| Reverse(finding.severity));
    }
    let pairing = pairing.map(|pairing| pairing.beside(age));
    Ok(Judged { pairing, age, backfill, page_checksums, findings, unseen_processes })
}

fn pairing(
    reading: &Reading,
    base: Option<&dyn File>,
    context: &Context,
) -> Result<Option<Pairing>> {
    let examination = &reading.examination;
    let shape = examination.shape.filter(|_| examination.prefix.mx_frame > 0);
    let Some(shape) = shape else { return Ok(None) };
    let snapshot = reading.snapshot(Target::Last, context.watch)?;
    let view = View::plain(reading.file.as_ref(), &shape, &snapshot, base);
    let view = view.knowing(&examination.known);
    Ok(standing::judge(&view, Depth::States, context.watch)?)
}
