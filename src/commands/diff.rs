//! `diff`: the rows in which two states of a database differ.

use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use tempfile::SpooledTempFile;

use crate::access::Context;
use crate::access::accept::{AcceptArgs, tell_likely};
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::row_text::Integers;
use crate::access::states::{StateName, StateRange, States, changed_pages};
use crate::diagnosis::states_can_be_told;
use crate::history::rows::{
    Catalog, ChangedPages, Comparison, Missing, SetFormat, State, Where, unlike_pages,
};
use crate::history::state_pages::StatePages;
use crate::output::write_report;
use crate::scan::KnownFrames;
use crate::storage::new_file::is_same_file;
use crate::storage::{Existing, NewFile};

mod report;
mod written;

use report::DiffStat;
use written::{Head, stat_of, write_set};

/// Show the rows in which two states of a database differ
///
/// Every commit of the log is a state of the database; FROM and TO are numbers of transactions (see
/// txn-list), 0 for the database file before the log, or last. Without them, everything that the
/// log has done is shown. Rows are compared by their key, with typed values. With --with, the
/// newest states of two databases are compared instead.
///
/// With --sql, a script is written that makes TO of FROM when the sqlite3 shell runs it; with
/// --invert, it makes FROM of TO: what transaction 41 deleted comes back by
/// `walsmith diff app.db 40..41 --invert --sql | sqlite3 app.db`.
///
/// Rows have the columns that are stored. VIRTUAL columns are computed when they are read: they are
/// neither shown nor compared.
///
/// Exits with 0 where nothing differs, with 1 where something does.
#[derive(Args, Clone, Debug)]
pub struct Diff {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The two states: 0..last where this is not given; N alone is what transaction N did
    #[arg(value_name = "FROM..TO")]
    pub range: Option<StateRange>,
    /// Compare with the newest state of this other database instead
    #[arg(long, value_name = "OTHER", conflicts_with = "range")]
    pub with: Option<PathBuf>,
    /// Only how many rows of each table differ
    #[arg(long, conflicts_with = "sql")]
    pub stat: bool,
    /// Only this table; may be repeated
    #[arg(long, value_name = "NAME")]
    pub table: Vec<String>,
    /// The way back: TO..FROM
    #[arg(long)]
    pub invert: bool,
    /// Where a checkpoint has overwritten pages of a state, tell what is known: a row that the
    /// other state may have had on them is `present`
    #[arg(long, conflicts_with_all = ["sql", "changeset", "patchset", "with"])]
    pub partial: bool,
    /// Write a script of SQL that makes TO of FROM
    #[arg(long)]
    pub sql: bool,
    /// What a statement of --sql asks of the row that it changes
    #[arg(long = "where", value_enum, default_value_t, requires = "sql", value_name = "WHAT")]
    pub by: Where,
    /// Write the rows to this new file in SQLite's changeset format
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub changeset: Option<PathBuf>,
    /// Write the rows to this new file in SQLite's patchset format
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub patchset: Option<PathBuf>,
    /// Replace existing files
    #[arg(long)]
    pub force: bool,
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
    exit: Exit,
    /// What was written, kept until it is known that the files stood still.
    text: SpooledTempFile,
    stat: Option<DiffStat>,
    sets: Vec<Box<dyn NewFile>>,
}

/// Bytes of output that are kept in memory.
const SPOOL_BYTES: usize = 1 << 20;

