//! Logs of which bytes were inserted, are missing, or were translated as text, against SQLite: what was
//! written before is the truth, and no claim of `repair` may differ from it.
//!
//! A few dozen of each kind here; more: `WALSMITH_SHIFTS=2000 cargo test --release --test suite shifted
//! -- --nocapture`. `WALSMITH_SEED` chooses others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use serde_json::Value;
use tempfile::TempDir;
use walsmith::format::{ByteOrder, FrameHeader, WAL_HEADER_BYTES, WalHeader};

use crate::support::{beside, names, oracle, oracle_program, read, rows, text, walsmith};

const ROWS: &str = "SELECT 't', a, b, c FROM t UNION ALL SELECT 'u', k, v, NULL FROM u";

/// A database of which everything but the first pages is in its log, and what it is.
struct Truth {
    database: Vec<u8>,
    wal: Vec<u8>,
    shm: Option<Vec<u8>>,
    slot_len: usize,
    restored: Vec<u8>,
    rows: BTreeSet<String>,
    /// Every row that some commit had.
    ever: BTreeSet<String>,
}

fn rows_of(database: &Path) -> BTreeSet<String> {
    let output = Command::new(oracle_program()).args(["rows", text(database), ROWS]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

fn and_die(args: &[&str]) {
    let output = Command::new(oracle_program()).args(args).output().unwrap();
    assert_eq!(output.status.signal(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A copy of the files in a folder of their own.
fn put(database: &[u8], wal: &[u8], shm: Option<&[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, database).unwrap();
    fs::write(beside(&path, "-wal"), wal).unwrap();
    if let Some(shm) = shm {
        fs::write(beside(&path, "-shm"), shm).unwrap();
    }
    (folder, path)
}

impl Truth {
    fn new(page_bytes: usize, order: ByteOrder) -> Self {
        const TRANSACTIONS: u32 = 24;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        and_die(&["churn", text(&path), &page_bytes.to_string(), &TRANSACTIONS.to_string()]);
        let mut wal = fs::read(beside(&path, "-wal")).unwrap();
        let slot_len = page_bytes + 24;
        sum_in_order(&mut wal, slot_len, order);
        fs::write(beside(&path, "-wal"), &wal).unwrap();
        let shm = fs::read(beside(&path, "-shm")).unwrap();
        fs::remove_file(beside(&path, "-shm")).unwrap();
        // The index has the last sum, which is another in the other order.
        let shm = Some(shm).filter(|_| order == ByteOrder::NATIVE);
        let (database, new) = (fs::read(&path).unwrap(), folder.path().join("new.db"));
        let replay = |more: &[&str]| {
            let args = ["replay", text(&path), "--output", text(&new), "--force"];
            let (report, exit) = walsmith(&[&args[..], more].concat());
            assert_eq!(exit, 0, "{more:?}: {report:#}");
            let rows = rows_of(&new);
            for suffix in ["-wal", "-shm"] {
                let _ = fs::remove_file(beside(&new, suffix));
            }
            rows
        };
        let (verified, _) = walsmith(&["verify-checksums", text(&path)]);
        let all = verified["files"][0]["transactions"].as_u64().unwrap();
        assert!(all >= TRANSACTIONS.into());
        let ever = (2..=all).flat_map(|txn| replay(&["--to-txn", &txn.to_string()]));
        let mut ever: BTreeSet<String> = ever.collect();
        let rows = replay(&[]);
        ever.extend(rows.iter().cloned());
        let restored = fs::read(&new).unwrap();
        assert!(rows.len() > 20, "{page_bytes}: {}", rows.len());
        Self { database, wal, shm, slot_len, restored, rows, ever }
    }
}

/// Sums a log again in a byte order.
fn sum_in_order(wal: &mut [u8], slot_len: usize, order: ByteOrder) {
    let (head, frames) = wal.split_first_chunk_mut::<WAL_HEADER_BYTES>().unwrap();
    let mut header = WalHeader::decode(head);
    header.magic = header.magic & !1 | u32::from(order == ByteOrder::Big);
    header.checksum = header.computed_checksum();
    *head = header.encode();
    let mut sum = header.checksum;
    for slot in frames.chunks_exact_mut(slot_len) {
        let (head, image) = slot.split_first_chunk_mut::<24>().unwrap();
        let mut frame = FrameHeader::decode(head);
        frame.checksum = frame.sum_from(sum, order, image);
        sum = frame.checksum;
        *head = frame.encode();
    }
}

type Damage = fn(&mut Vec<u8>, &mut Rng, usize);

fn insert(wal: &mut Vec<u8>, rng: &mut Rng, most: usize) {
    let at = rng.usize(32..wal.len());
    let bytes: Vec<u8> = match rng.u8(0..3) {
        0 => vec![rng.u8(..); rng.usize(1..=most)],
        _ => (0..rng.usize(1..=most)).map(|_| rng.u8(..)).collect(),
    };
    wal.splice(at..at, bytes);
}

fn delete(wal: &mut Vec<u8>, rng: &mut Rng, most: usize) {
    let at = rng.usize(32..wal.len() - most);
    let end = at + rng.usize(1..=most);
    wal.drain(at..end);
}

const KINDS: &[(&str, Damage)] = &[
    ("1 byte inserted", |wal, rng, _| insert(wal, rng, 1)),
    ("1 to 100 inserted", |wal, rng, _| insert(wal, rng, 100)),
    ("1 byte missing", |wal, rng, _| delete(wal, rng, 1)),
    ("1 to 100 missing", |wal, rng, _| delete(wal, rng, 100)),
    ("several places", |wal, rng, _| {
        for _ in 0..rng.usize(2..5) {
            match rng.bool() {
                true => insert(wal, rng, 60),
                false => delete(wal, rng, 60),
            }
        }
    }),
    ("line ends", |wal, _, _| {
        let byte = |byte: &u8| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] };
        *wal = wal.iter().flat_map(byte).collect();
    }),
    ("line ends, and 1 byte missing", |wal, rng, _| {
        delete(wal, rng, 1);
        let byte = |byte: &u8| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] };
        *wal = wal.iter().flat_map(byte).collect();
    }),
    ("returns stripped", |wal, _, _| wal.retain(|byte| *byte != b'\r')),
    ("prefix", |wal, rng, _| {
        let fill = if rng.bool() { 0 } else { rng.u8(..) };
        let prefix = vec![fill; rng.usize(1..5000)];
        wal.splice(0..0, prefix);
    }),
    ("prefix, and 100 missing", |wal, rng, _| {
        delete(wal, rng, 100);
        wal.splice(0..0, *b"\xef\xbb\xbf");
    }),
    ("front lost", |wal, rng, len| {
        let end = rng.usize(1..3 * len);
        wal.drain(..end);
    }),
    ("header lost", |wal, _, _| {
        wal.drain(..32);
    }),
    ("sector missing", |wal, rng, _| {
        let at = rng.usize(1..wal.len() / 512) * 512;
        wal.drain(at..(at + 512).min(wal.len()));
    }),
    ("block missing", |wal, rng, _| {
        let at = rng.usize(0..wal.len() / 4096) * 4096;
        wal.drain(at.max(32)..(at + 4096).min(wal.len()));
    }),
    ("block of zeros inserted", |wal, rng, _| {
        let at = rng.usize(1..=wal.len() / 4096) * 4096;
        wal.splice(at..at, vec![0; 4096]);
    }),
    ("frames and more missing", |wal, rng, len| {
        let at = rng.usize(32..wal.len() - 3 * len);
        let end = at + rng.usize(len..3 * len);
        wal.drain(at..end);
    }),
    ("a part twice", |wal, rng, len| {
        let start = rng.usize(0..wal.len() - len);
        let end = (start + rng.usize(1..5 * len)).min(wal.len());
        let (part, at) = (wal[start..end].to_vec(), rng.usize(32..wal.len()));
        wal.splice(at..at, part);
    }),
    ("shifted and flipped", |wal, rng, _| {
        delete(wal, rng, 30);
        for _ in 0..3 {
            let at = rng.usize(32..wal.len());
            wal[at] ^= 1 << rng.u8(0..8);
        }
    }),
];

#[derive(Clone, Copy, Default)]
struct Tally {
    cases: usize,
    alarms: usize,
    lossless: usize,
    refused: usize,
    rows: usize,
    by_sqlite: usize,
    by_repair: usize,
}

/// Puts one damaged log to the test.
fn one(truth: &Truth, wal: &[u8], with_index: bool, tally: &mut Tally, what: &str) {
    tally.cases += 1;
    let (folder, database) = put(&truth.database, wal, truth.shm.as_deref().filter(|_| with_index));
    let output = folder.path().join("new.db");
    let (verified, exit) = walsmith(&["verify-checksums", text(&database)]);
    let verdict = verified["files"][0]["verdict"].as_str().unwrap().to_owned();
    // Nothing was copied into the file; an index may know more than the log has left.
    let findings = verified["files"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|one| one["rule"] == "log-cut"), "{what}: {findings:#?}");
    let is_alarm = exit_is_alarm(&verdict) || !findings.is_empty();
    assert_eq!(exit == 1, is_alarm, "{what}");
    let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
    let (report, exit) = walsmith(&apply);
    if report["error"]["kind"] == "refused" {
        // Nothing is claimed: the state is not one of this database.
        assert_eq!(exit, 6, "{what}: {report:#}");
        tally.refused += 1;
        return;
    }
    assert_eq!(report["verdict"], verdict, "{what}: {report:#}");
    let lossless = report["lossless"] == true;
    assert_eq!(lossless, exit == 0, "{what}: {report:#}");
    if lossless {
        assert!(fs::read(&output).unwrap() == truth.restored, "{what}: a false claim: {report:#}");
        assert!(report["transactions_after"].as_u64() > Some(0), "{what}");
    } else {
        assert_eq!(exit, 6, "{what}: {report:#}");
        let (_, exit) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
        assert_eq!(exit, 1, "{what}");
    }
    assert!(fs::read(beside(&database, "-wal")).unwrap() == wal, "{what}: evidence is untouched");
    let health = rows(&output, "PRAGMA integrity_check");
    let sound = report["health"]["sound"].as_bool().unwrap_or(true);
    assert_eq!(sound, health == "[\"ok\"]\n", "{what}: {health} {report:#}");
    let ours = rows_of(&output);
    // Last: SQLite may delete the log.
    let theirs = rows_of(&database);
    let kept = |rows: &BTreeSet<String>| rows.intersection(&truth.rows).cloned().collect();
    let (ours_right, theirs_right): (BTreeSet<String>, BTreeSet<String>) =
        (kept(&ours), kept(&theirs));
    if verdict == "clean" || verdict == "empty" || verdict == "uncommitted-tail" {
        assert!(theirs == truth.rows, "{what}: {verdict}, but rows are lost");
    }
    assert!(theirs_right.is_subset(&ours_right), "{what}: rows of SQLite are gone: {report:#}");
    let never: Vec<_> = ours.difference(&truth.ever).collect();
    let guessed = report["candidates"].as_array().unwrap().iter().any(|choice| {
        choice["chosen"] == true && !choice["guessed_frames"].as_array().unwrap().is_empty()
    });
    assert!(never.is_empty() || guessed, "{what}: rows that never were: {never:?} {report:#}");
    tally.alarms += usize::from(exit_is_alarm(&verdict));
    tally.lossless += usize::from(lossless);
    tally.rows += truth.rows.len();
    tally.by_sqlite += theirs_right.len();
    tally.by_repair += ours_right.len();
}

