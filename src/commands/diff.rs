//! `diff`: the rows in which two states of a database differ.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;
use tempfile::SpooledTempFile;

use crate::access::Context;
use crate::access::classify::describe;
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::row_text::{self, EVENT_FIELDS, Integers};
use crate::access::states::{StateRange, States, changed_pages};
use crate::history::rows::{
    Catalog, Comparison, LeftOut, SchemaChange, SetFormat, State, TableCounts, Where, put_script,
    put_table, schema_changes,
};
use crate::history::snapshot::Snapshot;
use crate::output::{ErrorReport, FileName, ItemList, ItemStream, Output, write_report};
use crate::scan::KnownFrames;
use crate::storage::new_file::is_same_file;
use crate::storage::{Existing, NewFile};

mod report;

use report::{DiffStat, StateAt, TableDiff};

/// Show the rows in which two states of a database differ
///
/// Every commit of the log is a state of the database; FROM and TO are numbers of transactions (see
/// txn-list), 0 for the database file before the log, or last. Without them, everything that the
/// log has done is shown. Rows are compared by their key, with typed values.
///
/// With --sql, a script is written that makes TO of FROM when the sqlite3 shell runs it; with
/// --invert, it makes FROM of TO: what transaction 41 deleted comes back by
/// `walsmith diff app.db 40..41 --invert --sql | sqlite3 app.db`.
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
    /// Only how many rows of each table differ
    #[arg(long, conflicts_with = "sql")]
    pub stat: bool,
    /// Only this table; may be repeated
    #[arg(long, value_name = "NAME")]
    pub table: Vec<String>,
    /// The way back: TO..FROM
    #[arg(long)]
    pub invert: bool,
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
        for set in self.sets().iter().map(|(path, _)| path) {
            self.is_free(set, &files, context)?;
        }
        let found = held::hold(&files, &self.hold, KnownFrames::LIMIT, context, |held| {
            self.compare(&files, held, context)
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
        let states = States::of(held, files, context)?;
        let range = self.range.unwrap_or(StateRange::WHOLE);
        let [mut from, mut to] = [range.from, range.to];
        if self.invert {
            std::mem::swap(&mut from, &mut to);
        }
        let (from, to) = (states.snapshot(from)?, states.snapshot(to)?);
        let past = states.past(from.to_frame.min(to.to_frame), context)?;
        let (before, after) = (past.state(&from)?, past.state(&to)?);
        let about = || About(files.database.clone().unwrap_or_else(|| files.wal.clone()));
        let catalogs = [
            Catalog::read(&before).with_context(about)?,
            Catalog::read(&after).with_context(about)?,
        ];
        let before = State { pages: &before, catalog: &catalogs[0] };
        let after = State { pages: &after, catalog: &catalogs[1] };
        let mut comparison =
            Comparison::new(before, after, &changed_pages(&from, &to)).with_context(about)?;
        self.choose(&mut comparison, &about().0)?;
        let head = Head { files, states: &states, from: &from, to: &to };
        let mut text = SpooledTempFile::new(SPOOL_BYTES);
        let damaged = states.examination().is_some_and(|it| Exit::of(it.verdict) == Exit::Found);
        if damaged {
            context.warn(
                "the log is damaged: these are the states that SQLite sees, and what comes after \
                 the damage is not among them",
            );
        }
        let (differs, left_out, stat) = match (self.sql, self.stat || !self.sets().is_empty()) {
            (true, _) => {
                let (differs, left_out) = self.write_sql(&comparison, &head, &mut text)?;
                (differs, left_out, None)
            }
            (false, true) => {
                let stat = stat_of(&comparison, &head)?;
                (stat.differs(), Vec::new(), Some(stat))
            }
            (false, false) => {
                let differs = self.write_rows(&comparison, &head, &mut text, context)?;
                (differs, Vec::new(), None)
            }
        };
        let mut sets = Vec::new();
        let (mut left_out, mut stat) = (left_out, stat);
        for (path, format) in self.sets() {
            let (file, missing) = write_set(&comparison, path, format, context)?;
            sets.push(file);
            left_out = missing;
        }
        let incomplete = !left_out.is_empty();
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

    fn write_sql(
        &self,
        comparison: &Comparison<'_>,
        head: &Head<'_>,
        text: &mut SpooledTempFile,
    ) -> Result<(bool, Vec<LeftOut>)> {
        let mut has_lines = false;
        let (from, to) = (head.from.to_txn, head.to.to_txn);
        let left_out = put_script(comparison, self.by, &mut |line| {
            if !has_lines {
                writeln!(
                    text,
                    "-- walsmith diff: from the state after transaction {from} to {to}"
                )?;
                has_lines = true;
            }
            Ok::<_, anyhow::Error>(writeln!(text, "{line}")?)
        })?;
        Ok((has_lines, left_out))
    }

    fn write_rows(
        &self,
        comparison: &Comparison<'_>,
        head: &Head<'_>,
        text: &mut SpooledTempFile,
        context: &Context,
    ) -> Result<bool> {
        let shape = &context.output;
        let mut output = Output {
            color: shape.color,
            width_columns: shape.width_columns,
            charset: shape.charset,
            quiet: shape.quiet,
            ..Output::new(text, shape.format)
        };
        let list =
            ItemList { command: "diff", head: &head.json(), list: "rows", columns: &EVENT_FIELDS };
        let mut stream = ItemStream::open(&mut output, &list)?;
        let schema_changes = schema_changes(comparison.before.catalog, comparison.after.catalog);
        let listed = self.list(comparison, &schema_changes, &mut stream);
        match listed {
            Ok(tables) => {
                let differs = !schema_changes.is_empty() || !tables.is_empty();
                let tail = json!({ "tables": tables, "schema_changes": schema_changes });
                stream.close(&tail)?;
                Ok(differs)
            }
            Err(error) => {
                let report: ErrorReport = describe(&error).1;
                stream.fail(&report)?;
                Err(error)
            }
        }
    }

    fn list(
        &self,
        comparison: &Comparison<'_>,
        schema_changes: &[SchemaChange],
        stream: &mut ItemStream<'_, '_>,
    ) -> Result<Vec<TableDiff>> {
        stream.people(|to, paint, width| {
            schema_changes
                .iter()
                .try_for_each(|change| row_text::schema_change_line(to, change, paint, width))
        })?;
        let mut tables = Vec::new();
        for table in &comparison.tables {
            let pair = &table.0;
            let mut counts = TableCounts::default();
            comparison.visit(table, &mut |event| {
                let first = counts.total() == 0;
                counts.count(event.op());
                let human = |to: &mut dyn Write, paint: &_, width| {
                    if first {
                        report::table_heading(to, pair.name(), paint)?;
                    }
                    writeln!(to, "{}", row_text::event_line(pair, &event, paint, width))
                };
                let item = || row_text::event_json(None, pair, &event, self.integers);
                Ok::<_, anyhow::Error>(stream.item(item, human)?)
            })?;
            if counts.total() > 0 {
                tables.push(TableDiff::of(pair, counts, comparison));
            }
        }
        stream.people(|to, _, width| report::summary(to, &tables, schema_changes, width))?;
        Ok(tables)
    }
}

/// What is said of the two states.
struct Head<'h> {
    files: &'h Files,
    states: &'h States<'h>,
    from: &'h Snapshot,
    to: &'h Snapshot,
}

