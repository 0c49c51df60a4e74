//! `verify-checksums`: judges every frame of a log and says what SQLite will see and lose.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::access::classify::describe;
use crate::access::failure::{Exit, is_busy};
use crate::access::files::{FileArgs, Files, open_if_readable};
use crate::access::held::{self, Held, HoldArgs};
use crate::access::kind::Kind;
use crate::access::live::{self, LogOptions, Reading};
use crate::access::{Context, Failure};
use crate::diagnosis::finding::{self, Finding};
use crate::diagnosis::rails::{self, Danger};
use crate::diagnosis::rule::Rule;
use crate::history::copied::{self, SqliteSees};
use crate::history::standing::newer::{self, FileAge};
use crate::log::{Examination, Verdict};
use crate::output::text::command;
use crate::output::{FileName, Format, write_report};
use crate::scan;

mod explain;
mod overview;
mod report;
mod shifted;
mod walk;

pub use report::{FileReport, HeaderWord, IndexWitness, Verification};

/// Judge every frame of a log: what is in it, what SQLite will see, what it will lose
///
/// Reads the header and every frame, in both checksum byte orders and all page sizes, and gives the
/// log one verdict. On damage it says which frames alone are damaged, which committed transactions
/// SQLite would drop without a word, and whether their pages could still be recovered. Nothing is
/// written, created or locked; a log that is being written is read until two readings agree.
#[derive(Args, Clone, Debug)]
pub struct VerifyChecksums {
    /// Databases, logs (-wal) or wal-index files (-shm); directories with --recursive
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Search directories for databases and logs, by content and by name
    #[arg(short, long)]
    pub recursive: bool,
    /// Exit with 1 for a torn tail, and for a log that is shorter than its wal-index says
    #[arg(long)]
    pub strict: bool,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl VerifyChecksums {
    /// Runs the command.
    ///
    /// # Errors
    /// When the report cannot be written, or the run is interrupted. What fails on one path is
    /// in its entry.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let overrides = self.files.wal.is_some() || self.files.database.is_some();
        if overrides && (self.paths.len() > 1 || self.recursive) {
            let why = "--wal and --database go with a single PATH, without --recursive";
            return Err(Failure::Usage(why.into()).into());
        }
        let mut files = Vec::new();
        let mut interrupted = None;
        let found = walk::expand(&self.paths, self.recursive, context.vfs);
        let paths = found.len();
        for found in found {
            let report = match self.judge(found, context) {
                Ok(report) => report,
                Err(error) => {
                    interrupted = Some(error);
                    break;
                }
            };
            files.push(report);
        }
        let exits = files.iter().map(|file| file.exit(self.strict));
        let exit = exits.fold(Exit::Done, Exit::merged);
        let summary = self.recursive || paths > 1;
        let (judged, quiet) = (files.len(), context.output.quiet);
        let report = Verification { files, summary, quiet };
        match interrupted {
            None => {
                write_report(&mut context.output, &report)?;
                Ok(exit)
            }
            Some(error) => {
                if judged > 0 && context.output.format == Format::Table {
                    write_report(&mut context.output, &report)?;
                }
                Err(error.context(format!("{judged} of {paths} paths were judged")))
            }
        }
    }

    /// What is said of one path.
    ///
    /// # Errors
    /// Only when the run is interrupted.
    fn judge(&self, found: walk::FoundPath, context: &Context) -> Result<FileReport> {
        if context.watch.is_interrupted() {
            return Err(scan::Error::Interrupted.into());
        }
        let walk::FoundPath { path, error, is_directory } = found;
        let judged = match error {
            Some(error) => Err(error),
            None => verify(&path, &self.files, context),
        };
        judged.or_else(|error| {
            let (failed, report) = describe(&error);
            match failed {
                Exit::Interrupted => Err(error),
                _ => {
                    Ok(FileReport { is_directory, ..FileReport::unreadable(&path, failed, report) })
                }
            }
        })
    }
}

