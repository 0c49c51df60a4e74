//! What PATH is: SQLite's files by content and by name, and everything else, which every command refuses.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use walsmith::format::{ByteOrder, Checksum, WAL_HEADER_BYTES, WalHeader};

use crate::support::{
    beside, copy, hold, names, oracle, oracle_program, prepared, release, rows, text, walsmith,
    walsmith_program,
};

/// Every command that takes a PATH.
const COMMANDS: &[&[&str]] = &[
    &["info"],
    &["verify-checksums"],
    &["frame-list"],
    &["txn-list"],
    &["dump"],
    &["dump", "--page", "1"],
    &["blockers"],
    &["index-dump"],
    &["checkpoint-now"],
    &["checkpoint-now", "--dry-run"],
    &["index-rebuild"],
    &["replay", "--dry-run"],
    &["replay", "--in-place"],
    &["repair"],
    &["repair", "--apply", "--in-place", "--accept-loss"],
    &["undo"],
];

/// Runs a command that must not wait for anything.
fn run(args: &[&str], path: &Path) -> Output {
    let mut child = Command::new(walsmith_program())
        .arg("--json")
        .args(args)
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("{args:?} {} hangs", path.display());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// The error of a command: its kind and message.
fn error_of(args: &[&str], path: &Path) -> (String, String, Option<i32>) {
    let output = run(args, path);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = match args[0] {
        "verify-checksums" => &document["files"][0]["error"],
        _ => &document["error"],
    };
    let word = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    (word("kind"), word("message"), output.status.code())
}

/// Every command refuses `path` with this kind of error, and says why.
fn all_refuse(path: &Path, kind: &str, says: &str) {
    for args in COMMANDS {
        let (found, message, exit) = error_of(args, path);
        assert_eq!(
            (found.as_str(), exit),
            (kind, Some(3)),
            "{args:?} {}: {message}",
            path.display()
        );
        assert!(message.contains(says), "{args:?}: {message}");
    }
}

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| random.u8(..)).collect()
}

const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 9\n";

