//! The database beside a damaged log, as it is behind the rollback of a hot journal.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;

use crate::access::Context;
use crate::access::files::{Files, open_if_there};
use crate::analysis::plan::{Action, Proof, Step};
use crate::engine::rollback::{self, RolledBack};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::output::quantity::counted;
use crate::storage::File;
use crate::storage::overlay::Overlay;

/// A database, with what a hot journal puts back.
pub(super) struct Base {
    file: Overlay,
    /// The hot journal.
    pub journal: Option<PathBuf>,
    /// Its page size, by its own header once the journal is played back.
    pub page_size: PageSize,
    rolled_back: RolledBack,
}

impl Base {
    /// Opens the database; `None` without one. Nothing is written: what the journal puts back stays
    /// in memory.
    pub fn open(files: &Files, context: &Context) -> Result<Option<Self>> {
        let Some(database) = open_if_there(context.vfs, files.database.as_deref())? else {
            return Ok(None);
        };
        let beside = files.open_database(context.vfs)?;
        let file = Overlay::new(database)?;
        let rolled_back = match (&files.journal, &beside) {
            (Some(journal), Some(database)) => {
                rollback::preview(context.vfs, database.as_ref(), journal, &file)?
            }
            (_, _) => RolledBack::Cold,
        };
        let hot = rolled_back != RolledBack::Cold;
        let mut header = [0; DATABASE_HEADER_BYTES];
        file.read_at(&mut header, 0)?;
        let page_size = DatabaseHeader::decode(&header).page_size().unwrap_or(PageSize::DEFAULT);
        let journal = files.journal.clone().filter(|_| hot);
        Ok(Some(Self { file, journal, page_size, rolled_back }))
    }

    /// The file, as it is behind the rollback.
    pub fn file(&self) -> &dyn File {
        &self.file
    }

    /// Pages that the journal puts back.
    pub fn pages(&self) -> BTreeSet<Pgno> {
        let page_bytes = self.page_size.bytes_u64();
        let number = |offset: u64| u32::try_from(offset / page_bytes + 1).ok().map(Pgno);
        self.file.offsets().into_iter().filter_map(number).collect()
    }

    /// The step that the journal makes necessary.
    pub fn step(&self) -> Option<Step> {
        let (action, reason, gains) = match self.rolled_back {
            RolledBack::Cold => return None,
            RolledBack::Committed => (
                Action::SetJournalAside,
                "the super-journal that it names has gone: its transaction was committed"
                    .to_owned(),
                "nobody rolls it back".to_owned(),
            ),
            RolledBack::Played { pages, db_size_pages } => (
                Action::RollBackJournal,
                "a rollback journal is hot: a transaction was cut off while it wrote the database"
                    .to_owned(),
                format!(
                    "{} put back{}, as SQLite would do before it looks at the log",
                    counted(pages.into(), "page"),
                    db_size_pages.map_or(String::new(), |size| format!(" in a database of {size}"))
                ),
            ),
        };
        Some(Step {
            action,
            frame: None,
            pages: Vec::new(),
            lossless: true,
            proof: Some(Proof::Checksum),
            reason,
            gains,
        })
    }
}
