//! Makes a history small that fails.

use std::fs;

use serde_json::Value;

use super::judge::Judge;
use super::{CLAIMS, Fault, Tally, World, counts};
use crate::support::{oracle, text};

/// Most histories that are tried.
const TRIES: u32 = 400;

struct Search<'j> {
    judge: &'j mut Judge,
    wanted: Fault,
    tries: u32,
}

/// The smallest history found that has a fault of the same class, as SQL with what is wrong.
pub(super) fn smallest(world: &World, judge: &mut Judge, fault: &Fault) -> String {
    let read = fs::read_to_string(world.directory.join("history.json")).unwrap();
    let mut history: Value = serde_json::from_str(&read).unwrap();
    let mut search = Search { judge, wanted: fault.clone(), tries: 0 };
    let Some(mut found) = search.fault(&history) else {
        return "\n  (not seen again)".to_owned();
    };
    for settings in ["PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0", ""] {
        let mut simpler = history.clone();
        if settings.is_empty() {
            simpler["reserved"] = 0.into();
        } else {
            simpler["settings"] = settings.into();
        }
        search.keep(simpler, &mut history, &mut found);
    }
    loop {
        let before = history.to_string().len();
        search.fewer(&mut history, &mut found, None);
        let transactions = history["transactions"].as_array().unwrap().len();
        for number in 0..transactions {
            search.fewer(&mut history, &mut found, Some(number));
        }
        if history.to_string().len() == before || search.tries > TRIES {
            break;
        }
    }
    let mut lines = format!("\n  {}..{}: {}", found.from, found.to, found.what);
    lines += &format!("\n  {} reserved; {}", history["reserved"], history["settings"]);
    let in_file = history["first_in_file"] == true;
    for (number, steps) in history["transactions"].as_array().unwrap().iter().enumerate() {
        let place = if number == 0 && in_file { " (in the file)" } else { "" };
        lines += &format!("\n  transaction{place}:");
        for step in steps.as_array().unwrap() {
            lines += &format!("\n    {:.300};", step.as_str().unwrap());
        }
    }
    lines
}

impl Search<'_> {
    /// The first fault of the class that a history has.
    fn fault(&mut self, history: &Value) -> Option<Fault> {
        self.tries += 1;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("history.json"), history.to_string()).unwrap();
        oracle(&["history-again", text(folder.path())]);
        if !folder.path().join("0.db").exists() {
            return None;
        }
        let world = World::played(folder);
        let (last, kind, class) = (world.last, self.wanted.kind, self.wanted.class());
        if kind == "log" {
            let wrong = counts::log(&world, self.judge, &mut Tally::new());
            let fault = |what| Fault { kind, from: 0, to: last, what };
            return wrong.into_iter().map(fault).find(|it| it.class() == class);
        }
        let all = (0..last).map(|from| (from, last)).chain((1..last).map(|to| (to - 1, to)));
        let all: Vec<(u32, u32)> = all.collect();
        let (_, claim) = CLAIMS.into_iter().find(|it| it.0 == kind).unwrap();
        all.into_iter().find_map(|(from, to)| {
            let found = claim(&world, self.judge, (from, to), &mut Tally::new());
            let mut faults = found.into_iter().map(|what| Fault { kind, from, to, what });
            faults.find(|it| it.class() == class)
        })
    }

    /// Takes the simpler history if it fails, too.
    fn keep(&mut self, simpler: Value, history: &mut Value, found: &mut Fault) -> bool {
        if self.tries > TRIES {
            return false;
        }
        let Some(fault) = self.fault(&simpler) else { return false };
        (*history, *found) = (simpler, fault);
        true
    }

    /// Leaves out transactions, or the steps of one, in ever smaller parts.
    fn fewer(&mut self, history: &mut Value, found: &mut Fault, number: Option<usize>) {
        let length = |history: &Value| {
            let transactions = &history["transactions"];
            let list = number.map_or(transactions, |number| &transactions[number]);
            list.as_array().map_or(0, Vec::len)
        };
        let mut part = length(history).div_ceil(2);
        while part > 0 {
            let mut at = 0;
            while at < length(history) {
                let mut simpler = history.clone();
                let transactions = &mut simpler["transactions"];
                let list = match number {
                    Some(number) => &mut transactions[number],
                    None => transactions,
                };
                let list = list.as_array_mut().unwrap();
                list.drain(at..(at + part).min(list.len()));
                if !self.keep(simpler, history, found) {
                    at += part;
                }
            }
            part /= 2;
        }
    }
}
