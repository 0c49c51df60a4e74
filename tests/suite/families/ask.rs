//! One run of walsmith, watched for panics and for its end.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::judge::Kind;
use crate::support::walsmith_program;

/// What no command may take.
const MOST_SECONDS: u64 = 20;

/// An answer of walsmith.
pub(super) struct Answer {
    pub report: Value,
    pub exit: i32,
}

/// Runs walsmith with --json, for no longer than a command may take. What goes wrong is added to
/// `failures`.
pub(super) fn ask(args: &[&str], failures: &mut Vec<(Kind, String)>) -> Answer {
    let mut command = Command::new(walsmith_program());
    command.arg("--json").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let (send, receive) = mpsc::channel();
    let waits = std::thread::spawn(move || send.send(child.wait_with_output().unwrap()).unwrap());
    let output = receive.recv_timeout(Duration::from_secs(MOST_SECONDS)).unwrap_or_else(|_| {
        failures.push((Kind::Slow, args[0].to_owned()));
        let _: nix::Result<()> = kill(pid, Signal::SIGKILL);
        receive.recv().unwrap()
    });
    waits.join().unwrap();
    let Output { status, stdout, stderr } = output;
    let is_panic = status.code() == Some(101) || status.signal().is_some_and(|number| number != 9);
    if is_panic {
        let said = String::from_utf8_lossy(&stderr);
        failures.push((Kind::Panic, format!("{}: {}", args[0], said.lines().next().unwrap_or(""))));
    }
    let report = serde_json::from_slice(&stdout).unwrap_or_default();
    Answer { report, exit: status.code().unwrap_or(-1) }
}
