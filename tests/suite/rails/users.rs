//! Processes that use the files without a lock, or under no name.

use std::fs;

use super::{Holder, WRITERS, refused};
use crate::support::{beside, rows, text, walsmith};

#[test]
fn a_process_without_a_lock_is_named_and_nothing_is_taken_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let mut holder = Holder::start("lose-locks", &database);
    for args in WRITERS {
        if args[0] == "undo" {
            continue;
        }
        refused(args, &database, &format!("process {}", holder.child.id()));
    }
    let (report, exit) = walsmith(&["blockers", text(&database)]);
    assert_eq!(exit, 1, "{report:#}");
    assert_eq!(report["misusers"][0]["pid"], holder.child.id());
    assert_eq!(report["misusers"][0]["misuse"], "lockless-user");
    // What it commits afterwards is not lost.
    assert_eq!(holder.ask("INSERT INTO t(b) VALUES('late')"), "51");
    holder.finish();
    assert_eq!(rows(&database, "SELECT count(*) FROM t").trim(), "[51]");
}

#[test]
fn files_that_lost_their_name_under_a_process_are_seen() {
    for (suffix, replace, rule) in [
        ("-wal", false, "deleted-in-use"),
        ("-shm", false, "deleted-in-use"),
        ("", true, "replaced-in-use"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let holder = Holder::start("hold-updates", &database);
        let file = beside(&database, suffix);
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        if replace {
            fs::write(&file, bytes).unwrap();
        }
        let (report, exit) = walsmith(&["blockers", text(&database)]);
        assert_eq!((report["misusers"][0]["misuse"].as_str(), exit), (Some(rule), 1), "{report:#}");
        for args in WRITERS {
            let needs_log = ["checkpoint-now", "index-rebuild"].contains(&args[0]);
            if args[0] == "undo" || (suffix == "-wal" && needs_log) {
                continue;
            }
            refused(args, &database, &format!("process {}", holder.child.id()));
        }
        if suffix == "-wal" {
            let (done, exit) = walsmith(&["checkpoint-now", text(&database)]);
            assert_eq!(exit, 6, "{done:#}");
        }
        holder.finish();
    }
}
