//! The search for cures, round by round.
//!
//! A cure makes the frame's sum right, and with it the frames behind it can be judged from a sum that
//! is known again; so the search goes on until a round finds nothing more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::analysis::correction::{self, Corrections, StoredSum};
use crate::analysis::fill;
use crate::analysis::link::{Judged, Link, Linker, Seed};
use crate::analysis::tail::{Break, Tail};
use crate::analysis::{LogShape, Prefix};
use crate::format::checksum::Advance;
use crate::format::{ByteOrder, Checksum, FRAME_HEADER_BYTES, FrameHeader, FrameNo, Pgno};
use crate::scan::{Error, FrameFacts, Watch};
use crate::storage::File;

use super::{Cure, Cured, Cures, ImageSource};

/// Damaged frames that one round looks at.
const MOST_HOLES: usize = 256;
/// Other images that are tried in the place of a damaged one: the nearest.
const MOST_IMAGES: usize = 64;
/// Pages whose images are tried where a frame has lost its header, too.
const MOST_PAGES: u32 = 4096;
/// Commit sizes that are tried there.
const MOST_COMMITS: usize = 8;
/// Rounds of the search.
const MOST_ROUNDS: usize = 64;

/// What a round finds in the tail of a log.
struct Round {
    holes: Vec<Hole>,
    /// Sizes that intact frames commit, the largest among them.
    commits: BTreeSet<u32>,
    /// Frames of which a single word seems to be wrong, but not surely.
    doubted: BTreeSet<FrameNo>,
}

/// A frame that is to be cured.
struct Hole {
    facts: FrameFacts,
    /// The right sum before it.
    before: Checksum,
    /// The frame behind it.
    successor: Option<FrameFacts>,
    /// Other frames that name the same page.
    images: Vec<FrameNo>,
    /// Nothing else explains it: neither a single word, nor is only its image wrong.
    header_may_be_lost: bool,
    /// Where one word may be wrong, or a run of bytes: what is known of the stored sum.
    one_word: Option<StoredSum>,
    /// Where the nearest images of all pages stand, before and behind, if its header may be lost.
    all_images: BTreeMap<Pgno, [Option<FrameNo>; 2]>,
}

impl Hole {
    /// The frame behind it, if that belongs to this generation.
    fn successor_of(&self, shape: &LogShape) -> Option<&FrameFacts> {
        let current =
            |next: &&FrameFacts| next.header.salts == shape.salts && next.header.page.0 != 0;
        self.successor.as_ref().filter(current)
    }

    fn note_image(&mut self, facts: &FrameFacts) {
        let page = facts.header.page;
        if self.all_images.len() >= MOST_PAGES as usize && !self.all_images.contains_key(&page) {
            return;
        }
        let [before, behind] = self.all_images.entry(page).or_default();
        if facts.frame < self.facts.frame {
            *before = Some(facts.frame);
        } else {
            *behind = behind.or(Some(facts.frame));
        }
    }
}

/// What a search reads.
pub(in crate::analysis) struct Search<'a> {
    pub log: &'a dyn File,
    pub database: Option<&'a dyn File>,
    pub shape: &'a LogShape,
    pub prefix: &'a Prefix,
    pub watch: &'a dyn Watch,
}

