//! Whole commands through the binary: reports, exit codes, and that inspecting changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;

use crate::support::{beside, copy, names, rows};

const WALSMITH: &str = env!("CARGO_BIN_EXE_walsmith");

/// Every command that only looks, with the arguments that make it look at most.
/// Whether a command could do its job; that of index-dump needs an index.
fn has_done(args: &[&str], database: &Path, status: ExitStatus) -> bool {
    let no_index = args == ["index-dump"] && !beside(database, "-shm").exists();
    matches!(status.code(), Some(0 | 1)) || (no_index && status.code() == Some(3))
}

const INSPECTING: &[&[&str]] = &[
    &["info"],
    &["verify-checksums"],
    &["frame-list", "--all", "--digest", "--wide"],
    &["txn-list"],
    &["dump"],
    &["blockers"],
    &["index-dump"],
    &["checkpoint-now", "--dry-run", "--accept-loss"],
    &["dump", "--page", "1"],
    &["replay", "--dry-run", "--accept-loss"],
    &["repair"],
];

fn walsmith(args: &[&str], path: &Path) -> Output {
    Command::new(WALSMITH).args(args).arg(path).output().unwrap()
}

fn json(args: &[&str], path: &Path) -> (Value, i32) {
    let output = walsmith(&[args, &["--json"]].concat(), path);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{args:?} {}: {error}", path.display()));
    (document, output.status.code().unwrap())
}

fn verified(path: &Path) -> (Value, i32) {
    let (document, exit) = json(&["verify-checksums"], path);
    (document["files"][0].clone(), exit)
}

#[test]
fn one_flipped_bit_in_twenty_transactions_is_forecast_as_sqlite_loses_it() {
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[32 + 10 * 4120 + 24 + 4000] ^= 2;
    fs::write(&wal, bytes).unwrap();
    let (report, exit) = verified(&database);
    assert_eq!((report["verdict"].as_str(), exit), (Some("damaged"), 1));
    assert_eq!(report["damaged"], serde_json::json!([{"frame": 11, "what": "content"}]));
    assert_eq!(report["transactions"], 10);
    assert_eq!(report["lost"]["transactions"], 10);
    assert_eq!(report["lost"]["recoverable"], "all");
    // SQLite, on the same copy, sees ten rows of twenty.
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[10]");
}

#[test]
fn an_abandoned_history_is_never_recoverable_without_doubt() {
    let (_folder, database) = copy("abandoned-history");
    let (report, exit) = verified(&database);
    assert_eq!((report["verdict"].as_str(), exit), (Some("damaged"), 1));
    assert_eq!(report["lost"]["certainty"], "possible");
    assert_ne!(report["lost"]["recoverable"], "all");
}

#[test]
fn a_log_damaged_after_it_was_copied_gives_a_mixture() {
    let (_folder, database) = copy("damaged-after-checkpoint");
    let (report, _) = verified(&database);
    assert_eq!(report["sqlite_sees"], "mixture");
    // Twelve rows were committed and copied; SQLite sees neither them nor a clean prefix.
    assert_ne!(rows(&database, "SELECT count(*) FROM t").trim(), "[12]");
}

