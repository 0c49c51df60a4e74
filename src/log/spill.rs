//! Transactions of SQLite before 3.41 whose first frames were committed without salts and sums.
//!
//! A transaction spills, rewrites a spilled page (`iReCksum` is set), rolls back to a savepoint
//! made before the first spill, spills again and commits. Frames that are appended while `iReCksum`
//! is set get zeros at 8..23 (wal.c walWriteOneFrame), and the commit rewrites only those from
//! `iReCksum` on (walRewriteChecksums), from the sum that the frame before them stores: zero.
//! Recovery stops at the first such frame, and the transaction is lost with the wal-index.
//!
//! A chain of the current salts that begins at the sum zero and leads to a commit is written by
//! nothing else. It proves its own frames, and that the frame before it has no sum. That all frames
//! without one are of its transaction follows where they begin at frame 1: whoever had recovered
//! and gone on would have written frame 1 again. Later in a log frames after a commit may have been
//! written since, over a part of them. No sum covers the images of these frames.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::{Checksum, FrameHeader, FrameNo};
use crate::scan::{Error, FrameFacts, Watch};
use crate::storage::File;

use super::cure::{Cure, Cured};
use super::proof::Proof;
use super::{LogShape, Prefix};

/// What is found where a prefix ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spill {
    /// No such transaction.
    None,
    /// A whole one: its frames without sums, with the headers that they should have had, as of a
    /// chain in which their own sum is zero.
    Whole(BTreeMap<FrameNo, Cured>),
    /// Its commit had begun, for the chain is there, and does not lead to the last frame.
    Torn,
}

/// Looks for such a transaction at the end of the prefix.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn find(
    log: &dyn File,
    shape: &LogShape,
    prefix: &Prefix,
    watch: &dyn Watch,
) -> Result<Spill, Error> {
    let mut fold = Fold::new(shape);
    if prefix.last_current.is_some() {
        for facts in shape.facts(log, prefix.stop.frame..shape.extent.end(), watch) {
            match fold.push(&facts?) {
                Next::Frame => {}
                Next::Commit => return Ok(Spill::Whole(fold.unsummed)),
                Next::Nothing => break,
            }
        }
    }
    Ok(if fold.sum.is_some() { Spill::Torn } else { Spill::None })
}

/// Whether the transaction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Frame,
    /// It is whole.
    Commit,
    /// There is none.
    Nothing,
}

/// A transaction that is being read.
struct Fold<'a> {
    shape: &'a LogShape,
    unsummed: BTreeMap<FrameNo, Cured>,
    /// A transaction writes a page once; only the last frame of a commit is always appended.
    pages: BTreeSet<u32>,
    /// Of the last frame of the chain; `None` before it begins.
    sum: Option<Checksum>,
}

impl<'a> Fold<'a> {
    fn new(shape: &'a LogShape) -> Self {
        Self { shape, unsummed: BTreeMap::new(), pages: BTreeSet::new(), sum: None }
    }

    fn push(&mut self, facts: &FrameFacts) -> Next {
        let FrameHeader { page, commit_size_pages, salts, checksum } = facts.header;
        let is_commit = commit_size_pages != 0;
        let is_page = page.0 != 0 && page != self.shape.page_size().lock_byte_page();
        if !is_page || (!self.pages.insert(page.0) && !is_commit) {
            return Next::Nothing;
        }
        if facts.is_in_progress() && !is_commit && self.sum.is_none() {
            let header = FrameHeader { salts: self.shape.salts, ..facts.header };
            // Directly after a commit, SQLite may have recovered here and written on.
            let first = self.unsummed.first_key_value().map_or(facts.frame, |(first, _)| *first);
            let proof = match first == FrameNo::FIRST {
                true => Proof::Evidence,
                false => Proof::Likelihood,
            };
            let (cure, chance) = (Cure::Unsummed, Some(0.0));
            let cured = Cured { cure, header, chance, proof, rivals: 0 };
            self.unsummed.insert(facts.frame, cured);
            return Next::Frame;
        }
        let before = self.sum.unwrap_or(Checksum::ZERO);
        let follows = salts == self.shape.salts && self.shape.joiner().follows(facts, before);
        if !follows || self.unsummed.is_empty() {
            return Next::Nothing;
        }
        self.sum = Some(checksum);
        if is_commit { Next::Commit } else { Next::Frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{ByteOrder, PageSize, Pgno, Salts};

    const SALTS: Salts = Salts { salt1: 7, salt2: 9 };

    /// Frames of one page each: `None` without a sum, `Some(commit size)` chained from the sum
    /// before.
    fn judged(frames: &[(u32, Option<u32>)], first_sum: Checksum) -> Option<Vec<u32>> {
        let image = [3; 512];
        let header = crate::format::WalHeader::new(ByteOrder::Little, PageSize::ALL[0], 0, SALTS);
        let bytes = 32 + frames.len() as u64 * 536;
        let shape = LogShape::of(&header, bytes)?;
        let mut fold = Fold::new(&shape);
        let mut sum = first_sum;
        for (number, &(page, commit)) in (1..).zip(frames) {
            let zero = Salts { salt1: 0, salt2: 0 };
            let mut header = FrameHeader {
                page: Pgno(page),
                commit_size_pages: commit.unwrap_or_default(),
                salts: if commit.is_some() { SALTS } else { zero },
                checksum: Checksum::ZERO,
            };
            if commit.is_some() {
                sum = header.sum_from(sum, ByteOrder::Little, &image);
                header.checksum = sum;
            }
            let slot = [header.encode().as_slice(), &image].concat();
            let facts = FrameFacts::judge(FrameNo(number), &slot, ByteOrder::Little);
            match fold.push(&facts) {
                Next::Frame => {}
                Next::Commit => return Some(fold.unsummed.keys().map(|frame| frame.0).collect()),
                Next::Nothing => return None,
            }
        }
        None
    }

    #[test]
    fn only_a_chain_from_zero_to_a_commit_proves_frames_without_sums() {
        let zero = Checksum::ZERO;
        let (unsummed, chained, commit) = (None, Some(0), Some(9));
        let whole = [(2, unsummed), (3, unsummed), (4, chained), (5, commit)];
        assert_eq!(judged(&whole, zero), Some(vec![1, 2]));
        assert_eq!(judged(&[(2, unsummed), (5, commit)], zero), Some(vec![1]));
        // The last frame of a commit may write a page again.
        assert_eq!(judged(&[(2, unsummed), (2, commit)], zero), Some(vec![1]));
        // From another sum, without a commit, without such frames, and with a page twice.
        assert_eq!(judged(&whole, Checksum { a: 1, b: 0 }), None);
        assert_eq!(judged(&whole[..3], zero), None);
        assert_eq!(judged(&whole[2..], zero), None);
        assert_eq!(judged(&[(2, unsummed), (2, unsummed), (5, commit)], zero), None);
        assert_eq!(judged(&[(2, unsummed), (0, unsummed), (5, commit)], zero), None);
        // One without a sum inside the chain is no part of it.
        assert_eq!(judged(&[(2, unsummed), (3, chained), (4, unsummed), (5, commit)], zero), None);
    }
}
