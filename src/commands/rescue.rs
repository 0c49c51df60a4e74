//! `rescue`: copies everything at stake into a new directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use humantime::format_rfc3339_seconds;

use crate::access::failure::{About, Exit, Failure};
use crate::access::files::{FileArgs, Files};
use crate::access::held::HoldArgs;
use crate::access::rescue::{self, Rescued};
use crate::access::{Context, holders};
use crate::diagnosis::{Options, diagnose, users};
use crate::output::{FileName, Format, Output, write_report};
use crate::storage::new_directory::{NewDirectory, is_free};
use crate::storage::{OpenMode, SyncKind};

mod report;

pub use report::{FileReport, RescueReport, SetReport};

/// Copy everything at stake to a new directory, before anybody touches it
///
/// Copies the database, its log, its wal-index and its rollback journal, and those that were
/// deleted or replaced under a process that still uses them: each such process gets a folder of its
/// own, in which its files have their names. Beside running processes the copies are taken under a
/// reader's locks, so that no checkpoint and no reset comes between; where no lock can be had, the
/// files are read twice, and again until both readings agree. manifest.json says of every file its
/// size, SHA-256, times, owner and mode, who held which lock, and what doctor finds.
///
/// Writes nothing but the new directory, which appears whole or not at all; its files are
/// read-only. Exits with 0 when every copy is proven to be what the file was at the moment of its
/// set, and with 5 when one is not: the table says which, and why.
#[derive(Args, Clone, Debug)]
pub struct Rescue {
    /// A database, its log (-wal), its wal-index (-shm) or its rollback journal
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Write the copies to this new directory
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// How the files are held while they are copied.
    #[command(flatten)]
    pub hold: HoldArgs,
    /// Overrides of the files that PATH means.
    #[command(flatten)]
    pub files: FileArgs,
}

impl Rescue {
    /// Runs the command.
    ///
    /// # Errors
    /// When nothing is there, the directory is not new, or a copy cannot be written.
    pub fn run(&self, context: &mut Context) -> Result<Exit> {
        let files = Files::find_or_gone(context.vfs, &self.path, &self.files)?;
        if !is_free(&self.output)? {
            let why = "something is there already: the copies go to a new directory";
            let hint = "choose another --output";
            return Err(Failure::refused(&self.output, why, hint).into());
        }
        let directory = NewDirectory::beside(&self.output)?;
        let rescued = self.copies(&files, &directory, context)?;
        let report = self.report(&files, rescued, context)?;
        self.write_manifest(&report, &directory, context)?;
        protect(&report, &directory)?;
        directory.publish()?;
        write_report(&mut context.output, &report)?;
        Ok(if report.is_proven { Exit::Done } else { Exit::Incomplete })
    }

    fn copies(
        &self,
        files: &Files,
        directory: &NewDirectory,
        context: &Context,
    ) -> Result<(Option<Vec<holders::Blocker>>, Rescued)> {
        // Who holds what is asked first: it is another answer a moment later.
        let locks = holders::find(files, context).ok().map(|(_, rows)| rows);
        let rescued = rescue::rescue(files, &self.hold, directory, context)
            .with_context(|| About(self.output.clone()))?;
        let all = rescued.sets.iter().flat_map(|set| &set.files);
        let mut reasons = all.clone().filter_map(|file| file.unproven_because.as_deref());
        if all.clone().all(|file| file.copy.is_none()) {
            return Err(match reasons.next() {
                Some(why) => {
                    Failure::unsupported(&self.path, format!("nothing could be copied: {why}"))
                        .into()
                }
                None => Failure::not_found(&self.path).into(),
            });
        }
        Ok((locks, rescued))
    }

    fn report(
        &self,
        files: &Files,
        (locks, rescued): (Option<Vec<holders::Blocker>>, Rescued),
        context: &Context,
    ) -> Result<RescueReport> {
        let options = Options { hold: self.hold.clone(), ..Options::default() };
        let found = diagnose(files, &options, context);
        if context.watch.is_interrupted() {
            return Err(crate::scan::Error::Interrupted.into());
        }
        let (diagnosis, findings, not_diagnosed) = match found {
            Ok(found) => (Some(found.diagnosis), Some(found.findings), None),
            Err(error) => (None, None, Some(format!("{error:#}"))),
        };
        let manifest = match rescued.sets.iter().any(|set| set.has_copy(Path::new(MANIFEST))) {
            true => format!("walsmith-{MANIFEST}"),
            false => MANIFEST.to_owned(),
        };
        let now = std::time::UNIX_EPOCH + context.vfs.now();
        let sets: Vec<SetReport> = rescued.sets.into_iter().map(SetReport::of).collect();
        Ok(RescueReport {
            database: files.database.as_deref().map(FileName::from),
            wal: FileName::from(&files.wal),
            output: FileName::from(&self.output),
            manifest: FileName::from(manifest),
            rescued_at: format_rfc3339_seconds(now).to_string(),
            walsmith: env!("CARGO_PKG_VERSION"),
            is_proven: sets.iter().all(|set| set.is_proven),
            next: report::next(&self.output, &sets, context.vfs),
            sets,
            locks,
            misusers: users::find(files, context).misusers,
            unseen_processes: rescued.unseen_processes,
            diagnosis,
            findings,
            not_diagnosed,
        })
    }

    fn write_manifest(
        &self,
        report: &RescueReport,
        directory: &NewDirectory,
        context: &Context,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        write_report(&mut Output::new(&mut bytes, Format::Json), report)?;
        let path = directory.path().join(report.manifest.path());
        let write = || {
            let file = context.vfs.open(&path, OpenMode::CreateNew)?;
            file.write_at(&bytes, 0)?;
            file.sync(SyncKind::Full)
        };
        write().with_context(|| About(self.output.clone()))
    }
}

/// What the manifest is called, unless a copy has that name.
const MANIFEST: &str = "manifest.json";

/// Makes every file read-only, and no more readable than its source.
fn protect(report: &RescueReport, directory: &NewDirectory) -> Result<()> {
    const READ_BY_ALL: u32 = 0o444;
    const READ_BY_OWNER: u32 = 0o400;
    let mut common = READ_BY_ALL;
    for file in report.sets.iter().flat_map(|set| &set.files) {
        let Some(copy) = &file.file.copy else { continue };
        let source = file.file.status.as_ref().map_or(READ_BY_OWNER, |status| status.mode);
        common &= source;
        directory.set_mode(copy.path(), (source & READ_BY_ALL) | READ_BY_OWNER)?;
    }
    Ok(directory.set_mode(report.manifest.path(), common | READ_BY_OWNER)?)
}
