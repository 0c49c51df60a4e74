//! Changesets and patchsets, applied by SQLite.

use serde_json::Value;

use super::judge::{Judge, strings};
use super::{Tally, World, diff, is_gone};

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
