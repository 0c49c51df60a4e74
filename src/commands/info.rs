//! `info`: the four files on one screen, and why the log is as large as it is.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::access::failure::{Exit, is_busy};
use crate::access::files::{FileArgs, Files, Role, Unread, open_if_readable};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::live::{LogOptions, Reading};
use crate::access::missing::{self, MissingLog};
use crate::access::{Context, holders};
use crate::database::opaque::looks_encrypted;
use crate::database::{FilePages, header_of_file};
use crate::diagnosis::finding::Finding;
use crate::diagnosis::rails::FalseBackfill;
use crate::diagnosis::{self, Judged};
use crate::format::{DatabaseHeader, PageSize, Pgno, Salts, WalIndexHeader};
use crate::history::standing::{Belonging, Pairing};
use crate::history::wrong_pages::PageChecksumCounts;
use crate::log::{Examination, Verdict, index_file};
use crate::output::text::command;
use crate::output::{FileName, write_report};
use crate::scan::KnownFrames;
use crate::storage::File;

mod journal;
mod report;
mod wal;

pub use journal::{JournalSummary, JournalWord};
pub use wal::{StateCount, WalSummary};

/// Summarise a database and its log on one screen
///
/// Shows the database, its log, its wal-index and its rollback journal, and where the bytes of the
/// log go: live (the newest image of a page), superseded (an older image of a page in the same
/// log), reusable (left from older generations or rolled back), after a break, and not yet copied
/// into the database. This answers "why is my log 5 GB".
///
/// Where each page of the database ends with a checksum of its own (SQLite's cksumvfs), the whole
/// file is read, and pages that do not verify are counted. Exits with 1 when SQLite would read one
/// of them.
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
    pub database: Option<DatabaseSummary>,
    /// The log; `None` when it is not there.
    pub wal: Option<WalSummary>,
    /// The wal-index; `None` when it is not there.
    pub shm: Option<ShmSummary>,
    /// The rollback journal; `None` when it is not there.
    pub journal: Option<JournalSummary>,
    /// Whether log and database belong together; `None` when one of them holds nothing, or the
    /// files could not be held.
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
    /// The command that tells what SQLite will do, where the log may be that of another database or
    /// state: a checkpoint of it cannot be taken back.
    #[serde(skip)]
    pub doctor: Option<String>,
    /// What the pages of the database file show; `None` where they have no checksums of their own,
    /// or the files could not be held.
    pub page_checksums: Option<PageChecksumCounts>,
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
pub struct DatabaseSummary {
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

/// The wal-index.
#[derive(Debug, Serialize)]
pub struct ShmSummary {
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
    judged: Judged,
    /// The log, where nobody is attached: it need not be read again.
    wal: Option<(WalSummary, Option<Salts>)>,
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
        let shm = index.as_ref().map(|index| ShmSummary::of(index, salts));
        let journal = JournalSummary::of(&files, context)?;
        let missing_log = match is_unread(Role::Shm) {
            true => None,
            false => missing::find(&files, context)?,
        };
        let is_attached = together.as_ref().is_some_and(|it| it.is_attached);
        let judged = together.map(|it| it.judged);
        let mut summary = Summary {
            database,
            wal,
            shm,
            journal,
            pairing: judged.as_ref().and_then(|it| it.pairing.clone()),
            missing_log,
            false_backfill: judged.as_ref().and_then(|it| it.backfill).map(BackfillReport::from),
            page_checksums: judged.as_ref().and_then(|it| it.page_checksums),
            findings: judged.map(|it| it.findings),
            unread,
            next: None,
            doctor: None,
        };
        summary.next = summary.next(&files, context)?;
        if let (false, Some(database)) = (is_attached || summary.is_its_log(), &files.database) {
            summary.doctor = Some(command("doctor", database));
        }
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
) -> Result<Option<(WalSummary, Option<Salts>)>> {
    let Some(Reading { file, examination, .. }) =
        Reading::of(files, LogOptions::KEEPING_FRAMES, context)?
    else {
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
) -> Result<(WalSummary, Option<Salts>)> {
    let salts = examination.header.map(|header| header.salts);
    let own = index.and_then(|(_, _, header)| header.as_ref());
    let own = own.filter(|header| header.validate().is_ok() && Some(header.salts) == salts);
    let backfilled = own.map(|header| header.backfill);
    Ok((WalSummary::of(files, file, examination, backfilled, context.watch)?, salts))
}

fn together(
    files: &Files,
    held: &Held,
    index: Option<&Index>,
    context: &Context,
) -> Result<Together> {
    let judged = diagnosis::judge(files, held, context)?;
    let is_attached = held.index.is_some();
    let wal = match &held.log {
        Some(Reading { file, examination, .. }) if !is_attached => {
            Some(wal_of(files, file.as_ref(), examination, index, context)?)
        }
        Some(_) | None => None,
    };
    Ok(Together { judged, wal, is_attached })
}

impl From<FalseBackfill> for BackfillReport {
    fn from(found: FalseBackfill) -> Self {
        Self {
            backfill_frames: found.backfill_frames,
            mx_frame: found.mx_frame,
            missing_pages: found.missing_pages,
            first_page: found.first_page,
        }
    }
}

impl Summary {
    fn exit(&self) -> Exit {
        let verdict = self.wal.as_ref().map_or(Verdict::Absent, |wal| wal.verdict);
        let has_error = self.findings.iter().flatten().any(Finding::is_error);
        let journal = self.journal.as_ref().map_or(Exit::Done, JournalSummary::exit);
        match has_error {
            true => Exit::Found,
            false => Exit::of(verdict).max(journal),
        }
    }

    /// The command of the worst finding; or who is in the way; or how the log is emptied.
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
        // Of a log with an error nobody knows that it is not needed.
        let has_no_error = |findings: &Vec<Finding>| !findings.iter().any(Finding::is_error);
        Ok(if holders.iter().any(in_the_way) {
            Some(command("blockers", database))
        } else if wal.file_bytes > 0 && self.findings.as_ref().is_some_and(has_no_error) {
            Some(command("checkpoint-now --mode truncate", database))
        } else {
            None
        })
    }

    /// Nothing of the log is committed, or the file has what only this log can have put there.
    fn is_its_log(&self) -> bool {
        self.wal.as_ref().is_some_and(|wal| wal.mx_frame == 0)
            || self.pairing.as_ref().is_some_and(|pairing| pairing.verdict == Belonging::Same)
    }
}

impl ShmSummary {
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

fn database(
    files: &Files,
    wal: Option<&WalSummary>,
    context: &Context,
) -> Result<Option<DatabaseSummary>> {
    let Some(file) = open_if_readable(context.vfs, files.database.as_deref()) else {
        return Ok(None);
    };
    let header = header_of_file(file.as_ref())?;
    // Only the log says how long an encrypted page is.
    let page_size = wal.and_then(|wal| PageSize::from_bytes(wal.page_size_bytes?));
    let looks_encrypted = match page_size {
        Some(page_size) => looks_encrypted(&FilePages::new(file.as_ref(), page_size)?)?,
        None => false,
    };
    Ok(Some(DatabaseSummary {
        looks_encrypted,
        path: FileName::from(file.path()),
        file_bytes: file.size()?,
        page_size_bytes: header.as_ref().and_then(|h| h.page_size()).map(|size| size.bytes()),
        header_pages: header.as_ref().and_then(DatabaseHeader::page_count),
        read_version: header.as_ref().map(|header| header.read_version),
        change_counter: header.as_ref().map(|header| header.change_counter),
    }))
}

type Index = (FileName, u64, Option<WalIndexHeader>);

fn read_index(files: &Files, context: &Context) -> Result<Option<Index>> {
    let Some(file) = open_if_readable(context.vfs, files.shm.as_deref()) else { return Ok(None) };
    let header = index_file::header(file.as_ref())?;
    Ok(Some((FileName::from(file.path()), file.size()?, header)))
}
