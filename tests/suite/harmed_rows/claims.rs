//! What `log` and `diff` say of a harmed set.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::Tally;
use super::harm::Harm;
use super::set::Set;
use crate::round_trip::judge::{Judge, strings};
use crate::support::walsmith_command;

/// Longer than any of it takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Said where the file may have what the log does not show.
const NOT_KNOWN: &str = "whether the file has later pages than the log is not known";

/// A harmed set, and the states that it once had.
pub(super) struct Case<'c> {
    pub(super) set: &'c Set,
    pub(super) states: &'c Path,
    pub(super) harm: &'c Harm,
}

/// What walsmith printed, and its exit code.
struct Said {
    args: String,
    document: Option<Value>,
    stdout: Vec<u8>,
    stderr: String,
    code: Option<i32>,
}

impl Said {
    /// The answer; what is wrong where that is neither an answer nor a reason.
    fn answer(&self, case: &Case<'_>, tally: &mut Tally) -> Result<Option<&Value>, String> {
        let told = format!("{}: exit {:?}: {:.300}", self.args, self.code, self.stderr);
        match (self.code, &self.document) {
            (Some(0 | 1 | 5), Some(document)) => {
                // What a checkpoint has passed over depends on commits that nobody knows of.
                let Harm { known, copied, is_hidden_loss, .. } = case.harm;
                let is_open = known < copied || *is_hidden_loss && *copied > 0;
                if is_open && self.stderr.contains(NOT_KNOWN) {
                    *tally.entry("said to be not known".to_owned()).or_default() += 1;
                    return Ok(None);
                }
                Ok(Some(document))
            }
            (Some(3 | 6), _) if self.stderr.contains("x.db") => {
                *tally.entry(format!("refused: {}", self.reason())).or_default() += 1;
                Ok(None)
            }
            _ => Err(told),
        }
    }

    /// Why it was refused, without names and numbers.
    fn reason(&self) -> String {
        let why = self.stderr.rsplit("x.db").next().unwrap_or_default();
        let why: String = why.chars().filter(|it| !it.is_ascii_digit()).take(70).collect();
        why.lines().next().unwrap_or_default().to_owned()
    }
}

