//! Several paths, and folders: what cannot be read hides no finding.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{damaged_as, printed, run, stdout};
use crate::support::{copy, walsmith_program};

/// Folders with a clean log, a damaged one, and what cannot be read.
fn tree() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_damaged) in [("clean", false), ("hurt", true)] {
        let to = folder.path().join(name);
        fs::create_dir(&to).unwrap();
        let from = if is_damaged { damaged_as(OsStr::new("x.db")) } else { copy("twenty-rows").0 };
        for suffix in ["", "-wal"] {
            let file = format!("x.db{suffix}");
            fs::copy(from.path().join(&file), to.join(&file)).unwrap();
        }
    }
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    (folder, locked)
}

#[test]
fn a_search_goes_past_what_it_cannot_read_and_hides_no_finding() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let (folder, locked) = tree();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&locked, 0o000);
    let bin = tempfile::tempdir().unwrap();
    mode(bin.path(), 0o755);
    let program = bin.path().join("walsmith");
    fs::copy(walsmith_program(), &program).unwrap();
    let search = |args: &[&str], path: &str| {
        let mut command = Command::new(&program);
        command.current_dir(folder.path()).args(["verify-checksums", "-r"]).args(args).arg(path);
        // Root may read everything: the search runs as nobody.
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        command.env("LC_ALL", "C").output().unwrap()
    };
    let done = search(&[], ".");
    let shown = stdout(&done);
    assert_eq!(done.status.code(), Some(1), "{shown}");
    let last = shown.lines().last().unwrap();
    let wanted = "2 logs: 1 clean, 1 damaged; 1 directory could not be searched";
    assert_eq!(last, wanted, "{shown}");
    let document: Value = serde_json::from_slice(&search(&["--json"], ".").stdout).unwrap();
    let verdicts: Vec<&str> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["clean", "damaged", "unreadable"]);
    assert_eq!(document["files"][2]["error"]["kind"], "permission");
    // Nothing else is found: the run could not do its job.
    fs::remove_dir_all(folder.path().join("hurt")).unwrap();
    assert_eq!(search(&[], ".").status.code(), Some(3));
    mode(&locked, 0o755);
    let clean = search(&["-q"], ".");
    assert_eq!((clean.status.code(), printed(&clean).as_str()), (Some(0), ""));
}

#[test]
fn a_path_that_cannot_be_read_hides_no_finding() {
    let (folder, _) = tree();
    let code = |paths: &[&str]| {
        let args: Vec<&OsStr> = ["verify-checksums"].iter().chain(paths).map(OsStr::new).collect();
        run(folder.path(), &args).status.code()
    };
    assert_eq!(code(&["clean/x.db", "nothing.db"]), Some(3));
    assert_eq!(code(&["nothing.db", "hurt/x.db", "clean/x.db"]), Some(1));
    assert_eq!(code(&["hurt/x.db", "nothing.db"]), Some(1));
    let done = run(folder.path(), &["verify-checksums", "hurt/x.db", "nothing.db"].map(OsStr::new));
    assert!(stdout(&done).ends_with("2 logs: 1 damaged, 1 unreadable\n"), "{}", stdout(&done));
}
