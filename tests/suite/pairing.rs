//! Whether a log belongs to a database: true pairs and foreign ones, by kind.
//!
//! Forty pairs of each here; more, as the README says:
//! `WALSMITH_PAIRS=500 cargo test --release --test suite pairing -- --nocapture`. `WALSMITH_SEED`
//! chooses others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fastrand::Rng;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    beside, copy, names, oracle, oracle_program, rows, text, walsmith, walsmith_command,
};

/// A database and its own log.
struct World {
    number: u64,
    family: u32,
    page_bytes: u32,
    kind: String,
}

fn worlds(folder: &Path, first: u64, count: u64) -> Vec<World> {
    let list = oracle(&["worlds", text(folder), &first.to_string(), &count.to_string()]);
    let world = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        World {
            number: words[0].parse().unwrap(),
            family: words[1].parse().unwrap(),
            page_bytes: words[2].parse().unwrap(),
            kind: words[3].to_owned(),
        }
    };
    list.lines().map(world).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A pair in a folder of its own.
fn put(worlds: &Path, database: u64, log: u64) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::copy(worlds.join(format!("{database}.db")), &path).unwrap();
    fs::copy(worlds.join(format!("{log}.db-wal")), beside(&path, "-wal")).unwrap();
    (folder, path)
}

/// The pairing by `info`, and what `replay` does with it.
pub(crate) fn judged(path: &Path) -> (Value, i32) {
    let (report, _) = walsmith(&["info", text(path)]);
    let replay = ["replay", "--dry-run", "--accept-loss", text(path)];
    let (_, exit) = walsmith(&replay);
    (report["pairing"].clone(), exit)
}

type Tally = BTreeMap<String, BTreeMap<String, u32>>;

fn print(title: &str, tally: &Tally) {
    println!("{title}");
    for (kind, verdicts) in tally {
        let verdicts: Vec<String> =
            verdicts.iter().map(|(verdict, pairs)| format!("{verdict} {pairs}")).collect();
        println!("  {kind}: {}", verdicts.join(", "));
    }
}

