//! What this user may do with the files.

use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};

use crate::access::files::Files;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;

/// A file, or the directory of the database, that this user may not write: what SQLite then does
/// depends on which files are there, and is not forecast.
#[must_use]
pub fn finding(files: &Files) -> Option<Finding> {
    let database = files.database.as_deref().unwrap_or(&files.wal);
    let directory = match database.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let named = [Some(database), Some(&files.wal), files.shm.as_deref(), files.journal.as_deref()];
    let there = named.into_iter().flatten().filter(|path| path.exists()).chain([directory]);
    let locked: Vec<&Path> =
        there.filter(|path| eaccess(*path, AccessFlags::W_OK).is_err()).collect();
    let first = *locked.first()?;
    let message = "this user may not write the files: SQLite may not open the database for it";
    let found = Finding::new(Rule::NotOpenable, first.to_owned(), message.to_owned());
    let evidence = locked.iter().map(|path| format!("no right to write {}", path.display()));
    Some(Finding { evidence: evidence.collect(), ..found })
}
