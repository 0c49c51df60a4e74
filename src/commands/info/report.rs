//! The screen of `info`.

use std::io::{self, Write};

use crate::access::files::{Role, Unread};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::page_checksums;
use crate::history::standing::{self, Pairing};
use crate::log::Verdict;
use crate::output::quantity::{bytes, counted, grouped};
use crate::output::text::escaped;
use crate::output::{Paint, Report, Tone, key_values, wrapped};

use super::{DatabaseSummary, ShmSummary, Summary, WalSummary};

impl Report for Summary {
    const COMMAND: &'static str = "info";

    fn needs_attention(&self) -> bool {
        let verdict = self.wal.as_ref().map(|wal| wal.verdict);
        let pairing = self.pairing.as_ref().map(|pairing| pairing.verdict);
        matches!(verdict, Some(Verdict::Damaged | Verdict::BadHeader | Verdict::TornTail))
            || pairing == Some(standing::Belonging::Foreign)
            || self.findings.iter().flatten().any(Finding::needs_attention)
            || self.journal.as_ref().is_some_and(|journal| journal.hot)
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let mut section = |title: &str, facts: &[(&str, String)]| {
            writeln!(
                to,
                "{}\n{}",
                paint.tone(Tone::Strong, title),
                key_values(facts, width).trim_end()
            )
        };
        match &self.database {
            Some(database) => {
                let mut facts = database.facts();
                let words = |found| ("checksums", page_checksums::words(&found));
                facts.extend(self.page_checksums.map(words));
                section("Database", &facts)?;
            }
            None if self.is_unread(Role::Database) => {}
            None => section("Database", &[("file", "not there".to_owned())])?,
        }
        match &self.wal {
            Some(wal) => section("Log", &wal.facts())?,
            None if self.is_unread(Role::Wal) => {}
            None => section("Log", &[("file", self.no_log())])?,
        }
        if let Some(shm) = &self.shm {
            section("Wal-index", &shm.facts())?;
        }
        if let Some(journal) = &self.journal {
            section("Rollback journal", &journal.facts())?;
        }
        for Unread { file, why, .. } in &self.unread {
            section("Not read", &[("file", file.to_string()), ("why", why.clone())])?;
        }
        if let Some(pairing) = &self.pairing {
            section("Log and database", &pairing_facts(pairing))?;
        }
        for finding in self.findings.iter().flatten() {
            let tone = if finding.is_error() { Tone::Bad } else { Tone::Notice };
            let sentence = format!("{}: {}.", finding.rule, escaped(&finding.message));
            writeln!(to, "\n{}", paint.tone(tone, &wrapped(&sentence, 0, 2, width)))?;
        }
        if self.wal.as_ref().is_some_and(WalSummary::needs_verification) {
            writeln!(to, "\nDo not open this database with SQLite yet.")?;
        }
        let Some(next) = &self.next else { return Ok(()) };
        let purpose = wrapped(&format!("{}:", self.purpose()), 0, 0, width);
        writeln!(to, "\n{purpose}\n  {next}")?;
        match &self.doctor {
            Some(doctor) if self.empties_log() => {
                writeln!(to, "\nWhat SQLite will do with the two:\n  {doctor}")
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Summary {
    fn is_unread(&self, role: Role) -> bool {
        self.unread.iter().any(|unread| unread.role == role)
    }

    /// What can be said where there is no log.
    fn no_log(&self) -> String {
        match (&self.missing_log, &self.shm) {
            (Some(missing), _) => format!(
                "not there, and the wal-index knows of one with {} of {} that were not copied: \
                 they are lost, unless somebody who had the database alone has copied them since",
                grouped((missing.mx_frame - missing.backfilled_frames).into()),
                counted(missing.mx_frame.into(), "committed frame")
            ),
            (None, _) if self.journal.is_some() || self.database.is_none() => {
                "not there".to_owned()
            }
            (None, Some(shm)) if shm.valid => {
                "not there; by the wal-index everything is in the database".to_owned()
            }
            (None, _) => "not there; whether one was lost is not known here".to_owned(),
        }
    }

    /// Whether the next command is the checkpoint.
    fn empties_log(&self) -> bool {
        self.next.as_ref().is_some_and(|next| next.starts_with("walsmith checkpoint-now "))
    }

    /// What the next command is for.
    fn purpose(&self) -> String {
        let has_finding = self.findings.iter().flatten().any(|finding| finding.next.is_some());
        match (&self.wal, &self.next) {
            (_, Some(next)) if next.starts_with("walsmith rescue ") => {
                "First copy the files".to_owned()
            }
            (Some(wal), Some(_)) if !has_finding && self.empties_log() => {
                let frees = bytes(wal.file_bytes);
                match self.doctor {
                    None => format!("Nobody is in the way; this copies the log and frees {frees}"),
                    Some(_) => format!(
                        "Nobody is in the way. If the log is this database's, this copies it and \
                         frees {frees}"
                    ),
                }
            }
            (_, _) if has_finding => "Next".to_owned(),
            (_, _) => "Who is in the way".to_owned(),
        }
    }
}

fn pairing_facts(pairing: &Pairing) -> Vec<(&'static str, String)> {
    let verdict = match pairing.verdict {
        standing::Belonging::Same => "the log is this database's",
        standing::Belonging::Foreign => "the log is another database's: do not open this one",
        standing::Belonging::CannotTell if pairing.reasons.is_empty() => {
            "nothing proves that the log is this database's, and nothing contradicts it"
        }
        standing::Belonging::CannotTell if pairing.is_contradicted() => {
            "the log was not written on this state of the database"
        }
        standing::Belonging::CannotTell => {
            "the log fits; that the file is an older copy, or another one of the same origin, \
             cannot be excluded"
        }
    };
    let mut facts = vec![("pairing", verdict.to_owned())];
    let in_time = match pairing.order {
        standing::Order::FileNewer => Some("the file has what came after the log"),
        standing::Order::FileOlder => Some("the file is older than the beginning of the log"),
        standing::Order::Fork => Some("both went on from the same state, each by itself"),
        standing::Order::Current | standing::Order::Unknown => None,
    };
    facts.extend(in_time.map(|order| ("in time", order.to_owned())));
    if pairing.self_contained {
        facts.push(("", "the log holds every page: nothing of the file is left".to_owned()));
    }
    facts.extend(pairing.reasons.iter().map(|reason| match reason.speaks_for {
        standing::SpeaksFor::Same => ("for it", escaped(&reason.to_string()).into_owned()),
        standing::SpeaksFor::Foreign => ("against it", escaped(&reason.to_string()).into_owned()),
    }));
    facts
}

impl DatabaseSummary {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let unknown = || "unknown".to_owned();
        let mut facts = vec![
            ("file", self.path.to_string()),
            ("size", bytes(self.file_bytes)),
            ("page size", self.page_size_bytes.map_or_else(unknown, |size| size.to_string())),
            ("pages", self.header_pages.map_or_else(unknown, |pages| grouped(pages.into()))),
            (
                "journal mode",
                match self.read_version {
                    Some(2) => "WAL".to_owned(),
                    Some(1) => "rollback journal".to_owned(),
                    Some(_) | None => unknown(),
                },
            ),
        ];
        if self.looks_encrypted {
            let what = "encrypted: page 1 is no database header and looks random";
            facts.push(("content", what.to_owned()));
        }
        facts
    }
}

impl WalSummary {
    fn needs_verification(&self) -> bool {
        matches!(self.verdict, Verdict::Damaged | Verdict::BadHeader)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let share = |frames: u32, size: u64| {
            format!("{:>10}  {}", bytes(size), counted(frames.into(), "frame"))
        };
        let mut facts = vec![
            ("file", self.path.to_string()),
            (
                "size",
                format!(
                    "{} ({})",
                    bytes(self.file_bytes),
                    counted(self.slot_frames.into(), "slot")
                ),
            ),
            ("verdict", self.verdict.word().to_owned()),
            (
                "committed",
                format!(
                    "{} in {}",
                    counted(self.transactions.into(), "transaction"),
                    counted(self.mx_frame.into(), "frame")
                ),
            ),
            ("live", share(self.live_frames, self.live_bytes)),
            ("superseded", share(self.superseded_frames, self.superseded_bytes)),
            ("reusable", share(self.reusable_frames, self.reusable_bytes)),
        ];
        if self.lost_frames > 0 {
            facts.push(("after a break", share(self.lost_frames, self.lost_bytes)));
        }
        for shift in self.shifted.iter().take(8) {
            let side = if shift.shift_bytes < 0 { "missing" } else { "too many" };
            let place = format!(
                "{} with {} from offset {} on, {} {side} before",
                counted(shift.frames.into(), "frame"),
                counted(shift.commits.into(), "commit"),
                grouped(shift.offset_bytes),
                counted(shift.shift_bytes.unsigned_abs(), "byte")
            );
            facts.push(("off the grid", place));
        }
        if let (Some(frames), Some(size)) = (self.pinned_frames, self.pinned_bytes) {
            facts.push(("not copied", share(frames, size)));
        }
        let states: Vec<String> = self
            .frames_by_state
            .iter()
            .map(|row| format!("{} {}", grouped(row.frames.into()), row.state.word()))
            .collect();
        facts.push(("states", states.join(", ")));
        facts
    }
}

impl ShmSummary {
    fn facts(&self) -> Vec<(&'static str, String)> {
        let state = match (self.valid, self.same_generation) {
            (false, _) => "not valid: the next opener rebuilds it",
            (true, Some(true)) => "valid, of this log's generation",
            (true, Some(false)) => "valid, of another generation than the log",
            (true, None) => "valid",
        };
        let mut facts = vec![("file", self.path.to_string()), ("state", state.to_owned())];
        if let (Some(mx_frame), Some(done)) = (self.mx_frame, self.backfilled_frames) {
            let (mx_frame, done) = (grouped(mx_frame.into()), grouped(done.into()));
            facts.push(("copied", format!("{done} of {mx_frame} frames into the database")));
        }
        facts
    }
}
