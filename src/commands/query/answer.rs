//! What SQLite answers, kept until it is known that the files stood still.

use std::io::{self, BufWriter, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use tempfile::SpooledTempFile;

use crate::access::Context;
use crate::access::accept::tell_likely;
use crate::access::failure::{About, Exit, Failure};
use crate::access::files::Files;
use crate::access::held::{self, Held, HoldArgs};
use crate::access::row_text::{value_cell, value_json};
use crate::access::states::{StateAt, StateName, States};
use crate::diagnosis::{PairProof, newest_can_be_told, states_can_be_told};
use crate::history::proven::ProvenPages;
use crate::history::snapshot::Snapshot;
use crate::output::{FileName, Output, ResultStream};
use crate::scan::KnownFrames;
use crate::sql::{Event, NamedState, Patience, Session};

use super::Query;

/// Bytes of output that are kept in memory.
const SPOOL_BYTES: usize = 1 << 20;

/// What is known when the files are let go.
struct Found {
    exit: Exit,
    text: BufWriter<SpooledTempFile>,
}

/// Runs the command.
pub(super) fn answer(query: &Query, context: &mut Context) -> Result<Exit> {
    query.names_agree()?;
    let sql = statements(query)?;
    let files = Files::find(context.vfs, &query.path, &query.files)?;
    let timeout = query.timeout.unwrap_or(HoldArgs::default().timeout);
    let hold = HoldArgs { timeout, no_lock: query.no_lock };
    let began = context.vfs.now();
    let found = held::hold(&files, &hold, KnownFrames::LIMIT, context, |held| {
        read(query, &sql, began, (&files, held), context)
    })?;
    let mut text = found.text.into_inner().map_err(io::IntoInnerError::into_error)?;
    text.seek(SeekFrom::Start(0))?;
    io::copy(&mut text, context.output.to)?;
    context.output.to.flush()?;
    context.output.has_stream = true;
    Ok(found.exit)
}

/// The text of the statements.
fn statements(query: &Query) -> Result<String> {
    let is_stdin = |name: &Path| name == Path::new("-");
    let (bytes, name) = match (&query.file, &query.sql) {
        (Some(file), _) if !is_stdin(file) => {
            let read = std::fs::read(file).with_context(|| About(file.clone()));
            (read?, file.display().to_string())
        }
        (None, Some(sql)) if sql != "-" => (sql.clone().into_bytes(), "SQL".to_owned()),
        (_, _) => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            (bytes, "stdin".to_owned())
        }
    };
    match String::from_utf8(bytes) {
        // SQLite would read up to there.
        Ok(text) if text.contains('\0') => {
            Err(Failure::Usage(format!("{name}: there is a NUL in the SQL")).into())
        }
        Ok(text) => Ok(text),
        Err(_) => Err(Failure::Usage(format!("{name}: the SQL is not UTF-8")).into()),
    }
}

fn read(
    query: &Query,
    sql: &str,
    began: Duration,
    (files, held): (&Files, &mut Held),
    context: &Context,
) -> Result<Found> {
    let wanted = [query.at].into_iter().chain(query.also.iter().map(|also| also.state));
    let can_be_told = match wanted.clone().all(|name| name == StateName::Last) {
        true => newest_can_be_told,
        false => states_can_be_told,
    };
    let pair = can_be_told(files, held, query.accept.accept_foreign, context)?;
    let states = States::of(held, files, context)?;
    let snapshots = wanted.map(|name| states.snapshot(name)).collect::<Result<Vec<_>>>()?;
    let oldest = snapshots.iter().map(|snapshot| snapshot.to_frame).min().unwrap_or_default();
    let past = query.accept.of(states.past(oldest, context)?);
    let pages: Vec<ProvenPages<'_>> =
        snapshots.iter().map(|it| ProvenPages::new(&past, it)).collect::<Result<_, _>>()?;
    let names = ["main"].into_iter().chain(query.also.iter().map(|also| also.name.as_str()));
    let named: Vec<NamedState<'_>> =
        names.zip(&pages).map(|(name, pages)| NamedState { name, pages }).collect();
    let is_damaged = states.examination().is_some_and(|it| Exit::of(it.verdict) == Exit::Found);
    if is_damaged {
        context.warn(
            "the log is damaged: this is a state that SQLite sees, and what comes after the damage \
             is in none",
        );
    }
    let head = head(query, files, (&states, pair), &snapshots);
    let mut text = BufWriter::new(SpooledTempFile::new(SPOOL_BYTES));
    let shape = &context.output;
    let mut output = Output {
        color: shape.color,
        width_columns: shape.width_columns,
        charset: shape.charset,
        ..Output::new(&mut text, shape.format)
    };
    let mut stream = ResultStream::open(&mut output, "query", &head)?;
    let patience =
        Patience { clock: context.vfs, watch: context.watch, limit: query.timeout, began };
    let about = || About(files.database.clone().unwrap_or_else(|| files.wal.clone()));
    let session = Session::open(&named, patience).with_context(about)?;
    let ran = session.run(sql, |event| {
        match event {
            Event::Columns(columns) => stream.begin(columns)?,
            Event::Row(values) => stream.row(
                || values.iter().map(|value| value_json(value, query.integers)).collect(),
                || values.iter().map(value_cell).collect(),
            )?,
        }
        Ok::<_, anyhow::Error>(())
    });
    ran.with_context(about)?;
    stream.close()?;
    let exit = match (is_damaged, tell_likely(&past, context)) {
        (true, _) => Exit::Found,
        (false, true) => Exit::Incomplete,
        (false, false) => Exit::Done,
    };
    Ok(Found { exit, text })
}

/// What the document says before the results.
fn head(
    query: &Query,
    files: &Files,
    (states, pair): (&States<'_>, Option<PairProof>),
    snapshots: &[Snapshot],
) -> Value {
    let others = query.also.iter().zip(snapshots.iter().skip(1));
    let also: Map<String, Value> =
        others.map(|(also, it)| (also.name.clone(), json!(StateAt::from(it)))).collect();
    json!({
        "database": files.database.as_deref().map(FileName::from),
        "wal": FileName::from(&files.wal),
        "salts": states.salts_pair(),
        "pair": pair,
        "at": snapshots.first().map(StateAt::from),
        "also": also,
    })
}
