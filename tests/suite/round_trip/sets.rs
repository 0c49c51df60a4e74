//! Changesets and patchsets, applied by SQLite.

use std::process::Command;

use serde_json::Value;

use super::judge::{Judge, strings};
use super::{Tally, World, diff, is_gone};
use crate::support::{oracle, oracle_program, text};

/// The changeset makes `to` of `from`.
pub(super) fn changeset(
    world: &World,
    judge: &mut Judge,
    pair: (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    apply(world, judge, pair, &["--changeset"], tally)
}

/// The inverted changeset makes `from` of `to`.
pub(super) fn changeset_back(
    world: &World,
    judge: &mut Judge,
    pair: (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    apply(world, judge, pair, &["--invert", "--changeset"], tally)
}

/// The patchset makes `to` of `from`.
pub(super) fn patchset(
    world: &World,
    judge: &mut Judge,
    pair: (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    apply(world, judge, pair, &["--patchset"], tally)
}

fn apply(
    world: &World,
    judge: &mut Judge,
    (from, to): (u32, u32),
    args: &[&str],
    tally: &mut Tally,
) -> Vec<String> {
    let file = world.directory.join("set");
    let args = [args, &[file.to_str().unwrap(), "--force"]].concat();
    let said = diff(&world.database(), from, to, &args);
    if is_gone(&said.stderr) {
        return Vec::new();
    }
    if let Some(refusal) = said.refusal() {
        return vec![refusal];
    }
    let mut states = [world.state(from), world.state(to)];
    if args.contains(&"--invert") {
        states.reverse();
    }
    let found = wrong(&judge.changeset(&states[0], &states[1], &file));
    if found.is_empty() {
        return found;
    }
    let words = String::from_utf8_lossy(&said.stdout);
    let words: Vec<&str> = words.split_whitespace().collect();
    if words.join(" ").contains("what its ON CONFLICT REPLACE") && said.code == Some(5) {
        *tally.entry("changesets with ON CONFLICT REPLACE, named".to_owned()).or_default() += 1;
        return Vec::new();
    }
    // What SQLite cannot do with a changeset of its own is no fault.
    let own = wrong(&judge.own_changeset(&states[0], &states[1]));
    if !own.is_empty() {
        *tally.entry("changesets that SQLite cannot apply either".to_owned()).or_default() += 1;
        return Vec::new();
    }
    found
}

fn wrong(answer: &Value) -> Vec<String> {
    let mut found: Vec<String> = answer["error"].as_str().map(str::to_owned).into_iter().collect();
    let conflicts = strings(&answer["conflicts"]);
    if !conflicts.is_empty() {
        found.push(format!("conflicts: {}", conflicts.join(" ")));
    }
    found.extend(strings(&answer["differences"]));
    found
}

/// `sqlite_stat1` has no key, but for sessions: table and index, where no index is an empty blob.
#[test]
fn statistics_are_in_a_changeset() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_owned();
    let world = World { _folder: folder, directory, last: 1, copied: 0 };
    let first = "CREATE TABLE t(a, b); CREATE INDEX i ON t(a); CREATE TABLE u(a);
                 INSERT INTO t VALUES(1, 2), (1, 3); INSERT INTO u VALUES(1); ANALYZE;";
    let second = "BEGIN; INSERT INTO u VALUES(2), (3); DROP INDEX i; ANALYZE; COMMIT;";
    oracle(&["run", text(&world.state(0)), first]);
    oracle(&["run", text(&world.state(1)), &format!("{first} {second}")]);
    let logged =
        format!("PRAGMA journal_mode=WAL; {first} PRAGMA wal_checkpoint(TRUNCATE); {second}");
    let mut writer = Command::new(oracle_program());
    writer.args(["write-and-die", text(&world.database()), &logged]).output().unwrap();
    let said = diff(&world.database(), 0, 1, &["--stat", "--table", "sqlite_stat1", "--json"]);
    let stat: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(stat["tables"][0]["name"], "sqlite_stat1", "{stat}");
    let (mut judge, mut tally) = (Judge::start(), Tally::new());
    for claim in [changeset, changeset_back, patchset] {
        assert_eq!(claim(&world, &mut judge, (0, 1), &mut tally), Vec::<String>::new());
    }
    assert!(tally.is_empty(), "{tally:?}");
}
