//! Does this log belong to this database?
//!
//! Nothing in the format says so, and a foreign log of the same page size destroys the database
//! (`engine/PROTOCOL.md`, Whose log is it?). What is known is weighed here: whether the log's
//! pages, put over the file, give a sound database; whether page 1 of both speaks of the same
//! database; whether images and rows of the log are in the file. `foreign` needs two
//! contradictions of different kinds, tables or pages, and nothing that speaks for a pair. What the
//! file is by itself is no contradiction: only problems that it does not have alone are counted.
//!
//! Cost: images and rows are compared on at most [`MAX_PAGES`] pages and over [`MAX_FRAMES`]
//! frames. The whole is checked only up to [`MAX_CHECKED_BYTES`]; of larger databases at most
//! [`MAX_PAGES`] references from pages of the log to pages of the file are followed.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::database::{self, FilePages, Schema, check, opaque};
use crate::format::Pgno;
use crate::history::snapshot::Snapshot;
use crate::history::view::View;
use crate::log::LogShape;
use crate::scan::{self, Watch};
use crate::storage::File;

use newer::FileAge;

mod columns;
mod content;
mod header;
mod links;
pub mod newer;
mod structure;

/// Most pages whose content is compared, and most references that are followed.
pub const MAX_PAGES: usize = 4096;

/// Most frames whose images are compared with the file.
pub const MAX_FRAMES: u32 = 65_536;

/// Largest database that is checked as a whole.
pub const MAX_CHECKED_BYTES: u64 = 64 << 20;

/// Whether a log and a database belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Belonging {
    /// The file has what only this log can have put there or continues, and nothing speaks against
    /// it.
    Same,
    /// Several things contradict it, and none speaks for it.
    Foreign,
    /// Too little is known, or one thing speaks against another.
    CannotTell,
}

impl Belonging {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Foreign => "foreign",
            Self::CannotTell => "cannot-tell",
        }
    }
}

/// What is known of a log and a database file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pairing {
    /// The judgement.
    pub verdict: Belonging,
    /// The log holds every page that the result uses: whatever the file is, nothing of it is left,
    /// and the result is what the log's own database was. Then the verdict is never `foreign`.
    pub self_contained: bool,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What speaks for or against a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Which of the two.
    pub speaks_for: SpeaksFor,
    /// What was compared.
    pub evidence: Evidence,
    /// The table that it is about.
    pub table: Option<String>,
    /// The page of the log that it is about, where it is about one.
    pub page: Option<Pgno>,
    /// How many pages, rows or problems say so.
    pub count: u64,
    /// One of them.
    pub example: String,
}

/// What a reason speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpeaksFor {
    /// The log is this database's.
    Same,
    /// It is another's.
    Foreign,
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// Frames whose images the file has, and can only have from this log.
    Images,
    /// Frames whose images the file has, of older generations or of pages that may never have been
    /// changed.
    EqualImages,
    /// Rows that are in a page of the file and in frames of it.
    Rows,
    /// Settings on page 1 that a database keeps.
    Header,
    /// Counters on page 1 that only go up.
    Counters,
    /// The size of the file, the pages that page 1 counts, and the commit size.
    CommitSize,
    /// The tables of both.
    Schema,
    /// Records, against the columns of their table.
    Columns,
    /// Kinds and heights of b-tree pages.
    Btree,
    /// Row ids and keys, in order and within what the pages above say.
    Order,
    /// Pages used twice or never, or that are not there.
    PageUse,
    /// Lengths of overflow chains.
    Overflow,
    /// The pointer map.
    PointerMap,
    /// Index entries, against the rows of their table.
    IndexEntries,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.example)?;
        if self.count > 1 {
            write!(f, " (and {} more)", self.count - 1)?;
        }
        Ok(())
    }
}

/// A log over a database file.
#[derive(Clone, Copy)]
struct Pair<'a> {
    log: &'a dyn File,
    shape: &'a LogShape,
    snapshot: &'a Snapshot,
    base: &'a dyn File,
    /// The file alone.
    file: FilePages<'a>,
    /// The log over the file.
    both: &'a View<'a>,
    /// Pages of that.
    size_pages: u32,
}

/// Judges whether the log of `view` belongs to its base; `None` when one of them holds nothing.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn judge(view: &View, watch: &dyn Watch) -> Result<Option<Pairing>, scan::Error> {
    Pair::of(view)?.map(|pair| pair.judge(watch)).transpose()
}

/// As [`judge`], where only a foreign log matters: one thing that speaks for the pair on the first
/// pages is enough, and the rest is not read. `None` then, too.
///
/// # Errors
/// As there.
pub fn judge_quickly(view: &View, watch: &dyn Watch) -> Result<Option<Pairing>, scan::Error> {
    let Some(pair) = Pair::of(view)? else { return Ok(None) };
    // Of a log that holds every page nothing of the file is left: it is never foreign.
    if pair.is_self_contained() {
        return Ok(None);
    }
    let limit = content::Limit { pages: 64, frames: 512 };
    let speaks_for_it = |reason: &Reason| reason.speaks_for == SpeaksFor::Same;
    if header::page_size(&pair)?.is_none()
        && content::compare(&pair, limit, watch)?.0.iter().any(speaks_for_it)
    {
        return Ok(None);
    }
    pair.judge(watch).map(Some)
}

