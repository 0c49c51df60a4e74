//! The command line: the clap tree, dispatch, exit codes, errors on the terminal.
//!
//! The only floor that prints, and that reads the environment.

mod args;
mod help;
mod interrupt;
mod progress;
mod terminal;

use std::cell::RefCell;
use std::io::{self, BufWriter, IsTerminal, Write};

use anyhow::Result;
use clap::FromArgMatches;

use crate::access::classify::{describe, is_closed_pipe};
use crate::access::{Context, Exit, Failure};
use crate::output::text::escaped;
use crate::output::{Format, Output, Paint, Tone, wrapped, write_error};
use crate::storage::shared::Spread;
use crate::storage::threaded::ThreadedVfs;

pub use args::{Cli, ColorChoice, Command, Global};
pub use help::{command, groups};
use interrupt::Interrupt;
use progress::Progress;

/// Parses the process arguments, runs the command and returns the exit code. Does not return after
/// a signal that asked to stop: the process dies of it.
#[must_use]
pub fn run() -> u8 {
    let interrupt = Interrupt::listen();
    let parsed = command().try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
    let exit = match parsed {
        Ok(cli) => dispatch(&cli, interrupt.clone()),
        Err(error) => refuse(&error),
    };
    interrupt.die_of_it();
    exit.code()
}

/// Prints what clap found wrong, or the help that was asked for.
fn refuse(error: &clap::Error) -> Exit {
    // Help and version are "errors" of clap that belong on stdout and succeed.
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Done;
    }
    // Arguments may be names of files: what would act on the terminal is printed escaped and plain.
    let text = error.render().to_string();
    if text.lines().any(|line| escaped(line) != line) {
        let mut stderr = io::stderr().lock();
        for line in text.lines() {
            let _ = writeln!(stderr, "{}", escaped(line));
        }
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

fn dispatch(cli: &Cli, interrupt: Interrupt) -> Exit {
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let mut buffered = BufWriter::new(stdout.lock());
    let format = if cli.global.json { Format::Json } else { cli.global.format.unwrap_or_default() };
    let progress = Progress::new(cli.global.no_progress || cli.global.quiet, interrupt);
    let spread = Spread { threads: cli.global.threads, ..Spread::default() };
    let mut context = Context {
        vfs: &ThreadedVfs { spread },
        watch: &progress,
        output: Output {
            color: cli.global.color.allows(is_terminal),
            width_columns: terminal::width_columns(is_terminal),
            charset: terminal::charset(),
            quiet: cli.global.quiet,
            ..Output::new(&mut buffered, format)
        },
        warnings: RefCell::default(),
    };
    let result = formats_agree(cli).and_then(|()| cli.command.run(&mut context));
    progress.clear();
    finish(cli, &mut context, result)
}

/// One format is asked for, and none where the output is no report. clap sees only options on the
/// same side of the command's name.
fn formats_agree(cli: &Cli) -> Result<()> {
    let Global { json, format, .. } = &cli.global;
    let asked = match (json, format) {
        (true, Some(_)) => {
            return Err(Failure::Usage("--json and --format exclude each other".into()).into());
        }
        (true, None) => "--json",
        (false, Some(_)) => "--format",
        (false, None) => return Ok(()),
    };
    match cli.command.other_output() {
        Some(other) => {
            Err(Failure::Usage(format!("{other} writes no report: {asked} does not go with it"))
                .into())
        }
        None => Ok(()),
    }
}

fn finish(cli: &Cli, context: &mut Context, result: Result<Exit>) -> Exit {
    let paint = Paint::new(cli.global.color.allows(io::stderr().is_terminal()));
    let width = terminal::stderr_width_columns();
    let mut stderr = io::stderr().lock();
    let mut say = |tone, sentence: &str| {
        let line = format!("{} {}", paint.tone(tone, "walsmith:"), escaped(sentence));
        let _ = match width {
            Some(_) => writeln!(stderr, "{}", wrapped(&line, 0, 2, width)),
            None => writeln!(stderr, "{line}"),
        };
    };
    context.warnings.borrow().iter().for_each(|warning| say(Tone::Notice, warning));
    let error = match result {
        Ok(exit) => return exit,
        Err(error) if is_closed_pipe(&error) => return Exit::Done,
        Err(error) => error,
    };
    let (exit, report) = describe(&error);
    say(Tone::Bad, &report.message);
    // A wait for a lock that a signal has ended fails as busy.
    let is_interrupted = exit == Exit::Interrupted || context.watch.is_interrupted();
    if is_interrupted {
        let _ = writeln!(stderr, "  {}", cli.command.left_by_interrupt());
        return exit;
    }
    if let Some(hint) = &report.hint {
        let _ = writeln!(stderr, "{} {}", paint.tone(Tone::Dim, "  try:"), escaped(hint));
    }
    if exit != Exit::Usage {
        let _ = write_error(&mut context.output, cli.command.name(), &report);
    }
    exit
}
