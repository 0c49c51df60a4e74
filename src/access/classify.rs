//! The one place that maps every error to its kind, its exit code and what is reported of it.

use std::io;

use crate::engine::page_checksum::Doubt;
use crate::history::{rows, snapshot};
use crate::output::text::command;
use crate::output::{self, ErrorReport, FileName};
use crate::repair::offline::Attached;
use crate::repair::{replay, rewind, undo};
#[cfg(feature = "sql")]
use crate::sql;
use crate::storage;
use crate::{engine, log, scan};

use super::error_kind::ErrorKind;
use super::exit::Exit;
use super::failure::{About, Failure};

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
    if let Some(error) = cause.downcast_ref::<rewind::Error>() {
        return Some(match error {
            rewind::Error::Pages(error) => classify_scan(error, report),
            rewind::Error::Engine(error) => classify_engine(error, report),
            rewind::Error::NoHeader { .. } => ErrorKind::Corrupt,
            rewind::Error::Layout { .. } => ErrorKind::Refused,
        });
    }
    if let Some(error) = cause.downcast_ref::<undo::Error>() {
        return Some(classify_undo(error, report));
    }
    if let Some(error) = cause.downcast_ref::<Attached>() {
        return Some(classify_attached(error, report));
    }
    if let Some(error) = cause.downcast_ref::<rows::Error>() {
        return Some(match error {
            rows::Error::Pages(error) => classify_scan(error, report),
            rows::Error::Schema { .. } | rows::Error::Unreadable { .. } => {
                let check = report.file.as_ref().map(|path| command("check", path));
                report.hint = check.map(|check| format!("what is wrong with it: {check}"));
                ErrorKind::Corrupt
            }
            rows::Error::Shared { .. } => {
                let diff = report.file.as_ref().map(|path| command("diff", path));
                report.hint = diff.map(|diff| format!("both tables, read as wholes: {diff}"));
                ErrorKind::Corrupt
            }
            rows::Error::UnknownDefault { .. } => ErrorKind::Unsupported,
            rows::Error::WrittenAnew { .. } => {
                report.hint = Some("--where key writes it; --table chooses others".to_owned());
                ErrorKind::Refused
            }
        });
    }
    if let Some(error) = cause.downcast_ref::<snapshot::Error>() {
        return Some(classify_snapshot(error, report));
    }
    #[cfg(feature = "sql")]
    if let Some(error) = cause.downcast_ref::<sql::Error>() {
        return Some(classify_sql(error, report));
    }
    None
}

#[cfg(feature = "sql")]
fn classify_sql(error: &sql::Error, report: &mut ErrorReport) -> ErrorKind {
    match error {
        sql::Error::Pages(error) => classify_scan(error, report),
        sql::Error::NotOpened { .. } => ErrorKind::Unsupported,
        sql::Error::Sql { .. }
        | sql::Error::Sets { .. }
        | sql::Error::NoValue
        | sql::Error::AfterValue { .. } => ErrorKind::Sql,
        sql::Error::Writes { .. } => {
            let file = report.file.as_ref();
            report.hint = file.map(|path| {
                let replay = command("replay --output new.db", path);
                format!("a copy can be changed, also that of an earlier state (--at): {replay}")
            });
            ErrorKind::Sql
        }
        sql::Error::Attaches { .. } => {
            report.hint = Some("--also NAME=STATE attaches another state".to_owned());
            ErrorKind::Sql
        }
        sql::Error::Damaged { .. } => {
            report.hint = report.file.as_ref().map(|path| command("doctor", path));
            ErrorKind::Corrupt
        }
        sql::Error::TimedOut(_) => {
            report.hint = Some("--timeout sets another limit, or none".to_owned());
            ErrorKind::TimedOut
        }
        sql::Error::Temporary { .. } => {
            report.hint = Some("TMPDIR names the directory of temporary files".to_owned());
            ErrorKind::Io
        }
        sql::Error::OutOfMemory => ErrorKind::Memory,
    }
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
        scan::Error::Gone { path, frame, is_likely_there, .. } => {
            report.file = Some(FileName::from(path));
            report.frame = Some(frame.0);
            let see = command("log --oneline", path);
            report.hint = Some(match is_likely_there {
                true => {
                    "log, diff, query, check, bisect and replay have --accept-likely, which takes \
                     it for unchanged"
                        .to_owned()
                }
                false => format!("later transactions may be there whole: {see}"),
            });
            ErrorKind::Refused
        }
        scan::Error::CutOff { path, .. } => {
            report.file = Some(FileName::from(path));
            ErrorKind::Corrupt
        }
        scan::Error::Broken { path, frame, offset_bytes, .. } => {
            report.file = Some(FileName::from(path));
            report.frame = Some(frame.0);
            report.offset_bytes = Some(*offset_bytes);
            report.hint = Some(command("verify-checksums", path));
            ErrorKind::Corrupt
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
            report.hint = Some(format!("to put the old bytes back anyway: {force}"));
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