fn verdict(reasons: &[Reason], self_contained: bool) -> Belonging {
    // One fact may show in several ways; it is one for each kind of evidence, table and page.
    let count = |wanted| {
        let reasons = reasons.iter().filter(|reason| reason.speaks_for == wanted);
        let places = reasons.map(|reason| (reason.evidence, &reason.table, reason.page));
        places.collect::<HashSet<_>>().len()
    };
    let has = |wanted| {
        let mut reasons = reasons.iter();
        reasons.any(|it| it.speaks_for == SpeaksFor::Same && it.evidence == wanted)
    };
    // A database of the same template has the same rows, an older state of this one has also what
    // older generations wrote, and any database can have the right counter.
    let is_told = has(Evidence::Images);
    let speaks_for_it = count(SpeaksFor::Same) > usize::from(has(Evidence::Counters));
    match count(SpeaksFor::Foreign) {
        2.. if !speaks_for_it && !self_contained => Belonging::Foreign,
        0 if is_told => Belonging::Same,
        _ => Belonging::CannotTell,
    }
}

impl Pairing {
    /// The same, where the file may have what came after the log: then it is not the state that the
    /// log was written on.
    #[must_use]
    pub fn beside(self, age: FileAge) -> Self {
        match (self.verdict, age) {
            (Belonging::Same, FileAge::MayBeNewer | FileAge::Newer) => {
                Self { verdict: Belonging::CannotTell, ..self }
            }
            (Belonging::Same | Belonging::Foreign | Belonging::CannotTell, _) => self,
        }
    }

    /// What contradicts is more than what a damaged log does to its own file: settings or tables
    /// are another database's.
    #[must_use]
    pub fn is_of_another_origin(&self) -> bool {
        let tells =
            |evidence| matches!(evidence, Evidence::Header | Evidence::Schema | Evidence::Columns);
        let against = |reason: &&Reason| reason.speaks_for == SpeaksFor::Foreign;
        self.reasons.iter().filter(against).any(|reason| tells(reason.evidence))
    }

    /// The judgement in words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let verdict = self.verdict.word();
        let why = match (self.self_contained, self.verdict) {
            (true, _) => "; the log holds every page",
            (false, Belonging::CannotTell) if !self.is_contradicted() => "; nothing contradicts it",
            (false, Belonging::Same | Belonging::Foreign | Belonging::CannotTell) => "",
        };
        format!("Pairing of log and database: {verdict}{why}.")
    }

    /// Something speaks against the pair, and the log needs the file: what both give is not the
    /// database that either was.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        let against = |reason: &Reason| reason.speaks_for == SpeaksFor::Foreign;
        !self.self_contained && self.reasons.iter().any(against)
    }
}

impl<'a> Pair<'a> {
    /// The log of `view` and its base; `None` when one of them holds nothing.
    fn of(view: &'a View<'a>) -> Result<Option<Self>, scan::Error> {
        let (Some((log, shape)), Some(base)) = (view.log, view.base) else { return Ok(None) };
        let snapshot = view.snapshot;
        let Some(size_pages) = snapshot.db_size_pages.filter(|_| snapshot.to_frame > 0) else {
            return Ok(None);
        };
        if base.size()? == 0 {
            return Ok(None);
        }
        let file = FilePages::new(base, shape.page_size())?;
        Ok(Some(Self { log, shape, snapshot, base, file, both: view, size_pages }))
    }

    fn judge(&self, watch: &dyn Watch) -> Result<Pairing, scan::Error> {
        let mut self_contained = self.is_self_contained();
        if opaque::looks_encrypted(&self.file)? && opaque::looks_encrypted(self.both)? {
            // Only whole images can be compared.
            let (reasons, _) = content::compare(self, content::Limit::ALL, watch)?;
            let verdict = verdict(&reasons, self_contained);
            return Ok(Pairing { verdict, self_contained, reasons });
        }
        if let Some(reason) = header::page_size(self)? {
            return Ok(Pairing {
                verdict: Belonging::CannotTell,
                self_contained,
                reasons: vec![reason],
            });
        }
        let bytes = u64::from(self.size_pages) * self.shape.page_size().bytes_u64();
        let limit = match self_contained && bytes > MAX_CHECKED_BYTES {
            true => content::Limit::FEW,
            false => content::Limit::ALL,
        };
        let (mut reasons, firsts) = content::compare(self, limit, watch)?;
        reasons.extend(header::compare(self, &firsts)?);
        if !self_contained {
            self_contained = self.together(&mut reasons, watch)?;
        }
        let verdict = verdict(&reasons, self_contained);
        Ok(Pairing { verdict, self_contained, reasons })
    }

    /// Judges the database that the log over the file is; returns whether nothing of it comes from
    /// the file.
    fn together(&self, reasons: &mut Vec<Reason>, watch: &dyn Watch) -> Result<bool, scan::Error> {
        let schema = Schema::read(self.both)?;
        reasons.extend(columns::schemas(&Schema::read(&self.file)?, &schema));
        let bytes = u64::from(self.size_pages) * self.shape.page_size().bytes_u64();
        if bytes.max(self.base.size()?) > MAX_CHECKED_BYTES {
            reasons.extend(links::follow(self, watch)?);
            return Ok(false);
        }
        let both = check(self.both, watch)?;
        reasons.extend(columns::records(self, &both, &schema)?);
        reasons.extend(structure::growth(self, &both, &database::header(&self.file)?)?);
        if !both.is_sound() {
            reasons.extend(structure::problems(&both, &check(&self.file, watch)?));
        }
        Ok(structure::is_self_contained(self, &both))
    }

    /// Every page of the result but the one of the lock bytes has a frame.
    fn is_self_contained(&self) -> bool {
        let size_pages = self.size_pages;
        let lock = self.shape.page_size().lock_byte_page();
        let wanted = if lock.0 <= size_pages { size_pages - 1 } else { size_pages };
        let held = self.snapshot.pages.keys().filter(|page| **page != lock && **page != Pgno(0));
        self.snapshot.to_frame > 0 && u32::try_from(held.count()).is_ok_and(|held| held >= wanted)
    }
}
