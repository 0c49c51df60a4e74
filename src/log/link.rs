//! Does a frame follow from the one before it? Judged with a look at the one after it.
//!
//! A frame's checksum continues from the sum *stored* in its predecessor, so damage stays in the
//! frame that is really damaged as long as the right sum can still be known: from the stored field,
//! from the bytes, or from the successor.

use serde::Serialize;

use crate::format::{Checksum, FrameHeader, Pgno, Salts};
use crate::scan::{self, FrameFacts, Joiner};

use super::LogShape;
use super::correction::{self, Corrections, StoredSum, Word};
use super::cure::{Cure, Cured, Cures};
use super::proof::Proof;

/// What is known of the sum before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// Proven right.
    Trusted(Checksum),
    /// As stored, by a frame that could not be judged itself.
    Unverified(Checksum),
    /// Lost.
    Lost,
}

/// Why a frame does not follow although it is of the current generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameFault {
    /// The page image or the first 8 bytes of its header are wrong; its stored sum is right.
    Content,
    /// The salts are wrong; the sum proves the rest.
    Salt,
    /// Salts and sum, which SQLite before 3.41 left zero: no sum covers its image.
    Unsummed,
    /// The stored sum is wrong; the rest is right.
    ChecksumField,
    /// No successor could tell.
    Unknown,
}

impl FrameFault {
    /// What that says of the frame's stored sum.
    #[must_use]
    pub fn stored_sum(self) -> StoredSum {
        match self {
            Self::Content => StoredSum::Proven,
            Self::Salt | Self::Unsummed | Self::ChecksumField | Self::Unknown => StoredSum::Unknown,
        }
    }
}

/// How a frame follows its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It follows, and carries the salts of the log.
    Linked,
    /// It does not, though it belongs to this generation.
    Broken {
        /// What is wrong.
        fault: FrameFault,
        /// How the right bytes could be known from the sums alone.
        corrections: Corrections,
    },
    /// It carries the log's salts, but the sum before it is lost.
    Unproven,
    /// All zero.
    Blank,
    /// Other salts, and nothing that ties it to this generation.
    Foreign,
}

/// A frame with its link, and its header as it should be where that is proven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The frame as found.
    pub facts: FrameFacts,
    /// What is known of the sum before it.
    pub before: Seed,
    /// How it follows its predecessor.
    pub link: Link,
    /// The header after a proven correction; as found otherwise.
    pub header: FrameHeader,
    /// How its right bytes are recovered, if they are known from elsewhere.
    pub cured: Option<Cured>,
    /// A slot that is not likely to be a leftover of any generation: bytes that something else has
    /// written there, or zeros but for the beginning.
    pub is_no_frame: bool,
}

/// Pages of a database that is larger than nearly any: 512 GiB in pages of 4096 bytes.
pub(super) const MOST_LIKELY_PAGES: u32 = 1 << 27;

/// Generations that a log is not likely to have had since a slot of it was written.
pub(super) const MOST_LIKELY_AGE: u32 = 1 << 16;

/// Whether a slot that is not of the generation of `salts` looks like a frame of an older one: its
/// numbers are likely, its second salt is another one, and its first salt counts up to ours (wal.c
/// walRestartHdr) or the slot after it has the same.
pub(super) fn is_likely_leftover(
    facts: &FrameFacts,
    successor: Option<&FrameFacts>,
    salts: Salts,
) -> bool {
    let FrameHeader { page, commit_size_pages, salts: own, .. } = facts.header;
    let numbers = page.0 != 0 && page.0.max(commit_size_pages) <= MOST_LIKELY_PAGES;
    // Each generation draws its own second salt (wal.c walRestartHdr).
    let numbers = numbers && own.salt2 != salts.salt2;
    let age = salts.salt1.wrapping_sub(own.salt1);
    let has_fellow = successor.is_some_and(|next| next.header.salts == own);
    numbers && ((1..=MOST_LIKELY_AGE).contains(&age) || has_fellow || facts.is_in_progress())
}