#[test]
fn what_is_no_sqlite_file_is_refused_by_every_command_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let png = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &random(1, 5000)].concat();
    let gzip = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &random(2, 5000)].concat();
    let text_file = "one, two, three\n".repeat(800);
    let cases: [(&str, &[u8], &str); 10] = [
        ("picture.png", &png, "a PNG image"),
        ("picture.db", &png, "a PNG image"),
        ("alone.db-wal", &png, "a PNG image"),
        ("dump.gz", &gzip, "a gzip file"),
        ("notes.txt", text_file.as_bytes(), "text"),
        ("random.db", &random(3, 40_960), "random bytes"),
        ("pointer.db", POINTER, "a Git LFS pointer: the real file was not fetched"),
        ("pointer.db-wal", POINTER, "a Git LFS pointer: the real file was not fetched"),
        ("zeros.bin", &[0; 8192], "zeros"),
        ("nothing", b"", "an empty file"),
    ];
    for (name, bytes, says) in cases {
        fs::write(place(name), bytes).unwrap();
        all_refuse(&place(name), "not-sqlite", says);
        assert_eq!(fs::read(place(name)).unwrap(), bytes);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), cases.len(), "nothing was created");
    all_refuse(&place("missing.db"), "not-found", "no such file");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    nix::unistd::mkfifo(&place("fifo.db"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(place("socket.db")).unwrap();
    std::os::unix::fs::symlink(place("two"), place("one")).unwrap();
    std::os::unix::fs::symlink(place("one"), place("two")).unwrap();
    all_refuse(&place("fifo.db"), "not-sqlite", "a FIFO");
    all_refuse(&place("socket.db"), "not-sqlite", "a socket");
    all_refuse(Path::new("/dev/null"), "not-sqlite", "a character device");
    all_refuse(folder.path(), "directory", "a directory");
    all_refuse(&place("one"), "not-sqlite", "a symbolic link that leads in a circle");
}

#[test]
fn sqlite_files_are_known_by_content_and_by_name() {
    // By content under any name; a header that was destroyed by the name; an empty file by the name.
    let (folder, database) = copy("page-512");
    let odd = folder.path().join("odd name");
    fs::copy(beside(&database, "-wal"), &odd).unwrap();
    assert_eq!(walsmith(&["verify-checksums", text(&odd)]).1, 0);
    let mut bytes = fs::read(&odd).unwrap();
    bytes[..32].fill(0x55);
    let destroyed = folder.path().join("y.db-wal");
    fs::write(&destroyed, &bytes).unwrap();
    assert_eq!(walsmith(&["verify-checksums", text(&destroyed)]).1, 1);
    // The frames prove that it is a log, whatever has been written over its beginning.
    bytes[..32].copy_from_slice(b"plain text instead of its header");
    fs::write(&destroyed, &bytes).unwrap();
    assert_eq!(walsmith(&["verify-checksums", text(&destroyed)]).1, 1);
    // Page 1 of a database is gone: its other pages tell, and so does its log.
    for with_log in [true, false] {
        let (_folder, database) = prepared(300, 4096);
        oracle(&["run", text(&database), "CREATE TABLE u(x)"]);
        let mut pages = fs::read(&database).unwrap();
        pages[..4096].fill(0);
        fs::write(&database, &pages).unwrap();
        if !with_log && beside(&database, "-wal").exists() {
            fs::remove_file(beside(&database, "-wal")).unwrap();
        }
        let (document, exit) = walsmith(&["info", text(&database)]);
        assert_ne!(document["error"]["kind"], "not-sqlite", "{with_log} {exit}");
    }
    let empty = folder.path().join("empty.sqlite3");
    fs::write(&empty, b"").unwrap();
    assert_eq!(walsmith(&["info", text(&empty)]).1, 0);
    for name in names() {
        let (_folder, database) = copy(&name);
        for suffix in ["", "-wal", "-shm"] {
            let (document, _) = walsmith(&["info", text(&beside(&database, suffix))]);
            assert!(document["error"].is_null(), "{name}{suffix}: {document}");
        }
    }
}

/// A database and its log, of SQLite's wal2 branch or of Bedrock's, by their versions.
fn with_version(database: &Path, version: u32) {
    let wal = beside(database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let header = WalHeader::decode(bytes.first_chunk::<WAL_HEADER_BYTES>().unwrap());
    let mut header = WalHeader { format_version: version, ..header };
    header.checksum = header.computed_checksum();
    bytes[..WAL_HEADER_BYTES].copy_from_slice(&header.encode());
    let mut sum = header.checksum;
    let slot = 24 + usize::try_from(header.page_size_bytes).unwrap();
    for frame in bytes[WAL_HEADER_BYTES..].chunks_exact_mut(slot) {
        let order = header.byte_order();
        sum = sum.update(order, &frame[..8]).update(order, &frame[24..]);
        frame[16..20].copy_from_slice(&sum.a.to_be_bytes());
        frame[20..24].copy_from_slice(&sum.b.to_be_bytes());
    }
    fs::write(&wal, &bytes).unwrap();
    fs::write(beside(database, "-wal2"), &bytes).unwrap();
    let _ = fs::remove_file(beside(database, "-shm"));
    let mut file = fs::OpenOptions::new().write(true).open(database).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(18)).unwrap();
    file.write_all(&[3, 3]).unwrap();
}

#[test]
fn wal2_is_named_and_refused_by_every_command() {
    for (version, says) in [
        (3_021_000, "wal2 mode: two logs, not supported"),
        (3_021_001, "Bedrock"),
        (3_048_000, "Bedrock"),
        (3_048_001, "Bedrock"),
    ] {
        let (folder, database) = copy("twenty-rows");
        with_version(&database, version);
        for suffix in ["", "-wal", "-wal2"] {
            all_refuse(&beside(&database, suffix), "unsupported", says);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing was created");
        // At rest only the header tells.
        for suffix in ["-wal", "-wal2"] {
            fs::remove_file(beside(&database, suffix)).unwrap();
        }
        all_refuse(&database, "unsupported", "wal2 mode");
    }
    // A version that nobody has, or a wrong sum, is damage as before.
    let (_folder, database) = copy("twenty-rows");
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[4..8].copy_from_slice(&3_021_000_u32.to_be_bytes());
    fs::write(&wal, bytes).unwrap();
    let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((report["files"][0]["verdict"].as_str(), exit), (Some("bad-header"), 1));
}

/// Runs a command as a user who may read only what everybody may.
fn as_nobody(program: &Path, args: &[&str]) -> (Value, i32) {
    let mut command = Command::new(program);
    let output = command.arg("--json").args(args).uid(65_534).gid(65_534).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (document, output.status.code().unwrap())
}

#[test]
fn a_sibling_that_cannot_be_read_stops_only_what_needs_it() {
    let as_root = nix::unistd::geteuid().is_root();
    let bin = tempfile::tempdir().unwrap();
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = bin.path().join("walsmith");
    fs::copy(walsmith_program(), &program).unwrap();
    for suffix in ["-shm", "", "-journal"] {
        for as_directory in [true, false] {
            if !as_directory && !as_root {
                continue;
            }
            let (folder, database) = copy("shm-current");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let wal = beside(&database, "-wal");
            let sibling = beside(&database, suffix);
            if as_directory {
                let _ = fs::remove_file(&sibling);
                fs::create_dir(&sibling).unwrap();
            } else {
                fs::OpenOptions::new().append(true).create(true).open(&sibling).unwrap();
                fs::set_permissions(&sibling, fs::Permissions::from_mode(0o000)).unwrap();
            }
            let run = |args: &[&str]| match as_directory {
                true => walsmith(args),
                false => as_nobody(&program, args),
            };
            let what = format!("{suffix:?} {as_directory}");
            for command in ["frame-list", "txn-list"] {
                assert_eq!(run(&[command, text(&wal)]).1, 0, "{what} {command}");
            }
            assert_eq!(run(&["dump", "--frame", "1", text(&wal)]).1, 0, "{what}");
            let (report, exit) = run(&["verify-checksums", text(&wal)]);
            let file = &report["files"][0];
            assert_eq!((file["verdict"].as_str(), exit), (Some("clean"), 0), "{what}: {report}");
            assert_eq!(file["unread"][0]["file"], text(&sibling), "{what}");
            let (info, exit) = run(&["info", text(&wal)]);
            assert_eq!(exit, 0, "{what}: {info}");
            let role = match suffix {
                "" => "database",
                other => &other[1..],
            };
            assert_eq!(info["unread"][0]["role"], role, "{what}");
            let why = info["unread"][0]["why"].as_str().unwrap();
            let reason = if as_directory { "a directory" } else { "denied" };
            assert!(why.contains(reason), "{what}: {why}");
            // What needs it says so.
            if suffix == "-shm" {
                for command in ["index-dump", "blockers", "checkpoint-now"] {
                    assert_eq!(run(&[command, text(&wal)]).1, 3, "{what} {command}");
                }
            }
        }
    }
}

#[test]
fn a_log_that_cannot_be_read_is_not_taken_for_none() {
    let (_folder, database) = copy("shm-current");
    let wal = beside(&database, "-wal");
    fs::remove_file(&wal).unwrap();
    fs::create_dir(&wal).unwrap();
    let (info, exit) = walsmith(&["info", text(&database)]);
    assert_eq!((info["unread"][0]["role"].as_str(), exit), (Some("wal"), 0));
    let output = Command::new(walsmith_program()).args(["info", text(&database)]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("Not read") && !said.contains("everything is in"), "{said}");
    let (report, _) = walsmith(&["index-dump", text(&database)]);
    assert_eq!(report["comparison"], "unread");
    for command in ["verify-checksums", "frame-list", "txn-list", "repair"] {
        assert_eq!(walsmith(&[command, text(&database)]).1, 3, "{command}");
    }
    assert_eq!(walsmith(&["replay", "--dry-run", text(&database)]).1, 3);
}

/// The place in `/proc` of a file that a process has open, by the end of its name there.
fn open_file(pid: u32, end: &str) -> PathBuf {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut places = entries.map(|entry| entry.unwrap().path());
    places.find(|place| fs::read_link(place).is_ok_and(|name| text(&name).ends_with(end))).unwrap()
}

#[test]
fn deleted_files_are_read_through_the_process_that_holds_them() {
    let (folder, database) = prepared(300, 4096);
    oracle(&["run", text(&database), "CREATE TABLE u(x); INSERT INTO u VALUES('kept')"]);
    let holder = hold("hold-read", &database);
    let pid = holder.id();
    let sql = "SELECT count(*) FROM t";
    let wanted = rows(&database, sql);
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let is_the_same = |one: &Value, two: &Value, field: &str| {
        assert_eq!(one["files"][0][field], two["files"][0][field], "{field}");
    };
    let (by_name, _) = walsmith(&["verify-checksums", text(&database)]);
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&database, suffix), beside(&kept.join("x.db"), suffix)).unwrap();
        fs::remove_file(beside(&database, suffix)).unwrap();
    }
    for end in ["x.db (deleted)", "x.db-wal (deleted)", "x.db-shm (deleted)"] {
        let place = open_file(pid, end);
        let (report, exit) = walsmith(&["verify-checksums", text(&place)]);
        assert_eq!(exit, 0, "{report}");
        ["verdict", "mx_frame", "salt1", "salt2", "transactions", "db_size_pages"]
            .iter()
            .for_each(|field| is_the_same(&report, &by_name, field));
        for args in COMMANDS {
            let (kind, message, exit) = error_of(args, &place);
            let writes = ["checkpoint-now", "index-rebuild", "undo"].contains(&args[0])
                || args.contains(&"--in-place");
            let wanted = if writes { "unsupported" } else { "" };
            assert_eq!(kind, wanted, "{args:?}: {message}");
            assert_eq!(exit, Some(if writes { 3 } else { 0 }), "{args:?}: {message}");
        }
        // Asking SQLite makes a log beside the copy, so each has a folder of its own.
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new.db");
        let args = ["replay", "--output", text(&new), text(&place)];
        let (report, exit) = walsmith(&args);
        assert_eq!(exit, 0, "{report}");
        assert_eq!(rows(&new, sql), wanted);
        assert_eq!(rows(&new, "SELECT x FROM u"), "[\"kept\"]\n");
    }
    release(holder);
}

