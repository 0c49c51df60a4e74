//! `bisect`: what it finds, put to SQLite state by state.

mod frames;
mod queries;
mod traps;

use std::path::Path;

use serde_json::Value;

use crate::support::{text, walsmith_command};

/// What `bisect` printed, and its exit code.
struct Said {
    document: Value,
    stderr: String,
    exit: i32,
}

fn bisect(database: &Path, args: &[&str]) -> Said {
    let mut command = walsmith_command();
    let output = command.args(["--json", "bisect", text(database)]).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|error| panic!("{args:?}: {error}: {stderr}"));
    Said { document, stderr, exit: output.status.code().unwrap() }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}: {}{}", self.exit, self.stderr, self.document)
    }
}

impl Said {
    /// What each state that was looked at answered.
    fn states(&self) -> Vec<(u32, Option<bool>)> {
        let states = self.document["states"].as_array().unwrap().iter();
        states.map(|it| (number(&it["txn"]), it["holds"].as_bool())).collect()
    }

    /// Every change: the states before and after it, and whether the later one has it.
    fn changes(&self) -> Vec<(u32, u32, bool)> {
        let changes = self.document["changes"].as_array().unwrap().iter();
        let of = |it: &Value, end: &str| number(&it[end]["txn"]);
        changes.map(|it| (of(it, "from"), of(it, "to"), it["holds"].as_bool().unwrap())).collect()
    }

    fn outcome(&self) -> &str {
        self.document["outcome"].as_str().unwrap_or_default()
    }
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// The changes between states of which something is known.
fn turns(states: &[(u32, Option<bool>)]) -> Vec<(u32, u32, bool)> {
    let known: Vec<(u32, bool)> =
        states.iter().filter_map(|(state, holds)| Some((*state, (*holds)?))).collect();
    let pairs = known.windows(2).filter(|pair| pair[0].1 != pair[1].1);
    pairs.map(|pair| (pair[0].0, pair[1].0, pair[1].1)).collect()
}

/// What is wrong with a search by halves, where every state answers as in `truth`.
fn wrong_by_halves(said: &Said, truth: &[(u32, Option<bool>)]) -> Option<String> {
    if said.document.get("error").is_some() {
        return Some("there is an answer".to_owned());
    }
    let states = said.states();
    if let Some(other) = states.iter().find(|state| !truth.contains(state)) {
        return Some(format!("{other:?} is not so"));
    }
    let all = turns(truth);
    // It has looked at all, since files and log seem not to belong together.
    if said.document["every"] == true {
        return (said.changes() != all).then(|| format!("the changes are {all:?}"));
    }
    let found: Vec<_> = said.changes().into_iter().filter(|change| change.2).collect();
    let comes: Vec<_> = all.iter().copied().filter(|turn| turn.2).collect();
    let is_one = all.len() <= 1;
    let ends = |place: Option<&(u32, Option<bool>)>| place.and_then(|it| it.1);
    let outcome = match (found.first(), states.iter().find_map(|it| it.1)) {
        (Some((from, to, _)), _) if from + 1 == *to => "found",
        (Some(_), _) => "range",
        (None, Some(true)) => "before",
        (None, Some(false)) => "none",
        (None, None) => return Some("nothing is known".to_owned()),
    };
    if said.outcome() != outcome {
        return Some(format!("{outcome} it is"));
    }
    let exit = match outcome {
        "before" if states.first().is_some_and(|it| it.1.is_none()) => 5,
        "found" | "before" => 1,
        "range" => 5,
        _ => 0,
    };
    if said.exit != exit {
        return Some(format!("the exit code should be {exit}"));
    }
    if found.iter().any(|turn| !comes.contains(turn)) {
        return Some(format!("the changes are {all:?}"));
    }
    // Where there is one change, and what is before it can be looked at, it is found.
    let begins = ends(truth.first()).is_some();
    if is_one && begins && found != comes {
        return Some(format!("the change is {all:?}"));
    }
    None
}
