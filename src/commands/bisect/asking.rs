//! What one state answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, RangeInclusive};
#[cfg(feature = "sql")]
use std::time::Duration;

use anyhow::{Error, Result};
use serde::Serialize;

use crate::access::Context;
use crate::access::states::{StateAt, StateName, States};
use crate::database::{self, Pages};
use crate::history::bisect::Holds;
use crate::history::past::Past;
use crate::history::snapshot::Snapshot;
use crate::scan::{self, Watch};
#[cfg(feature = "sql")]
use crate::storage::Vfs;
#[cfg(feature = "sql")]
use crate::{history::proven::ProvenPages, sql};

/// Problems of a state that are told.
const TOLD_PROBLEMS: usize = 5;

/// What is asked.
pub(super) enum Question {
    /// Is the structure unsound?
    Structure {
        /// But for the entries of indexes.
        quick: bool,
    },
    /// Is the first value that this gives true?
    #[cfg(feature = "sql")]
    Query {
        sql: String,
        /// How long it may take.
        limit: Option<Duration>,
    },
}

/// What a state answered.
#[derive(Debug, Serialize)]
pub(super) struct Look {
    #[serde(flatten)]
    pub(super) at: StateAt,
    /// It is unsound, or the query is true of it; `None` where that is not known.
    pub(super) holds: Option<bool>,
    /// How many problems its structure has.
    pub(super) problem_count: Option<u64>,
    /// Why it is not known.
    pub(super) why: Option<String>,
    /// The first problems.
    #[serde(skip)]
    pub(super) problems: Vec<String>,
    /// What of it was not looked at.
    #[serde(skip)]
    pub(super) not_checked: BTreeSet<String>,
    #[serde(skip)]
    pub(super) error: Option<Error>,
}

impl Look {
    fn answer(&self) -> Holds {
        match self.holds {
            Some(true) => Holds::Yes,
            Some(false) => Holds::No,
            None => Holds::Unknown,
        }
    }
}

