//! The safety rails: what keeps a command from writing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::analysis::pairing::{self, Pairing};
use crate::analysis::view::View;
use crate::analysis::{Examination, HeaderStatus, LogShape, Verdict};
use crate::engine::connection::has_hot_journal;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{Checksum, DatabaseHeader, FrameNo, Pgno, WalHeaderFault, WalIndexHeader};
use crate::repair::undo::{Set, Stage};
use crate::storage::File;
use crate::storage::new_file::is_same_file;

use super::files::{Files, with_suffix};
use super::{Context, Failure};

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
            let hint = format!("walsmith undo {} puts the old state back", database.display());
            Err(Failure::refused(database, why, hint).into())
        }
        Some(Stage::Done) | None => Ok(()),
    }
}

/// SQLite would roll a hot journal back before it looks at the log; so does `repair`.
pub fn journal_is_cold(files: &Files, context: &Context) -> Result<()> {
    let (Some(journal), Some(database)) = (&files.journal, files.open_database(context.vfs)?)
    else {
        return Ok(());
    };
    if !has_hot_journal(context.vfs, database.as_ref(), journal)? {
        return Ok(());
    }
    let why = format!("the rollback journal {} is hot", journal.display());
    let hint = format!("walsmith repair {} rolls it back", database.path().display());
    Err(Failure::refused(database.path(), why, hint).into())
}

