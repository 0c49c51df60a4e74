//! Why a statement ended early.

use std::time::Duration;

use crate::scan;

/// Why a statement ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A page could not be read.
    #[error(transparent)]
    Pages(#[from] scan::Error),
    /// SQLite does not open a state beside the others.
    #[error("the state {name}: {message}")]
    NotOpened {
        /// The name of the state.
        name: String,
        /// SQLite's sentence.
        message: String,
    },
    /// SQLite refused the statement.
    #[error("{message}{}", place(*.statement, *.at))]
    Sql {
        /// SQLite's sentence.
        message: String,
        /// Which statement of the text, counted from 1.
        statement: usize,
        /// Line and column of what SQLite stumbled over.
        at: Option<(usize, usize)>,
    },
    /// The statement writes.
    #[error("statement {statement} writes, and a state of a log can only be read")]
    Writes {
        /// Which statement of the text, counted from 1.
        statement: usize,
    },
    /// The statement attaches a file, or detaches a state.
    #[error("statement {statement} attaches or detaches a database, which no query may")]
    Attaches {
        /// Which statement of the text, counted from 1.
        statement: usize,
    },
    /// The statement changes a setting that keeps a session safe.
    #[error("statement {statement} sets {pragma}, which stays as it is in a query")]
    Sets {
        /// The name of the setting.
        pragma: String,
        /// Which statement of the text, counted from 1.
        statement: usize,
    },
    /// A value was asked for, and no statement gives one.
    #[error("no statement gives a value")]
    NoValue,
    /// One value was asked for.
    #[error("statement {statement} comes after the one that gives the value")]
    AfterValue {
        /// Which statement of the text, counted from 1.
        statement: usize,
    },
    /// SQLite finds that the database contradicts itself.
    #[error("SQLite finds damage in the database: {message}{}", of(*.statement))]
    Damaged {
        /// SQLite's sentence.
        message: String,
        /// Which statement of the text, counted from 1; `None` where a state could not be opened.
        statement: Option<usize>,
    },
    /// It took longer than it may.
    #[error("the statements took longer than {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// SQLite could not write what it sorts to a temporary file.
    #[error("a temporary file of SQLite: {message}")]
    Temporary {
        /// SQLite's sentence.
        message: String,
    },
    /// No memory.
    #[error("out of memory")]
    OutOfMemory,
}

impl Error {
    /// Whether it is of the state that was asked: of another one there may be an answer.
    #[must_use]
    pub fn is_of_the_state(&self) -> bool {
        match self {
            Self::Pages(error) => error.is_of_the_state(),
            Self::Sql { .. } | Self::Damaged { .. } | Self::NotOpened { .. } => true,
            Self::Writes { .. }
            | Self::Attaches { .. }
            | Self::Sets { .. }
            | Self::NoValue
            | Self::AfterValue { .. }
            | Self::TimedOut(_)
            | Self::Temporary { .. }
            | Self::OutOfMemory => false,
        }
    }
}

fn of(statement: Option<usize>) -> String {
    statement.map_or_else(String::new, |statement| format!(" (statement {statement})"))
}

fn place(statement: usize, at: Option<(usize, usize)>) -> String {
    match at {
        Some((line, column)) => format!(" (line {line}, column {column})"),
        None => format!(" (statement {statement})"),
    }
}
