//! `info`: the four files on one screen, and why the log is as large as it is.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::access::failure::{Exit, is_busy};
use crate::access::files::{FileArgs, Files, Role, Unread, open_if_readable};
use crate::access::finding::{self, Finding};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::live::{self, Reading};
use crate::access::missing::{self, MissingLog};
use crate::access::rails::{self, Effect, Scene};
use crate::access::{Context, holders};
use crate::analysis::opaque::looks_encrypted;
use crate::analysis::pairing::{self, Pairing};
use crate::analysis::shift::Shift;
use crate::analysis::snapshot::{Target, snapshot_of};
use crate::analysis::state::{Slot, State, StateFold};
use crate::analysis::structure::FilePages;
use crate::analysis::view::View;
use crate::analysis::wrong_pages::PageChecksums;
use crate::analysis::{Examination, Verdict};
use crate::format::{DatabaseHeader, FrameNo, PageSize, Pgno, Salts, WalIndexHeader};
use crate::output::quantity::{bytes, counted, grouped};
use crate::output::text::{command, escaped};
use crate::output::{FileName, Paint, Report, Tone, key_values, wrapped, write_report};
use crate::scan::{KnownFrames, Watch};
use crate::storage::File;

mod journal;
mod page_checksums;

pub use journal::{Journal, JournalState};

/// Summarise a database and its log on one screen
///
/// Shows the database, its log, its wal-index and its rollback journal, and where the bytes of the
/// log go: live (the newest image of a page), superseded (an older image of a page in the same
/// log), reusable (left from older generations or rolled back), after a break, and not yet copied
/// into the database. This answers "why is my log 5 GB".
///
/// Where each page of the database ends with a checksum of its own (SQLite's cksumvfs), the whole file
/// is read, and pages that do not verify are counted. Exits with 1 when SQLite would read one of them.
#[derive(Args, Clone, Debug)]
pub struct Info {
    /// A database, its log (-wal) or its wal-index (-shm)
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// How the state is held while log and database are compared.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

/// The summary.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The database file; `None` when it is not there.
    pub database: Option<Database>,
    /// The log; `None` when it is not there.
    pub wal: Option<Wal>,
    /// The wal-index; `None` when it is not there.
    pub shm: Option<Shm>,
    /// The rollback journal; `None` when it is not there.
    pub journal: Option<Journal>,
    /// Whether log and database belong together; `None` when one of them holds nothing, or the files could
    /// not be held.
    pub pairing: Option<Pairing>,
    /// There is no log, and the wal-index knows of one with commits that were not copied.
    pub missing_log: Option<MissingLog>,
    /// Frames that the wal-index of attached processes counts as copied and that are not.
    pub false_backfill: Option<BackfillReport>,
    /// Files that are there and cannot be read: what is in them is not known.
    pub unread: Vec<Unread>,
    /// What must be known, worst first; `None` when the files could not be held.
    pub findings: Option<Vec<Finding>>,
    /// The command to type; `None` where there is nothing to do.
    pub next: Option<String>,
    /// What the pages of the database file show; `None` where they have no checksums of their own, or the
    /// files could not be held.
    pub page_checksums: Option<PageChecksums>,
}

/// Frames that count as copied and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BackfillReport {
    /// Frames that count as copied.
    pub backfill_frames: u32,
    /// Committed frames of the log.
    pub mx_frame: u32,
    /// Pages of them that are not in the database.
    pub missing_pages: u32,
    /// The first of these.
    pub first_page: Option<Pgno>,
}

/// The database file.
#[derive(Debug, Serialize)]
pub struct Database {
    /// Its path.
    pub path: FileName,
    /// Its size.
    pub file_bytes: u64,
    /// Page size in its header.
    pub page_size_bytes: Option<u32>,
    /// Pages by its header.
    pub header_pages: Option<u32>,
    /// 2 for WAL mode, 1 for a rollback journal.
    pub read_version: Option<u8>,
    /// Change counter.
    pub change_counter: Option<u32>,
    /// Page 1 is no database header and looks random, and so do the other pages: encrypted.
    pub looks_encrypted: bool,
}