/// Encrypts as a codec does: every page by its number, whatever is in it.
fn encrypt(page: u32, image: &mut [u8]) {
    let mut stream = fastrand::Rng::with_seed(u64::from(page) ^ 0x5eed);
    image.iter_mut().for_each(|byte| *byte ^= stream.u8(..));
}

fn encrypt_database(bytes: &mut [u8], page_bytes: usize) {
    for (page, image) in (1..).zip(bytes.chunks_mut(page_bytes)) {
        encrypt(page, image);
    }
}

/// Encrypts the pages of a log, and sums it again from its header on.
fn encrypt_log(bytes: &mut [u8], page_bytes: usize) {
    let header = WalHeader::decode(bytes.first_chunk::<WAL_HEADER_BYTES>().unwrap());
    let (order, mut sum): (ByteOrder, Checksum) = (header.byte_order(), header.checksum);
    for frame in bytes[WAL_HEADER_BYTES..].chunks_exact_mut(24 + page_bytes) {
        encrypt(u32::from_be_bytes(frame[..4].try_into().unwrap()), &mut frame[24..]);
        sum = sum.update(order, &frame[..8]).update(order, &frame[24..]);
        frame[16..20].copy_from_slice(&sum.a.to_be_bytes());
        frame[20..24].copy_from_slice(&sum.b.to_be_bytes());
    }
}

