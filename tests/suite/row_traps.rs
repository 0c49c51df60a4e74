//! Traps of comparing rows, one test each: what the last transaction of a log did, by `log`, by
//! `diff`, and by what SQLite makes of the script of `diff --sql` in both directions.

use std::path::Path;

use serde_json::Value;

use crate::support::{oracle, rows, text, walsmith, walsmith_command};

/// A transaction, and what `log` has to say of it.
pub(crate) struct Trap<'t> {
    /// What comes before it.
    pub(crate) before: &'t str,
    /// The transaction.
    pub(crate) change: &'t str,
    /// Tables with rows inserted, updated and deleted.
    pub(crate) tables: &'t [(&'t str, u64, u64, u64)],
    /// Names of the schema entries that changed.
    pub(crate) schema: &'t [&'t str],
    /// What has to be the same after a script.
    pub(crate) select: &'t str,
    /// What a script there, and one back, leaves out.
    pub(crate) exits: (i32, i32),
}

pub(crate) const TRAP: Trap = Trap {
    before: "",
    change: "",
    tables: &[],
    schema: &[],
    select: "SELECT rowid, * FROM t ORDER BY 1",
    exits: (1, 1),
};

/// Three hundred rows, the longest with overflow pages.
pub(crate) const FILL: &str = "INSERT INTO t
    SELECT i, 'row ' || i, zeroblob(CASE i % 50 WHEN 0 THEN 3000 ELSE 20 END)
    FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
          SELECT i FROM n);";
const SCHEMA: &str = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2, 4";

pub(crate) fn named(table: &Value) -> (String, u64, u64, u64) {
    let count = |field: &str| table[field].as_u64().unwrap();
    let name = table["name"].as_str().unwrap().to_owned();
    (name, count("inserted"), count("updated"), count("deleted"))
}

fn state(database: &Path, txn: u64, to: &Path) {
    let txn = txn.to_string();
    walsmith(&["replay", text(database), "--to-txn", &txn, "--output", text(to)]);
}

/// Runs the script from one state and compares with the other.
fn goes(database: &Path, txn: u64, back: bool, exit: i32, select: &str) {
    let folder = database.parent().unwrap();
    let (from, to) = (folder.join(format!("from-{back}.db")), folder.join(format!("to-{back}.db")));
    let (first, second) = if back { (txn, txn - 1) } else { (txn - 1, txn) };
    state(database, first, &from);
    state(database, second, &to);
    let mut command = walsmith_command();
    command.args(["diff", text(database), &txn.to_string(), "--sql"]);
    if back {
        command.arg("--invert");
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(exit), "{}", String::from_utf8_lossy(&output.stderr));
    let script = String::from_utf8(output.stdout).unwrap();
    oracle(&["run", text(&from), &script]);
    for select in [select, SCHEMA] {
        let skips_it = exit == 5 && select == SCHEMA;
        let has_it = !skips_it && rows(&to, SCHEMA).contains("\"t\"");
        if has_it || select == SCHEMA && !skips_it {
            assert_eq!(rows(&from, select), rows(&to, select), "{back} {script}");
        }
    }
}

pub(crate) fn holds(trap: &Trap) {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("x.db");
    let setup = "PRAGMA page_size=512; PRAGMA auto_vacuum=";
    let vacuum = if trap.before.starts_with("-- auto") { "FULL" } else { "NONE" };
    let wal = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;";
    let sql = format!("{setup}{vacuum}; {wal} {}\n BEGIN; {} COMMIT;", trap.before, trap.change);
    let oracle_program = crate::support::oracle_program();
    let mut writer = std::process::Command::new(oracle_program);
    let died = writer.args(["write-and-die", text(&database), &sql]).output().unwrap();
    let said = String::from_utf8_lossy(&died.stderr);
    assert!(!said.contains("panicked"), "{said}");

    let (document, exit) = walsmith(&["log", text(&database)]);
    assert_eq!(exit, 0, "{document}");
    let entries = document["transactions"].as_array().unwrap();
    let last = entries.last().unwrap();
    let mut found: Vec<_> = last["tables"].as_array().unwrap().iter().map(named).collect();
    let mut wanted: Vec<_> =
        trap.tables.iter().map(|&(name, i, u, d)| (name.to_owned(), i, u, d)).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let names: Vec<&str> = last["schema_changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, trap.schema);

    // Another way to the same answer, for every transaction: whole trees are compared.
    for entry in entries {
        let txn = entry["txn"].to_string();
        let (stat, _) = walsmith(&["diff", text(&database), &txn, "--stat"]);
        let by = |document: &Value| {
            let mut tables: Vec<_> =
                document["tables"].as_array().unwrap().iter().map(named).collect();
            tables.sort();
            (tables, document["schema_changes"].clone())
        };
        assert_eq!(by(entry), by(&stat), "transaction {txn}");
    }
    let txn = last["txn"].as_u64().unwrap();
    goes(&database, txn, false, trap.exits.0, trap.select);
    goes(&database, txn, true, trap.exits.1, trap.select);
}

const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);";

