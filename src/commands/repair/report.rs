//! What `repair` reports: the plan, the states that can be recovered, and what became of them.

use std::io::{self, Write};

use serde::Serialize;

use crate::database::check::Health;
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rails::Accepted;
use crate::format::Pgno;
use crate::history::standing::newer::FileAge;
use crate::history::standing::{self, Pairing};
use crate::log::Verdict;
use crate::output::quantity::{counted, grouped};
use crate::output::text::{argument, command, escaped, new_name};
use crate::output::{FileName, Paint, Report, Tone, wrapped};
use crate::repair::plan::choice::{Choice, TableLoss};
use crate::repair::plan::{Action, CandidateKind, Proof, Step};

/// The plan, and what became of it.
#[derive(Debug, Serialize)]
pub struct RepairReport {
    /// The database.
    pub database: Option<FileName>,
    /// The log; `None` without one.
    pub wal: Option<FileName>,
    /// Its verdict.
    pub verdict: Verdict,
    /// The steps.
    pub plan: Vec<Step>,
    /// Every step is proven by checksums, or by evidence under the assumption that the damage of a
    /// dropped frame is confined to its image, and the result is sound. `None` where nobody can
    /// know: a step is only likely, a rollback journal put pages back (its sums are over one byte
    /// of 200) or has a header of zeros, pages come from frames that SQLite left without a
    /// checksum, or the result is an empty database.
    pub lossless: Option<bool>,
    /// Whether the database file has pages that came after the log.
    pub file_age: FileAge,
    /// The pages are encrypted.
    #[serde(skip)]
    pub is_encrypted: bool,
    /// A step is only likely.
    pub likely: bool,
    /// There are so many damaged frames that not all of them were looked at.
    pub search_cut_short: bool,
    /// The result has no page: an empty database.
    pub empty_result: bool,
    /// Chance that a one-word correction of this plan fits without being true.
    pub lossless_error_bound: Option<f64>,
    /// States that a plan with loss could give, the newest first; one of them is chosen.
    pub candidates: Vec<Choice>,
    /// What is lost in the chosen state; `None` without loss.
    pub lost: Option<Loss>,
    /// What the structure check says of the result.
    pub health: Option<HealthReport>,
    /// Whether log and database belong together; `None` when one of them holds nothing whole.
    pub pairing: Option<Pairing>,
    /// Transactions of the log that SQLite sees without a repair.
    pub transactions_before: u32,
    /// Transactions of the log that the result has.
    pub transactions_after: u32,
    /// The result was written.
    pub applied: bool,
    /// Where, or where it would be.
    pub output: Option<FileName>,
    /// The undo set; `None` when nothing was overwritten.
    pub undo: Option<FileName>,
    /// What does not fit in the result, and cannot be set right.
    pub findings: Vec<Finding>,
    /// Dangers that were taken on.
    pub accepted: Vec<Accepted>,
    /// The state that was asked for by its number.
    #[serde(skip)]
    pub choose: Option<usize>,
    /// The files that were named by options, as they are typed again.
    #[serde(skip)]
    pub given: String,
}

/// What a plan with loss gives up.
#[derive(Debug, Serialize)]
pub struct Loss {
    /// Rows by table that can be read after the damage, and are given up.
    pub rows_lost_by_table: Vec<TableLoss>,
    /// No other rows are lost: every page of the newest state can be read.
    pub rows_are_exact: bool,
    /// Pages of which an older copy is taken, and whose they are.
    pub pages: Vec<PageLoss>,
}

/// A page of which the newest image cannot be recovered.
#[derive(Debug, Serialize)]
pub struct PageLoss {
    /// The page.
    pub page: Pgno,
    /// The table or index that it belongs to; `None` where that is not known.
    pub owner: Option<String>,
}

/// The result of a structure check.
#[derive(Debug, Serialize)]
pub struct HealthReport {
    /// Nothing is wrong.
    pub sound: bool,
    /// How many problems there are.
    pub problems: u64,
    /// The first of them, in words.
    pub first_problems: Vec<String>,
    /// What was not checked, in words.
    pub not_checked: Vec<String>,
}

