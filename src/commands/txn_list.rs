//! `txn-list`: one row a committed transaction.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::access::Context;
use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::live::{self, Reading};
use crate::analysis::transactions::{Transaction, TransactionFold};
use crate::format::FrameNo;
use crate::output::{Cells, Column, Fields, Row, RowStream, Side};

use super::frame_list::Range;

/// List the committed transactions of a log
///
/// One row a commit that SQLite sees, oldest first: its frames, the pages it wrote and the database
/// size after it. `replay --to-txn` takes these numbers.
#[derive(Args, Clone, Debug)]
pub struct TxnList {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Only transactions A to B (A, A.. and ..B are ranges too)
    #[arg(long, value_name = "A..B")]
    pub txn: Option<Range>,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
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
        let reading = live::read_frames(&files, context)?;
        if reading.is_none() && files.open_database(context.vfs)?.is_none() {
            let found = "no such file".to_owned();
            return Err(Failure::NotALog { path: self.path.clone(), found }.into());
        }
        let column = |head, width_chars| Column { head, width_chars, side: Side::Right };
        let columns = vec![
            column("txn", 8),
            column("first frame", 11),
            column("last frame", 10),
            column("frames", 8),
            column("distinct pages", 14),
            column("db size (pages)", 15),
        ];
        let wal = files.wal.display().to_string();
        let watch = context.watch;
        let mut stream =
            RowStream::open(&mut context.output, "txn-list", &wal, "transactions", columns)?;
        let mut exit = Exit::Done;
        if let Some(Reading { file, examination }) = &reading {
            exit = Exit::of(examination.verdict);
            let mut fold = TransactionFold::default();
            let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
            for facts in examination.facts(file.as_ref(), committed, watch) {
                let Some(transaction) = fold.push(&facts?) else { continue };
                if self.limit.is_some_and(|limit| stream.rows() >= limit) {
                    break;
                }
                if self.txn.is_none_or(|range| range.holds(transaction.txn)) {
                    stream.row(&transaction, cells)?;
                }
            }
        }
        stream.close(None)?;
        Ok(exit)
    }
}

fn cells(row: &Transaction, to: &mut Cells) {
    to.number(u64::from(row.txn), "-");
    to.number(u64::from(row.first_frame.0), "-");
    to.number(u64::from(row.last_frame.0), "-");
    to.number(u64::from(row.frames), "-");
    to.number(row.distinct_pages as u64, "-");
    to.number(u64::from(row.db_size_pages), "-");
}

impl Row for Transaction {
    fn fields(&self, to: &mut Fields<'_>) {
        to.number("txn", u64::from(self.txn));
        to.number("first_frame", u64::from(self.first_frame.0));
        to.number("last_frame", u64::from(self.last_frame.0));
        to.number("frames", u64::from(self.frames));
        to.number("distinct_pages", self.distinct_pages as u64);
        to.number("db_size_pages", u64::from(self.db_size_pages));
    }
}
