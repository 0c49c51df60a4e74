//! Hot rollback journals of SQLite, damaged at random: `repair` gives what SQLite gives, byte for
//! byte, and never calls that without loss. 200 here; more with `WALSMITH_JOURNALS=5000 cargo test
//! --release --test suite journal_damages -- --nocapture`. `WALSMITH_SEED` chooses others.

mod hot;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use hot::{Hot, SECTOR, SUPER, Wanted, damage, hot_journals};
use serde_json::Value;

use crate::journal::left_behind;
use crate::support::{beside, oracle_program, text, walsmith};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Puts a set into `folder` and lets `act` have it; what is left of the database.
fn with(folder: &Path, hot: &Hot, journal: &[u8], act: impl FnOnce(&Path)) -> Vec<u8> {
    let path = folder.join("x.db");
    fs::write(&path, &hot.database).unwrap();
    fs::write(beside(&path, "-journal"), journal).unwrap();
    if hot.name_at.is_some() {
        fs::write(folder.join(SUPER), format!("{}-journal\0", path.display())).unwrap();
    }
    act(&path);
    fs::read(&path).unwrap()
}

fn by_sqlite(path: &Path) {
    Command::new(oracle_program())
        .args(["rows", text(path), "PRAGMA schema_version"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
}

/// Runs `repair --apply` into a new file; its report, the exit code, and the file.
fn repaired(path: &Path, more: &[&str]) -> (Value, i32, Option<Vec<u8>>) {
    let new = path.with_file_name("new.db");
    let _ = fs::remove_file(&new);
    let args = [&["repair", text(path), "--apply", "--output", text(&new)], more].concat();
    let (report, exit) = walsmith(&args);
    (report, exit, fs::read(&new).ok())
}

#[test]
fn a_damaged_journal_gives_what_sqlite_gives_and_is_never_called_without_loss() {
    let (count, first) = (number("WALSMITH_JOURNALS", 200), number("WALSMITH_SEED", 41));
    let parent = tempfile::tempdir().unwrap();
    let folder: PathBuf = parent.path().canonicalize().unwrap();
    let hot_journals = hot_journals(&folder);
    let mut said: BTreeMap<(&str, Wanted), u64> = BTreeMap::new();
    for seed in first..first + count {
        let mut random = fastrand::Rng::with_seed(seed);
        let hot = &hot_journals[random.usize(..hot_journals.len())];
        let kinds = if hot.name_at.is_some() { 10 } else { 8 };
        let (what, journal) = damage(hot, random.usize(..kinds), &mut random);
        let wanted = hot.wanted(&journal);
        let what_of = format!("seed {seed}, {what}, pages of {}", hot.page_bytes);
        let theirs = with(&folder, hot, &journal, by_sqlite);
        let mut ours = None;
        with(&folder, hot, &journal, |path| {
            let (report, exit, result) = repaired(path, &[]);
            // A rail that refuses prints no plan.
            let plan = match report.get("lossless") {
                Some(_) => report.clone(),
                None => walsmith(&["repair", text(path)]).0,
            };
            let lossless = plan["lossless"].as_bool();
            let said =
                format!("{what_of}: {wanted:?}, lossless {lossless:?}, exit {exit}: {report}");
            match wanted {
                Wanted::Whole => assert!(lossless.is_none() && exit == 0, "{said}"),
                Wanted::Lossy => assert!(lossless == Some(false) && exit == 6, "{said}"),
                Wanted::Unseen => {
                    let exit_of_claim = if lossless.is_none() { 0 } else { 6 };
                    assert!(lossless != Some(true) && exit == exit_of_claim, "{said}");
                }
            }
            ours = match exit {
                0 => result,
                _ => {
                    assert!(result.is_none(), "{what_of}: refused, and written");
                    let (report, exit, result) = repaired(path, &["--accept-loss"]);
                    assert!(report["lossless"] == false && exit == 1, "{what_of}: {report}");
                    result
                }
            };
            // What only the result tells, `info` does not look at.
            if wanted == Wanted::Lossy && what != "the page count" {
                let (info, exit) = walsmith(&["info", text(path)]);
                assert!(exit == 1 && info["journal"]["damage"].is_string(), "{what_of}: {info}");
            }
        });
        assert!(ours.is_some_and(|ours| ours == theirs), "{what_of}: other than SQLite's");
        *said.entry((what, wanted)).or_default() += 1;
    }
    println!("{said:#?}");
    let lossy = said.iter().filter(|((_, wanted), _)| *wanted == Wanted::Lossy);
    assert!(lossy.map(|(_, count)| count).sum::<u64>() > count / 4, "{said:?}");
}

#[test]
fn plan_and_info_say_how_many_pages_a_damaged_journal_lacks() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().canonicalize().unwrap();
    let hot = Hot::of(left_behind(512, "FULL"));
    let counted: usize = hot.segments.iter().map(|segment| segment.records).sum();
    let first = &hot.segments[0];
    assert!(hot.segments.len() > 1 && first.records > 2);
    // The second record of the first segment: SQLite stops there. A wrong page count changes
    // nothing of what the later headers count.
    let mut journal = hot.journal.clone();
    journal[16..20].copy_from_slice(&5000_u32.to_be_bytes());
    journal[first.at + SECTOR + hot.record_bytes() + 4 + 512 - 200] ^= 1;
    with(&folder, &hot, &journal, |path| {
        let words = format!(
            "its headers count {} pages, and 1 is valid: {} are missing",
            counted,
            counted - 1
        );
        let (report, _) = walsmith(&["repair", text(path)]);
        let reason = report["plan"][0]["reason"].as_str().unwrap();
        assert!(reason.contains(&words), "{reason} / {words}");
        assert_eq!(report["plan"][0]["lossless"], false);
        let (info, exit) = walsmith(&["info", text(path)]);
        let journal = &info["journal"];
        assert!(journal["damage"].as_str().unwrap().contains(&words), "{journal}");
        assert_eq!((journal["pages"].as_u64(), exit), (Some(1), 1));
        assert_eq!(journal["counted_pages"].as_u64(), u64::try_from(counted).ok());
    });
}

#[test]
fn zeros_of_a_database_are_not_written_out() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().canonicalize().unwrap();
    let hot = Hot::of(left_behind(4096, "FULL"));
    // 64 MiB that the file system has stored: no hole tells that they are zeros.
    let mut database = hot.database.clone();
    let pages = 16_384 + database.len() / 4096;
    database.resize(pages * 4096, 0);
    let mut journal = hot.journal.clone();
    journal[16..20].copy_from_slice(&u32::try_from(pages).unwrap().to_be_bytes());
    let hot = Hot { database, journal, ..hot };
    let on_disk = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
    let theirs = with(&folder, &hot, &hot.journal, by_sqlite);
    with(&folder, &hot, &hot.journal, |path| {
        let (_, exit, result) = repaired(path, &[]);
        assert!(exit == 0 && result.unwrap() == theirs);
        assert!(on_disk(path) > 64 << 20);
        assert!(on_disk(&path.with_file_name("new.db")) < 8 << 20);
        // And an ordinary copy.
        fs::remove_file(beside(path, "-journal")).unwrap();
        fs::write(path, &theirs).unwrap();
        let new = path.with_file_name("copy.db");
        let (report, exit) = walsmith(&["repair", text(path), "--apply", "--output", text(&new)]);
        assert_eq!(exit, 0, "{report}");
        assert!(fs::read(&new).unwrap() == theirs && on_disk(&new) < 8 << 20);
    });
}
