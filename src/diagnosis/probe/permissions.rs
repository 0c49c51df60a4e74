//! What a user may do with the files, and what SQLite answers him.

use std::path::Path;

use crate::access::files::Files;
use crate::diagnosis::finding::{Finding, Severity};
use crate::diagnosis::forecast::{Forecast, Open};
use crate::diagnosis::rights::{Account, Right, Rights};
use crate::diagnosis::rule::Rule;
use crate::output::text::argument;

/// What `account` may not do with the files, if `forecast` is what SQLite does for him.
#[must_use]
pub fn finding(
    files: &Files,
    account: &Account,
    rights: &Rights,
    forecast: Forecast,
) -> Option<Finding> {
    let database = files.database.as_deref().unwrap_or(&files.wal);
    let who = account.words();
    if rights.is_unclear {
        let message = format!(
            "what {who} may do with the files is not known: more than owner, group and mode counts \
             here"
        );
        let found = Finding::new(Rule::NotOpenable, database.to_owned(), message);
        return Some(Finding { severity: Severity::Note, ..found });
    }
    let (first, _) = rights.lacks.first()?;
    let message = match forecast.open {
        Open::CantOpen => {
            format!("SQLite cannot open the database for {who}: \"unable to open database file\"")
        }
        Open::ReadOnly => format!(
            "SQLite cannot open the database for {who}: \"attempt to write a readonly database\""
        ),
        Open::IoErr => format!("SQLite cannot open the database for {who}: \"disk I/O error\""),
        Open::Ok if [rights.database, rights.log, rights.index].contains(&Right::Read) => {
            format!("{who} can read the database and not write it")
        }
        Open::Ok if !rights.directory => format!(
            "{who} may not make or delete files beside the database: a log that is gone cannot be \
             made again, and the last close cannot delete it"
        ),
        _ => format!("{who} may not do everything with the files"),
    };
    let evidence = rights.lacks.iter().map(|(_, line)| line.clone()).collect();
    let next = same_as_database(files, rights);
    Some(Finding { evidence, next, ..Finding::new(Rule::NotOpenable, first.clone(), message) })
}

/// The command that gives the files beside the database its owner, group and mode; `None` where it
/// is the database or the directory that hinders.
fn same_as_database(files: &Files, rights: &Rights) -> Option<String> {
    let database = files.database.as_deref().filter(|_| rights.database == Right::Write)?;
    let lacks = rights.lacks.iter().map(|(path, _)| path.as_path());
    let is_beside = |path: &&Path| {
        let beside = [Some(files.wal.as_path()), files.shm.as_deref(), files.journal.as_deref()];
        beside.into_iter().flatten().any(|it| it == *path)
    };
    let beside: Vec<String> =
        lacks.filter(is_beside).map(|path| argument(path).to_string()).collect();
    if beside.is_empty() {
        return None;
    }
    let (from, to) = (argument(database), beside.join(" "));
    Some(format!("chown --reference={from} {to} && chmod --reference={from} {to}"))
}
