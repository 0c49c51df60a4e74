//! Logs whose end is damaged, cut or gone.

use crate::access::files::Files;
use crate::access::{Context, holders, live, missing};
use crate::diagnosis::rule::Rule;
use crate::log::{Examination, Verdict};
use crate::output::quantity::counted;
use crate::output::text::command;
use anyhow::Result;

use super::{Consent, Danger, database_of, rescue_command};

/// A process that is attached.
pub(super) fn attached_process(files: &Files, context: &Context) -> Result<Option<i32>> {
    let own = i32::try_from(std::process::id()).ok();
    let rows = holders::find(files, context)?.1;
    Ok(rows.iter().filter_map(|row| row.pid).find(|&pid| Some(pid) != own))
}

pub(super) fn damaged_log(
    files: &Files,
    examination: &Examination,
    attached: Option<i32>,
) -> Option<Danger> {
    let (rule, what) = match examination.verdict {
        Verdict::Damaged => (Rule::LogDamaged, "the log is damaged"),
        Verdict::BadHeader => (Rule::LogHeader, "the header of the log is damaged"),
        Verdict::Unreadable
        | Verdict::Absent
        | Verdict::TornTail
        | Verdict::UncommittedTail
        | Verdict::Empty
        | Verdict::Clean => return None,
    };
    let why = format!("{what}: committed transactions would be dropped for good");
    let danger = Danger::new(rule, &files.wal, why).unless(Consent::Loss);
    Some(match attached {
        // Stopping it alone would destroy the evidence.
        Some(pid) => {
            let then = format!("copies what is there; then stop process {pid}");
            Danger { pid: Some(pid), ..danger.next(rescue_command(files), &then) }
        }
        None => danger.next(command("verify-checksums", &files.wal), "says which"),
    })
}

/// The log ends before what an index of the same salts, which nobody uses, has committed.
pub(super) fn shorter_log(
    files: &Files,
    examination: &Examination,
    context: &Context,
) -> Result<Option<Danger>> {
    let known = live::commit_of_index(files, examination, context)?;
    let given = examination.prefix.mx_frame;
    let known = known.filter(|&known| known > given);
    Ok(known.map(|known| cut_log(files, known, given).unless(Consent::Loss)))
}

/// The wal-index has committed `known` frames, and the log gives fewer.
#[must_use]
pub fn cut_log(files: &Files, known: u32, given: u32) -> Danger {
    let why = format!(
        "the wal-index knows {}, the log gives {given}: it was cut or damaged, or copied before \
         the index",
        counted(known.into(), "committed frame")
    );
    let danger = Danger::new(Rule::LogCut, &files.wal, why);
    danger.next(command("repair", database_of(files)), "shows what can be recovered")
}

/// A log that a valid index knows to have had commits that were not copied, and that is gone.
///
/// # Errors
/// When a file cannot be read or asked.
pub fn missing_log(files: &Files, context: &Context) -> Result<Option<Danger>> {
    let Some(missing) = missing::find(files, context)? else { return Ok(None) };
    let danger = Danger::new(Rule::LogMissing, &files.wal, missing.to_string());
    let danger = if missing.is_attached { danger } else { danger.warning() };
    let next = command("info", database_of(files));
    Ok(Some(danger.next(next, "shows what is known of it").unless(Consent::Loss)))
}
