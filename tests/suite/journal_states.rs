//! Rollback journals in states that people bring: what `info` and `repair` say of them, and what
//! SQLite does with a copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::journal::naming;
use crate::shim::Shim;
use crate::support::{
    Oracle, beside, hold, oracle, oracle_program, release, rows, text, walsmith, walsmith_command,
};

/// Bytes of the files that the oracle makes.
struct States(TempDir);

impl States {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        oracle(&["journals", text(folder.path())]);
        Self(folder)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap()
    }
}

/// A database and its journal in a folder of their own.
fn put(database: Option<&[u8]>, journal: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("m.db");
    if let Some(database) = database {
        fs::write(&path, database).unwrap();
    }
    fs::write(beside(&path, "-journal"), journal).unwrap();
    (folder, path)
}

/// What SQLite makes of a copy under the same path, and whether the journal is left. What is there
/// is put back afterwards.
fn sqlite(path: &Path) -> (Vec<u8>, bool) {
    let journal = beside(path, "-journal");
    let before = (fs::read(path).unwrap(), fs::read(&journal).unwrap());
    Command::new(oracle_program())
        .args(["rows", text(path), "PRAGMA schema_version"])
        .output()
        .unwrap();
    let after = (fs::read(path).unwrap(), journal.exists());
    fs::write(path, before.0).unwrap();
    fs::write(journal, before.1).unwrap();
    after
}

/// What the human view of a command says.
fn said(args: &[&str]) -> String {
    let output = walsmith_command().args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs `repair --apply` with more arguments; the report, the exit code, and the result.
fn repaired(path: &Path, more: &[&str]) -> (Value, i32, Option<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new.db");
    let args = [&["repair", text(path), "--apply", "--output", text(&new)], more].concat();
    let (report, exit) = walsmith(&args);
    (report, exit, fs::read(&new).ok())
}

fn is_sound(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, bytes).unwrap();
    Oracle::checking().integrity(&path).is_empty()
}

