//! Whether rows of earlier states can be believed: pages that the log does not have come from the
//! file, which must be what the log was written on.

use anyhow::Result;

use crate::access::files::Files;
use crate::access::held::Held;
use crate::access::{Context, Failure};
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
    let judged = judge(files, held, context)?;
    let tells = |finding: &&Finding| {
        TELL.contains(&finding.rule) && (finding.is_error() || finding.rule == Rule::JournalHot)
    };
    let found = judged.findings.iter().find(tells);
    // Attached processes have written the log on this file.
    let is_open = held.index.is_none()
        && (judged.file_age == FileAge::MayBeNewer
            || judged.pairing.as_ref().is_some_and(Pairing::is_open_in_time));
    match found {
        Some(finding) if accept => context.warn(finding.message.clone()),
        Some(finding) => {
            let path = files.database.as_deref().unwrap_or(&files.wal);
            let why = format!("{}: states of it would be none that ever was", finding.message);
            let hint = format!("{}; --accept-foreign shows them anyway", command("doctor", path));
            return Err(Failure::refused(path, why, hint).into());
        }
        None if is_open => context.note(
            "whether the file has later pages than the log is not known; if it has, what was \
             before a transaction is wrong",
        ),
        None => {}
    }
    Ok(())
}