impl Head<'_> {
    fn json(&self) -> serde_json::Value {
        json!({
            "database": self.files.database.as_deref().map(FileName::from),
            "wal": FileName::from(&self.files.wal),
            "salts": self.states.salts(),
            "from": StateAt::of(self.from),
            "to": StateAt::of(self.to),
        })
    }
}

fn stat_of(comparison: &Comparison<'_>, head: &Head<'_>) -> Result<DiffStat> {
    let mut tables = Vec::new();
    for table in &comparison.tables {
        let mut counts = TableCounts::default();
        comparison.visit(table, &mut |event| {
            counts.count(event.op());
            Ok::<_, anyhow::Error>(())
        })?;
        if counts.total() > 0 {
            tables.push(TableDiff::of(&table.0, counts, comparison));
        }
    }
    Ok(DiffStat {
        database: head.files.database.as_deref().map(FileName::from),
        wal: FileName::from(&head.files.wal),
        salts: head.states.salts(),
        from: StateAt::of(head.from),
        to: StateAt::of(head.to),
        tables,
        schema_changes: schema_changes(comparison.before.catalog, comparison.after.catalog),
        left_out: Vec::new(),
    })
}

/// A changeset or patchset in a file that has no name yet.
fn write_set(
    comparison: &Comparison<'_>,
    path: &Path,
    format: SetFormat,
    context: &Context,
) -> Result<(Box<dyn NewFile>, Vec<LeftOut>)> {
    let file = context.vfs.new_file(path)?;
    let mut buffer: Vec<u8> = Vec::new();
    let mut offset = 0_u64;
    let mut left_out = Vec::new();
    for table in &comparison.tables {
        let missing = put_table(format, comparison, table, &mut |bytes| {
            buffer.extend_from_slice(bytes);
            if buffer.len() >= SPOOL_BYTES {
                file.write_at(&buffer, offset)?;
                offset += buffer.len() as u64;
                buffer.clear();
            }
            Ok::<_, anyhow::Error>(())
        })?;
        left_out.extend(missing);
    }
    file.write_at(&buffer, offset)?;
    Ok((file, left_out))
}