impl Case<'_> {
    fn state(&self, number: u64) -> PathBuf {
        self.states.join(format!("{number}.db"))
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = walsmith_command();
        command.arg(args[0]).arg(&self.set.database).args(&args[1..]).timeout(LIMIT);
        let output = command.output().unwrap();
        Said {
            args: args.join(" "),
            document: serde_json::from_slice(&output.stdout).ok(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// What is false of all that is said.
    pub(super) fn faults(
        &self,
        judge: &mut Judge,
        random: &mut Rng,
        tally: &mut Tally,
    ) -> Vec<String> {
        let mut found = self.log(judge, tally);
        let last = self.harm.known;
        if last == 0 {
            return found;
        }
        let mut pairs = vec![(0, last)];
        for _ in 0..2 {
            let from = random.u32(..last);
            pairs.push((from, random.u32(from + 1..=last)));
        }
        pairs.dedup();
        for (from, to) in pairs {
            found.extend(self.diff(from, to, judge, tally));
        }
        found
    }

    fn log(&self, judge: &mut Judge, tally: &mut Tally) -> Vec<String> {
        let said = self.run(&["log", "--patch", "--json"]);
        let document = match said.answer(self, tally) {
            Ok(Some(document)) => document,
            Ok(None) => return Vec::new(),
            Err(why) => return vec![why],
        };
        let mut found = Vec::new();
        let entries = document["transactions"].as_array().unwrap();
        if entries.len() != self.harm.known as usize {
            found.push(format!("log: {} entries, and not {}", entries.len(), self.harm.known));
            return found;
        }
        let is_partial = entries.iter().any(|it| it["partial"] == true);
        if said.code == Some(0) && (is_partial || self.harm.is_loss) {
            found.push(format!("log: exit 0, partial {is_partial}, loss {}", self.harm.is_loss));
        }
        for (number, entry) in (1..).zip(entries) {
            *tally.entry("entries".to_owned()).or_default() += 1;
            let is_partial = entry["partial"] == true;
            if is_partial {
                *tally.entry("entries that are partial".to_owned()).or_default() += 1;
            }
            let tables = entry["tables"].as_array().unwrap();
            let known = tables.iter().filter(|it| !it["inserted"].is_null());
            let known: Vec<&str> = known.map(|it| it["name"].as_str().unwrap()).collect();
            let claim = json!({
                "rows": entry["rows"],
                "whole": is_partial.then_some(known),
                "only": null,
                "schema_changes": (!is_partial).then_some(&entry["schema_changes"]),
            });
            let (from, to) = (self.state(number - 1), self.state(number));
            let answer = judge.events(&from, &to, &claim);
            let mut wrong = strings(&answer["faults"]);
            wrong.extend(miscounted(tables, entry["rows"].as_array().unwrap()));
            let partial = if is_partial { ", partial" } else { "" };
            found.extend(wrong.into_iter().map(|it| format!("log: {number}{partial}: {it}")));
        }
        found
    }

    fn diff(&self, from: u32, to: u32, judge: &mut Judge, tally: &mut Tally) -> Vec<String> {
        *tally.entry("pairs".to_owned()).or_default() += 1;
        let range = format!("{from}..{to}");
        let said = self.run(&["diff", &range, "--json"]);
        let document = match said.answer(self, tally) {
            Ok(Some(document)) => document,
            Ok(None) => return Vec::new(),
            Err(why) => return vec![why],
        };
        *tally.entry("pairs that are answered".to_owned()).or_default() += 1;
        let states = [self.state(from.into()), self.state(to.into())];
        let tables = document["tables"].as_array().unwrap();
        let claim = json!({
            "rows": document["rows"],
            "whole": null,
            "only": null,
            "schema_changes": document["schema_changes"],
        });
        let answer = judge.events(&states[0], &states[1], &claim);
        let mut found = strings(&answer["faults"]);
        found.extend(miscounted(tables, document["rows"].as_array().unwrap()));
        if said.code == Some(0) && (answer["same"] != true || self.harm.is_loss) {
            found.push("exit 0".to_owned());
        }
        let stat = self.run(&["diff", &range, "--stat", "--json"]);
        let counted = stat.document.as_ref().map(|it| &it["tables"]);
        if (stat.code, counted) != (said.code, Some(&document["tables"])) {
            found.push(format!("--stat: exit {:?}: {:?}", stat.code, stat.stderr));
        }
        if let Some(table) = tables.first() {
            let name = table["name"].as_str().unwrap();
            let one = self.run(&["diff", &range, "--json", &format!("--table={name}")]);
            let rows = document["rows"].as_array().unwrap().iter();
            let wanted: Vec<&Value> = rows.filter(|row| row["table"] == table["name"]).collect();
            let rows = one.document.as_ref().and_then(|it| it["rows"].as_array());
            if rows.is_none_or(|rows| rows.iter().collect::<Vec<_>>() != wanted) {
                found.push(format!("--table {name}: exit {:?}: {:?}", one.code, one.stderr));
            }
        }
        found.extend(self.script(&range, &states, judge, tally));
        found.into_iter().map(|it| format!("diff {range}: {it}")).collect()
    }

    /// A script that leaves nothing out makes the one state of the other.
    fn script(
        &self,
        range: &str,
        [from, to]: &[PathBuf; 2],
        judge: &mut Judge,
        tally: &mut Tally,
    ) -> Vec<String> {
        let said = self.run(&["diff", range, "--sql"]);
        match said.code {
            Some(0 | 1) => {}
            Some(5) => {
                *tally.entry("scripts that leave something out".to_owned()).or_default() += 1;
                return Vec::new();
            }
            // More pages are needed than to compare.
            Some(3 | 6) if said.stderr.contains("x.db") => {
                *tally.entry("scripts that are refused".to_owned()).or_default() += 1;
                return Vec::new();
            }
            _ => return vec![format!("--sql: exit {:?}: {}", said.code, said.stderr)],
        }
        *tally.entry("scripts".to_owned()).or_default() += 1;
        let script = self.set.database.with_extension("sql");
        fs::write(&script, &said.stdout).unwrap();
        let answer = judge.script([from, to, &script], false, &[]);
        let found = [strings(&answer["errors"]), strings(&answer["differences"])].concat();
        found.into_iter().map(|it| format!("--sql: {it}")).collect()
    }
}

/// Tables whose counts are not those of the rows.
fn miscounted(tables: &[Value], rows: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for table in tables.iter().filter(|it| !it["inserted"].is_null()) {
        for (op, count) in [("insert", "inserted"), ("update", "updated"), ("delete", "deleted")] {
            let is_it = |row: &&Value| row["table"] == table["name"] && row["op"] == op;
            let rows = rows.iter().filter(is_it).count() as u64;
            // Two tables of one name: the old one and the new one.
            let twice = tables.iter().filter(|it| it["name"] == table["name"]).count() > 1;
            if table[count] != rows && !twice {
                found.push(format!("{}: {} {count}, and {rows} rows", table["name"], table[count]));
            }
        }
    }
    found
}
