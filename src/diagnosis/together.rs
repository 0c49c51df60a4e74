//! Whether rows of earlier states can be believed: pages that the log does not have come from the
//! file, which must be what the log was written on.

use anyhow::Result;

use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::holders;
use crate::access::{Context, Failure};
use crate::history::lost_commits;
use crate::history::standing::Pairing;
use crate::history::standing::newer::FileAge;
use crate::output::text::command;

use super::finding::Finding;
use super::judge::judge;
use super::rule::Rule;

/// What makes the file another one than the log was written on, or only a part of it.
const TELL: [Rule; 10] = [
    Rule::PairForeign,
    Rule::PairUnclear,
    Rule::PairFork,
    Rule::FileNewer,
    Rule::FileOlder,
    Rule::SizesContradict,
    Rule::FalseBackfill,
    Rule::LostCheckpoint,
    Rule::PageOneLost,
    Rule::JournalHot,
];

/// Refuses where a state that takes pages from the file would be one that never was; with `accept`,
/// says so on stderr.
///
/// # Errors
/// [`Failure::Refused`], and when a file cannot be read.
pub fn states_can_be_told(
    files: &Files,
    held: &Held,
    accept: bool,
    context: &Context,
) -> Result<()> {
    match doubt_about_states(files, held, context)? {
        Some(StateDoubt::Proven(why)) if accept => context.warn(why),
        Some(StateDoubt::Proven(why)) => {
            let path = files.database.as_deref().unwrap_or(&files.wal);
            let why = format!("{why}: states of it would be none that ever was");
            let hint = format!("{}; --accept-foreign shows them anyway", command("doctor", path));
            return Err(Failure::refused(path, why, hint).into());
        }
        Some(StateDoubt::Open) => context.note(
            "whether the file has later pages than the log is not known; if it has, rows and \
             tables shown for earlier states are wrong",
        ),
        None => {}
    }
    Ok(())
}

/// Why states that take pages from the file may be none that ever was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateDoubt {
    /// They are not, for this reason.
    Proven(String),
    /// Nothing tells whether the file has later pages than the log.
    Open,
}

/// What is to be doubted about the states of `held`, if anything is.
///
/// # Errors
/// When a file cannot be read.
pub fn doubt_about_states(
    files: &Files,
    held: &Held,
    context: &Context,
) -> Result<Option<StateDoubt>> {
    let judged = judge(files, held, context)?;
    let tells = |finding: &&Finding| {
        TELL.contains(&finding.rule) && (finding.is_error() || finding.rule == Rule::JournalHot)
    };
    let found = judged.findings.iter().find(tells);
    // Attached processes have written the log on this file.
    let is_open = held.index.is_none()
        && (judged.file_age == FileAge::MayBeNewer
            || judged.pairing.as_ref().is_some_and(Pairing::is_open_in_time));
    let found = match found {
        Some(finding) => Some(finding.message.clone()),
        None => lost_commits_in_file(files, held, context)?,
    };
    Ok(found.map(StateDoubt::Proven).or(is_open.then_some(StateDoubt::Open)))
}

/// What shows that the file has pages of commits that a damaged log has lost, or may have some.
fn lost_commits_in_file(files: &Files, held: &Held, context: &Context) -> Result<Option<String>> {
    let (Some(log), Some(database)) = (&held.log, &held.database) else { return Ok(None) };
    let examination = &log.examination;
    let mx_frame = examination.prefix.mx_frame;
    let file = database.as_ref();
    let copied = lost_commits::copied_into(log.file.as_ref(), file, examination, context.watch)?;
    if let Some((page, frame)) = copied {
        return Ok(Some(format!(
            "page {page} of the database is there as of frame {frame}, and SQLite sees the log up \
             to frame {mx_frame}"
        )));
    }
    let index = match held.index {
        Some(_) => None,
        None => holders::read_index(files, context)?,
    };
    let own = index.filter(|it| examination.shape.is_some_and(|shape| shape.salts == it.salts));
    let attempted = own.map_or(0, |index| index.backfill_attempted);
    Ok((attempted > mx_frame).then(|| {
        format!(
            "the wal-index says that frames up to {attempted} may have been copied, and SQLite \
             sees the log up to frame {mx_frame}"
        )
    }))
}