/// The log.
#[derive(Debug, Serialize)]
pub struct Wal {
    /// Its path.
    pub path: FileName,
    /// Its size.
    pub file_bytes: u64,
    /// The verdict of `verify-checksums`.
    pub verdict: Verdict,
    /// Page size.
    pub page_size_bytes: Option<u32>,
    /// Last committed frame.
    pub mx_frame: u32,
    /// Committed transactions.
    pub transactions: u32,
    /// Database size after the last of them.
    pub db_size_pages: Option<u32>,
    /// Whole slots.
    pub slot_frames: u32,
    /// Newest committed image of a page.
    pub live_frames: u32,
    /// Their bytes.
    pub live_bytes: u64,
    /// Committed images that a later committed frame replaces.
    pub superseded_frames: u32,
    /// Their bytes.
    pub superseded_bytes: u64,
    /// Slots that nobody will read again: stale, residue, blank or uncommitted.
    pub reusable_frames: u32,
    /// Their bytes, and those behind the last whole slot.
    pub reusable_bytes: u64,
    /// Slots behind a break: damaged, unproven or unreachable. SQLite will write over them too.
    pub lost_frames: u32,
    /// Their bytes.
    pub lost_bytes: u64,
    /// Committed frames that are not yet in the database by the wal-index; `None` without one of
    /// this generation.
    pub pinned_frames: Option<u32>,
    /// Their bytes.
    pub pinned_bytes: Option<u64>,
    /// Intact frames that are not where the slots of the log are, by offset.
    pub shifted: Vec<Shift>,
    /// Slots by state.
    pub frames_by_state: Vec<StateCount>,
}

/// Slots of one state.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StateCount {
    /// The state.
    pub state: State,
    /// How many.
    pub frames: u32,
}

/// The wal-index.
#[derive(Debug, Serialize)]
pub struct Shm {
    /// Its path.
    pub path: FileName,
    /// Its size.
    pub file_bytes: u64,
    /// Its header is valid.
    pub valid: bool,
    /// It carries the salts of the log.
    pub same_generation: Option<bool>,
    /// Last committed frame by it.
    pub mx_frame: Option<u32>,
    /// Frames copied into the database by it.
    pub backfilled_frames: Option<u32>,
}

/// What log and database tell together.
struct Together {
    pairing: Option<Pairing>,
    backfill: Option<BackfillReport>,
    page_checksums: Option<PageChecksums>,
    findings: Vec<Finding>,
    /// The log, where nobody is attached: it need not be read again.
    wal: Option<(Wal, Option<Salts>)>,
    is_attached: bool,
}

impl Info {
    /// Runs the command.
    ///
    /// # Errors
    /// When no file is there, or one cannot be read.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find_or_journal(context.vfs, &self.path, &self.files)?;
        let unread = files.unread(context.vfs)?;
        let is_unread = |role| unread.iter().any(|file: &Unread| file.role == role);
        let index = read_index(&files, context)?;
        // What lacks a file cannot be held.
        let hold = || match unread.is_empty() {
            true => held::hold(&files, &self.hold, KnownFrames::LIMIT, context, |held| {
                together(&files, held, index.as_ref(), context).map(Some)
            }),
            false => Ok(None),
        };
        let mut together = match hold() {
            Ok(together) => together,
            Err(error) if is_busy(&error) => {
                context.warn(format!("{error:#}: log and database could not be compared"));
                None
            }
            Err(error) => return Err(error),
        };
        let held_log = together.as_mut().filter(|it| !it.is_attached);
        let log = match held_log {
            Some(held) => held.wal.take(),
            None if is_unread(Role::Wal) => None,
            None => live_log(&files, index.as_ref(), context)?,
        };
        let (wal, salts) = log.map_or((None, None), |(wal, salts)| (Some(wal), salts));
        let database = database(&files, wal.as_ref(), context)?;
        let shm = index.as_ref().map(|index| Shm::of(index, salts));
        let journal = Journal::of(&files, context)?;
        let missing_log = match is_unread(Role::Shm) {
            true => None,
            false => missing::find(&files, context)?,
        };
        let mut summary = Summary {
            database,
            wal,
            shm,
            journal,
            pairing: together.as_ref().and_then(|it| it.pairing.clone()),
            missing_log,
            false_backfill: together.as_ref().and_then(|it| it.backfill),
            page_checksums: together.as_ref().and_then(|it| it.page_checksums),
            findings: together.map(|it| it.findings),
            unread,
            next: None,
        };
        summary.next = summary.next(&files, context)?;
        let exit = summary.exit();
        write_report(&mut context.output, &summary)?;
        Ok(exit)
    }
}