impl Judged {
    /// Whether its right bytes are known by the simplest explanation only.
    #[must_use]
    pub fn is_only_likely(&self) -> bool {
        match (self.cured, self.link) {
            (Some(cured), _) => cured.proof == Proof::Likelihood,
            (None, Link::Broken { fault: FrameFault::Salt, .. }) => false,
            (None, Link::Broken { corrections: Corrections::Unique(_), .. }) => true,
            (None, _) => false,
        }
    }

    /// Whether it is known what the right bytes are, or at least what they likely are.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        match self.link {
            // Nobody writes page 0, whatever the sums say.
            _ if self.header.page.0 == 0 => false,
            _ if self.cured.is_some() => true,
            Link::Linked => true,
            Link::Broken {
                fault: FrameFault::Salt | FrameFault::Unsummed | FrameFault::ChecksumField,
                ..
            } => true,
            Link::Broken { corrections: Corrections::Unique(_), .. } => true,
            Link::Broken { .. } | Link::Unproven | Link::Blank | Link::Foreign => false,
        }
    }
}

/// Frames with their links, in file order: each is judged as soon as its successor is read. Nothing
/// comes after an error.
#[derive(Debug)]
pub struct Links<I> {
    facts: I,
    linker: Linker,
    /// Read, and not judged yet.
    waiting: Option<FrameFacts>,
}

impl<I: Iterator<Item = Result<FrameFacts, scan::Error>>> Links<I> {
    /// Judges `facts`, of which the first comes after a frame with the right sum `before`.
    pub fn new(facts: I, shape: &LogShape, before: Checksum, cures: Cures) -> Self {
        let (joiner, salts, seed) = (shape.joiner(), shape.salts, Seed::Trusted(before));
        Self { facts, linker: Linker { joiner, salts, seed, cures }, waiting: None }
    }

    /// The frame after the one that was judged last.
    #[must_use]
    pub fn successor(&self) -> Option<FrameFacts> {
        self.waiting
    }
}

impl<I: Iterator<Item = Result<FrameFacts, scan::Error>>> Iterator for Links<I> {
    type Item = Result<Judged, scan::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = match self.facts.next().transpose() {
                Ok(next) => next,
                Err(error) => {
                    self.waiting = None;
                    return Some(Err(error));
                }
            };
            let before = std::mem::replace(&mut self.waiting, next);
            if let Some(facts) = before {
                return Some(Ok(self.linker.judge(facts, next.as_ref())));
            }
            next?;
        }
    }
}

/// Judges frames in file order.
#[derive(Clone, Debug)]
struct Linker {
    joiner: Joiner,
    salts: Salts,
    seed: Seed,
    cures: Cures,
}

impl Linker {
    fn judge(&mut self, facts: FrameFacts, successor: Option<&FrameFacts>) -> Judged {
        let before = self.seed;
        let cured = self.cures.get(facts.frame);
        let (link, header, seed) = match cured {
            Some(Cured { cure, header, .. }) => {
                let fault = match cure {
                    Cure::Unsummed => FrameFault::Unsummed,
                    Cure::Field(Word::StoredA | Word::StoredB) => FrameFault::ChecksumField,
                    Cure::Image { .. }
                    | Cure::Moved(_)
                    | Cure::Header
                    | Cure::Word(_)
                    | Cure::Field(_) => FrameFault::Content,
                };
                (broken(fault, Corrections::None), header, Seed::Trusted(header.checksum))
            }
            None => self.link(&facts, successor),
        };
        self.seed = seed;
        // What an open transaction of SQLite before 3.41 has not summed has zeros in its header,
        // but an image.
        let has_image = || self.joiner.image_sum(&facts) != Checksum::ZERO;
        let is_no_frame = match link {
            Link::Foreign => {
                facts.header.checksum.b == 0 && !has_image()
                    || !is_likely_leftover(&facts, successor, self.salts)
            }
            Link::Broken { .. } => successor.is_none_or(|next| next.blank) && !has_image(),
            Link::Linked | Link::Unproven | Link::Blank => false,
        };
        Judged { facts, before, link, header, cured, is_no_frame }
    }

