//! Copies of everything that is at stake: the files of a database, and those that processes still
//! use and that have lost their name.
//!
//! What is copied together is a *set*: the files that have the names, and for each group of
//! processes with deleted or replaced files the database, log, index and journal that they really
//! use. A set is copied in one reading and compared in a second one. Where a held state can be had
//! ([`held`]), nobody copies into the file or resets the log meanwhile; where not,
//! both readings must agree, file by file and over all files of the set. Nothing is called proven
//! otherwise.

mod attempt;
mod index;
mod sets;

use anyhow::Result;
use serde::Serialize;

use crate::output::{FileName, Outside};
use crate::repair::copy::Meter;
use crate::scan;
use crate::storage::new_directory::NewDirectory;
use crate::storage::status::Status;

use super::Context;
use super::files::Files;
use super::held::{self, Held, HoldArgs};

use attempt::{Attempt, Stop};
use sets::Set;

/// Readings of files that cannot be held, before they are given up as changing.
const MOST_READINGS: u32 = 5;
/// Between two of them; longer from time to time.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What a copied file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The database.
    Database,
    /// Its log.
    Wal,
    /// Its wal-index.
    Shm,
    /// Its rollback journal.
    Journal,
    /// What an in-place command has set aside.
    Undo,
}

/// What kept the files of a set from changing while they were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldBy {
    /// A reader's locks: no checkpoint, no reset.
    Locks,
    /// Nobody was attached before and after, or by the wal-index no checkpoint has begun.
    Watch,
    /// Nothing; but two readings, one complete after the other, agree.
    Readings,
    /// Nothing: the copies may be of different moments.
    Nothing,
}

/// A file of a set.
#[derive(Clone, Debug, Serialize)]
pub struct RescuedFile {
    /// What it is.
    pub part: Part,
    /// The copy, below the new directory; `None` where there is none.
    pub copy: Option<FileName>,
    /// What it is a copy of.
    pub source: FileName,
    /// The name under which the process has opened it; `None` where it is read by its name.
    pub opened_as: Option<FileName>,
    /// That name leads to it no more.
    pub is_deleted: bool,
    /// It is proven to be what the source was at the moment of the set.
    pub is_proven: bool,
    /// Why not.
    pub unproven_because: Option<String>,
    /// What else must be known of it.
    pub note: Option<String>,
    /// Length of the copy.
    pub size_bytes: Option<u64>,
    /// SHA-256 of the copy.
    pub sha256: Option<String>,
    /// What the file system knew of the source.
    #[serde(skip)]
    pub status: Option<Status>,
}

/// Files that were copied together.
#[derive(Clone, Debug)]
pub struct RescuedSet {
    /// The folder of the new directory that has it; `None` for the directory itself.
    pub folder: Option<FileName>,
    /// Processes that use these files, where they are not those that have the names.
    pub processes: Vec<User>,
    /// What kept them still.
    pub held: HeldBy,
    /// Why nothing better did.
    pub not_held_because: Option<String>,
    /// Last committed frame by the wal-index, while it was held.
    pub mx_frame: Option<u32>,
    /// The salts of the log, while it was held.
    pub salts: Option<[u32; 2]>,
    /// The files.
    pub files: Vec<RescuedFile>,
}

/// A process that uses files without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: Option<Outside>,
    /// Its user.
    pub user: Option<Outside>,
}

/// What was rescued.
#[derive(Clone, Debug)]
pub struct Rescued {
    /// The files that have the names first.
    pub sets: Vec<RescuedSet>,
    /// Processes that could not be looked into.
    pub unseen_processes: u32,
}

impl RescuedSet {
    /// Whether every file of it is proven.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.held != HeldBy::Nothing && self.files.iter().all(|file| file.is_proven)
    }

    /// Whether a copy has this name in the new directory.
    #[must_use]
    pub fn has_copy(&self, name: &std::path::Path) -> bool {
        self.files.iter().any(|file| file.copy.as_ref().is_some_and(|copy| copy.path() == name))
    }

    /// The copy of `part`, below the new directory.
    #[must_use]
    pub fn copy_of(&self, part: Part) -> Option<&RescuedFile> {
        self.files.iter().find(|file| file.part == part && file.copy.is_some())
    }
}

