//! What commands print: names from outside, commands to type, documents, narrow terminals.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{beside, copy, fixtures, hold, names, release, text, walsmith_program};

/// Every command that takes a PATH, as it writes nothing.
const LOOKING: [&[&str]; 13] = [
    &["info"],
    &["verify-checksums"],
    &["frame-list", "--all"],
    &["frame-list", "--all", "--digest", "--wide"],
    &["txn-list"],
    &["dump"],
    &["dump", "--page", "1"],
    &["blockers"],
    &["index-dump"],
    &["checkpoint-now", "--dry-run", "--accept-loss"],
    &["replay", "--dry-run", "--accept-loss"],
    &["repair"],
    &["undo", "--list"],
];

/// Runs walsmith in `folder`, in a UTF-8 locale, with 60 columns.
fn run(folder: &Path, args: &[&OsStr]) -> Output {
    let mut command = Command::new(walsmith_program());
    command.current_dir(folder).args(args).env("LC_ALL", "C.UTF-8").env("COLUMNS", "60");
    command.output().unwrap()
}

fn on(folder: &Path, args: &[&str], path: &OsStr) -> Output {
    let args: Vec<&OsStr> = args.iter().map(OsStr::new).chain([path]).collect();
    run(folder, &args)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What was printed on both streams.
fn printed(output: &Output) -> String {
    stdout(output) + std::str::from_utf8(&output.stderr).unwrap()
}

/// The files of a fixture under another name, the eleventh frame of the log with one bit flipped.
fn damaged_as(name: &OsStr) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join(name);
    let from = fixtures().join("twenty-rows").join("x.db");
    fs::copy(&from, &database).unwrap();
    let mut log = fs::read(beside(&from, "-wal")).unwrap();
    log[32 + 10 * 4120 + 24 + 4000] ^= 2;
    fs::write(beside(&database, "-wal"), log).unwrap();
    folder
}

/// The commands that a text tells to type: each goes to the end of its line.
fn commands_in(printed: &str) -> Vec<String> {
    let command = |line: &str| {
        let start = ["walsmith ", "cp "].iter().filter_map(|word| line.find(word)).min()?;
        Some(line.get(start..)?.to_owned())
    };
    printed.lines().filter_map(command).collect()
}

