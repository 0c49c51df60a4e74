//! Damages at random: no claim of `repair` differs from what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use walsmith::format::{ByteOrder, FrameHeader, WAL_HEADER_BYTES, WalHeader};

use super::put;
use crate::support::{and_die, beside, oracle_program, rows, text, walsmith};

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
