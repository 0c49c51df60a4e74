//! `diff --partial`, where a checkpoint has overwritten pages of a state.

use serde_json::Value;

use super::judge::Judge;
use super::{Tally, World, known_diff};
use crate::support::{text, walsmith};

/// Whether every page of a state is there.
fn is_whole_state(world: &World, number: u32) -> bool {
    let (database, number) = (world.database(), number.to_string());
    let (report, code) = walsmith(&["replay", text(&database), "--to-txn", &number, "--dry-run"]);
    let is_refused = code == 6;
    assert!(is_refused || code < 2, "{report}");
    !is_refused
}

/// What it tells of is what SQLite finds, and every row of the newer state that may differ is told.
pub(super) fn known(
    world: &World,
    judge: &mut Judge,
    (from, to): (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    let said = known_diff(&world.database(), from, to, &["--partial", "--stat", "--json"]);
    let mut count = |what: &str| *tally.entry(what.to_owned()).or_default() += 1;
    if said.code == Some(6) {
        // Nothing tells the tables where the schema is gone.
        count("partial differences: the schema is gone");
        return Vec::new();
    }
    count("partial differences");
    let mut found = Vec::new();
    if said.code != Some(5) {
        found.push(format!("exit {:?} though pages are gone: {}", said.code, said.stderr));
    }
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    let tables = report["tables"].as_array().unwrap();
    // Pages of the newer state may be gone, too: then rows of either one are present, and those on
    // pages that are gone in both are not.
    let newer_is_whole = is_whole_state(world, to);
    if !newer_is_whole {
        count("partial differences: pages of both may be gone");
    }
    for counted in judge.counts(&world.state(from), &world.state(to)).as_array().unwrap() {
        let ours = tables.iter().find(|it| it["name"] == counted["name"]);
        if ours.is_some_and(|it| it["renamed_from"].is_string()) || counted["hidden"] == true {
            continue;
        }
        let of = |key: &str| ours.map_or(0, |it| it[key].as_u64().unwrap_or_default());
        let [inserted, updated, deleted] = ["inserted", "updated", "deleted"].map(of);
        let wanted = |key: &str| counted[key].as_u64();
        let (gone, come) = match (wanted("gone"), wanted("come")) {
            (Some(gone), Some(come)) => (gone, come),
            _ => {
                let [inserted, updated, deleted] =
                    ["inserted", "updated", "deleted"].map(|key| wanted(key).unwrap());
                (updated + deleted, inserted + updated)
            }
        };
        let is_known = updated + deleted <= gone && inserted + updated <= come;
        let is_covered = inserted + updated + of("present") >= come;
        let is_partial = ours.is_some_and(|it| it["partial"] == true);
        let is_whole = [updated + deleted, inserted + updated] == [gone, come];
        if !is_known || newer_is_whole && !is_covered || !is_partial && !is_whole {
            let ours = ours.unwrap_or(&Value::Null);
            found.push(format!("{ours}, and SQLite: {counted}"));
        }
    }
    found
}
