//! The database beside a damaged log, as it is after what SQLite does with its rollback journal,
//! and as it would be after the other thing that can be done with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;

use crate::access::Context;
use crate::access::files::Files;
use crate::access::journal::{damage, excess};
use crate::engine::rollback::{self, Cold, Contents, Discarded, JournalState};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, PageSize, Pgno};
use crate::output::quantity::{counted, grouped};
use crate::repair::plan::{Action, CandidateKind, Proof, Step};
use crate::storage::File;
use crate::storage::memory::MemoryFile;
use crate::storage::overlay::Overlay;

/// A database, with what a rollback journal puts back.
pub(super) struct Base {
    /// What SQLite makes of it.
    file: Overlay,
    /// With the journal's pages, where SQLite would delete the journal unread.
    other: Option<Overlay>,
    takes_other: bool,
    /// The journal, where something is to be done with it.
    pub journal: Option<PathBuf>,
    /// Page size: by the journal, by page 1, or what SQLite assumes.
    pub page_size: PageSize,
    standing: JournalState,
    /// What the journal holds; `None` where nothing is to be done with it.
    contents: Option<Contents>,
    file_bytes: u64,
    /// The header of the journal is zeros: its transaction has ended, or nobody can know.
    journal_is_zeroed: bool,
}

/// What SQLite's rule for the journal is worth here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JournalDoubt {
    /// There is one thing to do, or nothing.
    None,
    /// Rolled back or not: only the result tells which is right.
    TwoReadings,
    /// SQLite would throw the only copies of pages away.
    OnlyCopy,
}

impl Base {
    /// Opens the database, or replaces the one that a lone journal has lost; `None` without
    /// either. Nothing is written: what the journal puts back stays in memory.
    pub(super) fn open(files: &Files, context: &Context) -> Result<Option<Self>> {
        let vfs = context.vfs;
        let is_alone = files.lone_journal(vfs)?.is_some();
        let open = || -> Result<Option<Box<dyn File>>> {
            match files.open_database(vfs)? {
                None if is_alone => Ok(Some(Box::new(MemoryFile::with_bytes(Vec::new())))),
                found => Ok(found),
            }
        };
        let (Some(database), Some(beside)) = (open()?, open()?) else { return Ok(None) };
        let file_bytes = database.size()?;
        let file = Overlay::new(database)?;
        let standing = match &files.journal {
            Some(journal) => rollback::judge(vfs, beside.as_ref(), journal)?,
            None => JournalState::Absent,
        };
        let journal_is_zeroed = match (&standing, &files.journal) {
            (JournalState::Cold(Cold::Zeroed), Some(journal)) => {
                rollback::header_is_zeros(vfs, journal)?
            }
            (_, _) => false,
        };
        let mut other = None;
        let contents = match (&standing, &files.journal) {
            (JournalState::Hot, Some(journal)) => {
                Some(rollback::play_into(vfs, beside.as_ref(), journal, &file)?)
            }
            (JournalState::Discarded(_), Some(journal)) => match open()? {
                Some(again) => {
                    let target = Overlay::new(again)?;
                    let found = rollback::play_into(vfs, beside.as_ref(), journal, &target)?;
                    other = Some(target);
                    Some(found)
                }
                None => None,
            },
            (_, _) => None,
        };
        // An empty database loses nothing with a journal that holds no page.
        let has_only_copy = contents.as_ref().is_some_and(|contents| contents.records > 0);
        let is_stale =
            standing == JournalState::Discarded(Discarded::EmptyDatabase) && !has_only_copy;
        let contents = contents.filter(|_| !is_stale);
        let mut header = [0; DATABASE_HEADER_BYTES];
        file.read_at(&mut header, 0)?;
        let by_header = DatabaseHeader::decode(&header).page_size();
        let by_journal = contents.as_ref().map(|contents| contents.page_size);
        let page_size = by_journal.or(by_header).unwrap_or(PageSize::DEFAULT);
        let journal = files.journal.clone().filter(|_| contents.is_some());
        let other = other.filter(|_| !is_stale);
        let takes_other = false;
        Ok(Some(Self {
            file,
            other,
            takes_other,
            journal,
            page_size,
            standing,
            contents,
            file_bytes,
            journal_is_zeroed,
        }))
    }

    /// The file, as it is after what is to be done with the journal.
    pub(super) fn file(&self) -> &dyn File {
        match &self.other {
            Some(other) if self.takes_other => other,
            Some(_) | None => &self.file,
        }
    }

    /// The file as a candidate of that kind has it.
    pub(super) fn file_of(&self, kind: CandidateKind) -> &dyn File {
        match (&self.other, kind) {
            (Some(other), CandidateKind::RolledBack) => other,
            (_, CandidateKind::SqliteView) if self.other.is_some() => &self.file,
            (_, _) => self.file(),
        }
    }

    /// Settles which of the two readings is taken.
    pub(super) fn take(&mut self, kind: CandidateKind) {
        self.takes_other = kind == CandidateKind::RolledBack;
    }

    /// Pages that the journal puts back.
    pub(super) fn pages(&self) -> BTreeSet<Pgno> {
        let overlay = match &self.other {
            Some(other) if self.takes_other => other,
            Some(_) | None => &self.file,
        };
        let page_bytes = self.page_size.bytes_u64();
        let number = |offset: u64| u32::try_from(offset / page_bytes + 1).ok().map(Pgno);
        overlay.offsets().into_iter().filter_map(number).collect()
    }

