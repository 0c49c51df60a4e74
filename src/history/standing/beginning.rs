//! What the log says of the state of the file that it was written on.
//!
//! A log is begun on a file that has everything that was committed before (wal.c walRestartLog),
//! and from then on a checkpoint alone writes to the file, images of this log. So a file of which
//! no page is an image of the log is that state, and every commit of the log over it is a state
//! that the database had. What contradicts that tells that the log was begun on another state of
//! the file: an earlier one, or one that a copy of it went on to.

use std::collections::BTreeSet;

use crate::database::{self, Error, Pages, Schema, check};
use crate::format::{DatabaseHeader, FrameNo, Pgno};
use crate::history::view::View;
use crate::scan::{FrameFacts, Watch};

use super::columns::{are_replaced, former_names, share_a_table, statements_between};
use super::own_fault::OwnFaults;
use super::{Evidence, MAX_CHECKED_BYTES, Pair, Reason, SpeaksFor, structure};

/// Most states of the log whose structure is checked.
const MAX_STATES: usize = 32;

/// What the frames of the log's own generation say of it. Nothing, where not all were read.
#[derive(Default)]
pub(super) struct Beginning {
    /// Frames of page 1.
    pub firsts: Vec<FrameNo>,
    /// The file has the image of one of them.
    pub has_page_1: bool,
    /// The newest frame of which the file has the image.
    copied_to: Option<FrameNo>,
    /// The newest of the first frames of the pages of which the file has an image: of earlier
    /// states it does not have every page.
    known_from: Option<FrameNo>,
    /// The frames that commit.
    commits: Vec<FrameNo>,
    /// What the first commit leaves as it was: the pages of the database.
    size_before: Option<u32>,
    /// Size of the database at the last commit, and each size that it had.
    last_size: u32,
    sizes: BTreeSet<u32>,
    /// A commit makes the database smaller: a checkpoint cuts pages off that earlier states have.
    shrinks: bool,
    /// The size that the first commit gives.
    first_size: Option<u32>,
    /// The first transaction writes every page, as VACUUM does.
    is_vacuum: bool,
    /// Frames of the transaction that is being read.
    open_frames: u32,
    /// Frames with the salts of the log are after its last commit: they may be what a damaged log
    /// has lost.
    goes_on: bool,
    /// Not every page was compared with the file.
    is_partial: bool,
}

impl Beginning {
    /// Takes the next frame of the generation; `to_frame` is its last commit.
    pub(super) fn take(&mut self, facts: &FrameFacts, to_frame: u32) {
        if facts.frame.0 > to_frame {
            self.goes_on = true;
            return;
        }
        self.open_frames += 1;
        let Some(size_pages) = facts.commit_size_pages() else { return };
        // Page 1 itself comes after this, where it is the frame that commits.
        let writes_page_1 = facts.header.page == Pgno::FIRST || !self.firsts.is_empty();
        if self.commits.is_empty() && !writes_page_1 {
            self.size_before = Some(size_pages);
        }
        self.commits.push(facts.frame);
        self.shrinks |= size_pages < self.last_size;
        self.last_size = size_pages;
        self.sizes.insert(size_pages);
        if self.first_size.is_none() {
            self.first_size = Some(size_pages);
            // The page of the lock bytes is not written.
            self.is_vacuum = self.open_frames.saturating_add(1) >= size_pages;
        }
    }

    /// Takes the next frame of page 1, and whether the file has its image.
    pub(super) fn take_first(&mut self, facts: &FrameFacts, is_in_file: bool) {
        self.firsts.push(facts.frame);
        if let Some(&first) = self.firsts.first().filter(|_| is_in_file) {
            self.has_page_1 = true;
            self.has_image_of(facts.frame, first);
        }
    }

    /// The file has the image in `frame`, of a page whose first one is in `first`.
    pub(super) fn has_image_of(&mut self, frame: FrameNo, first: FrameNo) {
        self.copied_to = self.copied_to.max(Some(frame));
        self.known_from = self.known_from.max(Some(first));
    }

    /// A page is not compared with the file.
    pub(super) fn leave_out_a_page(&mut self) {
        self.is_partial = true;
    }

    /// The transaction of a frame, counted from 0.
    pub(super) fn transaction_of(&self, frame: FrameNo) -> usize {
        self.commits.partition_point(|&commit| commit < frame)
    }

