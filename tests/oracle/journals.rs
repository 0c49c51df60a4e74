//! A rollback-mode database before, in the middle of and after a transaction, as copies that a
//! killed process would leave.

use std::fs;
use std::path::Path;

use super::see::open;

const FILL: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO t(x) SELECT 'r' || i || hex(zeroblob(40)) FROM n;";

/// Writes `before.db`, `half.db` and its journal, `after.db`, and `new.db` and its journal, in
/// which not even the first transaction was committed.
pub(crate) fn all(directory: &Path) {
    let place = |name: &str| directory.join(name);
    let path = place("m.db");
    let connection = open(&path);
    let table = "PRAGMA journal_mode=DELETE; PRAGMA cache_size=10; PRAGMA synchronous=FULL;
        CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE INDEX t_x ON t(x);";
    connection.execute_batch(table).unwrap();
    connection.execute_batch(FILL).unwrap();
    fs::copy(&path, place("before.db")).unwrap();
    connection.execute_batch("BEGIN; UPDATE t SET x = 'changed' || id || x;").unwrap();
    fs::copy(&path, place("half.db")).unwrap();
    fs::copy(place("m.db-journal"), place("half.db-journal")).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    fs::copy(&path, place("after.db")).unwrap();
    let path = place("n.db");
    let connection = open(&path);
    connection.execute_batch("PRAGMA cache_size=10; BEGIN; CREATE TABLE t(id, x);").unwrap();
    connection.execute_batch(FILL).unwrap();
    fs::copy(&path, place("new.db")).unwrap();
    fs::copy(place("n.db-journal"), place("new.db-journal")).unwrap();
}
