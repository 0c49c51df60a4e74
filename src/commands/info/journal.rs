//! The rollback journal, as `info` shows it: what SQLite does with it, and what it holds.

use anyhow::Result;
use serde::Serialize;

use crate::access::files::{Files, open_if_readable};
use crate::access::journal::{damage, excess};
use crate::access::{Context, Exit};
use crate::engine::rollback::{self, Cold, Discarded, JournalState};
use crate::output::FileName;
use crate::output::quantity::{bytes, counted, grouped};
use crate::storage::OpenMode;

/// The rollback journal.
#[derive(Debug, Serialize)]
pub struct JournalSummary {
    /// Its path.
    pub path: FileName,
    /// Its size.
    pub file_bytes: u64,
    /// SQLite puts its pages back before it looks at the log.
    pub hot: bool,
    /// What SQLite does with it, and why.
    pub state: JournalWord,
    /// Pages that it holds, as far as SQLite would read it.
    pub pages: u64,
    /// Bytes of a page; `None` where it holds none.
    pub page_size_bytes: Option<u32>,
    /// Pages that its headers count; `None` where it holds none.
    pub counted_pages: Option<u64>,
    /// Pages of the database before the transaction; `None` where it holds none.
    pub db_size_pages: Option<u32>,
    /// Where it is damaged.
    pub damage: Option<String>,
    /// The super-journal that it names, where that decides.
    pub super_journal: Option<FileName>,
    /// Its header is zeros: its transaction has ended, or the header was lost.
    #[serde(skip)]
    header_is_zeros: bool,
}

/// What SQLite does with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalWord {
    /// It is rolled back.
    Hot,
    /// It has no bytes.
    Empty,
    /// Its first byte is zero: finished, or not needed yet.
    Zeroed,
    /// A process writes with it now.
    LiveWriter,
    /// It is deleted unread, because the database has no page.
    DatabaseEmpty,
    /// It is deleted: its super-journal is gone, so the transaction was committed.
    Committed,
    /// It is deleted for the same reason; but the directory of the super-journal is not here, so
    /// that nobody can know whether it was there.
    CommittedOrMoved,
    /// Its database is not there.
    Alone,
}

impl JournalSummary {
    pub(super) fn of(files: &Files, context: &Context) -> Result<Option<Self>> {
        let vfs = context.vfs;
        let Some(path) = files.journal.as_deref() else { return Ok(None) };
        let Some(file) = open_if_readable(vfs, Some(path)) else { return Ok(None) };
        let file_bytes = file.size()?;
        let mut super_journal = None;
        let database = match &files.database {
            Some(database) => vfs.open(database, OpenMode::ReadOnly).ok(),
            None => None,
        };
        let state = match &database {
            None => JournalWord::Alone,
            Some(database) => match rollback::judge(vfs, database.as_ref(), path)? {
                JournalState::Absent => return Ok(None),
                JournalState::Hot => JournalWord::Hot,
                JournalState::Cold(Cold::Empty) => JournalWord::Empty,
                JournalState::Cold(Cold::Zeroed) => JournalWord::Zeroed,
                JournalState::Cold(Cold::LiveWriter) => JournalWord::LiveWriter,
                JournalState::Discarded(Discarded::EmptyDatabase) => JournalWord::DatabaseEmpty,
                JournalState::Discarded(Discarded::Committed {
                    super_journal: name,
                    was_looked_for,
                }) => {
                    super_journal = Some(FileName::from(name));
                    match was_looked_for {
                        true => JournalWord::Committed,
                        false => JournalWord::CommittedOrMoved,
                    }
                }
            },
        };
        // One that is being written, or is finished, has nothing to tell.
        let contents = match state {
            JournalWord::Empty | JournalWord::Zeroed | JournalWord::LiveWriter => None,
            _ => Some(rollback::contents(vfs, database.as_deref(), path)?),
        };
        let whole = contents.as_ref().filter(|contents| contents.db_size_pages.is_some());
        let is_hot = state == JournalWord::Hot;
        let header_is_zeros = state == JournalWord::Zeroed && rollback::header_is_zeros(vfs, path)?;
        let database_bytes = match database.as_ref().filter(|_| is_hot) {
            Some(database) => Some(database.size()?),
            None => None,
        };
        let damages = contents.as_ref().filter(|_| file_bytes > 0).map(|found| {
            let excess = database_bytes.and_then(|bytes| excess(found, bytes));
            damage(found).into_iter().chain(excess).collect::<Vec<_>>().join("; ")
        });
        Ok(Some(Self {
            path: FileName::from(path),
            file_bytes,
            hot: is_hot,
            state,
            pages: whole.map_or(0, |contents| contents.pages.len() as u64),
            page_size_bytes: whole.map(|contents| contents.page_size.bytes()),
            db_size_pages: whole.and_then(|contents| contents.db_size_pages),
            counted_pages: whole.map(|contents| contents.counted_records),
            damage: damages.filter(|damage| !damage.is_empty()),
            header_is_zeros,
            super_journal,
        }))
    }

    /// 1 where pages are at stake that SQLite would give up.
    pub(super) fn exit(&self) -> Exit {
        match self.state {
            JournalWord::DatabaseEmpty if self.pages > 0 => Exit::Found,
            JournalWord::CommittedOrMoved | JournalWord::Alone => Exit::Found,
            JournalWord::Hot if self.damage.is_some() => Exit::Found,
            JournalWord::Hot
            | JournalWord::Empty
            | JournalWord::Zeroed
            | JournalWord::LiveWriter
            | JournalWord::DatabaseEmpty
            | JournalWord::Committed => Exit::Done,
        }
    }

    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let name = self.super_journal.as_ref().map_or(String::new(), FileName::to_string);
        let state = match self.state {
            JournalWord::Hot => "hot: SQLite rolls it back before it looks at the log".to_owned(),
            JournalWord::Empty => "cold: it is empty".to_owned(),
            JournalWord::Zeroed if self.header_is_zeros => {
                "cold: its header is zeros, so for SQLite its transaction has ended; a header that \
                 was lost looks the same"
                    .to_owned()
            }
            JournalWord::Zeroed => "cold: its transaction has ended".to_owned(),
            JournalWord::LiveWriter => "in use: a process is writing with it now".to_owned(),
            JournalWord::DatabaseEmpty => {
                "not hot: the database has no page, and SQLite would delete it unread".to_owned()
            }
            JournalWord::Committed => format!(
                "not hot: its super-journal {name} is gone, so its transaction was committed; \
                 SQLite deletes it"
            ),
            JournalWord::CommittedOrMoved => format!(
                "SQLite would delete it, because its super-journal {name} is not there; but that \
                 directory is not here either. If the files were moved, the transaction may have \
                 been open, and the database is half written"
            ),
            JournalWord::Alone => "alone: its database is not beside it".to_owned(),
        };
        let mut facts = vec![
            ("file", self.path.to_string()),
            ("size", bytes(self.file_bytes)),
            ("state", state),
        ];
        if let (Some(page_bytes), Some(size)) = (self.page_size_bytes, self.db_size_pages) {
            let pages = counted(self.pages, "page");
            let size = grouped(size.into());
            let holds = format!("{pages} of {page_bytes} bytes, of a database of {size} pages");
            facts.push(("holds", holds));
        }
        if let Some(damage) = &self.damage {
            facts.push(("damage", damage.clone()));
        }
        facts
    }
}