impl Search<'_> {
    /// Cures for the damaged frames of a log with that tail, and new ones that they make possible.
    /// Each round's tail is read by `read_tail`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(in crate::analysis) fn run(
        &self,
        mut tail: Tail,
        read_tail: impl Fn(&Cures) -> Result<Tail, Error>,
    ) -> Result<Tail, Error> {
        let read_again = |cures: Cures, broken| {
            let tail = read_tail(&cures)?;
            // What was broken is not whole because it can be cured.
            let broken = if tail.broken == Break::None { broken } else { tail.broken };
            Ok::<Tail, Error>(Tail { broken, ..tail })
        };
        for _ in 0..MOST_ROUNDS {
            if tail.broken == Break::None {
                break;
            }
            let Round { mut holes, commits, doubted } = self.round(&tail)?;
            if !doubted.is_empty() {
                tail = read_again(tail.cures.doubting(doubted), tail.broken)?;
                continue;
            }
            if holes.is_empty() {
                break;
            }
            let most_pages = self.most_pages(commits.last().copied().unwrap_or(0))?;
            let mut found = self.look_through_log(&mut holes)?;
            for hole in &holes {
                let frame = hole.facts.frame;
                if found.contains_key(&frame) {
                    continue;
                }
                let mut cured = self.other_image(hole)?;
                if cured.is_none() {
                    cured = self.one_word(hole)?.or_else(|| self.header(hole, most_pages));
                }
                if cured.is_none() {
                    cured = self.header_and_image(hole, &commits)?;
                }
                found.extend(cured.map(|cured| (frame, cured)));
            }
            if found.is_empty() {
                break;
            }
            tail = read_again(tail.cures.with(found), tail.broken)?;
        }
        Ok(tail)
    }

    /// Looks for frames up to the last one of this generation that are not proven, though the sum
    /// before them is known.
    fn round(&self, tail: &Tail) -> Result<Round, Error> {
        let mut linker = Linker::new(
            self.shape.joiner(),
            self.shape.salts,
            Seed::Trusted(self.prefix.end_sum),
            tail.cures.clone(),
        );
        let mut holes: Vec<Hole> = Vec::new();
        let mut corrected = Vec::new();
        let mut commits: BTreeSet<u32> = self.prefix.db_size_pages.into_iter().collect();
        let mut take = |judged: Judged, successor: Option<FrameFacts>| {
            if judged.link == Link::Linked {
                commits.insert(judged.header.commit_size_pages);
                if commits.len() > MOST_COMMITS {
                    commits.pop_first();
                }
            }
            if let Link::Broken { corrections: Corrections::Unique(only), .. } = judged.link {
                corrected.push((judged.facts.frame, only));
            }
            let Seed::Trusted(before) = judged.before else { return };
            let last = tail.last_current.max(Some(tail.stop));
            let wanted = !judged.is_proven() && Some(judged.facts.frame) <= last;
            let residue = judged.link == Link::Foreign && judged.facts.is_in_progress();
            if wanted && !residue && holes.len() < MOST_HOLES {
                let header_may_be_lost = match judged.link {
                    Link::Broken { corrections, .. } => corrections == Corrections::None,
                    Link::Foreign | Link::Blank => true,
                    Link::Linked | Link::Unproven => false,
                };
                let one_word = match judged.link {
                    Link::Broken { fault, corrections: Corrections::Several { .. } } => {
                        Some(fault.stored_sum())
                    }
                    _ => None,
                };
                let (facts, images) = (judged.facts, Vec::new());
                let all_images = BTreeMap::new();
                holes.push(Hole {
                    facts,
                    before,
                    successor,
                    images,
                    header_may_be_lost,
                    one_word,
                    all_images,
                });
            }
        };
        let frames = self.prefix.stop.frame..self.shape.extent.end();
        for facts in self.shape.facts(self.log, frames, self.watch) {
            let facts = facts?;
            if let Some(judged) = linker.push(facts) {
                take(judged, Some(facts));
            }
        }
        if let Some(judged) = linker.finish() {
            take(judged, None);
        }
        let mut doubted = BTreeSet::new();
        let mut image = vec![0; self.shape.page_size().in_memory()];
        for (frame, only) in corrected {
            let whole = self.read_image(frame, &mut image)?;
            if whole && fill::hides_in_a_run(&image, only, self.shape.order) {
                doubted.insert(frame);
            }
        }
        Ok(Round { holes, commits, doubted })
    }

    /// Collects other images of the holes' pages, and finds frames that stand in a wrong slot.
    fn look_through_log(&self, holes: &mut [Hole]) -> Result<BTreeMap<FrameNo, Cured>, Error> {
        let joiner = self.shape.joiner();
        let mut found = BTreeMap::new();
        for facts in self.shape.facts(self.log, FrameNo::FIRST..self.shape.extent.end(), self.watch)
        {
            let facts = facts?;
            let ours = facts.header.salts == self.shape.salts && facts.header.page.0 != 0;
            for hole in holes.iter_mut().filter(|hole| hole.facts.frame != facts.frame) {
                if hole.facts.header.page == facts.header.page && !facts.blank {
                    hole.images.push(facts.frame);
                }
                if hole.header_may_be_lost && ours {
                    hole.note_image(&facts);
                }
                if ours && joiner.follows(&facts, hole.before) {
                    let (cure, header) = (Cure::Moved(facts.frame), facts.header);
                    // Any of the other slots would have done.
                    let chance = f64::from(self.shape.extent.slot_frames) / 2_f64.powi(64);
                    found.insert(hole.facts.frame, Cured { cure, header, chance });
                }
            }
        }
        Ok(found)
    }

    fn other_image(&self, hole: &Hole) -> Result<Option<Cured>, Error> {
        let facts = &hole.facts;
        if facts.blank || facts.header.page.0 == 0 {
            return Ok(None);
        }
        let joiner = self.shape.joiner();
        let difference = facts.header.checksum.minus(joiner.sum(facts, hole.before));
        let page_size = self.shape.page_size();
        let mut damaged = vec![0; page_size.in_memory()];
        let mut other = damaged.clone();
        if !self.read_image(facts.frame, &mut damaged)? {
            return Ok(None);
        }
        let mut tried = 0_u32;
        let frame = facts.frame.0;
        let mut nearest = hole.images.clone();
        nearest.sort_by_key(|other| other.0.abs_diff(frame));
        let frames = nearest.into_iter().take(MOST_IMAGES).map(ImageSource::Frame);
        for source in std::iter::once(ImageSource::Database).chain(frames) {
            if !self.read_source(source, facts.header.page, &mut other)? {
                continue;
            }
            tried += 1;
            if let Some([first_byte, end_byte]) =
                run_that_explains(&damaged, &other, difference, self.shape.order)
            {
                let cure = Cure::Image { source, first_byte, end_byte };
                let chance = self.chance_of_a_run(tried);
                return Ok(Some(Cured { cure, header: facts.header, chance }));
            }
        }
        Ok(None)
    }

    /// The only word that explains the sums, where a run of bytes would explain them, too, but the
    /// image shows none.
    fn one_word(&self, hole: &Hole) -> Result<Option<Cured>, Error> {
        let Some(stored) = hole.one_word else { return Ok(None) };
        let (facts, joiner, order) = (&hole.facts, self.shape.joiner(), self.shape.order);
        let computed = joiner.sum(facts, hole.before);
        let mut all = correction::plausible(facts, computed, stored, &joiner);
        let (Some(only), None) = (all.next(), all.next()) else { return Ok(None) };
        let mut image = vec![0; self.shape.page_size().in_memory()];
        if !self.read_image(facts.frame, &mut image)? {
            return Ok(None);
        }
        let difference = facts.header.checksum.minus(computed);
        let mut runs = fill::fills(difference, only.word, &joiner).into_iter();
        if fill::hides_in_a_run(&image, only, order) || runs.any(|run| run.shows_in(&image)) {
            return Ok(None);
        }
        let header = FrameHeader {
            salts: self.shape.salts,
            ..correction::corrected_header(facts, only, order)
        };
        // Each word could have explained them by chance.
        let chance = f64::from(2 * joiner.pairs() + 2) / 2_f64.powi(32);
        Ok(Some(Cured { cure: Cure::Word(only), header, chance }))
    }

    fn read_image(&self, frame: FrameNo, image: &mut [u8]) -> Result<bool, Error> {
        let slot = frame.offset_bytes(self.shape.page_size());
        Ok(self.log.read_at(image, slot + FRAME_HEADER_BYTES as u64)? == image.len())
    }

    /// Solves for the first two words of the header. Any image and any successor have a solution; that
    /// its page number and commit size are possible is what proves it.
    fn header(&self, hole: &Hole, most_pages: u32) -> Option<Cured> {
        let successor = hole.successor_of(self.shape).filter(|_| hole.header_may_be_lost)?;
        let joiner = self.shape.joiner();
        let checksum = joiner.sum_before(successor);
        let image_pairs = self.shape.page_size().bytes() / 8;
        let head = Advance::back_over_pairs(image_pairs)
            .apply(checksum.minus(joiner.image_sum(&hole.facts)));
        let first = head.a.wrapping_sub(hole.before.a).wrapping_sub(hole.before.b);
        let second = head.b.wrapping_sub(hole.before.b).wrapping_sub(head.a);
        let field = |word: u32| match self.shape.order {
            ByteOrder::Big => word,
            ByteOrder::Little => word.swap_bytes(),
        };
        let (page, commit_size_pages) = (Pgno(field(first)), field(second));
        let possible = (1..=most_pages).contains(&page.0)
            && (commit_size_pages == 0 || (page.0..=most_pages).contains(&commit_size_pages))
            && page != self.shape.page_size().lock_byte_page();
        let salts = self.shape.salts;
        let header = FrameHeader { page, commit_size_pages, salts, checksum };
        let most = f64::from(most_pages);
        let chance = most * (most + 1.0) / 2_f64.powi(64);
        possible.then_some(Cured { cure: Cure::Header, header, chance })
    }

    /// Where both the header and a part of the image are lost: the page and the commit size with which
    /// a part of another image of that page leads to the frame behind.
    fn header_and_image(
        &self,
        hole: &Hole,
        commits: &BTreeSet<u32>,
    ) -> Result<Option<Cured>, Error> {
        // Right salts: the header is there, and the search is long.
        let lost = hole.header_may_be_lost && hole.facts.header.salts != self.shape.salts;
        let successor = hole.successor_of(self.shape).filter(|_| lost);
        let Some(successor) = successor else { return Ok(None) };
        let (joiner, order, salts) = (self.shape.joiner(), self.shape.order, self.shape.salts);
        let checksum = joiner.sum_before(successor);
        let page_size = self.shape.page_size();
        let over_image = Advance::over_pairs(page_size.bytes() / 8);
        let mut damaged = vec![0; page_size.in_memory()];
        let mut other = damaged.clone();
        if !self.read_image(hole.facts.frame, &mut damaged)? {
            return Ok(None);
        }
        let mut tried = 0_u32;
        let in_file = match self.database {
            Some(database) => database.size()? / page_size.bytes_u64(),
            None => 0,
        };
        let in_file = u32::try_from(in_file).unwrap_or(u32::MAX).min(MOST_PAGES);
        let pages: BTreeSet<Pgno> =
            hole.all_images.keys().copied().chain((1..=in_file).map(Pgno)).collect();
        for page in pages {
            let frames = hole.all_images.get(&page).copied().unwrap_or_default();
            let in_log = frames.iter().flatten().map(|frame| ImageSource::Frame(*frame));
            for source in in_log.chain([ImageSource::Database]) {
                if !self.read_source(source, page, &mut other)? {
                    continue;
                }
                let possible = commits.iter().copied().filter(|&size| size >= page.0);
                for commit_size_pages in std::iter::once(0).chain(possible) {
                    let header = FrameHeader { page, commit_size_pages, salts, checksum };
                    let head = header.sum_from(hole.before, order, &[]);
                    let wanted = checksum.minus(over_image.apply(head));
                    let difference = wanted.minus(Checksum::ZERO.update(order, &damaged));
                    tried += 1;
                    if let Some([first_byte, end_byte]) =
                        run_that_explains(&damaged, &other, difference, order)
                    {
                        let cure = Cure::Image { source, first_byte, end_byte };
                        let chance = self.chance_of_a_run(tried);
                        return Ok(Some(Cured { cure, header, chance }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// How likely it is that a run of one of `images` gives a sum by chance.
    fn chance_of_a_run(&self, images: u32) -> f64 {
        let pairs = f64::from(self.shape.page_size().bytes() / 8);
        f64::from(images) * pairs * pairs / 2.0 / 2_f64.powi(64)
    }

    /// Reads an image of `page`; whether it is there.
    fn read_source(
        &self,
        source: ImageSource,
        page: Pgno,
        image: &mut [u8],
    ) -> Result<bool, Error> {
        match (source, self.database) {
            (ImageSource::Frame(frame), _) => self.read_image(frame, image),
            (ImageSource::Database, Some(database)) => {
                let offset = page.offset_bytes(self.shape.page_size());
                Ok(database.read_at(image, offset)? == image.len())
            }
            (ImageSource::Database, None) => Ok(false),
        }
    }

    /// At least as many pages as any state that this log commits: the database file, what intact
    /// frames commit, and a page for each slot.
    fn most_pages(&self, committed_pages: u32) -> Result<u32, Error> {
        let page_bytes = self.shape.page_size().bytes_u64();
        let in_file = match self.database {
            Some(database) => database.size()? / page_bytes,
            None => 0,
        };
        let most = in_file.max(committed_pages.into()) + u64::from(self.shape.extent.slot_frames);
        Ok(u32::try_from(most).unwrap_or(u32::MAX))
    }
}

/// The bytes of `damaged` that, replaced by those of `other`, change its sum by `difference`; whole
/// word pairs. Looks at every run with the sums of its two ends.
fn run_that_explains(
    damaged: &[u8],
    other: &[u8],
    difference: Checksum,
    order: ByteOrder,
) -> Option<[u32; 2]> {
    let (damaged, other) = (damaged.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let words =
        |[a, b, c, d, e, f, g, h]: [u8; 8]| [order.word([a, b, c, d]), order.word([e, f, g, h])];
    // Effects of the two words of a pair on the sum behind the image.
    let mut effects = [Checksum { a: 1, b: 1 }, Checksum { a: 0, b: 1 }];
    let over_pair = Advance::over_pairs(1);
    let mut behind = Checksum::ZERO;
    let mut ends: HashMap<Checksum, usize> = HashMap::from([(behind, damaged.len())]);
    for (index, (from, to)) in damaged.iter().zip(other).enumerate().rev() {
        if from != to {
            let changes =
                words(*to).into_iter().zip(words(*from)).map(|(to, from)| to.wrapping_sub(from));
            for (effect, change) in effects.into_iter().zip(changes) {
                let change =
                    Checksum { a: effect.a.wrapping_mul(change), b: effect.b.wrapping_mul(change) };
                behind = behind.plus(change);
            }
            if let Some(&end) = ends.get(&behind.minus(difference)) {
                let bytes = |pair: usize| u32::try_from(pair * 8).ok();
                return Some([bytes(index)?, bytes(end)?]);
            }
            ends.entry(behind).or_insert(index);
        }
        effects = effects.map(|effect| over_pair.apply(effect));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn the_run_that_was_damaged_is_found_among_other_differences() {
        let mut random = Rng::with_seed(3);
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for len in [512, 4096, 65_536] {
                let mut right = vec![0; len];
                random.fill(&mut right);
                let mut damaged = right.clone();
                damaged[128..320].fill(0);
                // The other image differs elsewhere too, before and behind.
                let mut other = right.clone();
                other[..64].fill(7);
                other[400..440].fill(9);
                let sum = |bytes: &[u8]| Checksum::ZERO.update(order, bytes);
                let difference = sum(&right).minus(sum(&damaged));
                let [first, end] =
                    run_that_explains(&damaged, &other, difference, order).expect("a run");
                let run = first as usize..end as usize;
                damaged[run.clone()].copy_from_slice(&other[run]);
                assert!(damaged == right, "{order:?} {len}");
                // An image that lacks the right bytes explains nothing.
                other[200] ^= 1;
                assert_eq!(run_that_explains(&right, &other, difference, order), None);
            }
        }
    }
}
