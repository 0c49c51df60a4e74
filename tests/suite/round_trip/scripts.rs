//! Scripts of SQL, run on one state to make the other.

use std::fs;

use super::judge::{Judge, strings};
use super::{Tally, UNKNOWN, World, diff, is_gone};

/// Why a script with `--where full` is refused.
const ANEW: &str = "would be written anew";

/// The script makes `to` of `from`.
pub(super) fn forward(
    world: &World,
    judge: &mut Judge,
    pair: (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    run(world, judge, pair, false, tally)
}

/// The inverted script makes `from` of `to`.
pub(super) fn back(
    world: &World,
    judge: &mut Judge,
    pair: (u32, u32),
    tally: &mut Tally,
) -> Vec<String> {
    run(world, judge, pair, true, tally)
}

fn run(
    world: &World,
    judge: &mut Judge,
    (from, to): (u32, u32),
    invert: bool,
    tally: &mut Tally,
) -> Vec<String> {
    let (mut args, mut states) = (vec!["--sql"], [world.state(from), world.state(to)]);
    if invert {
        args.push("--invert");
        states.reverse();
    }
    if (from + to) % 5 == 0 {
        args.extend(["--where", "full"]);
    }
    let mut said = diff(&world.database(), from, to, &args);
    if said.stderr.contains(ANEW) {
        // It asks for no values of a table that is written as a whole.
        *tally.entry("--where full: a table is written anew".to_owned()).or_default() += 1;
        args.truncate(args.len() - 2);
        said = diff(&world.database(), from, to, &args);
    }
    if is_gone(&said.stderr) {
        // The way back needs more pages.
        *tally.entry(UNKNOWN.to_owned()).or_default() += 1;
        return Vec::new();
    }
    if let Some(refusal) = said.refusal() {
        return vec![refusal];
    }
    let script = world.directory.join("script.sql");
    fs::write(&script, &said.stdout).unwrap();
    let aside = left_out(&String::from_utf8_lossy(&said.stdout), tally);
    // Shells since 3.42 and those before; a kept seed tries the same again.
    let defensive = from % 2 == 0;
    let answer = judge.script([&states[0], &states[1], &script], defensive, &aside);
    let mut found = strings(&answer["errors"]);
    found.extend(strings(&answer["differences"]));
    let shell = if defensive { "defensive shell" } else { "shell" };
    found.iter_mut().for_each(|it| *it = format!("{shell}: {it}"));
    let wanted = match (aside.is_empty(), answer["same"] == true) {
        _ if said.is_likely() => 5,
        (false, _) => 5,
        (true, true) => 0,
        (true, false) => 1,
    };
    // VACUUM gives rows other row ids, also where columns have all three names of them, so that SQL
    // cannot see it.
    let counts = judge.counts(&states[0], &states[1]);
    let mut counts = counts.as_array().unwrap().iter();
    let is_hidden = wanted == 0 && said.code == Some(1) && counts.any(|it| it["hidden"] == true);
    if is_hidden {
        *tally.entry("row ids alone differ, and SQL cannot see them".to_owned()).or_default() += 1;
    } else if said.code != Some(wanted) {
        found.push(format!("exit {:?}, and {wanted} is right", said.code));
    }
    found
}

/// The tables that a script says it leaves out.
fn left_out(script: &str, tally: &mut Tally) -> Vec<String> {
    let named = script.lines().filter_map(|line| line.strip_prefix("-- left out: "));
    let mut names = Vec::new();
    for line in named {
        let (name, why) = line.split_once(": ").unwrap();
        let kind = if name.starts_with("sqlite_") { name } else { "a table" };
        *tally.entry(format!("exit 5: {kind}: {why}")).or_default() += 1;
        names.push(unescaped(name));
    }
    names
}

/// A name that `escape_debug` wrote.
fn unescaped(text: &str) -> String {
    let text = text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\'", "'");
    text.replace("\\\\", "\\")
}