/// Types a command into bash, in `folder`.
fn typed(folder: &Path, command: &str) -> Output {
    let program = walsmith_program();
    let path = format!("{}:{}", text(program.parent().unwrap()), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.current_dir(folder).args(["-c", command]).env("PATH", path).output().unwrap()
}

#[test]
fn every_command_that_is_printed_can_be_typed() {
    let names: [&[u8]; 4] = [b"sp ace's.db", b"-dash.db", b"e\x1b[31m\nsc.db", b"caf\xe9 $HOME.db"];
    for name in names {
        let name = OsStr::from_bytes(name);
        let path = [OsStr::new("./"), name].concat_os();
        let folder = damaged_as(name);
        let folder = folder.path();
        let first: [&[&str]; 7] = [
            &["info"],
            &["verify-checksums"],
            &["repair"],
            &["replay", "--dry-run"],
            &["checkpoint-now"],
            &["index-rebuild"],
            &["dump", "--frame", "999"],
        ];
        let mut all = BTreeSet::new();
        for args in first {
            let found = commands_in(&printed(&on(folder, args, &path)));
            assert!(!found.is_empty(), "{args:?} {name:?}");
            all.extend(found);
        }
        for command in &all {
            let done = typed(folder, command);
            assert!(matches!(done.status.code(), Some(0 | 1)), "{command}: {}", printed(&done));
        }
        let stem = Path::new(name).file_stem().unwrap();
        let repaired = folder.join([stem, OsStr::new("-repaired.db")].concat_os());
        assert!(repaired.exists() && all.iter().any(|one| one.starts_with("cp ")), "{all:#?}");
        // In place, then what is printed to go back.
        let before = fs::read(folder.join(name)).unwrap();
        let done = on(folder, &["repair", "--apply", "--in-place"], &path);
        let back = commands_in(&stdout(&done));
        assert_eq!(back.len(), 2, "{}", printed(&done));
        assert_ne!(fs::read(folder.join(name)).unwrap(), before);
        let list = on(folder, &["undo", "--list"], &path);
        assert_eq!(commands_in(&stdout(&list)), back[..1]);
        let again = on(folder, &["repair", "--apply", "--in-place"], &path);
        assert_eq!(
            (again.status.code(), commands_in(&printed(&again))),
            (Some(6), back[..1].to_vec())
        );
        let done = typed(folder, &back[0]);
        assert_eq!(done.status.code(), Some(0), "{}", printed(&done));
        assert_eq!(fs::read(folder.join(name)).unwrap(), before);
    }
}

trait ConcatOs {
    fn concat_os(&self) -> OsString;
}

impl ConcatOs for [&OsStr] {
    fn concat_os(&self) -> OsString {
        let bytes: Vec<u8> = self.iter().flat_map(|part| part.as_bytes()).copied().collect();
        OsStr::from_bytes(&bytes).to_owned()
    }
}

#[test]
fn nothing_from_outside_reaches_the_terminal_raw() {
    let hostile = "w\x1b]0;PWNED\x07\x1b[31mred\nline two\u{202e}.db";
    let folder = damaged_as(OsStr::new(hostile));
    // A reader whose command line is hostile: its database is named so.
    let live = damaged_as(OsStr::new(hostile));
    let database = live.path().join(hostile);
    fs::copy(fixtures().join("twenty-rows/x.db-wal"), beside(&database, "-wal")).unwrap();
    let reader = hold("hold-read", &database);
    let writing: [&[&str]; 5] = [
        &["replay", "--in-place"],
        &["repair", "--apply", "--in-place"],
        &["repair", "--apply", "--output", "new.db"],
        &["checkpoint-now", "--mode", "truncate"],
        &["index-rebuild"],
    ];
    let mut named = 0;
    for folder in [&folder, &live] {
        for args in LOOKING.iter().chain(&writing) {
            let missing = on(folder.path(), args, OsStr::new("no\x1b[2Jthing\n.db"));
            let done = on(folder.path(), args, OsStr::new(hostile));
            let shown = [printed(&missing), printed(&done)].concat();
            let raw = |char: char| char != '\n' && (char.is_control() || char == '\u{202e}');
            assert!(!shown.contains(raw), "{args:?}: {shown:?}");
            assert!(!shown.lines().any(|line| line.starts_with("line two")), "{args:?}: {shown}");
            named += usize::from(shown.contains("oracle h"));
        }
    }
    assert!(named >= 4, "the holder is named by blockers, checkpoint-now and refusals: {named}");
    let blockers = on(live.path(), &["blockers"], OsStr::new(hostile));
    for line in stdout(&blockers).lines() {
        assert!(line.chars().count() <= 60, "{line}");
    }
    // Programs get the text as it is.
    let done = on(live.path(), &["blockers", "--json"], OsStr::new(hostile));
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    let rows = document["blockers"].as_array().unwrap();
    let raw = |row: &Value| row["command"].as_str().is_some_and(|text| text.contains(hostile));
    assert!(rows.iter().any(raw), "{document:#}");
    release(reader);
}

#[test]
fn an_argument_that_is_no_option_is_escaped_too() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), &["info", "--\x1b]0;PWNED\x07"].map(OsStr::new));
    assert_eq!(done.status.code(), Some(2));
    assert!(!printed(&done).contains(|char: char| char != '\n' && char.is_control()));
}

/// Every path of a document that is no UTF-8: key and bytes.
fn bytes_in(value: &Value, found: &mut Vec<(String, Vec<u8>)>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| match field {
            Value::String(text) if key.ends_with("path_bytes") => {
                found.push((key.clone(), STANDARD.decode(text).unwrap()));
            }
            other => bytes_in(other, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| bytes_in(item, found)),
        _ => {}
    }
}