/// A plain pair, and the same encrypted.
fn encrypted_pair(page_bytes: usize) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.db");
    oracle(&["workload", text(&plain), &page_bytes.to_string(), "40"]);
    oracle(&["checkpoint", text(&plain), "TRUNCATE"]);
    let sql = "UPDATE t SET b = b || 'x'; DELETE FROM t WHERE a % 7 = 0;
        INSERT INTO t(b, c) SELECT b, c FROM t; INSERT INTO t(b, c) VALUES('last', 1)";
    let died = Command::new(oracle_program()).args(["write-and-die", text(&plain), sql]).output();
    assert!(!died.unwrap().status.success());
    let _ = fs::remove_file(beside(&plain, "-shm"));
    let database = folder.path().join("secret.db");
    let (mut file, mut log) =
        (fs::read(&plain).unwrap(), fs::read(beside(&plain, "-wal")).unwrap());
    encrypt_database(&mut file, page_bytes);
    encrypt_log(&mut log, page_bytes);
    fs::write(&database, file).unwrap();
    fs::write(beside(&database, "-wal"), log).unwrap();
    (folder, plain, database)
}

#[test]
fn an_encrypted_pair_is_copied_as_sqlite_would_copy_it() {
    for page_bytes in [1024, 4096, 65_536] {
        let (folder, plain, database) = encrypted_pair(page_bytes);
        let (info, exit) = walsmith(&["info", text(&database)]);
        assert_eq!((info["database"]["looks_encrypted"].as_bool(), exit), (Some(true), 0));
        assert_eq!(info["wal"]["page_size_bytes"].as_u64(), Some(page_bytes as u64));
        for args in [&["verify-checksums"][..], &["frame-list"], &["txn-list"], &["repair"]] {
            let args = [args, &[text(&database)]].concat();
            let (report, exit) = walsmith(&args);
            assert_eq!(exit, 0, "{args:?}: {report}");
        }
        let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
        assert_eq!((report["files"][0]["verdict"].as_str(), exit), (Some("clean"), 0));
        let new = folder.path().join("new.db");
        assert_eq!(walsmith(&["replay", "-o", text(&new), text(&database)]).1, 0);
        let (report, exit) = walsmith(&["checkpoint-now", "-m", "truncate", text(&database)]);
        assert_eq!(exit, 0, "{report}");
        // SQLite checkpoints the plain one.
        oracle(&["checkpoint", text(&plain), "TRUNCATE"]);
        let mut wanted = fs::read(&plain).unwrap();
        encrypt_database(&mut wanted, page_bytes);
        assert!(fs::read(&database).unwrap() == wanted, "{page_bytes}: checkpoint-now");
        assert!(fs::read(&new).unwrap() == wanted, "{page_bytes}: replay");
    }
}

