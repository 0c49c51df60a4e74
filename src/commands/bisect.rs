//! `bisect`: after which transaction is something wrong?

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Error, Result};
use clap::Args;

use crate::access::Context;
use crate::access::accept::{AcceptArgs, tell_likely};
use crate::access::failure::{About, Exit};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::patience::duration;
use crate::access::states::{StateAt, StateName, StateRange, States};
use crate::diagnosis::{Doubt, Doubted, doubt_of_states, is_its_log_up_to, states_can_be_told};
use crate::history::bisect::Asked;
use crate::history::snapshot::Snapshot;
use crate::output::{FileName, write_report};
use crate::scan::KnownFrames;

mod asking;
mod change;
mod report;

use asking::{Asker, Question};
use change::{Told, change};
use report::{BisectReport, Searched};

/// Find the transaction after which a database is unsound, or a query is true
///
/// Without --query, the structure is checked, as `check` does it: the transaction is found after
/// which a b-tree, the freelist or an index is wrong for the first time. With --query, SQL is run
/// on the states, and the transaction is found after which the first value that it gives is true:
/// since when a row is missing, or two tables disagree. Both ends are looked at, and then states
/// between them by halves: of a thousand transactions about twelve.
///
/// That finds the first transaction where what has come stays. Where neither end is unsound, what
/// came may have gone again: without --query all states are looked at then, if they are small,
/// 500,000 pages together. --every looks at all states, and finds every transaction that made a
/// change. A state of which a checkpoint has overwritten pages, or of which SQLite cannot answer
/// the query, is passed over; where that leaves more than one transaction, all of them are named.
///
/// Exits with 0 where no state is unsound, or the query is true of none, with 1 where one is, and
/// with 5 where it is not known which transaction it was, or not known of all states where all are
/// looked at, or where the answer rests on pages that --accept-likely takes for unchanged.
#[derive(Args, Clone, Debug)]
pub struct Bisect {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The states to search: 0..last where this is not given
    #[arg(value_name = "FROM..TO")]
    pub range: Option<StateRange>,
    /// Find since when the first value that this SQL gives is true: 'SELECT count(*) < 100 FROM t'
    #[arg(long, value_name = "SQL", conflicts_with = "quick", allow_hyphen_values = true)]
    pub query: Option<String>,
    /// End the query of a state after this time: 5, 250ms, 1min; and how long to wait for locks,
    /// which is 5s where this is not given
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// Look at every state, and find every change
    #[arg(long)]
    pub every: bool,
    /// Leave out the values of index entries and the order of keys, as quick_check does
    #[arg(long)]
    pub quick: bool,
    /// What is accepted of earlier states.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// Take no lock: read, and again if a checkpoint came between
    #[arg(long, help_heading = "Lock options")]
    pub no_lock: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// Pages of all states together that are looked at unasked: some seconds.
const FEW_PAGES: u64 = 500_000;

impl Bisect {
    /// Runs the command.
    ///
    /// # Errors
    /// When the last state of the range cannot be looked at, the SQL is wrong or takes too long, or
    /// a file cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let question = self.question()?;
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let timeout = self.timeout.unwrap_or(HoldArgs::default().timeout);
        let hold = HoldArgs { timeout, no_lock: self.no_lock };
        let (report, is_likely) = held::hold(&files, &hold, KnownFrames::LIMIT, context, |held| {
            self.search(&question, &files, held, context)
        })?;
        write_report(&mut context.output, &report)?;
        if report.log_is_damaged {
            context.warn(
                "the log is damaged: these are the states that SQLite sees, and what comes after \
                 the damage is not among them",
            );
        }
        Ok(match report.exit() {
            _ if is_likely => Exit::Incomplete,
            Exit::Done if report.log_is_damaged => Exit::Found,
            exit => exit,
        })
    }

    /// What states are asked.
    #[cfg(feature = "sql")]
    fn question(&self) -> Result<Question> {
        Ok(match &self.query {
            Some(sql) if sql.contains('\0') => {
                use crate::access::Failure;
                return Err(Failure::Usage("--query: there is a NUL in the SQL".to_owned()).into());
            }
            Some(sql) => Question::Query { sql: sql.clone(), limit: self.timeout },
            None => Question::Structure { quick: self.quick },
        })
    }

    /// What states are asked.
    #[cfg(not(feature = "sql"))]
    fn question(&self) -> Result<Question> {
        use crate::access::Failure;
        if self.query.is_none() {
            return Ok(Question::Structure { quick: self.quick });
        }
        let why = "this walsmith was built without SQLite, which runs the SQL of --query";
        let hint = "cargo install walsmith builds it with the feature `sql`".to_owned();
        let path = self.path.clone();
        Err(Failure::Unsupported { path, why: why.to_owned(), hint: Some(hint) }.into())
    }