#[test]
fn paths_that_are_no_utf8_are_in_json_as_bytes() {
    let name = OsStr::from_bytes(b"caf\xe9.db");
    let folder = damaged_as(name);
    for args in LOOKING {
        let done = on(folder.path(), &[args, &["--json"]].concat(), name);
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        let mut found = Vec::new();
        bytes_in(&document, &mut found);
        assert!(!found.is_empty(), "{args:?}: {document:#}");
        for (key, bytes) in &found {
            assert!(bytes.windows(7).any(|part| part == b"caf\xe9.db"), "{key}");
        }
        let plain = damaged_as(OsStr::new("cafe.db"));
        let done = on(plain.path(), &[args, &["--json"]].concat(), OsStr::new("cafe.db"));
        assert!(!stdout(&done).contains("path_bytes"), "{args:?}");
    }
    let done = on(folder.path(), &["frame-list", "--format", "jsonl"], name);
    let first: Value = serde_json::from_str(stdout(&done).lines().next().unwrap()).unwrap();
    let log = STANDARD.decode(first["wal_path_bytes"].as_str().unwrap()).unwrap();
    assert!(log.ends_with(b"caf\xe9.db-wal"));
}

#[test]
fn everything_fits_sixty_columns_and_plain_locales() {
    for name in names() {
        let (folder, _) = copy(&name);
        for args in LOOKING {
            let done = on(folder.path(), args, OsStr::new("x.db"));
            let shown = stdout(&done);
            for line in shown.lines().filter(|line| commands_in(line).is_empty()) {
                assert!(line.chars().count() <= 60, "{name} {args:?}: {line}\n{shown}");
            }
            let mut plain = Command::new(walsmith_program());
            plain.current_dir(folder.path()).args(args).arg("x.db").env("LC_ALL", "C");
            let plain = plain.output().unwrap();
            assert!(plain.stdout.is_ascii(), "{name} {args:?}: {}", stdout(&plain));
            assert_eq!(plain.status.code(), done.status.code());
        }
    }
}

#[test]
fn one_document_comes_out_whatever_happens() {
    let (folder, _) = copy("twenty-rows");
    let damaged = damaged_as(OsStr::new("y.db"));
    let more: [&[&str]; 6] = [
        &["checkpoint-now"],
        &["index-rebuild"],
        &["replay", "--in-place"],
        &["replay", "--to-txn", "99", "--dry-run"],
        &["repair", "--apply", "--output", "/no/such/folder/new.db"],
        &["undo"],
    ];
    for args in LOOKING.iter().chain(&more) {
        for (folder, path) in
            [(&folder, "x.db"), (&folder, "nothing.db"), (&folder, "."), (&damaged, "y.db")]
        {
            let path = OsStr::new(path);
            let done = on(folder.path(), &[args, &["--json"][..]].concat(), path);
            let document: Value = serde_json::from_slice(&done.stdout)
                .unwrap_or_else(|error| panic!("{args:?} {path:?}: {error}: {}", printed(&done)));
            let shape = if args[0] == "repair" { 2 } else { 1 };
            let schema = format!("walsmith.{}/{shape}", args[0]);
            assert_eq!(document["schema"], schema.as_str());
            let done = on(folder.path(), &[args, &["--format", "jsonl"][..]].concat(), path);
            let shown = stdout(&done);
            let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
            assert_eq!(first["schema"], schema.as_str(), "{args:?} {path:?}");
            for line in shown.lines().skip(1) {
                let line: Value = serde_json::from_str(line).unwrap();
                assert!(line.is_object());
            }
        }
    }
}

/// The header line of CSV.
fn columns(folder: &Path, args: &[&str], path: &str) -> Option<Vec<String>> {
    let done = on(folder, &[args, &["--format", "csv"]].concat(), OsStr::new(path));
    if !matches!(done.status.code(), Some(0 | 1)) {
        return None;
    }
    let mut reader = csv::Reader::from_reader(done.stdout.as_slice());
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert!(reader.records().all(|record| record.unwrap().len() == columns.len()));
    Some(columns)
}