impl Loss {
    /// `is_whole`: every page of the newest state can be read.
    pub(super) fn of(choice: &Choice, is_whole: bool, health: Option<&Health>) -> Self {
        let owner = |page: Pgno| health.and_then(|health| health.owner_name(page));
        let pages = choice.old_pages.iter();
        Self {
            rows_lost_by_table: choice.rows_lost_by_table.clone(),
            rows_are_exact: is_whole,
            pages: pages.map(|&page| PageLoss { page, owner: owner(page) }).collect(),
        }
    }
}

/// The first of a list, and how many more there are.
fn first_of(list: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl HealthReport {
    pub(super) fn of(health: &Health) -> Self {
        Self {
            sound: health.is_sound(),
            problems: health.problem_count,
            first_problems: health.problems.iter().take(8).map(|one| one.to_string()).collect(),
            not_checked: health.unchecked.iter().map(|one| one.to_string()).collect(),
        }
    }
}

impl Action {
    fn words(self) -> &'static str {
        match self {
            Self::RollBackJournal => "roll the journal back",
            Self::SetJournalAside => "set the journal aside",
            Self::SkipCopied => "start from the database file",
            Self::UndoShift => "put the bytes back to their places",
            Self::RestoreHeader => "restore the header",
            Self::RestoreSalt => "restore the salts",
            Self::RestoreChecksum => "restore the checksum",
            Self::CorrectWord => "correct one word",
            Self::TakeImage => "take another image of the page",
            Self::TakeFrame => "take the frame from where it is",
            Self::TakeUnsummed => "take frames without a checksum",
            Self::SolveHeader => "solve for the header",
            Self::DropFrame => "leave the frame out",
            Self::TakeOldPages => "take older pages where no newer are left",
            Self::DropLog => "give up the log",
            Self::DropBehind => "give up what lies after",
            Self::RemoveIndex => "remove the wal-index",
            Self::CorrectCommitSize => "correct the commit size",
            Self::CorrectPageCount => "correct the count on page 1",
            Self::CutTail => "leave the tail out",
        }
    }
}

impl RepairReport {
    /// The command that carries the plan out.
    fn next_command(&self, path: &FileName) -> String {
        let repair = command("repair", path);
        let loss = match self.lossless {
            Some(false) => " --accept-loss",
            None if self.likely => " --accept-likely",
            Some(true) | None => "",
        };
        let choose = self.choose.map_or(String::new(), |number| format!(" --choose {number}"));
        let output = argument(new_name(path.path(), "-repaired"));
        format!("{repair}{} --apply{loss}{choose} --output {output}", self.given)
    }

    /// The states that a plan with loss could give, and what the chosen one lacks.
    fn choice(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        if self.candidates.len() > 1 {
            writeln!(to, "States to choose from (--choose N):")?;
        }
        for choice in self.candidates.iter().filter(|_| self.candidates.len() > 1) {
            let mark = if choice.chosen { paint.tone(Tone::Strong, "*") } else { " ".to_owned() };
            let kept = match (choice.rows_missing.unwrap_or_default(), choice.kind) {
                _ if choice.rows_missing.is_none() => "its rows are encrypted".to_owned(),
                (0, _) => "every row that SQLite sees".to_owned(),
                (rows, CandidateKind::RolledBack) => {
                    format!("{} are missing, or other than SQLite sees them", counted(rows, "row"))
                }
                (rows, CandidateKind::NewestComplete) => {
                    format!("later transactions changed {} that SQLite sees", counted(rows, "row"))
                }
                (rows, _) => format!("lacks {} that SQLite sees", counted(rows, "row")),
            };
            let health = match choice.problems {
                None => "not checked".to_owned(),
                Some(0) => "sound".to_owned(),
                Some(problems) => counted(problems, "structure problem"),
            };
            let words = choice.kind.words();
            let sentence = format!("{}. {words}: {health}; {kept}", choice.number);
            writeln!(to, "  {mark} {}", wrapped(&sentence, 4, 7, width).trim_start())?;
        }
        let Some(lost) = &self.lost else { return Ok(()) };
        for TableLoss { table, rows } in &lost.rows_lost_by_table {
            let at_least = if lost.rows_are_exact { "" } else { "at least " };
            let rows = counted(*rows, "row");
            let lost = format!("Lost: {at_least}{rows} of table {}.", escaped(table));
            writeln!(to, "{}", wrapped(&lost, 0, 2, width))?;
        }
        for PageLoss { page, owner } in lost.pages.iter().take(8) {
            let owner = escaped(owner.as_deref().unwrap_or("nobody that is known"));
            let older = format!("Older: page {page}, of {owner}.");
            writeln!(to, "{}", wrapped(&older, 0, 2, width))?;
        }
        match lost.pages.len() {
            0..=8 => Ok(()),
            many => writeln!(to, "  and {} more pages.", many - 8),
        }
    }
}

