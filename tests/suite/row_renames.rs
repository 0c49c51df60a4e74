//! Tables that get another name by ALTER TABLE RENAME, or are made anew under their own: which rows
//! are said to differ.

use crate::row_traps::{TRAP, Trap, filled, holds};

#[test]
fn a_renamed_table_keeps_its_rows() {
    holds(&Trap {
        before: &filled(),
        change: "ALTER TABLE t RENAME TO u;",
        schema: &["u", "t"],
        ..TRAP
    });
}

#[test]
fn tables_that_swap_their_names_keep_their_rows() {
    let before = format!("{} CREATE TABLE u(a, b, PRIMARY KEY(b, a)) WITHOUT ROWID;", filled());
    holds(&Trap {
        before: &format!("{before} INSERT INTO u VALUES(1, 2), (3, 4);"),
        change: "ALTER TABLE t RENAME TO w; ALTER TABLE u RENAME TO t; ALTER TABLE w RENAME TO u;
                 INSERT INTO t VALUES(5, 6); DELETE FROM u WHERE id = 7;",
        tables: &[("t", 1, 0, 0), ("u", 0, 0, 1)],
        schema: &["u", "t"],
        select: "SELECT * FROM t ORDER BY 1, 2",
        ..TRAP
    });
}

#[test]
fn a_table_that_takes_the_name_of_a_renamed_one_is_another() {
    let before = format!("{} CREATE TABLE u(a, b, PRIMARY KEY(b, a)) WITHOUT ROWID;", filled());
    holds(&Trap {
        before: &format!("{before} INSERT INTO u VALUES(1, 2), (3, 4);"),
        change: "ALTER TABLE t RENAME TO w; ALTER TABLE u RENAME TO t;",
        schema: &["w", "t", "u"],
        select: "SELECT * FROM t ORDER BY 1, 2",
        ..TRAP
    });
}

/// A table that is renamed and has lost a column is another one, and so is whatever has its name.
#[test]
fn a_name_never_means_two_tables_of_one_state() {
    let before = format!("{} CREATE TABLE u(a, b, PRIMARY KEY(b, a)) WITHOUT ROWID;", filled());
    holds(&Trap {
        before: &format!("{before} ALTER TABLE u ADD COLUMN c; INSERT INTO u VALUES(1, 2, 3);"),
        change: "ALTER TABLE t RENAME TO w; ALTER TABLE u RENAME TO t; ALTER TABLE w RENAME TO u;
                 ALTER TABLE t DROP COLUMN c;",
        tables: &[("t", 1, 0, 0), ("u", 300, 0, 0), ("t", 0, 0, 300), ("u", 0, 0, 1)],
        schema: &["u", "t"],
        select: "SELECT * FROM t ORDER BY 1, 2",
        ..TRAP
    });
}

/// The twelve steps of an ALTER that SQLite does not have: no value of a VIRTUAL column is stored,
/// so that none of them differs, on whichever side it is.
#[test]
fn a_virtual_column_is_not_compared_with_a_stored_one() {
    for (old, new) in [
        ("g AS (id + 1)", "g AS (id + 1) STORED"),
        ("g AS (id + 1) STORED", "g AS (id + 1)"),
        ("g AS (id + 1)", "g DEFAULT 5"),
        ("g DEFAULT 5", "g AS (id + 1)"),
        ("g AS (id + 1)", "g AS (id + 2)"),
    ] {
        let before = format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, b, {old});
             INSERT INTO t(id, b) VALUES(1, 'one'), (2, 'two'), (3, 'three');"
        );
        let change = format!(
            "CREATE TABLE n(id INTEGER PRIMARY KEY, b, {new}); INSERT INTO n(id, b) SELECT id, b
             FROM t; UPDATE n SET b = 'new' WHERE id = 2; DROP TABLE t; ALTER TABLE n RENAME TO t;"
        );
        let tables = &[("t", 0, 1, 0)];
        holds(&Trap { before: &before, change: &change, tables, schema: &["t"], ..TRAP });
    }
}
