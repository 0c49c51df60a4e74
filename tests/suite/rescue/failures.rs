//! What cannot be copied, and what must not be left.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use walsmith::access::{Context, Exit};
use walsmith::output::{Format, Output};
use walsmith::scan::Nobody;
use walsmith::storage::fault::{Fault, FaultKind, FaultVfs};
use walsmith::storage::os::OsVfs;

use super::Rescue;
use crate::support::{
    beside, copy, text, walsmith, walsmith_command, walsmith_program, with_default_signals,
};

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_there_already_is_never_written_to() {
    let (folder, database) = copy("twenty-rows");
    let run = |output: &Path| walsmith(&["rescue", text(&database), "-o", text(output)]);
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("theirs"), b"x").unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    for output in [&full, &file, &database, &beside(&database, "-wal")] {
        let before = super::seen(&full);
        let (report, exit) = run(output);
        assert_eq!((report["error"]["kind"].as_str(), exit), (Some("refused"), 6), "{report:#}");
        assert_eq!(super::seen(&full), before);
    }
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(run(&empty).1, 0);
    assert!(empty.join("x.db").exists());
    let (report, exit) = run(Path::new("/no/such/folder/new"));
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("io"), 3), "{report:#}");
    let (report, exit) =
        walsmith(&["rescue", text(&folder.path().join("nothing")), "-o", "/tmp/no-such-rescue"]);
    assert_eq!((report["error"]["kind"].as_str(), exit), (Some("not-found"), 3), "{report:#}");
    assert!(!Path::new("/tmp/no-such-rescue").exists());
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_copied() {
    let (folder, database) = copy("shm-leftover");
    let all = fs::Permissions::from_mode;
    let program = folder.path().join("walsmith");
    // By another process: a copy that this one had open for writing is busy while a thread forks.
    let from = walsmith_program();
    assert!(Command::new("cp").args([&from, &program]).status().unwrap().success());
    for suffix in ["", "-wal", "-shm"] {
        let own = beside(&database, suffix);
        fs::set_permissions(&own, all(0o000)).unwrap();
        fs::set_permissions(folder.path(), all(0o755)).unwrap();
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), all(0o777)).unwrap();
        let output = parent.path().join("new");
        let mut command = Command::new(&program);
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let args = ["rescue", "--json", text(&database), "-o", text(&output)];
        let done = command.args(args).output().unwrap();
        fs::set_permissions(&own, all(0o644)).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(5), "{report:#}");
        for file in report["sets"][0]["files"].as_array().unwrap() {
            let is_own = file["source"].as_str() == Some(text(&own));
            assert_eq!(file["is_proven"], !is_own, "{file:#}");
            assert_eq!(file["copy"].is_null(), is_own, "{file:#}");
            if is_own {
                assert!(file["unproven_because"].as_str().unwrap().contains("denied"), "{file:#}");
            }
        }
        let copied = report["sets"][0]["files"].as_array().unwrap().len();
        assert_eq!((copied, fs::read_dir(&output).unwrap().count()), (3, 3));
    }
}

#[test]
fn a_fifo_is_not_waited_for() {
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    fs::remove_file(&wal).unwrap();
    nix::unistd::mkfifo(&wal, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let done = Rescue::of(&database, &[]);
    assert_eq!(done.exit, 5, "{:#}", done.report);
    let files = done.files(None);
    assert!(files[1]["unproven_because"].as_str().unwrap().contains("FIFO"), "{:#}", done.report);
    assert_eq!(files[0]["is_proven"], true);
}

#[test]
fn every_name_is_kept_and_every_command_can_be_typed() {
    let names: [&[u8]; 4] = [b"sp ace's.db", b"-dash.db", b"e\x1b[31m\nsc.db", b"caf\xe9 $HOME.db"];
    for name in names {
        let name = OsStr::from_bytes(name);
        let (folder, database) = copy("twenty-rows");
        for suffix in ["", "-wal"] {
            let mut to = name.to_owned();
            to.push(suffix);
            fs::rename(beside(&database, suffix), folder.path().join(to)).unwrap();
        }
        let mut directory = name.to_owned();
        directory.push(" rescue");
        let mut path = OsStr::new("./").to_owned();
        path.push(name);
        let mut command = walsmith_command();
        command.current_dir(folder.path()).env("COLUMNS", "60").env("LC_ALL", "C.UTF-8");
        let mut output = OsStr::new("--output=").to_owned();
        output.push(&directory);
        let done = command.arg("rescue").arg(path).arg(output).output().unwrap();
        let shown = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(0), "{shown}");
        assert_eq!(
            fs::read(folder.path().join(&directory).join(name)).unwrap(),
            fs::read(folder.path().join(name)).unwrap()
        );
        let program = walsmith_program();
        let search = std::env::var("PATH").unwrap();
        let search = format!("{}:{search}", text(program.parent().unwrap()));
        let next: Vec<&str> =
            shown.lines().filter_map(|line| line.strip_prefix("  walsmith ")).collect();
        assert!(!next.is_empty(), "{shown}");
        for next in next {
            let mut bash = Command::new("bash");
            bash.current_dir(folder.path()).env("PATH", &search);
            let typed = bash.arg("-c").arg(format!("walsmith {next}")).output().unwrap();
            assert!(matches!(typed.status.code(), Some(0 | 1)), "{next}");
        }
    }
}

