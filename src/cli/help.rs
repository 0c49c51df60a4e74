//! The clap tree with its commands in groups: clap itself lists them in one.

use std::io::{self, IsTerminal};

use clap::CommandFactory;

use super::Cli;
use super::terminal::width_columns;

/// The commands of `--help`, by what they are for.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Inspect",
        &["doctor", "info", "verify-checksums", "frame-list", "txn-list", "dump", "index-dump"],
    ),
    ("History", &["log", "diff", "query", "check", "bisect"]),
    ("Live", &["blockers", "checkpoint-now", "index-rebuild", "rescue", "rewind"]),
    ("Repair", &["replay", "repair", "undo"]),
    ("Other", &["completions", "help"]),
];

/// Columns of a command's name.
const NAME_COLUMNS: usize = 18;
/// Widest line of the list, as of the rest of the help.
const MOST_COLUMNS: usize = 100;

/// The groups of `--help`, each with the names of its commands.
#[must_use]
pub fn groups() -> &'static [(&'static str, &'static [&'static str])] {
    &GROUPS
}

/// The clap tree, also for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    let root = Cli::command();
    let columns = width_columns(io::stdout().is_terminal()).map(usize::from);
    let list = list(&root, columns.unwrap_or(MOST_COLUMNS).clamp(40, MOST_COLUMNS));
    let options = heading(&root, "Options:");
    root.help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{options}\n\
         {{options}}{{after-help}}"
    ))
}

fn heading(root: &clap::Command, text: &str) -> String {
    let style = root.get_styles().get_header();
    format!("{style}{text}{style:#}")
}

/// The commands, group by group, in lines of at most `columns`.
fn list(root: &clap::Command, columns: usize) -> String {
    let style = root.get_styles().get_literal();
    let mut list = String::new();
    for (group, names) in GROUPS {
        list += &heading(root, &format!("{group}:"));
        list.push('\n');
        for name in names {
            let about = match root.find_subcommand(name).and_then(clap::Command::get_about) {
                Some(about) => about.to_string(),
                None => "Print this help, or that of a command".to_owned(),
            };
            let indent = " ".repeat(NAME_COLUMNS + 2);
            let options =
                textwrap::Options::new(columns).initial_indent(&indent).subsequent_indent(&indent);
            let about = textwrap::fill(&about, &options);
            list += &format!("  {style}{name}{style:#}");
            list += &" ".repeat(NAME_COLUMNS.saturating_sub(name.len()));
            list += about.trim_start();
            list.push('\n');
        }
        list.push('\n');
    }
    list
}
