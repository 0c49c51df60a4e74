//! The report of `bisect`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::Serialize;

use crate::access::failure::Exit;
use crate::access::states::StateAt;
use crate::history::bisect::Asked;
use crate::output::quantity::counted;
use crate::output::text::escaped;
use crate::output::{FileName, Paint, Report, Tone, key_values, wrapped};

use super::asking::Look;
use super::change::Change;

/// States without an answer that are named.
const NAMED_UNKNOWN: usize = 5;

/// What was searched for, and where.
#[derive(Debug, Serialize)]
pub(super) struct Searched {
    /// The database.
    pub(super) database: Option<FileName>,
    /// Its log.
    pub(super) wal: FileName,
    /// The salts of the log that the transactions are of.
    pub(super) salts: Option<[u32; 2]>,
    /// The first state of the range.
    pub(super) from: StateAt,
    /// The last one.
    pub(super) to: StateAt,
    /// The SQL; `None` where the structure was checked.
    pub(super) query: Option<String>,
    /// Every state was looked at.
    pub(super) every: bool,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The transaction.
    Found,
    /// Several transactions, one of which it was.
    Range,
    /// The earliest state that could be looked at is unsound, or the query is true of it.
    Before,
    /// No state that was looked at is unsound, or has the query true.
    None,
    /// No state could be looked at.
    Unknown,
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct BisectReport {
    #[serde(flatten)]
    searched: Searched,
    outcome: Outcome,
    /// Every change that was found, the first one to be told first.
    changes: Vec<Change>,
    /// How many states were looked at.
    looked_at: usize,
    /// Of how many of these it is not known.
    not_known: usize,
    /// Of all states of the range it is known.
    complete: bool,
    /// All of them were looked at.
    #[serde(skip)]
    all_asked: bool,
    /// What they answered.
    states: Vec<Look>,
    /// What a sound structure says nothing of.
    not_checked: BTreeSet<String>,
    #[serde(skip)]
    pub(super) log_is_damaged: bool,
    #[serde(skip)]
    earliest: Option<(u32, bool)>,
    #[serde(skip)]
    last: Option<(u32, bool)>,
}

/// How a state is named in a sentence.
fn named(txn: u32) -> String {
    match txn {
        0 => "before the log".to_owned(),
        txn => format!("after transaction {txn}"),
    }
}

impl BisectReport {
    pub(super) fn of(
        searched: Searched,
        asked: &Asked,
        looks: BTreeMap<u32, Look>,
        changes: Vec<Change>,
        log_is_damaged: bool,
    ) -> Self {
        let states: Vec<Look> = looks.into_values().collect();
        let first = changes.iter().find(|change| change.holds);
        let outcome = match (first, asked.earliest()) {
            (Some(change), _) if change.txn.is_some() => Outcome::Found,
            (Some(_), _) => Outcome::Range,
            (None, Some((_, true))) => Outcome::Before,
            (None, Some((_, false))) => Outcome::None,
            (None, None) => Outcome::Unknown,
        };
        let not_checked = states.iter().flat_map(|look| look.not_checked.iter().cloned());
        let not_known = states.iter().filter(|look| look.holds.is_none()).count();
        Self {
            outcome,
            changes,
            looked_at: states.len(),
            not_known,
            complete: asked.is_complete() && not_known == 0,
            all_asked: asked.is_complete(),
            not_checked: not_checked.collect(),
            log_is_damaged,
            earliest: asked.earliest(),
            last: asked.last(),
            searched,
            states,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self.outcome {
            Outcome::Range | Outcome::Unknown => Exit::Incomplete,
            // What comes or goes in a state that is not known is not told.
            _ if self.searched.every && self.not_known > 0 => Exit::Incomplete,
            // An earlier state may have been the first.
            Outcome::Before
                if self.earliest.map(|(txn, _)| txn) != Some(self.searched.from.txn) =>
            {
                Exit::Incomplete
            }
            Outcome::Found | Outcome::Before => Exit::Found,
            Outcome::None => Exit::Done,
        }
    }

    /// What it is that a state has, or has not.
    fn holds(&self, holds: bool) -> &'static str {
        match (&self.searched.query, holds) {
            (None, true) => "unsound",
            (None, false) => "sound",
            (Some(_), true) => "true",
            (Some(_), false) => "not true",
        }
    }

    fn subject(&self) -> &'static str {
        if self.searched.query.is_some() { "the query" } else { "the structure" }
    }

    fn summary(&self) -> String {
        let subject = self.subject();
        let first = self.changes.iter().find(|change| change.holds);
        let (yes, no) = (self.holds(true), self.holds(false));
        match (first, self.earliest, self.last) {
            (Some(change), _, _) => self.made(change),
            (None, Some((earliest, true)), Some((_, true))) => {
                format!("{} is {yes} already {}.", capital(subject), named(earliest))
            }
            (None, Some((earliest, true)), Some((last, false))) => format!(
                "{} is {yes} {}, and {no} {}.",
                capital(subject),
                named(earliest),
                named(last)
            ),
            (None, Some((earliest, false)), Some((last, _))) => self.nowhere(earliest, last),
            (None, _, _) => format!("Of no state it is known whether {subject} is {yes}."),
        }
    }