#[test]
fn no_true_pair_is_called_foreign() {
    let (wanted, seed) = (number("WALSMITH_PAIRS", 45), number("WALSMITH_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let (mut tally, mut wrong) = (Tally::new(), Vec::new());
    for world in worlds(folder.path(), seed, wanted) {
        let (_pair, path) = put(folder.path(), world.number, world.number);
        let (pairing, exit) = judged(&path);
        let verdict = pairing["verdict"].as_str().unwrap_or("nothing to judge").to_owned();
        // A log that lost its end beside a file that has it is no pair that SQLite leaves.
        let is_cut = world.kind == "cut-after-copy";
        if verdict == "foreign" || (exit == 6 && !is_cut) {
            wrong.push(format!("{} {}: {pairing:#}", world.number, world.kind));
        }
        let against = pairing["reasons"]
            .as_array()
            .is_some_and(|reasons| reasons.iter().any(|reason| reason["speaks_for"] == "foreign"));
        let verdict = verdict + if against { ", though something contradicts" } else { "" };
        if against && std::env::var("WALSMITH_SHOW").is_ok() {
            println!("{} {}: {pairing}", world.number, world.kind);
        }
        *tally.entry(world.kind).or_default().entry(verdict).or_default() += 1;
    }
    print("true pairs", &tally);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_pairs_are_told_by_kind() {
    let (wanted, seed) = (number("WALSMITH_PAIRS", 45), number("WALSMITH_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let worlds = worlds(folder.path(), 100_000 + seed, wanted.max(45));
    let mut random = Rng::with_seed(seed);
    let mut tally = Tally::new();
    let (mut others, mut told) = (0_u32, 0_u32);
    let mut pairs = 0;
    while pairs < wanted {
        let (one, two) = (random.choice(&worlds).unwrap(), random.choice(&worlds).unwrap());
        if one.number == two.number || one.page_bytes != two.page_bytes {
            continue;
        }
        // A quarter of the pairs has the same schema.
        if (one.family == two.family) != (pairs % 4 == 0) {
            continue;
        }
        let (_pair, path) = put(folder.path(), one.number, two.number);
        let (pairing, exit) = judged(&path);
        pairs += 1;
        let contained = pairing["self_contained"].as_bool().unwrap_or(false);
        let verdict = pairing["verdict"].as_str().unwrap_or("nothing to judge");
        let reasons = pairing["reasons"].as_array().map_or(&[][..], Vec::as_slice);
        let contradicts = reasons.iter().any(|reason| reason["speaks_for"] == "foreign");
        let is_refused = verdict == "foreign" || (contradicts && !contained);
        // Sizes that contradict each other are accepted with a loss.
        assert!(matches!(exit, 1 | 3 | 6) || !is_refused, "{exit}: {pairing:#}");
        let kind = match (contained, one.family == two.family) {
            (true, _) => "the log holds every page",
            (false, true) => "same schema, other data",
            (false, false) => "another schema",
        };
        if kind == "another schema" && !pairing.is_null() {
            others += 1;
            told += u32::from(verdict == "foreign");
        }
        if contained {
            assert_ne!(verdict, "foreign", "{pairing:#}");
        }
        if verdict != "foreign" && !contained && std::env::var("WALSMITH_SHOW").is_ok() {
            println!(
                "{kind}: {} {} under {} {}: {pairing}",
                one.kind, one.family, two.kind, two.family
            );
        }
        *tally.entry(kind.to_owned()).or_default().entry(verdict.to_owned()).or_default() += 1;
    }
    print("foreign pairs", &tally);
    // A few dozen pairs may have two that is not known.
    assert!(told * 100 >= others * if wanted < 400 { 85 } else { 95 }, "{told} of {others}");
}

#[test]
fn a_foreign_log_is_refused_and_accepted_only_by_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, sql: &str| {
        let path = folder.path().join(name);
        oracle(&["run", text(&path), sql]);
        path
    };
    let setup = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
                 CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX t_b ON t(b);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900)
                 INSERT INTO t SELECT i * 3, 'a row of one, number ' || i FROM n;
                 PRAGMA wal_checkpoint(TRUNCATE);";
    let one = run("one.db", setup);
    let more = "CREATE TABLE u(c); INSERT INTO u SELECT b FROM t; PRAGMA wal_checkpoint(TRUNCATE);
                DELETE FROM t WHERE a < 900; UPDATE u SET c = 'x' WHERE rowid < 30;";
    let two = run("two.db", &(setup.replace("one", "two") + more));
    let own = walsmith(&["replay", "--dry-run", text(&two)]);
    // Nothing of the log was copied: an older state of the file looks the same.
    assert_eq!(
        (own.0["pairing"]["verdict"].as_str(), own.1),
        (Some("cannot-tell"), 0),
        "{:#}",
        own.0
    );
    assert!(
        own.0["pairing"]["reasons"].as_array().unwrap().iter().all(|it| it["speaks_for"] == "same")
    );
    fs::copy(beside(&two, "-wal"), beside(&one, "-wal")).unwrap();
    let before = fs::read(&one).unwrap();
    let output = folder.path().join("new.db");
    let replay = ["replay", "--output", text(&output), text(&one)];
    let (report, exit) = walsmith(&replay);
    let hint = report["error"]["hint"].as_str().unwrap();
    assert!(exit == 6 && hint.contains("--accept-foreign"), "{report:#}");
    assert!(!output.exists());
    assert_eq!(walsmith(&["replay", "--in-place", text(&one)]).1, 6);
    let (report, exit) = walsmith(&[&replay[..], &["--accept-foreign"]].concat());
    assert_eq!((report["pairing"]["verdict"].as_str(), exit), (Some("foreign"), 1), "{report:#}");
    assert_eq!(report["accepted"][0]["rule"], "pair-foreign");
    assert!(output.exists());
    assert_eq!(fs::read(&one).unwrap(), before);
}

#[test]
fn another_page_size_is_one_contradiction() {
    let (_folder, database) = copy("page-1024");
    fs::copy(crate::support::fixtures().join("page-512/x.db-wal"), beside(&database, "-wal"))
        .unwrap();
    let (pairing, _) = judged(&database);
    assert_eq!(pairing["verdict"], "cannot-tell", "{pairing:#}");
    assert_eq!(pairing["reasons"][0]["evidence"], "header");
}

#[test]
fn fixtures_are_not_foreign() {
    for name in names() {
        let (_folder, database) = copy(&name);
        let (pairing, exit) = judged(&database);
        assert_ne!(pairing["verdict"], "foreign", "{name}: {pairing:#}");
        assert!(exit == 0 || exit == 1, "{name}");
    }
}

#[test]
fn a_log_that_drops_every_table_of_the_file_is_its_own() {
    // The schema takes several pages, and one table of the file keeps its pages, with a new name
    // and a new row of the schema.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let columns: Vec<String> = (0..40).map(|n| format!("column_{n}")).collect();
    let columns = columns.join(", ");
    let sql = format!(
        "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE a({columns}); CREATE TABLE b({columns}); INSERT INTO a(column_1) VALUES(1);
         CREATE VIEW v AS SELECT * FROM a; CREATE TABLE sink(x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 90)
         INSERT INTO sink SELECT zeroblob(90) FROM n; PRAGMA wal_checkpoint(TRUNCATE);
         INSERT INTO a(column_1) VALUES(2); CREATE TABLE new_1({columns}); DROP TABLE a;
         DROP TABLE sink; DROP TABLE b; CREATE TABLE new_2(x)"
    );
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&path), &sql]).output().unwrap();
    let (pairing, exit) = judged(&path);
    let reasons = pairing["reasons"].as_array().unwrap();
    assert!(reasons.iter().all(|reason| reason["speaks_for"] != "foreign"), "{pairing:#}");
    assert_eq!(exit, 0, "{pairing:#}");
    // Freed pages are written as they were.
    let (report, exit) = walsmith(&["log", text(&path), "--accept-likely"]);
    assert_eq!((report["transactions"].as_array().map(Vec::len), exit), (Some(6), 5), "{report}");
}