fn exit_is_alarm(verdict: &str) -> bool {
    matches!(verdict, "damaged" | "bad-header")
}

#[test]
fn no_claim_about_a_shifted_log_is_false() {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (cases, seed) = (number("WALSMITH_SHIFTS", 126), number("WALSMITH_SEED", 5));
    let most_sizes = if cases < 1000 { 4 } else { 8 };
    let sizes = [512, 4096, 1024, 65536, 2048, 8192, 16384, 32768];
    let truths: Vec<Truth> = sizes
        .into_iter()
        .take(most_sizes)
        .zip([ByteOrder::Little, ByteOrder::Big].into_iter().cycle())
        .flat_map(|(size, order)| {
            let both = [ByteOrder::Little, ByteOrder::Big];
            let orders = if cases < 1000 { vec![order] } else { both.to_vec() };
            orders.into_iter().map(move |order| Truth::new(size, order))
        })
        .collect();
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut failed = 0;
    for index in 0..cases {
        let mut rng = Rng::with_seed((seed as u64) << 32 | index as u64);
        let (kind, damage) = KINDS[index % KINDS.len()];
        let chosen = rng.usize(..truths.len());
        let truth = &truths[chosen];
        let mut wal = truth.wal.clone();
        damage(&mut wal, &mut rng, truth.slot_len);
        let what = format!("{kind}, case {index} of seed {seed}, slots of {}", truth.slot_len);
        let (with_index, tally) = (rng.bool(), tallies.entry(kind).or_default());
        let test = std::panic::AssertUnwindSafe(|| one(truth, &wal, with_index, tally, &what));
        failed += usize::from(std::panic::catch_unwind(test).is_err());
    }
    println!(
        "| kind | cases | refused | exit 1 | lossless | rows SQLite keeps | rows after repair |"
    );
    for (kind, tally) in &tallies {
        let share = |rows: usize| format!("{:.1} %", 100.0 * rows as f64 / tally.rows as f64);
        let Tally { cases, refused, alarms, lossless, by_sqlite, by_repair, .. } = *tally;
        let (sqlite, repair) = (share(by_sqlite), share(by_repair));
        println!("| {kind} | {cases} | {refused} | {alarms} | {lossless} | {sqlite} | {repair} |");
    }
    assert_eq!(failed, 0, "the cases are named above");
    for kind in ["1 byte inserted", "1 byte missing", "line ends", "prefix"] {
        let Tally { cases, lossless, .. } = tallies[kind];
        assert!(lossless * 4 >= cases * 3, "{kind}: {lossless} of {cases}");
    }
}

