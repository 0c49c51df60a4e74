//! Descriptions of tables against `PRAGMA table_xinfo`, on generated statements.
//!
//! Three hundred here; more with `WALSMITH_STATEMENTS=5000 cargo test definitions`, from
//! `WALSMITH_SEED` on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use fastrand::Rng;
use serde_json::{Value, json};
use walsmith::database::{Generated, table_definition};

use crate::support::oracle_program;

/// One of them.
pub(crate) fn of<'a>(all: &[&'a str], rng: &mut Rng) -> &'a str {
    all[rng.usize(0..all.len())]
}

const SPACES: [&str; 7] = [" ", " ", "  ", "\n", " /* a, (b */ ", "\t", " -- x')\n"];

/// Names that differ, some of them keywords.
fn name(number: usize, rng: &mut Rng) -> String {
    let plain =
        of(&["a", "key", "Long_Name", "\u{e9}t\u{e9}", "generated", "x", "end", "rowid"], rng);
    let plain = format!("{plain}{number}");
    match rng.u8(0..8) {
        0 => format!("\"{plain} \"\"quoted\"\"\""),
        1 => format!("[{plain} (,]"),
        2 => format!("`{plain} ``b`"),
        3 => format!("'{plain}'"),
        4 => of(&["\"check\"", "\"primary\"", "\"default\""], rng).replacen(
            '"',
            &format!("\"{number}"),
            1,
        ),
        _ => plain,
    }
}

const TYPES: [&str; 30] = [
    "",
    "",
    "INTEGER",
    "integer",
    "INT",
    "int",
    "TEXT",
    "text",
    "BLOB",
    "REAL",
    "ANY",
    "any",
    "VARCHAR(10)",
    "DECIMAL(10, 2)",
    "double precision",
    "CHARINT",
    "floating point",
    "\"INTEGER\"",
    "'text'",
    "[real]",
    "unsigned big int",
    "NATIVE CHARACTER ( 70 )",
    "boolean",
    "DATETIME",
    "no action",
    "\"odd type\"",
    "STRING",
    "INTEGER /* comment */",
    "big  int",
    "clob",
];

const DEFAULTS: [&str; 24] = [
    "5",
    "-5",
    "+ 7",
    "- 1.5e-3",
    "0x1F",
    "'text'",
    "'it''s'",
    "NULL",
    "CURRENT_TIMESTAMP",
    "TRUE",
    "x'ab01'",
    "(1 + 2)",
    "( 'a' || \"b\" )",
    "(abs(-3))",
    ".5",
    "1.",
    "1e5",
    "\"quoted\"",
    "word",
    "(/* c */ 1 )",
    "''",
    "9223372036854775808",
    "(cast('1' AS TEXT))",
    "+.5e+2",
];

fn constraint(rng: &mut Rng, key: bool) -> String {
    let own = match rng.u8(0..12) {
        0 => "NOT NULL".to_owned(),
        1 => "NOT NULL ON CONFLICT IGNORE".to_owned(),
        2 => "NULL".to_owned(),
        3 => "UNIQUE".to_owned(),
        4 => "CHECK (1, 2) IS NOT NULL".replace("(1, 2) IS NOT NULL", "(1 IN (1, 2))"),
        5 | 6 => format!("DEFAULT{}{}", of(&SPACES, rng), of(&DEFAULTS, rng)),
        7 => format!("COLLATE {}", of(&["nocase", "BINARY", "\"rtrim\""], rng)),
        8 => format!(
            "REFERENCES other{} {}",
            of(&["", "(x)"], rng),
            of(
                &["", "ON DELETE SET NULL", "ON UPDATE SET DEFAULT DEFERRABLE INITIALLY DEFERRED"],
                rng
            )
        ),
        9 if key => {
            format!("PRIMARY KEY{}", of(&["", " ASC", " DESC", " ON CONFLICT REPLACE"], rng))
        }
        10 => of(
            &[
                "GENERATED ALWAYS AS (1 + 1)",
                "AS ('x')",
                "AS (2) STORED",
                "generated always as (3) virtual",
            ],
            rng,
        )
        .to_owned(),
        _ => "CHECK (typeof(1) != 'not null, primary key')".to_owned(),
    };
    match rng.u8(0..6) {
        0 => format!("CONSTRAINT c{} {own}", rng.u8(..)),
        _ => own,
    }
}

fn statements(rng: &mut Rng) -> Vec<String> {
    table_and_names(rng).0
}

