//! `repair` where whole frames are lost: what it may not say, and what it may not make up.

use std::fs;
use std::path::{Path, PathBuf};

use crate::families::content::checksum;
use crate::support::{and_die, beside, rows, text, walsmith};

const PAGE_BYTES: usize = 1024;
const FRAME_BYTES: usize = 24 + PAGE_BYTES;

/// Noise over the frame `number`.
fn destroy(log: &mut [u8], number: usize, random: &mut fastrand::Rng) {
    let at = 32 + (number - 1) * FRAME_BYTES;
    log[at..at + FRAME_BYTES].fill_with(|| random.u8(..));
}

fn is_commit(log: &[u8], number: usize) -> bool {
    let at = 32 + (number - 1) * FRAME_BYTES + 4;
    log[at..at + 4] != [0; 4]
}

fn frames(log: &[u8]) -> usize {
    (log.len() - 32) / FRAME_BYTES
}

/// A database that `sql` wrote into a log of pages of 1,024 bytes.
fn written(folder: &Path, sql: &str) -> PathBuf {
    let database = folder.join("x.db");
    let sql = format!(
        "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {sql}"
    );
    and_die(&["write-and-die", text(&database), &sql]);
    fs::remove_file(beside(&database, "-shm")).unwrap();
    database
}

/// A database of nine rows, and three transactions that change all of them.
fn updated(folder: &Path) -> PathBuf {
    let update = "UPDATE t SET x = randomblob(900);".repeat(3);
    let sql = format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
         INSERT INTO t SELECT i, randomblob(900) FROM n; {update}"
    );
    written(folder, &sql)
}

/// The end of a log that is damaged before it is no less lost than that of another.
#[test]
fn a_last_transaction_without_its_commit_frame_is_said_beside_other_damage() {
    let folder = tempfile::tempdir().unwrap();
    let database = updated(folder.path());
    let wal = beside(&database, "-wal");
    let whole = fs::read(&wal).unwrap();
    let last = frames(&whole);
    assert!(is_commit(&whole, last) && !is_commit(&whole, last - 1));
    let mut random = fastrand::Rng::with_seed(3226);
    for (number, flipped) in [(2, 8), (4, 9), (5, 17), (12, 20)] {
        let mut log = whole.clone();
        // A salt or a sum of an earlier frame: that is made right.
        log[32 + (number - 1) * FRAME_BYTES + flipped] ^= 0x10;
        destroy(&mut log, last, &mut random);
        fs::write(&wal, &log).unwrap();
        let (report, exit) = walsmith(&["repair", text(&database)]);
        let plan = report["plan"].as_array().unwrap();
        let cut = plan.iter().find(|step| step["action"] == "cut-tail");
        let cut = cut.unwrap_or_else(|| panic!("{number}: {report:#}"));
        assert_eq!((cut["lossless"].as_bool(), exit), (Some(false), 1), "{number}: {report:#}");
        assert_eq!(report["lossless"].as_bool(), Some(false), "{number}: {report:#}");
    }
}

/// A last frame that has one of its salts still is no older one, whatever else of it is damaged.
#[test]
fn a_last_frame_with_half_of_its_salts_is_no_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let update = "UPDATE t SET x = randomblob(90);".repeat(4);
    let database = written(
        folder.path(),
        &format!("CREATE TABLE t(x); INSERT INTO t VALUES(randomblob(90)); {update}"),
    );
    let wal = beside(&database, "-wal");
    let whole = fs::read(&wal).unwrap();
    for bit in 0..64 {
        let mut log = whole.clone();
        let frame = 32 + (frames(&whole) - 1) * FRAME_BYTES;
        log[frame + 8 + bit / 8] ^= 1 << (bit % 8);
        // In the value, which no other image has.
        log[frame + 24 + PAGE_BYTES - 70 + bit] ^= 0x40;
        fs::write(&wal, &log).unwrap();
        let (report, _) = walsmith(&["repair", text(&database)]);
        let verdict = report["verdict"].as_str().unwrap();
        assert!(matches!(verdict, "torn-tail" | "damaged"), "{bit}: {report:#}");
        assert_eq!(report["lossless"], false, "{bit}: {report:#}");
    }
}

