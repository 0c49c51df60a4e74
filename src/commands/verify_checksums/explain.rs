//! The human view: the overview, and plain words where something is wrong.

use std::io::{self, Write};

use crate::access::files::with_suffix;
use crate::format::Pgno;
use crate::history::copied::SqliteSees;
use crate::log::link::FrameFault;
use crate::log::{Certainty, DamagedFrame, Lost, Recoverable, StopReason, Verdict};
use crate::output::quantity::{counted, grouped};
use crate::output::text::{argument, command, escaped};
use crate::output::{FileName, Paint, Tone, wrapped};

use super::shifted::shifted;
use super::{FileReport, HeaderWord, Verification, overview};

/// Writes the table, the explanations, and how many there are of each verdict. Where only what
/// needs attention is wanted, other files are left out.
pub(super) fn human(
    report: &Verification,
    to: &mut dyn Write,
    paint: Paint,
    width: Option<u16>,
) -> io::Result<()> {
    let shown = |file: &&FileReport| !report.quiet || file.needs_attention();
    let shown: Vec<&FileReport> = report.files.iter().filter(shown).collect();
    if !shown.is_empty() {
        writeln!(to, "{}", overview::table(&shown).draw(&paint, width))?;
    }
    for file in &shown {
        let story = story(file, paint);
        if !story.is_empty() {
            let title = paint.tone(tone(file.verdict), file.verdict.word());
            writeln!(to, "\n{}: {title}", paint.tone(Tone::Strong, &file.wal.to_string()))?;
            for sentence in story {
                writeln!(to, "{}", indented(&sentence, width))?;
            }
        }
    }
    if report.summary {
        let gap = if shown.is_empty() { "" } else { "\n" };
        writeln!(to, "{gap}{}", wrapped(&overview::summary(&report.files), 0, 2, width))?;
    }
    Ok(())
}

/// A sentence with its indentation, broken between words. A command to type is never broken.
fn indented(sentence: &str, width: Option<u16>) -> String {
    match sentence.starts_with(' ') {
        true => format!("  {sentence}"),
        false => wrapped(sentence, 2, 4, width),
    }
}

impl FileReport {
    pub(super) fn needs_attention(&self) -> bool {
        if self.findings.iter().flatten().next().is_some() {
            return true;
        }
        match self.verdict {
            Verdict::Unreadable | Verdict::BadHeader | Verdict::Damaged | Verdict::TornTail => true,
            Verdict::Absent | Verdict::UncommittedTail | Verdict::Empty | Verdict::Clean => {
                self.is_cut()
            }
        }
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Unreadable | Verdict::BadHeader | Verdict::Damaged => Tone::Bad,
        Verdict::TornTail | Verdict::UncommittedTail => Tone::Notice,
        Verdict::Absent | Verdict::Empty | Verdict::Clean => Tone::Good,
    }
}

fn story(file: &FileReport, paint: Paint) -> Vec<String> {
    let mut story = match file.verdict {
        Verdict::Unreadable => unreadable(file),
        Verdict::BadHeader => bad_header(file),
        Verdict::Damaged => damaged(file),
        Verdict::TornTail => torn_tail(file),
        Verdict::UncommittedTail => vec![format!(
            "{} after the last commit: a transaction that was open or was rolled back. SQLite \
             drops it, as it should.",
            counted(uncommitted(file).into(), "valid frame")
        )],
        Verdict::Absent | Verdict::Empty | Verdict::Clean => Vec::new(),
    };
    for unread in &file.unread {
        story.push(format!(
            "{} could not be read ({}): what it would tell is not known.",
            unread.file, unread.why
        ));
    }
    for finding in file.findings.iter().flatten() {
        let message = format!("{}: {}.", finding.rule, escaped(&finding.message));
        story.push(paint.tone(Tone::Bad, &message));
        let next = finding.next.iter();
        story.extend(next.flat_map(|next| ["Next:".to_owned(), format!("  {next}")]));
    }
    if file.findings.is_none() && file.is_cut() {
        let known = file.index_witness.map_or(0, |witness| witness.mx_frame);
        story.push(format!(
            "The wal-index knows {}; the log kept changing, so it is not known whether it \
             lacks any.",
            counted(known.into(), "committed frame")
        ));
    }
    if matches!(file.verdict, Verdict::Damaged | Verdict::BadHeader) {
        let warning = "Do not open this database with SQLite before copying the log:";
        story.push(paint.tone(Tone::Bad, warning));
        story.push(format!("  {}", copy_command(file)));
        if file.lost.as_ref().is_some_and(|lost| lost.recoverable != Recoverable::None) {
            let path = file.database.as_ref().unwrap_or(&file.wal);
            story.push("What can be recovered:".to_owned());
            story.push(format!("  {}{}", command("repair", path), file.given));
        }
    }
    story
}

