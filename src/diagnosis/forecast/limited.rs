//! The forecast for a user who may not do everything with the files.
//!
//! What SQLite does instead follows os_unix.c (unixOpen, unixOpenSharedMemory), pager.c
//! (hasHotJournal, sqlite3PagerSharedLock) and wal.c (sqlite3WalOpen, walIndexReadHdr,
//! sqlite3WalCheckpoint, sqlite3WalClose).

use crate::diagnosis::rights::{Right, Rights};

use super::{Checkpoint, Close, Forecast, Journal, Log, Open};

/// `full` is what SQLite does for a user who may do everything.
#[must_use]
pub(super) fn limit(full: Forecast, rights: &Rights, is_attached: bool) -> Forecast {
    if rights.are_full() && !rights.is_unclear {
        return full;
    }
    if rights.is_unclear {
        return Forecast::UNKNOWN;
    }
    match rights.database {
        Right::Nothing => return refused(rights, Open::CantOpen),
        // It would be made.
        Right::Absent if !rights.directory => return refused(rights, Open::CantOpen),
        Right::Absent | Right::Read | Right::Write => {}
    }
    if let Some(limited) = by_journal(full, rights) {
        return limited;
    }
    match full.log {
        Log::Unknown => Forecast::UNKNOWN,
        Log::Deleted if !rights.directory => refused(rights, Open::IoErr),
        Log::Deleted => full,
        Log::None => without_log(full, rights),
        Log::Recovered | Log::Used => with_log(full, rights, is_attached),
        // It is opened only where page 1 or its size says that it is one.
        Log::Ignored if full.mx_frame.is_some() => with_log(full, rights, is_attached),
        Log::Ignored if full.open == Open::CantOpen => refused(rights, Open::CantOpen),
        Log::Ignored => full,
    }
}

/// What SQLite does where this user cannot read one of the files, as far as sizes tell it.
pub(super) fn unread(rights: &Rights, bytes: &Bytes) -> Forecast {
    if rights.is_unclear {
        return Forecast::UNKNOWN;
    }
    let is_database_read = matches!(rights.database, Right::Read | Right::Write);
    if rights.database == Right::Nothing {
        return refused(rights, Open::CantOpen);
    }
    // Beside an empty database journal and log are deleted.
    if !is_database_read || bytes.database <= 1 {
        return Forecast::UNKNOWN;
    }
    // A journal is looked at before the log, and counts as hot where it cannot be read.
    if bytes.journal > 0 {
        return match (rights.journal, rights.database) {
            (Right::Nothing, Right::Read) => refused(rights, Open::ReadOnly),
            (Right::Nothing, _) => refused(rights, Open::CantOpen),
            (_, _) => Forecast::UNKNOWN,
        };
    }
    let log_is_refused = rights.log == Right::Nothing || rights.index == Right::Nothing;
    match bytes.log > 0 && log_is_refused {
        true => refused(rights, Open::CantOpen),
        false => Forecast::UNKNOWN,
    }
}

/// Sizes of the files, which need no right to read them; 0 for one that is not there.
pub(super) struct Bytes {
    pub database: u64,
    pub log: u64,
    pub journal: u64,
}

/// Nothing is read or written but the header of the database.
fn refused(rights: &Rights, open: Open) -> Forecast {
    let is_there = |right| right != Right::Absent;
    Forecast {
        open,
        journal: if is_there(rights.journal) { Journal::Ignored } else { Journal::None },
        log: if is_there(rights.log) { Log::Ignored } else { Log::None },
        lost_transactions: None,
        taken_back: None,
        checkpoint: Checkpoint::None,
        close: if is_there(rights.log) { Close::KeepsLog } else { Close::None },
        ..Forecast::UNKNOWN
    }
}

/// `None` where the journal changes nothing.
fn by_journal(full: Forecast, rights: &Rights) -> Option<Forecast> {
    // One that cannot be read counts as hot.
    let counts_as_hot = full.journal == Journal::RolledBack
        || (full.journal == Journal::Ignored && rights.journal == Right::Nothing);
    if counts_as_hot {
        return Some(match (rights.database, rights.journal) {
            (Right::Read, _) => refused(rights, Open::ReadOnly),
            (_, Right::Read | Right::Nothing) => refused(rights, Open::CantOpen),
            // It is put back, and cannot be deleted then.
            (_, _) if !rights.directory => {
                Forecast { journal: Journal::Unknown, ..refused(rights, Open::IoErr) }
            }
            (_, _) => return None,
        });
    }
    matches!(full.journal, Journal::Deleted | Journal::Unknown).then_some(Forecast::UNKNOWN)
}

fn without_log(full: Forecast, rights: &Rights) -> Forecast {
    // In WAL mode a log is made.
    let is_wal = match (full.open, full.checkpoint) {
        (Open::Ok, Checkpoint::Ok) => true,
        (Open::Ok, _) => false,
        (_, _) if rights.directory => false,
        (_, _) => return Forecast::UNKNOWN,
    };
    if !is_wal {
        return full;
    }
    if !rights.directory {
        let open = if rights.is_read_only { Open::CantOpen } else { Open::ReadOnly };
        return refused(rights, open);
    }
    if rights.index == Right::Nothing {
        // The log is made before the index is opened, and stays.
        return Forecast { close: Close::KeepsLog, ..refused(rights, Open::CantOpen) };
    }
    with_log(Forecast { close: Close::None, ..full }, rights, false)
}

fn with_log(full: Forecast, rights: &Rights, is_attached: bool) -> Forecast {
    let has_no_index = match rights.index {
        Right::Absent => !rights.directory,
        Right::Nothing => true,
        Right::Read | Right::Write => false,
    };
    if rights.log == Right::Nothing || has_no_index {
        return refused(rights, Open::CantOpen);
    }
    // Whoever cannot write the index reads the log by himself, and tries again for ever where the
    // header of the log is not valid (wal.c walBeginShmUnreliable): SQLITE_PROTOCOL.
    let reads_by_himself = rights.index == Right::Read && !is_attached;
    if reads_by_himself && full.log == Log::Ignored && rights.log != Right::Absent {
        return Forecast::UNKNOWN;
    }
    let reads_only = rights.log == Right::Read || rights.index == Right::Read;
    let has_frames = full.mx_frame.is_some_and(|frames| frames > 0);
    let checkpoint = match full.checkpoint {
        Checkpoint::None | Checkpoint::Unknown => full.checkpoint,
        _ if reads_only => Checkpoint::ReadOnly,
        Checkpoint::Ok if rights.database == Right::Read && !has_frames => Checkpoint::Ok,
        // The file cannot be written: whether something is to be copied decides.
        _ if rights.database == Right::Read => Checkpoint::Unknown,
        _ => full.checkpoint,
    };
    // The last close needs the exclusive lock, which nobody gets who may only read.
    let keeps = rights.database == Right::Read || reads_only || !rights.directory;
    let close = match is_attached || keeps {
        true => Close::KeepsLog,
        false => full.close,
    };
    Forecast { checkpoint, close, ..full }
}