/// Frames after the last commit of a damaged log may have had a commit frame.
#[test]
fn an_open_transaction_after_damage_leaves_open_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let database = updated(folder.path());
    let wal = beside(&database, "-wal");
    let whole = fs::read(&wal).unwrap();
    let last = frames(&whole);
    let commit = (1..last).rfind(|&frame| is_commit(&whole, frame)).unwrap();
    for left in commit..=last {
        let mut log = whole.clone();
        log.truncate(32 + left * FRAME_BYTES);
        fs::write(&wal, &log).unwrap();
        // Without damage, that is what a crash leaves.
        let (report, exit) = walsmith(&["repair", text(&database)]);
        assert_eq!((report["lossless"].as_bool(), exit), (Some(true), 0), "{left}: {report:#}");
        // A salt of an earlier frame.
        log[32 + FRAME_BYTES + 9] ^= 0x10;
        fs::write(&wal, &log).unwrap();
        let output = folder.path().join(format!("{left}.db"));
        let (report, exit) =
            walsmith(&["repair", text(&database), "--apply", "--output", text(&output)]);
        let is_whole = left == commit || left == last;
        let claim = (report["lossless"].as_bool(), exit);
        let wanted = if is_whole { (Some(true), 0) } else { (None, 1) };
        assert_eq!(claim, wanted, "{left}: {report:#}");
        let torn = report["findings"].as_array().unwrap().iter();
        let torn = torn.filter(|it| it["rule"] == "log-torn").count();
        assert_eq!(torn, usize::from(!is_whole), "{left}: {report:#}");
    }
}

/// SQLite never extends a log with zeros: those after the last commit that is left were another
/// one, wherever in a frame they begin, and whatever is made right before them.
#[test]
fn zeros_from_inside_a_frame_are_said_beside_other_damage() {
    let folder = tempfile::tempdir().unwrap();
    let update = "UPDATE t SET x = randomblob(900);".repeat(4);
    let database = written(
        folder.path(),
        &format!("CREATE TABLE t(x); INSERT INTO t VALUES(randomblob(900)); {update}"),
    );
    let wal = beside(&database, "-wal");
    let whole = fs::read(&wal).unwrap();
    let commits: Vec<usize> = (1..frames(&whole)).filter(|&it| is_commit(&whole, it)).collect();
    let last = commits[commits.len() - 2];
    for begin in [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 20, 23, 24, 25, 100, FRAME_BYTES - 1] {
        let mut log = whole.clone();
        // A salt of an earlier frame: that is made right.
        log[32 + FRAME_BYTES + 9] ^= 0x10;
        log[32 + last * FRAME_BYTES + begin..].fill(0);
        fs::write(&wal, &log).unwrap();
        let (report, exit) = walsmith(&["repair", text(&database)]);
        let claim = (report["lossless"].as_bool(), exit);
        assert!(matches!(claim, (Some(false) | None, 1)), "{begin}: {report:#}");
    }
}

/// Neither zeros from inside the header of the last slot, nor zeros before older frames, can SQLite
/// have left: whatever was there is gone.
#[test]
fn zeros_that_sqlite_cannot_have_left_are_torn() {
    let folder = tempfile::tempdir().unwrap();
    let insert = |count: usize| "INSERT INTO t(x) VALUES(randomblob(60));".repeat(count);
    let (many, few) = (insert(20), insert(8));
    let database = written(
        folder.path(),
        &format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE INDEX i ON t(x); {many}
             PRAGMA wal_checkpoint(RESTART); {few}"
        ),
    );
    let wal = beside(&database, "-wal");
    let whole = fs::read(&wal).unwrap();
    let is_current =
        |&frame: &usize| whole[32 + (frame - 1) * FRAME_BYTES + 8..][..8] == whole[16..24];
    let all = (1..=frames(&whole)).take_while(is_current).count();
    assert!(all + 4 < frames(&whole));
    let mut random = fastrand::Rng::with_seed(339);
    for _ in 0..60 {
        let first = random.usize(1..all);
        let end = random.usize(first + 1..all + 3);
        let begin = if random.bool() { 0 } else { random.usize(1..24) };
        let mut log = whole.clone();
        log[32 + (first - 1) * FRAME_BYTES + begin..32 + (end - 1) * FRAME_BYTES].fill(0);
        if random.bool() {
            log.truncate(32 + first * FRAME_BYTES);
        }
        let is_all_zero = log[32 + (first - 1) * FRAME_BYTES..].iter().all(|&byte| byte == 0);
        // The next transaction may have begun with them.
        let last = log.len() == 32 + first * FRAME_BYTES && is_all_zero;
        fs::write(&wal, &log).unwrap();
        let (report, exit) = walsmith(&["repair", text(&database)]);
        let claim = (report["lossless"].as_bool(), exit);
        let case = format!("frames {first} to {end}, from byte {begin}");
        assert!(claim != (Some(true), 0) || last, "{case}: {report:#}");
        let verdict = report["verdict"].as_str().unwrap();
        assert!(last || !matches!(verdict, "clean" | "uncommitted-tail" | "empty"), "{case}");
    }
}

