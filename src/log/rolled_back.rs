//! What can lie after a prefix when a transaction was rolled back, and nothing else has happened.
//!
//! A transaction that spills a page again writes the image into the frame that it has, and the sums
//! only when it commits (wal.c sqlite3WalFrames, walRewriteChecksums); frames that it appends from
//! then on have zeros for salts and sum. After a rollback all of them stay so: frames that do not
//! follow, though every sum is as it was stored. A counter that was written again differs in one
//! word, as a damaged word does, so what is wrong in such a frame says nothing.
//!
//! What says something is that no frame of a transaction that was rolled back commits. One that did
//! commit, and lost its commit size, must not be taken for one of them: the size would explain its
//! sums. Neither must one that another frame was copied over: its sum is there twice. What SQLite
//! writes again is a whole page, and a page that a crash tore keeps few rules. And such frames are
//! followed by the end of the log, or by what an older generation has left.

use std::collections::HashMap;

use crate::database::check::Soundness;
use crate::format::{Checksum, FrameHeader, FrameNo, Pgno};
use crate::scan::{Error, FrameFacts, Watch};
use crate::storage::File;

use super::correction::{self, Corrections, StoredSum, Word};
use super::cure::{Cure, Sources};
use super::link::{FrameFault, Link, MOST_LIKELY_PAGES, is_likely_leftover};

use super::{LogShape, Tail};

/// Whether the frames after the prefix are what a rollback leaves, and none of them can have
/// committed. `found` is the tail with every cure that was found, `plain` the one without.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn explains(sources: &Sources<'_>, found: &Tail, plain: &Tail) -> Result<bool, Error> {
    let Sources { log, shape, prefix, watch, .. } = *sources;
    let may_be = match plain.stop_link {
        Some(Link::Broken { fault, corrections }) => match (fault, corrections) {
            // The frame after it proves the damage.
            (FrameFault::Salt, _) | (FrameFault::ChecksumField, Corrections::None) => false,
            (_, _) => true,
        },
        Some(Link::Linked | Link::Unproven | Link::Blank | Link::Foreign) | None => false,
    };
    let is_cured = found.cures.iter().any(|(_, cured)| match cured.cure {
        // Nobody writes a frame into another slot, and no rollback changes a header.
        Cure::Moved(_) | Cure::Header | Cure::Field(Word::CommitSize) => true,
        Cure::Image { .. } | Cure::Unsummed | Cure::Word(_) | Cure::Field(_) => false,
    });
    if !may_be || is_cured || shape.extent.trailing_bytes > 0 {
        return Ok(false);
    }
    let mut run = Run {
        shape,
        before: Some(prefix.end_sum),
        written_again: HashMap::new(),
        ends_whole: false,
    };
    let mut waiting: Option<FrameFacts> = None;
    let slots = shape.facts(log, prefix.stop.frame..shape.extent.end(), watch).map(Some);
    for next in slots.chain([None]) {
        let next = next.transpose()?;
        let Some(facts) = std::mem::replace(&mut waiting, next) else { continue };
        match run.push(&facts, next.as_ref()) {
            Next::Frame => {}
            // The write of a frame that ends in an older generation may have been torn.
            Next::Leftover if prefix.last_current < Some(facts.frame) && run.ends_whole => break,
            Next::Leftover | Next::Nothing => return Ok(false),
        }
    }
    // The last frame of all may be a commit that has lost its size and something else.
    Ok(run.ends_whole && !is_copied(sources, &run)? && is_written_whole(sources, &run)?)
}

