//! The clap tree.

use std::num::NonZeroUsize;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::access::{Context, Exit};
use crate::commands::bisect::Bisect;
use crate::commands::blockers::Blockers;
use crate::commands::check::Check;
use crate::commands::checkpoint_now::CheckpointNow;
use crate::commands::completions::Completions;
use crate::commands::diff::Diff;
use crate::commands::doctor::Doctor;
use crate::commands::dump::Dump;
use crate::commands::frame_list::FrameList;
use crate::commands::index_dump::IndexDump;
use crate::commands::index_rebuild::IndexRebuild;
use crate::commands::info::Info;
use crate::commands::log::Log;
use crate::commands::query::Query;
use crate::commands::repair::Repair;
use crate::commands::replay::Replay;
use crate::commands::rescue::Rescue;
use crate::commands::rewind::Rewind;
use crate::commands::txn_list::TxnList;
use crate::commands::undo::Undo;
use crate::commands::verify_checksums::VerifyChecksums;
use crate::output::Format;

/// Inspect and repair SQLite write-ahead logs
///
/// walsmith reads the -wal and -shm files beside a SQLite database and tells what is in them, what
/// SQLite will see, and what it would lose without a word. Inspecting commands change nothing: they
/// create and write no file, and work beside running SQLite processes. Where pages of file and log
/// are read together, they take the locks of a reader.
#[derive(Parser, Debug)]
#[command(name = "walsmith", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Verify before you open: SQLite drops everything from the first damaged frame of a log without a \
word, and deletes the log when it closes.\n\n\
Exit codes: 0 nothing wrong, 1 damage or loss found, 2 usage, 3 could not, 4 busy, 5 incomplete, \
6 refused by a safety rail, 130 interrupted";

/// Options of every command.
#[derive(Args, Debug)]
pub struct Global {
    /// How the report is written; table where this is not given
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    #[arg(help_heading = "Output options")]
    pub format: Option<Format>,
    /// Same as --format json
    #[arg(long, global = true, conflicts_with = "format", help_heading = "Output options")]
    pub json: bool,
    /// When to use colours; NO_COLOR is obeyed
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    #[arg(help_heading = "Output options")]
    pub color: ColorChoice,
    /// Say only what needs attention
    #[arg(short, long, global = true, help_heading = "Output options")]
    pub quiet: bool,
    /// Show no progress bar
    #[arg(long, global = true, help_heading = "Output options")]
    pub no_progress: bool,
    /// Threads that read a long log; all that the machine has, up to 8, where this is not given
    #[arg(long, global = true, value_name = "N", help_heading = "Scan options")]
    pub threads: Option<NonZeroUsize>,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether colours are allowed on a stream that is a terminal or not.
    #[must_use]
    pub fn allows(self, terminal: bool) -> bool {
        match self {
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What to do.
#[expect(missing_docs, reason = "a comment here would replace the help of the Args")]
#[derive(Subcommand, Debug)]
pub enum Command {
    Doctor(Doctor),
    Info(Info),
    VerifyChecksums(VerifyChecksums),
    FrameList(FrameList),
    TxnList(TxnList),
    Log(Log),
    Diff(Diff),
    Check(Check),
    Query(Query),
    Bisect(Bisect),
    Dump(Dump),
    Blockers(Blockers),
    CheckpointNow(CheckpointNow),
    IndexDump(IndexDump),
    IndexRebuild(IndexRebuild),
    Rescue(Rescue),
    Rewind(Rewind),
    Replay(Replay),
    Repair(Repair),
    Undo(Undo),
    Completions(Completions),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept the command from its job.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        match self {
            Self::Doctor(command) => command.run(context),
            Self::Info(command) => command.run(context),
            Self::VerifyChecksums(command) => command.run(context),
            Self::FrameList(command) => command.run(context),
            Self::TxnList(command) => command.run(context),
            Self::Log(command) => command.run(context),
            Self::Diff(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::Query(command) => command.run(context),
            Self::Bisect(command) => command.run(context),
            Self::Dump(command) => command.run(context),
            Self::Blockers(command) => command.run(context),
            Self::CheckpointNow(command) => command.run(context),
            Self::IndexDump(command) => command.run(context),
            Self::IndexRebuild(command) => command.run(context),
            Self::Rescue(command) => command.run(context),
            Self::Rewind(command) => command.run(context),
            Self::Replay(command) => command.run(context),
            Self::Repair(command) => command.run(context),
            Self::Undo(command) => command.run(context),
            Self::Completions(command) => command.run(&mut super::command(), context),
        }
    }

    /// The option or command that writes something else than a report; `None` where a report is
    /// written.
    #[must_use]
    pub fn other_output(&self) -> Option<&'static str> {
        match self {
            Self::Dump(command) if command.raw => Some("--raw"),
            Self::Diff(command) if command.sql => Some("--sql"),
            Self::Completions(_) => Some("completions"),
            Self::Dump(_)
            | Self::Doctor(_)
            | Self::Info(_)
            | Self::VerifyChecksums(_)
            | Self::FrameList(_)
            | Self::TxnList(_)
            | Self::Log(_)
            | Self::Diff(_)
            | Self::Check(_)
            | Self::Query(_)
            | Self::Bisect(_)
            | Self::Blockers(_)
            | Self::CheckpointNow(_)
            | Self::IndexDump(_)
            | Self::IndexRebuild(_)
            | Self::Rescue(_)
            | Self::Rewind(_)
            | Self::Replay(_)
            | Self::Repair(_)
            | Self::Undo(_) => None,
        }
    }

    /// What is left when a signal has stopped it at a safe point.
    #[must_use]
    pub fn left_by_interrupt(&self) -> &'static str {
        match self {
            Self::CheckpointNow(_) => {
                "what was copied stays valid, and the log still holds every frame: run it again"
            }
            Self::IndexRebuild(_) => {
                "the wal-index is not rebuilt; whoever attaches next finds it as it was, or \
                 builds it"
            }
            Self::Rescue(_) | Self::Replay(_) | Self::Repair(_) => {
                "nothing was changed, and no output was written"
            }
            Self::Doctor(_)
            | Self::Info(_)
            | Self::VerifyChecksums(_)
            | Self::FrameList(_)
            | Self::TxnList(_)
            | Self::Log(_)
            | Self::Diff(_)
            | Self::Check(_)
            | Self::Query(_)
            | Self::Bisect(_)
            | Self::Dump(_)
            | Self::Blockers(_)
            | Self::IndexDump(_)
            | Self::Rewind(_)
            | Self::Undo(_)
            | Self::Completions(_) => "nothing was changed",
        }
    }

    /// Its name on the command line and in schemas.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Doctor(_) => "doctor",
            Self::Info(_) => "info",
            Self::VerifyChecksums(_) => "verify-checksums",
            Self::FrameList(_) => "frame-list",
            Self::TxnList(_) => "txn-list",
            Self::Log(_) => "log",
            Self::Diff(_) => "diff",
            Self::Check(_) => "check",
            Self::Query(_) => "query",
            Self::Bisect(_) => "bisect",
            Self::Dump(_) => "dump",
            Self::Blockers(_) => "blockers",
            Self::CheckpointNow(_) => "checkpoint-now",
            Self::IndexDump(_) => "index-dump",
            Self::IndexRebuild(_) => "index-rebuild",
            Self::Rescue(_) => "rescue",
            Self::Rewind(_) => "rewind",
            Self::Replay(_) => "replay",
            Self::Repair(_) => "repair",
            Self::Undo(_) => "undo",
            Self::Completions(_) => "completions",
        }
    }
}
