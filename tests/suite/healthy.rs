//! Healthy sets of files, idle and live, of SQLite alone and with its shims, also read by a user
//! who may not write: nothing is refused, and nothing is found.
//!
//! Sixty sets here; more with `WALSMITH_HEALTHY=2000 cargo test healthy`, from `WALSMITH_SEED` on.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::shim::Shim;
use crate::support::{beside, oracle_program, release, text, walsmith, walsmith_program};

const KINDS: [&str; 15] = [
    "plain",
    "never",
    "partly",
    "pinned",
    "reset",
    "truncated",
    "restarted",
    "vacuum",
    "auto-vacuum",
    "incremental",
    "rolled-back",
    "spilled",
    "exclusive",
    "persisted",
    "rollback-mode",
];

/// Commands that only look, or write somewhere else.
const LOOKING: [&[&str]; 10] = [
    &["doctor", "--check"],
    &["info"],
    &["verify-checksums"],
    &["frame-list"],
    &["txn-list"],
    &["repair"],
    &["blockers"],
    &["replay", "--dry-run"],
    &["checkpoint-now", "--dry-run"],
    &["checkpoint-now", "--dry-run", "--mode", "truncate"],
];

/// Commands that write, of which each gets files of its own.
const WRITING: [&[&str]; 8] = [
    &["checkpoint-now"],
    &["checkpoint-now", "--mode", "full"],
    &["checkpoint-now", "--mode", "restart"],
    &["checkpoint-now", "--mode", "truncate"],
    &["checkpoint-now", "--mode", "truncate", "--remove-files"],
    &["index-rebuild"],
    &["replay", "--in-place"],
    &["repair", "--apply", "--in-place"],
];

const SHIMS: [Shim; 4] = [Shim(None), Shim(None), Shim(Some("cksumvfs")), Shim(Some("tmstmpvfs"))];

fn make(shim: Shim, path: &Path, seed: u64, kind: &str, end: &str) -> Child {
    let reserved = match shim.0 {
        Some("cksumvfs") => "8",
        Some(_) => "16",
        None => "0",
    };
    Command::new(oracle_program())
        .args(shim.0.iter().flat_map(|name| ["shim", name]))
        .args(["healthy", text(path), &seed.to_string(), kind, end, reserved])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn copy_of(database: &Path) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("x.db");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::copy(beside(database, suffix), beside(&copy, suffix));
    }
    (folder, copy)
}

/// Exit codes that a healthy set may give.
struct Allowed<'a> {
    case: &'a str,
    /// Nobody is in the way.
    is_idle: bool,
}

impl Allowed<'_> {
    fn run(&self, args: &[&str], database: &Path) {
        let (report, exit) = walsmith(&[args, &[text(database)]].concat());
        self.judge(args, database, exit, &format!("{report:#}"));
    }

    /// The same as somebody who may read the files and write nothing.
    fn run_read_only(&self, program: &Path, args: &[&str], database: &Path) {
        let mut command = Command::new(program);
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        let output = command.args(args).arg(database).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        self.judge(args, database, output.status.code().unwrap(), &said);
    }

    fn judge(&self, args: &[&str], database: &Path, exit: i32, report: &str) {
        let has_log = beside(database, "-wal").exists();
        let allowed = match args[0] {
            // Without a log there is nothing to list or to build an index from.
            "frame-list" | "txn-list" | "index-rebuild" if !has_log => exit == 3 || exit == 0,
            "checkpoint-now" if !self.is_idle => [0, 4, 5].contains(&exit),
            "info" | "replay" | "repair" | "index-rebuild" if !self.is_idle => {
                exit == 0 || exit == 4
            }
            _ => exit == 0,
        };
        assert!(allowed, "{}: {args:?}: exit {exit}: {report}", self.case);
    }
}

/// Nothing of the set may be written by others, the directory neither.
fn forbid_writing(database: &Path, forbid: bool) {
    let permit = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (file, folder) = if forbid { (0o444, 0o555) } else { (0o644, 0o755) };
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = beside(database, suffix);
        if path.exists() {
            permit(&path, file);
        }
    }
    permit(database.parent().unwrap(), folder);
}

#[test]
fn nothing_is_refused_and_nothing_is_found() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (count, first) = (number("WALSMITH_HEALTHY", 60), number("WALSMITH_SEED", 1));
    let bin = tempfile::tempdir().unwrap();
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = bin.path().join("walsmith");
    fs::copy(walsmith_program(), &program).unwrap();
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for seed in first..first + count {
        let (turn, place) =
            (usize::try_from(seed).unwrap() / 15, usize::try_from(seed % 15).unwrap());
        let (kind, end) = (KINDS[place], ["die", "close", "hold"][turn % 3]);
        let shim = SHIMS[(turn + place) % SHIMS.len()];
        let case = format!("seed {seed}, {kind}, {end}, {}", shim.0.unwrap_or("no shim"));
        for counted in [kind, end, shim.0.unwrap_or("no shim")] {
            *kinds.entry(counted.to_owned()).or_default() += 1;
        }
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let mut child = make(shim, &database, seed, kind, end);
        let is_idle = end != "hold";
        let allowed = Allowed { case: &case, is_idle };
        if is_idle {
            child.wait().unwrap();
        } else {
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
        }
        for args in LOOKING {
            allowed.run(args, &database);
        }
        forbid_writing(&database, true);
        for args in LOOKING {
            allowed.run_read_only(&program, args, &database);
        }
        forbid_writing(&database, false);
        let copy = database.with_extension("copy");
        let (report, exit) = walsmith(&["replay", "--output", text(&copy), text(&database)]);
        assert!(exit == 0 || (!is_idle && exit == 4), "{case}: {report:#}");
        let check = |path: &Path, what: &str| {
            let answer = shim.oracle(&["rows", text(path), "PRAGMA integrity_check"]);
            assert_eq!(answer.trim(), r#"["ok"]"#, "{case} {what}");
        };
        for args in WRITING.iter().filter(|args| is_idle || args[0].contains("checkpoint")) {
            if is_idle {
                let (_folder, own) = copy_of(&database);
                allowed.run(args, &own);
                check(&own, &args.join(" "));
            } else {
                allowed.run(args, &database);
            }
        }
        release(child);
        check(&database, "the set itself");
    }
    println!("{count} sets from seed {first}: {kinds:?}");
}
