//! One attempt to copy the files of a set: all of them in one reading, then all of them compared.

use std::path::{Path, PathBuf};

use crate::access::Context;
use crate::access::held::Held;
use crate::format::lock_bytes::DEAD_MAN_SWITCH;
use crate::format::{WAL_HEADER_BYTES, WalIndexHeader};
use crate::output::FileName;
use crate::output::quantity::counted;
use crate::repair::copy::{self, Compared, Meter, compare};
use crate::storage::status::Status;
use crate::storage::{self, File, LockMode, OpenMode, SyncDirectory, SyncKind, if_there};

use super::index::{self, KeptIndex};
use super::sets::{Piece, Set};
use super::{HeldBy, Part, RescuedFile, RescuedSet};

/// Why a rescue ends early.
#[derive(Debug)]
pub(super) enum Stop {
    /// A copy cannot be written.
    Storage(storage::Error),
    /// The watcher asked to stop.
    Interrupted,
}

/// What an attempt needs.
pub(super) struct Attempt<'a, 'c> {
    pub(super) set: &'a Set,
    /// Where the copies go.
    pub(super) folder: &'a Path,
    pub(super) context: &'a Context<'c>,
    pub(super) meter: &'a Meter<'a>,
}

/// A file between the two readings.
struct Read<'a> {
    piece: &'a Piece,
    before: Option<Status>,
    outcome: Outcome,
}

enum Outcome {
    Failed(String),
    Copied(Copied),
}

struct Copied {
    from: Box<dyn File>,
    to: Box<dyn File>,
    bytes: u64,
    /// Bytes after them that were being written.
    cut_bytes: u64,
    /// A wal-index that somebody keeps, as it was copied.
    index: Option<KeptIndex>,
}

impl Attempt<'_, '_> {
    /// Copies and compares; what could not be read or changed meanwhile is in the result.
    ///
    /// # Errors
    /// When a copy cannot be written, or the watcher stops it.
    pub(super) fn run(&self, held: Option<&Held>) -> Result<RescuedSet, Stop> {
        self.forget()?;
        let pieces = self.in_order();
        let befores: Vec<_> = pieces.iter().map(|piece| Status::of(&piece.source)).collect();
        let mut read = Vec::new();
        for (piece, before) in pieces.iter().zip(befores) {
            if let Some(outcome) = self.read(piece)? {
                read.push(Read { piece, before, outcome });
            }
        }
        let mut compared = Vec::new();
        for one in &read {
            compared.push(match &one.outcome {
                Outcome::Failed(_) => None,
                Outcome::Copied(copied) => Some(self.compare(copied)?),
            });
        }
        let index = held.and_then(|held| held.index);
        let committed_bytes = committed_bytes(&read, index);
        for (one, compared) in read.iter_mut().zip(&mut compared) {
            self.cut_off_what_is_written(one, compared, committed_bytes)?;
        }
        let mut files = Vec::new();
        for (one, compared) in read.iter().zip(&compared) {
            if let Outcome::Copied(copied) = &one.outcome {
                copied.to.sync(SyncKind::Full).map_err(Stop::Storage)?;
            }
            files.push(self.judged(one, compared.as_ref(), committed_bytes));
        }
        files.sort_by_key(|file| file.part as u8);
        // A log that appeared meanwhile is a change, too.
        let are_all = self.in_order().len() == pieces.len() && pieces.len() == files.len();
        let is_still = are_all && files.iter().all(|file| file.is_proven || file.copy.is_none());
        Ok(RescuedSet {
            folder: self.set.folder.as_ref().map(FileName::from),
            processes: self.set.users.clone(),
            held: match held {
                Some(held) if held.is_locked() => HeldBy::Locks,
                Some(_) => HeldBy::Watch,
                None if is_still => HeldBy::Readings,
                None => HeldBy::Nothing,
            },
            not_held_because: None,
            mx_frame: index.map(|index| index.mx_frame),
            salts: index.map(|index| [index.salts.salt1, index.salts.salt2]),
            files,
        })
    }

