//! Counts of rows.

use serde_json::Value;

use super::judge::Judge;
use super::{Tally, World, diff, is_gone};
use crate::support::{text, walsmith};

/// `diff --stat` counts what SQLite counts.
pub(super) fn stat(
    world: &World,
    judge: &mut Judge,
    (from, to): (u32, u32),
    _: &mut Tally,
) -> Vec<String> {
    let said = diff(&world.database(), from, to, &["--stat", "--json"]);
    if let Some(refusal) = said.refusal() {
        return vec![refusal];
    }
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    wrong(&report["tables"], &judge.counts(&world.state(from), &world.state(to)))
}

/// Every entry of `log` counts what SQLite counts, where what is likely is accepted; those that are
/// known are the same.
pub(super) fn log(world: &World, judge: &mut Judge, tally: &mut Tally) -> Vec<String> {
    let (known, _) = walsmith(&["log", text(&world.database())]);
    let (report, code) = walsmith(&["log", text(&world.database()), "--accept-likely"]);
    let Some(entries) = report["transactions"].as_array() else {
        return vec![format!("exit {code}: {report}")];
    };
    let mut found = Vec::new();
    if entries.len() != world.last as usize {
        found.push(format!("{} transactions, and not {}", entries.len(), world.last));
    }
    for (number, entry) in (1..).zip(entries) {
        *tally.entry("entries of a log".to_owned()).or_default() += 1;
        if entry["txn"] != number {
            found.push(format!("transaction {number} is called {}", entry["txn"]));
        }
        let surely = &known["transactions"][number as usize - 1];
        if surely["partial"] == false && surely != entry {
            found.push(format!("transaction {number}: {surely}, and likely: {entry}"));
        }
        if surely["partial"] == true && entry["partial"] == false {
            *tally.entry("entries of a log that are likely".to_owned()).or_default() += 1;
        }
        if entry["partial"] == true {
            *tally.entry("entries of a log that are partial".to_owned()).or_default() += 1;
            if !is_gone(entry["partial_because"].as_str().unwrap_or_default()) {
                found.push(format!("transaction {number} is partial"));
            }
            continue;
        }
        let counts = judge.counts(&world.state(number - 1), &world.state(number));
        let wrong = wrong(&entry["tables"], &counts);
        found.extend(wrong.into_iter().map(|it| format!("transaction {number}: {it}")));
    }
    found
}

/// How the `tables` of a report differ from the counts of SQLite.
fn wrong(tables: &Value, counts: &Value) -> Vec<String> {
    let tables = tables.as_array().unwrap();
    let mut found = Vec::new();
    for count in counts.as_array().unwrap() {
        let ours = tables.iter().find(|it| it["name"] == count["name"]);
        // Rows of the table that had this name before.
        if ours.is_some_and(|it| it["renamed_from"].is_string()) {
            continue;
        }
        let of = |key: &str| ours.map_or(0, |it| it[key].as_u64().unwrap());
        let [inserted, updated, deleted] = ["inserted", "updated", "deleted"].map(of);
        let wanted = |key: &str| count[key].as_u64().unwrap();
        let right = if count["gone"].is_null() {
            ["inserted", "updated", "deleted"].map(wanted) == [inserted, updated, deleted]
        } else if count["hidden"] == true {
            wanted("come") + deleted == wanted("gone") + inserted
        } else {
            [wanted("gone"), wanted("come")] == [deleted + updated, inserted + updated]
        };
        if !right {
            found.push(format!(
                "{inserted} inserted, {updated} updated, {deleted} deleted, and SQLite: {count}"
            ));
        }
    }
    found
}
