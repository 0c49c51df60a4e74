//! Exit codes, and the one place that maps errors to them.

use std::io;
use std::path::{Path, PathBuf};

use crate::analysis::{self, Verdict, snapshot};
use crate::engine::page_checksum::Doubt;
use crate::output::text::command;
use crate::output::{self, ErrorReport};
use crate::repair::offline::Attached;
use crate::repair::{replay, undo};
use crate::storage::LockHolder;
use crate::{engine, scan, storage};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, nothing wrong.
    Done,
    /// Done, and damage, loss or differences were found.
    Found,
    /// The command line was wrong.
    Usage,
    /// Could not: I/O error, not a WAL, unsupported.
    CouldNot,
    /// A lock was not granted in time, or the log kept changing.
    Busy,
    /// The promise of the asked mode was not kept, though something was done.
    Incomplete,
    /// Refused by a safety rail.
    Refused,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// Every way to end, with its code and meaning: the source of README, man pages and tests.
    pub const TABLE: [(Self, u8, &'static str); 8] = [
        (Self::Done, 0, "done, nothing wrong"),
        (Self::Found, 1, "done, and damage, loss or differences were found"),
        (Self::Usage, 2, "usage: the command line was wrong"),
        (Self::CouldNot, 3, "could not: I/O error, not a WAL, unsupported"),
        (
            Self::Busy,
            4,
            "busy: a lock was not granted in time, nothing was changed; or the log kept changing under a scan",
        ),
        (
            Self::Incomplete,
            5,
            "incomplete: the asked mode's promise was not kept, though something was done",
        ),
        (
            Self::Refused,
            6,
            "refused by a safety rail; the message names the flag that overrides it, where there is one",
        ),
        (Self::Interrupted, 130, "interrupted"),
    ];

    /// How a command that inspects a log of `verdict` ends: as `verify-checksums`.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::BadHeader | Verdict::Damaged => Self::Found,
            Verdict::Unreadable
            | Verdict::Absent
            | Verdict::TornTail
            | Verdict::UncommittedTail
            | Verdict::Empty
            | Verdict::Clean => Self::Done,
        }
    }

    /// The process exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        let row = Self::TABLE.iter().find(|(exit, _, _)| *exit == self);
        row.map_or(3, |&(_, code, _)| code)
    }
}

/// An error that a command itself finds.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The path names neither a log nor a database.
    #[error("{}: {found}", path.display())]
    NotALog {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// The log kept changing.
    #[error("{}: the log keeps changing: {restarts} readings did not agree", path.display())]
    KeepsChanging {
        /// The log.
        path: PathBuf,
        /// How often it was read.
        restarts: u32,
    },
    /// A lock was not granted in time.
    #[error("{}: {why}{}", path.display(), by(*.pid))]
    Busy {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        why: String,
        /// Who, where the system tells it.
        pid: Option<i32>,
    },
    /// A safety rail.
    #[error("{}: refused: {why}", path.display())]
    Refused {
        /// The file it protects.
        path: PathBuf,
        /// What would be lost or broken.
        why: String,
        /// The flag that overrides it, or the command to use instead.
        hint: Option<String>,
    },
    /// The files do not allow what was asked.
    #[error("{}: {why}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
        /// The next command to type.
        hint: Option<String>,
    },
    /// Arguments that do not fit each other.
    #[error("{0}")]
    Usage(String),
}

fn by(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl Failure {
    /// A refusal by a safety rail.
    pub fn refused(path: &Path, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), why: why.into(), hint: Some(hint.into()) }
    }

    /// A lock that `holder` did not give up in time.
    pub fn busy(path: &Path, why: impl Into<String>, holder: Option<LockHolder>) -> Self {
        let pid = holder.and_then(|holder| holder.pid);
        Self::Busy { path: path.to_owned(), why: why.into(), pid }
    }

    /// Something that cannot be done with these files.
    pub fn unsupported(path: &Path, why: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), why: why.into(), hint: None }
    }
}

/// Whether the files could not be held: somebody was in the way, or they kept changing.
#[must_use]
pub fn is_busy(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Busy { .. } | Failure::KeepsChanging { .. }))
}