    /// Deletes what an attempt before has left.
    fn forget(&self) -> Result<(), Stop> {
        for piece in &self.set.pieces {
            let copy = self.folder.join(&piece.name);
            let deleted = self.context.vfs.delete(&copy, SyncDirectory::No);
            if_there(deleted).map_err(Stop::Storage)?;
        }
        Ok(())
    }

    /// The index first and the log last: so the copy of the log has all that the copied index
    /// counts.
    fn in_order(&self) -> Vec<&Piece> {
        // What cannot be asked for is tried, and says why; and so is what a process has.
        let is_there = |piece: &&Piece| {
            piece.open_file.is_some() || self.context.vfs.exists(&piece.source).unwrap_or(true)
        };
        let mut pieces: Vec<&Piece> = self.set.pieces.iter().filter(is_there).collect();
        pieces.sort_by_key(|piece| match piece.part {
            Part::Shm => 0,
            Part::Database | Part::Journal | Part::Undo => 1,
            Part::Wal => 2,
        });
        pieces
    }

    /// The first reading of one file; `None` where it is not there any more.
    fn read(&self, piece: &Piece) -> Result<Option<Outcome>, Stop> {
        let from = match self.context.vfs.open(&piece.read_from, OpenMode::ReadOnly) {
            Ok(from) => from,
            Err(error) if error.is_not_found() && piece.open_file.is_none() => return Ok(None),
            Err(error) => return Ok(Some(Outcome::Failed(reason(&error)))),
        };
        let path = self.folder.join(&piece.name);
        let to = self.context.vfs.open(&path, OpenMode::Create).map_err(Stop::Storage)?;
        let switch = DEAD_MAN_SWITCH..DEAD_MAN_SWITCH + 1;
        let is_kept = piece.part == Part::Shm
            && from.lock_holder(switch, LockMode::Exclusive).is_ok_and(|holder| holder.is_some());
        let copied = match is_kept {
            true => index::copy(from.as_ref(), to.as_ref(), self.meter, self.context),
            false => copy::copy(from.as_ref(), to.as_ref(), self.meter).map(|bytes| (bytes, None)),
        };
        match copied {
            Ok((bytes, index)) => {
                Ok(Some(Outcome::Copied(Copied { from, to, bytes, cut_bytes: 0, index })))
            }
            Err(copy::Error::Source(error)) => {
                drop(to);
                let delete = self.context.vfs.delete(&path, SyncDirectory::No);
                delete.map_err(Stop::Storage)?;
                Ok(Some(Outcome::Failed(reason(&error))))
            }
            Err(copy::Error::Target(error)) => Err(Stop::Storage(error)),
            Err(copy::Error::Interrupted) => Err(Stop::Interrupted),
        }
    }

    /// The second reading of one file.
    fn compare(&self, copied: &Copied) -> Result<Compared, Stop> {
        let Copied { from, to, bytes, .. } = copied;
        compare(from.as_ref(), to.as_ref(), *bytes, self.meter).map_err(|error| match error {
            copy::Error::Source(error) | copy::Error::Target(error) => Stop::Storage(error),
            copy::Error::Interrupted => Stop::Interrupted,
        })
    }

    /// Cuts the copy of a log after the last commit that cannot change any more, if what comes
    /// after was being written: read at different moments, its frames could look like damage.
    fn cut_off_what_is_written(
        &self,
        read: &mut Read<'_>,
        compared: &mut Option<Compared>,
        committed_bytes: Option<u64>,
    ) -> Result<(), Stop> {
        let (Outcome::Copied(copied), Some(found), Some(committed)) =
            (&mut read.outcome, &compared, committed_bytes)
        else {
            return Ok(());
        };
        let is_written = found.first_difference.is_some_and(|at| at >= committed);
        if read.piece.part != Part::Wal || !is_written || copied.bytes < committed {
            return Ok(());
        }
        copied.to.truncate(committed).map_err(Stop::Storage)?;
        copied.cut_bytes = copied.bytes - committed;
        copied.bytes = committed;
        *compared = Some(self.compare(copied)?);
        Ok(())
    }