/// One row a transaction, as a small application writes; the shapes of a report from outside.
struct Small {
    folder: TempDir,
    database: Vec<u8>,
    wal: Vec<u8>,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.db");
        let inserts =
            (0..60).map(|row| format!("INSERT INTO t(x) VALUES('r{row}{}');", "z".repeat(60)));
        let sql = "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
                   CREATE TABLE t(id INTEGER PRIMARY KEY, x);";
        let sql = format!("{sql}{}", inserts.collect::<String>());
        and_die(&["write-and-die", text(&path), &sql]);
        let (database, wal) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
        Self { folder, database, wal }
    }

    /// What verify-checksums says of a log, what repair says, and the rows that it gives.
    fn judge(&self, wal: &[u8]) -> (Value, Value, usize) {
        let (_folder, path) = put(&self.database, wal, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = verified["files"][0].clone();
        assert_eq!(exit, 1, "{file:#}");
        let output = self.folder.path().join("out.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&output, suffix));
        }
        let apply = ["repair", text(&path), "--apply", "--output", text(&output)];
        let (report, exit) = walsmith(&apply);
        assert_eq!(exit, if report["lossless"] == true { 0 } else { 6 }, "{report:#}");
        if exit != 0 {
            walsmith(&[&apply[..], &["--accept-loss", "--force"]].concat());
        }
        let found = oracle(&["rows", text(&output), "SELECT id, x FROM t"]);
        (file, report, found.lines().count())
    }
}

