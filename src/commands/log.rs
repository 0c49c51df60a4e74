//! `log`: what each transaction did to rows.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use crate::access::accept::{AcceptArgs, tell_likely};
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::row_text::{self, EVENT_FIELDS, Integers};
use crate::access::states::States;
use crate::access::{Context, NumberRange};
use crate::diagnosis::states_can_be_told;
use crate::format::FrameNo;
use crate::history::committed::CommittedFrames;
use crate::history::rows::{
    Backward, Catalog, RowEvent, SchemaChange, TablePair, TransactionRows, schema_changes,
};
use crate::history::snapshot;
use crate::output::text::escaped;
use crate::output::{FileName, Format, ItemList, ItemStream, Paint};
use crate::scan::KnownFrames;

mod entry;
mod filter;
mod spool;

use entry::{Entry, Shown};
use filter::Filter;
use spool::Spool;

/// Show what each transaction did to rows
///
/// One entry a committed transaction, newest last: its frames, the tables with how many rows it
/// inserted (+), updated (~) and deleted (-), and what it changed in the schema. --patch shows the
/// rows. Filters choose transactions by the rows that they changed: the history of one row is
/// `walsmith log app.db --table users --rowid 7 --patch`.
///
/// Where a checkpoint has overwritten what was before a transaction, its entry says `partial`: what
/// it did is not known, or not all of it. Then, the exit code is 5.
///
/// Rows have the columns that are stored. VIRTUAL columns are computed when they are read: they are
/// neither shown nor compared.
#[derive(Args, Clone, Debug)]
pub struct Log {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// One line a transaction
    #[arg(long, group = "shown")]
    pub oneline: bool,
    /// Tables and how many rows; this is the default
    #[arg(long, group = "shown")]
    pub stat: bool,
    /// The rows, too
    #[arg(short, long, group = "shown")]
    pub patch: bool,
    /// Newest first
    #[arg(long)]
    pub reverse: bool,
    /// Only transactions A to B (A, A.. and ..B are ranges too)
    #[arg(long, value_name = "A..B")]
    pub txn: Option<NumberRange>,
    /// Only rows of this table; may be repeated
    #[arg(long, value_name = "NAME")]
    pub table: Vec<String>,
    /// Only the row with this row id
    #[arg(long, value_name = "N", requires = "table", allow_hyphen_values = true)]
    pub rowid: Option<i64>,
    /// Only the row with this value in its primary key; once for each column of it
    #[arg(long, value_name = "VALUE", requires = "table", allow_hyphen_values = true)]
    pub key: Vec<String>,
    /// Only rows with a value that contains this text
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    /// What is accepted of states that are not known.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// How integers are written in JSON
    #[arg(long, value_enum, default_value_t, value_name = "AS")]
    pub integers: Integers,
    /// How the state is held while it is read.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// What is known when the files are let go.
struct Found {
    spool: Spool,
    head: serde_json::Value,
    is_damaged: bool,
    is_partial: bool,
    /// Tables that were asked for, and that no state has that was read.
    missing: Vec<String>,
    /// Earlier states were not read, or not all of them could be.
    has_more: bool,
}

impl Log {
    /// Runs the command.
    ///
    /// # Errors
    /// When the log, or the newest state, cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let found = held::hold(&files, &self.hold, KnownFrames::LIMIT, context, |held| {
            self.read(&files, held, context)
        })?;
        let Found { mut spool, head, is_damaged, is_partial, missing, has_more } = found;
        if let Some(name) = missing.first() {
            let path = files.database.as_deref().unwrap_or(&files.wal);
            let why = format!("no state has a table {}", escaped(name));
            match has_more {
                true => context.warn(format!("{why}, of those that were read")),
                false => return Err(Failure::unsupported(path, why).into()),
            }
        }
        if is_damaged {
            context.warn(
                "the log is damaged: these are the transactions that SQLite sees, and what comes \
                 after the damage is not among them",
            );
        }
        let columns: &[&str] = if self.patch { &EVENT_FIELDS } else { &entry::FIELDS };
        let list = ItemList { command: "log", head: &head, list: "transactions", columns };
        let is_quiet = context.output.quiet && context.output.format == Format::Table;
        let mut stream = ItemStream::open(&mut context.output, &list)?;
        if !is_quiet {
            spool.write(self.reverse, &mut stream)?;
        }
        stream.close(&json!({}))?;
        Ok(match (is_damaged, is_partial) {
            (true, _) => Exit::Found,
            (false, true) => Exit::Incomplete,
            (false, false) => Exit::Done,
        })
    }

    fn read(&self, files: &Files, held: &mut Held, context: &Context) -> Result<Found> {
        let pair = states_can_be_told(files, held, self.accept.accept_foreign, context)?;
        let states = States::of(held, files, context)?;
        let about = || About(files.database.clone().unwrap_or_else(|| files.wal.clone()));
        let past = self.accept.of(states.past(0, context)?);
        let mut found = Found {
            spool: Spool::new(),
            head: json!({
                "database": files.database.as_deref().map(FileName::from),
                "wal": FileName::from(&files.wal),
                "salts": states.salts_pair(),
                "pair": pair,
            }),
            is_damaged: states.is_log_damaged(),
            is_partial: false,
            missing: self.table.clone(),
            has_more: false,
        };
        if states.frames().transactions() == 0 {
            found.missing.clear();
            return Ok(found);
        }
        let transactions = states.frames().transactions();
        if let Some(range) = self.txn.filter(|range| range.first > transactions) {
            let no_such = snapshot::Error::NoSuchTxn { asked: range.first, transactions };
            return Err(no_such).with_context(|| About(files.wal.clone()));
        }
        let mut backward = Backward::new(&past).with_context(about)?;
        filter::fits(self, backward.catalog())?;
        let is_missing = |catalog: &Catalog, name: &String| {
            let mut entries = catalog.schema.entries.iter();
            !entries.any(|entry| entry.name.eq_ignore_ascii_case(name))
        };
        found.missing.retain(|name| is_missing(backward.catalog(), name));
        while self.step(&mut backward, &mut found, states.frames(), context)? {
            found.missing.retain(|name| is_missing(backward.catalog(), name));
        }
        found.missing.retain(|name| is_missing(backward.catalog(), name));
        found.has_more |= backward.txn() > 0;
        found.is_partial |= tell_likely(&past, context);
        Ok(found)
    }

    /// Reads one transaction; whether an earlier one is wanted.
    fn step(
        &self,
        backward: &mut Backward<'_>,
        found: &mut Found,
        frames: &CommittedFrames,
        context: &Context,
    ) -> Result<bool> {
        if context.watch.is_interrupted() {
            return Err(crate::scan::Error::Interrupted.into());
        }
        let txn = backward.txn();
        let is_wanted = self.txn.is_none_or(|range| range.holds(txn));
        let mut filter = Filter::new(self);
        let mut changes: Vec<SchemaChange> = Vec::new();
        let shape = &context.output;
        let paint = Paint::new(shape.color).with_charset(shape.charset);
        let mut rows = found.spool.begin();
        let mut last_table = String::new();
        let asks_for_rows = is_wanted && (self.patch || filter.has_rows());
        let mut visit = |pair: &TablePair<'_>, event: RowEvent| {
            if !filter.takes(pair, &event) || !self.patch {
                return Ok(());
            }
            let first = rows.is_empty();
            let mut to = rows.next();
            match shape.format {
                Format::Table => {
                    if last_table != pair.name() {
                        last_table = pair.name().to_owned();
                        writeln!(to, "  {}", escaped(&last_table))?;
                    }
                    let width = shape.width_columns.map(|width| width.saturating_sub(2));
                    let line = row_text::event_line(pair, &event, &paint, width);
                    writeln!(to, "  {line}")?;
                }
                Format::Csv => {
                    let row = row_text::event_json(Some(txn), pair, &event, self.integers);
                    crate::output::csv_line(to, &EVENT_FIELDS, &row)?;
                }
                Format::Json | Format::Jsonl => {
                    let row = row_text::event_json(Some(txn), pair, &event, self.integers);
                    if !first {
                        to.write_all(b",")?;
                    }
                    serde_json::to_writer(&mut to, &row)?;
                }
            }
            Ok::<_, anyhow::Error>(())
        };
        let done = backward.step(
            &mut |before, after| {
                changes = schema_changes(before, after);
                Ok(())
            },
            if asks_for_rows { Some(&mut visit) } else { None },
        )?;
        let Some(done) = done else { return Ok(false) };
        let goes_on = self.txn.is_none_or(|range| txn > range.first) && txn > 1;
        let entry = self.entry(&done, frames, changes, &filter);
        let is_shown = is_wanted && filter.shows(&entry);
        found.is_partial |= is_shown && entry.partial;
        found.has_more |= entry.partial;
        let head = is_shown.then(|| {
            let shown = Shown { oneline: self.oneline, patch: self.patch };
            entry.render(shown, shape.format, &paint, shape.width_columns)
        });
        rows.end(head.transpose()?)?;
        Ok(goes_on)
    }

    fn entry(
        &self,
        done: &TransactionRows,
        frames: &CommittedFrames,
        schema_changes: Vec<SchemaChange>,
        filter: &Filter<'_>,
    ) -> Entry {
        let own = frames.frames(done.txn);
        let commit = frames.commit(done.txn);
        Entry {
            txn: done.txn,
            first_frame: FrameNo(*own.start()),
            last_frame: FrameNo(*own.end()),
            frames: own.end() + 1 - own.start(),
            pages: done.pages,
            tables: filter.tables(done),
            schema_changes,
            db_size_pages: commit.map_or(0, |commit| commit.db_size_pages),
            partial: done.loss.is_some(),
            partial_because: done.loss.as_ref().map(|loss| loss.0.clone()),
        }
    }
}
