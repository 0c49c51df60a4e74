//! `rescue`: everything at stake in a new directory, and what is said of it is so.
//!
//! What SQLite makes of the copies is asked of copies of them, in another process.

mod busy;
mod failures;
mod processes;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    beside, copy, fixtures, hold, names, prepared, release, rows, text, walsmith,
};

/// A rescue that has come to its end.
struct Rescue {
    report: Value,
    exit: i32,
    /// What was made.
    directory: PathBuf,
    _folder: TempDir,
}

impl Rescue {
    fn of(path: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("new");
        let args = [&["rescue", text(path), "--output", text(&directory)], more].concat();
        let (report, exit) = walsmith(&args);
        Self { report, exit, directory, _folder: folder }
    }

    /// The files of the set in `folder`; of those that have the names for none.
    fn files(&self, folder: Option<&str>) -> Vec<&Value> {
        let sets = self.report["sets"].as_array().unwrap_or_else(|| panic!("{:#}", self.report));
        let set = sets.iter().find(|set| set["folder"].as_str() == folder);
        set.map_or(Vec::new(), |set| set["files"].as_array().unwrap().iter().collect())
    }

    /// A private copy of a set that SQLite may write to.
    fn opened(&self, folder: Option<&str>) -> (TempDir, PathBuf) {
        let from = folder.map_or(self.directory.clone(), |folder| self.directory.join(folder));
        let opened = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                let to = opened.path().join(entry.file_name());
                fs::copy(entry.path(), &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        let database = opened.path().join("x.db");
        (opened, database)
    }

    /// Rows of a query on a set, after SQLite has found it sound.
    fn rows(&self, folder: Option<&str>, sql: &str) -> String {
        let (_opened, database) = self.opened(folder);
        assert_eq!(rows(&database, "PRAGMA integrity_check").trim(), r#"["ok"]"#);
        rows(&database, sql).trim().to_owned()
    }

    fn assert_is_proven(&self) {
        assert_eq!((self.exit, &self.report["is_proven"]), (0, &true.into()), "{:#}", self.report);
    }
}

/// Everything that can be seen of the files in a folder.
fn seen(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime, u32, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let status = fs::metadata(&path).unwrap();
            let (time, mode, inode) = (status.modified().unwrap(), status.mode(), status.ino());
            (path.clone(), (fs::read(&path).unwrap(), time, mode, inode))
        })
        .collect()
}

#[test]
fn every_file_is_copied_byte_by_byte() {
    for name in names() {
        let (folder, database) = copy(&name);
        let before = seen(folder.path());
        let done = Rescue::of(&database, &[]);
        done.assert_is_proven();
        assert_eq!(seen(folder.path()), before, "{name}");
        for (path, (bytes, ..)) in before {
            let name = path.file_name().unwrap();
            let is_one_of_four =
                ["x.db", "x.db-wal", "x.db-shm", "x.db-journal"].iter().any(|one| name == *one);
            if is_one_of_four {
                assert_eq!(fs::read(done.directory.join(name)).unwrap(), bytes, "{path:?}");
            }
        }
    }
}