#[test]
fn a_log_cut_at_a_frame_border_is_betrayed_by_its_index() {
    let (_folder, database) = copy("shm-leftover");
    let (report, exit) = verified(&database);
    assert_eq!((report["index_witness"]["agrees"].as_bool(), exit), (Some(false), 1));
    let strict = walsmith(&["verify-checksums", "--strict"], &database);
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn exit_codes_and_documents_follow_the_contract() {
    let (folder, database) = copy("page-1024");
    let nothing = folder.path().join("nothing.db");
    for command in ["info", "frame-list", "txn-list", "verify-checksums"] {
        let (document, exit) = json(&[command], &database);
        assert_eq!(
            (document["schema"].as_str(), exit),
            (Some(&*format!("walsmith.{command}/1")), 0)
        );
        let (document, exit) = json(&[command], &nothing);
        assert_eq!(exit, 3, "{command}");
        let error = match command {
            "verify-checksums" => &document["files"][0]["error"],
            _ => &document["error"],
        };
        assert_eq!(error["kind"], "not-found", "{command}");
        let usage = walsmith(&[command, "--no-such-option"], &database);
        assert_eq!((usage.status.code(), usage.stdout.len()), (Some(2), 0));
    }
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let (report, exit) = verified(&database);
    assert_eq!((report["verdict"].as_str(), exit), (Some("absent"), 0));
}

#[test]
fn every_sibling_names_the_same_log() {
    let (_folder, database) = copy("shm-current");
    let (by_database, _) = verified(&database);
    for suffix in ["-wal", "-shm"] {
        assert_eq!(verified(&beside(&database, suffix)).0, by_database);
    }
    let link = database.with_file_name("link.db");
    std::os::unix::fs::symlink(&database, &link).unwrap();
    assert_eq!(verified(&link).0, by_database);
}

#[test]
fn recursive_finds_logs_by_content_and_by_name() {
    let (folder, database) = copy("page-512");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::copy(beside(&database, "-wal"), inner.join("saved-log")).unwrap();
    let mut destroyed = fs::read(beside(&database, "-wal")).unwrap();
    destroyed[..32].fill(0x55);
    fs::write(inner.join("y.db-wal"), destroyed).unwrap();
    let (document, exit) = json(&["verify-checksums", "--recursive"], folder.path());
    let found: Vec<(String, &str)> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let name = Path::new(file["wal"].as_str().unwrap()).file_name().unwrap();
            (name.to_str().unwrap().to_owned(), file["verdict"].as_str().unwrap())
        })
        .collect();
    let expected = [("saved-log", "clean"), ("y.db-wal", "bad-header"), ("x.db-wal", "clean")];
    assert_eq!(found.len(), expected.len());
    for (name, verdict) in expected {
        assert!(found.contains(&(name.to_owned(), verdict)), "{name}: {found:?}");
    }
    assert_eq!(exit, 1);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (_folder, database) = copy("page-512");
    let mut child = Command::new(WALSMITH)
        .args(["frame-list", "--no-trees", "--format", "jsonl"])
        .arg(&database)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn frame_list_filters() {
    let (_folder, database) = copy("generations");
    let frames = |args: &[&str]| {
        let (document, _) = json(&[&["frame-list"], args].concat(), &database);
        document["frames"].as_array().unwrap().clone()
    };
    let all = frames(&["--all"]);
    assert!(all.len() > frames(&[]).len());
    assert!(frames(&["--state", "stale"]).iter().all(|frame| frame["state"] == "stale"));
    assert!(frames(&["--commits"]).iter().all(|frame| !frame["commit_size_pages"].is_null()));
    let range = frames(&["--all", "--frames", "2..4"]);
    assert_eq!(range.iter().map(|f| f["frame"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(frames(&["--all", "--limit", "5"]).len(), 5);
    let generations: std::collections::BTreeSet<u64> =
        all.iter().map(|frame| frame["generation"].as_u64().unwrap()).collect();
    assert_eq!(generations.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

/// Content and modification time of every file of a folder.
fn state_of(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (path.clone(), (fs::read(&path).unwrap(), modified))
        })
        .collect()
}

/// The binary where any user can run it.
fn runnable_by_all(folder: &Path) -> PathBuf {
    let program = folder.join("walsmith");
    fs::copy(WALSMITH, &program).unwrap();
    program
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn inspecting_changes_nothing_for_a_user_who_may_not_write() {
    let bin = tempfile::tempdir().unwrap();
    mode(bin.path(), 0o755);
    let program = runnable_by_all(bin.path());
    let root = is_root();
    for name in names() {
        let (folder, database) = copy(&name);
        let before = state_of(folder.path());
        for path in before.keys() {
            mode(path, 0o444);
        }
        mode(folder.path(), 0o555);
        for args in INSPECTING {
            let mut command = Command::new(&program);
            command.args(*args).arg(&database);
            if root {
                command.uid(65_534).gid(65_534);
            }
            let output = command.output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(has_done(args, &database, output.status), "{name} {args:?}: {stderr}");
        }
        mode(folder.path(), 0o755);
        assert_eq!(state_of(folder.path()), before, "{name}");
    }
}

/// Whether the test runs as root and must drop its rights to test anything.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn inspecting_opens_nothing_for_writing_and_sets_no_lock_but_a_readers() {
    for name in ["shm-current", "abandoned-history", "uncommitted-tail"] {
        let (folder, database) = copy(name);
        let before = state_of(folder.path());
        let traces = tempfile::tempdir().unwrap();
        for args in INSPECTING {
            let trace = traces.path().join("trace");
            let calls =
                "trace=%file,fcntl,flock,ftruncate,pwrite64,pwritev,fallocate,fchmod,fchown";
            let status = Command::new("strace")
                .args(["-f", "-e", calls, "-o"])
                .arg(&trace)
                .arg(WALSMITH)
                .args(*args)
                .arg(&database)
                .stdout(Stdio::null())
                .status()
                .expect("strace is needed: apt-get install strace");
            assert!(has_done(args, &database, status));
            let trace = fs::read_to_string(trace).unwrap();
            assert!(trace.contains("x.db"), "the trace shows the reading");
            for line in trace.lines() {
                let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "SETLK", "LOCK_"];
                let changes = ["unlink", "rename", "truncate(", "pwrite", "mkdir", "fallocate"];
                // Pages of file and log are read together under a reader's locks.
                let holds = [
                    "replay",
                    "checkpoint-now",
                    "info",
                    "dump",
                    "repair",
                    "txn-list",
                    "frame-list",
                ];
                let reads = ["F_RDLCK", "F_UNLCK"];
                if holds.contains(&args[0])
                    && line.contains("F_OFD_SETLK")
                    && reads.iter().any(|lock| line.contains(lock))
                {
                    continue;
                }
                let found = writes.iter().chain(&changes).find(|word| line.contains(*word));
                assert_eq!(found, None, "{args:?}: {line}");
            }
        }
        assert_eq!(state_of(folder.path()), before);
    }
}
