//! What a step would make final is refused by every command that writes, in the same words, with every
//! file as it was; and what an override lets pass is named.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use walsmith::format::{Checksum, FrameHeader, WalHeader};

use crate::support::{beside, oracle, oracle_program, rows, text, walsmith};

/// The commands that write, each as far as its options. The path comes last.
const WRITERS: [&[&str]; 9] = [
    &["checkpoint-now", "--mode", "passive"],
    &["checkpoint-now", "--mode", "truncate"],
    &["checkpoint-now", "--mode", "truncate", "--remove-files"],
    &["checkpoint-now", "--mode", "truncate", "--dry-run"],
    &["index-rebuild"],
    &["replay", "--in-place"],
    &["repair", "--apply", "--in-place"],
    &["undo", "--discard"],
    &["undo"],
];

/// Content of all files beside `database`, but for the wal-index, which attached processes may write.
fn state(database: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = fs::read_dir(database.parent().unwrap()).unwrap();
    folder
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn refused(args: &[&str], database: &Path, rule: &str) {
    let before = state(database);
    let (report, exit) = walsmith(&[args, &[text(database)]].concat());
    assert_eq!(exit, 6, "{args:?}: {report:#}");
    let error = &report["error"];
    assert!(["refused", "attached"].contains(&error["kind"].as_str().unwrap()), "{error:#}");
    assert!(error["message"].as_str().unwrap().contains(rule), "{args:?}: {error:#}");
    assert!(!error["hint"].as_str().unwrap_or_default().is_empty(), "{error:#}");
    assert!(state(database) == before, "{args:?} has changed a file");
}

/// A SQLite process with nine committed updates in its log.
struct Holder {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Holder {
    fn start(action: &str, database: &Path) -> Self {
        let mut child = Command::new(oracle_program())
            .args([action, text(database)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        answers.read_line(&mut String::new()).unwrap();
        Self { child, answers }
    }

    /// Lets it run a line of SQL; what it answers.
    fn ask(&mut self, sql: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    fn finish(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

fn set_backfill(database: &Path, frames: u32) {
    use std::os::unix::fs::FileExt;
    let shm = fs::OpenOptions::new().write(true).open(beside(database, "-shm")).unwrap();
    shm.write_all_at(&frames.to_ne_bytes(), 96).unwrap();
}

fn updated(database: &Path) -> String {
    rows(database, "SELECT count(*), sum(b LIKE 'U%') FROM t").trim().to_owned()
}

/// 300 rows, all of them checkpointed, and nine updates that the wal-index calls copied.
fn false_backfill(frames: u32) -> (TempDir, PathBuf, Holder) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let holder = Holder::start("hold-updates", &database);
    set_backfill(&database, frames);
    (folder, database, holder)
}

#[test]
fn frames_that_were_never_copied_are_copied_again_before_the_log_is_emptied() {
    let (_folder, database, mut holder) = false_backfill(9);
    for args in [
        &["checkpoint-now"][..],
        &["checkpoint-now", "--mode", "noop"],
        &["checkpoint-now", "--dry-run"],
        &["checkpoint-now", "--accept-loss"],
        &["index-rebuild"],
    ] {
        refused(args, &database, "9 frames are marked as copied into the database, and");
    }
    let (info, exit) = walsmith(&["info", text(&database)]);
    assert_eq!(
        (info["false_backfill"]["backfill_frames"].as_u64(), exit),
        (Some(9), 1),
        "{info:#}"
    );
    let (seen, exit) = walsmith(&["index-dump", text(&database)]);
    assert_eq!((seen["comparison"].as_str(), exit), (Some("wrong"), 1), "{seen:#}");
    let truncate = ["checkpoint-now", "--mode", "truncate", text(&database)];
    let (said, exit) = walsmith(&[&truncate[..], &["--dry-run"]].concat());
    assert_eq!((said["backfill_repaired"].as_bool(), exit), (Some(true), 0), "{said:#}");
    let (done, exit) = walsmith(&truncate);
    assert_eq!((done["backfill_repaired"].as_bool(), exit), (Some(true), 0), "{done:#}");
    assert_eq!(done["copied_pages"], said["copied_pages"]);
    assert_eq!(fs::metadata(beside(&database, "-wal")).unwrap().len(), 0);
    // Connections of before and new ones see the updates, and a commit undoes none.
    assert_eq!(updated(&database), "[300,9]");
    holder.ask("UPDATE t SET b = 'last' WHERE a = 299");
    assert_eq!(updated(&database), "[300,9]");
    assert_eq!(rows(&database, "PRAGMA integrity_check").trim(), r#"["ok"]"#);
    holder.finish();
}

#[test]
fn a_mend_needs_all_readers_gone() {
    let (_folder, database, holder) = false_backfill(9);
    let reader = crate::support::hold("hold-read", &database);
    let before = state(&database);
    let (done, exit) = walsmith(&["checkpoint-now", "--mode", "full", text(&database)]);
    assert_eq!((done["busy"].as_bool(), exit), (Some(true), 4), "{done:#}");
    let unchanged = |(path, bytes): (&PathBuf, &Vec<u8>)| {
        path.to_str().unwrap().ends_with("-shm") || fs::read(path).unwrap() == *bytes
    };
    assert!(before.iter().all(unchanged));
    crate::support::release(reader);
    holder.finish();
}

#[test]
fn where_a_commit_may_have_followed_only_consent_copies_again() {
    for frames in [5, 500] {
        let (_folder, database, holder) = false_backfill(frames);
        for mode in ["passive", "full", "truncate"] {
            refused(&["checkpoint-now", "--mode", mode], &database, "marked as copied");
        }
        let args = ["checkpoint-now", "--mode", "truncate", "--accept-loss", text(&database)];
        let (done, exit) = walsmith(&args);
        assert_eq!(
            (done["accepted"][0]["rule"].as_str(), exit),
            (Some("false-backfill"), 1),
            "{done:#}"
        );
        assert_eq!(updated(&database), "[300,9]");
        holder.finish();
    }
}

#[test]
fn a_process_without_a_lock_is_named_and_nothing_is_taken_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let mut holder = Holder::start("lose-locks", &database);
    for args in WRITERS {
        if args[0] == "undo" {
            continue;
        }
        refused(args, &database, &format!("process {}", holder.child.id()));
    }
    let (report, exit) = walsmith(&["blockers", text(&database)]);
    assert_eq!(exit, 1, "{report:#}");
    assert_eq!(report["misusers"][0]["pid"], holder.child.id());
    assert_eq!(report["misusers"][0]["misuse"], "lockless-user");
    // What it commits afterwards is not lost.
    assert_eq!(holder.ask("INSERT INTO t(b) VALUES('late')"), "51");
    holder.finish();
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[51]");
}

#[test]
fn files_that_lost_their_name_under_a_process_are_seen() {
    for (suffix, replace, rule) in [
        ("-wal", false, "deleted-in-use"),
        ("-shm", false, "deleted-in-use"),
        ("", true, "replaced-in-use"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let holder = Holder::start("hold-updates", &database);
        let file = beside(&database, suffix);
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        if replace {
            fs::write(&file, bytes).unwrap();
        }
        let (report, exit) = walsmith(&["blockers", text(&database)]);
        assert_eq!((report["misusers"][0]["misuse"].as_str(), exit), (Some(rule), 1), "{report:#}");
        for args in WRITERS {
            let needs_log = ["checkpoint-now", "index-rebuild"].contains(&args[0]);
            if args[0] == "undo" || (suffix == "-wal" && needs_log) {
                continue;
            }
            refused(args, &database, &format!("process {}", holder.child.id()));
        }
        if suffix == "-wal" {
            let (done, exit) = walsmith(&["checkpoint-now", text(&database)]);
            assert_eq!(exit, 6, "{done:#}");
        }
        holder.finish();
    }
}

/// Rewrites the frames of a log and chains them again.
fn rechained(wal: &[u8], mut change: impl FnMut(usize, &mut FrameHeader, &mut [u8])) -> Vec<u8> {
    let header = WalHeader::decode(wal.first_chunk().unwrap());
    let slot = usize::try_from(header.page_size().unwrap().slot_bytes()).unwrap();
    let mut sum: Checksum = header.checksum;
    let mut out = wal[..32].to_vec();
    for (number, frame) in wal[32..].chunks_exact(slot).enumerate() {
        let (head, image) = frame.split_first_chunk::<24>().unwrap();
        let mut head = FrameHeader::decode(head);
        let mut image = image.to_vec();
        change(number + 1, &mut head, &mut image);
        head.checksum = head.sum_from(sum, header.byte_order(), &image);
        sum = head.checksum;
        out.extend_from_slice(&head.encode());
        out.extend_from_slice(&image);
    }
    out
}

/// 601 rows of which 300 are in the file, in a log of three transactions.
fn grown() -> (TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    // It dies by itself.
    let _ = Command::new(oracle_program()).args(["grown", text(&database)]).output().unwrap();
    fs::remove_file(beside(&database, "-shm")).unwrap();
    let wal = fs::read(beside(&database, "-wal")).unwrap();
    (folder, database, wal)
}

fn assert_all_refuse(database: &Path, rule: &str, may_be_accepted: bool) {
    for args in WRITERS {
        let lets_repair_mend = args[0] == "repair";
        if args[0] != "undo" && !lets_repair_mend {
            refused(args, database, rule);
        }
    }
    let copy = database.with_extension("copy");
    refused(&["replay", "--output", text(&copy)], database, rule);
    let args = ["replay", "--accept-loss", "--output", text(&copy), text(database)];
    let (report, exit) = walsmith(&args);
    assert_eq!(exit, if may_be_accepted { 1 } else { 6 }, "{report:#}");
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let frames = |wal: &[u8]| (wal.len() - 32) / 4120;
    let commit = |size: u32| {
        move |wal: &[u8]| {
            let last = frames(wal);
            rechained(wal, |number, head, _| {
                if number == last {
                    head.commit_size_pages = size;
                }
            })
        }
    };
    type Damage = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let count = |wal: &[u8]| {
        rechained(wal, |_, head, image| {
            if head.page.0 == 1 {
                image[28..32].copy_from_slice(&500_u32.to_be_bytes());
            }
        })
    };
    let cases: [(Damage, &str, bool); 3] = [
        (Box::new(commit(20)), "page 1 counts", true),
        (Box::new(count), "page 1 counts 500 pages", true),
        (Box::new(commit(5000)), "the last commit says 5000 pages", false),
    ];
    for (damage, rule, may_be_accepted) in cases {
        let (_folder, database, wal) = grown();
        fs::write(beside(&database, "-wal"), damage(&wal)).unwrap();
        assert_all_refuse(&database, rule, may_be_accepted);
        let (seen, exit) = walsmith(&["verify-checksums", text(&database)]);
        assert_eq!(
            (seen["files"][0]["findings"][0]["rule"].as_str(), exit),
            (Some("sizes-contradict"), 1),
            "{seen:#}"
        );
        let (seen, exit) = walsmith(&["info", text(&database)]);
        assert_eq!(
            (seen["findings"][0]["rule"].as_str(), exit),
            (Some("sizes-contradict"), 1),
            "{seen:#}"
        );
        assert_repairs(&database, "601");
    }
}

/// Repair finds the one size that gives a sound database.
fn assert_repairs(database: &Path, count: &str) {
    let (plan, exit) = walsmith(&["repair", text(database)]);
    assert_eq!((plan["plan"].as_array().unwrap().len(), exit), (1, 1), "{plan:#}");
    let fixed = database.with_extension("fixed");
    let apply = ["repair", "--apply", "--force", "--output", text(&fixed), text(database)];
    let (done, exit) = walsmith(&apply);
    assert_eq!((done["lossless"].as_bool(), exit), (Some(true), 0), "{done:#}");
    assert_eq!(rows(&fixed, "SELECT count(*) FROM t").trim(), format!("[{count}]"));
    assert_eq!(rows(&fixed, "PRAGMA integrity_check").trim(), r#"["ok"]"#);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&fixed, suffix));
    }
    let before = fs::read(database).unwrap();
    let (done, exit) = walsmith(&["repair", "--apply", "--in-place", text(database)]);
    assert_eq!((done["applied"].as_bool(), exit), (Some(true), 0), "{done:#}");
    let (done, exit) = walsmith(&["undo", text(database)]);
    assert_eq!(exit, 0, "{done:#}");
    assert_eq!(fs::read(database).unwrap(), before);
}

/// What a document says of the findings of a rule.
pub fn rules(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_that_is_shorter_or_longer_than_its_header_says_is_not_healthy() {
    let (_folder, database, _) = grown();
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let bytes = fs::read(&database).unwrap();
    for (count, rule) in [(1_u32, "sizes-contradict"), (500, "file-short")] {
        let mut changed = bytes.clone();
        changed[28..32].copy_from_slice(&count.to_be_bytes());
        fs::write(&database, changed).unwrap();
        let (seen, exit) = walsmith(&["info", text(&database)]);
        assert_eq!((rules(&seen), exit), (vec![rule.to_owned()], 1), "{seen:#}");
        let copy = database.with_extension("copy");
        refused(&["replay", "--output", text(&copy)], &database, "page 1 counts");
        assert_repairs(&database, "300");
    }
}

#[test]
fn a_lost_page_1_is_named_and_only_a_log_that_has_it_helps() {
    let overwrite = |database: &Path| {
        let mut bytes = fs::read(database).unwrap();
        let (first, rest) = bytes.split_at_mut(4096);
        first.copy_from_slice(&rest[4096..8192]);
        fs::write(database, bytes).unwrap();
    };
    // The log writes page 1.
    let (_folder, database, _) = grown();
    overwrite(&database);
    for command in ["info", "repair"] {
        let (seen, exit) = walsmith(&[command, text(&database)]);
        assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    }
    let (seen, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((rules(&seen["files"][0]), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    let (done, exit) = walsmith(&["checkpoint-now", "--mode", "truncate", text(&database)]);
    assert_eq!(exit, 0, "{done:#}");
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[601]");
    // The log does not.
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let holder = Holder::start("hold-updates", &database);
    holder.finish();
    let _ = fs::remove_file(beside(&database, "-shm"));
    overwrite(&database);
    for args in WRITERS {
        if args[0] != "undo" {
            refused(args, &database, "page 1 is no database header");
        }
    }
    let (seen, exit) = walsmith(&["info", text(&database)]);
    assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    let (seen, exit) = walsmith(&["repair", text(&database)]);
    assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
    assert_eq!(seen["lossless"], false);
    // Nor is there a log.
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let (seen, exit) = walsmith(&["info", text(&database)]);
    assert_eq!((rules(&seen), exit), (vec!["page-1-lost".to_owned()], 1), "{seen:#}");
}

#[test]
fn a_log_that_an_index_knows_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let holder = Holder::start("hold-updates", &database);
    // Copied as a crash leaves them.
    let other = tempfile::tempdir().unwrap();
    let left = other.path().join("x.db");
    for suffix in ["", "-shm"] {
        fs::copy(beside(&database, suffix), beside(&left, suffix)).unwrap();
    }
    holder.finish();
    let (seen, exit) = walsmith(&["info", text(&left)]);
    assert_eq!((rules(&seen), exit), (vec!["log-missing".to_owned()], 1), "{seen:#}");
    let (seen, exit) = walsmith(&["verify-checksums", text(&left)]);
    assert_eq!((seen["files"][0]["verdict"].as_str(), exit), (Some("absent"), 1), "{seen:#}");
    let (done, exit) = walsmith(&["checkpoint-now", text(&left)]);
    assert_eq!((done["missing_log"]["mx_frame"].as_u64(), exit), (Some(9), 1), "{done:#}");
    refused(&["repair", "--apply", "--in-place"], &left, "there is no log");
    let (done, exit) = walsmith(&["repair", text(&left)]);
    assert_eq!((done["lossless"].as_bool(), exit), (Some(false), 1), "{done:#}");
    assert!(beside(&left, "-shm").exists());
}

#[test]
fn a_foreign_log_reaches_no_database() {
    let make = |word: &str, more: &str| {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let sql = format!(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX t_b ON t(b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900)
             INSERT INTO t SELECT i * 3, 'a row of {word}, number ' || i FROM n;
             PRAGMA wal_checkpoint(TRUNCATE); {more}"
        );
        oracle(&["run", text(&database), &sql]);
        (folder, database)
    };
    let more = "CREATE TABLE u(c); INSERT INTO u SELECT b FROM t; PRAGMA wal_checkpoint(TRUNCATE);
                DELETE FROM t WHERE a < 900; UPDATE u SET c = 'x' WHERE rowid < 30;";
    let ((_one, one), (_two, two)) = (make("one", ""), make("two", more));
    fs::copy(beside(&two, "-wal"), beside(&one, "-wal")).unwrap();
    let _ = fs::remove_file(beside(&one, "-shm"));
    for args in WRITERS {
        // A log without damage gives repair nothing to do in place.
        if args[0] != "undo" {
            refused(args, &one, "the log is another database's");
        }
    }
    let args = ["checkpoint-now", "--accept-foreign", text(&one)];
    let (done, exit) = walsmith(&args);
    assert_eq!((done["accepted"][0]["rule"].as_str(), exit), (Some("pair-foreign"), 1), "{done:#}");
}

#[test]
fn undo_does_not_put_bytes_below_a_hot_journal() {
    let (_folder, database, _) = grown();
    assert_eq!(walsmith(&["replay", "--in-place", text(&database)]).1, 0);
    fs::write(beside(&database, "-journal"), b"\xd9\xd5\x05\xf9 a journal").unwrap();
    refused(&["undo"], &database, "is hot");
    fs::remove_file(beside(&database, "-journal")).unwrap();
    assert_eq!(walsmith(&["undo", text(&database)]).1, 0);
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[601]");
}

#[test]
fn a_log_that_ends_before_what_its_index_has_committed_is_refused() {
    let (_folder, database, wal) = grown();
    let shm = beside(&database, "-shm");
    // One of the same salts, left by who has gone.
    let copy = tempfile::tempdir().unwrap();
    let other = copy.path().join("x.db");
    fs::copy(&database, &other).unwrap();
    fs::write(beside(&other, "-wal"), &wal).unwrap();
    oracle(&["run", text(&other), "SELECT count(*) FROM sqlite_schema"]);
    fs::copy(beside(&other, "-shm"), &shm).unwrap();
    let page_bytes = u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    let frames = (wal.len() - 32) / (page_bytes + 24);
    for frames_left in [frames - 1, frames / 2, 1] {
        let left = 32 + frames_left * (page_bytes + 24);
        fs::write(beside(&database, "-wal"), &wal[..left]).unwrap();
        let seen = |args: &[&str]| walsmith(&[args, &[text(&database)]].concat());
        for args in [&["info"][..], &["verify-checksums"], &["repair"]] {
            let (report, exit) = seen(args);
            assert!(exit == 1 && report.to_string().contains("log-cut"), "{args:?}: {report:#}");
        }
        for args in
            [&["checkpoint-now"][..], &["checkpoint-now", "--dry-run"], &["replay", "--in-place"]]
        {
            let (report, exit) = seen(args);
            assert_eq!(exit, 6, "{args:?}: {report:#}");
        }
        assert_eq!(fs::read(beside(&database, "-wal")).unwrap(), wal[..left]);
    }
}

#[test]
fn a_damaged_log_is_replayed_in_place_with_a_consent() {
    let (_folder, database, mut wal) = grown();
    wal[32 + 24 + 100] ^= 1;
    fs::write(beside(&database, "-wal"), &wal).unwrap();
    let (report, exit) = walsmith(&["replay", "--in-place", text(&database)]);
    assert_eq!((exit, report["error"]["kind"].as_str()), (6, Some("refused")), "{report:#}");
    let (report, exit) = walsmith(&["replay", "--in-place", "--accept-loss", text(&database)]);
    assert_eq!(exit, 1, "{report:#}");
}
