//! The jobs, a row of the table each.

use std::fs;

use crate::row::row;
use crate::stopwatch::{Run, medians};
use crate::{Bench, history, remove, state};

/// Runs every job.
pub(crate) fn all(bench: &Bench) {
    println!("| job | goal | ratio | SQLite | walsmith |\n|---|---|---|---|---|");
    let [logs, rows, states] = ["logs", "rows", "states"].map(|group| bench.wants(group));
    if logs || rows || states {
        of_large(bench, [logs, rows, states]);
    }
    if logs {
        of_other_page_sizes(bench);
    }
    if rows {
        history::of_two(bench);
    }
    if states {
        state::check(bench);
    }
    if bench.wants("appends") {
        append(bench, 1, "2");
        append(bench, 64, "6");
    }
    if logs {
        let small = bench.grow("small.db", 4, 4096);
        verify(bench, &small, "4 MiB log", &[(2, "1")]);
        remove_all(&small);
    }
    if bench.wants("growth") {
        growth(bench);
    }
}

/// Of one large log.
fn of_large(bench: &Bench, [logs, rows, states]: [bool; 3]) {
    let large = bench.grow("large.db", bench.mib, 4096);
    if logs {
        verify(bench, &large, "4 KiB pages", [(1, "2.5"), (2, "4.5")].as_slice());
        against_reading(bench, &large);
        frame_list(bench, &large);
        peak(bench, &large);
    }
    if rows {
        history::in_time(bench, &large);
    }
    if states {
        state::query(bench, &large);
    }
    if logs {
        checkpoint(bench, &large);
        replay(bench, &large);
        bench.sqlite(&["swap", &large]).once();
        let what = "4 KiB pages, swapped byte order";
        verify(bench, &large, what, [(1, "5"), (2, "8")].as_slice());
    }
    remove_all(&large);
}

fn of_other_page_sizes(bench: &Bench) {
    for (page_bytes, pages, goal) in [(512, "512 B pages", "8"), (65_536, "64 KiB pages", "1.6")] {
        let other = bench.grow("other.db", (bench.mib / 5).max(4), page_bytes);
        // Written in such pieces, a log lies in the page cache in pieces, and reading it is most of
        // the time for anybody. A copy does not.
        let copied = bench.path("copied.db");
        for suffix in ["", "-wal"] {
            fs::copy(format!("{other}{suffix}"), format!("{copied}{suffix}")).unwrap();
        }
        verify(bench, &copied, &format!("{pages}, log copied by cp"), &[(1, goal)]);
        remove_all(&other);
        remove_all(&copied);
    }
}

fn remove_all(database: &str) {
    for suffix in ["", "-wal", "-shm"] {
        remove(&format!("{database}{suffix}"));
    }
}

fn size_mib(path: &str) -> u64 {
    fs::metadata(path).unwrap().len() >> 20
}

fn verify(bench: &Bench, database: &str, what: &str, threads: &[(u32, &str)]) {
    let wal = format!("{database}-wal");
    let shm = format!("{database}-shm");
    let no_index = || remove(&shm);
    let recover = bench.sqlite(&["recover", database]);
    for &(threads, goal) in threads {
        let number = threads.to_string();
        let ours = bench.ours(&["--threads", &number, "verify-checksums", database]);
        let [sqlite, ours] = medians([
            (&no_index, &|| recover.timed().milliseconds),
            (&no_index, &|| ours.timed().milliseconds),
        ]);
        let size = size_mib(&wal);
        let job = format!("verify-checksums, {size} MiB, {what}, threads: {threads}");
        row(&job, goal, sqlite, ours);
    }
}

/// What the machine needs for reading the log is the limit of every job that reads it.
fn against_reading(bench: &Bench, database: &str) {
    for (threads, goal) in [("1", "at most 1.5"), ("2", "")] {
        let read = Bench::itself(&["read", &format!("{database}-wal"), threads]);
        let ours = bench.ours(&["--threads", threads, "verify-checksums", database]);
        let [read, ours] = medians([
            (&|| (), &|| read.timed().milliseconds),
            (&|| (), &|| ours.timed().milliseconds),
        ]);
        let ratio = ours / read;
        println!(
            "| verify-checksums over reading the file once, threads: {threads} | {goal} | {ratio:.2} \
             | {read:.1} ms | {ours:.1} ms |"
        );
    }
}

fn frame_list(bench: &Bench, database: &str) {
    let wal = format!("{database}-wal");
    let Some(showwal) = &bench.showwal else {
        println!("| frame-list against showwal | 10, 15 | not measured | - | - |");
        return;
    };
    let showwal = Run::new(showwal, &[&wal]);
    for (threads, goal) in [("1", "10"), ("2", "15")] {
        let ours = bench.ours(&[
            "--threads",
            threads,
            "frame-list",
            "--no-trees",
            "--format",
            "csv",
            database,
        ]);
        let [sqlite, ours] = medians([
            (&|| (), &|| showwal.timed().milliseconds),
            (&|| (), &|| ours.timed().milliseconds),
        ]);
        row(&format!("frame-list against showwal, threads: {threads}"), goal, sqlite, ours);
    }
}