fn unreadable(file: &FileReport) -> Vec<String> {
    let Some(error) = &file.error else { return Vec::new() };
    let hint =
        error.hint.iter().flat_map(|hint| ["Try:".to_owned(), format!("  {}", escaped(hint))]);
    std::iter::once(escaped(&error.message).into_owned()).chain(hint).collect()
}

fn bad_header(file: &FileReport) -> Vec<String> {
    let what = match file.header {
        Some(HeaderWord::Magic) => "its magic number (offset 0)",
        Some(HeaderWord::PageSize) => "its page size (offset 8)",
        Some(HeaderWord::Checksum) => "its checksum (offset 24)",
        Some(HeaderWord::Version) => "its format version (offset 4)",
        Some(HeaderWord::Ok | HeaderWord::Short) | None => "nothing",
    };
    let effect = match file.header {
        Some(HeaderWord::Version) => {
            "SQLite refuses to open the database while this log is beside it."
        }
        _ => "SQLite ignores the whole log without an error, and deletes it when it closes.",
    };
    let mut story = vec![format!("The header of the log is wrong in {what}."), effect.to_owned()];
    match &file.lost {
        Some(lost) => {
            story.push(format!(
                "The frames themselves still prove each other: {} in {} would be lost.",
                counted(lost.transactions.into(), "committed transaction"),
                counted(lost.frames.into(), "frame")
            ));
            story.extend(shifted(file));
            story.extend(damaged_frames(&file.damaged));
            let is_unsummed =
                file.damaged.iter().any(|damaged| damaged.what == FrameFault::Unsummed);
            story.push(match lost.recoverable {
        Recoverable::All if is_unsummed => {
            "The loss can be undone: all frames are there. Nothing proves the images of those \
             without a checksum."
                .to_owned()
        }
        Recoverable::All | Recoverable::Some | Recoverable::None => recovery(lost),
    });
        }
        None => story.push("No frame proves another, so nothing can be said of them.".to_owned()),
    }
    story.push(sees(file));
    story
}

fn torn_tail(file: &FileReport) -> Vec<String> {
    let mut story = vec![stop(file), format!("No intact commit comes after it. {}", keeps(file))];
    story.extend(shifted(file));
    story.extend([
        "A crash in the middle of a write leaves this, and SQLite cuts it off by itself. If \
         nothing has crashed, a committed transaction may be damaged there; then copy the log \
         before SQLite opens it:"
            .to_owned(),
        format!("  {}", copy_command(file)),
    ]);
    story
}

fn damaged(file: &FileReport) -> Vec<String> {
    let Some(lost) = &file.lost else { return Vec::new() };
    let mut story = vec![stop(file), keeps(file)];
    let (transactions, frames) = (lost.transactions.into(), lost.frames.into());
    if lost.recoverable == Recoverable::None {
        story.push(format!(
            "After that are headers of {} ({}), but no frame is intact: bytes were inserted, \
             removed or overwritten in all of them.",
            counted(transactions, "committed transaction"),
            counted(frames, "frame")
        ));
        story.push(sees(file));
        return story;
    }
    story.push(format!(
        "SQLite would drop {} ({}) without a word.",
        counted(transactions, "committed transaction"),
        counted(frames, "frame")
    ));
    story.extend(shifted(file));
    story.extend(damaged_frames(&file.damaged));
    story.push(match lost.certainty {
        Certainty::Proven => {
            "Certainty: proven. The checksums at the break show that what follows belongs to this \
             log."
                .to_owned()
        }
        Certainty::Likely => {
            "Certainty: likely. The break lies inside a transaction, or one damaged word explains \
             it."
            .to_owned()
        }
        Certainty::Possible => "Certainty: possible. The break follows directly on a commit, so \
            there are two readings: the frame was damaged and the transactions after it are lost; \
            or SQLite has recovered here before and written on, and what comes after is an \
            abandoned history that nobody should bring back."
            .to_owned(),
    });
    story.push(recovery(lost));
    story.push(sees(file));
    story
}

fn stop(file: &FileReport) -> String {
    let Some(stop) = &file.stop else { return String::new() };
    let why = match stop.reason {
        StopReason::Eof => "the file ends",
        StopReason::Short => "the file ends in the middle of a frame",
        StopReason::Salt => "its salts are not those of the header",
        StopReason::PageNumber => "its page number is 0",
        StopReason::Checksum => "its checksum does not follow from the frame before",
        StopReason::Header => "the header is not valid",
    };
    format!(
        "SQLite stops at frame {} (offset {}): {why}.",
        grouped(stop.frame.0.into()),
        grouped(stop.offset_bytes)
    )
}

