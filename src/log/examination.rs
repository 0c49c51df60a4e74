//! What the bytes of a log tell: its verdict, and the facts that it rests on.

use std::ops::Range;

use serde::Serialize;

use crate::format::{FrameNo, PageSize, WalHeader, WalHeaderFault};
use crate::scan::{self, FrameFacts, KnownFrames, Watch};
use crate::storage::File;

use super::forecast::{DamagedFrame, Lost};
use super::prefix::Prefix;
use super::shape::LogShape;
use super::shift::{Displacement, Layers};
use super::state::{Slot, Slots};
use super::tail::Tail;

/// The one verdict of a log; the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It could not be read, or is no log.
    Unreadable,
    /// There is no file.
    Absent,
    /// SQLite ignores the whole log, or refuses to open the database.
    BadHeader,
    /// SQLite will silently drop committed transactions.
    Damaged,
    /// What a crash leaves; nothing committed is lost.
    TornTail,
    /// Valid frames after the last commit, which SQLite drops, as it should.
    UncommittedTail,
    /// No valid frame, nothing lost.
    Empty,
    /// None of these.
    Clean,
}

impl Verdict {
    /// The word for it in tables and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Absent => "absent",
            Self::BadHeader => "bad-header",
            Self::Damaged => "damaged",
            Self::TornTail => "torn-tail",
            Self::UncommittedTail => "uncommitted-tail",
            Self::Empty => "empty",
            Self::Clean => "clean",
        }
    }
}

/// The header of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderStatus {
    /// The file is shorter than a header, or has nothing after it: SQLite does not parse it.
    Short,
    /// Valid.
    Ok,
    /// SQLite ignores it.
    Fault(WalHeaderFault),
}

impl HeaderStatus {
    /// The status of a header that is whole.
    pub(super) fn of(header: &WalHeader) -> Self {
        header.validate().map_or_else(Self::Fault, |()| Self::Ok)
    }
}

/// Everything that the bytes of a log tell.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The verdict.
    pub verdict: Verdict,
    /// The header's state.
    pub header_status: HeaderStatus,
    /// The header as found; `None` when the file is shorter.
    pub header: Option<WalHeader>,
    /// Size of the file when it was sampled.
    pub file_bytes: u64,
    /// How its frames are read, by the header or by guess; `None` when that is not known.
    pub shape: Option<LogShape>,
    /// What recovery accepts.
    pub prefix: Prefix,
    /// What lies after that.
    pub tail: Tail,
    /// Damaged frames, ascending.
    pub damaged: Vec<DamagedFrame>,
    /// What SQLite will drop.
    pub lost: Option<Lost>,
    /// What is not where it should be.
    pub displacement: Displacement,
    /// The log with those in their places; `None` where all bytes are.
    pub undone: Option<Box<ShiftUndone>>,
    /// Frames of the prefix, as far as they were to be kept.
    pub known: KnownFrames,
}

impl Examination {
    /// The page size, if header or frames tell it.
    #[must_use]
    pub fn page_size(&self) -> Option<PageSize> {
        self.shape.map(|shape| shape.page_size())
    }

    /// The facts of the slots `frames` of the examined log, in file order; none where its shape is
    /// not known. What the examination has kept is not read again.
    pub fn facts<'a>(
        &'a self,
        file: &'a dyn File,
        frames: Range<FrameNo>,
        watch: &'a dyn Watch,
    ) -> impl Iterator<Item = Result<FrameFacts, scan::Error>> {
        self.shape
            .into_iter()
            .flat_map(move |shape| shape.facts_beside(&self.known, file, frames.clone(), watch))
    }

    /// The slots up to `last`, each judged with a look at the one after it; none where the shape of
    /// the log is not known.
    pub fn slots<'a>(
        &'a self,
        file: &'a dyn File,
        last: FrameNo,
        watch: &'a dyn Watch,
    ) -> impl Iterator<Item = Result<Slot, scan::Error>> {
        self.shape.into_iter().flat_map(move |shape| {
            let facts = self.facts(file, FrameNo::FIRST..last.next().next(), watch);
            up_to(last, Slots::new(facts, &shape, &self.prefix, &self.tail))
        })
    }

    /// As [`Self::slots`], from the stop of the prefix on.
    pub fn slots_after_prefix<'a>(
        &'a self,
        file: &'a dyn File,
        last: FrameNo,
        watch: &'a dyn Watch,
    ) -> impl Iterator<Item = Result<Slot, scan::Error>> {
        self.shape.into_iter().flat_map(move |shape| {
            let facts = shape.facts(file, self.prefix.stop.frame..last.next().next(), watch);
            up_to(last, Slots::after_prefix(facts, &shape, &self.prefix, &self.tail))
        })
    }
}

fn up_to(
    last: FrameNo,
    slots: impl Iterator<Item = Result<Slot, scan::Error>>,
) -> impl Iterator<Item = Result<Slot, scan::Error>> {
    slots.take_while(move |slot| slot.as_ref().map_or(true, |slot| slot.judged.facts.frame <= last))
}

/// A log with its bytes in their places.
#[derive(Clone, Debug)]
pub struct ShiftUndone {
    pub(super) layers: Layers,
    /// What it is. Its prefix is what SQLite sees of the file as it is.
    pub examination: Examination,
}

impl ShiftUndone {
    /// The log, read from `file`, which is what was examined.
    #[must_use]
    pub fn file(&self, file: Box<dyn File>) -> Box<dyn File> {
        self.layers.apply(file)
    }
}