#[derive(Parser)]
enum Line {
    Rescue(walsmith::commands::rescue::Rescue),
}

/// Every storage call fails once, or finds the disk full.
#[test]
fn a_rescue_that_fails_leaves_nothing() {
    let (folder, database) = copy("shm-leftover");
    let before = entries(folder.path());
    let vfs = FaultVfs::new(OsVfs);
    let run = |output: &Path| {
        let args = ["walsmith", "rescue", text(&database), "--output", text(output)];
        let Line::Rescue(command) = Line::try_parse_from(args).unwrap();
        let mut bytes = Vec::new();
        let output = Output::new(&mut bytes, Format::Json);
        let warnings = RefCell::default();
        let mut context = Context { vfs: &vfs, watch: &Nobody, output, warnings };
        command.run(&mut context)
    };
    let output = folder.path().join("new");
    vfs.plan(None);
    assert_eq!(run(&output).unwrap(), Exit::Done);
    let calls = vfs.calls();
    fs::remove_dir_all(&output).unwrap();
    let mut failed = 0;
    for (kind, step) in [(FaultKind::Fail, 1), (FaultKind::DiskFull, 3), (FaultKind::PowerLoss, 5)]
    {
        for call in (1..=calls).step_by(step) {
            vfs.plan(Some(Fault { call, kind, persistent: false }));
            let done = run(&output);
            match done {
                Err(_) => {
                    failed += 1;
                    assert_eq!(entries(folder.path()), before, "{kind:?} at {call}");
                }
                // Done all the same, or with a file that is called unproven.
                Ok(exit) => {
                    assert!(matches!(exit, Exit::Done | Exit::Incomplete), "{exit:?}");
                    for suffix in ["", "-wal", "-shm"] {
                        let copied = fs::read(beside(&output.join("x.db"), suffix));
                        if exit == Exit::Done {
                            assert_eq!(
                                copied.unwrap(),
                                fs::read(beside(&database, suffix)).unwrap(),
                                "{kind:?} at {call}"
                            );
                        }
                    }
                    fs::remove_dir_all(&output).unwrap();
                }
            }
        }
    }
    assert!(failed > 20, "{failed} of {calls}");
}

#[test]
fn a_full_disk_is_a_clear_error() {
    let (folder, database) = copy("twenty-rows");
    let before = entries(folder.path());
    // The limit of a process stands for a full disk: writes beyond it fail.
    let script = "ulimit -f 4; trap '' XFSZ; exec \"$0\" rescue \"$1\" -o \"$2\" --json";
    let output = folder.path().join("new");
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).arg(walsmith_program()).arg(&database).arg(&output);
    let done = bash.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((report["error"]["kind"].as_str(), done.status.code()), (Some("io"), Some(3)));
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("write") && message.contains("too large"), "{message}");
    assert_eq!(entries(folder.path()), before);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let (folder, database) = copy("twenty-rows");
    let file = fs::OpenOptions::new().write(true).open(&database).unwrap();
    // A hole that takes minutes to be summed.
    file.set_len(200 << 30).unwrap();
    drop(file);
    let before = entries(folder.path());
    let mut child = with_default_signals(walsmith_program())
        .args(["rescue", text(&database), "-o", text(&folder.path().join("new"))])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while entries(folder.path()) == before {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    assert_eq!(entries(folder.path()), before);
}