/// A row whose end is on an older page than its beginning was never there.
#[test]
fn no_row_is_made_of_two_states() {
    let folder = tempfile::tempdir().unwrap();
    // Each value is one character all through, and needs some pages.
    let update = |version: char| {
        format!("UPDATE t SET x = replace(hex(zeroblob(1500)), '0', '{version}') WHERE id % 3 < 2;")
    };
    let updates: String = ('a'..='f').map(update).collect();
    let database = written(
        folder.path(),
        &format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6)
             INSERT INTO t SELECT i, hex(zeroblob(1500)) FROM n; {updates}"
        ),
    );
    let wal = beside(&database, "-wal");
    let whole = fs::read(&wal).unwrap();
    let (mut random, mut newest) = (fastrand::Rng::with_seed(14), 0);
    for lost in 1..=frames(&whole) {
        let mut log = whole.clone();
        destroy(&mut log, lost, &mut random);
        fs::write(&wal, &log).unwrap();
        let output = folder.path().join(format!("{lost}.db"));
        let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
        let (report, _) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
        assert_eq!(report["applied"].as_bool(), Some(true), "{lost}: {report:#}");
        let choices = report["candidates"].as_array().unwrap().iter();
        let chosen = choices.filter(|choice| choice["chosen"] == true);
        newest += chosen.filter(|choice| choice["kind"] == "newest-with-old-pages").count();
        let table = "SELECT count(*) FROM sqlite_master WHERE name = 't'";
        if rows(&output, table) == "[0]\n" {
            continue;
        }
        let mixed = "SELECT id FROM t WHERE replace(x, substr(x, 1, 1), '') != ''";
        assert_eq!(rows(&output, mixed), "", "frame {lost}: {report:#}");
    }
    assert!(newest > 0, "the newest state was never given");
}

/// The first blocks of the log are those of the generation before, which the file has: an old copy,
/// or writes that were lost. Newer commits are gone, and the bytes tell that more or less.
#[test]
fn old_blocks_over_a_newer_generation_are_not_called_lossless() {
    for (seed, newer) in [(1, 1), (2, 2), (3, 4), (4, 7)] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let insert = |count: usize| "INSERT INTO t(x) VALUES(hex(randomblob(60)));".repeat(count);
        let first = format!("CREATE TABLE t(id INTEGER PRIMARY KEY, x); {}", insert(12));
        let older = folder.path().join("older");
        let sql = format!(
            "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {first}"
        );
        and_die(&["write-and-die", text(&database), &sql]);
        fs::copy(beside(&database, "-wal"), &older).unwrap();
        let sql = format!("PRAGMA wal_checkpoint(RESTART); {}", insert(newer));
        and_die(&["write-and-die", text(&database), &sql]);
        fs::remove_file(beside(&database, "-shm")).unwrap();
        let wal = beside(&database, "-wal");
        let (old, new) = (fs::read(&older).unwrap(), fs::read(&wal).unwrap());
        let end = 32
            + FRAME_BYTES
                * (1..=frames(&new))
                    .find(|frame| new[32 + frame * FRAME_BYTES + 8..][..8] != new[16..24])
                    .unwrap();
        let copy = folder.path().join("truth.db");
        for suffix in ["", "-wal"] {
            fs::copy(beside(&database, suffix), beside(&copy, suffix)).unwrap();
        }
        let truth = rows(&copy, "SELECT * FROM t");
        let mut random = fastrand::Rng::with_seed(seed);
        for blocks in 1..=end.div_ceil(512) {
            let mut log = new.clone();
            let bytes = (blocks * 512).min(end);
            log[..bytes].copy_from_slice(&old[..bytes]);
            // SQLite can have left that itself.
            if log[..end] == old[..end] {
                continue;
            }
            if random.bool() {
                log[random.usize(..32)] ^= 1 << random.u8(..8);
            }
            fs::write(&wal, &log).unwrap();
            let output = folder.path().join(format!("{blocks}.db"));
            let apply = ["repair", text(&database), "--apply", "--output", text(&output)];
            let (report, _) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
            let is_newest = report["applied"] == true && rows(&output, "SELECT * FROM t") == truth;
            let claims = report["lossless"].as_bool() == Some(true);
            assert!(is_newest || !claims, "{newer} frames, {blocks} blocks: {report:#}");
            let (_, exit) = walsmith(&["verify-checksums", text(&database)]);
            assert_eq!(exit, 1, "{newer} frames, {blocks} blocks");
        }
    }
}