#[test]
fn a_damaged_encrypted_log_is_repaired_by_its_sums() {
    let (folder, plain, database) = encrypted_pair(4096);
    let wal = beside(&database, "-wal");
    let mut bytes = fs::read(&wal).unwrap();
    // The stored sum of frame 2, which only its neighbours prove.
    bytes[32 + 4120 + 17] ^= 4;
    fs::write(&wal, &bytes).unwrap();
    let (report, exit) = walsmith(&["verify-checksums", text(&database)]);
    assert_eq!((report["files"][0]["verdict"].as_str(), exit), (Some("damaged"), 1));
    let new = folder.path().join("new.db");
    let args = ["repair", "--apply", "--output", text(&new), text(&database)];
    let (report, exit) = walsmith(&args);
    // Its structure cannot be checked, so nothing is claimed of it.
    assert_eq!((report["lossless"].clone(), exit), (Value::Null, 0), "{report}");
    assert_eq!(report["health"], Value::Null);
    oracle(&["checkpoint", text(&plain), "TRUNCATE"]);
    let mut wanted = fs::read(&plain).unwrap();
    encrypt_database(&mut wanted, 4096);
    assert!(fs::read(&new).unwrap() == wanted);
}

/// Whether SQLite opens a copy of the database and reads its schema.
fn opens(path: &Path) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    fs::copy(path, &copy).unwrap();
    let read = Command::new(oracle_program())
        .args(["rows", text(&copy), "SELECT count(*) FROM sqlite_schema"])
        .stderr(Stdio::null())
        .status();
    read.unwrap().success()
}

#[test]
fn a_file_that_begins_like_a_database_and_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    for (name, length) in [("magic alone", 16), ("half a header", 60), ("zeros after it", 20_480)] {
        let mut bytes = b"SQLite format 3\0".to_vec();
        bytes.resize(length, 0);
        fs::write(&path, bytes).unwrap();
        assert!(!opens(&path), "{name}");
        for command in ["info", "repair", "verify-checksums"] {
            let output = run(&[command], &path);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            let entry = if command == "verify-checksums" { &report["files"][0] } else { &report };
            assert_eq!(entry["findings"][0]["rule"], "page-1-lost", "{name}: {report:#}");
            assert_eq!(output.status.code(), Some(1), "{name}: {command}");
        }
        let output = run(&["replay", "--dry-run"], &path);
        assert_eq!(output.status.code(), Some(6), "{name}");
    }
}