#[test]
fn csv_has_the_same_columns_whatever_the_data() {
    for args in LOOKING {
        let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
        for name in names() {
            let (folder, _) = copy(&name);
            seen.extend(columns(folder.path(), args, "x.db"));
            // The fields of JSON lines are those columns.
            let done =
                on(folder.path(), &[args, &["--format", "jsonl"]].concat(), OsStr::new("x.db"));
            if let (Some(0 | 1), Some(row)) = (done.status.code(), stdout(&done).lines().nth(1)) {
                let row: Value = serde_json::from_str(row).unwrap();
                seen.insert(row.as_object().unwrap().keys().cloned().collect());
            }
        }
        let damaged = damaged_as(OsStr::new("x.db"));
        seen.extend(columns(damaged.path(), args, "x.db"));
        fs::remove_file(damaged.path().join("x.db-wal")).unwrap();
        seen.extend(columns(damaged.path(), args, "x.db"));
        assert!(seen.len() <= 1, "{args:?}: {seen:#?}");
        let none = ["undo", "dump"].contains(&args[0]);
        assert!(none || seen.len() == 1, "{args:?}");
    }
}

#[test]
fn no_row_still_has_a_header() {
    let empty = tempfile::tempdir().unwrap();
    let none = columns(empty.path(), &["verify-checksums", "--recursive"], ".").unwrap();
    let (folder, _) = copy("twenty-rows");
    assert_eq!(columns(folder.path(), &["verify-checksums"], "x.db").unwrap(), none);
    assert_eq!(none[..3], ["wal", "database", "verdict"]);
    let blockers = columns(folder.path(), &["blockers"], "x.db").unwrap();
    assert_eq!(blockers[..3], ["lock", "byte", "held"]);
    let frames = columns(folder.path(), &["frame-list", "--state", "stale"], "x.db").unwrap();
    assert_eq!(frames[..3], ["frame", "offset_bytes", "page"]);
}

#[test]
fn another_output_goes_with_no_format() {
    let (folder, _) = copy("twenty-rows");
    let raw = ["dump", "--page", "1", "--raw", "x.db"];
    let cases: [&[&str]; 7] = [
        &["dump", "--page", "1", "--raw", "--json", "x.db"],
        &["--json", "dump", "--page", "1", "--raw", "x.db"],
        &["dump", "--page", "1", "--raw", "--format", "csv", "x.db"],
        &["--format", "table", "dump", "--page", "1", "--raw", "x.db"],
        &["completions", "bash", "--json"],
        &["--json", "info", "x.db", "--format", "csv"],
        &["info", "x.db", "--json", "--format", "csv"],
    ];
    for args in cases {
        let done = run(folder.path(), &args.iter().map(OsStr::new).collect::<Vec<_>>());
        assert_eq!((done.status.code(), done.stdout.len()), (Some(2), 0), "{args:?}");
    }
    let done = run(folder.path(), &raw.map(OsStr::new));
    assert_eq!((done.status.code(), done.stdout.len()), (Some(0), 4096));
}

#[test]
fn quiet_says_nothing_where_nothing_is_wrong() {
    let more: [&[&str]; 4] = [
        &["checkpoint-now"],
        &["index-rebuild"],
        &["replay", "--output", "new.db"],
        &["replay", "--in-place"],
    ];
    for args in LOOKING.iter().chain(&more) {
        let (folder, _) = copy("shm-current");
        let done = on(folder.path(), &[args, &["-q"][..]].concat(), OsStr::new("x.db"));
        if done.status.code() == Some(0) {
            assert_eq!(printed(&done), "", "{args:?}");
        } else {
            assert!(args[0] == "undo", "{args:?}: {}", printed(&done));
        }
        let all = on(folder.path(), &[args, &["-q", "--json"][..]].concat(), OsStr::new("x.db"));
        assert!(!all.stdout.is_empty(), "{args:?}: documents are whole");
    }
    let damaged = damaged_as(OsStr::new("y.db"));
    for args in [&["info"][..], &["verify-checksums"], &["frame-list"], &["repair"]] {
        let done = on(damaged.path(), &[args, &["-q"]].concat(), OsStr::new("y.db"));
        assert!(!done.stdout.is_empty(), "{args:?}");
    }
    let done = on(damaged.path(), &["frame-list", "-q"], OsStr::new("y.db"));
    assert!(!stdout(&done).contains("committed") && stdout(&done).contains("damaged"));
}

