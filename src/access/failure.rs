//! Errors that commands themselves find.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::storage::LockHolder;

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
