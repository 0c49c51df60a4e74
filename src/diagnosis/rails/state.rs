//! The rails of what writes a state of the log over a database, or into a new one.

use crate::access::files::{Files, with_suffix};
use crate::access::{Context, Failure, holders};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, Pgno, WalHeaderFault};
use crate::history::past::Past;
use crate::history::view::View;
use crate::log::{Examination, HeaderStatus, LogShape};
use crate::output::text::command;
use crate::repair::undo::{Set, Stage};
use crate::scan;
use crate::storage::File;
use crate::storage::new_file::is_same_file;
use anyhow::Result;
use std::path::Path;

use super::{Consents, discarded, refuse, unknown_page_checksums};

/// What the rails of a log with commits look at.
pub struct Rails<'a> {
    /// The files that PATH means.
    pub files: &'a Files,
    /// The log.
    pub log: &'a dyn File,
    /// How its frames are read.
    pub shape: &'a LogShape,
    /// The result, as it is to be written.
    pub view: View<'a>,
}

/// The output is no input, no sidecar of one, has no sidecars of its own, and does not exist
/// unless `force` replaces it.
pub fn output_is_free(
    output: &Path,
    files: &Files,
    base: Option<&Path>,
    force: bool,
    context: &Context,
) -> Result<()> {
    let inputs = [base, Some(&files.wal), files.database.as_deref(), files.shm.as_deref()];
    let inputs = inputs.into_iter().chain([files.journal.as_deref()]).flatten();
    for input in inputs {
        if is_same_file(output, input) {
            let why = format!("it is an input of this replay, or a sidecar of {}", input.display());
            return Err(Failure::refused(output, why, "choose another --output").into());
        }
    }
    for suffix in ["-wal", "-journal", "-shm"] {
        let sidecar = with_suffix(output, suffix);
        if context.vfs.exists(&sidecar)? {
            let why = format!("SQLite would apply {} to it", sidecar.display());
            return Err(Failure::refused(output, why, "choose another --output").into());
        }
    }
    if !force && context.vfs.exists(output)? {
        let hint = "--force replaces it";
        return Err(Failure::refused(output, "it exists already", hint).into());
    }
    Ok(())
}

/// A database that an in-place command has half written is neither its old nor its new self.
pub fn no_change_was_cut_off(files: &Files, context: &Context) -> Result<()> {
    let Some(database) = &files.database else { return Ok(()) };
    match Set::peek(context.vfs, database)? {
        Some(Stage::Writing | Stage::Restored) => {
            let why = "an in-place command was cut off here, and the database is half written";
            let hint = format!("to put the old state back: {}", command("undo", database));
            Err(Failure::refused(database, why, hint).into())
        }
        Some(Stage::Done) | None => Ok(()),
    }
}

/// Under a wrong version SQLite sees nothing at all, whatever is accepted.
pub fn version_is_known(files: &Files, examination: &Examination) -> Result<()> {
    if examination.header_status == HeaderStatus::Fault(WalHeaderFault::Version) {
        let why = "the format version of the log is unknown: SQLite refuses to open the database";
        return Err(Failure::unsupported(&files.wal, why).into());
    }
    Ok(())
}

/// In place the log must be the database's own: another one would leave that beside pages that it
/// does not fit.
pub fn log_is_its_own(files: &Files) -> Result<()> {
    let Some(database) = &files.database else {
        let why = "no database belongs to it; --database names one";
        return Err(Failure::unsupported(&files.wal, why).into());
    };
    let own = with_suffix(database, "-wal");
    if is_same_file(&own, &files.wal) {
        return Ok(());
    }
    let why = format!("{} is not its own log", files.wal.display());
    let hint = "--output writes the result of this pair to a new file";
    Err(Failure::refused(database, why, hint).into())
}

/// Pages of a database file by its own header; `None` without one.
pub fn pages_of(database: Option<&dyn File>) -> Result<Option<u32>> {
    let Some(file) = database else { return Ok(None) };
    let Some(page_size) = header_of(file)?.and_then(|header| header.page_size()) else {
        return Ok(None);
    };
    Ok(u32::try_from(file.size()?.div_ceil(page_size.bytes_u64())).ok())
}

fn header_of(file: &dyn File) -> Result<Option<DatabaseHeader>> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    Ok((read == bytes.len()).then(|| DatabaseHeader::decode(&bytes)))
}