#[test]
fn files_are_named_by_options_only_where_that_is_safe() {
    let (folder, _) = copy("twenty-rows");
    let takes: [&[&str]; 8] = [
        &["info"],
        &["verify-checksums"],
        &["frame-list"],
        &["txn-list"],
        &["dump"],
        &["blockers"],
        &["replay", "--dry-run"],
        &["repair"],
    ];
    let refuses: [&[&str]; 6] = [
        &["checkpoint-now"],
        &["checkpoint-now", "--dry-run"],
        &["index-rebuild"],
        &["undo"],
        &["verify-checksums", "x.db"],
        &["verify-checksums", "--recursive"],
    ];
    let code = |args: &[&str], option: &str, file: &str| {
        let all = [args, &[option, file]].concat();
        on(folder.path(), &all, OsStr::new("x.db")).status.code()
    };
    for (option, file) in [("--wal", "x.db-wal"), ("--database", "x.db")] {
        for args in takes {
            assert_eq!(code(args, option, file), Some(0), "{args:?} {option}");
        }
        for args in refuses {
            assert_eq!(code(args, option, file), Some(2), "{args:?} {option}");
        }
    }
}

#[test]
fn a_number_is_a_timeout_in_seconds() {
    for time in ["5", "0.5", "250ms", "1min", "0"] {
        let (folder, _) = copy("twenty-rows");
        for command in ["checkpoint-now", "index-rebuild"] {
            let done = on(folder.path(), &[command, "--timeout", time], OsStr::new("x.db"));
            assert_eq!(done.status.code(), Some(0), "{time}: {}", printed(&done));
        }
    }
    let (folder, _) = copy("twenty-rows");
    let done = on(folder.path(), &["checkpoint-now", "--timeout", "5 apples"], OsStr::new("x.db"));
    assert_eq!(done.status.code(), Some(2));
}

/// Folders with a clean log, a damaged one, and what cannot be read.
fn tree() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_damaged) in [("clean", false), ("hurt", true)] {
        let to = folder.path().join(name);
        fs::create_dir(&to).unwrap();
        let from = if is_damaged { damaged_as(OsStr::new("x.db")) } else { copy("twenty-rows").0 };
        for suffix in ["", "-wal"] {
            let file = format!("x.db{suffix}");
            fs::copy(from.path().join(&file), to.join(&file)).unwrap();
        }
    }
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    (folder, locked)
}

#[test]
fn a_search_goes_past_what_it_cannot_read_and_hides_no_finding() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let (folder, locked) = tree();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&locked, 0o000);
    let bin = tempfile::tempdir().unwrap();
    mode(bin.path(), 0o755);
    let program = bin.path().join("walsmith");
    fs::copy(walsmith_program(), &program).unwrap();
    let search = |args: &[&str], path: &str| {
        let mut command = Command::new(&program);
        command.current_dir(folder.path()).args(["verify-checksums", "-r"]).args(args).arg(path);
        // Root may read everything: the search runs as nobody.
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        command.env("LC_ALL", "C").output().unwrap()
    };
    let done = search(&[], ".");
    let shown = stdout(&done);
    assert_eq!(done.status.code(), Some(1), "{shown}");
    let last = shown.lines().last().unwrap();
    let wanted = "2 logs: 1 clean, 1 damaged; 1 directory could not be searched";
    assert_eq!(last, wanted, "{shown}");
    let document: Value = serde_json::from_slice(&search(&["--json"], ".").stdout).unwrap();
    let verdicts: Vec<&str> = document["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["clean", "damaged", "unreadable"]);
    assert_eq!(document["files"][2]["error"]["kind"], "permission");
    // Nothing else is found: the run could not do its job.
    fs::remove_dir_all(folder.path().join("hurt")).unwrap();
    assert_eq!(search(&[], ".").status.code(), Some(3));
    mode(&locked, 0o755);
    let clean = search(&["-q"], ".");
    assert_eq!((clean.status.code(), printed(&clean).as_str()), (Some(0), ""));
}

