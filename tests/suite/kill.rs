//! Our process is killed at every system call of a write, a checkpoint and a recovery; SQLite opens
//! what is left. The tracer of the kernel (strace) does the killing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{copy, prepared, rows, text, worker_program};

/// Calls that touch files, memory or locks; others cannot be noticed by anybody else.
const CALLS: &str = "openat,pread64,pwrite64,ftruncate,fdatasync,fsync,unlink,unlinkat,fcntl,mmap,\
                     munmap,close,fstat,newfstatat,statx,fchown,fchmod,linkat,rename,renameat2";

/// A system call of a run: which, and the how-many-th of its kind.
type Call = (String, u32);

/// The calls of a whole run, from the first that names the database on.
fn calls(program: &Path, database: &Path, args: &[&str]) -> Vec<Call> {
    let output = Command::new("strace")
        .args(["-qq", "-e", &format!("trace={CALLS}"), "-e", "signal=none"])
        .arg(program)
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success());
    let trace = String::from_utf8(output.stderr).unwrap();
    let (mut counts, mut calls, mut begun) = (BTreeMap::new(), Vec::new(), false);
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        begun |= line.contains(text(database));
        if begun {
            calls.push((name.to_owned(), *count));
        }
    }
    calls
}

/// Runs our engine and kills it as it enters `call`; what it said before.
fn killed_at(program: &Path, call: &Call, args: &[&str]) -> (String, bool) {
    let (name, count) = call;
    let output = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", &format!("trace={name}")])
        .args(["-e", &format!("inject={name}:signal=KILL:when={count}")])
        .arg(program)
        .args(args)
        .output()
        .unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

/// Kills at each call of a run in turn (`DB` in `args` is the database, `NEW` a file beside it),
/// and checks what is left each time. Returns the number of kills.
pub(crate) fn everywhere(
    program: &Path,
    prepare: impl Fn() -> (tempfile::TempDir, PathBuf),
    args: &[&str],
    check: impl Fn(&Path, &str),
) -> u32 {
    let with = |database: &Path| -> Vec<String> {
        let word = |arg: &&str| match *arg {
            "DB" => text(database).to_owned(),
            "NEW" => text(&database.with_extension("new")).to_owned(),
            other => other.to_owned(),
        };
        args.iter().map(word).collect()
    };
    fn words(args: &[String]) -> Vec<&str> {
        args.iter().map(String::as_str).collect()
    }
    let (_folder, database) = prepare();
    let mut kills = 0;
    for call in calls(program, &database, &words(&with(&database))) {
        let (_folder, database) = prepare();
        let (said, ended) = killed_at(program, &call, &words(&with(&database)));
        check(&database, &said);
        kills += u32::from(!ended);
    }
    kills
}

#[test]
fn a_writer_killed_at_any_call_loses_nothing_that_it_acknowledged() {
    let kills = everywhere(
        &worker_program(),
        || prepared(41, 1024),
        &["stamp", "DB", "1", "8", "normal"],
        |database, said| {
            assert_eq!(rows(database, "PRAGMA integrity_check"), "[\"ok\"]\n");
            let sql = "SELECT hex(substr(v, 17)) FROM ours WHERE id BETWEEN 1 AND 8";
            let found = rows(database, sql);
            let stamped: Vec<bool> =
                found.lines().map(|row| !row.contains("0000000000000000")).collect();
            let acknowledged = said.lines().count();
            // One more may be there: killed between its commit and its word.
            let prefix = stamped.iter().take_while(|&&there| there).count();
            assert!(prefix == acknowledged || prefix == acknowledged + 1, "{said:?} {found}");
            assert!(stamped[prefix..].iter().all(|&there| !there), "{found}");
            let counter = rows(database, "SELECT hex(substr(v, 17)) FROM ours WHERE id = 0");
            assert_eq!(counter, format!("[\"{prefix:016X}\"]\n"));
        },
    );
    println!("{kills} kills of a writer");
    assert!(kills > 50);
}

#[test]
fn a_checkpoint_with_its_recovery_killed_at_any_call_loses_nothing() {
    for mode in ["passive", "truncate"] {
        let kills = everywhere(
            &worker_program(),
            || copy("twenty-rows"),
            &["checkpoint", "DB", mode],
            |database, _| {
                assert_eq!(rows(database, "PRAGMA integrity_check"), "[\"ok\"]\n");
                assert_eq!(rows(database, "SELECT count(*) FROM t"), "[20]\n");
            },
        );
        println!("{kills} kills of a {mode} checkpoint");
        assert!(kills > 30, "{mode}: {kills}");
    }
}
