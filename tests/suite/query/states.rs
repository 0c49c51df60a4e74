//! States of seeded histories, asked with SQL: the rows are those of SQLite on its own backup of
//! each state.
//!
//! A few histories here; many with `WALSMITH_QUERIES=2000 cargo test --release --test suite
//! states_of_seeded_histories_answer -- --nocapture`. `WALSMITH_SEED` chooses others.

use fastrand::Rng;
use serde_json::Value;

use super::{Said, query};
use crate::round_trip::judge::Judge;
use crate::round_trip::{Tally, World, is_gone, number};

/// States of each history.
const STATES: usize = 5;

/// At most this share of the states may be unknown where no checkpoint was, in percent, as of the
/// pairs of `diff`: a page of the file that equals a frame may have been copied.
const UNKNOWN_PERCENT: u32 = 15;

/// Five states of a history, the first and the last among them, each with another one.
fn states(world: &World, random: &mut Rng) -> Vec<(u32, u32)> {
    let mut states = vec![0, world.last];
    while states.len() < STATES.min(world.last as usize + 1) {
        let state = random.u32(..=world.last);
        if !states.contains(&state) {
            states.push(state);
        }
    }
    states.into_iter().map(|at| (at, random.u32(..=world.last))).collect()
}

/// A world that is asked, with what is accepted.
#[derive(Clone, Copy)]
struct Asked<'w> {
    world: &'w World,
    accept: &'w [&'w str],
}

impl Asked<'_> {
    fn ask(&self, (at, also): (u32, u32), sql: &str) -> Said {
        let (at, also) = (at.to_string(), format!("other={also}"));
        let args = [&["--json", "--at", &at, "--also", &also, sql], self.accept].concat();
        query(&self.world.database(), &args)
    }
}

/// What SQLite answers otherwise; `None` where there is no answer.
fn differences(
    asked: Asked<'_>,
    (at, also): (u32, u32),
    judge: &mut Judge,
    tally: &mut Tally,
) -> Option<Vec<String>> {
    let world = asked.world;
    let answers = judge.answers(&world.state(at), &world.state(also));
    if let Some(refusal) = answers.get("refusal") {
        *tally.entry("pairs that SQLite does not attach".to_owned()).or_default() += 1;
        let said = asked.ask((at, also), "SELECT 1");
        if is_gone(&said.stderr) {
            return None;
        }
        let is_same = said.stderr.contains(refusal.as_str().unwrap());
        let is_refused = said.exit == 3 && said.error_kind() == "unsupported" && is_same;
        return Some(if is_refused { vec![] } else { vec![format!("{refusal}: {said:?}")] });
    }
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    for answer in answers.as_array().unwrap() {
        let sql = answer["sql"].as_str().unwrap();
        *tally.entry("statements".to_owned()).or_default() += 1;
        match answer.get("error") {
            None => wanted.push((sql, &answer["rows"])),
            Some(error) => {
                *tally.entry("statements that SQLite refuses".to_owned()).or_default() += 1;
                let said = asked.ask((at, also), sql);
                if is_gone(&said.stderr) {
                    return None;
                }
                if said.exit != 3 {
                    found.push(format!("{sql}: SQLite says {error}: {said:?}"));
                }
            }
        }
    }
    let all: Vec<&str> = wanted.iter().map(|(sql, _)| *sql).collect();
    let said = asked.ask((at, also), &all.join(";\n"));
    if is_gone(&said.stderr) {
        return None;
    }
    // Of pages that are likely as they were, the answer is not known to be complete.
    if said.exit != 0 && (asked.accept.is_empty() || said.exit != 5) {
        found.push(format!("{said:?}"));
        return Some(found);
    }
    let document = said.json();
    let results = document["results"].as_array().unwrap();
    if results.len() != wanted.len() {
        found.push(format!("{} results of {}", results.len(), wanted.len()));
    }
    for (result, (sql, rows)) in results.iter().zip(wanted) {
        *tally.entry("rows".to_owned()).or_default() +=
            u32::try_from(rows.as_array().unwrap().len()).unwrap();
        if &result["rows"] != rows {
            let cut = |rows: &Value| rows.to_string().chars().take(500).collect::<String>();
            found.push(format!("{sql}:\n{}\nand not\n{}", cut(&result["rows"]), cut(rows)));
        }
    }
    Some(found)
}

#[test]
fn states_of_seeded_histories_answer_as_sqlite_does_on_its_backups() {
    let (count, first) = (number("WALSMITH_QUERIES", 12), number("WALSMITH_SEED", 1));
    let (mut tally, mut judge, mut told) = (Tally::new(), Judge::start(), Vec::new());
    for seed in first..first + count {
        let world = World::of_seed(seed);
        *tally.entry("histories".to_owned()).or_default() += 1;
        for pair in states(&world, &mut Rng::with_seed(seed)) {
            *tally.entry("states".to_owned()).or_default() += 1;
            let mut of =
                |accept| differences(Asked { world: &world, accept }, pair, &mut judge, &mut tally);
            let known = of(&[]);
            // No power was lost here: what is likely is true.
            let likely = if known.is_none() { of(&["--accept-likely"]) } else { None };
            let is_copied = pair.0.min(pair.1) < world.copied;
            let what = match (&known, &likely) {
                (Some(_), _) => "states that are known",
                (None, Some(_)) => "states that are answered with --accept-likely alone",
                (None, None) if is_copied => "states that are gone",
                (None, None) => "states not known",
            };
            *tally.entry(what.to_owned()).or_default() += 1;
            let Some(found) = known.or(likely) else { continue };
            for what in found {
                *tally.entry("differences".to_owned()).or_default() += 1;
                let (at, also) = pair;
                let text = format!("seed {seed}, --at {at} --also other={also}: {what}");
                println!("{text}\n");
                told.push(text);
            }
        }
    }
    for (what, times) in &tally {
        println!("{times:9} {what}");
    }
    let of = |what: &str| tally.get(what).copied().unwrap_or_default();
    if count >= 100 && of("states not known") * 100 > of("states") * UNKNOWN_PERCENT {
        told.push("too many states are not known".to_owned());
    }
    assert!(of("rows") > 0);
    told.truncate(3);
    assert!(told.is_empty(), "SQLite answers otherwise:\n{}", told.join("\n"));
}
