//! The SQLite that attached processes use.

use std::collections::BTreeSet;

use crate::access::files::Files;
use crate::access::holders::Blocker;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rule::Rule;
use crate::storage::library::{SqliteVersion, sqlite_of};

/// One finding for each attached process with a SQLite that has the WAL-reset bug.
#[must_use]
pub fn findings(files: &Files, rows: &[Blocker]) -> Vec<Finding> {
    let own = i32::try_from(std::process::id()).ok();
    let pids: BTreeSet<i32> =
        rows.iter().filter_map(|row| row.pid).filter(|&pid| Some(pid) != own).collect();
    let affected = pids.into_iter().filter_map(|pid| {
        let found = sqlite_of(pid)?;
        is_affected(found.version).then(|| {
            let message = format!(
                "process {pid} uses SQLite {} ({}), which has the WAL-reset bug: two connections \
                 that write and checkpoint at once can lose a checkpoint",
                found.version,
                found.file.display()
            );
            let path = files.database.clone().unwrap_or_else(|| files.wal.clone());
            Finding { pid: Some(pid), ..Finding::new(Rule::AffectedSqlite, path, message) }
        })
    });
    affected.collect()
}

/// 3.7.0 to 3.51.2, but the releases to which the mend was carried back (`engine/PROTOCOL.md`, the
/// WAL-reset bug).
fn is_affected(version: SqliteVersion) -> bool {
    let SqliteVersion(major, minor, release) = version;
    let mended = matches!((minor, release), (44, 6..) | (50, 7..) | (51, 3..) | (52.., _));
    major == 3 && minor >= 7 && !mended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_with_the_bug_are_affected() {
        let of = |minor, release| is_affected(SqliteVersion(3, minor, release));
        assert!(of(7, 0) && of(44, 5) && of(45, 0) && of(50, 6) && of(51, 2));
        assert!(!of(6, 23) && !of(44, 6) && !of(50, 7) && !of(51, 3) && !of(53, 0));
    }
}