    fn link(
        &self,
        facts: &FrameFacts,
        successor: Option<&FrameFacts>,
    ) -> (Link, FrameHeader, Seed) {
        let header = facts.header;
        let stored = header.checksum;
        let current = header.salts == self.salts;
        if facts.blank {
            return (Link::Blank, header, Seed::Lost);
        }
        let (Seed::Trusted(before) | Seed::Unverified(before)) = self.seed else {
            return match current {
                true => (Link::Unproven, header, Seed::Unverified(stored)),
                false => (Link::Foreign, header, Seed::Lost),
            };
        };
        let computed = self.joiner.sum(facts, before);
        if computed == stored {
            let link = match (current, header.page.0) {
                (_, 0) => broken(FrameFault::Content, Corrections::None),
                (true, _) => Link::Linked,
                (false, _) => broken(FrameFault::Salt, Corrections::None),
            };
            let header = FrameHeader { salts: self.salts, ..header };
            return (link, header, Seed::Trusted(stored));
        }
        let successor = successor.filter(|next| next.header.salts == self.salts);
        let follows = |sum| successor.is_some_and(|next| self.joiner.follows(next, sum));
        if matches!(self.seed, Seed::Unverified(_)) {
            return match current {
                true if follows(stored) => (Link::Unproven, header, Seed::Trusted(stored)),
                true => (Link::Unproven, header, Seed::Unverified(stored)),
                false => (Link::Foreign, header, Seed::Lost),
            };
        }
        if follows(computed) {
            let header = FrameHeader { salts: self.salts, checksum: computed, ..header };
            let link = broken(FrameFault::ChecksumField, Corrections::None);
            return (link, header, Seed::Trusted(computed));
        }
        let by_successor = if follows(stored) { StoredSum::Proven } else { StoredSum::Unknown };
        if !current && by_successor == StoredSum::Unknown {
            return (Link::Foreign, header, Seed::Lost);
        }
        self.broken_content(facts, computed, by_successor)
    }

    fn broken_content(
        &self,
        facts: &FrameFacts,
        computed: Checksum,
        by_successor: StoredSum,
    ) -> (Link, FrameHeader, Seed) {
        let stored = facts.header.checksum;
        let found = correction::corrections(facts, computed, by_successor, &self.joiner);
        let (fault, seed) = match (by_successor, found) {
            (StoredSum::Proven, _) => (FrameFault::Content, Seed::Trusted(stored)),
            (StoredSum::Unknown, Corrections::Unique(only)) => match only.word {
                Word::StoredA | Word::StoredB => {
                    (FrameFault::ChecksumField, Seed::Trusted(computed))
                }
                Word::PageNumber | Word::CommitSize | Word::Image(_) => {
                    (FrameFault::Content, Seed::Trusted(stored))
                }
            },
            (StoredSum::Unknown, Corrections::None | Corrections::Several { .. }) => {
                (FrameFault::Unknown, Seed::Lost)
            }
        };
        let header = match found {
            Corrections::Unique(only) => {
                correction::corrected_header(facts, only, self.joiner.order())
            }
            Corrections::None | Corrections::Several { .. } => facts.header,
        };
        (broken(fault, found), header, seed)
    }
}

fn broken(fault: FrameFault, corrections: Corrections) -> Link {
    Link::Broken { fault, corrections }
}

impl Judged {
    /// The page that a frame was to write whose image cannot be recovered: its salts and sum are
    /// right, and no one-word fault of its header explains the sums. `None` where that is not
    /// known.
    #[must_use]
    pub fn page_without_image(&self) -> Option<Pgno> {
        let Link::Broken { fault: FrameFault::Content, corrections } = self.link else {
            return None;
        };
        let sure = match corrections {
            Corrections::None | Corrections::Several { touches_header: false } => true,
            Corrections::Several { touches_header: true } | Corrections::Unique(_) => false,
        };
        Some(self.facts.header.page).filter(|page| sure && page.0 != 0)
    }

    /// Whether the frame itself tells that it was damaged or torn, rather than left over: sums or
    /// a single word explain it, or it says that it was to commit.
    #[must_use]
    pub fn shows_damage(&self) -> bool {
        match self.link {
            Link::Broken {
                corrections: Corrections::Unique(_) | Corrections::Several { .. },
                ..
            } => true,
            Link::Broken { .. } => self.is_proven() || self.header.commit_size_pages != 0,
            Link::Linked | Link::Unproven | Link::Blank | Link::Foreign => false,
        }
    }
}