impl Rails<'_> {
    /// The log's page size is that of page 1 as SQLite reads it, and there is a base to write on.
    pub fn base_fits(&self, base_was_chosen: bool) -> Result<()> {
        let log_size = self.shape.page_size();
        let in_base = match self.view.base {
            Some(base) => header_of(base)?,
            None => None,
        };
        let in_log = self.page_1_in_log()?;
        let base_bytes = match self.view.base {
            Some(base) => base.size()?,
            None => 0,
        };
        if base_bytes <= 1 && !base_was_chosen {
            return Err(discarded::empty_base(self.files).into());
        }
        if self.view.base.is_none() {
            self.log_holds_every_page()?;
        }
        // SQLite takes the page size from the log's page 1 and would then misread the file; no
        // pair that belongs together disagrees. A damaged page 1 of the file does not count when
        // the log has a better one.
        let size_of = |header: Option<DatabaseHeader>| header.and_then(|header| header.page_size());
        // Without a header anywhere, the log alone tells; what SQLite makes of that is another
        // rail.
        let valid = |header: &DatabaseHeader| header.validate().is_ok();
        let (in_log, in_base) = (in_log.filter(valid), in_base.filter(valid));
        let fits = |header: Option<DatabaseHeader>| size_of(header) == Some(log_size);
        let wrong = match (in_log, in_base) {
            (Some(_), _) if !fits(in_log) => in_log,
            (_, None) => return Ok(()),
            (_, _) if fits(in_base) => return Ok(()),
            (_, _) => in_base,
        };
        let found =
            size_of(wrong).map_or("no valid page size".to_owned(), |n| format!("{n} bytes"));
        let why = format!("page 1 has {found}, the log has pages of {log_size} bytes");
        Err(Failure::unsupported(self.database(), why).into())
    }

    fn database(&self) -> &Path {
        self.files.database.as_deref().unwrap_or(&self.files.wal)
    }

    /// The database header of the result, where the log has it.
    fn page_1_in_log(&self) -> Result<Option<DatabaseHeader>> {
        match self.view.snapshot.pages.get(&Pgno::FIRST) {
            Some(_) => Ok(Some(self.header_of_result()?)),
            None => Ok(None),
        }
    }

    /// It is known whether pages get checksums of their own in the result, where any are written.
    pub fn page_checksums_are_known(&self) -> Result<()> {
        let danger = unknown_page_checksums(self.files, &self.view)?;
        refuse(danger.into_iter().collect(), Consents::default()).map(drop)
    }

    /// The database header of the result.
    fn header_of_result(&self) -> Result<DatabaseHeader> {
        let mut image = vec![0; self.shape.page_size().in_memory()];
        self.view.read(Pgno::FIRST, &mut image)?;
        Ok(DatabaseHeader::decode(image.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES])))
    }

    fn log_holds_every_page(&self) -> Result<()> {
        let missing = discarded::missing_pages(self.view.snapshot, self.shape.page_size());
        let shown: Vec<String> = missing.clone().take(8).map(|page| page.to_string()).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let count = missing.count();
        let list = shown.join(", ");
        let more = if count > shown.len() { ", ..." } else { "" };
        let why = format!("the log does not hold every page: {count} missing ({list}{more})");
        Err(Failure::unsupported(&self.files.wal, why).into())
    }

    /// The point-in-time trap: what a checkpoint has copied into the base cannot be taken out. Only
    /// pages that the snapshot takes from the base matter.
    pub fn past_was_not_overwritten(
        &self,
        past: &Past<'_>,
        base_is_own: bool,
        context: &Context,
    ) -> Result<()> {
        let takes_any = match past.has_all_of(self.view.snapshot) {
            Ok(takes_any) => takes_any,
            Err(scan::Error::Gone { page, frame, is_likely_there: false, .. }) => {
                return Err(self.gone(&format!("page {page} is there as of frame {frame}")));
            }
            Err(error @ scan::Error::Gone { .. }) => {
                let hint = "--accept-likely takes it for unchanged; --base FILE takes a copy of \
                            the database from before";
                return Err(Failure::refused(self.database(), error.to_string(), hint).into());
            }
            Err(scan::Error::CutOff { page, .. }) => {
                return Err(self.gone(&format!("page {page} was cut off")));
            }
            Err(error) => return Err(error.into()),
        };
        if base_is_own && takes_any && self.index_says_copied(context)? {
            return Err(self.gone("its wal-index says so"));
        }
        Ok(())
    }

    fn index_says_copied(&self, context: &Context) -> Result<bool> {
        let index = holders::read_index(self.files, context)?;
        Ok(index.is_some_and(|index| {
            index.salts == self.shape.salts && index.backfill > self.view.snapshot.to_frame
        }))
    }

    fn gone(&self, evidence: &str) -> anyhow::Error {
        let why = format!(
            "the state after frame {} is gone: the log was copied into the database past it \
             ({evidence})",
            self.view.snapshot.to_frame
        );
        let hint = "--base FILE takes a copy of the database from before that checkpoint";
        Failure::refused(self.database(), why, hint).into()
    }
}