fn peak(bench: &Bench, database: &str) {
    let kib = |threads: &str| {
        bench.ours(&["--threads", threads, "verify-checksums", database]).timed().peak_kib
    };
    let mib = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
    let sqlite = bench.sqlite(&["recover", database]).timed().peak_kib;
    remove(&format!("{database}-shm"));
    let (one, two) = (mib(kib("1")), mib(kib("2")));
    println!(
        "| peak memory of verify-checksums, threads: 1 and 2 | at most 16 MiB | {one} and {two} MiB \
         | {} MiB | - |",
        mib(sqlite)
    );
}

/// Each run begins with a database that has all its pages, as one in use has, so that nobody pays for
/// making it longer. The log is shared, except where it is cut.
fn checkpoint(bench: &Bench, database: &str) {
    let fresh = bench.path("fresh.db");
    bench.ours(&["replay", database, "--output", &fresh]).once();
    let work = bench.path("work.db");
    let (work_wal, wal) = (format!("{work}-wal"), format!("{database}-wal"));
    for (mode, goals) in [("passive", ["3", "2.5"]), ("truncate", ["1.7", "1.6"])] {
        for (sync, goal) in ["off", "full"].into_iter().zip(goals) {
            let prepare = || {
                remove(&format!("{work}-shm"));
                fs::copy(&fresh, &work).unwrap();
                if !fs::exists(&work_wal).unwrap() || size_mib(&work_wal) == 0 {
                    fs::copy(&wal, &work_wal).unwrap();
                }
                // What the disk still has to write is nobody's time.
                nix::unistd::sync();
            };
            let sqlite = bench.sqlite(&["checkpoint", &work, mode, sync]);
            let ours = ["--threads", "2", "checkpoint-now", "--mode", mode, "--sync", sync, &work];
            let ours = bench.ours(&ours);
            let [sqlite, ours] = medians([
                (&prepare, &|| sqlite.timed().milliseconds),
                (&prepare, &|| ours.timed().milliseconds),
            ]);
            row(&format!("checkpoint-now {mode}, sync {sync}, threads: 2"), goal, sqlite, ours);
        }
    }
    remove_all(&work);
    remove(&fresh);
}

fn replay(bench: &Bench, database: &str) {
    let output = bench.path("output.db");
    let prepare = || {
        remove(&format!("{database}-shm"));
        remove(&output);
        nix::unistd::sync();
    };
    let ours = bench.ours(&["--threads", "2", "replay", database, "--output", &output]);
    for (job, action) in [("VACUUM INTO", "vacuum-into"), (".backup", "back-up")] {
        let sqlite = bench.sqlite(&[action, database, &output]);
        let [sqlite, ours] = medians([
            (&prepare, &|| sqlite.timed().milliseconds),
            (&prepare, &|| ours.timed().milliseconds),
        ]);
        row(&format!("replay --output against {job}, threads: 2"), "2", sqlite, ours);
    }
    prepare();
}

/// Both engines commit pages of one database to a log that has had its size before and is written anew
/// from its beginning, as a log in use is.
fn append(bench: &Bench, pages: u32, goal: &str) {
    let fresh = bench.path("rows.db");
    bench.sqlite(&["rows-for-frames", &fresh]).once();
    let database = bench.path("append.db");
    let frames = u32::try_from(bench.mib * 128).unwrap();
    let (transactions, pages_text) = ((frames / pages).to_string(), pages.to_string());
    let args = ["frames", &database, &transactions, &pages_text];
    let (sqlite, ours) = (bench.sqlite(&args), Run::new(&bench.worker, &args));
    let prepare = || {
        remove_all(&database);
        fs::copy(&fresh, &database).unwrap();
    };
    let milliseconds = |run: &Run| {
        let text = run.once();
        text.trim().split_once(' ').unwrap().1.parse::<f64>().unwrap() / 1e6
    };
    let limit = bench.path("limit");
    let len = (pages * 4120).to_string();
    let write = Bench::itself(&["write", &limit, &transactions, &len]);
    let [sqlite, ours, write] = medians([
        (&prepare, &|| milliseconds(&sqlite)),
        (&prepare, &|| milliseconds(&ours)),
        (&|| remove(&limit), &|| milliseconds(&write)),
    ]);
    let job = format!("append {frames} frames, {pages} a commit, sync off");
    row(&job, goal, sqlite, ours);
    row(
        &format!("{job}: the same bytes in one write a commit, without an engine"),
        "",
        sqlite,
        write,
    );
    remove(&limit);
    remove_all(&database);
    remove(&fresh);
}

/// The time for a MiB, of logs of growing size, against that of the first.
fn growth(bench: &Bench) {
    let mut first = None;
    for mib in [64, 256, 1024, 4096].into_iter().filter(|&mib| mib <= bench.growth_mib) {
        let database = bench.grow("growth.db", mib, 4096);
        let ours = bench.ours(&["--threads", "2", "verify-checksums", &database]);
        let [taken] = medians([(&|| (), &|| ours.timed().milliseconds)]);
        let size = u32::try_from(fs::metadata(format!("{database}-wal")).unwrap().len() >> 10);
        let each = taken / f64::from(size.unwrap());
        let growth = each / *first.get_or_insert(each);
        println!(
            "| time for a MiB of {mib} MiB, over that of the smallest | at most 1.1 | {growth:.2} | - \
             | {taken:.1} ms |"
        );
        remove_all(&database);
    }
}
