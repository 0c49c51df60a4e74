//! What each transaction of a log did to rows, from the last one back to the first.
//!
//! The newest state is the one that is always whole: checkpoints overwrite what was before. So the
//! owners of pages are learned there, and kept up going back.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::database::Pages;
use crate::format::{FrameNo, Pgno};
use crate::history::page_map::PageMap;
use crate::history::past::Past;
use crate::history::state_pages::StatePages;

use super::Error;
use super::acts::{Loss, TransactionRows};
use super::step::{Known, Visit};
use super::table::Catalog;

/// Goes through the transactions of a log, newest first.
pub struct Backward<'p> {
    states: BackwardStates<'p>,
    known: Known,
    lost: Option<Loss>,
}

impl<'p> Backward<'p> {
    /// Begins at the newest state.
    ///
    /// # Errors
    /// When that state cannot be read.
    pub fn new(past: &'p Past<'p>) -> Result<Self, Error> {
        let states = BackwardStates::new(past)?;
        let known = Known::of(&states.pages())?;
        Ok(Self { states, known, lost: None })
    }

    /// The transaction that made the state that is known; 0 is the file before the log.
    #[must_use]
    pub fn txn(&self) -> u32 {
        self.states.txn
    }

    /// The tables of the state that is known.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.known.catalog()
    }

    /// Goes one transaction back: tells `visit` of every row that it changed (where it is `None`,
    /// rows are only counted), and `schema` of its
    /// two catalogs where it changed the schema; returns what it did. `None` before the first one.
    ///
    /// # Errors
    /// When a page cannot be read, or whoever is told fails. What is gone or damaged is no error:
    /// the result says so.
    pub fn step<E: From<Error>>(
        &mut self,
        schema: &mut dyn FnMut(&Catalog, &Catalog) -> Result<(), E>,
        mut visit: Option<&mut Visit<'_, E>>,
    ) -> Result<Option<TransactionRows>, E> {
        let Self { states, known, lost } = self;
        let txn = states.txn;
        states.back(&mut |before, after, pages| {
            let mut done =
                TransactionRows { txn, pages: pages.len(), ..TransactionRows::default() };
            if lost.is_none()
                && let Err(error) =
                    known.go_back((before, after), pages, schema, visit.as_deref_mut(), &mut done)
            {
                *lost = Some(error.loss()?);
            }
            if done.loss.is_none() {
                done.loss.clone_from(lost);
            }
            Ok(done)
        })
    }
}

/// Compares a state with the one after it, whose frames have these pages.
type Compare<'c, T, E> = dyn FnMut(&dyn Pages, &dyn Pages, &HashSet<Pgno>) -> Result<T, E> + 'c;

/// The states of a log, newest first.
pub(super) struct BackwardStates<'p> {
    past: &'p Past<'p>,
    /// The frame of each page in the state that has been reached.
    newest: PageMap<FrameNo>,
    size_pages: u32,
    /// The transaction that made it.
    pub(super) txn: u32,
}

/// No page differs.
static NOTHING: LazyLock<HashMap<Pgno, Option<FrameNo>>> = LazyLock::new(HashMap::new);

impl<'p> BackwardStates<'p> {
    /// Begins at the newest one.
    pub(super) fn new(past: &'p Past<'p>) -> Result<Self, Error> {
        let txn = past.frames().transactions();
        past.read_ahead_from(txn);
        let newest = past.frames().newest_frames();
        let size_pages = match past.frames().commit(txn) {
            Some(commit) => commit.db_size_pages,
            None => past.size_pages()?,
        };
        Ok(Self { past, newest, size_pages, txn })
    }

    /// The pages of the state that has been reached.
    pub(super) fn pages(&self) -> StatePages<'_> {
        self.past.changed_state(&self.newest, &NOTHING, self.size_pages)
    }

    /// Goes to the state before the transaction. `None` before the first one.
    pub(super) fn back<T, E: From<Error>>(
        &mut self,
        compare: &mut Compare<'_, T, E>,
    ) -> Result<Option<T>, E> {
        let Some(earlier) = self.txn.checked_sub(1) else { return Ok(None) };
        let frames = self.past.frames();
        self.past.come_to(self.txn);
        let mut changed: HashMap<Pgno, Option<FrameNo>> = HashMap::new();
        for frame in frames.frames(self.txn).map(FrameNo) {
            if let Some(page) = frames.page(frame) {
                changed.entry(page).or_insert(frames.before(frame));
            }
        }
        let size_pages = match frames.commit(earlier) {
            Some(commit) => commit.db_size_pages,
            None => self.past.size_pages().map_err(Error::from)?,
        };
        let before = self.past.changed_state(&self.newest, &changed, size_pages);
        let pages = changed.keys().copied().collect();
        let compared = compare(&before, &self.pages(), &pages)?;
        for (page, frame) in changed {
            match frame {
                Some(frame) => self.newest.insert(page, frame),
                None => self.newest.remove(page),
            };
        }
        (self.size_pages, self.txn) = (size_pages, earlier);
        Ok(Some(compared))
    }
}
