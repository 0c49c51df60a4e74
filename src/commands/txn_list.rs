//! `txn-list`: one row a committed transaction.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::Held;
use crate::access::live::{LogOptions, Reading};
use crate::access::touched::{Touched, touched_tables};
use crate::access::{Context, NumberRange, stream};
use crate::diagnosis::states_can_be_told;
use crate::format::FrameNo;
use crate::log::Examination;
use crate::log::transactions::{Transaction, TransactionFold};
use crate::output::text::escaped;
use crate::output::{Cells, Column, Fields, FileName, Format, Room, Row, RowStream, Side, Stream};
use crate::scan::Watch;

/// List the committed transactions of a log
///
/// One row a commit that SQLite sees, oldest first: its frames, the pages it wrote, the database
/// size after it, and the tables with rows that it changed, where that can be told. `replay
/// --to-txn`, `log` and `diff` take these numbers.
#[derive(Args, Clone, Debug)]
pub struct TxnList {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Only transactions A to B (A, A.. and ..B are ranges too)
    #[arg(long, value_name = "A..B")]
    pub txn: Option<NumberRange>,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Do not look for the tables: faster, and only the log is read
    #[arg(long)]
    pub no_tables: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl TxnList {
    /// Runs the command.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let reading = Reading::of(&files, LogOptions::KEEPING_FRAMES, context)?;
        if reading.is_none() && files.open_database(context.vfs)?.is_none() {
            return Err(Failure::not_found(&self.path).into());
        }
        let watch = context.watch;
        // No committed transaction needs attention.
        let nothing = context.output.quiet && context.output.format == Format::Table;
        let examination = reading.as_ref().map(|reading| &reading.examination);
        let own = examination.and_then(|it| it.shape).map(|shape| shape.salts);
        let touched = match self.no_tables || nothing || own.is_none() {
            true => Touched::default(),
            false => {
                let can_be_told =
                    |held: &Held| states_can_be_told(&files, held, false, context).map(drop);
                let first = self.txn.map_or(1, |range| range.first);
                Some(touched_tables(&files, first, &can_be_told, context)?)
                    .filter(|touched| touched.salts == own)
                    .unwrap_or_default()
            }
        };
        let stream = Stream {
            command: "txn-list",
            wal: &FileName::from(&files.wal),
            list: "transactions",
            columns: columns(examination, Some(&touched).filter(|_| !self.no_tables)),
            example: &EXAMPLE,
        };
        let mut stream = RowStream::open(&mut context.output, stream)?;
        let listed = match &reading {
            Some(reading) if !nothing => self.list(reading, &touched, watch, &mut stream),
            Some(_) | None => Ok(()),
        };
        stream::close(stream, listed)?;
        Ok(examination.map_or(Exit::Done, |examination| Exit::of(examination.verdict)))
    }

    fn list(
        &self,
        reading: &Reading,
        touched: &Touched,
        watch: &dyn Watch,
        stream: &mut RowStream,
    ) -> Result<()> {
        let Reading { file, examination, .. } = reading;
        let mut fold = TransactionFold::default();
        let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
        for facts in examination.facts(file.as_ref(), committed, watch) {
            let Some(transaction) = fold.push(&facts?) else { continue };
            if self.limit.is_some_and(|limit| stream.rows() >= limit) {
                break;
            }
            if self.txn.is_none_or(|range| range.holds(transaction.txn)) {
                stream.row(&Listed::of(transaction, touched), cells)?;
            }
        }
        Ok(())
    }
}

/// Most columns that the names of tables take.
const TABLES_COLUMNS: usize = 32;

/// A row whose fields are those of every row.
const EXAMPLE: Listed = Listed {
    transaction: Transaction {
        txn: 1,
        first_frame: FrameNo::FIRST,
        last_frame: FrameNo::FIRST,
        frames: 1,
        distinct_pages: 1,
        db_size_pages: 1,
    },
    json: None,
    text: String::new(),
};

/// A transaction and its tables.
struct Listed {
    transaction: Transaction,
    /// The names as a list of JSON; `None` where they are not known.
    json: Option<String>,
    text: String,
}

impl Listed {
    fn of(transaction: Transaction, touched: &Touched) -> Self {
        let tables = touched.of(transaction.txn);
        let text = match tables {
            Some(tables) => escaped(&tables.join(", ")).into_owned(),
            None => "?".to_owned(),
        };
        Self { transaction, json: tables.map(|tables| json!(tables).to_string()), text }
    }
}

fn columns(examination: Option<&Examination>, touched: Option<&Touched>) -> Vec<Column> {
    let prefix = examination.map(|examination| &examination.prefix);
    let digits = |number: Option<u32>| number.unwrap_or_default().to_string().len();
    let txn = digits(prefix.map(|prefix| prefix.transactions));
    let frame = digits(prefix.map(|prefix| prefix.mx_frame));
    let column =
        |head, width_chars| Column { head, width_chars, side: Side::Right, room: Room::Always };
    let mut columns = vec![
        column("txn", txn),
        column("first frame", frame),
        column("last frame", frame),
        column("frames", frame),
        column("pages", frame),
        column("db pages", digits(prefix.and_then(|prefix| prefix.db_size_pages))),
    ];
    columns.extend(touched.map(|touched| Column {
        head: "tables",
        width_chars: touched.longest_names().min(TABLES_COLUMNS),
        side: Side::Left,
        room: Room::IfWide(0),
    }));
    columns
}

fn cells(Listed { transaction: row, text, .. }: &Listed, to: &mut Cells) {
    to.number(u64::from(row.txn), "-");
    to.number(u64::from(row.first_frame.0), "-");
    to.number(u64::from(row.last_frame.0), "-");
    to.number(u64::from(row.frames), "-");
    to.number(row.distinct_pages as u64, "-");
    to.number(u64::from(row.db_size_pages), "-");
    to.outside(text);
}

impl Row for Listed {
    fn fields(&self, to: &mut Fields<'_>) {
        let Self { transaction, json, .. } = self;
        to.number("txn", u64::from(transaction.txn));
        to.number("first_frame", u64::from(transaction.first_frame.0));
        to.number("last_frame", u64::from(transaction.last_frame.0));
        to.number("frames", u64::from(transaction.frames));
        to.number("distinct_pages", transaction.distinct_pages as u64);
        to.number("db_size_pages", u64::from(transaction.db_size_pages));
        to.json("tables", json.as_deref());
    }
}