    fn judged(
        &self,
        read: &Read<'_>,
        compared: Option<&Compared>,
        committed_bytes: Option<u64>,
    ) -> RescuedFile {
        let piece = read.piece;
        let name = PathBuf::from(self.set.folder.clone().unwrap_or_default()).join(&piece.name);
        let mut file = RescuedFile {
            part: piece.part,
            copy: None,
            source: FileName::from(&piece.source),
            opened_as: piece.open_file.as_ref().map(|file| FileName::from(&file.name)),
            is_deleted: piece.open_file.as_ref().is_some_and(|file| file.is_deleted),
            is_proven: false,
            unproven_because: None,
            note: None,
            size_bytes: None,
            sha256: None,
            status: read.before.clone(),
        };
        let (copied, compared) = match (&read.outcome, compared) {
            (Outcome::Copied(copied), Some(compared)) => (copied, compared),
            (Outcome::Failed(why), _) => {
                file.unproven_because = Some(why.clone());
                return file;
            }
            (Outcome::Copied(_), None) => return file,
        };
        file.copy = Some(FileName::from(&name));
        file.size_bytes = Some(copied.bytes);
        file.sha256 = Some(compared.sha256.clone());
        let judged = match &copied.index {
            Some(kept) => kept.judge(copied.from.as_ref(), copied.to.as_ref()),
            None => judge(read, copied, compared, committed_bytes),
        };
        match judged {
            Ok(note) => (file.is_proven, file.note) = (true, note),
            Err(why) => file.unproven_because = Some(why),
        }
        file
    }
}

/// Bytes of the log up to the last commit that cannot change any more: all that the copied index
/// counts, or else the one by which the set was held.
fn committed_bytes(read: &[Read<'_>], held: Option<WalIndexHeader>) -> Option<u64> {
    let held = held?;
    let kept = read.iter().find_map(|one| match &one.outcome {
        Outcome::Copied(copied) => copied.index.as_ref().map(KeptIndex::header),
        Outcome::Failed(_) => None,
    });
    let newest = kept.filter(|kept| kept.salts == held.salts && kept.mx_frame > held.mx_frame);
    let index = newest.unwrap_or(held);
    let slot_bytes = index.page_size()?.slot_bytes();
    Some(WAL_HEADER_BYTES as u64 + u64::from(index.mx_frame) * slot_bytes)
}

/// Whether a copy is what its source was between the two readings; with what is to be said of it.
fn judge(
    read: &Read<'_>,
    copied: &Copied,
    compared: &Compared,
    committed_bytes: Option<u64>,
) -> Result<Option<String>, String> {
    let changed = || Err("it changed while it was copied".to_owned());
    if let Some(why) = &compared.unread {
        return Err(format!("it could not be read again: {why}"));
    }
    let piece = read.piece;
    let now = Status::of(&piece.source);
    let (Some(before), Some(now)) = (&read.before, &now) else {
        return Err("it was deleted while it was copied".to_owned());
    };
    if !before.is_same_file(now) {
        return Err("another file has taken its name while it was copied".to_owned());
    }
    // What is read from a copy of the same file does not change.
    if piece.read_from != piece.source && compared.first_difference.is_none() {
        return Ok(None);
    }
    let committed = committed_bytes.filter(|_| piece.part == Part::Wal);
    if committed.is_some_and(|committed| committed <= copied.bytes) {
        // A log only grows until it is reset, and that is excluded as long as the set is held.
        return match (compared.first_difference, copied.cut_bytes) {
            (Some(_), _) => changed(),
            (None, 0) => Ok(None),
            (None, cut) => Ok(Some(format!(
                "up to its last commit; {} after it were being written",
                counted(cut, "byte")
            ))),
        };
    }
    let is_same = before.size_bytes == now.size_bytes
        && before.modified == now.modified
        && copied.bytes == now.size_bytes;
    match compared.first_difference {
        None if is_same => Ok(None),
        None | Some(_) => changed(),
    }
}

/// Why a source cannot be read, without its name.
fn reason(error: &storage::Error) -> String {
    format!("it cannot be read: {}", error.source)
}