/// Asks states, and keeps what they answered.
pub(super) struct Asker<'a> {
    question: &'a Question,
    states: &'a States<'a>,
    past: &'a Past<'a>,
    watch: &'a dyn Watch,
    #[cfg(feature = "sql")]
    clock: &'a dyn Vfs,
    /// There is a file that the first state can be.
    has_file: bool,
    /// About how many states are asked.
    expected: u64,
    looks: BTreeMap<u32, Look>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(
        question: &'a Question,
        states: &'a States<'a>,
        past: &'a Past<'a>,
        has_file: bool,
        context: &'a Context<'_>,
    ) -> Self {
        Self {
            question,
            states,
            past,
            watch: context.watch,
            #[cfg(feature = "sql")]
            clock: context.vfs,
            has_file,
            expected: 1,
            looks: BTreeMap::new(),
        }
    }

    /// Of so many states, all or by halves, progress is shown.
    pub(super) fn expect(&mut self, range: &RangeInclusive<u32>, every: bool) {
        let states = u64::from(range.end() - range.start()) + 1;
        self.expected = if every { states } else { u64::from(states.ilog2()) + 2 };
    }

    /// What the states answered.
    pub(super) fn into_looks(self) -> BTreeMap<u32, Look> {
        self.looks
    }

    /// Asks the state after a transaction, once.
    ///
    /// # Errors
    /// Where it is not the fault of this state that it has no answer.
    pub(super) fn ask(&mut self, txn: u32) -> Result<Holds> {
        if let Some(look) = self.looks.get(&txn) {
            return Ok(look.answer());
        }
        let snapshot = self.states.snapshot(StateName::Txn(txn))?;
        let look = self.look(&snapshot)?;
        let holds = look.answer();
        self.looks.insert(txn, look);
        Ok(holds)
    }

    fn look(&self, snapshot: &Snapshot) -> Result<Look> {
        let look = Look {
            at: StateAt::from(snapshot),
            holds: None,
            problem_count: None,
            why: None,
            problems: Vec::new(),
            not_checked: BTreeSet::new(),
            error: None,
        };
        if snapshot.to_txn == 0 && !self.has_file {
            return Ok(Look { why: Some("there is no database file".to_owned()), ..look });
        }
        let looking = Looking {
            watch: self.watch,
            done: self.looks.len() as u64,
            expected: self.expected.max(self.looks.len() as u64 + 1),
            page_bytes: self.past.page_size().bytes_u64(),
        };
        looking.begins(snapshot)?;
        match self.question {
            Question::Structure { quick } => self.check(snapshot, *quick, &looking, look),
            #[cfg(feature = "sql")]
            Question::Query { sql, limit } => self.query(snapshot, sql, *limit, look),
        }
    }

    fn check(
        &self,
        snapshot: &Snapshot,
        quick: bool,
        watch: &dyn Watch,
        look: Look,
    ) -> Result<Look> {
        let pages = self.past.state(snapshot)?;
        // Before its first transaction a database has no pages, and nothing is wrong with them.
        if pages.size_pages()? == 0 {
            return Ok(Look { holds: Some(false), problem_count: Some(0), ..look });
        }
        let check = if quick { database::quick_check } else { database::check };
        let health = match check(&pages, watch) {
            Ok(health) => health,
            Err(error) if error.is_of_the_state() => {
                return Ok(Look {
                    why: Some(error.to_string()),
                    error: Some(error.into()),
                    ..look
                });
            }
            Err(error) => return Err(error.into()),
        };
        let problems = health.problems.iter().take(TOLD_PROBLEMS);
        Ok(Look {
            holds: Some(!health.is_sound()),
            problem_count: Some(health.problem_count),
            problems: problems.map(ToString::to_string).collect(),
            not_checked: health.unchecked.iter().map(ToString::to_string).collect(),
            ..look
        })
    }

    #[cfg(feature = "sql")]
    fn query(
        &self,
        snapshot: &Snapshot,
        sql: &str,
        limit: Option<Duration>,
        look: Look,
    ) -> Result<Look> {
        let pages = ProvenPages::new(self.past, snapshot)?;
        let named = [sql::NamedState { name: "main", pages: &pages }];
        let (clock, watch) = (self.clock, self.watch);
        let patience = sql::Patience { clock, watch, limit, began: clock.now() };
        let answer = sql::Session::open(&named, patience).and_then(|session| session.is_true(sql));
        match answer {
            Ok(is_true) => Ok(Look { holds: Some(is_true), ..look }),
            Err(error) if error.is_of_the_state() => {
                Ok(Look { why: Some(error.to_string()), error: Some(error.into()), ..look })
            }
            Err(error) => {
                let state = format!("the state after transaction {}", snapshot.to_txn);
                Err(Error::from(error).context(state))
            }
        }
    }
}

/// Shows how far the search is: all states that are asked take about as long as this one.
struct Looking<'w> {
    watch: &'w dyn Watch,
    done: u64,
    expected: u64,
    page_bytes: u64,
}

impl Looking<'_> {
    /// # Errors
    /// When the watcher stops it.
    fn begins(&self, snapshot: &Snapshot) -> Result<(), scan::Error> {
        let pages = snapshot.db_size_pages.unwrap_or(1);
        match self.scanned(0, u64::from(pages) * self.page_bytes) {
            ControlFlow::Break(()) => Err(scan::Error::Interrupted),
            ControlFlow::Continue(()) => Ok(()),
        }
    }
}

impl Watch for Looking<'_> {
    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        let done = self.done.saturating_mul(total_bytes).saturating_add(done_bytes);
        self.watch.scanned(done, self.expected.saturating_mul(total_bytes))
    }

    fn is_interrupted(&self) -> bool {
        self.watch.is_interrupted()
    }
}