pub(crate) fn filled() -> String {
    format!("{T} {FILL}")
}

#[test]
fn leaves_that_split_move_rows_and_change_none() {
    let change = "UPDATE t SET a = hex(zeroblob(100)) WHERE id BETWEEN 100 AND 110;";
    holds(&Trap { before: &filled(), change, tables: &[("t", 0, 11, 0)], ..TRAP });
}

#[test]
fn a_delete_of_all_rows_frees_leaves_without_writing_them() {
    holds(&Trap {
        before: &filled(),
        change: "DELETE FROM t;",
        tables: &[("t", 0, 0, 300)],
        ..TRAP
    });
}

#[test]
fn a_dropped_table_has_lost_its_rows() {
    holds(&Trap {
        before: &filled(),
        change: "DROP TABLE t;",
        tables: &[("t", 0, 0, 300)],
        schema: &["t"],
        ..TRAP
    });
}

#[test]
fn a_root_that_is_used_again_is_another_table() {
    holds(&Trap {
        before: &filled(),
        change: "DROP TABLE t; CREATE TABLE u(x); INSERT INTO u VALUES(1);",
        tables: &[("u", 1, 0, 0), ("t", 0, 0, 300)],
        schema: &["u", "t"],
        ..TRAP
    });
}

#[test]
fn an_update_of_equal_size_overwrites_overflow_pages_alone() {
    holds(&Trap {
        before: &filled(),
        change: "UPDATE t SET b = CAST(zeroblob(2999) || 'x' AS BLOB) WHERE id IN (50, 150);",
        tables: &[("t", 0, 2, 0)],
        ..TRAP
    });
}

#[test]
fn pages_that_a_later_transaction_freed_were_a_rows_before() {
    let before = format!(
        "{} BEGIN; CREATE TABLE w(x);
         UPDATE t SET b = CAST(zeroblob(2999) || 'x' AS BLOB) WHERE id = 50; COMMIT;",
        filled()
    );
    let change = "DELETE FROM t WHERE id = 50;";
    holds(&Trap { before: &before, change, tables: &[("t", 0, 0, 1)], ..TRAP });
}

#[test]
fn a_column_that_was_added_has_its_default_and_changes_no_row() {
    let before = format!("{} UPDATE t SET a = 1 WHERE id = 1;", filled());
    holds(&Trap {
        before: &before,
        change: "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 5; UPDATE t SET a = 2 WHERE id = 7;",
        tables: &[("t", 0, 1, 0)],
        schema: &["t"],
        ..TRAP
    });
}

#[test]
fn a_column_that_was_dropped_changes_no_other() {
    holds(&Trap {
        before: &filled(),
        change: "ALTER TABLE t DROP COLUMN a;",
        schema: &["t"],
        ..TRAP
    });
}

#[test]
fn several_changes_of_the_schema_in_one_transaction() {
    holds(&Trap {
        before: &filled(),
        change: "CREATE TABLE u(x UNIQUE); CREATE INDEX i ON t(a); ALTER TABLE u RENAME TO w;
                 INSERT INTO w VALUES(1); CREATE VIEW v AS SELECT * FROM w;
                 CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM w; END;",
        tables: &[("w", 1, 0, 0)],
        schema: &["w", "i", "v", "g"],
        ..TRAP
    });
}

#[test]
fn without_row_ids_interior_pages_have_rows() {
    let before = format!("CREATE TABLE t(id, a, b, PRIMARY KEY(a, id)) WITHOUT ROWID; {FILL}");
    holds(&Trap {
        before: &before,
        change: "DELETE FROM t WHERE id % 7 = 0; UPDATE t SET b = 1 WHERE id % 11 = 1;
                 INSERT INTO t VALUES(1, 'new', NULL);",
        tables: &[("t", 1, 24, 42)],
        select: "SELECT * FROM t ORDER BY 1, 2",
        ..TRAP
    });
}

#[test]
fn a_key_that_changes_is_a_row_deleted_and_one_inserted() {
    holds(&Trap {
        before: &filled(),
        change: "UPDATE t SET id = 1000 WHERE id = 3;",
        tables: &[("t", 1, 0, 1)],
        ..TRAP
    });
}

#[test]
fn unique_values_that_are_swapped_do_not_meet() {
    let before = format!("CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b); {FILL}");
    holds(&Trap {
        before: &before,
        change: "UPDATE t SET a = 'tmp' WHERE id = 1; UPDATE t SET a = 'row 1' WHERE id = 2;
                 UPDATE t SET a = 'row 2' WHERE id = 1;",
        tables: &[("t", 0, 2, 0)],
        ..TRAP
    });
}

