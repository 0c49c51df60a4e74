//! `blockers`: who holds which lock, and what that keeps from happening.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::access::files::{FileArgs, Files};
use crate::access::holders::{self, Blocker, Held};
use crate::access::{Context, Exit, Failure};
use crate::output::quantity::counted;
use crate::output::{Paint, Report, Tone, write_report};
use crate::storage::process::{command_of, holders_of_deleted, user_of};

/// Show who holds which lock, and what it blocks
///
/// Joins the locks that processes really hold with the read marks of the wal-index: slot, mark,
/// process, command, and how many frames cannot be copied until it ends. A mark without a lock was
/// left by a reader that has gone; it is shown as stale and blocks nothing. Asks only, locks nothing.
#[derive(Args, Clone, Debug)]
pub struct Blockers {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Exit with 1 when somebody pins more frames than this
    #[arg(long, value_name = "N")]
    pub max_pinned_frames: Option<u32>,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// Who is in the way.
#[derive(Debug, Serialize)]
pub struct BlockerReport {
    /// The database.
    pub database: Option<String>,
    /// Last committed frame by the wal-index; `None` without a valid one.
    pub mx_frame: Option<u32>,
    /// One row a holder, and one a mark without holder.
    pub blockers: Vec<Blocker>,
    /// Processes that still use a log or wal-index that was deleted under them: what they write is
    /// lost, and their locks keep nobody else out.
    pub deleted_files: Vec<DeletedFile>,
}

/// A deleted file that somebody still has open.
#[derive(Clone, Debug, Serialize)]
pub struct DeletedFile {
    /// The name that it had.
    pub file: String,
    /// The process.
    pub pid: i32,
    /// Its command line.
    pub command: Option<String>,
    /// Its user.
    pub user: Option<String>,
}

impl Blockers {
    /// Runs the command.
    ///
    /// # Errors
    /// When the database is not there, or the kernel's lock list cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        if files.open_database(context.vfs)?.is_none() {
            let found = "no database is there".to_owned();
            return Err(Failure::NotALog { path: self.path.clone(), found }.into());
        }
        let (index, blockers) = holders::find(&files, context)?;
        let over = |row: &Blocker| row.pinned_frames > self.max_pinned_frames;
        let exit = match self.max_pinned_frames {
            Some(_) if blockers.iter().any(over) => Exit::Found,
            Some(_) | None => Exit::Done,
        };
        let report = BlockerReport {
            database: files.database.as_deref().map(|path| path.display().to_string()),
            mx_frame: index.map(|index| index.mx_frame),
            blockers,
            deleted_files: deleted_files(&files),
        };
        write_report(&mut context.output, &report)?;
        Ok(exit)
    }
}

fn deleted_files(files: &Files) -> Vec<DeletedFile> {
    let names = [Some(files.wal.as_path()), files.shm.as_deref()];
    let holders = names.into_iter().flatten().flat_map(|file| {
        holders_of_deleted(file).into_iter().map(|pid| DeletedFile {
            file: file.display().to_string(),
            pid,
            command: command_of(pid),
            user: user_of(pid),
        })
    });
    holders.collect()
}

impl Report for BlockerReport {
    const COMMAND: &'static str = "blockers";

    fn rows(&self) -> Result<Vec<serde_json::Value>, serde_json::Error> {
        self.blockers.iter().map(serde_json::to_value).collect()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let shown =
            self.blockers.iter().filter(|row| !row.blocks.is_empty() || row.held == Held::None);
        let shown: Vec<Blocker> = shown.cloned().collect();
        if !shown.is_empty() {
            writeln!(to, "{}", holders::rows_table(&shown, width))?;
        }
        let mut attached: Vec<Option<i32>> =
            self.blockers.iter().filter(|row| row.held != Held::None).map(|row| row.pid).collect();
        attached.sort_unstable();
        attached.dedup();
        let who = counted(attached.len() as u64, "process");
        for deleted in &self.deleted_files {
            writeln!(
                to,
                "{} process {} ({}) still has the deleted {} open: what it writes there is lost.",
                paint.tone(Tone::Bad, "danger:"),
                deleted.pid,
                deleted.command.as_deref().unwrap_or("unknown"),
                deleted.file
            )?;
        }
        let in_the_way = self.blockers.iter().any(|row| !row.blocks.is_empty());
        let said = if in_the_way {
            paint.tone(Tone::Notice, "somebody is in the way")
        } else {
            paint.tone(Tone::Good, "nobody is in the way")
        };
        writeln!(to, "{who} with locks on the database; {said}.")
    }
}
