//! Rows of states that a checkpoint or a VACUUM has gone over.

use std::process::Command;

use serde_json::{Value, json};

use crate::held::Busy;
use crate::row_traps::{filled, named};
use crate::support::{
    beside, hold, oracle, oracle_program, release, text, walsmith, walsmith_command,
};

#[test]
fn vacuum_rewrites_every_page_and_changes_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {} DELETE FROM t WHERE id % 3 = 0;
         VACUUM;",
        filled()
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    let (document, _) = walsmith(&["log", text(&database)]);
    let last = document["transactions"].as_array().unwrap().last().unwrap().clone();
    assert!(last["pages"].as_u64().unwrap() > 5, "{last}");
    assert_eq!((&last["tables"], &last["schema_changes"]), (&json!([]), &json!([])));
    let (_, exit) = walsmith(&["diff", text(&database), &last["txn"].to_string()]);
    assert_eq!(exit, 0);
}

#[test]
fn a_table_that_no_state_has_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {} CREATE TABLE gone(a);
         INSERT INTO gone VALUES(1); DROP TABLE gone; DELETE FROM t WHERE id = 1;",
        filled()
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    let (wrong, exit) = walsmith(&["log", text(&database), "--table", "Tt"]);
    assert_eq!((exit, wrong["error"]["kind"].as_str()), (3, Some("unsupported")), "{wrong}");
    for table in ["T", "gone"] {
        let (document, exit) = walsmith(&["log", text(&database), "--table", table]);
        let entries = document["transactions"].as_array().unwrap();
        assert!(exit == 0 && !entries.is_empty(), "{document}");
    }
    // Earlier transactions were not read.
    let last = ["log", text(&database), "--table", "gone", "--txn", "6.."];
    assert_eq!(walsmith(&last).1, 0);
    let (wrong, exit) = walsmith(&["log", text(&database), "--txn", "9.."]);
    assert_eq!((exit, wrong["error"]["kind"].as_str()), (3, Some("no-commit")), "{wrong}");
    // The primary key of `t` is one column.
    let args = ["log", text(&database), "--table", "t", "--key", "1", "--key", "2"];
    let output = walsmith_command().args(args).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the primary key of table t is (id)"), "{told}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_a_checkpoint_has_overwritten_is_said_to_be_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {} \
         PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a = 1 WHERE id = 10; \
         UPDATE t SET a = 2 WHERE id = 10; \
         UPDATE t SET a = 3 WHERE id = 201; PRAGMA wal_checkpoint(PASSIVE);",
        filled()
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    let (document, exit) = walsmith(&["log", text(&database)]);
    assert_eq!(exit, 5, "{document}");
    let entries = document["transactions"].as_array().unwrap();
    let partial: Vec<bool> = entries.iter().map(|it| it["partial"].as_bool().unwrap()).collect();
    // The second update has its page before in the log; the others took theirs from the file.
    assert_eq!(partial, [true, false, true], "{document}");
    assert_eq!(named(&entries[1]["tables"][0]), ("t".to_owned(), 0, 1, 0));
    assert_eq!(entries[0]["tables"][0]["updated"], Value::Null);
    let (whole, exit) = walsmith(&["diff", text(&database), "2"]);
    assert_eq!((exit, whole["rows"].as_array().unwrap().len()), (1, 1));
    for gone in ["1", "3", "0..last"] {
        let (refused, exit) = walsmith(&["diff", text(&database), gone]);
        assert_eq!(exit, 6, "{refused}");
        assert_eq!(refused["error"]["kind"], "refused");
    }
    // Row 10 was another one before, and its neighbours stayed: the page that tells is gone.
    let (known, exit) = walsmith(&["diff", text(&database), "1", "--partial"]);
    assert_eq!(exit, 5, "{known}");
    let rows = known["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["op"] == "present" && row["before"].is_null()), "{known}");
    let updated = rows.iter().find(|row| row["key"]["id"] == 10).unwrap();
    assert_eq!(updated["after"]["a"], 1);
    assert_eq!(
        (&known["tables"][0]["partial"], &known["tables"][0]["inserted"]),
        (&json!(true), &json!(0))
    );
    // Nothing is gone of what made transaction 2.
    let (same, exit) = walsmith(&["diff", text(&database), "2", "--partial"]);
    assert_eq!((exit, &same["rows"]), (1, &whole["rows"]));
}

