//! The snapshot of a transaction: which frame holds the newest image of each page.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::format::{FrameNo, PageSize, Pgno};
use crate::log::{LogShape, Prefix};
use crate::scan::{self, FrameFacts, Watch};
use crate::storage::File;

use super::page_map::PageMap;

/// The database as of one commit frame. Pages that are not in the map come from the database file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit frame; 0 for the database file alone.
    pub to_frame: u32,
    /// The transaction that it commits; 0 for the database file alone.
    pub to_txn: u32,
    /// Commit size of that frame; `None` for the database file alone.
    pub db_size_pages: Option<u32>,
    /// Newest frame at or before `to_frame` for each page of the snapshot, ascending.
    pub pages: BTreeMap<Pgno, FrameNo>,
}

/// Which commit of the prefix a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The last one: what SQLite sees.
    Last,
    /// The n-th transaction; 0 is the database file alone.
    Txn(u32),
    /// The commit in this frame.
    Frame(FrameNo),
}

/// Why a snapshot could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error(transparent)]
    Scan(#[from] scan::Error),
    /// There is no such transaction.
    #[error("transaction {asked} is not in the log: it has {transactions}")]
    NoSuchTxn {
        /// The transaction asked for.
        asked: u32,
        /// How many there are.
        transactions: u32,
    },
    /// The frame commits nothing.
    #[error(
        "frame {asked} is not a commit frame; the commit before it is frame {before}, \
         the next one {}",
        or_none(*next)
    )]
    NotACommit {
        /// The frame asked for.
        asked: FrameNo,
        /// Last commit frame before it; 0 without one.
        before: u32,
        /// First commit frame after it.
        next: Option<FrameNo>,
    },
}

fn or_none(frame: Option<FrameNo>) -> String {
    frame.map_or("none".to_owned(), |frame| frame.to_string())
}

/// Maps pages to frames as of `target`.
///
/// # Errors
/// When the log cannot be read, or `target` names no commit of the prefix.
pub fn snapshot(
    file: &dyn File,
    shape: &LogShape,
    prefix: &Prefix,
    target: Target,
    watch: &dyn Watch,
) -> Result<Snapshot, Error> {
    let committed = FrameNo::FIRST..FrameNo(prefix.mx_frame + 1);
    snapshot_of(shape.facts(file, committed, watch), target)
}

/// The same from `committed`, the facts of all committed frames in file order.
///
/// # Errors
/// When the log cannot be read, or `target` names no commit of the prefix.
pub fn snapshot_of(
    mut committed: impl Iterator<Item = Result<FrameFacts, scan::Error>>,
    target: Target,
) -> Result<Snapshot, Error> {
    let mut fold = Fold { target, snapshot: Snapshot::default(), pages: PageMap::default() };
    let mut open: Vec<(Pgno, FrameNo)> = Vec::new();
    if target == Target::Txn(0) {
        return Ok(fold.snapshot);
    }
    // Nearly twice as fast as a loop over `next`.
    let end = committed.try_for_each(|facts| {
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => return ControlFlow::Break(Err(error.into())),
        };
        open.push((facts.header.page, facts.frame));
        match facts.commit_size_pages() {
            Some(db_size_pages) => fold.commit(facts.frame, db_size_pages, &mut open),
            None => ControlFlow::Continue(()),
        }
    });
    let to_frame = fold.snapshot.to_frame;
    match (end, target) {
        (ControlFlow::Break(Err(error)), _) => Err(error),
        (ControlFlow::Break(Ok(())), _) | (_, Target::Last) => {
            Ok(fold.snapshot.with_pages(&fold.pages))
        }
        (_, Target::Txn(asked)) => {
            Err(Error::NoSuchTxn { asked, transactions: fold.snapshot.to_txn })
        }
        (_, Target::Frame(asked)) => Err(Error::NotACommit { asked, before: to_frame, next: None }),
    }
}

/// The snapshot of the frames up to the last commit that was reached.
struct Fold {
    target: Target,
    snapshot: Snapshot,
    pages: PageMap<FrameNo>,
}

impl Fold {
    /// Takes the transaction of the frames in `open`; breaks where that is the target, or lies
    /// after it.
    fn commit(
        &mut self,
        commit: FrameNo,
        db_size_pages: u32,
        open: &mut Vec<(Pgno, FrameNo)>,
    ) -> ControlFlow<Result<(), Error>> {
        let snapshot = &mut self.snapshot;
        if let Target::Frame(asked) = self.target
            && commit > asked
        {
            let before = snapshot.to_frame;
            let next = Some(commit);
            return ControlFlow::Break(Err(Error::NotACommit { asked, before, next }));
        }
        for (page, frame) in open.drain(..) {
            self.pages.insert(page, frame);
        }
        snapshot.to_frame = commit.0;
        snapshot.to_txn += 1;
        snapshot.db_size_pages = Some(db_size_pages);
        let is_reached = match self.target {
            Target::Last => false,
            Target::Txn(txn) => snapshot.to_txn == txn,
            Target::Frame(frame) => commit == frame,
        };
        if is_reached { ControlFlow::Break(Ok(())) } else { ControlFlow::Continue(()) }
    }
}

/// The state of the last of `committed` as [`snapshot_of`] gives it, with `size_pages` instead of
/// its commit size.
///
/// # Errors
/// When the log cannot be read.
pub fn resized_snapshot_of(
    committed: impl Iterator<Item = Result<FrameFacts, scan::Error>>,
    size_pages: u32,
) -> Result<Snapshot, scan::Error> {
    let mut snapshot = Snapshot { db_size_pages: Some(size_pages), ..Snapshot::default() };
    let mut pages = PageMap::default();
    for facts in committed {
        let facts = facts?;
        pages.insert(facts.header.page, facts.frame);
        if facts.commit_size_pages().is_some() {
            snapshot.to_frame = facts.frame.0;
            snapshot.to_txn += 1;
        }
    }
    Ok(snapshot.with_pages(&pages))
}

impl Snapshot {
    /// Whether a page of the state has no frame up to it, but for that of the lock bytes.
    #[must_use]
    pub fn takes_pages_from_file(&self, page_size: PageSize) -> bool {
        let Some(size_pages) = self.db_size_pages else { return true };
        let lock = page_size.lock_byte_page();
        let wanted = size_pages - u32::from(lock.0 <= size_pages);
        let held = self.pages.keys().filter(|page| **page != lock && page.0 > 0);
        u32::try_from(held.count()).is_ok_and(|held| held < wanted)
    }

    /// Pages after the commit size are not part of the database (wal.c walCheckpoint).
    fn with_pages(mut self, pages: &PageMap<FrameNo>) -> Self {
        let size = self.db_size_pages.unwrap_or(u32::MAX);
        let pages = pages.iter().filter(|(page, _)| page.0 <= size);
        self.pages = pages.map(|(page, frame)| (page, *frame)).collect();
        self
    }
}
