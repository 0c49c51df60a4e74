//! Signals: a command stops at a safe point and dies of the signal, so that shells see it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::support::{copy, hold, release, rows, text, walsmith_program, with_default_signals};

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// A checkpoint that a reader keeps waiting.
fn waiting(database: &Path) -> Command {
    let mut command = with_default_signals(walsmith_program());
    command.args(["checkpoint-now", "--mode", "truncate", "--timeout", "10min"]).arg(database);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until walsmith listens to signals and holds a lock, as its file tells.
fn has_attached(child: &Child, database: &Path) {
    let shm = format!("{}-shm", text(&std::fs::canonicalize(database).unwrap()));
    let folder = format!("/proc/{}/fd", child.id());
    let is_open = || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
        entries
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .any(|to| to == Path::new(&shm))
    };
    while !is_open() {
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_is_what_the_process_dies_of() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (_folder, database) = copy("twenty-rows");
        let reader = hold("hold-read", &database);
        rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
        let mut child = waiting(&database).spawn().unwrap();
        has_attached(&child, &database);
        kill(pid(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(signal as i32), "{status}");
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert!(message.contains("interrupted"), "{message}");
        assert!(message.contains("the log still holds every frame"), "{message}");
        release(reader);
        assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[21]");
    }
}

#[test]
fn a_loop_of_a_shell_stops() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    let script = "for round in 1 2 3; do echo round $round; \"$0\" checkpoint-now --mode truncate \
                  --timeout 10min \"$1\"; echo after; done; echo end";
    let mut shell = with_default_signals("bash")
        .args(["-c", script])
        .arg(walsmith_program())
        .arg(&database)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "round 1");
    let child = loop {
        let listed = format!("/proc/{0}/task/{0}/children", shell.id());
        let children = std::fs::read_to_string(listed).unwrap();
        if let Some(child) = children.split_whitespace().next() {
            break child.parse::<u32>().unwrap();
        }
    };
    let shm = format!("{}-shm", text(&std::fs::canonicalize(&database).unwrap()));
    let is_open = || {
        let entries = std::fs::read_dir(format!("/proc/{child}/fd")).into_iter().flatten();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.into_iter().any(|link| link == Path::new(&shm))
    };
    while !is_open() {
        std::thread::yield_now();
    }
    // As the terminal does on Ctrl-C.
    killpg(pid(&shell), Signal::SIGINT).unwrap();
    let more: Vec<String> = lines.map(Result::unwrap).filter(|line| line == "after").collect();
    assert_eq!(more, Vec::<String>::new(), "the loop goes on");
    assert_eq!(shell.wait().unwrap().signal(), Some(2));
    release(reader);
}

#[test]
fn what_the_parent_ignores_stays_ignored() {
    let (_folder, database) = copy("twenty-rows");
    let reader = hold("hold-read", &database);
    rows(&database, "INSERT INTO t(b) VALUES('later') RETURNING a");
    let mut child = Command::new("bash")
        .args([
            "-c",
            "trap '' HUP; exec \"$0\" checkpoint-now --mode truncate --timeout 10min \"$1\"",
        ])
        .arg(walsmith_program())
        .arg(&database)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    has_attached(&child, &database);
    kill(pid(&child), Signal::SIGHUP).unwrap();
    release(reader);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
