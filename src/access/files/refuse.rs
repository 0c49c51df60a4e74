//! What is refused as PATH: what is none of SQLite's files, and the branches whose logs are not
//! read.

use std::path::Path;

use anyhow::Result;

use crate::access::Failure;
use crate::access::kind::{Kind, Stranger};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, WAL_HEADER_BYTES, WalHeader};
use crate::storage::{File, Vfs};

use super::{Files, Role, kind_of, open_if_there};

impl Files {
    /// Refuses what is none of SQLite's files. `file` is the given one, and begins like none.
    pub(super) fn refuse_strangers(
        &self,
        vfs: &dyn Vfs,
        path: &Path,
        role: Role,
        file: &dyn File,
    ) -> Result<()> {
        let stranger = Stranger::of(file)?;
        let refused = || Err(Failure::not_sqlite(path, stranger.words()).into());
        match stranger {
            Stranger::Database => Ok(()),
            Stranger::LfsPointer => refused(),
            Stranger::Empty => {
                let is_named = role != Role::Database || is_named_like_a_database(path);
                if is_named || self.has_siblings(vfs, file.path())? { Ok(()) } else { refused() }
            }
            Stranger::Format(_) | Stranger::Text => match role {
                // SQLite takes it for the log of that database whatever is in it.
                Role::Wal if self.holds(vfs, Kind::Database) => Ok(()),
                Role::Wal if has_frames(file)? => Ok(()),
                Role::Shm | Role::Journal if self.holds(vfs, Kind::Database) => Ok(()),
                Role::Database | Role::Wal | Role::Shm | Role::Journal => refused(),
            },
            Stranger::Zeros | Stranger::Random | Stranger::Unknown => match role {
                Role::Wal | Role::Shm | Role::Journal => Ok(()),
                Role::Database if self.holds_any(vfs)? => Ok(()),
                Role::Database => refused(),
            },
        }
    }

    /// Whether one of the files is `kind` by content, under its own name.
    fn holds(&self, vfs: &dyn Vfs, kind: Kind) -> bool {
        let place = match kind {
            Kind::Database => self.database.as_deref(),
            Kind::Wal => Some(self.wal.as_path()),
            Kind::Shm => self.shm.as_deref(),
            Kind::Journal => self.journal.as_deref(),
            Kind::Other => None,
        };
        let found = place.map(|path| kind_of(vfs, path));
        found.is_some_and(|found| found.is_ok_and(|found| found == kind))
    }

    /// Whether a sibling is one of SQLite's by content, or cannot be read, so that nobody can tell.
    fn holds_any(&self, vfs: &dyn Vfs) -> Result<bool> {
        let kinds = [Kind::Wal, Kind::Shm, Kind::Journal];
        Ok(kinds.into_iter().any(|kind| self.holds(vfs, kind)) || !self.unread(vfs)?.is_empty())
    }

    fn has_siblings(&self, vfs: &dyn Vfs, given: &Path) -> Result<bool> {
        for path in self.siblings().filter(|&path| path != given) {
            if vfs.exists(path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Refuses files of SQLite's wal2 branch, and logs of the branches that Bedrock has used. A
    /// file that cannot be read does not tell.
    pub(super) fn refuse_wal2(&self, vfs: &dyn Vfs) -> Result<()> {
        let wal = head::<WAL_HEADER_BYTES>(vfs, &self.wal).map(|bytes| WalHeader::decode(&bytes));
        if let Some(what) = wal.as_ref().and_then(WalHeader::branch) {
            return Err(Failure::unsupported(&self.wal, what).into());
        }
        let Some(database) = &self.database else { return Ok(()) };
        let header = head::<DATABASE_HEADER_BYTES>(vfs, database);
        let is_wal2 = header.is_some_and(|bytes| DatabaseHeader::decode(&bytes).is_wal2());
        // Two wrong bits beside a log of the usual version are damage.
        if is_wal2 && wal.is_none_or(|wal| wal.validate().is_err()) {
            return Err(Failure::unsupported(database, WalHeader::WAL2).into());
        }
        Ok(())
    }
}

/// Whether frames prove that a file without a log's header is one.
fn has_frames(file: &dyn File) -> Result<bool> {
    let examination = crate::log::examine(file, &crate::scan::Nobody)?;
    Ok(examination.lost.is_some())
}

/// The first bytes of a file; `None` when it is not that long, not there or not to be read.
fn head<const N: usize>(vfs: &dyn Vfs, path: &Path) -> Option<[u8; N]> {
    let file = open_if_there(vfs, Some(path)).ok().flatten()?;
    let mut bytes = [0; N];
    (file.read_at(&mut bytes, 0).ok()? == N).then_some(bytes)
}

fn is_named_like_a_database(path: &Path) -> bool {
    let endings = ["db", "db3", "sqlite", "sqlite3", "sqlite-db", "sdb", "s3db", "sl3", "sq3"];
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
}