#[test]
fn a_hot_journal_is_rolled_back_as_sqlite_does_and_proves_no_page() {
    let states = States::make();
    let (_folder, path) = put(Some(&states.bytes("half.db")), &states.bytes("half.db-journal"));
    let (info, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((info["journal"]["state"].as_str(), exit), (Some("hot"), 0));
    let (report, exit, result) = repaired(&path, &[]);
    assert_eq!((report["lossless"].clone(), exit), (Value::Null, 0));
    assert_eq!(report["plan"][0]["proof"], "evidence");
    let result = result.unwrap();
    assert!(result == sqlite(&path).0 && is_sound(&result));
}

#[test]
fn beside_an_emptied_database_the_journal_is_the_only_copy() {
    let states = States::make();
    let journal = states.bytes("half.db-journal");
    for is_there in [true, false] {
        let (_folder, path) = put(Some(b"").filter(|_| is_there).map(|b| &b[..]), &journal);
        let place = if is_there { path.clone() } else { beside(&path, "-journal") };
        let (info, exit) = walsmith(&["info", text(&place)]);
        let state = if is_there { "database-empty" } else { "alone" };
        assert_eq!((info["journal"]["state"].as_str(), exit), (Some(state), 1));
        assert_eq!(info["journal"]["hot"], false);
        let pages = info["journal"]["pages"].as_u64().unwrap();
        let size = info["journal"]["db_size_pages"].as_u64().unwrap();
        let before = states.bytes("before.db");
        assert_eq!((size, before.len() as u64), (size, size * 4096));
        assert!(pages > 50 && pages <= size, "{pages} of {size}");
        assert!(!said(&["info", text(&place)]).contains("everything is in the database"));
        // Every page that it holds, and zeros for the others; named as what they are.
        let (report, exit) = walsmith(&["repair", text(&place)]);
        assert_eq!((report["lossless"].clone(), exit), (Value::Bool(pages == size), 1), "{report}");
        assert_eq!(repaired(&place, &[]).1, 6);
        let (report, exit, result) = repaired(&place, &["--accept-loss"]);
        assert_eq!(exit, 1);
        let held: Vec<usize> = report["plan"][0]["pages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|page| usize::try_from(page.as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(held.len() as u64, pages);
        let result = result.unwrap();
        assert_eq!(result.len(), before.len());
        for (number, (ours, wanted)) in (1..).zip(result.chunks(4096).zip(before.chunks(4096))) {
            match held.contains(&number) {
                true => assert!(ours == wanted, "page {number}"),
                false => assert!(ours.iter().all(|&byte| byte == 0), "page {number}"),
            }
        }
        if is_there {
            // SQLite: an empty database, and no journal any more.
            let (after, journal_is_left) = sqlite(&path);
            assert_eq!((after.len(), journal_is_left), (0, false));
            assert_eq!(walsmith(&["replay", "--dry-run", text(&path)]).1, 6);
        } else {
            let refused = walsmith(&["verify-checksums", text(&place)]);
            assert_eq!(
                (refused.0["files"][0]["error"]["kind"].as_str(), refused.1),
                (Some("unsupported"), 3)
            );
            let new = path.with_file_name("new.db");
            assert_eq!(walsmith(&["replay", "-o", text(&new), text(&place)]).1, 3);
            assert!(!new.exists());
        }
    }
}

#[test]
fn a_database_whose_first_transaction_was_cut_off_is_an_empty_one() {
    let states = States::make();
    let (_folder, path) = put(Some(&states.bytes("new.db")), &states.bytes("new.db-journal"));
    // Half written as it is, its first page says nothing.
    let (info, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((info["journal"]["state"].as_str(), exit), (Some("hot"), 0), "{info}");
    let (report, exit, result) = repaired(&path, &[]);
    assert_eq!((report["lossless"].clone(), exit), (Value::Null, 0));
    assert_eq!(
        (report["health"].clone(), report["empty_result"].clone()),
        (Value::Null, true.into())
    );
    let (after, _) = sqlite(&path);
    assert_eq!((after.len(), result.unwrap().len()), (0, 0));
    assert!(said(&["repair", text(&path)]).contains("(evident)"));
}

#[test]
fn a_journal_whose_super_journal_is_gone_is_not_hot() {
    let states = States::make();
    let (_folder, path) = put(Some(&states.bytes("after.db")), b"");
    let name = format!("{}-mjABCDEF9AB", path.display());
    let journal = naming(&states.bytes("half.db-journal"), name.as_bytes());
    fs::write(beside(&path, "-journal"), journal).unwrap();
    let (info, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((info["journal"]["state"].as_str(), exit), (Some("committed"), 0));
    assert_eq!(info["journal"]["super_journal"], *name);
    assert!(said(&["info", text(&path)]).contains("so its transaction was committed"));
    let (report, exit, result) = repaired(&path, &[]);
    assert_eq!((report["lossless"].clone(), exit), (Value::Bool(true), 0), "{report}");
    let result = result.unwrap();
    assert_eq!(report["plan"][0]["action"], "set-journal-aside");
    assert!(result == sqlite(&path).0 && result == states.bytes("after.db"));
}

#[test]
fn where_the_super_journal_cannot_be_looked_for_both_readings_are_offered() {
    let states = States::make();
    let gone = b"/nowhere/app/data/main.db-mjABCDEF9AB";
    let journal = naming(&states.bytes("half.db-journal"), gone);
    // The sound reading is preferred, whichever it is, and neither is proven.
    for (name, wanted, chosen) in [("half.db", "before.db", 1), ("after.db", "after.db", 2)] {
        let (_folder, path) = put(Some(&states.bytes(name)), &journal);
        let (info, exit) = walsmith(&["info", text(&path)]);
        assert_eq!((info["journal"]["state"].as_str(), exit), (Some("committed-or-moved"), 1));
        let (report, exit) = walsmith(&["repair", text(&path)]);
        assert_eq!((report["lossless"].clone(), exit), (Value::Null, 1), "{report}");
        assert_eq!(report["plan"][0]["proof"], "likelihood");
        let candidates = report["candidates"].as_array().unwrap();
        let chosen_one = candidates.iter().find(|one| one["chosen"] == true).unwrap();
        assert_eq!((candidates.len(), chosen_one["number"].as_u64()), (2, Some(chosen)));
        assert_eq!(chosen_one["problems"], 0);
        assert_eq!(repaired(&path, &[]).1, 6);
        let (report, exit, result) = repaired(&path, &["--accept-likely"]);
        assert_eq!((report["lossless"].clone(), exit), (Value::Null, 1));
        assert!(result.unwrap() == states.bytes(wanted), "{name}");
        // The other one on demand; what is not sound is never without loss.
        let other = (3 - chosen).to_string();
        let (report, _, result) = repaired(&path, &["--accept-loss", "--choose", &other]);
        let sound = report["health"]["sound"].as_bool().unwrap();
        assert_eq!(report["lossless"], if sound { Value::Null } else { Value::Bool(false) });
        assert_eq!(is_sound(&result.unwrap()), sound);
        assert!(!said(&["repair", text(&path)]).contains("without loss"));
    }
}

#[test]
fn the_directory_of_a_super_journal_alone_proves_no_commit_of_an_unsound_database() {
    let states = States::make();
    let (_folder, path) = put(Some(&states.bytes("half.db")), b"");
    let name = format!("{}-mjABCDEF9AB", path.display());
    let journal = naming(&states.bytes("half.db-journal"), name.as_bytes());
    fs::write(beside(&path, "-journal"), journal).unwrap();
    let (report, exit) = walsmith(&["repair", text(&path)]);
    assert_eq!((report["plan"][0]["proof"].as_str(), exit), (Some("likelihood"), 1));
    let (_, _, result) = repaired(&path, &["--accept-likely"]);
    assert!(result.unwrap() == states.bytes("before.db"));
}

#[test]
fn a_damaged_journal_is_never_without_loss() {
    let states = States::make();
    let (database, journal) = (states.bytes("half.db"), states.bytes("half.db-journal"));
    let before = states.bytes("before.db");
    let middle = journal.len() / 2;
    let record = |number: usize| 512 + number * 4104;
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = journal.clone();
        change(&mut bytes);
        bytes
    };
    let cases = [
        ("cut", damage(&|bytes| bytes.truncate(middle))),
        ("a sampled byte", damage(&|bytes| bytes[record(3) + 4 + 4096 - 200] ^= 1)),
        ("a byte that no sum covers", damage(&|bytes| bytes[record(3) + 4 + 4096 - 201] ^= 1)),
        ("a page number", damage(&|bytes| bytes[record(2)] ^= 0x80)),
        ("a zeroed sector", damage(&|bytes| bytes[middle & !511..][..512].fill(0))),
        ("no magic", damage(&|bytes| bytes[3] ^= 1)),
    ];
    for (what, journal) in cases {
        let (_folder, path) = put(Some(&database), &journal);
        let (report, exit, _) = repaired(&path, &[]);
        assert_ne!(report["lossless"], true, "{what}: {report}");
        assert!(exit == 6 || what == "a byte that no sum covers", "{what}: {exit}");
        let (_, exit, result) = repaired(&path, &["--accept-loss"]);
        let result = result.unwrap();
        assert!(result == sqlite(&path).0, "{what}: SQLite does the same");
        // A page of which the number is wrong may be one that was not written yet.
        let is_other = result != before || what == "a page number";
        assert!(is_other, "{what}: and it is not what was there before");
        assert!(exit == 1 || what == "a byte that no sum covers", "{what}");
        let output = said(&["repair", text(&path)]);
        assert!(!output.contains("without loss") && !output.contains("(proven)"), "{output}");
    }
}

#[test]
fn the_page_count_of_a_journal_fills_no_disk() {
    use std::os::unix::fs::MetadataExt;
    let states = States::make();
    let (database, mut journal) = (states.bytes("half.db"), states.bytes("half.db-journal"));
    journal[16..20].copy_from_slice(&500_000_u32.to_be_bytes());
    let (folder, path) = put(Some(&database), &journal);
    let new = folder.path().join("new.db");
    let apply = ["repair", text(&path), "--apply", "--output", text(&new)];
    let (report, exit) = walsmith(&apply);
    assert_eq!((report["lossless"].clone(), exit), (Value::Bool(false), 6));
    assert!(report["plan"][0]["reason"].as_str().unwrap().contains("are zeros"));
    let (_, exit) = walsmith(&[&apply[..], &["--accept-loss"]].concat());
    assert_eq!(exit, 1);
    let written = fs::metadata(&new).unwrap();
    assert_eq!(written.len(), 500_000 * 4096);
    assert!(written.blocks() * 512 < 8 << 20, "{} bytes on the disk", written.blocks() * 512);
    let wanted = rows(&folder.path().join("new.db"), "SELECT count(*), min(x), max(x) FROM t");
    let before = states.0.path().join("before.db");
    assert_eq!(wanted, rows(&before, "SELECT count(*), min(x), max(x) FROM t"));
}

#[test]
fn a_journal_beside_its_database_means_that_database() {
    let states = States::make();
    let (_folder, path) = put(Some(&states.bytes("half.db")), &states.bytes("half.db-journal"));
    let by_journal = walsmith(&["info", text(&beside(&path, "-journal"))]);
    assert_eq!(by_journal, walsmith(&["info", text(&path)]));
}

#[test]
fn finished_journals_are_cold() {
    let states = States::make();
    let mut zeroed = states.bytes("half.db-journal");
    zeroed[..28].fill(0);
    for (journal, state) in [(zeroed.as_slice(), "zeroed"), (b"", "empty")] {
        let (_folder, path) = put(Some(&states.bytes("after.db")), journal);
        let (info, exit) = walsmith(&["info", text(&path)]);
        assert_eq!((info["journal"]["state"].as_str(), exit), (Some(state), 0));
        let (report, exit) = walsmith(&["repair", text(&path)]);
        assert_eq!((report["plan"].as_array().unwrap().len(), exit), (0, 0));
    }
}

#[test]
fn a_journal_that_a_process_writes_with_is_in_use() {
    let states = States::make();
    let (_folder, path) = put(Some(&states.bytes("after.db")), b"");
    let writer = hold("hold-write", &path);
    fs::write(beside(&path, "-journal"), states.bytes("half.db-journal")).unwrap();
    let (info, exit) = walsmith(&["info", text(&path)]);
    assert_eq!((info["journal"]["state"].as_str(), exit), (Some("live-writer"), 0));
    assert!(said(&["info", text(&path)]).contains("a process is writing with it now"));
    release(writer);
    let (info, _) = walsmith(&["info", text(&path)]);
    assert_ne!(info["journal"]["state"], "live-writer");
}

#[test]
fn a_cleared_journal_beside_a_broken_database_is_no_end_of_its_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let spilled = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b);
        PRAGMA cache_size=1; BEGIN; INSERT INTO t(b)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
        SELECT printf('%0200d', i) FROM n; COMMIT; BEGIN; UPDATE t SET b = zeroblob(3000)";
    Shim(None).and_die(&["write-and-die", text(&path), spilled]);
    let journal = beside(&path, "-journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[..28].fill(0);
    fs::write(&journal, bytes).unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    assert_ne!(Oracle::checking().integrity(&copy), ["ok"], "SQLite takes the database as it is");
    let (report, exit) = walsmith(&["repair", text(&path)]);
    assert_eq!((&report["findings"][0]["rule"], exit), (&Value::from("structure"), 1));
    assert_eq!(report["lossless"], false);
    let output = folder.path().join("out.db");
    let (_, exit) = walsmith(&["repair", "--apply", "--output", text(&output), text(&path)]);
    assert_eq!(exit, 6, "nothing is written without --accept-loss");
}
