//! `doctor`: one diagnosis of a set of files, and what SQLite does to it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::access::Context;
use crate::access::failure::{Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::HoldArgs;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rights::Account;
use crate::diagnosis::{Options, diagnose};
use crate::output::write_report;

mod report;

/// Say what is wrong with a database, its log and its processes
///
/// Looks at the database, its log, its wal-index and its rollback journal, at how they fit together
/// in time, and at the processes that use them. Says first in one sentence what is going on, then
/// every finding, worst first, each with the command to type, and at last what SQLite will do to
/// these files when one more process opens the database. Changes nothing, and works beside running
/// processes. What the rules mean: walsmith-findings(7).
///
/// Exits with 1 when a finding is an error: data is lost, or will be when SQLite touches the files.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// A database, its log (-wal), its wal-index (-shm) or its rollback journal
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Check the structure of the database, too: every page is read
    #[arg(long)]
    pub check: bool,
    /// Exit with 1 for a warning, too
    #[arg(long)]
    pub strict: bool,
    /// Say what SQLite does for this user, by owner and mode of the files
    #[arg(long, value_name = "NAME")]
    pub as_user: Option<String>,
    /// How the state is held while log and database are compared.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    /// When no file is there, or one cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find_or_journal(context.vfs, &self.path, &self.files)?;
        let account = match &self.as_user {
            None => Account::Own,
            Some(name) => Account::named(name)
                .ok_or_else(|| Failure::Usage(format!("--as-user: there is no user {name}")))?,
        };
        let options = Options { hold: self.hold.clone(), check: self.check, account };
        let found = diagnose(&files, &options, context)?;
        let counts = |finding: &Finding| match self.strict {
            true => finding.needs_attention(),
            false => finding.is_error(),
        };
        let exit = if found.findings.iter().any(counts) { Exit::Found } else { Exit::Done };
        write_report(&mut context.output, &found)?;
        Ok(exit)
    }
}