#[test]
fn each_shape_of_a_shifted_log_is_told_and_repaired() {
    let small = Small::new();
    let (wal, middle) = (&small.wal, 32 + 30 * 4120);
    let cut = |from: usize, to: usize| [&wal[..from], &wal[to..]].concat();
    let line_ends: Vec<u8> = wal
        .iter()
        .flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] })
        .collect();
    let inserted = [&wal[..middle + 100], b"\r", &wal[middle + 100..]].concat();
    let shapes = [
        ("line ends", line_ends, "damaged"),
        ("delete byte", cut(middle + 100, middle + 101), "damaged"),
        ("insert byte", inserted, "damaged"),
        ("delete sector", cut(middle + 512, middle + 1024), "damaged"),
        ("lost header bytes", cut(32, 42), "damaged"),
        ("prefix", [&[0; 4096][..], wal].concat(), "bad-header"),
        ("byte order mark", [b"\xef\xbb\xbf", wal.as_slice()].concat(), "bad-header"),
        ("header lost", wal[32..].to_vec(), "bad-header"),
    ];
    for (name, shape, verdict) in shapes {
        let (file, report, rows) = small.judge(&shape);
        // The salts may hold a line feed, too.
        let also = if name == "line ends" { "bad-header" } else { verdict };
        assert!(file["verdict"] == verdict || file["verdict"] == also, "{name}: {file:#}");
        assert_eq!(report["lossless"], true, "{name}: {report:#}");
        assert_eq!(report["transactions_after"], 61, "{name}");
        assert_eq!(rows, 60, "{name}");
        let commits = file["shifted"][0]["commits"].as_u64().unwrap();
        assert!(commits >= 31, "{name}: {file:#}");
        assert_eq!(report["plan"][0]["action"], "undo-shift", "{name}");
    }
    let (file, report, rows) = small.judge(&wal[4096..]);
    assert_eq!(file["verdict"], "bad-header");
    assert_eq!(file["shifted"][0]["shift_bytes"], -4096);
    assert_eq!(file["shifted_frames_missing"], true);
    assert_eq!(
        (report["lossless"].clone(), rows),
        (false.into(), 60),
        "frame 1 is lost, and named"
    );
}

