//! The screen of `doctor`.

use std::io::{self, Write};

use serde_json::Value;

use crate::diagnosis::Diagnosis;
use crate::diagnosis::finding::{Finding, Severity};
use crate::diagnosis::forecast::{Checkpoint, Close, Forecast, Journal, Log, Open};
use crate::diagnosis::rule::Rule;
use crate::output::quantity::{counted, grouped};
use crate::output::text::escaped;
use crate::output::{Paint, Report, Tone, key_values, wrapped};

impl Report for Diagnosis {
    const COMMAND: &'static str = "doctor";

    fn needs_attention(&self) -> bool {
        self.findings.iter().any(Finding::needs_attention)
    }

    fn example() -> Result<Option<Value>, serde_json::Error> {
        let finding = Finding::new(Rule::BlankTail, "x".into(), String::new());
        serde_json::to_value(finding).map(Some)
    }

    fn rows(&self) -> Result<Vec<Value>, serde_json::Error> {
        self.findings.iter().map(serde_json::to_value).collect()
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let name = self.database.as_ref().unwrap_or(&self.wal);
        let sentence = format!("{name}: {}.", escaped(&self.diagnosis));
        let tone = self.findings.first().map_or(Tone::Good, |worst| tone(worst.severity));
        writeln!(to, "{}", paint.tone(tone, &wrapped(&sentence, 0, 2, width)))?;
        for finding in &self.findings {
            writeln!(to)?;
            show(finding, to, paint, width)?;
        }
        let title = "When SQLite opens the database";
        let is_miscounted = self.findings.iter().any(|it| it.rule == Rule::FalseBackfill);
        let facts = key_values(&self.forecast.facts(is_miscounted), width);
        writeln!(to, "\n{}\n{}", paint.tone(Tone::Strong, title), facts.trim_end())?;
        if self.unseen_processes > 0 {
            let unseen = counted(self.unseen_processes.into(), "process");
            let sentence = format!(
                "{unseen} of other users could not be looked into: only locks tell of them."
            );
            writeln!(to, "\n{}", wrapped(&sentence, 0, 2, width))?;
        }
        Ok(())
    }
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Notice,
        Severity::Note => Tone::Good,
    }
}

fn show(
    finding: &Finding,
    to: &mut dyn Write,
    paint: &Paint,
    width: Option<u16>,
) -> io::Result<()> {
    let word = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = match (finding.frame, finding.page) {
        (Some(frame), _) => format!(", frame {}", grouped(frame.into())),
        (None, Some(page)) => format!(", page {}", grouped(page.into())),
        (None, None) => String::new(),
    };
    let severity = match finding.severity {
        Severity::Note => word.to_owned(),
        Severity::Error | Severity::Warning => paint.tone(tone(finding.severity), word),
    };
    let file = finding.file.file_name().unwrap_or(finding.file.as_os_str());
    let file = file.to_string_lossy();
    writeln!(to, "{severity}: {} ({}{place})", finding.rule, escaped(&file))?;
    let sentence = format!("{}.", escaped(&finding.message));
    writeln!(to, "{}", wrapped(&sentence, 2, 2, width))?;
    for evidence in &finding.evidence {
        writeln!(to, "{}", wrapped(&format!("- {}", escaped(evidence)), 2, 4, width))?;
    }
    match &finding.next {
        // A command is one line, so that it can be copied.
        Some(next) => writeln!(to, "  Next: {next}"),
        None => writeln!(to, "{}", wrapped(finding.rule.facts().remedy, 2, 2, width)),
    }
}

impl Forecast {
    /// `is_miscounted` if the wal-index calls frames copied that are not in the file: SQLite reads
    /// none of them any more, copies none, and calls its checkpoint complete.
    fn facts(&self, is_miscounted: bool) -> Vec<(&'static str, String)> {
        let mut facts = vec![("open", self.open_words())];
        let journal = match self.journal {
            Journal::None | Journal::Unknown => None,
            Journal::RolledBack => Some("is rolled back"),
            Journal::Deleted => Some("is deleted unread"),
            Journal::Ignored => Some("is left alone"),
        };
        facts.extend(journal.map(|words| ("journal", words.to_owned())));
        let unread = "; a new reader does not look into those that are marked as copied";
        let unread = if is_miscounted { unread } else { "" };
        facts.push(("log", self.log_words() + unread));
        let is_read = !matches!(self.log, Log::Unknown | Log::Ignored);
        if self.taken_back != Some(false) && is_read {
            let words = match self.taken_back {
                Some(_) => "the log takes newer pages of the file back",
                None => "whether the log takes newer pages of the file back is not known",
            };
            facts.push(("file", words.to_owned()));
        }
        let checkpoint = match self.checkpoint {
            Checkpoint::Ok | Checkpoint::Partial if is_miscounted => {
                "copies nothing of what is marked as copied: the next reset of the log loses it"
            }
            Checkpoint::Ok if self.mx_frame.unwrap_or_default() == 0 => "has nothing to copy",
            Checkpoint::Ok => "copies everything into the file",
            Checkpoint::Partial => "copies a part: a reader needs the rest in the log",
            Checkpoint::Busy => "another one is at work",
            Checkpoint::Corrupt => "fails: SQLITE_CORRUPT",
            Checkpoint::ReadOnly => "fails: SQLITE_READONLY",
            Checkpoint::None => "there is nothing to copy from",
            Checkpoint::Unknown => "not known",
        };
        facts.push(("checkpoint", checkpoint.to_owned()));
        let close = match self.close {
            Close::DeletesLog => "deletes the log",
            Close::KeepsLog => "keeps the log",
            Close::None => "there is no log to delete",
            Close::Unknown => "not known",
        };
        facts.push(("close", close.to_owned()));
        facts
    }

    fn open_words(&self) -> String {
        match self.open {
            Open::Ok => match self.db_size_pages {
                Some(pages) => format!("works: {}", counted(pages.into(), "page")),
                None => "works".to_owned(),
            },
            Open::NotADb => "fails: SQLITE_NOTADB, \"file is not a database\"".to_owned(),
            Open::Corrupt => {
                "fails: SQLITE_CORRUPT, \"database disk image is malformed\"".to_owned()
            }
            Open::CantOpen => "fails: SQLITE_CANTOPEN, \"unable to open database file\"".to_owned(),
            Open::ReadOnly => {
                "fails: SQLITE_READONLY, \"attempt to write a readonly database\"".to_owned()
            }
            Open::Busy => "fails: SQLITE_BUSY, \"database is locked\"".to_owned(),
            Open::IoErr => "fails: SQLITE_IOERR, \"disk I/O error\"".to_owned(),
            Open::Unknown => "not known".to_owned(),
        }
    }

    fn log_words(&self) -> String {
        let lost = match self.lost_transactions {
            Some(0) | None => String::new(),
            Some(lost) => format!(", {} lost", counted(lost.into(), "committed transaction")),
        };
        let frames = || counted(self.mx_frame.unwrap_or_default().into(), "frame");
        match self.log {
            Log::None => "there is none".to_owned(),
            Log::Recovered => format!("is recovered: {}{lost}", frames()),
            Log::Used => format!("is in use: {} committed", frames()),
            Log::Ignored if self.open != Open::Ok && self.lost_transactions.is_none() => {
                "is not read".to_owned()
            }
            Log::Ignored if self.lost_transactions == Some(0) => {
                "has no committed frame".to_owned()
            }
            Log::Ignored => format!("no frame of it counts{lost}"),
            Log::Deleted => format!("is deleted unread{lost}"),
            Log::Unknown => "not known".to_owned(),
        }
    }
}
