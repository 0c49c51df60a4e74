//! Readers that keep frames in the log.

use crate::access::files::Files;
use crate::access::holders::Blocker;
use crate::diagnosis::finding::{Finding, Severity};
use crate::diagnosis::rule::Rule;
use crate::output::quantity::{bytes, counted};
use crate::output::text::command;
use crate::storage::process::brief;

/// What SQLite copies by itself (`SQLITE_DEFAULT_WAL_AUTOCHECKPOINT`): a reader of a moment pins
/// less.
const MANY_FRAMES: u32 = 1_000;

/// One finding for each reader that pins frames; a note where they are few.
#[must_use]
pub fn findings(files: &Files, rows: &[Blocker]) -> Vec<Finding> {
    let own = i32::try_from(std::process::id()).ok();
    let pins = rows.iter().filter(|row| row.pinned_frames > Some(0) && row.pid != own);
    pins.map(|row| finding(files, row)).collect()
}

fn finding(files: &Files, row: &Blocker) -> Finding {
    let frames = row.pinned_frames.unwrap_or_default();
    let who = match (&row.pid, &row.command) {
        (Some(pid), Some(command)) => format!("process {pid} ({})", brief(command.raw())),
        (Some(pid), None) => format!("process {pid}"),
        (None, _) => "a process that is not known".to_owned(),
    };
    let message = format!(
        "{who} reads an older state: {} ({}) cannot be copied until it ends that",
        counted(frames.into(), "frame"),
        bytes(row.pinned_bytes.unwrap_or_default())
    );
    let path = files.database.clone().unwrap_or_else(|| files.wal.clone());
    let next = Some(command("blockers", &path));
    let mut evidence = vec![format!("its lock on {}", row.lock)];
    evidence.extend(row.since.as_ref().map(|since| format!("running since {since}")));
    let found = Finding::new(Rule::ReaderPins, path, message);
    let severity = if frames >= MANY_FRAMES { found.severity } else { Severity::Note };
    Finding { severity, pid: row.pid, evidence, next, ..found }
}