/// The exit code and the report of an error.
#[must_use]
pub fn describe(error: &anyhow::Error) -> (Exit, ErrorReport) {
    let mut report = ErrorReport {
        kind: "error",
        file: None,
        offset_bytes: None,
        frame: None,
        message: format!("{error:#}"),
        hint: None,
    };
    let mut exit = Exit::CouldNot;
    for cause in error.chain() {
        if let Some(found) = classify(cause, &mut report) {
            exit = found;
            break;
        }
    }
    (exit, report)
}

/// Whether the reader of the report has gone: `walsmith ... | head`.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = match cause.downcast_ref::<output::Error>() {
            Some(output::Error::Io(io)) => Some(io),
            Some(output::Error::Json(json)) => {
                return json.io_error_kind() == Some(io::ErrorKind::BrokenPipe);
            }
            None => cause.downcast_ref::<io::Error>(),
        };
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn classify(cause: &(dyn std::error::Error + 'static), report: &mut ErrorReport) -> Option<Exit> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(classify_failure(failure, report));
    }
    if let Some(error) = cause.downcast_ref::<storage::Error>() {
        report.kind = "io";
        report.file = Some(error.path.display().to_string());
        report.offset_bytes = error.offset_bytes;
        return Some(Exit::CouldNot);
    }
    if let Some(error) = cause.downcast_ref::<scan::Error>() {
        return Some(classify_scan(error, report));
    }
    if let Some(analysis::Error::Scan(error)) = cause.downcast_ref::<analysis::Error>() {
        return Some(classify_scan(error, report));
    }
    if let Some(error) = cause.downcast_ref::<engine::Error>() {
        return classify_engine(error, report);
    }
    if let Some(error) = cause.downcast_ref::<replay::Error>() {
        return classify_replay(error, report);
    }
    if let Some(error) = cause.downcast_ref::<undo::Error>() {
        return classify_undo(error, report);
    }
    if let Some(Attached::ReadOnly(error)) = cause.downcast_ref::<Attached>() {
        report.kind = "refused";
        report.file = Some(error.path.display().to_string());
        report.hint = Some("run it as somebody who may write the database".to_owned());
        return Some(Exit::Refused);
    }
    if let Some(Attached::Open { file, pid, .. }) = cause.downcast_ref::<Attached>() {
        report.kind = "attached";
        report.file = Some(file.display().to_string());
        report.hint = Some(format!("copy the files first, then stop process {pid} and try again"));
        return Some(Exit::Refused);
    }
    if let Some(Attached::Held { pid, .. }) = cause.downcast_ref::<Attached>() {
        report.kind = "attached";
        report.hint = Some(match pid {
            Some(pid) => format!("stop process {pid} and try again"),
            None => "stop every process that has the database open and try again".to_owned(),
        });
        return Some(Exit::Refused);
    }
    if let Some(error) = cause.downcast_ref::<snapshot::Error>() {
        if let snapshot::Error::Scan(error) = error {
            return Some(classify_scan(error, report));
        }
        report.kind = "no-such-commit";
        report.hint = Some("walsmith txn-list PATH shows every commit".to_owned());
        return Some(Exit::CouldNot);
    }
    None
}

fn classify_failure(failure: &Failure, report: &mut ErrorReport) -> Exit {
    let (kind, path, hint, exit) = match failure {
        Failure::NotALog { path, .. } => ("not-a-log", Some(path), None, Exit::CouldNot),
        Failure::KeepsChanging { path, .. } => ("busy", Some(path), None, Exit::Busy),
        Failure::Busy { path, .. } => {
            let hint = command("blockers", path) + " shows who holds what; --timeout waits longer";
            ("busy", Some(path), Some(hint), Exit::Busy)
        }
        Failure::Refused { path, hint, .. } => ("refused", Some(path), hint.clone(), Exit::Refused),
        Failure::Unsupported { path, hint, .. } => {
            ("unsupported", Some(path), hint.clone(), Exit::CouldNot)
        }
        Failure::Usage(_) => ("usage", None, None, Exit::Usage),
    };
    report.kind = kind;
    report.file = path.map(|path| path.display().to_string());
    report.hint = hint;
    exit
}