#[test]
fn a_path_that_cannot_be_read_hides_no_finding() {
    let (folder, _) = tree();
    let code = |paths: &[&str]| {
        let args: Vec<&OsStr> = ["verify-checksums"].iter().chain(paths).map(OsStr::new).collect();
        run(folder.path(), &args).status.code()
    };
    assert_eq!(code(&["clean/x.db", "nothing.db"]), Some(3));
    assert_eq!(code(&["nothing.db", "hurt/x.db", "clean/x.db"]), Some(1));
    assert_eq!(code(&["hurt/x.db", "nothing.db"]), Some(1));
    let done = run(folder.path(), &["verify-checksums", "hurt/x.db", "nothing.db"].map(OsStr::new));
    assert!(stdout(&done).ends_with("2 logs: 1 damaged, 1 unreadable\n"), "{}", stdout(&done));
}

#[test]
fn every_kind_of_error_has_its_word() {
    let (folder, database) = copy("twenty-rows");
    fs::write(folder.path().join("text.db-shm"), "short").unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let bare = folder.path().join("bare.db");
    fs::copy(&database, &bare).unwrap();
    let alone = folder.path().join("alone.db-wal");
    fs::copy(beside(&database, "-wal"), &alone).unwrap();
    let cases: [(&[&str], &str, &str, i32); 15] = [
        (&["info"], "nothing.db", "not-found", 3),
        (&["txn-list"], "nothing.db", "not-found", 3),
        (&["undo"], "nothing.db", "not-found", 3),
        (&["index-dump"], "nothing.db", "not-found", 3),
        (&["undo"], "x.db", "no-undo", 3),
        (&["index-dump"], "x.db", "no-index", 3),
        (&["index-dump"], "text.db-shm", "not-sqlite", 3),
        (&["index-dump"], "bare.db", "no-index", 3),
        (&["blockers"], "alone.db-wal", "no-database", 3),
        (&["checkpoint-now"], "alone.db-wal", "no-database", 3),
        (&["index-rebuild"], "bare.db", "no-log", 3),
        (&["dump"], "bare.db", "no-log", 3),
        (&["dump", "--frame", "99"], "x.db", "no-page", 3),
        (&["replay", "--dry-run", "--to-txn", "99"], "x.db", "no-commit", 3),
        (&["replay", "--output", "bare.db"], "x.db", "refused", 6),
    ];
    for (args, path, kind, exit) in cases {
        let done = on(folder.path(), &[args, &["--json"]].concat(), OsStr::new(path));
        let document: Value = serde_json::from_slice(&done.stdout).unwrap();
        let found = (document["error"]["kind"].as_str(), done.status.code());
        assert_eq!(found, (Some(kind), Some(exit)), "{args:?} {path}: {document:#}");
        assert!(document["error"]["file"].is_string(), "{args:?} {path}: {document:#}");
    }
    let done = on(folder.path(), &["verify-checksums", "--json"], OsStr::new("sub"));
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(document["files"][0]["error"]["kind"], "directory");
}

#[test]
fn help_has_the_commands_in_groups() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), &[OsStr::new("--help")]);
    let help = stdout(&done);
    let mut last = 0;
    for (group, names) in walsmith::cli::groups() {
        let at = help.find(&format!("\n{group}:\n")).unwrap();
        assert!(at > last, "{group}\n{help}");
        last = at;
        for name in *names {
            assert!(help[at..].contains(&format!("\n  {name} ")), "{name}\n{help}");
        }
    }
    let in_groups: BTreeSet<&str> =
        walsmith::cli::groups().iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let root = walsmith::cli::command();
    let mut all: BTreeSet<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    all.insert("help");
    assert_eq!(in_groups, all);
}