    /// Whether the journal puts pages back, of which nothing proves every byte: its sums are over
    /// one byte of 200.
    pub(super) fn is_rolled_back(&self) -> bool {
        self.contents.is_some() && (self.takes_other || self.standing == JournalState::Hot)
    }

    /// Whether nothing tells if a transaction of the journal was cut off.
    pub(super) fn is_unknown(&self) -> bool {
        self.is_rolled_back() || self.journal_is_zeroed
    }

    /// What SQLite's rule is worth, where the database as SQLite would leave it is `sound` or not.
    pub(super) fn doubt(&self, sound: impl FnOnce() -> Result<bool>) -> Result<JournalDoubt> {
        if self.contents.is_none() {
            return Ok(JournalDoubt::None);
        }
        Ok(match &self.standing {
            JournalState::Absent | JournalState::Cold(_) | JournalState::Hot => JournalDoubt::None,
            JournalState::Discarded(Discarded::EmptyDatabase) => JournalDoubt::OnlyCopy,
            JournalState::Discarded(Discarded::Committed { was_looked_for: false, .. }) => {
                JournalDoubt::TwoReadings
            }
            JournalState::Discarded(Discarded::Committed { was_looked_for: true, .. }) => {
                if sound()? { JournalDoubt::None } else { JournalDoubt::TwoReadings }
            }
        })
    }

    /// The step that the journal makes necessary.
    pub(super) fn step(&self, doubt: JournalDoubt) -> Option<Step> {
        let contents = self.contents.as_ref()?;
        let is_rolled_back = self.is_rolled_back();
        let mut lossless = true;
        let mut reason = self.reason(doubt)?;
        let gains = match is_rolled_back {
            true => gained(contents),
            false => "nobody rolls it back".to_owned(),
        };
        if is_rolled_back {
            let damage = damage(contents).map(|damage| format!("the journal is damaged: {damage}"));
            for missing in damage.into_iter().chain(excess(contents, self.file_bytes)) {
                lossless = false;
                reason.push_str("; ");
                reason.push_str(&missing);
            }
        }
        let pages = match doubt {
            JournalDoubt::OnlyCopy => contents.pages.clone(),
            JournalDoubt::None | JournalDoubt::TwoReadings => Vec::new(),
        };
        let proof = match doubt {
            _ if !lossless => None,
            JournalDoubt::None => Some(Proof::Evidence),
            JournalDoubt::TwoReadings | JournalDoubt::OnlyCopy => Some(Proof::Likelihood),
        };
        let action = if is_rolled_back { Action::RollBackJournal } else { Action::SetJournalAside };
        Some(Step { action, frame: None, pages, lossless, proof, rivals: 0, reason, gains })
    }

    fn reason(&self, doubt: JournalDoubt) -> Option<String> {
        Some(match &self.standing {
            JournalState::Absent | JournalState::Cold(_) => return None,
            JournalState::Hot => {
                "a rollback journal is hot: a transaction was cut off while it wrote the database"
                    .to_owned()
            }
            JournalState::Discarded(Discarded::EmptyDatabase) => {
                "the database has no page, or is not there, and SQLite would delete the journal \
                 unread"
                    .to_owned()
            }
            JournalState::Discarded(Discarded::Committed { super_journal, was_looked_for }) => {
                let name = super_journal.display();
                match (was_looked_for, doubt) {
                    (true, JournalDoubt::None) => format!(
                        "the super-journal {name} is gone: the transaction of the journal was \
                         committed"
                    ),
                    (true, _) => format!(
                        "the super-journal {name} is gone, which says that the transaction was \
                         committed; but the database is not sound"
                    ),
                    (false, _) => format!(
                        "the super-journal {name} is not there, nor is its directory: if the files \
                         were moved, nobody can know whether the transaction was committed"
                    ),
                }
            }
        })
    }
}

fn gained(contents: &Contents) -> String {
    let size = contents.db_size_pages;
    let list = ranges(&contents.pages);
    format!(
        "{} put back{}{list}",
        counted(contents.records.into(), "page"),
        size.map_or(String::new(), |size| format!(" in a database of {}", grouped(size.into())))
    )
}

/// Pages as ranges, the first of them.
fn ranges(pages: &[Pgno]) -> String {
    const SHOWN: usize = 6;
    let mut found: Vec<(u32, u32)> = Vec::new();
    for page in pages {
        match found.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(page.0) => *last = page.0,
            Some(_) | None => found.push((page.0, page.0)),
        }
    }
    let shown: Vec<String> = found
        .iter()
        .take(SHOWN)
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        })
        .collect();
    let more = if found.len() > SHOWN { ", ..." } else { "" };
    if shown.is_empty() { String::new() } else { format!(" (pages {}{more})", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_listed_as_ranges() {
        let of = |pages: &[u32]| ranges(&pages.iter().copied().map(Pgno).collect::<Vec<_>>());
        assert_eq!(of(&[]), "");
        assert_eq!(of(&[1, 2, 3, 7, u32::MAX]), " (pages 1 to 3, 7, 4294967295)");
        assert_eq!(of(&[1, 3, 5, 7, 9, 11, 13]), " (pages 1, 3, 5, 7, 9, 11, ...)");
    }
}
