//! The rules: what can be wrong with a set of files, or good to know of it.
//!
//! One table for everything that names a rule: findings, refusals, `walsmith-findings(7)`, tests.
//! Names are stable.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// It may hurt.
    Warning,
    /// Data is lost, or will be when SQLite or we touch the files.
    Error,
}

/// What a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its name in reports.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means for the data.
    pub meaning: &'static str,
    /// What must be seen before it fires.
    pub proof: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident $id:literal $severity:ident
        $meaning:literal $proof:literal $remedy:literal;)*) => {
        /// A rule by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $meaning] $name,)*
        }

        impl Rule {
            /// Every rule, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is.
            #[must_use]
            pub const fn facts(self) -> Facts {
                match self {
                    $(Self::$name => Facts {
                        id: $id,
                        severity: Severity::$severity,
                        meaning: $meaning,
                        proof: $proof,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

rules! {
    LogDamaged "log-damaged" Error
        "The log has committed transactions after a frame that SQLite does not accept. SQLite \
         drops them without a word, and deletes the log when it closes."
        "Sums and salts of the frames, as recovery checks them, and an intact commit after the \
         first frame that fails; or less than the wal-index of attached processes has committed."
        "Do not open the database. Copy all files (`walsmith rescue`), then `walsmith repair`.";
    LogHeader "log-header" Error
        "The header of the log is damaged: SQLite ignores every frame."
        "Magic number, version, page size and sum of the header; the frames after it link."
        "Do not open the database. Copy all files (`walsmith rescue`), then `walsmith repair`.";
    LogShifted "log-shifted" Error
        "Frames of this log go on off the slot grid: bytes were inserted, removed or translated. \
         SQLite sees the log end there."
        "Frames with the salts of the log that link by their sums at another offset."
        "`walsmith repair` takes them at their offset.";
    LogMissing "log-missing" Error
        "There is no log, and a valid wal-index knows of commits that were not copied. They are \
         lost, unless somebody who had the database alone has copied them since."
        "The header of the wal-index, with both copies equal and its sum right. An error where a \
         process still has the log open, otherwise a warning."
        "Look for the log: in a backup, or open in a process (`walsmith blockers`).";
    LogCut "log-cut" Error
        "The log ends before what its wal-index has committed: it was cut or damaged, or copied \
         before the index."
        "A valid wal-index of the same salts that counts more frames than the log gives."
        "`walsmith repair` shows what can be recovered.";
    LogDiscarded "log-discarded" Error
        "The database has no page, or is not there, beside a log with commits: SQLite deletes the \
         log unread."
        "The size of the file, and valid commits in the log."
        "Write what the log holds to a new file: `walsmith replay --base none`.";
    PairForeign "pair-foreign" Error
        "The log is another database's. SQLite would write its pages over this one."
        "At least two contradictions of different kinds between log and file, and nothing that \
         speaks for the pair."
        "Find the database that the log belongs to.";
    PairUnclear "pair-unclear" Error
        "The log was not written on this state of the file, and SQLite will apply it all the same."
        "A contradiction between log and file: page 1, references between pages, or structure \
         problems that neither has alone. A warning where the file is the newest state byte by \
         byte, so that only earlier states are in doubt."
        "`walsmith info` shows what speaks for and against it. Find the file that belongs to it.";
    FileNewer "file-newer" Error
        "The file has pages that came after the log: opening the database takes them back."
        "Images of the file that come after the newest of the log, by images, structure and rows."
        "`walsmith repair` shows which states can be recovered.";
    PairFork "pair-fork" Error
        "Log and file come from one database and went on from it each by itself: the log was not \
         written on this file. SQLite would mix the two."
        "A contradiction, as for pair-unclear, and content in common; rows, size or counters of \
         the file that the log has neither at its beginning nor later."
        "Keep both. `walsmith info` shows what contradicts; find the file that belongs to the log.";
    FileOlder "file-older" Error
        "The file is an older copy: a part of the history between file and log is missing. SQLite \
         would put the log's pages over it all the same."
        "A contradiction, as for pair-unclear, and content in common; the log begins with rows, a \
         size or counters that the file does not have yet."
        "`walsmith info` shows what contradicts; find the file that belongs to the log.";
    SizesContradict "sizes-contradict" Error
        "Commit size, the count on page 1 and the pages in use do not fit: SQLite calls the \
         database malformed, or can never checkpoint it."
        "The three numbers, as lockBtree and walCheckpoint read them."
        "`walsmith repair` shows what can be set right.";
    FileShort "file-short" Error
        "The file has fewer pages than its header counts: SQLite calls it malformed."
        "The count on page 1, where the version-valid-for number makes it count, and the size of \
         the file."
        "Restore a backup. `walsmith repair` shows what can be set right.";
    PageOneLost "page-1-lost" Error
        "Page 1 is no database header, though other pages are b-tree pages: SQLite does not open \
         the database, or only as long as the log is there."
        "The header fields that lockBtree checks, and b-tree headers on other pages."
        "`walsmith repair`; where only the log has page 1, `walsmith checkpoint-now`.";
    FalseBackfill "false-backfill" Error
        "The wal-index counts frames as copied whose pages are not in the file: the next reset \
         loses them."
        "The newest image of each page up to nBackfill, compared with the file; looked at while \
         somebody is attached."
        "`walsmith checkpoint-now --mode full` copies them again, where that is still safe.";
    LostCheckpoint "lost-checkpoint" Error
        "Pages of an earlier checkpoint are not in the file, and the log does not hold them any \
         more: SQLite gives what was there before."
        "Frames that are left of the generation before: the file has a page of theirs, and lacks \
         one that was committed before it or with it."
        "Copy all files before anybody writes: the next commits go over these frames. `walsmith \
         dump --frame` shows what the page should be.";
    PageChecksum "page-checksum" Error
        "A page of the file fails its own checksum (cksumvfs): the application gets \"disk I/O \
         error\" there."
        "The last eight bytes of the page, and no newer image in the log."
        "Restore the page from a backup, or from the log (`walsmith repair`).";
    PageChecksumsUnknown "page-checksums-unknown" Error
        "It cannot be told whether the pages of this database end with a checksum, so that no page \
         can be written without risk."
        "Reserved bytes that look like checksums on some pages only."
        "Let the application checkpoint.";
    Structure "structure" Error
        "The structure of the database is damaged: SQLite calls it malformed, or gives wrong rows."
        "What `PRAGMA integrity_check` checks of b-trees, freelist and pointer map."
        "Restore a backup; `walsmith repair` shows earlier states. `.recover` of the sqlite3 shell \
         saves rows.";
    DeletedInUse "deleted-in-use" Error
        "A process uses a deleted file of this name: what it writes there is lost when it ends."
        "The open files of the process, seen twice."
        "Copy everything first (`walsmith rescue`), also what has no name any more; then stop the \
         process.";
    ReplacedInUse "replaced-in-use" Error
        "A process has another file open than the one that has the name now: the two no longer see \
         each other's changes."
        "The open files of the process, by device and inode, seen twice."
        "Copy both first (`walsmith rescue`), then stop the process.";
    LocklessUser "lockless-user" Error
        "A process uses log or wal-index and holds no lock: nobody is kept out, and its next \
         commit may be lost."
        "The lock lines of the process's open files, seen twice, and no ancestor that holds them."
        "Copy the files first (`walsmith rescue`), then stop the process.";
    JournalDiscarded "journal-discarded" Error
        "SQLite would delete the rollback journal unread although it holds pages."
        "The rules of pager.c: the database is empty, or the super-journal cannot be found here."
        "`walsmith repair` shows what can be done with it.";
    JournalHot "journal-hot" Warning
        "A transaction was cut off. SQLite rolls it back when the database is opened next."
        "The header of the journal, and nobody who holds the reserved lock."
        "Nothing, or `walsmith repair` to see the result before.";
    ReaderPins "reader-pins" Warning
        "A reader keeps frames from being copied, so that the log grows."
        "Its lock on a read slot and the mark of that slot."
        "Let it end its transaction.";
    NeverCheckpointed "never-checkpointed" Warning
        "Nobody is in the way, and nobody has copied the frames of a long log."
        "At least 4,000 committed frames of which none is copied, and no lock that blocks."
        "`walsmith checkpoint-now`; look for who has switched automatic checkpoints off.";
    NotOpenable "not-openable" Warning
        "SQLite cannot open the database for a user, or he can read it and not write it: this \
         user, the owner of the database, or the one whom --as-user names."
        "Owner, group and mode of each file and of the directory, as the kernel judges them."
        "Correct owner or mode; all files of a database need the same.";
    NetworkFilesystem "network-filesystem" Warning
        "The files are on a network or shared file system, where locks may not reach everybody, \
         and the wal-index cannot be shared between machines."
        "The type of the mount."
        "Keep a database in WAL mode on a disk of one machine.";
    SplitFilesystem "split-filesystem" Warning
        "Database and log are on different file systems: a crash can keep one and lose the other."
        "The device of each file."
        "Put them into one directory.";
    AffectedSqlite "affected-sqlite" Warning
        "An attached process uses a SQLite with the WAL-reset bug (3.7.0 to 3.51.2 but 3.50.7 and \
         3.44.6): two connections that write and checkpoint at once can lose a checkpoint."
        "The source id in its library or program."
        "Update SQLite there.";
    OrphanLog "orphan-log" Warning
        "A log without its database."
        "No file of the name without -wal."
        "Look for the database; `walsmith replay --base none` writes what the log holds alone.";
    OrphanIndex "orphan-index" Warning
        "A wal-index without database and log."
        "No file of the name without -shm."
        "Nothing is in it that could be recovered.";
    OrphanJournal "orphan-journal" Warning
        "A rollback journal without its database."
        "No file of the name without -journal."
        "Look for the database: the journal holds pages of its state before.";
    LogOversized "log-oversized" Note
        "The log is longer than what it holds: the rest is left from before, and can be given back."
        "At least 4 MiB, and more than half of it, after the last committed frame."
        "`walsmith checkpoint-now --mode truncate`.";
    OnlyInLog "only-in-log" Note
        "Commits are only in the log: copying the database file alone loses them."
        "Committed frames whose pages the file has not, or has not surely."
        "Copy database and log together (`walsmith replay --output`).";
    LogTorn "log-torn" Note
        "The last transaction of the log is torn, as a crash leaves it: SQLite drops it. Nothing \
         shows that it had been committed, and nothing excludes it."
        "Frames of this log after the last commit that do not follow, and no intact commit after."
        "After a crash: nothing. Without one: compare with what the application has committed.";
    BlankTail "blank-tail" Note
        "Zeros come directly after the last commit: a file system or a VFS has made room there, or \
         what was written never reached the disk."
        "SQLite never extends a log with zeros."
        "After a crash: compare with what the application has reported as committed.";
    Encrypted "encrypted" Note
        "The pages look encrypted. Frames, commits and sums can be judged, tables and rows cannot."
        "Page 1 of high entropy, and no page with a b-tree header."
        "Everything that needs no page content works.";
}

impl Rule {
    /// Its name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.facts().id
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_distinct_and_sorted_by_severity() {
        let ids: BTreeSet<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        let severities: Vec<Severity> =
            Rule::ALL.iter().map(|rule| rule.facts().severity).collect();
        assert!(severities.is_sorted_by(|one, next| one >= next));
    }
}