fn verify(path: &Path, overrides: &FileArgs, context: &Context) -> Result<FileReport> {
    if path.is_dir() {
        let hint = Some(command("verify-checksums --recursive", path));
        return Err(Failure::Directory { path: path.to_owned(), hint }.into());
    }
    let files = Files::find(context.vfs, path, overrides)?;
    // The frames of a log that is compared with the file are needed again.
    let log_bytes = files.open_wal(context.vfs)?.map_or(Ok(0), |log| log.size())?;
    let options = match log_bytes > MOST_COMPARED_BYTES {
        true => LogOptions::default(),
        false => LogOptions::KEEPING_FRAMES,
    };
    let Some(reading) = Reading::of(&files, options, context)? else {
        return absent(path, &files, context);
    };
    let unread = files.unread(context.vfs)?;
    let beside = files.database.as_deref();
    let has_database = files.database_is_there(context.vfs)?;
    let looks_like_a_log = files.given == Kind::Wal
        || overrides.wal.is_some()
        || files.wal.to_string_lossy().ends_with("-wal")
        || has_database;
    if !looks_like_a_log {
        let found = "neither named like a log, nor beside a database, nor begins like one".into();
        return Err(Failure::NotALog { path: files.wal, found }.into());
    }
    // What cannot be read does not stop the judgement of the log.
    let database = open_if_readable(context.vfs, beside);
    let examination = &reading.examination;
    let witness = witness(&files, examination, context)?;
    let log = Some((reading.file.as_ref(), examination));
    let is_cut = witness.is_some_and(|it| it.mx_frame > examination.prefix.mx_frame);
    // An index that was read after the log may know what was written meanwhile.
    let is_late = is_cut && !is_as_before(&files, examination, context)?;
    let witness = witness.filter(|_| !is_late);
    let findings =
        match !unread.is_empty() || is_cut || !rails::fits_at_a_glance(log, database.as_deref())? {
            true => findings(&files, context)?,
            false => Some(Vec::new()),
        };
    let discarded = match unread.is_empty() {
        true => rails::discarded_log(&files, &reading, database.as_deref(), context)?,
        false => None,
    };
    let discarded = discarded.map(Finding::from);
    let sqlite_sees = match (examination.verdict, &database) {
        _ if discarded.is_some() => SqliteSees::Nothing,
        (Verdict::Damaged | Verdict::BadHeader, Some(database)) => {
            let (file, examination) = (reading.file, examination.clone());
            let Reading { file, examination, .. } =
                Reading::new(file, examination).with_shift_undone();
            copied::sqlite_sees(file.as_ref(), database.as_ref(), &examination, context.watch)?
        }
        (Verdict::Empty, _) => SqliteSees::Prefix,
        (_, Some(_)) if examination.file_bytes > MOST_COMPARED_BYTES => SqliteSees::Unknown,
        (_, Some(_)) if !unread.is_empty() => SqliteSees::Unknown,
        // The file may be ahead of what was read of the log.
        (_, Some(_)) if live::is_attached(&files, context)? => SqliteSees::Unknown,
        (_, Some(database)) => {
            let (log, database) = (reading.file.as_ref(), database.as_ref());
            match newer::file_age(log, database, examination, false, context.watch)?.file {
                // Who opened the database meanwhile may have copied what was written after the
                // look.
                FileAge::Newer if !is_as_before(&files, examination, context)? => {
                    SqliteSees::Unknown
                }
                FileAge::Newer => SqliteSees::Mixture,
                FileAge::MayBeNewer => SqliteSees::Unknown,
                FileAge::NotNewer => SqliteSees::Prefix,
            }
        }
        (_, None) => SqliteSees::Unknown,
    };
    let loses = matches!(examination.verdict, Verdict::Damaged | Verdict::BadHeader);
    let newer = (sqlite_sees == SqliteSees::Mixture && !loses).then(|| newer_file(&files));
    // Of a log that is thrown away, page 1 does not matter.
    let is_discarded = discarded.is_some();
    let findings = findings.map(|found| {
        let kept = found.into_iter().filter(|one| !(is_discarded && one.rule == Rule::PageOneLost));
        let blank = finding::blank_tail(&files, examination);
        kept.chain([discarded, newer, blank].into_iter().flatten()).collect()
    });
    let database = beside.filter(|_| has_database);
    let report = FileReport::found(&files.wal, database, examination, sqlite_sees, witness);
    Ok(FileReport { findings, unread, given: overrides.typed(), ..report })
}