    /// Whether the file has no image of the log, of which all is known.
    pub(super) fn is_uncopied(&self, pair: &Pair) -> bool {
        self.is_known(pair) && self.copied_to.is_none() && pair.snapshot.to_frame > 0
    }

    /// The size of the database at the first commit.
    pub(super) fn size_at_first(&self) -> Option<u32> {
        self.first_size
    }

    /// Whether all is known, of a log and a file as they are.
    pub(super) fn is_known(&self, pair: &Pair) -> bool {
        let View { fixes, base_pages, page_count, .. } = pair.both;
        let is_plain = fixes.is_empty() && base_pages.is_empty() && page_count.is_none();
        is_plain && !self.goes_on && !self.is_partial && !self.commits.is_empty()
    }

    /// A database changes its size with page 1 (btree.c allocateBtreePage), and without a pointer
    /// map only VACUUM makes it smaller. Asked where page 1 of the file is none of the log's, and
    /// counts the pages that the file has.
    pub(super) fn sizes(
        &self,
        pair: &Pair,
        file: &DatabaseHeader,
    ) -> Result<Option<Reason>, Error> {
        let count = file.page_count().filter(|_| self.is_known(pair));
        // Without page 1 the size stays.
        if let Some(count) = count.filter(|count| !self.sizes.contains(count))
            && self.firsts.is_empty()
            && self.commits.len() >= 2
            && pair.file.size_pages()? == count
        {
            let size = self.last_size;
            return Ok(Some(against(format!(
                "the log never writes page 1 and commits {size} pages, and the file has {count}"
            ))));
        }
        let count = count.filter(|_| self.is_uncopied(pair));
        let Some(count) = count.filter(|_| !self.has_page_1) else { return Ok(None) };
        // A wrong number in one frame is something else.
        if self.commits.len() < 2 || pair.file.size_pages()? != count {
            return Ok(None);
        }
        let may_shrink = file.largest_root != 0 || self.is_vacuum;
        Ok(match (self.size_before, self.first_size) {
            (Some(before), _) if before != count => Some(against(format!(
                "the first commit leaves the database at {before} pages, and the file has {count}"
            ))),
            (None, Some(size)) if size < count && !may_shrink => Some(against(format!(
                "the first commit has {size} pages and is no VACUUM, and the file has {count}"
            ))),
            (_, _) => None,
        })
    }

    /// What says that the file is no later than the log: it is smaller, and only VACUUM makes a
    /// database without a pointer map smaller.
    pub(super) fn growth(&self, pair: &Pair) -> Result<Option<Reason>, Error> {
        let file = database::header(&pair.file)?;
        let pages = file.page_count().filter(|_| self.is_known(pair) && file.largest_root == 0);
        let grows = pages.filter(|&pages| pages < self.last_size && !self.shrinks);
        Ok(grows.map(|pages| {
            let size_pages = self.last_size;
            let example =
                format!("the file ends with page {pages}, and the log grows it to {size_pages}");
            Reason { speaks_for: SpeaksFor::Same, ..against(example) }
        }))
    }

    /// Commits up to `last` that were states of the database, if the file is the log's own.
    /// A page of an interrupted copy may be neither the old one nor the new one, unless the file is
    /// sound by itself.
    pub(super) fn known_states(&self, pair: &Pair, is_sound: bool, last: FrameNo) -> &[FrameNo] {
        let known_from = if is_sound && !self.shrinks { self.known_from } else { self.copied_to };
        let from = self.commits.partition_point(|&commit| Some(commit) < known_from);
        let to = self.commits.partition_point(|&commit| commit <= last);
        self.commits.get(from..to).filter(|_| self.is_known(pair)).unwrap_or_default()
    }

    /// Those of them that are not the last: the earliest, and others up to `most` that are as far
    /// apart as can be.
    fn states(&self, pair: &Pair, is_sound: bool, most: usize) -> Vec<FrameNo> {
        let last = FrameNo(pair.snapshot.to_frame);
        let states = self.known_states(pair, is_sound, last);
        let states = states.split_last().map_or(&[][..], |(_, all)| all);
        states.iter().copied().step_by(states.len().div_ceil(most.max(1)).max(1)).collect()
    }

