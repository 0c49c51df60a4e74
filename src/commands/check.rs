//! `check`: is the structure of a state of a database sound?

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::access::Context;
use crate::access::accept::{AcceptArgs, tell_likely};
use crate::access::failure::{About, Exit};
use crate::access::files::{FileArgs, Files};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::states::{StateAt, StateName, States};
use crate::database;
use crate::diagnosis::{newest_can_be_told, states_can_be_told};
use crate::output::{FileName, write_report};
use crate::scan::KnownFrames;

mod report;

use report::{CheckReport, Checked};

/// Check the structure of a database: b-trees, records, freelist, pointer map, indexes
///
/// What `PRAGMA integrity_check` says of pages, for the newest state that SQLite sees or, with
/// --at, for the state after any transaction of the log, without opening SQLite: beside running
/// processes, on read-only media, and of states that are only in the log. NOT NULL, CHECK, UNIQUE
/// and declared types are not judged, nor all that SQLite's parser asks of a statement, and what
/// else was not looked at is named.
///
/// Exits with 0 where nothing is wrong, with 1 where something is.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The state: a transaction, 0 for the file before the log, last, or frame:N
    #[arg(long, value_name = "STATE", default_value = "last")]
    pub at: StateName,
    /// Leave out the values of index entries and the order of keys, as quick_check does
    #[arg(long)]
    pub quick: bool,
    /// Pages, bytes and rows of each table and index
    #[arg(long)]
    pub space: bool,
    /// What is accepted of states that are not known.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// How the state is held while it is read.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl Check {
    /// Runs the command.
    ///
    /// # Errors
    /// When a page of the state cannot be read, or is gone.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        let (report, is_likely) =
            held::hold(&files, &self.hold, KnownFrames::LIMIT, context, |held| {
                self.check(&files, held, context)
            })?;
        write_report(&mut context.output, &report)?;
        if report.checked.log_is_damaged {
            context.warn(
                "the log is damaged: this is a state that SQLite sees, and what comes after the \
                 damage is not in it",
            );
        }
        Ok(match report.sound && !report.checked.log_is_damaged {
            true if is_likely => Exit::Incomplete,
            true => Exit::Done,
            false => Exit::Found,
        })
    }

    fn check(
        &self,
        files: &Files,
        held: &mut Held,
        context: &Context,
    ) -> Result<(CheckReport, bool)> {
        // The newest state is what SQLite sees, whatever it is of.
        let is_newest = self.at == StateName::Last;
        let pair = match is_newest {
            true => newest_can_be_told(files, held, true, context)?,
            false => states_can_be_told(files, held, self.accept.accept_foreign, context)?,
        };
        let states = States::of(held, files, context)?;
        let snapshot = states.snapshot(self.at)?;
        let past = self.accept.of(states.past(snapshot.to_frame, context)?);
        let pages = past.state(&snapshot)?;
        let check = if self.quick { database::quick_check } else { database::check };
        let about = || About(files.database.clone().unwrap_or_else(|| files.wal.clone()));
        let health = check(&pages, context.watch).with_context(about)?;
        let is_likely = tell_likely(&past, context);
        let checked = Checked {
            database: files.database.as_deref().map(FileName::from),
            wal: FileName::from(&files.wal),
            salts: states.salts_pair(),
            pair,
            at: StateAt::from(&snapshot),
            log_is_damaged: states.is_log_damaged(),
        };
        let page_bytes = self.space.then(|| past.page_size().bytes_u64());
        Ok((CheckReport::of(checked, &health, page_bytes), is_likely))
    }
}