/// Statements that make the table `t`, and the names of its columns as they are written there.
pub(crate) fn table_and_names(rng: &mut Rng) -> (Vec<String>, Vec<String>) {
    let count = rng.usize(1..8);
    let names: Vec<String> = (0..count).map(|number| name(number, rng)).collect();
    let mut parts: Vec<String> = Vec::new();
    let key = rng.usize(0..count * 2);
    for (number, name) in names.iter().enumerate() {
        let mut part = format!("{name}{}{}", of(&SPACES, rng), of(&TYPES, rng));
        if key == number {
            part += &format!(
                "{}PRIMARY KEY{}",
                of(&SPACES, rng),
                of(&["", " DESC", " AUTOINCREMENT"], rng)
            );
        }
        for _ in 0..rng.usize(0..3) {
            part += &format!("{}{}", of(&SPACES, rng), constraint(rng, false));
        }
        parts.push(part);
    }
    if key >= count && rng.bool() {
        let mut listed: Vec<&String> = names.iter().collect();
        rng.shuffle(&mut listed);
        let listed: Vec<String> = listed
            .into_iter()
            .take(rng.usize(1..4))
            .map(|name| format!("{name}{}", of(&["", " DESC", " COLLATE nocase", " ASC"], rng)))
            .collect();
        parts.push(format!(
            "{}PRIMARY KEY({})",
            of(&["", "CONSTRAINT pk "], rng),
            listed.join(",")
        ));
    }
    if rng.u8(0..4) == 0 {
        parts.push(format!("UNIQUE({}) {}", names[0], of(&["", "ON CONFLICT FAIL"], rng)));
    }
    if rng.u8(0..4) == 0 {
        parts.push(
            "CHECK (1 < 2) FOREIGN KEY(PLACE) REFERENCES other(x)".replace("PLACE", &names[0]),
        );
    }
    let options = of(&["", "", "", "WITHOUT ROWID", "STRICT", "strict, Without Rowid"], rng);
    let create =
        of(&["CREATE TABLE", "create table", "CREATE /* , */ TABLE", "CREATE TABLE main."], rng);
    let dot = if create.ends_with('.') { "" } else { " " };
    let table = of(&["t", "\"t\"", "[t]", "`t`"], rng);
    let separator = of(&[",", ", ", "\n  , "], rng);
    let mut all = vec![format!("{create}{dot}{table}({}) {options}", parts.join(separator))];
    match rng.u8(0..8) {
        0 => {
            let added = format!(
                "ALTER TABLE t ADD COLUMN added {} {}",
                of(&TYPES, rng),
                constraint(rng, false)
            );
            all.push(added);
        }
        1 => all.push(format!("ALTER TABLE t RENAME COLUMN {} TO {}", names[0], name(90, rng))),
        2 => all.push(format!("ALTER TABLE t DROP COLUMN {}", names[count - 1])),
        3 => {
            all = vec![format!(
                "CREATE TABLE t AS SELECT 1 AS a, 'x' AS \"b c\", CAST(2 AS {}) AS d",
                of(&["INT", "TEXT", "REAL", "BLOB", "NUMERIC"], rng)
            )];
        }
        _ => {}
    }
    (all, names)
}

fn ours(sql: &str) -> Value {
    let Some(table) = table_definition(sql) else { return Value::Null };
    let columns = table.columns.iter().map(|column| {
        json!({
            "name": column.name,
            "type": column.declared_type,
            "not_null": column.not_null,
            "default": column.default,
            "key": column.key,
            "hidden": match column.generated {
                Generated::No => 0,
                Generated::Virtual => 2,
                Generated::Stored => 3,
            },
        })
    });
    assert!(table.is_understood, "{sql}");
    json!({
        "sql": sql,
        "columns": columns.collect::<Vec<_>>(),
        "without_rowid": table.without_rowid,
        "strict": table.strict,
        "row_id": table.row_id,
    })
}

#[test]
fn a_table_is_described_as_sqlite_describes_it() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (count, mut seed) = (number("WALSMITH_STATEMENTS", 300), number("WALSMITH_SEED", 1));
    let mut child = Command::new(oracle_program())
        .arg("columns")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    while accepted < count {
        let statements = statements(&mut Rng::with_seed(seed));
        writeln!(ask, "{}", json!(statements)).unwrap();
        ask.flush().unwrap();
        let theirs: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        match theirs["sql"].as_str() {
            None => refused += 1,
            Some(sql) => {
                accepted += 1;
                let ours = ours(sql);
                if ours != theirs {
                    wrong.push(format!("seed {seed}: {sql}\n  ours   {ours}\n  SQLite {theirs}"));
                }
            }
        }
        seed += 1;
    }
    drop(ask);
    child.wait().unwrap();
    println!("{accepted} statements that SQLite accepts, {refused} that it refuses");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
}
