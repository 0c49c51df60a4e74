//! States of a database by the transactions of its log: the file before the log, each commit, the
//! newest one.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Result};

use crate::database;
use crate::format::{FrameNo, PageSize, Pgno};
use crate::history::gone::{Gone, taken_from_file};
use crate::history::rows::ChangedPages;
use crate::history::snapshot::{Snapshot, Target, snapshot_of};
use crate::history::view::View;
use crate::log::{Examination, LogShape};
use crate::storage::File;

use super::failure::{About, Failure};
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
}

impl FromStr for StateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            number => number
                .parse()
                .map(Self::Txn)
                .map_err(|_| format!("`{number}` is no transaction: a number, or last")),
        }
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
}

impl<'h> States<'h> {
    /// The states that `held` has.
    ///
    /// # Errors
    /// When neither log nor file tells the page size.
    pub fn of(held: &'h Held, files: &'h Files) -> Result<Self> {
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
        Ok(Self { held, files, log, page_size })
    }

    /// The salts of the log that the transactions are of.
    #[must_use]
    pub fn salts(&self) -> Option<[u32; 2]> {
        self.log.map(|(_, shape, _)| [shape.salts.salt1, shape.salts.salt2])
    }

    /// What is known of the log, where it has commits.
    #[must_use]
    pub fn examination(&self) -> Option<&'h Examination> {
        self.log.map(|(_, _, examination)| examination)
    }

    /// The snapshot of a state, none of whose pages is gone.
    ///
    /// # Errors
    /// When the log has no such transaction, or a checkpoint has overwritten a page of that state.
    pub fn snapshot(&self, name: StateName, context: &Context) -> Result<Snapshot> {
        let snapshot = self.snapshot_anyway(name, context)?;
        match self.gone(&snapshot, context)? {
            Some(why) => Err(why.into()),
            None => Ok(snapshot),
        }
    }

    fn snapshot_anyway(&self, name: StateName, context: &Context) -> Result<Snapshot> {
        let target = match name {
            StateName::Txn(txn) => Target::Txn(txn),
            StateName::Last => Target::Last,
        };
        let Some((log, _, examination)) = self.log else {
            return match name {
                StateName::Txn(0) | StateName::Last => Ok(Snapshot::default()),
                StateName::Txn(_) => {
                    let why = "the log holds no committed transaction";
                    Err(Failure::unsupported(&self.files.wal, why).into())
                }
            };
        };
        let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
        let facts = examination.facts(log, committed, context.watch);
        snapshot_of(facts, target).with_context(|| About(self.files.wal.clone()))
    }

    /// Why a state is not there any more.
    fn gone(&self, snapshot: &Snapshot, context: &Context) -> Result<Option<Failure>> {
        let Some((_, shape, examination)) = self.log else { return Ok(None) };
        let mx_frame = examination.prefix.mx_frame;
        if snapshot.to_frame >= mx_frame || self.held.holds_commit(snapshot.to_frame) {
            return Ok(None);
        }
        let view = self.view(snapshot);
        let page_1 = match snapshot.pages.contains_key(&Pgno::FIRST) {
            true => Some(database::header(&view)?),
            false => None,
        };
        let taken = taken_from_file(&view, page_1.as_ref(), mx_frame, context.watch)?;
        let evidence = match taken.gone {
            Some(gone @ Gone::Copied { .. }) => Some(gone.to_string()),
            gone => {
                let index = holders::read_index(self.files, context)?;
                let copied = index.is_some_and(|index| {
                    index.salts == shape.salts && index.backfill > snapshot.to_frame
                });
                let by_index = (copied && taken.any).then(|| "its wal-index says so".to_owned());
                by_index.or(gone.map(|gone| gone.to_string()))
            }
        };
        Ok(evidence.map(|evidence| {
            let why = format!(
                "the state after transaction {} is gone: a checkpoint has overwritten pages of it \
                 ({evidence})",
                snapshot.to_txn
            );
            let path: &Path = self.files.database.as_deref().unwrap_or(&self.files.wal);
            let hint = "later states may be there: txn-list shows the transactions";
            Failure::refused(path, why, hint)
        }))
    }

    /// The pages of a state.
    #[must_use]
    pub fn view<'v>(&'v self, snapshot: &'v Snapshot) -> View<'v> {
        let log = self.log.as_ref().map(|(log, shape, _)| (*log, shape));
        View::new(self.page_size, log, snapshot, self.held.database.as_deref())
    }
}

/// Pages whose images may differ between two states: they are in different frames.
#[must_use]
pub fn changed_pages(from: &Snapshot, to: &Snapshot) -> ChangedPages {
    let differs = |page: &&Pgno| from.pages.get(page) != to.pages.get(page);
    from.pages.keys().chain(to.pages.keys()).filter(differs).copied().collect()
}