/// The log as it is beside writers, or where it could not be held.
fn live_log(
    files: &Files,
    index: Option<&Index>,
    context: &Context,
) -> Result<Option<(Wal, Option<Salts>)>> {
    let Some(Reading { file, examination }) = live::read_frames(files, context)? else {
        return Ok(None);
    };
    wal_of(files, file.as_ref(), &examination, index, context).map(Some)
}

fn wal_of(
    files: &Files,
    file: &dyn File,
    examination: &Examination,
    index: Option<&Index>,
    context: &Context,
) -> Result<(Wal, Option<Salts>)> {
    let salts = examination.header.map(|header| header.salts);
    let own = index.and_then(|(_, _, header)| header.as_ref());
    let own = own.filter(|header| header.validate().is_ok() && Some(header.salts) == salts);
    let backfilled = own.map(|header| header.backfill);
    Ok((Wal::of(files, file, examination, backfilled, context.watch)?, salts))
}

fn together(
    files: &Files,
    held: &Held,
    index: Option<&Index>,
    context: &Context,
) -> Result<Together> {
    let pairing = match &held.log {
        Some(reading) => pairing(reading, held.database.as_deref(), context)?,
        None => None,
    };
    let scene = Scene {
        files,
        database: held.database.as_deref(),
        log: held.log.as_ref(),
        index: held.index.as_ref(),
        target: Target::Last,
        pairing: pairing.as_ref(),
    };
    let found = rails::dangers(&scene, Effect::Looks, context)?;
    let pairing = pairing.map(|pairing| pairing.beside(found.file_age));
    let backfill = found.backfill.map(|found| BackfillReport {
        backfill_frames: found.backfill_frames,
        mx_frame: found.mx_frame,
        missing_pages: found.missing_pages,
        first_page: found.first_page,
    });
    let is_attached = held.index.is_some();
    let wal = match &held.log {
        Some(Reading { file, examination }) if !is_attached => {
            Some(wal_of(files, file.as_ref(), examination, index, context)?)
        }
        Some(_) | None => None,
    };
    let mut findings = finding::of_rails(files, found);
    let journal_is_hot = findings.iter().any(|finding| finding.rule == "journal-hot");
    let page_checksums = page_checksums::read(held, journal_is_hot, context)?;
    if let (Some(file), Some(found)) = (held.database.as_deref(), &page_checksums) {
        findings.extend(page_checksums::finding(file, found));
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    }
    Ok(Together { pairing, backfill, page_checksums, findings, wal, is_attached })
}

impl Summary {
    fn exit(&self) -> Exit {
        let verdict = self.wal.as_ref().map_or(Verdict::Absent, |wal| wal.verdict);
        let has_error = self.findings.iter().flatten().any(Finding::is_error);
        let journal = self.journal.as_ref().map_or(Exit::Done, Journal::exit);
        match has_error || self.missing_log.is_some() {
            true => Exit::Found,
            false => Exit::of(verdict).max(journal),
        }
    }

    /// The command of the worst finding; or who is in the way; or how a log that nobody needs is emptied.
    fn next(&self, files: &Files, context: &Context) -> Result<Option<String>> {
        let itself = files.database.as_deref().map(|database| command("info", database));
        let worst = self.findings.iter().flatten().find_map(|finding| finding.next.clone());
        let worst = worst.filter(|next| Some(next) != itself.as_ref());
        let (None, Some(database), Some(wal)) = (&worst, &files.database, &self.wal) else {
            return Ok(worst);
        };
        if !self.unread.is_empty() {
            return Ok(None);
        }
        let own = i32::try_from(std::process::id()).ok();
        let holders = holders::find(files, context)?.1;
        let in_the_way = |row: &holders::Blocker| !row.blocks.is_empty() && row.pid != own;
        Ok(if holders.iter().any(in_the_way) {
            Some(command("blockers", database))
        } else if wal.file_bytes > 0 && self.findings.is_some() {
            Some(command("checkpoint-now --mode truncate", database))
        } else {
            None
        })
    }
}

impl Shm {
    fn of((path, file_bytes, header): &Index, salts: Option<Salts>) -> Self {
        let read = header.as_ref().filter(|header| header.validate().is_ok());
        Self {
            path: path.clone(),
            file_bytes: *file_bytes,
            valid: read.is_some(),
            same_generation: read.and_then(|header| Some(header.salts == salts?)),
            mx_frame: read.map(|header| header.mx_frame),
            backfilled_frames: read.map(|header| header.backfill),
        }
    }
}