#[test]
fn the_manifest_says_what_the_files_were() {
    let (_folder, database) = copy("twenty-rows");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o640)).unwrap();
    let done = Rescue::of(&database, &[]);
    done.assert_is_proven();
    let manifest = fs::read(done.directory.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest, done.report);
    assert_eq!(manifest["schema"], "walsmith.rescue/1");
    let files = done.files(None);
    assert_eq!(files.len(), 2);
    for file in files {
        let copy = done.directory.join(file["copy"].as_str().unwrap());
        let source = PathBuf::from(file["source"].as_str().unwrap());
        let sum = Command::new("sha256sum").arg(&copy).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(file["sha256"].as_str(), sum.split(' ').next(), "{file:#}");
        let status = fs::metadata(&source).unwrap();
        let numbers = ["size_bytes", "source_bytes", "uid", "gid", "inode", "device", "links"];
        let numbers = numbers.map(|name| file[name].as_u64().unwrap());
        let (uid, gid) = (status.uid().into(), status.gid().into());
        let wanted =
            [status.len(), status.len(), uid, gid, status.ino(), status.dev(), status.nlink()];
        assert_eq!(numbers, wanted, "{file:#}");
        assert_eq!(file["mode"], format!("{:04o}", status.mode() & 0o7777));
        let modified = humantime::parse_rfc3339(file["modified"].as_str().unwrap()).unwrap();
        assert_eq!(modified, status.modified().unwrap());
    }
    let rules: Vec<&str> = manifest["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["rule"].as_str().unwrap())
        .collect();
    let (doctor, _) = walsmith(&["doctor", text(&database)]);
    let wanted = doctor["findings"].as_array().unwrap();
    let wanted: Vec<&str> = wanted.iter().map(|it| it["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, wanted);
}

#[test]
fn copies_are_read_only_and_no_more_readable_than_their_sources() {
    let (_folder, database) = copy("twenty-rows");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    for (source, wanted) in [(0o644, 0o444), (0o640, 0o440), (0o600, 0o400), (0o200, 0o400)] {
        fs::set_permissions(&database, fs::Permissions::from_mode(source)).unwrap();
        if source == 0o200 && !nix::unistd::geteuid().is_root() {
            continue;
        }
        let done = Rescue::of(&database, &[]);
        assert_eq!(mode(&done.directory.join("x.db")), wanted);
        assert!(mode(&done.directory.join("manifest.json")) & !wanted == 0);
        assert_eq!(mode(&done.directory), 0o700);
    }
}

#[test]
fn a_log_alone_and_a_database_alone_are_copied() {
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    fs::rename(&database, database.with_extension("away")).unwrap();
    let done = Rescue::of(&wal, &[]);
    done.assert_is_proven();
    assert_eq!(fs::read(done.directory.join("x.db-wal")).unwrap(), fs::read(&wal).unwrap());
    fs::rename(database.with_extension("away"), &database).unwrap();
    // A name of its own, which is no database's.
    let other = database.with_file_name("log.bin");
    fs::rename(&wal, &other).unwrap();
    let done = Rescue::of(&other, &[]);
    done.assert_is_proven();
    assert_eq!(fs::read(done.directory.join("log.bin")).unwrap(), fs::read(&other).unwrap());
    let done = Rescue::of(&database, &[]);
    done.assert_is_proven();
    assert_eq!(done.files(None).len(), 1);
    // Files that are named are a set that SQLite opens.
    let done = Rescue::of(&database, &["--wal", text(&other)]);
    done.assert_is_proven();
    assert_eq!(done.rows(None, "SELECT count(*) FROM t"), "[20]");
}

#[test]
fn a_hot_journal_comes_with_its_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let oracle = crate::support::oracle_program();
    let args = ["hot-journal", text(&path), "1024", "FULL"];
    Command::new(oracle).args(args).output().unwrap();
    let done = Rescue::of(&path, &[]);
    done.assert_is_proven();
    assert_eq!(done.files(None).len(), 2);
    assert_eq!(done.rows(None, "SELECT count(*) FROM t"), "[120]");
}

#[test]
fn nothing_changes_beside_a_process_that_reads() {
    let (folder, database) = prepared(300, 4096);
    crate::support::oracle(&["run", text(&database), "CREATE TABLE u(a); INSERT INTO u VALUES(1)"]);
    let reader = hold("hold-read", &database);
    let locks = || {
        let (report, _) = walsmith(&["blockers", text(&database)]);
        report["blockers"].clone()
    };
    let (before, held) = (seen(folder.path()), locks());
    let done = Rescue::of(&database, &[]);
    done.assert_is_proven();
    assert_eq!(done.report["sets"][0]["held"], "locks");
    assert_eq!((seen(folder.path()), locks()), (before, held));
    assert_eq!(done.report["locks"], locks());
    assert_eq!(done.rows(None, "SELECT count(*) FROM u"), "[1]");
    // SQLite agrees with the frame that it was held at.
    let (log, _) = walsmith(&["verify-checksums", text(&done.directory.join("x.db"))]);
    assert_eq!(log["files"][0]["mx_frame"], done.report["sets"][0]["mx_frame"]);
    release(reader);
}

#[test]
fn holes_stay_holes() {
    let (_folder, database) = copy("twenty-rows");
    let file = fs::OpenOptions::new().write(true).open(&database).unwrap();
    file.set_len(3 << 30).unwrap();
    drop(file);
    let done = Rescue::of(&database, &[]);
    done.assert_is_proven();
    let status = fs::metadata(done.directory.join("x.db")).unwrap();
    assert_eq!(status.len(), 3 << 30);
    assert!(status.blocks() < 1000, "{}", status.blocks());
}

/// An index beside copies counts no frame that the log has not, and SQLite needs it for nothing.
#[test]
fn what_the_copies_are_is_what_doctor_says_of_the_files() {
    let (_folder, database) = copy("twenty-rows");
    let from = fixtures().join("twenty-rows/x.db-wal");
    let mut bytes = fs::read(from).unwrap();
    bytes[32 + 10 * 4120 + 24 + 4000] ^= 2;
    fs::write(beside(&database, "-wal"), bytes).unwrap();
    let done = Rescue::of(&database, &[]);
    done.assert_is_proven();
    let rules = |path: &Path| {
        let (report, exit) = walsmith(&["doctor", text(path)]);
        let found = report["findings"].as_array().unwrap().clone();
        (found.iter().map(|it| it["rule"].clone()).collect::<Vec<_>>(), exit)
    };
    assert_eq!(rules(&done.directory.join("x.db")), rules(&database));
    assert_eq!(rules(&database).1, 1);
}
