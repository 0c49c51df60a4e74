//! Where the files are: file systems that SQLite's locks do not reach, or that split a set.

use std::path::Path;

use crate::access::files::Files;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;
use crate::storage::mounts::{Mount, device_of};

/// What the places of the files of a set say.
#[must_use]
pub fn findings(files: &Files) -> Vec<Finding> {
    let database = files.database.as_deref().filter(|path| path.exists());
    [network(database.unwrap_or(&files.wal)), database.and_then(|it| split(it, &files.wal))]
        .into_iter()
        .flatten()
        .collect()
}

fn network(path: &Path) -> Option<Finding> {
    let mount = Mount::of(path).filter(Mount::is_shared)?;
    let message = format!(
        "the files are on {} ({}): locks may not reach other machines, and a wal-index cannot be \
         shared with them",
        mount.at.display(),
        mount.kind
    );
    Some(Finding::new(Rule::NetworkFilesystem, path.to_owned(), message))
}

fn split(database: &Path, log: &Path) -> Option<Finding> {
    let (one, other) = (device_of(database)?, device_of(log)?);
    if one == other {
        return None;
    }
    let message = "database and log are on different file systems: a crash can keep one of them \
                   and lose what was written to the other";
    let found = Finding::new(Rule::SplitFilesystem, log.to_owned(), message.to_owned());
    Some(Finding { evidence: vec![format!("devices {one:#x} and {other:#x}")], ..found })
}
