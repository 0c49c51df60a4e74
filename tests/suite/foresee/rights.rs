//! The forecast for a user who may not do everything with the files.
//!
//! Sixty sets here; more with `WALSMITH_FORESEE`. As root the files get other owners, and SQLite
//! runs as somebody else; without, the modes alone are changed.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fastrand::Rng;
use serde_json::Value;

use super::{SUFFIXES, Score, copy_of, happened, is_there, keep, number, sets};
use crate::support::{beside, oracle_program, text, walsmith, walsmith_program};

/// Nobody in particular.
const USER: u32 = 65_534;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A copy of a program that everybody may run. By another process: a file that this one had open
/// for writing is busy while a thread forks.
fn program_for_all(folder: &Path, program: &Path) -> PathBuf {
    let to = folder.join(program.file_name().unwrap());
    assert!(Command::new("cp").args([program, to.as_path()]).status().unwrap().success());
    to
}

/// Gives every file and the folder other modes, and other owners.
fn restrict(path: &Path, rng: &mut Rng) {
    let mut change = |path: &Path, modes: &[u32]| {
        if is_root() {
            let owner = [0, USER][rng.usize(0..2)];
            chown(path, Some(owner), Some(owner)).unwrap();
        }
        let mode = modes[rng.usize(0..modes.len())];
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    for suffix in SUFFIXES {
        let file = beside(path, suffix);
        if file.exists() {
            change(&file, &[0o644, 0o644, 0o666, 0o664, 0o600, 0o444]);
        }
    }
    change(path.parent().unwrap(), &[0o755, 0o777, 0o775, 0o555]);
}

/// The same owners and modes as in another folder.
fn same_rights(from: &Path, to: &Path) {
    use std::os::unix::fs::MetadataExt;
    let folders = (from.parent().unwrap().to_owned(), to.parent().unwrap().to_owned());
    let files = SUFFIXES.iter().map(|suffix| (beside(from, suffix), beside(to, suffix)));
    for (from, to) in files.chain([folders]).filter(|(from, _)| from.exists()) {
        let metadata = from.metadata().unwrap();
        if is_root() {
            chown(&to, Some(metadata.uid()), Some(metadata.gid())).unwrap();
        }
        fs::set_permissions(&to, metadata.permissions()).unwrap();
    }
}

/// The program as somebody who may not do everything.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(USER).gid(USER);
    }
    command
}

/// What SQLite does for him.
fn outcome(program: &Path, path: &Path) -> Value {
    let mut command = as_user(program);
    let mut child = command
        .arg("foresee")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", path.display()).unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_forecast_for_a_user_is_what_sqlite_does_for_him() {
    let (count, first) = (number("WALSMITH_FORESEE", 60), number("WALSMITH_SEED", 1));
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), Permissions::from_mode(0o755)).unwrap();
    let oracle = program_for_all(programs.path(), &oracle_program());
    let own = program_for_all(programs.path(), &walsmith_program());
    let user = USER.to_string();
    let mut score = Score::default();
    for seed in first..first + count {
        let mut rng = Rng::with_seed(seed ^ 0x0072_6967_6874);
        let folder = tempfile::tempdir().unwrap();
        let path = sets::make(folder.path(), seed, &mut rng);
        let edit = [0, rng.usize(0..sets::EDITS.len())][rng.usize(0..2)];
        sets::edit(&path, sets::EDITS[edit], &mut rng);
        if !is_there(&path) {
            continue;
        }
        let had_log = beside(&path, "-wal").exists();
        let (_copied, copy) = copy_of(&path);
        restrict(&path, &mut rng);
        same_rights(&path, &copy);
        // The one who asks for him, and he himself.
        let asked_for = is_root() && rng.bool();
        let (report, exit) = match asked_for {
            true => walsmith(&["doctor", "--as-user", &user, text(&path)]),
            false => {
                let output = as_user(&own).args(["doctor", "--json"]).arg(&path).output().unwrap();
                let report = serde_json::from_slice(&output.stdout).unwrap();
                (report, output.status.code().unwrap())
            }
        };
        let outcome = outcome(&oracle, &copy);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(copy.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
        if exit == 3 {
            continue;
        }
        let happened = happened(had_log, &outcome);
        let who = if asked_for { "asked for him" } else { "himself" };
        let case = format!("rights-{seed}-{edit}");
        if !score.take(&case, who, &report["forecast"], &happened) {
            keep(&path, &case);
        }
    }
    score.judge();
}
