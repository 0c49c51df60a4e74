//! Sizes that contradict each other: which of them is wrong, by the structure of what each would
//! give.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::access::Context;
use crate::database::{self, Pages};
use crate::diagnosis::rails::{Contradiction, contradiction};
use crate::format::FrameNo;
use crate::history::snapshot::resized_snapshot_of;
use crate::log::Verdict;
use crate::repair::plan::{Action, Proof, Restored, Step};

use super::Prepared;

/// A size set right, and the step that does it.
pub(super) struct Corrected {
    pub restored: Restored,
    pub step: Step,
}

/// What does not fit in the state that is given; with the correction, if just one of them gives a
/// sound database. Of a damaged log only the count on page 1 is corrected.
pub(super) fn correct(
    prepared: &Prepared,
    context: &Context,
) -> Result<Option<(Contradiction, Option<Corrected>)>> {
    let no_pages = BTreeSet::new();
    let Some(view) = prepared.view(prepared.restored(), &no_pages) else { return Ok(None) };
    let Some(found) = contradiction(&view)? else { return Ok(None) };
    let (counted, there) = match found {
        Contradiction::PageOneLost { .. } => return Ok(Some((found, None))),
        Contradiction::HeaderCountsMore { counted, there, .. } => (counted, there),
        Contradiction::InUseBeyondHeader { counted, .. } => (counted, view.size_pages()?),
        Contradiction::Growth { committed, .. } => {
            (database::header(&view)?.page_count().unwrap_or(committed), committed)
        }
    };
    let by_count = Corrected {
        restored: Restored { page_count: Some(there), ..prepared.restored().clone() },
        step: step(
            Action::CorrectPageCount,
            format!("page 1 counts {counted} pages, and there are {there}"),
        ),
    };
    let mut sound = Vec::new();
    for one in [resized(prepared, counted, context)?, Some(by_count)].into_iter().flatten() {
        let Some(view) = prepared.view(&one.restored, &no_pages) else { continue };
        if contradiction(&view)?.is_none() && database::check(&view, context.watch)?.is_sound() {
            sound.push(one);
        }
    }
    // With two sound databases nobody knows which one it was.
    let only = if sound.len() == 1 { sound.pop() } else { None };
    Ok(Some((found, only)))
}

fn step(action: Action, what: String) -> Step {
    Step {
        action,
        frame: None,
        pages: Vec::new(),
        lossless: true,
        proof: Some(Proof::Evidence),
        rivals: 0,
        reason: format!("{what}: only with the other number the structure is sound"),
        gains: "SQLite opens the database, and can checkpoint it".to_owned(),
    }
}

/// The last commit of an intact log, of a database of `size_pages`.
fn resized(prepared: &Prepared, size_pages: u32, context: &Context) -> Result<Option<Corrected>> {
    let Some(reading) = &prepared.reading else { return Ok(None) };
    let examination = &reading.examination;
    let (mx_frame, verdict) = (examination.prefix.mx_frame, examination.verdict);
    let is_intact = matches!(verdict, Verdict::Clean | Verdict::UncommittedTail);
    let Some(committed) = examination.prefix.db_size_pages.filter(|_| is_intact) else {
        return Ok(None);
    };
    let frames = FrameNo::FIRST..FrameNo(mx_frame).next();
    let facts = examination.facts(reading.file.as_ref(), frames, context.watch);
    let snapshot = resized_snapshot_of(facts, size_pages)?;
    let what = format!("the last commit says {committed} pages, and page 1 counts {size_pages}");
    Ok(Some(Corrected {
        restored: Restored { snapshot, ..Restored::default() },
        step: Step { frame: Some(FrameNo(mx_frame)), ..step(Action::CorrectCommitSize, what) },
    }))
}
