//! `doctor` beside processes, and on sets with one fault each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{beside, copy, hold, hold_command, oracle, oracle_program, release, text};
use crate::support::{prepared, walsmith};

/// The findings of doctor, by rule, and its exit code.
fn rules(database: &Path) -> (Vec<String>, i32) {
    let (report, exit) = walsmith(&["doctor", text(database)]);
    let findings = report["findings"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    (findings.iter().map(|it| it["rule"].as_str().unwrap().to_owned()).collect(), exit)
}

fn forecast(database: &Path) -> Value {
    walsmith(&["doctor", text(database)]).0["forecast"].clone()
}

fn holder(action: &[&str], database: &Path) -> std::process::Child {
    let mut command = std::process::Command::new(oracle_program());
    command.arg(action[0]).arg(database).args(&action[1..]);
    hold_command(command)
}

#[test]
fn a_reader_that_pins_is_named_and_the_checkpoint_is_forecast() {
    let (_folder, database) = prepared(50, 4096);
    let writer = hold("hold-read", &database);
    oracle(&["run", text(&database), "CREATE TABLE u(a); INSERT INTO u VALUES(1)"]);
    let (report, exit) = walsmith(&["doctor", text(&database)]);
    assert_eq!(exit, 0, "{report:#}");
    let found = report["findings"].as_array().unwrap();
    let pin = found.iter().find(|it| it["rule"] == "reader-pins").unwrap();
    assert_eq!(pin["severity"], "note");
    assert_eq!(pin["pid"], writer.id());
    assert!(pin["evidence"][1].as_str().unwrap().starts_with("running since 2"), "{pin}");
    let forecast = &report["forecast"];
    assert_eq!(
        (&forecast["open"], &forecast["log"], &forecast["checkpoint"], &forecast["close"]),
        (&"ok".into(), &"used".into(), &"partial".into(), &"keeps-log".into())
    );
    // What SQLite says of the same moment.
    let checkpoint = oracle(&["checkpoint", text(&database), "PASSIVE"]);
    let numbers: Vec<i64> = checkpoint
        .split(|letter: char| !letter.is_ascii_digit() && letter != '-')
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(numbers[2] < numbers[1], "{checkpoint}");
    release(writer);
}

#[test]
fn one_who_has_the_database_alone_makes_it_busy_and_no_error() {
    let (_folder, database) = prepared(50, 4096);
    let alone = hold("hold-exclusive", &database);
    assert_eq!(rules(&database), (Vec::new(), 0));
    assert_eq!(forecast(&database)["open"], "busy");
    release(alone);
}

#[test]
fn a_deleted_log_in_use_is_an_error() {
    let (_folder, database) = prepared(50, 4096);
    let user = holder(&["hold-sql", "CREATE TABLE u(a)"], &database);
    fs::remove_file(beside(&database, "-wal")).unwrap();
    let (rules, exit) = rules(&database);
    assert!(rules.contains(&"deleted-in-use".to_owned()), "{rules:?}");
    assert_eq!(exit, 1);
    release(user);
}

#[test]
fn a_fault_is_found_by_its_rule() {
    let with = |fixture: &str, change: &dyn Fn(&Path)| {
        let (folder, database) = copy(fixture);
        change(&database);
        let found = rules(&database);
        drop(folder);
        found
    };
    let log = |change: &'static dyn Fn(&mut Vec<u8>)| {
        move |database: &Path| {
            let path = beside(database, "-wal");
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
        }
    };
    let first = |(rules, exit): (Vec<String>, i32)| (rules.first().cloned(), exit);
    let named = |rule: &str| (Some(rule.to_owned()), 1);
    let bit = log(&|bytes| bytes[32 + 10 * 4120 + 24 + 4000] ^= 2);
    assert_eq!(first(with("twenty-rows", &bit)), named("log-damaged"));
    let header = log(&|bytes| bytes[..32].fill(0x41));
    assert_eq!(first(with("page-1024", &header)), named("log-header"));
    let emptied = |database: &Path| fs::write(database, b"").unwrap();
    assert_eq!(first(with("twenty-rows", &emptied)), named("log-discarded"));
    let shifted = log(&|bytes| drop(bytes.splice(32 + 5 * 4120..32 + 5 * 4120, [7; 9])));
    let (rules, exit) = with("twenty-rows", &shifted);
    assert!(exit == 1 && rules.contains(&"log-shifted".to_owned()), "{rules:?}");
    let cold = |database: &Path| fs::write(beside(database, "-journal"), [0; 512]).unwrap();
    assert_eq!(with("twenty-rows", &cold).1, 0);
}

#[test]
fn without_the_right_to_make_an_index_sqlite_cannot_open_the_database() {
    let (folder, database) = copy("twenty-rows");
    let program = folder.path().join("walsmith");
    // By another process: a copy that this one had open for writing is busy while a thread forks.
    let from = crate::support::walsmith_program();
    assert!(std::process::Command::new("cp").args([&from, &program]).status().unwrap().success());
    let all = |mode| fs::Permissions::from_mode(mode);
    for suffix in ["", "-wal"] {
        fs::set_permissions(beside(&database, suffix), all(0o444)).unwrap();
    }
    fs::set_permissions(folder.path(), all(0o555)).unwrap();
    let mut command = std::process::Command::new(program);
    if nix::unistd::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let output = command.args(["doctor", "--json"]).arg(&database).output().unwrap();
    fs::set_permissions(folder.path(), all(0o755)).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["findings"][0]["rule"], "not-openable");
    assert_eq!(report["forecast"]["open"], "cantopen");
    assert_eq!(report["forecast"]["close"], "keeps-log");
}