    fn search(
        &self,
        question: &Question,
        files: &Files,
        held: &mut Held,
        context: &Context,
    ) -> Result<(BisectReport, bool)> {
        let doubt = self.doubt(files, held, context)?;
        let states = States::of(held, files, context)?;
        let range = self.range.unwrap_or(StateRange::WHOLE);
        let [first, last] = [states.snapshot(range.from)?, states.snapshot(range.to)?];
        let (first, last) = match first.to_txn <= last.to_txn {
            true => (first, last),
            false => (last, first),
        };
        let past = self.accept.of(states.past(first.to_frame, context)?);
        let has_file = held.database.is_some();
        let mut asker = Asker::new(question, &states, &past, has_file, context);
        let numbers = first.to_txn..=last.to_txn;
        asker.expect(&numbers, self.every);
        let mut asked = match self.every {
            true => Asked::each(numbers.clone(), &mut |txn| asker.ask(txn))?,
            false => Asked::by_halves(numbers.clone(), &mut |txn| asker.ask(txn))?,
        };
        // Where the ends are sound, it may be a state between them that looks as if the log were
        // another file's.
        let is_open = !asked.turns().any(|turn| turn.comes) && asked.last().is_some();
        let is_nowhere = is_open && asked.earliest().is_some_and(|(_, holds)| !holds);
        let is_structure = self.query.is_none();
        let few =
            is_structure && is_nowhere && pages_of_all(&numbers, [&first, &last]) <= FEW_PAGES;
        let every = self.every || few || (doubt.is_some() && is_open);
        if every && !self.every {
            asker.expect(&numbers, every);
            asked = Asked::each(numbers, &mut |txn| asker.ask(txn))?;
        }
        let mut looks = asker.into_looks();
        if !self.every && asked.last().is_none() {
            let look = looks.remove(&last.to_txn);
            return Err(not_known(&StateAt::from(&last), look.and_then(|look| look.error), files));
        }
        if let Some(doubt) = &doubt {
            settle(doubt, &asked, &states, files, held, context)?;
        }
        let is_likely = tell_likely(&past, context);
        let is_foreign = self.accept.accept_foreign || doubt.is_some();
        let accept = if is_foreign { " --accept-foreign" } else { "" };
        let likely = if is_likely { " --accept-likely" } else { "" };
        let is_known = !self.accept.accept_foreign && !is_likely;
        let told = Told {
            files,
            options: format!("{}{accept}{likely}", self.files.typed()),
            states: &states,
            past: &past,
            can_rewind: is_known && held.database.is_some() && self.files.is_empty(),
        };
        let changes = asked.turns().map(|turn| change(&turn, &looks, &told));
        let changes = changes.collect::<Result<Vec<_>>>()?;
        let searched = Searched {
            database: files.database.as_deref().map(FileName::from),
            wal: FileName::from(&files.wal),
            salts: states.salts_pair(),
            from: StateAt::from(&first),
            to: StateAt::from(&last),
            query: self.query.clone(),
            every,
        };
        let report = BisectReport::of(searched, &asked, looks, changes, states.is_log_damaged());
        Ok((report, is_likely))
    }

    /// What speaks against the states, where the search may show that it comes of the last one.
    fn doubt(&self, files: &Files, held: &Held, context: &Context) -> Result<Option<Doubt>> {
        if self.query.is_some() || self.accept.accept_foreign {
            states_can_be_told(files, held, self.accept.accept_foreign, context)?;
            return Ok(None);
        }
        match doubt_of_states(files, held, context)? {
            Some(doubt) if doubt.about != Doubted::Newest => Err(doubt.refusal(files).into()),
            doubt => Ok(doubt),
        }
    }
}

/// About how many pages all states have together.
fn pages_of_all(numbers: &RangeInclusive<u32>, ends: [&Snapshot; 2]) -> u64 {
    let states = u64::from(numbers.end() - numbers.start()) + 1;
    let largest = ends.into_iter().filter_map(|end| end.db_size_pages).max();
    states.saturating_mul(largest.unwrap_or_default().into())
}

/// An unsound state looks like a log over a file that is not its own. The log up to the last state
/// that is sound tells what is the case.
fn settle(
    doubt: &Doubt,
    asked: &Asked,
    states: &States<'_>,
    files: &Files,
    held: &Held,
    context: &Context,
) -> Result<()> {
    let turn = asked.turns().find(|turn| turn.comes);
    let sound = turn.map_or_else(|| asked.last().map(|(txn, _)| txn), |turn| Some(turn.from));
    let snapshot = states.snapshot(StateName::Txn(sound.unwrap_or_default()))?;
    match is_its_log_up_to(files, held, &snapshot, context)? {
        true => Ok(()),
        false => Err(doubt.refusal(files).into()),
    }
}

/// The end of the range cannot be looked at.
fn not_known(at: &StateAt, error: Option<Error>, files: &Files) -> Error {
    let about = About(files.database.clone().unwrap_or_else(|| files.wal.clone()));
    let state = format!("the state after transaction {}", at.txn);
    match error {
        Some(error) => error.context(state).context(about),
        None => anyhow::anyhow!("{state} is not known").context(about),
    }
}