#[test]
fn a_descending_key_column_is_no_row_id() {
    let before = format!("CREATE TABLE t(id INTEGER PRIMARY KEY DESC, a, b); {FILL}");
    holds(&Trap {
        before: &before,
        change: "UPDATE t SET id = id + 1000 WHERE id = 7;",
        tables: &[("t", 0, 1, 0)],
        ..TRAP
    });
}

#[test]
fn a_table_without_a_name_for_its_row_ids_is_filled_anew() {
    holds(&Trap {
        before: "CREATE TABLE t(rowid, _rowid_, oid); INSERT INTO t VALUES(1, 2, 3), (4, 5, 6);",
        change: "DELETE FROM t WHERE oid = 3; INSERT INTO t VALUES(7, 8, 9);",
        tables: &[("t", 1, 0, 1)],
        select: "SELECT * FROM t ORDER BY 1",
        ..TRAP
    });
}

#[test]
fn reals_that_are_stored_as_integers_are_reals() {
    holds(&Trap {
        before: "CREATE TABLE t(a REAL, b);
                 INSERT INTO t VALUES(1.0, 1), (2.5, 2), (9e999, 1e-320);",
        change: "UPDATE t SET a = a * 2, b = -0.0;",
        tables: &[("t", 0, 3, 0)],
        select: "SELECT rowid, typeof(a), quote(a), typeof(b), quote(b) FROM t ORDER BY 1",
        ..TRAP
    });
}

#[test]
fn generated_columns_are_in_no_statement() {
    holds(&Trap {
        before: "CREATE TABLE t(a, b AS (a + 1), c AS (a * 2) STORED, d);
                 INSERT INTO t VALUES(1, 2);",
        change: "UPDATE t SET a = 5; INSERT INTO t VALUES(7, 8);",
        tables: &[("t", 1, 1, 0)],
        ..TRAP
    });
}

#[test]
fn text_in_utf_16_with_nul_and_cr() {
    holds(&Trap {
        before: "PRAGMA encoding='UTF-16be'; CREATE TABLE t(a, b);
                 INSERT INTO t VALUES('\u{e9}', 'x');",
        change: "UPDATE t SET a = '\u{1f600}' || char(0) || 'it''s', b = char(13, 10);",
        tables: &[("t", 0, 1, 0)],
        select: "SELECT rowid, typeof(a), hex(a), hex(b) FROM t",
        ..TRAP
    });
}

#[test]
fn numbers_that_are_never_given_twice() {
    holds(&Trap {
        before: "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a);
                 INSERT INTO t(a) VALUES(1), (2);",
        change: "DELETE FROM t WHERE id = 2; INSERT INTO t(a) VALUES(3);",
        tables: &[("t", 1, 0, 1), ("sqlite_sequence", 0, 1, 0)],
        select: "SELECT t.*, s.* FROM t, sqlite_sequence s ORDER BY 1",
        ..TRAP
    });
}

#[test]
fn what_triggers_did_is_done_once() {
    holds(&Trap {
        before: "CREATE TABLE t(a, b); CREATE TABLE u(x);
                 CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO u VALUES(new.a); END;",
        change: "INSERT INTO t VALUES(1, 2), (3, 4);",
        tables: &[("t", 2, 0, 0), ("u", 2, 0, 0)],
        select: "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)",
        ..TRAP
    });
}

#[test]
fn shadow_tables_are_named_and_left_out() {
    holds(&Trap {
        before: "CREATE VIRTUAL TABLE t USING rtree(id, x0, x1); INSERT INTO t VALUES(1, 0, 1);",
        change: "INSERT INTO t VALUES(2, 5, 6);",
        tables: &[("t_node", 0, 1, 0), ("t_rowid", 1, 0, 0)],
        select: "SELECT name FROM sqlite_schema ORDER BY 1",
        exits: (5, 5),
        ..TRAP
    });
}

#[test]
fn pages_that_auto_vacuum_moves_have_the_same_rows() {
    let before =
        format!("-- auto\n CREATE TABLE w(x); INSERT INTO w VALUES(zeroblob(20000)); {}", filled());
    holds(&Trap {
        before: &before,
        change: "DELETE FROM w; UPDATE t SET a = 1 WHERE id = 300;",
        tables: &[("w", 0, 0, 1), ("t", 0, 1, 0)],
        ..TRAP
    });
}

#[test]
fn roots_that_auto_vacuum_moves_are_the_same_tables() {
    let before = format!("-- auto\n CREATE TABLE w(x); {}", filled());
    holds(&Trap {
        before: &before,
        change: "DROP TABLE w; UPDATE t SET a = 1 WHERE id = 300;",
        tables: &[("t", 0, 1, 0)],
        schema: &["w"],
        ..TRAP
    });
}
