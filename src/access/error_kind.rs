//! What an error is, in one word.

use super::Exit;

/// What an error is: the `kind` of `error` in JSON. Each word has one meaning and one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing is at the path.
    NotFound,
    /// What is at the path is no file of SQLite's.
    NotSqlite,
    /// The path is a directory.
    Directory,
    /// No database belongs to what was given.
    NoDatabase,
    /// There is no log.
    NoLog,
    /// There is no wal-index, or none with a header.
    NoIndex,
    /// There is no undo set.
    NoUndo,
    /// The log has no such commit.
    NoCommit,
    /// The log has no such frame, or neither file such a page.
    NoPage,
    /// A system call failed.
    Io,
    /// The system does not allow it.
    Permission,
    /// A file ends inside what another one says that it holds.
    ShortRead,
    /// What is found contradicts the format.
    Corrupt,
    /// A format version that SQLite does not know.
    Version,
    /// A damaged undo set.
    DamagedUndo,
    /// What was written does not read back.
    Check,
    /// The files do not allow what was asked.
    Unsupported,
    /// SQLite does not take the SQL.
    Sql,
    /// No memory.
    Memory,
    /// Nothing of these.
    Other,
    /// A lock was not granted in time.
    Busy,
    /// The files kept changing while they were read.
    Changed,
    /// It took longer than it may.
    TimedOut,
    /// A safety rail.
    Refused,
    /// Somebody else has the database open.
    Attached,
    /// A rollback journal must be played back first.
    HotJournal,
    /// The command line is wrong.
    Usage,
    /// The user interrupted it.
    Interrupted,
}

impl ErrorKind {
    /// Every kind with its word, exit code and meaning: the source of README and tests.
    pub const TABLE: [(Self, &'static str, Exit, &'static str); 28] = [
        (Self::NotFound, "not-found", Exit::CouldNot, "nothing is at the path"),
        (
            Self::NotSqlite,
            "not-sqlite",
            Exit::CouldNot,
            "what is at the path is neither a database nor a log nor a wal-index",
        ),
        (Self::Directory, "directory", Exit::CouldNot, "the path is a directory"),
        (Self::NoDatabase, "no-database", Exit::CouldNot, "there is no database"),
        (Self::NoLog, "no-log", Exit::CouldNot, "there is no log"),
        (Self::NoIndex, "no-index", Exit::CouldNot, "there is no wal-index, or none with a header"),
        (Self::NoUndo, "no-undo", Exit::CouldNot, "there is no undo set"),
        (
            Self::NoCommit,
            "no-commit",
            Exit::CouldNot,
            "the log has no such transaction or commit frame",
        ),
        (Self::NoPage, "no-page", Exit::CouldNot, "there is no such frame or page"),
        (Self::Io, "io", Exit::CouldNot, "the system could not open, read or write a file"),
        (Self::Permission, "permission", Exit::CouldNot, "the system does not allow it"),
        (
            Self::ShortRead,
            "short-read",
            Exit::CouldNot,
            "the log ends inside a frame that the wal-index knows",
        ),
        (Self::Corrupt, "corrupt", Exit::CouldNot, "files or fields contradict each other"),
        (Self::Version, "version", Exit::CouldNot, "a format version that SQLite does not know"),
        (Self::DamagedUndo, "damaged-undo", Exit::CouldNot, "the undo set is damaged"),
        (Self::Check, "check", Exit::CouldNot, "what was written does not read back the same"),
        (
            Self::Unsupported,
            "unsupported",
            Exit::CouldNot,
            "these files do not allow what was asked; the message says why",
        ),
        (Self::Sql, "sql", Exit::CouldNot, "SQLite does not take the SQL, or it may not run"),
        (Self::Memory, "memory", Exit::CouldNot, "there is not enough memory"),
        (Self::Other, "other", Exit::CouldNot, "none of the other kinds"),
        (Self::Busy, "busy", Exit::Busy, "a lock was not granted in time"),
        (Self::Changed, "changed", Exit::Busy, "the files kept changing while they were read"),
        (Self::TimedOut, "timeout", Exit::Busy, "the SQL took longer than --timeout allows"),
        (Self::Refused, "refused", Exit::Refused, "a safety rail; the message says which"),
        (Self::Attached, "attached", Exit::Refused, "somebody else has the database open"),
        (
            Self::HotJournal,
            "hot-journal",
            Exit::Refused,
            "a rollback journal must be rolled back first",
        ),
        (Self::Usage, "usage", Exit::Usage, "the command line is wrong (in no document)"),
        (Self::Interrupted, "interrupted", Exit::Interrupted, "a signal ended it early"),
    ];

    fn row(self) -> (&'static str, Exit) {
        let row = Self::TABLE.iter().find(|(kind, ..)| *kind == self);
        row.map_or(("other", Exit::CouldNot), |&(_, word, exit, _)| (word, exit))
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// How a run ends by it.
    #[must_use]
    pub fn exit(self) -> Exit {
        self.row().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_one_row_and_each_word_one_meaning() {
        let words: BTreeSet<&str> = ErrorKind::TABLE.iter().map(|row| row.1).collect();
        let meanings: BTreeSet<&str> = ErrorKind::TABLE.iter().map(|row| row.3).collect();
        assert_eq!((words.len(), meanings.len()), (ErrorKind::TABLE.len(), ErrorKind::TABLE.len()));
        for (kind, word, exit, _) in ErrorKind::TABLE {
            assert_eq!((kind.word(), kind.exit()), (word, exit));
        }
        // The last kind of the enum has the highest number: none is missing in the table.
        assert_eq!(ErrorKind::TABLE.len(), ErrorKind::Interrupted as usize + 1);
    }
}
