//! Options that go with every command, or with few.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::{LOOKING, damaged_as, on, printed, run, stdout};
use crate::support::copy;

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
    let refuses: [&[&str]; 7] = [
        &["rewind", "--to", "1", "--dry-run"],
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
