//! Rows of states that a checkpoint or a VACUUM has gone over.

use serde_json::{Value, json};

use crate::row_traps::{filled, named};
use crate::support::{text, walsmith};

#[test]
fn vacuum_rewrites_every_page_and_changes_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let sql = format!(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {} DELETE FROM t WHERE id % 3 = 0;
         VACUUM;",
        filled()
    );
    let mut writer = std::process::Command::new(crate::support::oracle_program());
    writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    let (document, _) = walsmith(&["log", text(&database)]);
    let last = document["transactions"].as_array().unwrap().last().unwrap().clone();
    assert!(last["pages"].as_u64().unwrap() > 5, "{last}");
    assert_eq!((&last["tables"], &last["schema_changes"]), (&json!([]), &json!([])));
    let (_, exit) = walsmith(&["diff", text(&database), &last["txn"].to_string()]);
    assert_eq!(exit, 0);
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
    let mut writer = std::process::Command::new(crate::support::oracle_program());
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
}
