//! The human view of a checkpoint.

use std::io::{self, Write};

use crate::access::{Exit, holders};
use crate::history::standing;
use crate::history::standing::newer::FileAge;
use crate::output::quantity::{bytes, counted, grouped};
use crate::output::text::{command, escaped};
use crate::output::{Paint, Report, Tone, wrapped};

use super::{CheckpointReport, Mode, frame_words};

impl Report for CheckpointReport {
    const COMMAND: &'static str = "checkpoint-now";

    fn needs_attention(&self) -> bool {
        self.exit() != Exit::Done || self.backfill_repaired
    }

    fn human(&self, to: &mut dyn Write, paint: &Paint, width: Option<u16>) -> io::Result<()> {
        let outcome = format!("{}: {}", self.database, self.outcome(paint));
        writeln!(to, "{}", wrapped(&outcome, 0, 2, width))?;
        if let Some(log) = self.log_bytes() {
            writeln!(to, "{}", wrapped(&log, 2, 4, width))?;
        }
        if let Some(rot) = &self.rot {
            let sentence = format!(
                "{} is not what was committed: nothing after frame {} was copied.",
                paint.tone(Tone::Bad, &frame_words(rot)),
                rot.last_good_commit
            );
            writeln!(to, "{}", wrapped(&sentence, 2, 4, width))?;
            writeln!(to, "  Next: {}", command("verify-checksums", &self.database))?;
        }
        if self.backfill_repaired {
            let again = if self.dry_run { "would be" } else { "were" };
            let sentence = format!(
                "Frames were marked as copied that are not in the database; they {again} copied \
                 again."
            );
            writeln!(to, "{}", wrapped(&sentence, 2, 4, width))?;
        }
        if self.file_age == FileAge::MayBeNewer {
            let sentence = "The database file may have had pages that came after the log; then the \
                            log took them back. Nothing in both files tells.";
            let sentence = paint.tone(Tone::Notice, sentence);
            writeln!(to, "{}", wrapped(&sentence, 2, 4, width))?;
        }
        // A pair that belongs together needs no word.
        let unsure = self.pairing.as_ref().filter(|it| it.verdict != standing::Belonging::Same);
        if let Some(pairing) = unsure {
            writeln!(to, "{}", wrapped(&pairing.sentence(), 2, 4, width))?;
        }
        for accepted in &self.accepted {
            let message = paint.tone(Tone::Bad, &escaped(&accepted.message));
            let sentence = format!("Accepted ({}): {message}.", accepted.rule);
            writeln!(to, "{}", wrapped(&sentence, 2, 4, width))?;
        }
        if !self.blocked_by.is_empty() {
            writeln!(to, "In the way:")?;
            writeln!(to, "{}", holders::rows_table(&self.blocked_by, paint, width))?;
        }
        Ok(())
    }
}

impl CheckpointReport {
    fn outcome(&self, paint: &Paint) -> String {
        if self.wal_bytes_before.is_none() {
            return match &self.missing_log {
                Some(missing) => paint.tone(Tone::Bad, &format!("{missing}.")),
                None => "there is no log; nothing to do.".to_owned(),
            };
        }
        let mode = self.mode.word();
        let (Some(log), Some(done)) = (self.log_frames, self.checkpointed_frames) else {
            let busy = paint.tone(Tone::Notice, "did not run");
            return format!("the {mode} checkpoint {busy}: somebody is in the way.");
        };
        let tense = if self.dry_run { "would be" } else { "are" };
        let pages = counted(self.copied_pages.unwrap_or_default().into(), "page");
        let copied = match (self.mode, self.dry_run) {
            (Mode::Noop, _) => String::new(),
            (_, true) => format!(" ({pages} to copy)"),
            (_, false) => format!(" ({pages} copied)"),
        };
        let tone = if self.kept_its_promise() { Tone::Good } else { Tone::Notice };
        let state = match (log, self.mode) {
            (0, Mode::Truncate) if self.dry_run => "the log would be empty".to_owned(),
            (0, Mode::Truncate) => "the log is empty".to_owned(),
            (0, _) => "the log holds no frame".to_owned(),
            (log, _) => format!(
                "{} of {} {tense} in the database",
                grouped(done.into()),
                counted(log.into(), "frame")
            ),
        };
        let state = paint.tone(tone, &state);
        let unkept = match self.mode {
            Mode::Full if self.busy && self.is_complete() => "; a writer was in the way",
            Mode::Restart | Mode::Truncate if self.busy && self.is_complete() => {
                "; the log cannot begin again yet"
            }
            _ => "",
        };
        format!("{mode} checkpoint: {state}{copied}{unkept}.")
    }

    fn log_bytes(&self) -> Option<String> {
        let before = self.wal_bytes_before?;
        Some(match self.wal_bytes_after {
            None if self.removed_files => {
                format!("The log had {}; it and the wal-index are deleted.", bytes(before))
            }
            None => format!("The log had {}; it is gone.", bytes(before)),
            Some(after) if after == before => {
                let next = match (self.is_complete() && !self.busy, self.mode, self.dry_run) {
                    (true, Mode::Passive | Mode::Full | Mode::Restart, false) => {
                        ", and the next writer begins it again"
                    }
                    _ => "",
                };
                format!("The log has {}{next}.", bytes(after))
            }
            Some(after) if self.dry_run => {
                format!("The log has {}; it would have {}.", bytes(before), bytes(after))
            }
            Some(after) => format!("The log had {}; now {}.", bytes(before), bytes(after)),
        })
    }
}
