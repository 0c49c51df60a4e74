//! The command line: the clap tree, dispatch, exit codes, errors on the terminal.
//!
//! The only floor that prints.

mod args;
mod progress;

use std::cell::RefCell;
use std::io::{self, BufWriter, IsTerminal, Write};

use anyhow::Result;
use clap::{CommandFactory, Parser};

use crate::access::failure::{describe, is_closed_pipe};
use crate::access::{Context, Exit};
use crate::output::{Format, Output, Paint, Tone, write_error};
use crate::storage::shared::{Spread, ThreadedVfs};

pub use args::{Cli, ColorChoice, Command};
use progress::Progress;

/// The clap tree, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the process arguments, runs the command and returns the exit code.
#[must_use]
pub fn run() -> u8 {
    match Cli::try_parse() {
        Ok(cli) => dispatch(&cli).code(),
        Err(error) => {
            // Help and version are "errors" of clap that belong on stdout and succeed.
            let asked = !error.use_stderr();
            let _ = error.print();
            if asked { Exit::Done.code() } else { Exit::Usage.code() }
        }
    }
}

fn dispatch(cli: &Cli) -> Exit {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let mut buffered = BufWriter::new(stdout.lock());
    let format = if cli.global.json { Format::Json } else { cli.global.format };
    let progress = Progress::new(cli.global.no_progress || cli.global.quiet);
    let spread = Spread { threads: cli.global.threads, ..Spread::default() };
    let mut context = Context {
        vfs: &ThreadedVfs { spread },
        watch: &progress,
        output: Output {
            to: &mut buffered,
            format,
            color: cli.global.color.allows(terminal),
            width_columns: if terminal { terminal_width() } else { None },
        },
        quiet: cli.global.quiet,
        warnings: RefCell::default(),
    };
    let result = cli.command.run(&mut context);
    progress.clear();
    finish(cli, &mut context, result)
}

fn finish(cli: &Cli, context: &mut Context, result: Result<Exit>) -> Exit {
    let paint = Paint::new(cli.global.color.allows(io::stderr().is_terminal()));
    let mut stderr = io::stderr().lock();
    for warning in context.warnings.borrow().iter() {
        let _ = writeln!(stderr, "{} {warning}", paint.tone(Tone::Notice, "walsmith:"));
    }
    let error = match result {
        Ok(exit) => return exit,
        Err(error) if is_closed_pipe(&error) => return Exit::Done,
        Err(error) => error,
    };
    let (exit, report) = describe(&error);
    let _ = writeln!(stderr, "{} {}", paint.tone(Tone::Bad, "walsmith:"), report.message);
    if let Some(hint) = &report.hint {
        let _ = writeln!(stderr, "{} {hint}", paint.tone(Tone::Dim, "  try:"));
    }
    if exit != Exit::Interrupted && exit != Exit::Usage {
        let _ = write_error(&mut context.output, cli.command.name(), &report);
    }
    exit
}

fn terminal_width() -> Option<u16> {
    terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| columns)
}