/// The header of a database; `None` where page 1 has no valid one.
fn header_of(file: &dyn File) -> Result<Option<DatabaseHeader>> {
    let mut bytes = [0; 100];
    let read = file.read_at(&mut bytes, 0)?;
    let header = DatabaseHeader::decode(&bytes);
    Ok((read == bytes.len() && header.validate().is_ok()).then_some(header))
}

fn database(files: &Files, wal: Option<&Wal>, context: &Context) -> Result<Option<Database>> {
    let Some(file) = open_if_readable(context.vfs, files.database.as_deref()) else {
        return Ok(None);
    };
    let header = header_of(file.as_ref())?;
    // Only the log says how long an encrypted page is.
    let page_size = wal.and_then(|wal| PageSize::from_bytes(wal.page_size_bytes?));
    let looks_encrypted = match page_size {
        Some(page_size) => looks_encrypted(&FilePages::new(file.as_ref(), page_size)?)?,
        None => false,
    };
    Ok(Some(Database {
        looks_encrypted,
        path: FileName::from(file.path()),
        file_bytes: file.size()?,
        page_size_bytes: header.as_ref().and_then(|h| h.page_size()).map(|size| size.bytes()),
        header_pages: header.as_ref().and_then(DatabaseHeader::page_count),
        read_version: header.as_ref().map(|header| header.read_version),
        change_counter: header.as_ref().map(|header| header.change_counter),
    }))
}

fn pairing(
    reading: &Reading,
    base: Option<&dyn File>,
    context: &Context,
) -> Result<Option<Pairing>> {
    let examination = &reading.examination;
    let shape = examination.shape.filter(|_| examination.prefix.mx_frame > 0);
    let Some(shape) = shape else { return Ok(None) };
    let log = reading.file.as_ref();
    let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame).next();
    let snapshot = snapshot_of(examination.facts(log, committed, context.watch), Target::Last)?;
    let view = View::plain(log, &shape, &snapshot, base);
    Ok(pairing::judge(&view, context.watch)?)
}

type Index = (FileName, u64, Option<WalIndexHeader>);

fn read_index(files: &Files, context: &Context) -> Result<Option<Index>> {
    let Some(file) = open_if_readable(context.vfs, files.shm.as_deref()) else { return Ok(None) };
    let mut bytes = [0; 136];
    let whole = file.read_at(&mut bytes, 0)? == bytes.len();
    let header = whole.then(|| WalIndexHeader::decode(&bytes));
    Ok(Some((FileName::from(file.path()), file.size()?, header)))
}

impl Wal {
    fn of(
        files: &Files,
        file: &dyn File,
        examination: &Examination,
        backfilled: Option<u32>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let prefix = &examination.prefix;
        let mut counts: Vec<StateCount> =
            State::ALL.iter().map(|&state| StateCount { state, frames: 0 }).collect();
        let mut pages = std::collections::HashSet::new();
        let mut count = |slot: &Slot| {
            if slot.state == State::Committed {
                pages.insert(slot.judged.facts.header.page);
            }
            if let Some(row) = counts.iter_mut().find(|row| row.state == slot.state) {
                row.frames += 1;
            }
        };
        let shape = examination.shape;
        if let Some(shape) = &shape {
            let mut fold = StateFold::new(shape, prefix, &examination.tail);
            for facts in examination.facts(file, FrameNo::FIRST..shape.extent.end(), watch) {
                if let Some(slot) = fold.push(facts?) {
                    count(&slot);
                }
            }
            if let Some(slot) = fold.finish() {
                count(&slot);
            }
        }
        let live_frames = u32::try_from(pages.len()).unwrap_or(prefix.mx_frame);
        let slot_bytes = shape.map_or(0, |shape| shape.page_size().slot_bytes());
        let of = |frames: u32| u64::from(frames) * slot_bytes;
        let slot_frames = shape.map_or(0, |shape| shape.extent.slot_frames);
        let lost_frames: u32 = counts
            .iter()
            .filter(|row| {
                matches!(row.state, State::Damaged | State::Unproven | State::Unreachable)
            })
            .map(|row| row.frames)
            .sum();
        let reusable_frames = slot_frames - prefix.mx_frame - lost_frames;
        let superseded_frames = prefix.mx_frame - live_frames;
        let pinned_frames = backfilled.map(|done| prefix.mx_frame.saturating_sub(done));
        counts.retain(|row| row.frames > 0);
        Ok(Self {
            path: FileName::from(&files.wal),
            file_bytes: examination.file_bytes,
            verdict: examination.verdict,
            page_size_bytes: examination.page_size().map(|size| size.bytes()),
            mx_frame: prefix.mx_frame,
            transactions: prefix.transactions,
            db_size_pages: prefix.db_size_pages,
            slot_frames,
            live_frames,
            live_bytes: of(live_frames),
            superseded_frames,
            superseded_bytes: of(superseded_frames),
            reusable_frames,
            reusable_bytes: of(reusable_frames)
                + shape.map_or(0, |shape| shape.extent.trailing_bytes),
            lost_frames,
            lost_bytes: of(lost_frames),
            pinned_frames,
            pinned_bytes: pinned_frames.map(of),
            shifted: examination.displacement.shifts.clone(),
            frames_by_state: counts,
        })
    }
}

