//! SQLite processes that stay: with commits in the log, or without the locks that they should hold.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::Path;

use rusqlite::Connection;

const ROWS: &str = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300)
    INSERT INTO t(b) SELECT";

/// Leaves nine updates of 300 checkpointed rows in the log, and serves.
pub(crate) fn hold_updates(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let setup = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(a INTEGER PRIMARY KEY, b);
         {ROWS} printf('A%d%.*c', i, 100, 'q') FROM c; PRAGMA wal_checkpoint(TRUNCATE);"
    );
    connection.execute_batch(&setup).unwrap();
    for number in 0..9 {
        let sql = format!("UPDATE t SET b = 'U{number}' WHERE a = {}", number * 30 + 1);
        connection.execute_batch(&sql).unwrap();
    }
    serve(&connection);
}

/// Has a transaction open, and a child that was forked then: it has the files, and none of the
/// locks.
pub(crate) fn hold_with_child(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("CREATE TABLE u(a); BEGIN; SELECT count(*) FROM t").unwrap();
    // SAFETY: this process has one thread, and the child only waits for its end.
    let child = unsafe { nix::libc::fork() };
    if child == 0 {
        std::thread::sleep(std::time::Duration::from_secs(60));
        std::process::abort();
    }
    println!("ready");
    io::stdout().flush().unwrap();
    io::stdin().lock().lines().for_each(drop);
    // SAFETY: both calls take the number of a child of this process.
    unsafe {
        nix::libc::kill(child, nix::libc::SIGKILL);
        nix::libc::waitpid(child, std::ptr::null_mut(), 0);
    }
}

/// Commits 51 transactions, and loses its locks in the middle of a read: POSIX drops all locks of a
/// process that closes any descriptor of the file.
pub(crate) fn lose_locks(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let setup = "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b)";
    connection.execute_batch(setup).unwrap();
    for number in 0..50 {
        connection.execute("INSERT INTO t(b) VALUES(?)", [number]).unwrap();
    }
    connection.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    for file in [path, Path::new(&index)] {
        drop(fs::OpenOptions::new().read(true).write(true).open(file).unwrap());
    }
    serve(&connection);
}

/// Runs each line of stdin, outside of any transaction, and answers with the rows of `t`; dies at
/// its end.
fn serve(connection: &Connection) {
    println!("ready");
    io::stdout().flush().unwrap();
    for sql in io::stdin().lock().lines() {
        if !connection.is_autocommit() {
            connection.execute_batch("COMMIT").unwrap();
        }
        connection.execute_batch(&sql.unwrap()).unwrap();
        let rows: i64 =
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        println!("{rows}");
        io::stdout().flush().unwrap();
    }
    std::process::abort();
}

/// Dies with 301 rows in the log, and 300 before them in the file.
pub(crate) fn grown(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let rows = format!("{ROWS} printf('r%d%.*c', i, 200, 'z') FROM c;");
    let setup = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE t(a INTEGER PRIMARY KEY, b); {rows} PRAGMA wal_checkpoint(TRUNCATE); {rows}
         INSERT INTO t(b) VALUES(1);"
    );
    connection.execute_batch(&setup).unwrap();
    std::process::abort();
}