    /// Which transaction made a change.
    fn made(&self, change: &Change) -> String {
        let what = match self.searched.query {
            Some(_) => "after which the query is",
            None => "that left the structure",
        };
        let state = self.holds(change.holds);
        match change.txn {
            Some(txn) if self.searched.query.is_none() => {
                format!("Transaction {txn} left the structure {state}.")
            }
            Some(txn) => format!("After transaction {txn}, the query is {state}."),
            None => {
                let (first, last) = (change.from.txn + 1, change.to.txn);
                let rest = match change.is_settled {
                    true => "states between them could not be looked at",
                    false => "states between them were not looked at",
                };
                format!("One of transactions {first} to {last} is the one {what} {state}: {rest}.")
            }
        }
    }

    /// No state has it. The ends say nothing of what is between them.
    fn nowhere(&self, earliest: u32, last: u32) -> String {
        let (subject, no) = (self.subject(), self.holds(false));
        let did = match self.searched.query {
            None => "No transaction left the structure unsound",
            Some(_) => "After no transaction the query is true",
        };
        if self.all_asked {
            return match self.not_known {
                0 if self.looked_at == 1 => {
                    format!("{} is {no} {}.", capital(subject), named(last))
                }
                0 => format!("{did}: it is {no} in all {}.", states(self.looked_at)),
                unknown => format!(
                    "{} is {no} in {}; {unknown} could not be looked at.",
                    capital(subject),
                    states(self.looked_at - unknown)
                ),
            };
        }
        let is = match earliest == last {
            true => named(last),
            false => format!("{} and {}", named(earliest), named(last)),
        };
        format!(
            "{} is {no} {is}. What it was between them was not looked at: --every looks at every \
             state.",
            capital(subject)
        )
    }

    fn human_change(
        &self,
        change: &Change,
        to: &mut dyn Write,
        paint: &Paint,
        width: Option<u16>,
    ) -> io::Result<()> {
        for problem in &change.problems {
            let line = paint.tone(Tone::Bad, &escaped(problem));
            writeln!(to, "{}", wrapped(&line, 2, 4, width))?;
        }
        let told = change.problems.len() as u64;
        if let Some(more) = change.problem_count.filter(|count| *count > told) {
            writeln!(to, "  and {} more", more - told)?;
        }
        let frames = match change.frames {
            1 => format!("{}", change.first_frame),
            _ => format!("{} to {}", change.first_frame, change.last_frame),
        };
        let pages = counted(change.pages as u64, "page");
        let tables = match &change.tables {
            None => "not known".to_owned(),
            Some(tables) => {
                let names: Vec<_> = tables.iter().map(|name| escaped(name)).collect();
                names.join(", ")
            }
        };
        let mut facts = vec![
            ("frames", format!("{frames} ({pages})")),
            ("tables", tables),
            ("what it changed", change.diff.clone()),
        ];
        if let Some(rewind) = &change.rewind {
            facts.push(("to go back", rewind.clone()));
        }
        write!(to, "{}", key_values(&facts, width))
    }
}

fn capital(subject: &str) -> String {
    let mut letters = subject.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

fn states(count: usize) -> String {
    counted(count as u64, "state")
}

impl Report for BisectReport {
    const COMMAND: &'static str = "bisect";

    fn needs_attention(&self) -> bool {
        self.exit() != Exit::Done
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let first = self.changes.iter().position(|change| change.holds);
        writeln!(to, "{}", wrapped(&self.summary(), 0, 2, width))?;
        if let Some(change) = first.and_then(|place| self.changes.get(place)) {
            self.human_change(change, to, paint, width)?;
        }
        for (place, change) in self.changes.iter().enumerate() {
            // The earlier ones say that it was so before, too.
            if self.searched.every && Some(place) != first {
                writeln!(to, "{}", wrapped(&self.made(change), 0, 2, width))?;
                self.human_change(change, to, paint, width)?;
            }
        }
        let unknown: Vec<&Look> = self.states.iter().filter(|look| look.holds.is_none()).collect();
        for look in unknown.iter().take(NAMED_UNKNOWN) {
            let why = look.why.as_deref().unwrap_or_default();
            let sentence = format!("Not known {}: {}.", named(look.at.txn), escaped(why));
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        if let Some(more) = unknown.len().checked_sub(NAMED_UNKNOWN).filter(|more| *more > 0) {
            writeln!(to, "Not known of {more} more.")?;
        }
        let all = self.searched.to.txn - self.searched.from.txn + 1;
        let not_known = match self.not_known {
            0 => String::new(),
            count => format!(", and of {count} it is not known"),
        };
        let of = format!("{} of {} looked at{not_known}.", self.looked_at, states(all as usize));
        writeln!(to, "{}", wrapped(&of, 0, 2, width))?;
        if !self.not_checked.is_empty() {
            let list: Vec<_> = self.not_checked.iter().map(|it| escaped(it)).collect();
            let sentence = format!("Not looked at in them: {}.", list.join("; "));
            writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
        }
        Ok(())
    }
}