/// Transactions on tables `t` and `u`, of rows that a fork of the database has, too.
fn changes(random: &mut Rng, word: &str) -> String {
    let mut sql = String::new();
    for _ in 0..random.u32(1..4) {
        sql += "BEGIN;";
        for _ in 0..random.u32(1..8) {
            let (table, key) = (if random.bool() { 't' } else { 'u' }, random.u32(..300));
            sql += &match random.u32(..10) {
                0..5 => format!("INSERT OR REPLACE INTO {table} VALUES({key}, '{word}{key}');"),
                5..8 => format!("UPDATE {table} SET b = '{word}' WHERE a % {} = 0;", key + 3),
                _ => format!("DELETE FROM {table} WHERE a % {} = 1;", key + 5),
            };
        }
        sql += "COMMIT;";
    }
    sql
}

/// The rows of the first transaction of which `log` says another value than the state had on which
/// the log was written.
fn false_rows(entry: &Value, truth: &Path) -> usize {
    let mut known = BTreeMap::new();
    for table in ["t", "u"] {
        for line in rows(truth, &format!("SELECT a, b FROM {table}")).lines() {
            let (key, value): (i64, Value) = serde_json::from_str(line).unwrap();
            known.insert((table.to_owned(), key), value);
        }
    }
    let told = entry["rows"].as_array().unwrap().iter();
    told.filter(|row| {
        let table = row["table"].as_str().unwrap().to_owned();
        let before = known.get(&(table, row["key"]["a"].as_i64().unwrap()));
        before.unwrap_or(&Value::Null) != &row["before"]["b"]
    })
    .count()
}

#[test]
fn rows_over_another_copy_of_the_database_are_never_called_proven() {
    let (wanted, seed) = (number("WALSMITH_PAIRS", 45), number("WALSMITH_SEED", 1));
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    for seed in seed..seed + wanted {
        let mut random = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let (base, own, truth, other) =
            (place("base.db"), place("own.db"), place("truth.db"), place("other.db"));
        let mut sql = format!(
            "PRAGMA page_size={}; PRAGMA journal_mode=WAL;
             CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE TABLE u(a INTEGER PRIMARY KEY, b);",
            [512, 1024, 4096][random.usize(..3)]
        );
        for table in ["t", "u"] {
            sql += &format!(
                "WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < {})
                 INSERT INTO {table} SELECT i, 'base' FROM n;",
                [5, 100, 300][random.usize(..3)]
            );
        }
        let run = |path: &Path, sql: &str| {
            oracle(&["run", text(path), &format!("{sql} PRAGMA wal_checkpoint(TRUNCATE);")]);
        };
        run(&base, &sql);
        fs::copy(&base, &own).unwrap();
        let kind = ["own", "fork", "older", "newer"][random.usize(..4)];
        for _ in 0..random.u32(u32::from(kind == "older")..3) {
            run(&own, &changes(&mut random, "before"));
        }
        fs::copy(&own, &truth).unwrap();
        let log = format!("PRAGMA wal_autocheckpoint=0; {}", changes(&mut random, "log"));
        Command::new(oracle_program()).args(["write-and-die", text(&own), &log]).output().unwrap();
        fs::copy(beside(&own, "-wal"), beside(&other, "-wal")).unwrap();
        let file = match kind {
            "own" => &truth,
            "older" => &base,
            "fork" => {
                run(&base, &changes(&mut random, "fork"));
                &base
            }
            _ => {
                run(&own, &changes(&mut random, "after"));
                &own
            }
        };
        fs::copy(file, &other).unwrap();
        let output = walsmith_command().args(["log", "-p", "--json"]).arg(&other).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let Some(entries) = document["transactions"].as_array() else {
            *tally.entry(format!("{kind}: refused")).or_default() += 1;
            assert_ne!(kind, "own", "seed {seed}");
            continue;
        };
        // The statements have changed nothing.
        if entries.is_empty() {
            *tally.entry(format!("{kind}: no commit")).or_default() += 1;
            continue;
        }
        let pair = document["pair"].as_str().unwrap();
        let is_false = entries.first().is_some_and(|first| false_rows(first, &truth) > 0);
        let is_said = pair != "proven" && !output.stderr.is_empty();
        assert!(is_said || !is_false, "seed {seed}: {kind}: {pair}");
        assert!(kind != "own" || !is_false, "seed {seed}");
        let rows = if is_false { "false rows" } else { "true rows" };
        *tally.entry(format!("{kind}: {pair}, {rows}")).or_default() += 1;
    }
    for (what, sets) in &tally {
        println!("{sets:5} {what}");
    }
    let of = |what: &str| tally.keys().any(|key| key.contains(what));
    assert!(of("false rows") && of("own: likely, true rows"), "{tally:?}");
}

#[test]
fn a_log_over_an_empty_file_is_not_proven() {
    let (_folder, database) = copy("twenty-rows");
    fs::write(&database, "").unwrap();
    let (document, _) = walsmith(&["log", text(&database), "--accept-foreign"]);
    assert_ne!(document["pair"], "proven", "{document}");
}