/// Every carriage return was taken out: some bytes are missing in nearly every frame, and whether any
/// of them can be put together again depends on the salts.
#[test]
fn a_log_that_is_broken_in_every_frame_is_damaged_whatever_its_salts() {
    for _ in 0..8 {
        let small = Small::new();
        let stripped: Vec<u8> = small.wal.iter().copied().filter(|byte| *byte != b'\r').collect();
        let (_folder, path) = put(&small.database, &stripped, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        // The salts may hold a carriage return, too.
        let is_header = file["verdict"] == "bad-header";
        assert!(is_header || file["lost"]["transactions"].as_u64() > Some(0), "{file:#}");
        assert!((is_header || file["verdict"] == "damaged") && exit == 1, "{file:#}");
        let (report, exit) = walsmith(&["repair", text(&path)]);
        assert_eq!((report["lossless"].clone(), exit), (false.into(), 1), "{report:#}");
    }
}

#[test]
fn a_shift_is_told_in_words_by_each_command() {
    let small = Small::new();
    let mut wal = small.wal.clone();
    wal.insert(32 + 30 * 4120 + 100, 7);
    let (_folder, path) = put(&small.database, &wal, None);
    let told = |command: &str| {
        let output =
            Command::new(crate::support::walsmith_program()).args([command, text(&path)]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let verify = told("verify-checksums");
    assert!(
        verify.contains("1 byte too many before: 34 intact frames with 31 commits"),
        "{verify}"
    );
    assert!(verify.contains("In 1 frame bytes were inserted or are missing"), "{verify}");
    assert!(told("info").contains("34 frames with 31 commits from offset 127,753 on"));
    let repair = told("repair");
    assert!(repair.contains("put the bytes back to their places (proven)"), "{repair}");
    let (info, _) = walsmith(&["info", text(&path)]);
    assert_eq!(info["wal"]["shifted"][0]["frames"], 34);
}

#[test]
fn a_plan_that_regains_nothing_of_a_broken_log_is_not_lossless() {
    let small = Small::new();
    let mut rng = Rng::with_seed(3);
    let garbage: Vec<u8> = (0..small.wal.len()).map(|_| rng.u8(..)).collect();
    let zeros = vec![0; small.wal.len()];
    let mut foreign_end = small.wal[..32 + 4120 * 5].to_vec();
    foreign_end.extend(&garbage[..4120 * 3]);
    for (name, wal) in [("garbage", garbage), ("zeros", zeros), ("end", foreign_end)] {
        let (_folder, path) = put(&small.database, &wal, None);
        let (report, exit) = walsmith(&["repair", text(&path), "--apply", "--in-place"]);
        assert_eq!((report["lossless"].clone(), exit), (false.into(), 6), "{name}: {report:#}");
        assert_eq!(report["applied"], false);
        assert!(fs::read(beside(&path, "-wal")).unwrap() == wal);
        let plan = report["plan"].as_array().unwrap();
        assert!(plan.iter().any(|step| step["lossless"] == false), "{name}: {report:#}");
    }
}

/// A log twice in one file, or a part of it, and logs that nothing was done to.
#[test]
fn a_log_that_lost_nothing_is_not_called_shifted() {
    let small = Small::new();
    for end in [small.wal.len(), small.wal.len() / 2, 9000] {
        let wal = [small.wal.as_slice(), &small.wal[..end]].concat();
        let (_folder, path) = put(&small.database, &wal, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert_eq!((exit, file["shifted"].as_array().unwrap().len()), (0, 0), "{file:#}");
    }
    for name in names() {
        let (database, wal) = read(&name);
        let (_folder, path) = put(&database, &wal, None);
        let (verified, _) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert_eq!(file["shifted"].as_array().unwrap().len(), 0, "{name}: {file:#}");
        assert_eq!(file["shifted_frames_mended"], Value::Null, "{name}");
    }
}

/// A table whose blobs are this very log, so that pages hold its frames byte for byte.
#[test]
fn a_log_that_holds_itself_as_blobs_is_not_called_shifted() {
    for page_bytes in ["512", "1024", "4096"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        and_die(&["own-log", text(&path), page_bytes]);
        let (database, wal) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert!(exit == 0 && file["valid_frames"].as_u64() > Some(60), "{file:#}");
        // A frame is damaged, again and again, and only its own slot.
        let slot_len = page_bytes.parse::<usize>().unwrap() + 24;
        let mut rng = Rng::with_seed(2);
        for _ in 0..30 {
            let mut wal = wal.clone();
            let valid = usize::try_from(file["valid_frames"].as_u64().unwrap()).unwrap();
            let at = 32 + rng.usize(1..valid) * slot_len + rng.usize(0..slot_len - 60);
            (0..60).for_each(|byte| wal[at + byte] ^= rng.u8(1..=255));
            let (_folder, path) = put(&database, &wal, None);
            let (verified, _) = walsmith(&["verify-checksums", text(&path)]);
            let file = &verified["files"][0];
            assert_eq!(file["shifted"].as_array().unwrap().len(), 0, "{file:#}");
        }
    }
}

/// The first sectors of a log that was begun again are those of before: the header is valid, and every
/// frame after it is of the generation after.
#[test]
fn frames_that_only_a_later_generation_can_have_are_not_left_over() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, &small.database).unwrap();
    fs::write(beside(&path, "-wal"), &small.wal).unwrap();
    let row = "INSERT INTO t(x) VALUES(randomblob(900)), (randomblob(900)), (randomblob(900));";
    let sql =
        format!("PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(RESTART); {}", row.repeat(9));
    and_die(&["write-and-die", text(&path), &sql]);
    let wal = fs::read(beside(&path, "-wal")).unwrap();
    assert_ne!(wal[16..20], small.wal[16..20], "it is begun again");
    let (database, whole) = (fs::read(&path).unwrap(), folder.path().join("whole.db"));
    assert_eq!(walsmith(&["replay", text(&path), "--output", text(&whole)]).1, 0);
    let truth = fs::read(&whole).unwrap();
    for old in [32, 512, 4096] {
        let torn = [&small.wal[..old], &wal[old..]].concat();
        let (_folder, path) = put(&database, &torn, None);
        let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
        let file = &verified["files"][0];
        assert_eq!((exit, file["verdict"].clone()), (1, "damaged".into()), "{file:#}");
        assert_eq!(file["header_is_older"], true);
        let output = folder.path().join("out.db");
        let apply = ["repair", text(&path), "--apply", "--force", "--output", text(&output)];
        let (report, exit) = walsmith(&apply);
        assert_eq!(report["lossless"] == true, exit == 0, "{report:#}");
        match report["lossless"] == true {
            true => assert!(fs::read(&output).unwrap() == truth, "{old}: {report:#}"),
            false => assert!(old > 32, "{report:#}"),
        }
    }
    let (_folder, path) = put(&database, &wal, None);
    let (verified, exit) = walsmith(&["verify-checksums", text(&path)]);
    assert_eq!((exit, verified["files"][0]["verdict"].clone()), (0, "clean".into()));
}