impl CandidateKind {
    fn words(self) -> &'static str {
        match self {
            Self::NewestLikely => "the newest state, on the likeliest reading",
            Self::NewestWithOldPages => "the newest state, with older pages where it must be",
            Self::NewestComplete => "the newest state that is complete and certain",
            Self::DatabaseAlone => "the database file without the log",
            Self::RolledBack => "the database with the journal rolled back",
            Self::SqliteView => "what SQLite sees without a repair",
        }
    }
}

impl Report for RepairReport {
    const COMMAND: &'static str = "repair";

    fn needs_attention(&self) -> bool {
        !self.plan.is_empty() || !self.findings.is_empty()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let name = self.wal.as_ref().or(self.database.as_ref());
        let shown = name.map_or(String::new(), ToString::to_string);
        writeln!(to, "{shown}: {}", self.verdict.word())?;
        for (number, step) in (1..).zip(&self.plan) {
            let frame = step.frame.map_or(String::new(), |frame| format!("frame {frame}: "));
            let mark = match (step.lossless, step.proof) {
                (true, Some(proof @ Proof::Likelihood)) => paint.tone(Tone::Notice, proof.word()),
                (true, proof) => paint.tone(Tone::Good, proof.unwrap_or(Proof::Evidence).word()),
                (false, _) => paint.tone(Tone::Bad, "lossy"),
            };
            writeln!(to, "  {number}. {frame}{} ({mark})", step.action.words())?;
            let why = format!("{}; {}.", step.reason, step.gains);
            writeln!(to, "{}", wrapped(&escaped(&why), 5, 5, width))?;
        }
        for finding in &self.findings {
            let sentence = format!("{}: {}.", finding.rule, escaped(&finding.message));
            writeln!(to, "{}", paint.tone(Tone::Bad, &wrapped(&sentence, 2, 4, width)))?;
        }
        let contradicted = self.pairing.as_ref().filter(|pairing| match pairing.verdict {
            standing::Verdict::Foreign => true,
            // What is left of a damaged log contradicts its own file, and so does a newer file.
            standing::Verdict::CannotTell => {
                let is_damaged = matches!(self.verdict, Verdict::Damaged | Verdict::BadHeader);
                !is_damaged && self.file_age != FileAge::Newer && pairing.is_contradicted()
            }
            standing::Verdict::Same => false,
        });
        match (self.plan.is_empty(), self.findings.is_empty()) {
            (true, true) if contradicted.is_some() || self.file_age == FileAge::Newer => {
                writeln!(to, "  No step would set it right.")?;
            }
            (true, true) => writeln!(to, "  There is nothing to repair.")?,
            (true, false) => match self.findings.iter().find_map(|it| it.next.as_ref()) {
                Some(next) if next.starts_with("cp ") => {
                    writeln!(to, "First copy the files:\n  {next}")?;
                }
                Some(next) => writeln!(to, "This sets it right:\n  {next}")?,
                None => writeln!(to, "  Nothing is known that would set it right.")?,
            },
            (false, _) => {}
        }
        if let Some(pairing) = contradicted {
            let what = match pairing.verdict {
                standing::Verdict::Foreign => "The log seems to be another database's:",
                standing::Verdict::Same | standing::Verdict::CannotTell => {
                    "The log was not written on this state of the database:"
                }
            };
            writeln!(to, "{}", paint.tone(Tone::Bad, what))?;
            for reason in &pairing.reasons {
                writeln!(to, "{}", wrapped(&escaped(&reason.to_string()), 2, 4, width))?;
            }
        }
        let age = match self.file_age {
            FileAge::Newer => Some(
                "The database file has pages that came after the log: every state of the log takes \
                 something back.",
            ),
            FileAge::MayBeNewer if !self.plan.is_empty() => Some(
                "A part of the log was copied into the database file, and the file alone is sound: \
                 it may have pages that came after the log. Then the result takes something back.",
            ),
            FileAge::MayBeNewer | FileAge::NotNewer => None,
        };
        if let Some(sentence) = age {
            writeln!(to, "{}", paint.tone(Tone::Notice, &wrapped(sentence, 0, 2, width)))?;
        }
        if self.search_cut_short {
            let sentence = "So many frames are damaged that the search for their right bytes was \
                            cut short: there may be more to recover.";
            writeln!(to, "{}", paint.tone(Tone::Notice, &wrapped(sentence, 0, 2, width)))?;
        }
        self.choice(to, paint, width)?;
        if self.transactions_after > self.transactions_before {
            writeln!(
                to,
                "SQLite alone would keep {}; the result has {}.",
                counted(self.transactions_before.into(), "transaction"),
                grouped(self.transactions_after.into())
            )?;
        }
        match (&self.output, self.applied) {
            (Some(output), true) => match self.lossless {
                Some(true) => writeln!(to, "Wrote {output}, without loss.")?,
                Some(false) => writeln!(to, "Wrote {output}, with the loss named above.")?,
                None if self.empty_result => writeln!(to, "Wrote {output}: an empty database.")?,
                None if self.likely => {
                    writeln!(to, "Wrote {output}, on the likely reading named above.")?;
                }
                None if self.plan.iter().any(|step| step.action == Action::TakeUnsummed) => {
                    let sentence = format!(
                        "Wrote {output}: all frames are there. (SQLite left some without a \
                         checksum: nothing proves their images.)"
                    );
                    writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
                }
                None if self.is_encrypted => {
                    let sentence = format!(
                        "Wrote {output}. Its pages are encrypted, so its structure was not checked."
                    );
                    writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
                }
                None if self.file_age == FileAge::MayBeNewer => writeln!(to, "Wrote {output}.")?,
                None if self.plan.is_empty() => {
                    let sentence = format!(
                        "Wrote {output}. The header of the journal is zeros: its transaction has \
                         ended, or the header was lost, and nothing tells which."
                    );
                    writeln!(to, "{}", wrapped(&sentence, 0, 2, width))?;
                }
                None => writeln!(
                    to,
                    "Wrote {output}: what SQLite's own rollback gives. (A journal's checksums are \
                     over one byte of 200: they prove no page.)"
                )?,
            },
            (Some(_), false) if self.plan.is_empty() => writeln!(to, "Nothing was written.")?,
            (Some(_), false) if self.lossless.is_none() => {
                writeln!(to, "Nothing was written: the plan is only likely (--accept-likely).")?;
            }
            (Some(_), false) => {
                let sentence = "Nothing was written: the plan loses something (--accept-loss).";
                writeln!(to, "{}", wrapped(sentence, 0, 2, width))?;
            }
            (None, _) if self.plan.is_empty() => {}
            (None, _) => {
                if let Some(path) = self.database.as_ref().or(name) {
                    writeln!(to, "Next: {}", self.next_command(path))?;
                }
            }
        }
        match &self.health {
            Some(health) if !health.sound => {
                let count = counted(health.problems, "problem");
                let what = if self.plan.is_empty() { "The database" } else { "The result" };
                writeln!(to, "{what} has {count} in its structure:")?;
                for problem in &health.first_problems {
                    writeln!(to, "{}", wrapped(&escaped(problem), 2, 4, width))?;
                }
            }
            Some(health) if self.applied && !self.empty_result => {
                let sentence = match health.not_checked.as_slice() {
                    [] => "Its structure is sound.".to_owned(),
                    left_out => format!(
                        "Its structure is sound as far as it was checked, which leaves out {}.",
                        first_of(left_out)
                    ),
                };
                writeln!(to, "{}", wrapped(&escaped(&sentence), 0, 2, width))?;
            }
            Some(_) | None => {}
        }
        if let (true, None, Some(database), Some(wal)) =
            (self.applied, &self.undo, &self.database, &self.wal)
        {
            // The salts still fit: the old log would be applied to the new file.
            let next = format!(
                "Next: before it takes the place of {database}, move {wal} and the wal-index away; \
                 SQLite would apply them to it."
            );
            writeln!(to, "{}", wrapped(&next, 0, 2, width))?;
        }
        if let (Some(undo), Some(database)) = (&self.undo, &self.database) {
            writeln!(to, "The old state is kept in {undo}.")?;
            writeln!(to, "Back: {}", command("undo", database))?;
            writeln!(to, "Forget it: {}", command("undo --discard", database))?;
        }
        Ok(())
    }
}
