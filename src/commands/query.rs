//! `query`: SQL over a state of a database.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::access::Context;
use crate::access::accept::AcceptArgs;
use crate::access::failure::{Exit, Failure};
use crate::access::files::FileArgs;
use crate::access::patience::duration;
use crate::access::row_text::Integers;
use crate::access::states::StateName;

#[cfg(feature = "sql")]
mod answer;

/// Run SQL on the database as it was after any transaction of its log
///
/// SQLite's own SQL, on a state of the database: after a transaction (--at 41; see txn-list), after
/// the last one (the default), or before the log (--at 0). Further states are attached with --also,
/// so that one statement compares two of them. What transaction 41 took away from a table:
/// `walsmith query app.db --at 40 --also after=41 'SELECT * FROM main.users EXCEPT SELECT * FROM
/// after.users'`.
///
/// SQLite's code never sees the files: it is given pages of file and log one by one, each frame
/// proven by its checksum, while both are held still. Nothing is copied and nothing is written. The
/// SQL can only read; views and triggers of the database are not trusted.
///
/// Several statements give several results. Nothing is printed where one of them fails. SQL that
/// begins with a dash comes after `--`.
#[derive(Args, Clone, Debug)]
pub struct Query {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The statements; - reads them from stdin
    #[arg(value_name = "SQL", required_unless_present = "file")]
    pub sql: Option<String>,
    /// Read the statements from this file; - is stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// The state: a transaction, 0 for the file before the log, last, or frame:N
    #[arg(long, value_name = "STATE", default_value = "last")]
    pub at: StateName,
    /// Attach another state under this name; may be repeated
    #[arg(long, value_name = "NAME=STATE")]
    pub also: Vec<AlsoState>,
    /// End statements after this time: 5, 250ms, 1min; and how long to wait for locks, which is 5s
    /// where this is not given
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub timeout: Option<Duration>,
    /// What is accepted of states that are not known.
    #[command(flatten)]
    pub accept: AcceptArgs,
    /// How integers are written in JSON
    #[arg(long, value_enum, default_value_t, value_name = "AS")]
    pub integers: Integers,
    /// Take no lock: read, and again if a checkpoint came between
    #[arg(long, help_heading = "Lock options")]
    pub no_lock: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// A state under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlsoState {
    /// The name of its schema in SQL.
    pub name: String,
    /// The state.
    pub state: StateName,
}

impl FromStr for AlsoState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, state)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err("expected NAME=STATE, as before=41".to_owned());
        };
        Ok(Self { name: name.to_owned(), state: state.parse()? })
    }
}

impl Query {
    /// Runs the command.
    ///
    /// # Errors
    /// When a state is not there, the SQL is wrong or takes too long, or a page cannot be read.
    #[cfg(feature = "sql")]
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        answer::answer(self, context)
    }

    /// Says what is missing.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "sql"))]
    pub fn run(&self, _: &mut Context) -> Result<Exit> {
        let why = "this walsmith was built without SQLite, which runs the SQL";
        let hint = "cargo install walsmith builds it with the feature `sql`".to_owned();
        let path = self.path.clone();
        Err(Failure::Unsupported { path, why: why.to_owned(), hint: Some(hint) }.into())
    }

    /// The names of the states: distinct, as SQLite compares them, and none of its own.
    #[cfg(feature = "sql")]
    fn names_agree(&self) -> Result<(), Failure> {
        for (place, also) in self.also.iter().enumerate() {
            let name = &also.name;
            let is_it = |other: &str| other.eq_ignore_ascii_case(name);
            let before = self.also.iter().take(place).map(|other| other.name.as_str());
            if ["main", "temp"].into_iter().chain(before).any(is_it) {
                return Err(Failure::Usage(format!("--also: the name {name} is taken")));
            }
            if name.contains('\0') {
                return Err(Failure::Usage("--also: a name cannot have a NUL".to_owned()));
            }
        }
        if self.also.len() > MOST_ALSO {
            return Err(Failure::Usage(format!("--also: SQLite attaches at most {MOST_ALSO}")));
        }
        Ok(())
    }
}

/// States that SQLite can attach (SQLITE_MAX_ATTACHED).
#[cfg(feature = "sql")]
const MOST_ALSO: usize = 10;