fn classify_scan(error: &scan::Error, report: &mut ErrorReport) -> Exit {
    match error {
        scan::Error::Storage(error) => {
            report.kind = "io";
            report.file = Some(error.path.display().to_string());
            report.offset_bytes = error.offset_bytes;
            Exit::CouldNot
        }
        scan::Error::Shrunk { path, frame, offset_bytes } => {
            report.kind = "changed";
            report.file = Some(path.clone());
            report.frame = Some(frame.0);
            report.offset_bytes = Some(*offset_bytes);
            Exit::Busy
        }
        scan::Error::OutOfMemory => {
            report.kind = "memory";
            Exit::CouldNot
        }
        scan::Error::Interrupted => {
            report.kind = "interrupted";
            Exit::Interrupted
        }
    }
}

/// `None` where the cause behind it says more.
fn classify_engine(error: &engine::Error, report: &mut ErrorReport) -> Option<Exit> {
    let (kind, exit) = match error {
        engine::Error::Storage(error) => return classify(error, report),
        engine::Error::Busy
        | engine::Error::BusyRecovery
        | engine::Error::BusySnapshot
        | engine::Error::Protocol => ("busy", Exit::Busy),
        engine::Error::Interrupted => ("interrupted", Exit::Interrupted),
        engine::Error::ShortRead { frame, offset_bytes } => {
            report.frame = Some(frame.0).filter(|&frame| frame > 0);
            report.offset_bytes = Some(*offset_bytes);
            ("short-read", Exit::CouldNot)
        }
        engine::Error::Corrupt(_) => ("corrupt", Exit::CouldNot),
        engine::Error::Version { .. } => ("version", Exit::CouldNot),
        engine::Error::HotJournal => ("hot-journal", Exit::Refused),
        engine::Error::PageChecksums(_) => {
            report.hint = Some(Doubt::HINT.to_owned());
            ("refused", Exit::Refused)
        }
        engine::Error::OutOfMemory => ("memory", Exit::CouldNot),
        engine::Error::ReadOnly
        | engine::Error::ReadOnlyRecovery
        | engine::Error::ReadOnlyCannotInitialize => ("read-only", Exit::CouldNot),
        engine::Error::NoSnapshot | engine::Error::SnapshotGone | engine::Error::NotAttached => {
            ("engine", Exit::CouldNot)
        }
    };
    report.kind = kind;
    Some(exit)
}

/// `None` where the cause behind it says more.
fn classify_replay(error: &replay::Error, report: &mut ErrorReport) -> Option<Exit> {
    match error {
        replay::Error::Storage(error) => classify(error, report),
        replay::Error::Undo(error) => classify_undo(error, report),
        replay::Error::Interrupted => {
            report.kind = "interrupted";
            Some(Exit::Interrupted)
        }
        replay::Error::PageChecksums(_) => {
            report.kind = "refused";
            report.hint = Some(Doubt::HINT.to_owned());
            Some(Exit::Refused)
        }
        replay::Error::Scan(error) => Some(classify_scan(error, report)),
        replay::Error::Check { path, .. } => {
            report.kind = "check";
            report.file = Some(path.clone());
            Some(Exit::CouldNot)
        }
    }
}

fn classify_undo(error: &undo::Error, report: &mut ErrorReport) -> Option<Exit> {
    match error {
        undo::Error::Storage(error) => classify(error, report),
        undo::Error::Exists(path) => {
            report.kind = "refused";
            report.file = Some(path.display().to_string());
            report.hint = Some(
                "walsmith undo DATABASE puts the old state back, --discard forgets it".to_owned(),
            );
            Some(Exit::Refused)
        }
        undo::Error::Damaged { path, offset_bytes, .. } => {
            report.kind = "damaged-undo-set";
            report.file = Some(path.display().to_string());
            report.offset_bytes = Some(*offset_bytes);
            Some(Exit::CouldNot)
        }
        undo::Error::Changed { path, offset_bytes, .. } => {
            report.kind = "refused";
            report.file = Some(path.display().to_string());
            report.offset_bytes = Some(*offset_bytes);
            report.hint = Some("undo --force puts the old bytes back all the same".to_owned());
            Some(Exit::Refused)
        }
    }
}