impl Diff {
    /// Runs the command.
    ///
    /// # Errors
    /// When a state is not there, or its rows cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        if self.changeset.is_some() && self.changeset == self.patchset {
            return Err(Failure::Usage("--changeset and --patchset name one file".into()).into());
        }
        for set in self.sets().iter().map(|(path, _)| path) {
            self.is_free(set, &files, context)?;
        }
        let found =
            held::hold(&files, &self.hold, KnownFrames::LIMIT, context, |held| match &self.with {
                None => self.compare(&files, held, context),
                Some(other) => self.compare_with(other, &files, held, context),
            })?;
        let Found { exit, mut text, stat, sets } = found;
        for set in sets {
            let existing = if self.force { Existing::Replace } else { Existing::Keep };
            set.publish(existing, files.database.as_deref())?;
        }
        match stat {
            Some(stat) => write_report(&mut context.output, &stat)?,
            None => {
                text.seek(SeekFrom::Start(0))?;
                std::io::copy(&mut text, context.output.to)?;
                context.output.to.flush()?;
                context.output.has_stream = true;
            }
        }
        Ok(exit)
    }

    fn sets(&self) -> Vec<(&Path, SetFormat)> {
        let changeset = self.changeset.as_deref().map(|path| (path, SetFormat::Changeset));
        let patchset = self.patchset.as_deref().map(|path| (path, SetFormat::Patchset));
        changeset.into_iter().chain(patchset).collect()
    }

    fn is_free(&self, output: &Path, files: &Files, context: &Context) -> Result<()> {
        let inputs = [Some(&files.wal), files.database.as_ref(), files.shm.as_ref()];
        if inputs.into_iter().flatten().any(|input| is_same_file(output, input)) {
            let hint = "choose another name";
            return Err(Failure::refused(output, "it is a file of the database", hint).into());
        }
        if !self.force && context.vfs.exists(output)? {
            let hint = "--force replaces it";
            return Err(Failure::refused(output, "it exists already", hint).into());
        }
        Ok(())
    }

    fn compare(&self, files: &Files, held: &mut Held, context: &Context) -> Result<Found> {
        let pair = states_can_be_told(files, held, self.accept.accept_foreign, context)?;
        let states = States::of(held, files, context)?;
        let range = self.range.unwrap_or(StateRange::WHOLE);
        let [from, to] = match self.invert {
            false => [range.from, range.to],
            true => [range.to, range.from],
        };
        // The number that was typed is the one to be named.
        let (to, from) = match self.invert {
            false => (states.snapshot(to)?, states.snapshot(from)?),
            true => {
                let from = states.snapshot(from)?;
                (states.snapshot(to)?, from)
            }
        };
        let past = self.accept.of(states.past(from.to_frame.min(to.to_frame), context)?);
        let (before, after) = (past.state(&from)?, past.state(&to)?);
        let catalogs = [catalog(&before, files)?, catalog(&after, files)?];
        let before = State { pages: &before, catalog: &catalogs[0] };
        let after = State { pages: &after, catalog: &catalogs[1] };
        let head = Head { files, with: None, states: &states, pair, from: &from, to: &to };
        let changed = changed_pages(&from, &to);
        let mut found = self
            .compare_states(before, after, &changed, &head, context)
            .with_context(|| About(head.path().to_owned()))?;
        if tell_likely(&past, context) {
            found.exit = Exit::Incomplete;
        }
        Ok(found)
    }

    /// Compares with the newest state of another database.
    fn compare_with(
        &self,
        other: &Path,
        files: &Files,
        held: &mut Held,
        context: &Context,
    ) -> Result<Found> {
        let other = Files::find(context.vfs, other, &FileArgs::default())?;
        let pair = states_can_be_told(files, held, self.accept.accept_foreign, context)?;
        let states = States::of(held, files, context)?;
        held::hold(&other, &self.hold, KnownFrames::LIMIT, context, |other_held| {
            let other_pair =
                states_can_be_told(&other, other_held, self.accept.accept_foreign, context)?;
            let pair = pair.max(other_pair);
            let other_states = States::of(other_held, &other, context)?;
            let mut sides = [(&states, files), (&other_states, &other)];
            if self.invert {
                sides.reverse();
            }
            let [(from_states, from_files), (to_states, to_files)] = sides;
            let from = from_states.snapshot(StateName::Last)?;
            let to = to_states.snapshot(StateName::Last)?;
            let pasts =
                [from_states.past(from.to_frame, context)?, to_states.past(to.to_frame, context)?];
            let (before, after) = (pasts[0].state(&from)?, pasts[1].state(&to)?);
            let catalogs = [catalog(&before, from_files)?, catalog(&after, to_files)?];
            let before = State { pages: &before, catalog: &catalogs[0] };
            let after = State { pages: &after, catalog: &catalogs[1] };
            let unlike = unlike_pages(before, after, context.watch)?;
            let head =
                Head { files, with: Some(&other), states: &states, pair, from: &from, to: &to };
            self.compare_states(before, after, &unlike, &head, context)
                .with_context(|| About(head.path().to_owned()))
        })
    }

    fn compare_states(
        &self,
        before: State<'_>,
        after: State<'_>,
        changed: &ChangedPages,
        head: &Head<'_>,
        context: &Context,
    ) -> Result<Found> {
        let missing = if self.partial { Missing::Present } else { Missing::Fails };
        let mut comparison = Comparison::with_missing(before, after, changed, missing)?;
        self.choose(&mut comparison, head.path())?;
        let mut text = SpooledTempFile::new(SPOOL_BYTES);
        let damaged = head.states.is_log_damaged();
        if damaged {
            context.warn(
                "the log is damaged: these are the states that SQLite sees, and what comes after \
                 the damage is not among them",
            );
        }
        if !comparison.all_looked_at {
            context.warn(
                "pages of both states are gone: rows on them, and rows that were overwritten in \
                 place, are not among these",
            );
        }
        let mut is_partial = !comparison.all_looked_at;
        let (differs, mut left_out, mut stat) =
            match (self.sql, self.stat || !self.sets().is_empty()) {
                (true, _) => {
                    let (differs, left_out) =
                        self.write_sql(&comparison, head, &mut text, context)?;
                    (differs, left_out, None)
                }
                (false, true) => {
                    let stat = stat_of(&comparison, head)?;
                    is_partial |= stat.differences.is_partial();
                    (stat.differences.differs(), Vec::new(), Some(stat))
                }
                (false, false) => {
                    let (differs, partial) =
                        self.write_rows(&comparison, head, &mut text, context)?;
                    is_partial |= partial;
                    (differs, Vec::new(), None)
                }
            };
        let mut sets = Vec::new();
        for (path, format) in self.sets() {
            let (file, missing) = write_set(&comparison, path, format, context)?;
            sets.push(file);
            left_out = missing;
        }
        let incomplete = is_partial || !left_out.is_empty();
        if let Some(stat) = &mut stat {
            stat.left_out = left_out;
        }
        let exit = match (incomplete, differs || damaged) {
            (true, _) => Exit::Incomplete,
            (false, true) => Exit::Found,
            (false, false) => Exit::Done,
        };
        Ok(Found { exit, text, stat, sets })
    }

    /// Leaves only the tables that were asked for.
    fn choose(&self, comparison: &mut Comparison<'_>, path: &Path) -> Result<()> {
        for name in &self.table {
            let is_it = |table: &str| table.eq_ignore_ascii_case(name);
            if !comparison.tables.iter().any(|(pair, _)| is_it(pair.name())) {
                let why = format!("neither state has a table {}", name.escape_debug());
                return Err(Failure::unsupported(path, why).into());
            }
        }
        if !self.table.is_empty() {
            comparison.tables.retain(|(pair, _)| {
                self.table.iter().any(|name| name.eq_ignore_ascii_case(pair.name()))
            });
        }
        Ok(())
    }
}

fn catalog(pages: &StatePages<'_>, files: &Files) -> Result<Catalog> {
    let about = || About(files.database.clone().unwrap_or_else(|| files.wal.clone()));
    Catalog::read(pages).with_context(about)
}
