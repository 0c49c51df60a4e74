//! Errors of commands, and the one place that maps every error to its kind and exit code.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::page_checksum::Doubt;
use crate::history::snapshot;
use crate::output::text::command;
use crate::output::{self, ErrorReport, FileName};
use crate::repair::offline::Attached;
use crate::repair::{replay, undo};
use crate::storage::{self, LockHolder};
use crate::{engine, log, scan};

pub use super::error_kind::ErrorKind;
pub use super::exit::Exit;

/// An error that a command itself finds.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing is there, under that name or beside it.
    #[error("{}: no such file", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// It is none of SQLite's files.
    #[error("{}: not a SQLite file, but {looks_like}", path.display())]
    NotSqlite {
        /// The path.
        path: PathBuf,
        /// What it is instead, with its article.
        looks_like: String,
    },
    /// The path names neither a log nor a database.
    #[error("{}: {found}", path.display())]
    NotALog {
        /// The path.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// No database is there.
    #[error("{}: no database is there", path.display())]
    NoDatabase {
        /// Where it would be.
        path: PathBuf,
    },
    /// There is no log.
    #[error("{}: {found}", path.display())]
    NoLog {
        /// Where it would be.
        path: PathBuf,
        /// What is missing.
        found: String,
    },
    /// There is no wal-index, or none with a header.
    #[error("{}: {found}", path.display())]
    NoIndex {
        /// Where it would be.
        path: PathBuf,
        /// What is missing.
        found: String,
    },
    /// There is no undo set.
    #[error("{}: there is no undo set beside it", path.display())]
    NoUndo {
        /// The database.
        path: PathBuf,
    },
    /// The log has no such frame, or the database no such page.
    #[error("{}: {why}", path.display())]
    NoPage {
        /// The file.
        path: PathBuf,
        /// What it has.
        why: String,
        /// The next command to type.
        hint: Option<String>,
    },
    /// The path names a directory.
    #[error("{}: is a directory", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The next command to type.
        hint: Option<String>,
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
    /// Nothing is at `path`.
    pub fn not_found(path: &Path) -> Self {
        Self::NotFound { path: path.to_owned() }
    }

    /// A refusal by a safety rail.
    pub fn refused(path: &Path, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { path: path.to_owned(), why: why.into(), hint: Some(hint.into()) }
    }

    /// A lock that `holder` did not give up in time.
    pub fn busy(path: &Path, why: impl Into<String>, holder: Option<LockHolder>) -> Self {
        let pid = holder.and_then(|holder| holder.pid);
        Self::Busy { path: path.to_owned(), why: why.into(), pid }
    }

    /// A file that is none of SQLite's.
    pub fn not_sqlite(path: &Path, looks_like: impl Into<String>) -> Self {
        Self::NotSqlite { path: path.to_owned(), looks_like: looks_like.into() }
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

/// The file that an error is about, as context of an error that does not name it.
#[derive(Clone, Debug)]
pub struct About(pub PathBuf);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

/// The exit code and the report of an error.
#[must_use]
pub fn describe(error: &anyhow::Error) -> (Exit, ErrorReport) {
    let about = error.downcast_ref::<About>();
    let mut report = ErrorReport {
        kind: "",
        file: about.map(|About(path)| FileName::from(path)),
        offset_bytes: None,
        frame: None,
        message: format!("{error:#}"),
        hint: None,
    };
    let kind = error.chain().find_map(|cause| classify(cause, &mut report));
    let kind = kind.unwrap_or(ErrorKind::Other);
    report.kind = kind.word();
    (kind.exit(), report)
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

fn classify(
    cause: &(dyn std::error::Error + 'static),
    report: &mut ErrorReport,
) -> Option<ErrorKind> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(classify_failure(failure, report));
    }
    if let Some(error) = cause.downcast_ref::<storage::Error>() {
        return Some(classify_storage(error, report));
    }
    if let Some(error) = cause.downcast_ref::<scan::Error>() {
        return Some(classify_scan(error, report));
    }
    if let Some(error) = cause.downcast_ref::<log::Error>() {
        return Some(classify_log(error, report));
    }
    if let Some(error) = cause.downcast_ref::<engine::Error>() {
        return Some(classify_engine(error, report));
    }
    if let Some(error) = cause.downcast_ref::<replay::Error>() {
        return Some(classify_replay(error, report));
    }
    if let Some(error) = cause.downcast_ref::<undo::Error>() {
        return Some(classify_undo(error, report));
    }
    if let Some(error) = cause.downcast_ref::<Attached>() {
        return Some(classify_attached(error, report));
    }
    if let Some(error) = cause.downcast_ref::<snapshot::Error>() {
        return Some(classify_snapshot(error, report));
    }
    None
}

fn classify_failure(failure: &Failure, report: &mut ErrorReport) -> ErrorKind {
    let (kind, path, hint) = match failure {
        Failure::NotFound { path } => (ErrorKind::NotFound, Some(path), None),
        Failure::NotSqlite { path, .. } | Failure::NotALog { path, .. } => {
            (ErrorKind::NotSqlite, Some(path), None)
        }
        Failure::NoDatabase { path } => (ErrorKind::NoDatabase, Some(path), None),
        Failure::NoLog { path, .. } => (ErrorKind::NoLog, Some(path), None),
        Failure::NoIndex { path, .. } => (ErrorKind::NoIndex, Some(path), None),
        Failure::NoUndo { path } => (ErrorKind::NoUndo, Some(path), None),
        Failure::NoPage { path, hint, .. } => (ErrorKind::NoPage, Some(path), hint.clone()),
        Failure::Directory { path, hint } => (ErrorKind::Directory, Some(path), hint.clone()),
        Failure::KeepsChanging { path, .. } => (ErrorKind::Changed, Some(path), None),
        Failure::Busy { path, .. } => {
            let who = command("blockers", path);
            let hint = format!("--timeout waits longer; who holds what: {who}");
            (ErrorKind::Busy, Some(path), Some(hint))
        }
        Failure::Refused { path, hint, .. } => (ErrorKind::Refused, Some(path), hint.clone()),
        Failure::Unsupported { path, hint, .. } => {
            (ErrorKind::Unsupported, Some(path), hint.clone())
        }
        Failure::Usage(_) => (ErrorKind::Usage, None, None),
    };
    report.file = path.map(FileName::from);
    report.hint = hint;
    kind
}

fn classify_storage(error: &storage::Error, report: &mut ErrorReport) -> ErrorKind {
    report.file = Some(FileName::from(&error.path));
    report.offset_bytes = error.offset_bytes;
    if error.is_read_only() { ErrorKind::Permission } else { ErrorKind::Io }
}

fn classify_scan(error: &scan::Error, report: &mut ErrorReport) -> ErrorKind {
    match error {
        scan::Error::Storage(error) => classify_storage(error, report),
        scan::Error::Shrunk { path, frame, offset_bytes } => {
            report.file = Some(FileName::from(path));
            report.frame = Some(frame.0);
            report.offset_bytes = Some(*offset_bytes);
            ErrorKind::Changed
        }
        scan::Error::OutOfMemory => ErrorKind::Memory,
        scan::Error::Interrupted => ErrorKind::Interrupted,
    }
}

fn classify_log(error: &log::Error, report: &mut ErrorReport) -> ErrorKind {
    match error {
        log::Error::Scan(error) => classify_scan(error, report),
        log::Error::TooLong { path, .. } => {
            report.file = Some(FileName::from(path));
            ErrorKind::Unsupported
        }
    }
}

fn classify_engine(error: &engine::Error, report: &mut ErrorReport) -> ErrorKind {
    match error {
        engine::Error::Storage(error) => classify_storage(error, report),
        engine::Error::Busy
        | engine::Error::BusyRecovery
        | engine::Error::BusySnapshot
        | engine::Error::Protocol => ErrorKind::Busy,
        engine::Error::Interrupted => ErrorKind::Interrupted,
        engine::Error::ShortRead { frame, offset_bytes } => {
            report.frame = Some(frame.0).filter(|&frame| frame > 0);
            report.offset_bytes = Some(*offset_bytes);
            ErrorKind::ShortRead
        }
        engine::Error::Corrupt(_) => ErrorKind::Corrupt,
        engine::Error::Version { .. } => ErrorKind::Version,
        engine::Error::HotJournal => ErrorKind::HotJournal,
        engine::Error::PageChecksums(_) => {
            report.hint = Some(Doubt::HINT.to_owned());
            ErrorKind::Refused
        }
        engine::Error::OutOfMemory => ErrorKind::Memory,
        engine::Error::ReadOnly
        | engine::Error::ReadOnlyRecovery
        | engine::Error::ReadOnlyCannotInitialize => ErrorKind::Permission,
        engine::Error::NoSnapshot | engine::Error::SnapshotGone | engine::Error::NotAttached => {
            ErrorKind::Other
        }
    }
}

fn classify_replay(error: &replay::Error, report: &mut ErrorReport) -> ErrorKind {
    match error {
        replay::Error::Storage(error) => classify_storage(error, report),
        replay::Error::Undo(error) => classify_undo(error, report),
        replay::Error::Interrupted => ErrorKind::Interrupted,
        replay::Error::PageChecksums(_) => {
            report.hint = Some(Doubt::HINT.to_owned());
            ErrorKind::Refused
        }
        replay::Error::Scan(error) => classify_scan(error, report),
        replay::Error::Check { path, .. } => {
            report.file = Some(FileName::from(path));
            ErrorKind::Check
        }
    }
}

fn classify_undo(error: &undo::Error, report: &mut ErrorReport) -> ErrorKind {
    match error {
        undo::Error::Storage(error) => classify_storage(error, report),
        undo::Error::Exists(path) => {
            report.file = Some(FileName::from(path));
            let database = undo::database_of(path);
            let put_back = command("undo", &database);
            report.hint =
                Some(format!("undo --discard forgets the old state; to put it back: {put_back}"));
            ErrorKind::Refused
        }
        undo::Error::Damaged { path, offset_bytes, .. } => {
            report.file = Some(FileName::from(path));
            report.offset_bytes = Some(*offset_bytes);
            ErrorKind::DamagedUndo
        }
        undo::Error::Changed { path, offset_bytes, .. } => {
            report.file = Some(FileName::from(path));
            report.offset_bytes = Some(*offset_bytes);
            let force = command("undo --force", path);
            report.hint = Some(format!("to put the old bytes back all the same: {force}"));
            ErrorKind::Refused
        }
    }
}

fn classify_attached(error: &Attached, report: &mut ErrorReport) -> ErrorKind {
    match error {
        Attached::ReadOnly(error) => {
            report.file = Some(FileName::from(&error.path));
            report.hint = Some("run it as somebody who may write the database".to_owned());
            ErrorKind::Refused
        }
        Attached::Open { file, pid, .. } => {
            report.file = Some(FileName::from(file));
            report.hint =
                Some(format!("copy the files first, then stop process {pid} and try again"));
            ErrorKind::Attached
        }
        Attached::Held { pid, .. } => {
            report.hint = Some(match pid {
                Some(pid) => {
                    format!("copy the files first, then stop process {pid} and try again")
                }
                None => "copy the files first, then stop every process that has the database open \
                         and try again"
                    .to_owned(),
            });
            ErrorKind::Attached
        }
        Attached::Storage(error) => classify_storage(error, report),
    }
}

fn classify_snapshot(error: &snapshot::Error, report: &mut ErrorReport) -> ErrorKind {
    if let snapshot::Error::Scan(error) = error {
        return classify_scan(error, report);
    }
    report.hint =
        report.file.as_ref().map(|wal| format!("every commit: {}", command("txn-list", wal)));
    ErrorKind::NoCommit
}
