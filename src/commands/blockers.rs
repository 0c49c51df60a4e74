//! `blockers`: who holds which lock, and what that keeps from happening.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::access::attach::no_database;
use crate::access::files::{FileArgs, Files};
use crate::access::holders::{self, Blocker, HeldAs};
use crate::access::live::{self, LogOptions, Reading};
use crate::access::{Context, Exit};
use crate::diagnosis::rails;
use crate::diagnosis::users::{self, User, Users};
use crate::output::quantity::{bytes, counted};
use crate::output::text::{command, escaped};
use crate::output::{FileName, Paint, Report, Tone, wrapped, write_report};

/// Show who holds which lock, and what it blocks
///
/// Joins the locks that processes really hold with the read marks of the wal-index: slot, mark,
/// process, command, and how many frames cannot be copied until it ends. A mark without a lock was
/// left by a reader that has gone; it is shown as stale and blocks nothing. Processes that use the
/// files without a lock, or under a deleted or replaced name, are named by their open files, and
/// the exit code is 1. Asks only, locks nothing.
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
    pub database: Option<FileName>,
    /// Last committed frame by the wal-index; `None` without a valid one.
    pub mx_frame: Option<u32>,
    /// One row a holder, and one a mark without holder.
    pub blockers: Vec<Blocker>,
    /// Processes that use the files without a lock, under a deleted name, or of before: no lock
    /// tells of them.
    pub misusers: Vec<User>,
    /// Processes that could not be looked into: only locks tell of them.
    pub unseen_processes: u32,
    /// Size of the log; `None` without one.
    pub wal_bytes: Option<u64>,
    /// The command to type; `None` where there is nothing to do.
    pub next: Option<Next>,
}

/// What to type.
#[derive(Clone, Debug, Serialize)]
#[serde(into = "String")]
pub struct Next {
    /// The sentence before it.
    does: &'static str,
    /// The command, complete.
    command: String,
}

impl From<Next> for String {
    fn from(next: Next) -> Self {
        next.command
    }
}

impl Blockers {
    /// Runs the command.
    ///
    /// # Errors
    /// When the database is not there, or the kernel's lock list cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find(context.vfs, &self.path, &self.files)?;
        if files.open_database(context.vfs)?.is_none() {
            return Err(no_database(self.path.clone(), &files, context)?.into());
        }
        let (index, blockers) = holders::find(&files, context)?;
        let over = |row: &Blocker| row.pinned_frames > self.max_pinned_frames;
        let users = users::find(&files, context);
        let is_over = self.max_pinned_frames.is_some() && blockers.iter().any(over);
        let exit = match is_over || !users.misusers.is_empty() {
            true => Exit::Found,
            false => Exit::Done,
        };
        let log = files.open_wal(context.vfs)?;
        let wal_bytes = log.map(|log| log.size()).transpose()?;
        let next = next(&files, &users, &blockers, wal_bytes, context)?;
        let report = BlockerReport {
            database: files.database.as_deref().map(FileName::from),
            mx_frame: index.map(|index| index.mx_frame),
            blockers,
            misusers: users.misusers,
            unseen_processes: users.unseen_processes,
            wal_bytes,
            next,
        };
        write_report(&mut context.output, &report)?;
        Ok(exit)
    }
}

/// Copies first where something could be lost; a log that nobody holds can be emptied.
fn next(
    files: &Files,
    users: &Users,
    blockers: &[Blocker],
    wal_bytes: Option<u64>,
    context: &Context,
) -> Result<Option<Next>> {
    if !users.misusers.is_empty() {
        let command = rails::rescue_command(files);
        return Ok(Some(Next { does: "First copy what is there", command }));
    }
    let is_free = blockers.iter().all(|row| row.blocks.is_empty());
    let database = files.database.as_deref().filter(|_| is_free && wal_bytes > Some(0));
    let Some(database) = database else { return Ok(None) };
    let is_wrong = match Reading::of(files, LogOptions::default(), context)? {
        Some(log) => {
            let beside = files.open_database(context.vfs)?;
            let beside = beside.as_deref();
            // Only what nobody changes can contradict itself.
            let is_still = !live::is_attached(files, context)?;
            Exit::of(log.examination.verdict) != Exit::Done
                || rails::hot_journal(files, beside, context)?.is_some()
                || rails::discarded_log(files, &log, beside, context)?.is_some()
                || is_still && rails::contradictions(files, Some(&log), beside, context)?.is_some()
        }
        None => false,
    };
    Ok(Some(match is_wrong {
        true => Next {
            does: "Something is wrong with these files; this says what",
            command: command("info", database),
        },
        false => Next {
            does: "This empties it",
            command: command("checkpoint-now --mode truncate", database),
        },
    }))
}

impl BlockerReport {
    fn is_in_the_way(&self) -> bool {
        self.blockers.iter().any(|row| !row.blocks.is_empty())
    }
}

impl Report for BlockerReport {
    const COMMAND: &'static str = "blockers";

    fn needs_attention(&self) -> bool {
        self.is_in_the_way() || !self.misusers.is_empty()
    }

    fn example() -> Result<Option<serde_json::Value>, serde_json::Error> {
        serde_json::to_value(Blocker::nobody("", 0)).map(Some)
    }

    fn rows(&self) -> Result<Vec<serde_json::Value>, serde_json::Error> {
        self.blockers.iter().map(serde_json::to_value).collect()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let shown =
            self.blockers.iter().filter(|row| !row.blocks.is_empty() || row.held == HeldAs::None);
        let shown: Vec<Blocker> = shown.cloned().collect();
        if !shown.is_empty() {
            writeln!(to, "{}", holders::rows_table(&shown, paint, width))?;
        }
        let mut attached: Vec<Option<i32>> = self
            .blockers
            .iter()
            .filter(|row| row.held != HeldAs::None)
            .map(|row| row.pid)
            .collect();
        attached.sort_unstable();
        attached.dedup();
        let who = counted(attached.len() as u64, "process");
        for user in &self.misusers {
            let danger = paint.tone(Tone::Bad, "danger:");
            let sentence = format!("{danger} {}.", escaped(&rails::misuse(user)));
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
            if let Some(bytes) = &user.bytes_in {
                writeln!(to, "  Its bytes are still to be read in {}.", bytes.display())?;
            }
        }
        if self.unseen_processes > 0 {
            let unseen = counted(self.unseen_processes.into(), "process");
            let sentence = format!(
                "{unseen} of other users could not be looked into: only locks tell of them."
            );
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        let said = if self.is_in_the_way() || !self.misusers.is_empty() {
            paint.tone(Tone::Notice, "somebody is in the way")
        } else {
            paint.tone(Tone::Good, "nobody is in the way")
        };
        let sentence = format!("{who} with locks on the database; {said}.");
        writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        if let Some(size) = self.wal_bytes {
            writeln!(to, "The log has {}.", bytes(size))?;
        }
        match &self.next {
            Some(Next { does, command }) => writeln!(to, "{does}:\n  {command}"),
            None => Ok(()),
        }
    }
}
