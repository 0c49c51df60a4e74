//! Queries that become true or false again in seeded histories: SQLite says of each state what
//! WHERE makes of the value.
//!
//! A few histories here; many with `WALSMITH_BISECTIONS=500`, as for damaged frames.

use fastrand::Rng;

use super::{bisect, turns, wrong_by_halves};
use crate::round_trip::{Tally, World, is_gone, number};
use crate::support::{Oracle, rows};

/// Values that change with the states of a history.
fn values(world: &World, random: &mut Rng) -> Vec<String> {
    let state = random.u32(..=world.last);
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'";
    let listed = |sql: &str| {
        let text = rows(&world.state(state), sql);
        let rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
        rows.collect::<Vec<Vec<serde_json::Value>>>()
    };
    let tables = listed(sql);
    let mut values = vec![format!(
        "(SELECT count(*) FROM sqlite_schema) {} {}",
        random.choice([">", "<"]).unwrap(),
        random.u32(..6)
    )];
    for _ in 0..2 {
        let Some(table) = random.choice(&tables).and_then(|row| row[0].as_str()) else { break };
        let table = format!("\"{}\"", table.replace('"', "\"\""));
        let count = listed(&format!("SELECT count(*) FROM {table}"));
        let count = count.first().map_or(0, |row| row[0].as_u64().unwrap());
        let operator = random.choice([">=", "<", "= 1 + "]).unwrap();
        values.push(format!("(SELECT count(*) FROM {table}) {operator} {count}"));
        values.push(format!("(SELECT * FROM (SELECT * FROM {table} LIMIT 1) WHERE 0)"));
    }
    values
}

#[test]
fn a_query_turns_true_where_sqlite_says_so() {
    let (count, first) = (number("WALSMITH_BISECTIONS", 6), number("WALSMITH_SEED", 1));
    let (mut tally, mut faults) = (Tally::new(), Vec::new());
    let mut oracle = Oracle::of_values();
    for seed in first..first + count {
        let world = World::of_seed(seed);
        let mut random = Rng::with_seed(seed);
        for value in values(&world, &mut random) {
            let truth: Vec<Option<bool>> =
                (0..=world.last).map(|it| oracle.is_true(&world.state(it), &value)).collect();
            let sql = format!("SELECT {value}");
            let every = bisect(&world.database(), &["--every", "--query", &sql]);
            let mut fault = |why: &str| {
                faults.push(format!("seed {seed}: {sql}: {why}: {truth:?}: {every:?}"));
            };
            if every.document.get("error").is_some() {
                fault("there is an answer");
                continue;
            }
            let told = every.document["states"].as_array().unwrap();
            let is_right = |(told, wanted): (&serde_json::Value, &Option<bool>)| {
                let why = told["why"].as_str().unwrap_or_default();
                told["holds"].as_bool() == *wanted || is_gone(why)
            };
            let states = every.states();
            if states.len() != truth.len() || !told.iter().zip(&truth).all(is_right) {
                fault("other states");
                continue;
            }
            if every.changes() != turns(&states) {
                fault("other changes");
                continue;
            }
            *tally.entry("queries".to_owned()).or_default() += 1;
            let halves = bisect(&world.database(), &["--query", &sql]);
            if states.last().unwrap().1.is_none() {
                if halves.exit != 3 {
                    fault("the last state has no answer");
                }
                *tally.entry("not known at the end".to_owned()).or_default() += 1;
                continue;
            }
            if let Some(why) = wrong_by_halves(&halves, &states) {
                fault(&format!("{why}: {halves:?}"));
            }
            *tally.entry(halves.outcome().to_owned()).or_default() += 1;
        }
    }
    for (what, times) in &tally {
        println!("{times:7} {what}");
    }
    faults.truncate(3);
    assert!(faults.is_empty(), "the first of these:\n{:.6000}", faults.join("\n"));
    assert!(count < 6 || tally.get("found") > Some(&0), "{tally:?}");
}