/// Whether a frame is also in another slot: then one of them is a copy, for it has the same sum.
fn is_copied(sources: &Sources<'_>, run: &Run<'_>) -> Result<bool, Error> {
    let Sources { log, shape, watch, .. } = *sources;
    for facts in shape.facts(log, FrameNo::FIRST..shape.extent.end(), watch) {
        let FrameFacts { frame, header, .. } = facts?;
        let same = run.written_again.get(&header.checksum);
        if same.is_some_and(|(other, _)| *other != frame) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the images that were written again are pages that keep every rule. Where a crash tore
/// one, or something else has changed it, few are; of what is no page of a b-tree nothing is known.
fn is_written_whole(sources: &Sources<'_>, run: &Run<'_>) -> Result<bool, Error> {
    let Some(rules) = sources.rules()? else { return Ok(false) };
    let mut image = vec![0; sources.shape.page_size().in_memory()];
    for &(frame, page) in run.written_again.values() {
        let is_read = sources.read_image(frame, &mut image)?;
        if !is_read || rules.soundness(page, &image) != Soundness::Sound {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether something follows on a slot at the stop that SQLite cannot have left there. What is left
/// over of a rollback or of an older generation is followed by frames, or by the end of the file:
/// SQLite never extends a log with zeros, and a slot that no generation has written is a write that
/// never reached the disk, or damage.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn no_frame_follows(
    file: &dyn File,
    shape: &LogShape,
    tail: &Tail,
    watch: &dyn Watch,
) -> Result<bool, Error> {
    let is_ours = match tail.stop_link {
        Some(Link::Broken { .. }) => true,
        // Frames of older generations carry no meaning, damaged or not.
        Some(Link::Foreign) => false,
        Some(Link::Linked | Link::Unproven | Link::Blank) | None => return Ok(false),
    };
    let next = tail.stop.next();
    let two = next..shape.extent.end().min(next.next().next());
    let mut following = shape.facts(file, two, watch);
    let (next, after) = (following.next().transpose()?, following.next().transpose()?);
    if let Some(next) = next {
        let is_frame = next.header.salts == shape.salts
            || is_likely_leftover(&next, after.as_ref(), shape.salts);
        return Ok(next.blank || (is_ours && !is_frame));
    }
    let (rest, end) = (shape.extent.end().offset_bytes(shape.page_size()), shape.extent.file_bytes);
    let mut bytes = vec![1; usize::try_from(end - rest).unwrap_or_default()];
    let read = file.read_at(&mut bytes, rest)?;
    Ok(read > 0 && bytes.iter().take(read).all(|&byte| byte == 0))
}

/// Slots at the stop that are looked at.
const MOST_LEFTOVERS: u32 = 16;

/// Whether the slots at the stop are what older generations leave: one may look so by chance, and
/// not all of them.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn is_of_older_generations(
    file: &dyn File,
    shape: &LogShape,
    tail: &Tail,
    watch: &dyn Watch,
) -> Result<bool, Error> {
    if tail.stop_link != Some(Link::Foreign) {
        return Ok(true);
    }
    let end = shape.extent.end().min(FrameNo(tail.stop.0.saturating_add(MOST_LEFTOVERS)));
    let slots = shape.facts(file, tail.stop..end, watch).collect::<Result<Vec<_>, _>>()?;
    let mut pairs = slots.iter().zip(slots.iter().skip(1));
    Ok(pairs.all(|(slot, next)| slot.blank || is_likely_leftover(slot, Some(next), shape.salts)))
}

/// What a slot is to the frames of a rollback before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// One of them.
    Frame,
    /// Of an older generation.
    Leftover,
    /// Nothing that a rollback can have left there.
    Nothing,
}

/// Frames of this generation that do not commit, in file order.
struct Run<'a> {
    shape: &'a LogShape,
    /// The sum that the frame before stores; `None` where it stores none.
    before: Option<Checksum>,
    /// Frames that do not follow from it, and their pages, by the sum that they store.
    written_again: HashMap<Checksum, (FrameNo, Pgno)>,
    /// The last frame is none of them.
    ends_whole: bool,
}

impl Run<'_> {
    fn push(&mut self, facts: &FrameFacts, successor: Option<&FrameFacts>) -> Next {
        let FrameHeader { page, commit_size_pages, salts, checksum } = facts.header;
        let ours = self.shape.salts;
        let is_page = (1..=MOST_LIKELY_PAGES).contains(&page.0)
            && page != self.shape.page_size().lock_byte_page();
        if !is_page {
            return Next::Nothing;
        }
        let of_no_commit = if commit_size_pages == 0 { Next::Frame } else { Next::Nothing };
        if facts.is_in_progress() {
            self.before = None;
            self.ends_whole = true;
            return of_no_commit;
        }
        if salts == ours {
            let before = self.before.replace(checksum);
            let joiner = self.shape.joiner();
            self.ends_whole = before.is_some_and(|before| joiner.follows(facts, before));
            if !self.ends_whole {
                self.written_again.insert(checksum, (facts.frame, page));
            }
            let has_committed = before.is_some_and(|before| self.may_have_committed(facts, before));
            return if has_committed { Next::Nothing } else { of_no_commit };
        }
        let follows = |before| self.shape.joiner().follows(facts, before);
        let lost_its_salts = salts.salt1 == ours.salt1
            || salts.salt2 == ours.salt2
            || self.before.is_some_and(follows);
        match !lost_its_salts && is_likely_leftover(facts, successor, ours) {
            true => Next::Leftover,
            false => Next::Nothing,
        }
    }

    /// Whether a commit size would explain the sum of a frame that has none.
    fn may_have_committed(&self, facts: &FrameFacts, before: Checksum) -> bool {
        let joiner = self.shape.joiner();
        let computed = joiner.sum(facts, before);
        correction::plausible(facts, computed, StoredSum::Proven, &joiner).any(|one| {
            let right = correction::corrected_header(facts, one, self.shape.order);
            one.word == Word::CommitSize && right.commit_size_pages >= right.page.0
        })
    }
}
