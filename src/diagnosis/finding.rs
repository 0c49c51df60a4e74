//! A fact about a set of files that its user must know.

use std::path::PathBuf;

use serde::Serialize;

use crate::access::files::Files;
use crate::format::FrameNo;
use crate::log::link::Link;
use crate::log::{Examination, Verdict};
use crate::output::file_name;

use super::rails::{self, Danger, Judgement};
use super::rule::Rule;
pub use super::rule::Severity;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule that says so.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// The file that it is about.
    #[serde(serialize_with = "file_name::serialize")]
    pub file: PathBuf,
    /// Where in the file.
    pub offset_bytes: Option<u64>,
    /// In which frame.
    pub frame: Option<u32>,
    /// On which page.
    pub page: Option<u32>,
    /// The process that it is about.
    pub pid: Option<i32>,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What proves it, beyond the message.
    pub evidence: Vec<String>,
    /// The command to type, complete; `None` without one.
    pub next: Option<String>,
}

impl Finding {
    /// A finding of `rule`.
    #[must_use]
    pub fn new(rule: Rule, file: PathBuf, message: String) -> Self {
        Self {
            rule,
            severity: rule.facts().severity,
            file,
            offset_bytes: None,
            frame: None,
            page: None,
            pid: None,
            message,
            evidence: Vec::new(),
            next: None,
        }
    }

    /// Whether it is more than a note.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.severity > Severity::Note
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl From<Danger> for Finding {
    fn from(danger: Danger) -> Self {
        let Danger { severity, next, pid, .. } = danger;
        Self { severity, next, pid, ..Self::new(danger.rule, danger.file, danger.why) }
    }
}

/// Zeros where the next frame would be: SQLite never extends a log with zeros.
#[must_use]
pub fn blank_tail(files: &Files, examination: &Examination) -> Option<Finding> {
    let tail = &examination.tail;
    let is_blank = tail.stop_link == Some(Link::Blank);
    let is_whole = examination.verdict == Verdict::Clean && examination.prefix.mx_frame > 0;
    let after_lost = tail.last_lost_commit.filter(|_| tail.is_blank_after).map(FrameNo::next);
    let frame = after_lost.or((is_blank && is_whole).then_some(tail.stop))?;
    let page_size = examination.page_size()?;
    let message = "zeros come directly after the last commit: a file system or a VFS has made room \
                   there, or what was written never reached the disk";
    let found = Finding::new(Rule::BlankTail, files.wal.clone(), message.to_owned());
    let offset_bytes = Some(frame.offset_bytes(page_size));
    Some(Finding { offset_bytes, frame: Some(frame.0), ..found })
}

/// A transaction after the last commit of a damaged log. A crash leaves such a one; but its commit
/// frame may also have been lost with what is damaged before it.
#[must_use]
pub fn open_tail(files: &Files, examination: &Examination) -> Option<Finding> {
    let frame = examination.tail.last_lost_commit?.next();
    if !examination.tail.is_open_after() {
        return None;
    }
    let message = "the damaged log ends in a transaction without a commit frame, as a crash leaves \
                   it: SQLite drops it, and whether it had been committed is not known";
    let found = Finding::new(Rule::LogTorn, files.wal.clone(), message.to_owned());
    let offset_bytes = Some(frame.offset_bytes(examination.page_size()?));
    Some(Finding { offset_bytes, frame: Some(frame.0), ..found })
}

/// Every finding that the rails know, worst first.
#[must_use]
pub fn of_rails(files: &Files, found: Judgement) -> Vec<Finding> {
    let backfill = found.backfill.map(|found| rails::unmended_backfill(files, &found));
    let mut findings: Vec<Finding> =
        found.dangers.into_iter().chain(backfill).map(Finding::from).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
