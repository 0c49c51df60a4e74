//! The human view of `repair`: the plan, the states to choose from, and what to do next.

use std::io::{self, Write};

use crate::diagnosis::rule::Rule;
use crate::history::standing::newer::FileAge;
use crate::history::standing::{Belonging, Pairing};
use crate::log::Verdict;
use crate::output::quantity::{counted, grouped};
use crate::output::text::{argument, command, escaped, new_name};
use crate::output::{FileName, Paint, Report, Tone, wrapped};
use crate::repair::plan::choice::TableLoss;
use crate::repair::plan::{Action, CandidateKind, Proof};

use super::report::{PageLoss, RepairReport};

impl Report for RepairReport {
    const COMMAND: &'static str = "repair";

    fn needs_attention(&self) -> bool {
        !self.plan.is_empty() || !self.findings.is_empty()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let name = self.name().map_or(String::new(), ToString::to_string);
        writeln!(to, "{name}: {}", self.verdict.word())?;
        self.steps(to, paint, width)?;
        for finding in &self.findings {
            let sentence = format!("{}: {}.", finding.rule, escaped(&finding.message));
            writeln!(to, "{}", paint.tone(Tone::Bad, &wrapped(&sentence, 2, 4, width)))?;
        }
        self.without_steps(to)?;
        if let Some(pairing) = self.contradicted_pairing() {
            contradiction(pairing, to, paint, width)?;
        }
        self.reservations(to, paint, width)?;
        self.choice(to, paint, width)?;
        if self.transactions_after > self.transactions_before {
            writeln!(
                to,
                "SQLite alone would keep {}; the result has {}.",
                counted(self.transactions_before.into(), "transaction"),
                grouped(self.transactions_after.into())
            )?;
        }
        self.outcome(to, width)?;
        self.structure(to, width)?;
        self.way_on(to, width)
    }
}

impl RepairReport {
    /// The log, or else the database.
    fn name(&self) -> Option<&FileName> {
        self.wal.as_ref().or(self.database.as_ref())
    }

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

    fn steps(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
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
        Ok(())
    }

    /// What is said where there is no step.
    fn without_steps(&self, to: &mut dyn Write) -> io::Result<()> {
        let is_contradicted = self.contradicted_pairing().is_some();
        match (self.plan.is_empty(), self.findings.is_empty()) {
            (true, true) if is_contradicted || self.file_age == FileAge::Newer => {
                writeln!(to, "  No step would set it right.")?;
            }
            (true, true) => writeln!(to, "  There is nothing to repair.")?,
            (true, false) => match self.findings.iter().find_map(|it| it.next.as_ref()) {
                Some(next) if next.starts_with("walsmith rescue ") => {
                    writeln!(to, "First copy the files:\n  {next}")?;
                }
                Some(next) => writeln!(to, "This sets it right:\n  {next}")?,
                None => writeln!(to, "  Nothing is known that would set it right.")?,
            },
            (false, _) => {}
        }
        Ok(())
    }

    /// What shows that log and database do not belong together, where damage does not explain it.
    fn contradicted_pairing(&self) -> Option<&Pairing> {
        self.pairing.as_ref().filter(|pairing| match pairing.verdict {
            Belonging::Foreign => true,
            // What is left of a damaged log contradicts its own file, and so does a newer file.
            Belonging::CannotTell => {
                let is_damaged = matches!(self.verdict, Verdict::Damaged | Verdict::BadHeader);
                !is_damaged && self.file_age != FileAge::Newer && pairing.is_contradicted()
            }
            Belonging::Same => false,
        })
    }

    /// Why the result may not be the best that there is.
    fn reservations(
        &self,
        to: &mut dyn Write,
        paint: &Paint,
        width: Option<u16>,
    ) -> io::Result<()> {
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
        Ok(())
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

    /// What was written, or what would write it.
    fn outcome(&self, to: &mut dyn Write, width: Option<u16>) -> io::Result<()> {
        match (&self.output, self.applied) {
            (Some(output), true) => self.written(to, output, width)?,
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
                if let Some(path) = self.database.as_ref().or(self.name()) {
                    writeln!(to, "Next: {}", self.next_command(path))?;
                }
            }
        }
        Ok(())
    }

    /// What was written, and what it is worth.
    fn written(&self, to: &mut dyn Write, output: &FileName, width: Option<u16>) -> io::Result<()> {
        match self.lossless {
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
            None if self.findings.iter().any(|it| it.rule == Rule::BlankTail) => {
                writeln!(to, "Wrote {output}, with every commit before the zeros.")?;
            }
            None if self.findings.iter().any(|it| it.rule == Rule::LogTorn) => {
                writeln!(to, "Wrote {output}, with every commit that is left.")?;
            }
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
        }
        Ok(())
    }

    /// What the structure check says.
    fn structure(&self, to: &mut dyn Write, width: Option<u16>) -> io::Result<()> {
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
        Ok(())
    }

    /// What is to be done after the result was written.
    fn way_on(&self, to: &mut dyn Write, width: Option<u16>) -> io::Result<()> {
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

fn contradiction(
    pairing: &Pairing,
    to: &mut dyn Write,
    paint: &Paint,
    width: Option<u16>,
) -> io::Result<()> {
    let what = match pairing.verdict {
        Belonging::Foreign => "The log seems to be another database's:",
        Belonging::Same | Belonging::CannotTell => {
            "The log was not written on this state of the database:"
        }
    };
    writeln!(to, "{}", paint.tone(Tone::Bad, what))?;
    for reason in &pairing.reasons {
        writeln!(to, "{}", wrapped(&escaped(&reason.to_string()), 2, 4, width))?;
    }
    Ok(())
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
            Self::DropBehind => "give up what comes after",
            Self::RemoveIndex => "remove the wal-index",
            Self::CorrectCommitSize => "correct the commit size",
            Self::CorrectPageCount => "correct the count on page 1",
            Self::CutTail => "leave the tail out",
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