/// A damaged log is replayed only when the loss is accepted; under a wrong version SQLite sees
/// nothing at all. Returns whether something is left out.
pub fn loss_is_accepted(files: &Files, examination: &Examination, accepted: bool) -> Result<bool> {
    let verdict = examination.verdict;
    if !matches!(verdict, Verdict::Damaged | Verdict::BadHeader) {
        return Ok(false);
    }
    if !accepted {
        let why =
            format!("the log is {}: committed transactions would be left out", verdict.word());
        let hint = format!(
            "walsmith verify-checksums {} says which; --accept-loss replays what SQLite would see",
            files.wal.display()
        );
        return Err(Failure::refused(&files.wal, why, hint).into());
    }
    if examination.header_status == HeaderStatus::Fault(WalHeaderFault::Version) {
        let why = "the format version of the log is unknown: SQLite refuses to open the database";
        return Err(Failure::unsupported(&files.wal, why).into());
    }
    Ok(true)
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

/// A log of another database is not applied.
pub fn refuse_foreign(judged: Option<&Pairing>, database: &Path) -> Result<()> {
    let Some(judged) = judged.filter(|judged| judged.verdict == pairing::Verdict::Foreign) else {
        return Ok(());
    };
    let reasons: Vec<String> = judged.reasons.iter().map(ToString::to_string).collect();
    let why = format!("the log is another database's: {}", reasons.join("; "));
    let hint = "find its own database; --accept-foreign applies it all the same";
    Err(Failure::refused(database, why, hint).into())
}

impl Rails<'_> {
    /// The log's page size is that of page 1 as SQLite reads it, and there is a base to write on.
    pub fn base_fits(&self, base_was_chosen: bool) -> Result<()> {
        let log_size = self.shape.page_size();
        let in_base = match self.view.base {
            Some(base) => header_of(base)?,
            None => None,
        };
        let in_log = match self.view.snapshot.pages.get(&Pgno::FIRST) {
            Some(_) => Some(self.header_of_result()?),
            None => None,
        };
        let base_bytes = match self.view.base {
            Some(base) => base.size()?,
            None => 0,
        };
        if base_bytes <= 1 && !base_was_chosen {
            let why = "the database file is empty or missing beside a log with commits: SQLite would \
                       delete the log";
            let hint = "walsmith replay --base none writes the database from the log alone, if it holds \
                        every page";
            return Err(Failure::refused(self.database(), why, hint).into());
        }
        if self.view.base.is_none() {
            self.log_holds_every_page()?;
        }
        // SQLite takes the page size from the log's page 1 and would then misread the file; no
        // pair that belongs together disagrees. A damaged page 1 of the file does not count when
        // the log has a better one.
        let in_base = in_base.filter(|header| in_log.is_none() || header.validate().is_ok());
        let size_of = |header: Option<DatabaseHeader>| header.and_then(|header| header.page_size());
        let fits = |header: Option<DatabaseHeader>| size_of(header) == Some(log_size);
        let wrong = match (in_log, in_base) {
            (Some(_), _) if !fits(in_log) => in_log,
            (Some(_), None) => return Ok(()),
            (_, _) if fits(in_base) => return Ok(()),
            (_, _) => in_base,
        };
        let found =
            size_of(wrong).map_or("no valid page size".to_owned(), |n| format!("{n} bytes"));
        let why = format!("page 1 has {found}, the log has pages of {log_size} bytes");
        Err(Failure::unsupported(self.database(), why).into())
    }

    /// A log of another database would overwrite this one's pages with its own.
    pub fn log_belongs_to_base(
        &self,
        foreign_is_accepted: bool,
        context: &Context,
    ) -> Result<Option<Pairing>> {
        let judged = pairing::judge(&self.view, context.watch)?;
        if !foreign_is_accepted {
            refuse_foreign(judged.as_ref(), self.database())?;
        }
        Ok(judged)
    }

    fn database(&self) -> &Path {
        self.files.database.as_deref().unwrap_or(&self.files.wal)
    }

    /// The database header of the result.
    fn header_of_result(&self) -> Result<DatabaseHeader> {
        let mut image = vec![0; self.shape.page_size().in_memory()];
        self.view.read(Pgno::FIRST, &mut image)?;
        Ok(DatabaseHeader::decode(image.first_chunk().unwrap_or(&[0; DATABASE_HEADER_BYTES])))
    }

    fn log_holds_every_page(&self) -> Result<()> {
        let size = self.view.snapshot.db_size_pages.unwrap_or_default();
        let locked = self.shape.page_size().lock_byte_page();
        let missing = (1..=size)
            .map(Pgno)
            .filter(|page| *page != locked && !self.view.snapshot.pages.contains_key(page));
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

    /// SQLite's own test before a checkpoint (wal.c walCheckpoint): a database does not grow by
    /// more than the log can hold.
    pub fn growth_is_plausible(&self) -> Result<()> {
        let page_bytes = self.shape.page_size().bytes_u64();
        let Some(pages) = self.view.snapshot.db_size_pages else { return Ok(()) };
        let need = u64::from(pages) * page_bytes;
        let base_bytes = match self.view.base {
            Some(base) => base.size()?,
            None => 0,
        };
        let reach = base_bytes + 65_536 + u64::from(self.view.snapshot.to_frame) * page_bytes;
        if base_bytes < need && reach < need {
            let why = format!(
                "frame {} commits {pages} pages, more than a database of {base_bytes} bytes and this \
                 log can have: SQLite calls that corrupt",
                self.view.snapshot.to_frame
            );
            return Err(Failure::unsupported(&self.files.wal, why).into());
        }
        Ok(())
    }

    /// The point-in-time trap: what a checkpoint has copied into the base cannot be taken out. Only
    /// pages that the snapshot takes from the base matter.
    pub fn past_was_not_overwritten(
        &self,
        examination: &Examination,
        base_is_own: bool,
        context: &Context,
    ) -> Result<()> {
        let Some(base) = self.view.base else { return Ok(()) };
        // Before the first transaction the size is that of the base, whatever it was.
        let size = self.view.snapshot.db_size_pages.unwrap_or(u32::MAX);
        let later =
            FrameNo(self.view.snapshot.to_frame + 1)..FrameNo(examination.prefix.mx_frame + 1);
        let joiner = self.shape.joiner();
        let mut in_base: BTreeMap<Pgno, Option<Checksum>> = BTreeMap::new();
        for facts in self.shape.facts(self.log, later, context.watch) {
            let facts = facts?;
            let page = facts.header.page;
            if page.0 > size || self.view.snapshot.pages.contains_key(&page) {
                continue;
            }
            let sum = match in_base.get(&page) {
                Some(sum) => *sum,
                None => self.page_sum(base, page)?,
            };
            in_base.insert(page, sum);
            if sum == Some(joiner.image_sum(&facts)) {
                return Err(self.gone(&format!("page {page} is there as of frame {}", facts.frame)));
            }
        }
        if base_is_own && !in_base.is_empty() && self.index_says_copied(context)? {
            return Err(self.gone("its wal-index says so"));
        }
        let base_pages = base.size()? / self.shape.page_size().bytes_u64();
        let cut = in_base.keys().find(|page| u64::from(page.0) > base_pages);
        match cut.filter(|_| self.view.snapshot.db_size_pages.is_some()) {
            Some(page) => Err(self.gone(&format!("page {page} was cut off"))),
            None => Ok(()),
        }
    }

    fn page_sum(&self, base: &dyn File, page: Pgno) -> Result<Option<Checksum>> {
        let page_size = self.shape.page_size();
        let mut image = vec![0; page_size.in_memory()];
        let read = base.read_at(&mut image, page.offset_bytes(page_size))?;
        Ok((read == image.len()).then(|| Checksum::ZERO.update(self.shape.order, &image)))
    }

    fn index_says_copied(&self, context: &Context) -> Result<bool> {
        let Some(shm) = self.files.open_shm(context.vfs)? else { return Ok(false) };
        let mut bytes = [0; 136];
        if shm.read_at(&mut bytes, 0)? < bytes.len() {
            return Ok(false);
        }
        let index = WalIndexHeader::decode(&bytes);
        Ok(index.validate().is_ok()
            && index.salts == self.shape.salts
            && index.backfill > self.view.snapshot.to_frame)
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
