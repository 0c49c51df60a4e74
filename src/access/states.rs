//! States of a database by the transactions of its log: the file before the log, each commit, the
//! newest one.

use std::collections::HashSet;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::database;
use crate::format::{FrameNo, PageSize, Pgno, Salts};
use crate::history::committed::CommittedFrames;
use crate::history::past::{Backfilled, Past};
use crate::history::rows::ChangedPages;
use crate::history::snapshot::{self, Snapshot};
use crate::log::{Examination, LogShape};
use crate::storage::File;

use super::failure::{About, Exit, Failure};
use super::files::Files;
use super::held::Held;
use super::{Context, holders};

/// A state, as an argument names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    /// After this transaction; 0 is the file before the log.
    Txn(u32),
    /// After the last one.
    Last,
    /// After the commit in this frame.
    Frame(FrameNo),
}

impl FromStr for StateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            text => match text.strip_prefix("frame:") {
                Some(frame) => frame.parse().map(|frame| Self::Frame(FrameNo(frame))),
                None => text.parse().map(Self::Txn),
            }
            .map_err(|_| {
                format!("`{text}` is no state: the number of a transaction, last, or frame:N")
            }),
        }
    }
}

impl From<StateName> for snapshot::Target {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Txn(txn) => Self::Txn(txn),
            StateName::Last => Self::Last,
            StateName::Frame(frame) => Self::Frame(frame),
        }
    }
}

/// A state, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StateAt {
    /// The transaction that made it; 0 for the file before the log.
    pub txn: u32,
    /// Its commit frame; 0 for the file before the log.
    pub frame: u32,
}

impl From<&Snapshot> for StateAt {
    fn from(snapshot: &Snapshot) -> Self {
        Self { txn: snapshot.to_txn, frame: snapshot.to_frame }
    }
}

/// Two states, `FROM..TO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRange {
    /// The first.
    pub from: StateName,
    /// The second.
    pub to: StateName,
}

impl StateRange {
    /// From the file before the log to its last transaction.
    pub const WHOLE: Self = Self { from: StateName::Txn(0), to: StateName::Last };
}

impl FromStr for StateRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((from, to)) = text.split_once("..") else {
            let name: StateName = text.parse()?;
            let (StateName::Txn(txn), true) = (name, name != StateName::Txn(0)) else {
                return Err("expected FROM..TO, or the number of a transaction".to_owned());
            };
            return Ok(Self { from: StateName::Txn(txn - 1), to: name });
        };
        let or = |part: &str, open| if part.is_empty() { Ok(open) } else { part.parse() };
        Ok(Self { from: or(from, Self::WHOLE.from)?, to: or(to, Self::WHOLE.to)? })
    }
}

/// The states of a database that is held.
pub struct States<'h> {
    held: &'h Held,
    files: &'h Files,
    log: Option<(&'h dyn File, LogShape, &'h Examination)>,
    page_size: PageSize,
    frames: CommittedFrames,
}

impl<'h> States<'h> {
    /// The states that `held` has.
    ///
    /// # Errors
    /// When neither log nor file tells the page size, or the log cannot be read.
    pub fn of(held: &'h Held, files: &'h Files, context: &Context) -> Result<Self> {
        let log = held.log.as_ref().and_then(|log| {
            let has_commits = log.examination.prefix.mx_frame > 0;
            let shape = log.examination.shape.filter(|_| has_commits)?;
            Some((log.file.as_ref(), shape, &log.examination))
        });
        let in_log = log.map(|(_, shape, _)| shape.page_size());
        let page_size = match (in_log, &held.database) {
            (Some(page_size), _) => page_size,
            (None, Some(file)) => {
                let header = database::header_of_file(file.as_ref())?;
                header
                    .and_then(|header| header.page_size())
                    .ok_or_else(|| Failure::unsupported(file.path(), "it has no database header"))?
            }
            (None, None) => {
                let path = files.database.as_deref().unwrap_or(&files.wal);
                return Err(Failure::NoDatabase { path: path.to_owned() }.into());
            }
        };
        let frames = match log {
            Some((file, _, examination)) => {
                let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
                CommittedFrames::of(examination.facts(file, committed, context.watch))?
            }
            None => CommittedFrames::default(),
        };
        Ok(Self { held, files, log, page_size, frames })
    }

    /// The salts of the log that the transactions are of.
    #[must_use]
    pub fn salts(&self) -> Option<Salts> {
        self.log.map(|(_, shape, _)| shape.salts)
    }

    /// The same, as reports have it.
    #[must_use]
    pub fn salts_pair(&self) -> Option<[u32; 2]> {
        self.salts().map(|salts| [salts.salt1, salts.salt2])
    }

