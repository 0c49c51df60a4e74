//! One state of a database: its structure, and SQL on it.

use crate::row::row;
use crate::stopwatch::medians;
use crate::{Bench, remove};

/// Against SQLite's own checks of a database with indexes.
pub(crate) fn check(bench: &Bench) {
    let path = bench.path("checked.db");
    let rows = bench.mib * 4500;
    let numbers = |rows: u64| {
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})")
    };
    let fill = format!(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
         CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INT, day TEXT, total REAL, note TEXT);
         {} INSERT INTO orders SELECT i, abs(random()) % 100000,
             date('2020-01-01', '+' || (i % 2000) || ' days'), i * 1.25, hex(randomblob(40)) FROM n;
         CREATE INDEX by_customer ON orders(customer); CREATE INDEX by_day ON orders(day, total);
         CREATE TABLE events(k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID;
         {} INSERT INTO events SELECT hex(randomblob(16)), randomblob(150) FROM n;",
        numbers(rows),
        numbers(rows / 5),
    );
    bench.sqlite(&["run", &path, &fill]).once();
    for (pragma, quick, goals) in
        [("integrity_check", "", ["2", "3"]), ("quick_check", "--quick", ["1", "1.5"])]
    {
        let sqlite = bench.sqlite(&["rows", &path, &format!("PRAGMA {pragma}")]);
        for (threads, goal) in ["1", "2"].into_iter().zip(goals) {
            let args = ["--threads", threads, "check", &path, quick];
            let ours = bench.ours(args.get(..if quick.is_empty() { 4 } else { 5 }).unwrap());
            let [theirs, took] = medians([
                (&|| (), &|| sqlite.timed().milliseconds),
                (&|| (), &|| ours.timed().milliseconds),
            ]);
            let mib = ours.timed().peak_kib / 1024;
            let job = format!("check {quick} against {pragma}, threads: {threads}; {mib} MiB");
            row(&job, goal, theirs, took);
        }
    }
    remove(&path);
}

/// SQL on the newest state of a log, against SQLite on a file that has the same pages, and against
/// verifying the log.
pub(crate) fn query(bench: &Bench, database: &str) {
    let plain = bench.path("plain.db");
    bench.ours(&["replay", database, "--output", &plain]).once();
    let scan = "SELECT count(*), sum(a), sum(length(b)) FROM t";
    let lookups = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
        SELECT count(b), sum(length(b)) FROM n JOIN t ON t.a = n.i * 7919 % 200000 + 1";
    for (job, goal, sql) in
        [("a full scan", "at least 0.77", scan), ("300,000 lookups", "at least 0.67", lookups)]
    {
        let sqlite = bench.sqlite(&["rows", &plain, sql]);
        for (what, path) in [("the log", database), ("a file", &plain)] {
            let ours = bench.ours(&["query", path, sql]);
            let [theirs, took] = medians([
                (&|| (), &|| sqlite.timed().milliseconds),
                (&|| (), &|| ours.timed().milliseconds),
            ]);
            row(&format!("query: {job} of {what}"), goal, theirs, took);
        }
    }
    let verify = bench.ours(&["verify-checksums", database]);
    let open = bench.ours(&["query", database, "SELECT 1"]);
    let [verified, took] = medians([
        (&|| (), &|| verify.timed().milliseconds),
        (&|| (), &|| open.timed().milliseconds),
    ]);
    let more = took - verified;
    println!(
        "| query: opening, over verify-checksums | at most 20 ms more | {more:.1} ms more | \
         {verified:.1} ms | {took:.1} ms |"
    );
    remove(&plain);
}
