//! Rows in time, and of two databases.

use std::fs;
use std::process::Command;

use crate::row::row;
use crate::stopwatch::{Run, medians};
use crate::{Bench, remove};

/// Against verifying the same log: everything is read from it that is needed, and rows are decoded.
pub(crate) fn in_time(bench: &Bench, database: &str) {
    let transactions =
        bench.ours(&["txn-list", database, "--format", "csv"]).once().lines().count();
    let middle = (transactions / 2).to_string();
    let verify = bench.ours(&["verify-checksums", database]);
    let jobs: [(&str, &str, &[&str]); 3] = [
        ("log --stat", "at most 12", &["log", database]),
        ("diff 0..last --stat", "at most 6", &["diff", database, "--stat"]),
        ("diff of one transaction", "at most 50 ms more", &["diff", database, &middle, "--stat"]),
    ];
    for (job, goal, args) in jobs {
        let ours = bench.ours(args);
        let [verified, took] = medians([
            (&|| (), &|| verify.timed().milliseconds),
            (&|| (), &|| ours.timed().milliseconds),
        ]);
        let mib = ours.timed().peak_kib / 1024;
        let ratio = took / verified;
        println!(
            "| {job} over verify-checksums; {mib} MiB | {goal} | {ratio:.2} | {verified:.1} ms | {took:.1} ms |"
        );
    }
}

/// Two databases, a hundredth of whose rows differ: against sqldiff where it is installed, and
/// against EXCEPT in both directions.
pub(crate) fn of_two(bench: &Bench) {
    let [one, shared, moved] = ["one.db", "shared.db", "moved.db"].map(|name| bench.path(name));
    let rows = bench.mib * 3600;
    let fill = format!(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
         CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b TEXT);
         INSERT INTO t SELECT i, random(), hex(randomblob(120)) FROM
         (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i FROM n)"
    );
    bench.sqlite(&["run", &one, &fill]).once();
    fs::copy(&one, &shared).unwrap();
    let change = "PRAGMA synchronous=OFF; UPDATE t SET a = a + 1 WHERE id / 1000 % 100 = 7";
    bench.sqlite(&["run", &shared, change]).once();
    fs::copy(&shared, &moved).unwrap();
    let again = "PRAGMA synchronous=OFF; PRAGMA page_size=8192; VACUUM";
    bench.sqlite(&["run", &moved, again]).once();
    let sqldiff = Command::new("sqldiff").arg("--help").output().is_ok();
    for (other, what, goal) in [(&shared, "pages shared", "5"), (&moved, "no page shared", "2")] {
        let ours = bench.ours(&["diff", &one, "--with", other, "--sql"]);
        if sqldiff {
            let theirs = Run::new("sqldiff", &[&one, other]);
            let [theirs, ours] = medians([
                (&|| (), &|| theirs.timed().milliseconds),
                (&|| (), &|| ours.timed().milliseconds),
            ]);
            row(&format!("diff --with --sql against sqldiff, {what}"), goal, theirs, ours);
        }
        let except = format!(
            "ATTACH '{other}' AS o; SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM o.t);
             SELECT count(*) FROM (SELECT * FROM o.t EXCEPT SELECT * FROM t)"
        );
        let except = bench.sqlite(&["run", &one, &except]);
        let [except, ours] = medians([
            (&|| (), &|| except.timed().milliseconds),
            (&|| (), &|| ours.timed().milliseconds),
        ]);
        row(&format!("diff --with --sql against EXCEPT, {what}"), "", except, ours);
    }
    [one, shared, moved].iter().for_each(|path| remove(path));
}