/// Copies all sets of `files` into `into`, whose files are synced afterwards.
///
/// # Errors
/// When a copy cannot be written, or the watcher stops it. A source that cannot be read is in the
/// result.
pub fn rescue(
    files: &Files,
    hold: &HoldArgs,
    into: &NewDirectory,
    context: &Context,
) -> Result<Rescued> {
    let found = sets::find(files, context);
    let bytes = found.sets.iter().map(Set::bytes).fold(0, u64::saturating_add);
    let meter = Meter::new(context.watch, bytes.saturating_mul(2));
    let copying = Copying { hold, into, context, meter: &meter };
    let mut done = Vec::new();
    // Those of processes first: what ends with a process cannot wait.
    for set in found.sets.iter().filter(|set| set.folder.is_some()) {
        done.push(copying.copy(set)?);
    }
    for set in found.sets.iter().filter(|set| set.folder.is_none()) {
        let set = match sets::log_is_elsewhere(set, &done) {
            Some(other) => copying.copy_beside(set, other)?,
            None => copying.copy(set)?,
        };
        done.insert(0, set);
    }
    Ok(Rescued { sets: done, unseen_processes: found.unseen_processes })
}

/// How sets are copied.
struct Copying<'a, 'c> {
    hold: &'a HoldArgs,
    into: &'a NewDirectory,
    context: &'a Context<'c>,
    meter: &'a Meter<'a>,
}

impl Copying<'_, '_> {
    /// Copies a set while it is held, or else until two readings of it agree.
    fn copy(&self, set: &Set) -> Result<RescuedSet> {
        if let Some(folder) = &set.folder {
            self.into.add_folder(folder)?;
        }
        let mut stopped = None;
        let held = held::hold_unread(&set.files, self.hold, self.context, |held| {
            if stopped.is_some() {
                return Ok(None);
            }
            match self.attempt(set, Some(&*held)) {
                Ok(rescued) => Ok(Some(rescued)),
                Err(stop) => {
                    stopped = Some(stop);
                    Ok(None)
                }
            }
        });
        if let Some(stop) = stopped {
            return Err(self.error(stop));
        }
        if self.context.watch.is_interrupted() {
            return Err(scan::Error::Interrupted.into());
        }
        match held {
            Ok(Some(rescued)) if rescued.is_proven() || rescued.lacks_only_unreadable() => {
                Ok(rescued)
            }
            Ok(_) => self.read_again(set, None),
            Err(error) => self.read_again(set, Some(format!("{error:#}"))),
        }
    }

    /// Without anything that holds them, until two readings agree.
    fn read_again(&self, set: &Set, because: Option<String>) -> Result<RescuedSet> {
        let mut last = self.attempt(set, None).map_err(|stop| self.error(stop))?;
        for reading in 1..MOST_READINGS {
            if last.is_proven() || last.lacks_only_unreadable() {
                break;
            }
            self.context.vfs.sleep(PAUSE * reading);
            last = self.attempt(set, None).map_err(|stop| self.error(stop))?;
        }
        last.not_held_because = because;
        Ok(last)
    }

    fn attempt(&self, set: &Set, held: Option<&Held>) -> Result<RescuedSet, Stop> {
        let folder = match &set.folder {
            Some(folder) => self.into.path().join(folder),
            None => self.into.path().to_owned(),
        };
        Attempt { set, folder: &folder, context: self.context, meter: self.meter }.run(held)
    }

    /// The files that have the names, where their log has none any more and is in the set `other`:
    /// what both have is what it was at the moment of that one.
    fn copy_beside(&self, set: &Set, other: &RescuedSet) -> Result<RescuedSet> {
        let mut set = set.clone();
        set.read_from_copies(other, self.into.path());
        let mut rescued = self.read_again(&set, None)?;
        if rescued.is_proven() {
            rescued.held = other.held;
        }
        let folder = other.folder.as_ref().map(ToString::to_string).unwrap_or_default();
        for file in rescued.files.iter_mut().filter(|file| file.part == Part::Database) {
            file.note = Some(format!("lacks what only its deleted log has: open it in {folder}/"));
        }
        Ok(rescued)
    }

    fn error(&self, stop: Stop) -> anyhow::Error {
        match stop {
            Stop::Interrupted => scan::Error::Interrupted.into(),
            Stop::Storage(error) => anyhow::Error::from(error),
        }
    }
}

impl RescuedSet {
    /// Whether another reading would not help: what is unproven could not be read at all.
    fn lacks_only_unreadable(&self) -> bool {
        self.held != HeldBy::Nothing
            && self.files.iter().all(|file| file.is_proven || file.copy.is_none())
    }
}