impl Report for Summary {
    const COMMAND: &'static str = "info";

    fn needs_attention(&self) -> bool {
        let verdict = self.wal.as_ref().map(|wal| wal.verdict);
        let pairing = self.pairing.as_ref().map(|pairing| pairing.verdict);
        matches!(verdict, Some(Verdict::Damaged | Verdict::BadHeader | Verdict::TornTail))
            || pairing == Some(pairing::Verdict::Foreign)
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
        if self.wal.as_ref().is_some_and(Wal::needs_verification) {
            writeln!(to, "\nDo not open this database with SQLite yet.")?;
        }
        match &self.next {
            Some(next) => writeln!(to, "\n{}:\n  {next}", self.purpose()),
            None => Ok(()),
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
                "not there, and the wal-index knows of one with {} of {} that were not copied: they are \
                 lost, unless somebody who had the database alone has copied them since",
                grouped((missing.mx_frame - missing.backfilled_frames).into()),
                counted(missing.mx_frame.into(), "committed frame")
            ),
            (None, _) if self.journal.is_some() || self.database.is_none() => {
                "not there".to_owned()
            }
            (None, Some(shm)) if shm.valid => {
                "not there; by the wal-index everything is in the database".to_owned()
            }
            (None, _) => "not there; whether one was lost cannot be told here".to_owned(),
        }
    }

    /// What the next command is for.
    fn purpose(&self) -> String {
        let has_finding = self.findings.iter().flatten().any(|finding| finding.next.is_some());
        match (&self.wal, &self.next) {
            (_, Some(next)) if next.starts_with("cp ") => "First copy the files".to_owned(),
            (Some(wal), Some(next)) if !has_finding && next.contains("truncate") => {
                format!("Nobody needs the log; this frees {}", bytes(wal.file_bytes))
            }
            (_, _) if has_finding => "Next".to_owned(),
            (_, _) => "Who is in the way".to_owned(),
        }
    }
}

fn pairing_facts(pairing: &Pairing) -> Vec<(&'static str, String)> {
    let verdict = match pairing.verdict {
        pairing::Verdict::Same => "the log is this database's",
        pairing::Verdict::Foreign => "the log is another database's: do not open this one",
        pairing::Verdict::CannotTell if pairing.reasons.is_empty() => {
            "nothing proves that the log is this database's, and nothing contradicts it"
        }
        pairing::Verdict::CannotTell if pairing.is_contradicted() => {
            "the log was not written on this state of the database"
        }
        pairing::Verdict::CannotTell => {
            "the log fits; that the file is an older copy, or another one of the same origin, cannot be \
             excluded"
        }
    };
    let mut facts = vec![("pairing", verdict.to_owned())];
    if pairing.self_contained {
        facts.push(("", "the log holds every page: nothing of the file is left".to_owned()));
    }
    facts.extend(pairing.reasons.iter().map(|reason| match reason.speaks_for {
        pairing::SpeaksFor::Same => ("for it", escaped(&reason.to_string()).into_owned()),
        pairing::SpeaksFor::Foreign => ("against it", escaped(&reason.to_string()).into_owned()),
    }));
    facts
}

impl Database {
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

impl Wal {
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

impl Shm {
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