    /// What is known of the log, where it has commits.
    #[must_use]
    pub fn examination(&self) -> Option<&'h Examination> {
        self.log.map(|(_, _, examination)| examination)
    }

    /// Whether the log is damaged, so that it may have had more states. It may have none left.
    #[must_use]
    pub fn is_log_damaged(&self) -> bool {
        let examination = self.held.log.as_ref().map(|log| &log.examination);
        examination.is_some_and(|it| Exit::of(it.verdict) == Exit::Found)
    }

    /// Its committed frames.
    #[must_use]
    pub fn frames(&self) -> &CommittedFrames {
        &self.frames
    }

    /// The snapshot of a state.
    ///
    /// # Errors
    /// When the log has no such transaction.
    pub fn snapshot(&self, name: StateName) -> Result<Snapshot> {
        let transactions = self.frames.transactions();
        let asked = match name {
            StateName::Txn(txn) => txn,
            StateName::Last => transactions,
            StateName::Frame(frame) => {
                let found = self.frames.txn_of(frame);
                found.with_context(|| About(self.files.wal.clone()))?
            }
        };
        let no_such = || snapshot::Error::NoSuchTxn { asked, transactions };
        self.frames
            .snapshot(asked)
            .ok_or_else(no_such)
            .with_context(|| About(self.files.wal.clone()))
    }

    /// The pages of all states from the commit in `oldest_frame` on, as far as they are there.
    ///
    /// # Errors
    /// When that cannot be promised without locks, or a file cannot be read.
    pub fn past(&self, oldest_frame: u32, context: &Context) -> Result<Past<'_>> {
        let backfilled = match &self.held.index {
            Some(index) => {
                let attempted = index.backfill_attempted;
                if attempted > oldest_frame && !self.held.is_locked() {
                    let path = self.files.database.as_deref().unwrap_or(&self.files.wal);
                    let why = "a checkpoint may overwrite pages of that state while it is read";
                    return Err(Failure::refused(path, why, "leave --no-lock out").into());
                }
                // So that it is looked at again afterwards.
                let _ = self.held.holds_commit(oldest_frame);
                Some(Backfilled { attempted, is_kept: true })
            }
            None => match self.salts() {
                Some(salts) => by_left_index(self.files, salts, context)?,
                None => None,
            },
        };
        let log = self.log.map(|(file, shape, _)| (file, shape));
        let base = self.held.database.as_deref();
        let past = Past::new(self.page_size, base, (log, &self.frames), backfilled)?;
        Ok(if self.is_log_damaged() { past.of_damaged_log() } else { past })
    }
}

/// How far checkpoints have gone, by an index of the log with `salts` that nobody keeps.
///
/// # Errors
/// When it cannot be read.
pub fn by_left_index(files: &Files, salts: Salts, context: &Context) -> Result<Option<Backfilled>> {
    let index = holders::read_index(files, context)?.filter(|index| index.salts == salts);
    Ok(index.map(|index| Backfilled { attempted: index.backfill_attempted, is_kept: false }))
}

/// Pages whose images may differ between two states of one log: they are in different frames.
#[must_use]
pub fn changed_pages(from: &Snapshot, to: &Snapshot) -> ChangedPages {
    let (older, newer) = if from.to_frame <= to.to_frame { (from, to) } else { (to, from) };
    let written = newer.pages.iter().filter(|(_, frame)| frame.0 > older.to_frame);
    let mut changed: HashSet<Pgno> = written.map(|(page, _)| *page).collect();
    // A state has no frame of a page after its end.
    for (one, other) in [(older, newer), (newer, older)] {
        if let Some(end) = other.db_size_pages {
            changed.extend(one.pages.range(Pgno(end.saturating_add(1))..).map(|(page, _)| *page));
        }
    }
    ChangedPages::These(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ByteOrder;
    use crate::scan::FrameFacts;

    #[test]
    fn pages_have_changed_that_are_in_other_frames() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..500 {
            let facts = (1..=random.u32(1..60)).map(|frame| {
                let commit = if random.bool() { random.u32(1..12) } else { 0 };
                let header = [random.u32(1..12), commit, 0, 0, 0, 0].map(u32::to_be_bytes);
                Ok(FrameFacts::judge(FrameNo(frame), header.as_flattened(), ByteOrder::Big))
            });
            let frames = CommittedFrames::of(facts.collect::<Vec<_>>().into_iter()).unwrap();
            let states = (0..=frames.transactions()).map(|txn| frames.snapshot(txn).unwrap());
            let states: Vec<Snapshot> = states.collect();
            for from in &states {
                for to in &states {
                    let all = from.pages.keys().chain(to.pages.keys());
                    let wanted = all.filter(|page| from.pages.get(page) != to.pages.get(page));
                    let ChangedPages::These(found) = changed_pages(from, to) else { panic!() };
                    assert_eq!(found, wanted.copied().collect(), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn states_are_named_by_transaction_by_frame_or_as_the_last() {
        for (text, wanted) in [
            ("0", Some(StateName::Txn(0))),
            ("41", Some(StateName::Txn(41))),
            ("last", Some(StateName::Last)),
            ("frame:7", Some(StateName::Frame(FrameNo(7)))),
            ("frame:", None),
            ("frame:x", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), wanted, "{text}");
        }
        let range: StateRange = "frame:3..last".parse().unwrap();
        let from = StateName::Frame(FrameNo(3));
        assert_eq!(range, StateRange { from, to: StateName::Last });
        assert!("frame:3".parse::<StateRange>().is_err());
    }
}