    /// Whether an early state of the log, by its frames alone, has a table of the file: then the
    /// tables that the last one lacks were dropped in this log.
    pub(super) fn has_a_table_of(
        &self,
        file: &Schema,
        pair: &Pair,
        watch: &dyn Watch,
    ) -> Result<bool, Error> {
        let mut writes_page_1: Vec<FrameNo> = self
            .firsts
            .iter()
            .filter_map(|&frame| self.commits.get(self.transaction_of(frame)).copied())
            .collect();
        writes_page_1.dedup();
        for commit in writes_page_1.into_iter().take(MAX_STATES) {
            let Some(snapshot) = pair.snapshot_at(commit, watch)? else { return Ok(false) };
            let view = View::plain(pair.log, pair.shape, &snapshot, None);
            if share_a_table(file, &Schema::read(&view)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the first transaction that writes page 1 may have dropped every table of the file:
    /// its counters go on from those of the file, and its pages can be those of new tables.
    pub(super) fn replaces_all_tables_of(
        &self,
        file: &Schema,
        pair: &Pair,
        watch: &dyn Watch,
    ) -> Result<bool, Error> {
        // A checkpoint copies page 1 first.
        let first = self.firsts.first().filter(|_| self.is_known(pair) && !self.has_page_1);
        let Some(&first) = first else { return Ok(false) };
        let transaction = self.transaction_of(first);
        let before = transaction.checked_sub(1).and_then(|before| self.commits.get(before));
        let Some(&commit) = self.commits.get(transaction) else { return Ok(false) };
        let Some(in_log) = pair.header_in(first)? else { return Ok(false) };
        let in_file = database::header(&pair.file)?;
        let Some(snapshot) = pair.snapshot_at(commit, watch)? else { return Ok(false) };
        let view = View::plain(pair.log, pair.shape, &snapshot, Some(pair.base));
        // The same connection writes the same change counter again.
        let changes = in_log.change_counter.wrapping_sub(in_file.change_counter);
        let cookies = in_log.schema_cookie.wrapping_sub(in_file.schema_cookie).cast_signed();
        let least = statements_between(file, &Schema::read(&view)?);
        if changes > 1 || !usize::try_from(cookies).is_ok_and(|cookies| cookies >= least) {
            return Ok(false);
        }
        let health = check(&view, watch)?;
        let before = before.copied().unwrap_or(FrameNo(0));
        Ok(health.is_sound() && are_replaced(file, before, (&snapshot, &health)))
    }

    /// Problems that a state of the log over the file has and the file alone does not have: one
    /// contradiction.
    pub(super) fn problems(&self, pair: &Pair, watch: &dyn Watch) -> Result<Option<Reason>, Error> {
        let bytes = u64::from(pair.size_pages) * pair.shape.page_size().bytes_u64();
        let affordable = MAX_CHECKED_BYTES / bytes.max(pair.base.size()?).max(1);
        let most = usize::try_from(affordable).map_or(MAX_STATES, |most| most.min(MAX_STATES));
        let file = check(&pair.file, watch)?;
        let mut own = OwnFaults::default();
        for commit in self.states(pair, file.is_sound(), most) {
            let Some(snapshot) = pair.snapshot_at(commit, watch)? else { return Ok(None) };
            let view = View::plain(pair.log, pair.shape, &snapshot, Some(pair.base));
            let early = check(&view, watch)?;
            if early.is_sound() {
                continue;
            }
            let former_names = former_names(&Schema::read(&pair.file)?, &Schema::read(&view)?);
            let problems = |own: &OwnFaults| structure::problems(&early, &file, &former_names, own);
            let mut found = problems(&own);
            if !found.is_empty() {
                let states = self.known_states(pair, file.is_sound(), commit);
                own = OwnFaults::find(pair, states, watch)?;
                found = problems(&own);
            }
            let count = found.iter().map(|reason| reason.count).sum();
            let Some(first) = found.into_iter().next() else { continue };
            let example = first.example.replace(
                "with the log over the file",
                &format!("with the log up to frame {commit} over the file"),
            );
            return Ok(Some(Reason { table: first.table, count, ..against(example) }));
        }
        Ok(None)
    }
}

fn against(example: String) -> Reason {
    Reason {
        speaks_for: SpeaksFor::Foreign,
        evidence: Evidence::Beginning,
        table: None,
        page: None,
        count: 1,
        example,
    }
}
