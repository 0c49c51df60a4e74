//! How live-safe commands attach to a database: what is there, and how long they wait.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::engine;
use crate::engine::connection::{Connection, Paths};
use crate::engine::page_checksum::PageChecksums;
use crate::engine::wal::{Options, SharedMemory};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::lock_bytes::{DEAD_MAN_SWITCH, SHARED_BYTES};
use crate::format::{DatabaseHeader, PageSize, WAL_HEADER_BYTES, WalHeader};
use crate::output::text::{argument, command, new_name};
use crate::storage::{File, LockMode, OpenMode};

use super::files::Files;
use super::patience::Patience;
use super::{Context, Failure, holders};

/// Page checksums are kept: no VFS of SQLite lies below us.
const OPTIONS: Options = Options {
    shared_memory: SharedMemory::Use,
    journal_size_limit_bytes: None,
    page_checksums: PageChecksums::Keep,
};

/// A database in WAL mode that a command is about to attach to.
pub struct AttachTarget {
    /// The database.
    pub database: PathBuf,
    /// Its log and journal.
    pub paths: Paths,
    /// All its files.
    pub files: Files,
    /// Page size by the header of the database file.
    pub page_size: PageSize,
    /// The wal-index was there before.
    pub had_index: bool,
}

impl AttachTarget {
    /// What `files` are; `None` for a database without a log, or not in WAL mode.
    ///
    /// # Errors
    /// When there is no database, or SQLite would delete its log.
    pub fn of(files: Files, context: &Context) -> Result<Option<Self>> {
        let database = files.database.clone().unwrap_or_else(|| files.wal.clone());
        let Some(file) = files.open_database(context.vfs)? else {
            return Err(no_database(database, &files, context)?.into());
        };
        if !context.vfs.exists(&files.wal)? {
            return Ok(None);
        }
        if file.size()? <= 1 {
            let why = "the database has no page, and SQLite would delete its log";
            let output = argument(new_name(&database, "-replayed"));
            let replay = command("replay", &files.wal);
            let hint = format!("what the log holds: {replay} --base none --output {output}");
            return Err(Failure::refused(&database, why, hint).into());
        }
        let Some(page_size) = page_size(file.as_ref(), &files, context)? else {
            let found = "this is not a database".to_owned();
            return Err(Failure::NotALog { path: database, found }.into());
        };
        let had_index = match &files.shm {
            Some(shm) => context.vfs.exists(shm)?,
            None => false,
        };
        let paths = Paths::beside(&database);
        Ok(Some(Self { database, paths, files, page_size, had_index }))
    }

    /// Whether the first transaction would rebuild the wal-index from the log: nobody is attached
    /// who keeps it right, or its header is invalid. Asks only.
    ///
    /// # Errors
    /// When the wal-index cannot be read or asked.
    pub fn would_recover(&self, context: &Context) -> Result<bool> {
        let Some(shm) = self.files.open_shm(context.vfs)? else { return Ok(true) };
        let switch = DEAD_MAN_SWITCH..DEAD_MAN_SWITCH + 1;
        if shm.lock_holder(switch, LockMode::Exclusive)?.is_none() {
            return Ok(true);
        }
        Ok(holders::read_index(&self.files, context)?.is_none())
    }

    /// Nobody could attach beside one who has the database in exclusive mode: that is not waited
    /// for longer than was asked, as files are that others are about to give free.
    ///
    /// # Errors
    /// [`Failure::Busy`] when somebody keeps it so.
    pub fn nobody_is_exclusive(&self, timeout: Duration, context: &Context) -> Result<()> {
        let database = context.vfs.open(&self.database, OpenMode::ReadOnly)?;
        let mut patience = Patience::new(timeout, context.vfs, context.watch);
        // A file system without locks has nobody who holds any.
        while let Ok(Some(holder)) = database.lock_holder(SHARED_BYTES, LockMode::Shared) {
            if !patience.wait() {
                let why = "somebody has it in exclusive mode, or is writing it";
                return Err(Failure::busy(&self.database, why, Some(holder)).into());
            }
        }
        Ok(())
    }

    /// Opens the database for writing.
    ///
    /// # Errors
    /// When permission is lacking.
    pub fn open(&self, context: &Context) -> Result<Box<dyn File>> {
        Ok(context.vfs.open(&self.database, OpenMode::ReadWrite)?)
    }

    /// Attaches; `None` while somebody is in the way longer than `patience`.
    ///
    /// # Errors
    /// When a rollback journal is hot, or what the engine reports.
    pub fn attach<'a>(
        &'a self,
        file: &'a dyn File,
        patience: &mut Patience<'a>,
    ) -> Result<Option<Connection<'a>>> {
        loop {
            match Connection::attach(patience.vfs, file, &self.paths, OPTIONS) {
                Ok(Some(connection)) => return Ok(Some(connection)),
                Ok(None) => {
                    let found = "its log has gone".to_owned();
                    return Err(Failure::NoLog { path: self.database.clone(), found }.into());
                }
                Err(engine::Error::Busy) if patience.wait() => {}
                Err(engine::Error::Busy) => return Ok(None),
                Err(engine::Error::HotJournal) => {
                    let why =
                        format!("the rollback journal {} is hot", self.paths.journal.display());
                    let hint = "let SQLite roll it back, on a copy of all files first";
                    return Err(Failure::refused(&self.database, why, hint).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The page size by the header of the database; by that of the log where that one is none
/// (encrypted, or overwritten).
fn page_size(file: &dyn File, files: &Files, context: &Context) -> Result<Option<PageSize>> {
    let mut bytes = [0; DATABASE_HEADER_BYTES];
    let whole = file.read_at(&mut bytes, 0)? == bytes.len();
    let header = DatabaseHeader::decode(&bytes);
    if whole && header.validate().is_ok() {
        return Ok(header.page_size());
    }
    let mut bytes = [0; WAL_HEADER_BYTES];
    let whole = match files.open_wal(context.vfs)? {
        Some(log) => log.read_at(&mut bytes, 0)? == bytes.len(),
        None => false,
    };
    let header = WalHeader::decode(&bytes);
    Ok(header.page_size().filter(|_| whole && header.validate().is_ok()))
}

/// There is no database: also no log, or only a log.
///
/// # Errors
/// When the log cannot be looked for.
pub fn no_database(database: PathBuf, files: &Files, context: &Context) -> Result<Failure> {
    Ok(match context.vfs.exists(&files.wal)? {
        true => Failure::NoDatabase { path: database },
        false => Failure::not_found(&database),
    })
}