/// One transaction of a writer who counts its rows: as many as it says, with the numbers that come
/// next.
fn is_what_a_writer_does(entry: &Value) -> bool {
    let rows = entry["rows"].as_array().unwrap();
    let of = |table: &'static str| rows.iter().filter(move |row| row["table"] == table);
    // At first there are three that have written nothing.
    let Some(count) = of("s").next() else {
        // The other kind: all of one table is replaced; or the schema is made.
        return rows.iter().all(|row| row["table"] == "junk");
    };
    if count["op"] == "insert" {
        return count["after"]["n"] == 0;
    }
    let number = |value: &Value| value.as_i64().unwrap();
    let (writer, before) = (&count["key"]["w"], number(&count["before"]["n"]));
    let after = number(&count["after"]["n"]);
    let inserted: Vec<&Value> = of("t").filter(|row| row["op"] == "insert").collect();
    let mut numbers: Vec<i64> = inserted.iter().map(|row| number(&row["after"]["n"])).collect();
    numbers.sort_unstable();
    of("s").count() == 1
        && inserted.iter().all(|row| row["after"]["w"] == *writer)
        && numbers == (before + 1..=after).collect::<Vec<_>>()
        && of("t").all(|row| row["op"] != "delete")
}

#[test]
fn beside_busy_writers_every_row_is_one_that_was_written() {
    let busy = Busy::start(10);
    let (mut whole, mut runs) = (0, 0);
    while busy.is_going_on() {
        let output = walsmith_command()
            .args(["log", text(&busy.database), "--patch", "--json"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Another one may have been in the way all the time.
        assert!(matches!(output.status.code(), Some(0 | 4 | 5)), "{:?} {said}", output.status);
        runs += 1;
        if output.status.code() == Some(4) {
            continue;
        }
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        for entry in document["transactions"].as_array().unwrap() {
            if entry["partial"] == false {
                whole += 1;
                assert!(is_what_a_writer_does(entry), "{entry}");
            }
        }
    }
    busy.finish();
    assert!(runs > 3 && whole > 10, "{runs} runs, {whole} transactions that are known");
}

/// A checkpoint passes over pages that have later frames than it may copy: one that it did not copy
/// says nothing of others.
#[test]
fn a_checkpoint_that_a_reader_held_back_has_overwritten_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let run = |sql: &str| oracle(&["run", text(&database), sql]);
    run("CREATE TABLE k(a TEXT PRIMARY KEY, b); CREATE TABLE t(id INTEGER PRIMARY KEY, b);
         PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;");
    run(
        "PRAGMA wal_autocheckpoint=0; INSERT INTO k VALUES('one', 1); INSERT INTO t VALUES(12, 0);",
    );
    let reader = hold("hold-read", &database);
    run("PRAGMA wal_autocheckpoint=0; INSERT INTO k VALUES('two', 2);
         PRAGMA wal_checkpoint(PASSIVE);");
    let copies = ["with.db", "without.db"].map(|name| folder.path().join(name));
    for (copy, suffixes) in copies.iter().zip([&["", "-wal", "-shm"][..], &["", "-wal"]]) {
        for suffix in suffixes {
            std::fs::copy(beside(&database, suffix), beside(copy, suffix)).unwrap();
        }
    }
    release(reader);
    for copy in copies {
        let (document, exit) = walsmith(&["log", text(&copy)]);
        let entries = document["transactions"].as_array().unwrap();
        let partial: Vec<bool> = entries.iter().map(|it| it["partial"] == true).collect();
        assert_eq!((exit, &partial[..]), (5, &[true, true, false][..]), "{document}");
        assert_eq!(named(&entries[2]["tables"][0]), ("k".to_owned(), 1, 0, 0));
    }
}

/// A process that is killed amid a write of a checkpoint leaves a page that begins as the log has
/// it and ends as it was: the kernel divides a write between its pages.
#[test]
fn a_page_whose_copy_was_cut_short_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let numbers = "WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)";
    let sql = format!(
        "PRAGMA page_size=8192; CREATE TABLE t(id INTEGER PRIMARY KEY, b); CREATE TABLE u(x);
         {numbers} INSERT INTO t SELECT i, 1000 + i FROM n; PRAGMA journal_mode=WAL;
         PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES(900, 1); INSERT INTO u VALUES(1);"
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    std::fs::remove_file(beside(&database, "-shm")).unwrap();
    let whole = std::fs::read(&database).unwrap();
    let log = std::fs::read(beside(&database, "-wal")).unwrap();
    let page = u32::from_be_bytes(log[32..36].try_into().unwrap()) as usize;
    for (copied_bytes, is_known) in [(0, true), (4096, false), (8192, false)] {
        let mut bytes = whole.clone();
        let at = (page - 1) * 8192;
        bytes[at..at + copied_bytes].copy_from_slice(&log[56..56 + copied_bytes]);
        std::fs::write(&database, &bytes).unwrap();
        let (document, exit) = walsmith(&["log", text(&database)]);
        assert_eq!(document["transactions"][0]["partial"], !is_known, "{document}");
        assert_eq!(exit, if is_known { 0 } else { 5 }, "{document}");
        let query = ["query", text(&database), "--at", "0", "SELECT sum(b) FROM t"];
        assert_eq!(walsmith(&query).1, if is_known { 0 } else { 6 });
        let replay = ["replay", text(&database), "--at", "0", "--dry-run"];
        assert_eq!(walsmith(&replay).1, if is_known { 0 } else { 6 });
    }
}

/// A power loss amid a checkpoint leaves any sectors of a page: pointers of before to cells of
/// after. That such a page never was is seen where it breaks the rules of its kind.
#[test]
fn a_page_of_which_some_sectors_were_copied_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, b); CREATE TABLE u(x);
         WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO t SELECT i, 1000 + i FROM n; PRAGMA journal_mode=WAL;
         PRAGMA wal_autocheckpoint=0; UPDATE t SET b = b + 5000000 WHERE id > 1;
         INSERT INTO u VALUES(1);";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    std::fs::remove_file(beside(&database, "-shm")).unwrap();
    let whole = std::fs::read(&database).unwrap();
    let log = std::fs::read(beside(&database, "-wal")).unwrap();
    let page = u32::from_be_bytes(log[32..36].try_into().unwrap()) as usize;
    let generation = crate::rewind::generation(&database);
    let sectors: [(&[usize], bool); 6] = [
        (&[], true),
        (&[0], false),
        (&[0, 1, 2, 3], false),
        (&[1, 2, 3, 4, 5, 6, 7], false),
        (&[7], false),
        (&[0, 1, 2, 3, 4, 5, 6, 7], false),
    ];
    for (copied, is_known) in sectors {
        let mut bytes = whole.clone();
        for at in copied.iter().map(|sector| sector * 512) {
            let place = (page - 1) * 4096 + at;
            bytes[place..place + 512].copy_from_slice(&log[56 + at..56 + at + 512]);
        }
        std::fs::write(&database, &bytes).unwrap();
        let (document, exit) = walsmith(&["log", text(&database)]);
        assert_eq!(document["transactions"][0]["partial"], !is_known, "{copied:?}: {document}");
        assert_eq!(exit, if is_known { 0 } else { 5 }, "{document}");
        let refused = if is_known { 0 } else { 6 };
        let query = ["query", text(&database), "--at", "0", "SELECT sum(b) FROM t"];
        assert_eq!(walsmith(&query).1, refused, "{copied:?}");
        // Every page that the log has was written anew: nothing tells of the file's time.
        let rewind = ["rewind", text(&database), "--to", "0", "--generation", &generation, "-n"];
        assert_eq!(walsmith(&rewind).1, 6, "{copied:?}");
        let rewind = [&rewind[..], &["--accept-foreign"]].concat();
        assert_eq!(walsmith(&rewind).1, if is_known { 5 } else { 6 }, "{copied:?}");
        let replay = ["replay", text(&database), "--at", "0", "--dry-run"];
        assert_eq!(walsmith(&replay).1, refused, "{copied:?}");
        // Whoever accepts it gets what is there, and not without a word.
        let accepted = if !is_known && copied.len() < 8 { 5 } else { refused };
        let replay = [&replay[..], &["--accept-likely"]].concat();
        assert_eq!(walsmith(&replay).1, accepted, "{copied:?}");
        let bisect = ["bisect", text(&database), "--query", "SELECT max(b) > 9999 FROM t"];
        let (document, exit) = walsmith(&bisect);
        assert_eq!(exit, if is_known { 1 } else { 5 }, "{copied:?}: {document}");
    }
}

/// A log that was copied whole may be from long before its file: what came since is on pages that
/// it does not have.
#[test]
fn earlier_states_of_a_log_that_was_copied_whole_are_not_called_proven() {
    let folder = tempfile::tempdir().unwrap();
    let (database, other) = (folder.path().join("x.db"), folder.path().join("y.db"));
    let sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
        CREATE TABLE u(b); CREATE TABLE v(b); INSERT INTO u VALUES('old');
        PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO v VALUES('one'); INSERT INTO v VALUES('two');";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    std::fs::copy(beside(&database, "-wal"), beside(&other, "-wal")).unwrap();
    let later = "PRAGMA wal_checkpoint(TRUNCATE); UPDATE u SET b = 'later';
        PRAGMA wal_checkpoint(TRUNCATE);";
    oracle(&["run", text(&database), later]);
    std::fs::copy(&database, &other).unwrap();
    for command in [
        &["replay", text(&other), "--at", "1", "--dry-run"][..],
        &["query", text(&other), "--at", "1", "SELECT b FROM u"],
        &["check", text(&other), "--at", "1"],
        &["diff", text(&other), "1..2"],
        &["log", text(&other)],
    ] {
        let output = walsmith_command().args(command).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let note = "whether the file has later pages than the log is not known";
        assert!(said.contains(note), "{command:?}: {said}");
    }
    let (report, _) = walsmith(&["check", text(&other), "--at", "1"]);
    assert_eq!(report["pair"], "unknown", "{report}");
}

/// A later transaction may write every page, so that nothing of its state is the file's: of the
/// states before it that says nothing.
#[test]
fn a_log_that_holds_every_page_in_the_end_makes_no_other_database_fit_before() {
    let folder = tempfile::tempdir().unwrap();
    let (database, other) = (folder.path().join("x.db"), folder.path().join("y.db"));
    let sql = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
        CREATE TABLE u(a); INSERT INTO u VALUES(1); PRAGMA wal_checkpoint(TRUNCATE);
        INSERT INTO t VALUES(1); UPDATE u SET a = 2; VACUUM;";
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&database), sql]).output().unwrap();
    let foreign = "PRAGMA journal_mode=WAL; CREATE TABLE orders(id INTEGER PRIMARY KEY, x);
        CREATE TABLE cards(n); CREATE TABLE persons(n); INSERT INTO orders VALUES(5, 'five');
        INSERT INTO cards VALUES('c'); INSERT INTO persons VALUES('p');
        PRAGMA wal_checkpoint(TRUNCATE);";
    oracle(&["run", text(&other), foreign]);
    let _ = std::fs::remove_file(beside(&other, "-shm"));
    std::fs::copy(beside(&database, "-wal"), beside(&other, "-wal")).unwrap();
    let before = std::fs::read(&other).unwrap();
    let new = folder.path().join("new.db");
    for more in [&["--output", text(&new)][..], &["--in-place"]] {
        let args = [&["replay", text(&other), "--at", "1"], more].concat();
        let (report, exit) = walsmith(&args);
        assert_eq!((exit, new.exists()), (6, false), "{report:#}");
        assert_eq!(std::fs::read(&other).unwrap(), before);
    }
    // Nothing speaks against its own file.
    assert_eq!(walsmith(&["replay", text(&database), "--at", "1", "--dry-run"]).1, 0);
}