/// A log of which the file has nothing looks copied by its sums, where an application has changed
/// the signs of two numbers.
#[test]
fn equal_sums_do_not_make_a_log_copied() {
    let folder = tempfile::tempdir().unwrap();
    let mut same = 0;
    for shift in 0..4 {
        let database = folder.path().join(format!("{shift}.db"));
        // Cells of 24 bytes; the first moves the others.
        let before = format!(
            "PRAGMA page_size=1024; PRAGMA journal_mode=WAL;
             CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, pad); CREATE TABLE u(x);
             INSERT INTO u VALUES('before');
             INSERT INTO t VALUES(1, 0.5, zeroblob({shift}));
             WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
             INSERT INTO t SELECT i, 0.5, zeroblob(10) FROM n;
             PRAGMA wal_checkpoint(TRUNCATE);"
        );
        and_die(&["write-and-die", text(&database), &before]);
        let later = "PRAGMA wal_autocheckpoint=0; BEGIN; UPDATE t SET x = -x WHERE id IN (5, 6);
                     UPDATE u SET x = hex(randomblob(90)); COMMIT;
                     UPDATE t SET x = -x WHERE id IN (7, 8)";
        and_die(&["write-and-die", text(&database), later]);
        fs::remove_file(beside(&database, "-shm")).unwrap();
        let wal = beside(&database, "-wal");
        let (mut log, file) = (fs::read(&wal).unwrap(), fs::read(&database).unwrap());
        assert_eq!(frames(&log), 3);
        let last = &log[32 + 2 * FRAME_BYTES..];
        let page = last[3] as usize;
        let in_file = &file[(page - 1) * PAGE_BYTES..page * PAGE_BYTES];
        let sum = |bytes: &[u8]| checksum([0; 2], bytes);
        assert!(last[24..] != *in_file);
        same += usize::from(sum(&last[24..]) == sum(in_file));
        let mut random = fastrand::Rng::with_seed(shift);
        log[32 + FRAME_BYTES + 24..32 + 2 * FRAME_BYTES].fill_with(|| random.u8(..));
        fs::write(&wal, &log).unwrap();
        let (report, exit) = walsmith(&["repair", text(&database)]);
        assert_eq!((report["lossless"].as_bool(), exit), (Some(false), 1), "{shift}: {report:#}");
        let plan = report["plan"].as_array().unwrap();
        assert!(plan.iter().all(|step| step["action"] != "skip-copied"), "{shift}: {report:#}");
    }
    assert!(same > 0, "the sum of the page was never the same");
}

/// Of an image in which an application has changed two signs the one before may have the same sum.
/// Where a word of it is damaged, nothing may take the signs back without a word.
#[test]
fn signs_that_were_changed_are_not_taken_back_as_proven() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(824);
    let (mut same, mut open) = (0, 0);
    for shift in 0..4 {
        let database = folder.path().join(format!("{shift}.db"));
        // Cells of 24 bytes; the first moves the others.
        let before = format!(
            "PRAGMA page_size=1024; PRAGMA journal_mode=WAL;
             CREATE TABLE t(id INTEGER PRIMARY KEY, x REAL, pad); CREATE TABLE u(x);
             INSERT INTO t VALUES(1, 0.5, zeroblob({shift}));
             WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
             INSERT INTO t SELECT i, i + 0.25, randomblob(10) FROM n;
             PRAGMA wal_checkpoint(TRUNCATE);"
        );
        and_die(&["write-and-die", text(&database), &before]);
        let later = "PRAGMA wal_autocheckpoint=0; UPDATE t SET x = -x WHERE id IN (9, 10);
                     INSERT INTO u VALUES(1); INSERT INTO u VALUES(2)";
        and_die(&["write-and-die", text(&database), later]);
        fs::remove_file(beside(&database, "-shm")).unwrap();
        let wal = beside(&database, "-wal");
        let (whole, file) = (fs::read(&wal).unwrap(), fs::read(&database).unwrap());
        let (page, image) = (whole[35] as usize, &whole[32 + 24..32 + FRAME_BYTES]);
        let in_file = &file[(page - 1) * PAGE_BYTES..page * PAGE_BYTES];
        same += usize::from(checksum([0; 2], image) == checksum([0; 2], in_file));
        for case in 0..16 {
            let mut log = whole.clone();
            // Cells are at the end of the page.
            let at = 32 + 24 + PAGE_BYTES - 4 * random.usize(1..110);
            let bytes = 4 * random.usize(1..3);
            let end = (at + bytes).min(32 + FRAME_BYTES);
            log[at..end].fill_with(|| random.u8(..));
            fs::write(&wal, &log).unwrap();
            let output = folder.path().join(format!("{shift}-{case}.db"));
            let (report, _) =
                walsmith(&["repair", text(&database), "--apply", "--output", text(&output)]);
            if report["lossless"] != true {
                open += 1;
                continue;
            }
            let negative = rows(&output, "SELECT group_concat(id) FROM t WHERE x < 0");
            assert_eq!(negative, "[\"9,10\"]\n", "{shift}, {case}: {report:#}");
        }
    }
    assert!(same > 0 && open < 64, "{same} of the same sum, {open} left open");
}
