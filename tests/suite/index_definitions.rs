//! What is known of indexes against `PRAGMA index_list` and `index_xinfo`, on generated statements.
//!
//! Three hundred here; more with `WALSMITH_STATEMENTS=5000 cargo test index_definitions`, from
//! `WALSMITH_SEED` on.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use serde_json::{Value, json};
use walsmith::database::{EntryKind, FilePages, Schema};
use walsmith::format::PageSize;
use walsmith::storage::memory::MemoryVfs;
use walsmith::storage::{OpenMode, Vfs};

use crate::definitions::{of, table_and_names};
use crate::support::oracle_program;

/// At least this share of the keys that are columns is known, in percent. Of automatic indexes,
/// statements do not tell all.
const KNOWN_PERCENT: usize = 60;

fn key(names: &[String], rng: &mut Rng) -> String {
    let name = names[rng.usize(..names.len())].clone();
    match rng.u8(..16) {
        0 => format!("{name} DESC"),
        1 => format!("{name} COLLATE nocase"),
        2 => format!("{name} COLLATE \"RTRIM\" DESC"),
        3 => format!("{name} /* , */ ASC"),
        4 => format!("({name})"),
        5 => format!("{name} || 'x'"),
        6 => format!("lower({name}) DESC"),
        7 => of(&["rowid", "\"no such column\"", "1 + 1", "-1", "_rowid_ DESC"], rng).to_owned(),
        8 => format!("{name} COLLATE binary"),
        9 => name.to_uppercase(),
        _ => name,
    }
}

fn statements(rng: &mut Rng) -> Vec<String> {
    let (mut all, names) = table_and_names(rng);
    for number in 0..rng.usize(1..4) {
        let keys: Vec<String> = (0..rng.usize(1..4)).map(|_| key(&names, rng)).collect();
        let unique = of(&["", "", "UNIQUE"], rng);
        let condition = match rng.u8(..4) {
            0 => format!("WHERE {} IS NOT NULL", names[0]),
            _ => String::new(),
        };
        let sql = format!("CREATE {unique} INDEX i{number} ON t({}) {condition}", keys.join(", "));
        // Before or after the table is altered.
        let place = if rng.u8(..3) == 0 { 1 } else { all.len() };
        all.insert(place, sql);
    }
    all
}

fn schema_of(path: &Path) -> Schema {
    let vfs = MemoryVfs::default();
    let file = vfs.open(Path::new("x.db"), OpenMode::Create).unwrap();
    let bytes = fs::read(path).unwrap();
    file.write_at(&bytes, 0).unwrap();
    let page_size = PageSize::ALL.into_iter().find(|it| it.in_memory() == 4096).unwrap();
    Schema::read(&FilePages::new(file.as_ref(), page_size).unwrap()).unwrap()
}

/// What is wrong, and of how many indexes whose keys are columns these are known.
fn compared(schema: &Schema, theirs: &[Value]) -> (Vec<String>, [usize; 2]) {
    let (mut wrong, mut known, mut all) = (Vec::new(), 0, 0);
    let is_table = |kind| matches!(kind, EntryKind::Table | EntryKind::WithoutRowid);
    let table = schema.entries.iter().find(|it| is_table(it.kind)).unwrap();
    for index in theirs {
        let name = index["name"].as_str().unwrap();
        let Some(ours) = schema.entries.iter().find(|it| it.name == name) else {
            // The primary key of a WITHOUT ROWID table is the table.
            if table.kind != EntryKind::WithoutRowid || !name.starts_with("sqlite_autoindex") {
                wrong.push(format!("{name} is not there"));
            }
            continue;
        };
        let said = (ours.kind, json!(ours.is_unique), json!(ours.is_partial()));
        if said != (EntryKind::Index, index["unique"].clone(), index["partial"].clone()) {
            wrong.push(format!("{name}: {said:?}"));
        }
        let keys = index["keys"].as_array().unwrap();
        let is_plain = |key: &Value| key["desc"] == false && key["collation"] == "BINARY";
        if ours.is_in_plain_order(table) && !keys.iter().all(is_plain) {
            wrong.push(format!("{name}: not in plain order"));
        }
        let columns: Option<Vec<&str>> = keys.iter().map(|key| key["name"].as_str()).collect();
        let place =
            |name: &str| table.columns.iter().position(|it| it.name.eq_ignore_ascii_case(name));
        all += usize::from(columns.is_some());
        let of_ours = schema.keys_of(ours, table);
        // A name that is no column's is the row id or a string, and known to be no column.
        let of_ours: Option<Vec<usize>> =
            of_ours.and_then(|names| names.iter().map(|it| place(it)).collect());
        let Some(of_ours) = of_ours else { continue };
        let of_theirs: Option<Vec<usize>> =
            columns.and_then(|names| names.into_iter().map(place).collect());
        known += 1;
        if Some(&of_ours) != of_theirs.as_ref() {
            wrong.push(format!("{name}: columns {of_ours:?}"));
        }
    }
    (wrong, [known, all])
}

#[test]
fn what_is_known_of_an_index_is_what_sqlite_says() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |text| text.parse().unwrap());
    let (count, mut seed) = (number("WALSMITH_STATEMENTS", 300), number("WALSMITH_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(oracle_program())
        .arg("indexes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    let (mut indexes, mut known, mut all) = (0, 0, 0);
    while accepted < count {
        let statements = statements(&mut Rng::with_seed(seed));
        let path = folder.path().join(format!("{seed}.db"));
        writeln!(ask, "{}", json!([path.to_str(), statements])).unwrap();
        ask.flush().unwrap();
        let theirs: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        match theirs.as_array() {
            None => refused += 1,
            Some(theirs) => {
                accepted += 1;
                indexes += theirs.len();
                let (found, [more, of]) = compared(&schema_of(&path), theirs);
                (known, all) = (known + more, all + of);
                let told = |it: String| format!("seed {seed}: {it}: {}", statements.join("; "));
                wrong.extend(found.into_iter().map(told));
            }
        }
        fs::remove_file(path).unwrap();
        seed += 1;
    }
    drop(ask);
    child.wait().unwrap();
    println!("{accepted} tables with {indexes} indexes, {refused} that SQLite refuses");
    println!("{known} of {all} indexes of columns alone are known by their columns");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    assert!(known * 100 >= all * KNOWN_PERCENT, "{known} of {all}");
}