fn keeps(file: &FileReport) -> String {
    match file.mx_frame {
        None | Some(0) => "SQLite would keep nothing of this log.".to_owned(),
        Some(frame) => format!(
            "SQLite would keep {} (frames 1 to {}).",
            counted(file.transactions.unwrap_or_default().into(), "transaction"),
            grouped(frame.into())
        ),
    }
}

fn uncommitted(file: &FileReport) -> u32 {
    file.valid_frames.unwrap_or_default() - file.mx_frame.unwrap_or_default()
}

fn damaged_frames(frames: &[DamagedFrame]) -> Option<String> {
    const SHOWN: usize = 8;
    let list: Vec<String> = frames
        .iter()
        .take(SHOWN)
        .map(|damaged| format!("{} ({})", damaged.frame, what(damaged.what)))
        .collect();
    let more = match frames.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {}", counted(more as u64, "more frame")),
    };
    let noun = if frames.len() == 1 { "Damaged frame" } else { "Damaged frames" };
    (!frames.is_empty()).then(|| format!("{noun}: {}{more}.", list.join(", ")))
}

fn what(what: FrameFault) -> &'static str {
    match what {
        FrameFault::Content => "content",
        FrameFault::Salt => "salt field only",
        FrameFault::ChecksumField => "checksum field only",
        FrameFault::Unsummed => "left without a checksum by SQLite before 3.41",
        FrameFault::Unknown => "it is not known what",
    }
}

fn recovery(lost: &Lost) -> String {
    match (lost.recoverable, lost.certainty) {
        (Recoverable::All, _) => {
            "The loss can be undone: every page of the newest state is intact later in the log, or \
             its right bytes are proven or evident."
                .to_owned()
        }
        (Recoverable::Some, Certainty::Possible) if lost.pages.is_empty() => {
            "If these transactions are wanted, their pages may be recovered from the log."
                .to_owned()
        }
        (Recoverable::Some, _) if lost.pages.is_empty() && lost.likely_frames > 0 => format!(
            "The loss can be undone by the simplest explanation of {}; nothing proves it.",
            counted(lost.likely_frames.into(), "damaged frame")
        ),
        (Recoverable::Some, _) if lost.pages.is_empty() => {
            "The loss can be undone in part: it is not known which page a damaged frame held."
                .to_owned()
        }
        (Recoverable::Some, _) => format!(
            "The loss can be undone in part: no intact copy is left in the log of {}.",
            pages(&lost.pages)
        ),
        (Recoverable::None, _) => "Nothing of it can be recovered from the log.".to_owned(),
    }
}

fn pages(pages: &[Pgno]) -> String {
    let list: Vec<String> = pages.iter().take(8).map(ToString::to_string).collect();
    let noun = if pages.len() == 1 { "page" } else { "pages" };
    let more = if pages.len() > 8 { ", ..." } else { "" };
    format!("{noun} {}{more}", list.join(", "))
}

fn sees(file: &FileReport) -> String {
    match file.sqlite_sees {
        Some(SqliteSees::Prefix) => {
            "The database file does not hold what comes after the damage.".to_owned()
        }
        Some(SqliteSees::Mixture) => {
            "The log was already copied into the database past the damage: \
            SQLite would see a MIXTURE of old pages from the log over newer pages of the file."
                .to_owned()
        }
        Some(SqliteSees::Nothing) => {
            "The database is empty or not there: SQLite deletes the log unread.".to_owned()
        }
        Some(SqliteSees::Complete) if file.shifted_frames_missing == Some(true) => {
            "All that is intact is already in the database file; the first frames are lost."
                .to_owned()
        }
        Some(SqliteSees::Complete) => {
            "Everything after the damage is already in the database file: \
            nothing is lost."
                .to_owned()
        }
        Some(SqliteSees::Unknown) | None => {
            "Whether the database file already holds it is not known.".to_owned()
        }
    }
}

/// The command that keeps the evidence, with names quoted for a shell.
fn copy_command(file: &FileReport) -> String {
    copy_of(&file.wal)
}

/// The command that keeps a log before SQLite touches it.
pub(super) fn copy_of(wal: &FileName) -> String {
    format!("cp --preserve=all {} {}", argument(wal), argument(with_suffix(wal.path(), ".copy")))
}