/// Whether the log is still what was examined, and nobody has the database open.
fn is_as_before(files: &Files, before: &Examination, context: &Context) -> Result<bool> {
    let Some(Reading { examination, .. }) = Reading::of(files, LogOptions::default(), context)?
    else {
        return Ok(false);
    };
    let is_same = examination.file_bytes == before.file_bytes
        && examination.header == before.header
        && examination.prefix.end_sum == before.prefix.end_sum;
    Ok(is_same && !live::is_attached(files, context)?)
}

/// Longest log of which every image is compared with the database file, to tell whether that is
/// newer.
const MOST_COMPARED_BYTES: u64 = 256 << 20;

/// The file has later pages than the log.
fn newer_file(files: &Files) -> Finding {
    let database = files.database.as_deref().unwrap_or(&files.wal).to_owned();
    let message = "the file has pages that are later than the whole log: the log was cut, or is an \
                   older copy, and SQLite would put its older pages over them";
    let next = Some(explain::copy_of(&FileName::from(&files.wal)));
    let found = Finding::new(Rule::FileNewer, database, message.to_owned());
    Finding { next, ..found }
}

/// Looks again, at files that stand still; `None` beside a writer who does not let them, and where
/// one of them cannot be read.
fn findings(files: &Files, context: &Context) -> Result<Option<Vec<Finding>>> {
    if !files.unread(context.vfs)?.is_empty() {
        return Ok(None);
    }
    let args = HoldArgs { no_lock: true, ..HoldArgs::default() };
    let found = held::hold(files, &args, 0, context, |held| {
        let (log, database) = (held.log.as_ref(), held.database.as_deref());
        let mut dangers = Vec::new();
        dangers.extend(rails::hot_journal(files, database, context)?);
        dangers.extend(rails::contradictions(files, log, database, context)?);
        dangers.extend(cut_log(files, held, context)?);
        Ok(dangers.into_iter().map(Finding::from).collect())
    });
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_busy(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The log ends before what an index of the same salts has committed.
fn cut_log(files: &Files, held: &Held, context: &Context) -> Result<Option<Danger>> {
    let Some(Reading { examination, .. }) = &held.log else { return Ok(None) };
    let known = match held.index {
        Some(_) => held.lost_frames_from,
        None => witness(files, examination, context)?.map(|witness| witness.mx_frame),
    };
    let given = examination.prefix.mx_frame;
    Ok(known.filter(|&known| known > given).map(|known| rails::cut_log(files, known, given)))
}

fn absent(path: &Path, files: &Files, context: &Context) -> Result<FileReport> {
    let database = files.database.as_deref();
    if !files.database_is_there(context.vfs)? {
        return Err(Failure::not_found(path).into());
    }
    let report = FileReport::absent(&files.wal, database);
    let unread = files.unread(context.vfs)?;
    if !unread.is_empty() {
        return Ok(FileReport { findings: None, unread, ..report });
    }
    let missing = rails::missing_log(files, context)?;
    let mut found: Vec<Finding> = missing.map(Finding::from).into_iter().collect();
    found.extend(findings(files, context)?.into_iter().flatten());
    Ok(FileReport { findings: Some(found), ..report })
}

/// A wal-index of the same generation beside the log.
fn witness(
    files: &Files,
    examination: &Examination,
    context: &Context,
) -> Result<Option<IndexWitness>> {
    let known = live::commit_of_index(files, examination, context)?;
    Ok(known
        .map(|mx_frame| IndexWitness { mx_frame, agrees: mx_frame == examination.prefix.mx_frame }))
}
