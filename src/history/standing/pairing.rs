//! What is known of a log and a database file, and what that says.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use crate::format::Pgno;

use super::newer::{Age, FileAge};
use super::order::Order;

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
    /// The log over the file is known not to be a sound database: it was damaged before, or the
    /// file is a part of a later one, which a loss of power during a checkpoint leaves.
    #[serde(skip)]
    pub is_unsound: bool,
    /// The log over the file is too large to be checked as a whole, and nothing tells that it is
    /// sound.
    #[serde(skip)]
    pub is_too_large: bool,
    /// Which of file and log came after the other.
    pub order: Order,
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
    /// What the log was begun on: the size before its first commit, the structure of its first
    /// states, and rows that its later transactions have changed or written.
    Beginning,
    /// Pages used twice or never, or that are not there.
    PageUse,
    /// Lengths of overflow chains.
    Overflow,
    /// The pointer map.
    PointerMap,
    /// Index entries, against the rows of their table.
    IndexEntries,
}

impl Reason {
    /// Speaks against the pair.
    pub(super) fn contradicts(&self) -> bool {
        self.speaks_for == SpeaksFor::Foreign
    }

    /// Both have images or rows of one database.
    pub(super) fn is_in_common(&self) -> bool {
        let content = [Evidence::Images, Evidence::EqualImages, Evidence::Rows];
        !self.contradicts() && content.contains(&self.evidence)
    }

    /// The log was begun on another state.
    fn is_another_beginning(&self) -> bool {
        self.evidence == Evidence::Beginning && self.speaks_for == SpeaksFor::Foreign
    }
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

fn verdict(reasons: &[Reason], self_contained: bool) -> Belonging {
    // One fact may show in several ways; it is one for each kind of evidence, table and page.
    let count = |wanted| {
        // Another state of the same database contradicts the beginning of the log as well.
        let in_time = |reason: &&Reason| reason.evidence == Evidence::Beginning;
        let reasons = reasons.iter().filter(|reason| reason.speaks_for == wanted);
        let reasons = reasons.filter(|reason| !in_time(reason));
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
    let is_other_state = reasons.iter().any(Reason::is_another_beginning);
    match count(SpeaksFor::Foreign) {
        2.. if !speaks_for_it && !self_contained => Belonging::Foreign,
        0 if is_told && !is_other_state => Belonging::Same,
        _ => Belonging::CannotTell,
    }
}

impl Pairing {
    pub(super) fn of(
        reasons: Vec<Reason>,
        self_contained: bool,
        is_unsound: bool,
        order: Order,
    ) -> Self {
        let verdict = verdict(&reasons, self_contained);
        let order = if verdict == Belonging::Same { Order::Current } else { order };
        Self { verdict, self_contained, is_unsound, is_too_large: false, order, reasons }
    }

    /// The same, where the file may have what came after the log: then it is not the state that the
    /// log was written on.
    #[must_use]
    pub fn beside(self, age: Age) -> Self {
        let order = self.order_beside(age);
        let verdict = match (self.verdict, age.file) {
            (Belonging::Same, FileAge::MayBeNewer | FileAge::Newer) => Belonging::CannotTell,
            (verdict, _) => verdict,
        };
        Self { verdict, order, ..self }
    }

    /// The order, where the file may have what came after the log. Its size and the order of its
    /// pages are those of a later file in a fork, too, but that has no more than one or two images
    /// of the log. A file that is the newest state may only have later pages that the log has not.
    #[must_use]
    pub fn order_beside(&self, age: Age) -> Order {
        let images = [Evidence::Images, Evidence::EqualImages];
        let equal = self.reasons.iter().filter(|reason| images.contains(&reason.evidence));
        let behind = |reason: &Reason| {
            reason.speaks_for == SpeaksFor::Foreign && reason.evidence == Evidence::Counters
        };
        match (age.file, self.order) {
            (_, Order::FileNewer | Order::FileOlder | Order::Fork) if age.is_newest_state => {
                if self.self_contained { Order::Current } else { Order::Unknown }
            }
            (FileAge::Newer, Order::FileOlder) if self.reasons.iter().any(behind) => {
                Order::FileOlder
            }
            (FileAge::Newer, Order::Fork) if equal.map(|it| it.count).sum::<u64>() < 3 => {
                Order::Fork
            }
            (FileAge::Newer, _) => Order::FileNewer,
            (FileAge::MayBeNewer, Order::Current) => Order::Unknown,
            (FileAge::MayBeNewer | FileAge::NotNewer, order) => order,
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

    /// The log holds every page, and the file is a later state: nothing of that would be left.
    #[must_use]
    pub fn takes_all_back(&self) -> bool {
        self.self_contained && matches!(self.order, Order::FileNewer | Order::Fork)
    }

    /// File and log are two states of one database: more than one size says so.
    #[must_use]
    pub fn is_another_state(&self) -> bool {
        let is_told = matches!(self.order, Order::FileNewer | Order::FileOlder | Order::Fork);
        let is_told = is_told && !self.self_contained;
        is_told && self.reasons.iter().any(Reason::is_another_beginning)
    }

    /// Nothing tells whether the file is later than the log, or another state of its database.
    #[must_use]
    pub fn is_open_in_time(&self) -> bool {
        // What only changes values leaves the counters of a page 1 that was copied.
        let counters_tell = !self.has_images();
        let tells = |it: &Reason| {
            it.evidence == Evidence::Beginning
                || (it.evidence == Evidence::Counters && counters_tell)
        };
        let is_told = !self.is_unsound && self.reasons.iter().any(tells);
        self.order == Order::Unknown && (!is_told || self.reasons.iter().any(Reason::contradicts))
    }

    /// The file has images of the log.
    #[must_use]
    pub fn has_images(&self) -> bool {
        let images = [Evidence::Images, Evidence::EqualImages];
        self.reasons.iter().any(|it| !it.contradicts() && images.contains(&it.evidence))
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
