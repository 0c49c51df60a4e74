//! The search for cures, round by round.
//!
//! A cure makes the frame's sum right, and with it the frames after it can be judged from a sum
//! that is known again; so the search goes on until a round finds nothing more.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::check::PageRules;
use crate::format::checksum::Advance;
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{
    ByteOrder, Checksum, DatabaseHeader, FRAME_HEADER_BYTES, FrameHeader, FrameNo, Pgno,
};
use crate::log::effects::Effects;
use crate::log::proof::Proof;
use crate::log::tail::{Break, Tail};
use crate::scan::{Error, FrameFacts};

use super::explain::{Case, Explainer};
use super::hole::{Hole, Images};
use super::sources::Sources;
use super::splice;
use super::witness::OtherImage;
use super::{Cure, Cured, Cures, ImageSource};

/// Other images that are tried in the place of a damaged one, the nearest first, where few frames
/// are damaged.
const MOST_IMAGES: usize = 64;
/// Where many are.
const IMAGES_OF_MANY: usize = 6;
/// Damaged frames that are many.
const MANY_HOLES: usize = 64;
/// Pages of the database file that are tried where a frame has lost its header, too.
const MOST_PAGES: u32 = 4096;
/// Rounds of the search.
const MOST_ROUNDS: usize = 24;
/// First words of an image that another one must have as well, to witness a header that was solved
/// for: what is wrong in them would be added to it.
const FIRST_WORDS: usize = 4;

impl Sources<'_> {
    /// Cures for the damaged frames of a log with that tail, and new ones that they make possible.
    /// Each round's tail is read by `read_tail`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(in crate::log) fn search(
        &self,
        mut tail: Tail,
        read_tail: impl Fn(&Cures) -> Result<Tail, Error>,
    ) -> Result<Tail, Error> {
        for turn in 1.. {
            if tail.broken == Break::None {
                break;
            }
            let round = self.round(&tail)?;
            let (found, shown) = self.cures(round.holes, &round.commits)?;
            let mut cures = tail.cures.showing(shown).with(found.clone());
            let is_last = found.is_empty() || turn == MOST_ROUNDS;
            cures.is_cut_short = is_last && (round.is_cut_short || turn == MOST_ROUNDS);
            let before = tail.broken;
            tail = read_tail(&cures)?;
            if tail.broken == Break::None {
                // What was broken is not whole because it can be cured.
                tail.broken = before;
            }
            if is_last {
                break;
            }
        }
        Ok(tail)
    }

    /// What can be found for the holes of a round, and those of them that are shown to be damaged.
    fn cures(
        &self,
        mut holes: Vec<Hole>,
        commits: &BTreeSet<u32>,
    ) -> Result<(BTreeMap<FrameNo, Cured>, BTreeSet<FrameNo>), Error> {
        let mut shown = BTreeSet::new();
        if holes.is_empty() {
            return Ok((BTreeMap::new(), shown));
        }
        let most_committed = commits.last().copied().unwrap_or(0);
        let in_file = self.file_pages()?;
        let known_pages = most_committed.max(in_file);
        let most_pages = known_pages.saturating_add(self.shape.extent.slot_frames);
        let explainer = Explainer::new(self.shape, self.rules()?, most_pages, known_pages);
        let (images, mut found) = self.look_through_log(&mut holes, &explainer)?;
        let most_images = if holes.len() > MANY_HOLES { IMAGES_OF_MANY } else { MOST_IMAGES };
        let mut image = vec![0; self.shape.page_size().in_memory()];
        for hole in &holes {
            let frame = hole.facts.frame;
            if found.contains_key(&frame) || !self.read_image(frame, &mut image)? {
                continue;
            }
            if self.watch.is_interrupted() {
                return Err(Error::Interrupted);
            }
            let others = |page: Pgno| self.other_images(frame, page, &images, most_images);
            let named = hole.facts.header.page;
            let case = Case {
                facts: &hole.facts,
                before: hole.before,
                stored: hole.stored,
                image: &image,
                images: if named.0 == 0 { Vec::new() } else { others(named)? },
                images_instead: match hole.page_instead {
                    Some(page) => vec![(page, others(page)?)],
                    None => Vec::new(),
                },
            };
            let cured = match explainer.explain(&case).filter(|_| !hole.facts.blank) {
                Some(cured) => Some(cured),
                None => match self.header(hole, &image, most_pages)? {
                    Some(cured) => Some(cured),
                    None => self.header_and_image(hole, &image, commits)?,
                },
            };
            if cured.is_none() && explainer.is_shown_damaged(&case) {
                shown.insert(frame);
            }
            found.extend(cured.map(|cured| (frame, cured)));
        }
        Ok((found, shown))
    }

    /// Other images of `page`: that of the database file, and the nearest in the log.
    fn other_images(
        &self,
        frame: FrameNo,
        page: Pgno,
        images: &Images,
        most: usize,
    ) -> Result<Vec<OtherImage>, Error> {
        let frames = images.get(&page).map(Vec::as_slice).unwrap_or_default();
        let place = frames.partition_point(|other| *other < frame);
        let (before, after) = frames.split_at(place);
        let before = before.iter().rev().take(most / 2);
        let after = after.iter().filter(|other| **other != frame).take(most / 2);
        let in_log = before.chain(after).copied().map(ImageSource::Frame);
        let mut image = vec![0; self.shape.page_size().in_memory()];
        let mut all = Vec::new();
        for source in std::iter::once(ImageSource::Database).chain(in_log) {
            if self.read_source(source, page, &mut image)? {
                all.push(OtherImage { source, words: splice::words(&image, self.shape.order) });
            }
        }
        Ok(all)
    }

    /// What page 1 of the file, or else of the log, says of the pages.
    pub(in crate::log) fn rules(&self) -> Result<Option<PageRules>, Error> {
        let page_size = self.shape.page_size();
        let mut head = [0; DATABASE_HEADER_BYTES];
        let rules = |head: &[u8; DATABASE_HEADER_BYTES]| {
            PageRules::of(&DatabaseHeader::decode(head), page_size)
        };
        if let Some(database) = self.database
            && database.read_at(&mut head, 0)? == head.len()
            && let Some(rules) = rules(&head)
        {
            return Ok(Some(rules));
        }
        for facts in self.shape.facts(self.log, FrameNo::FIRST..self.shape.extent.end(), self.watch)
        {
            let facts = facts?;
            if facts.header.page != Pgno::FIRST || facts.header.salts != self.shape.salts {
                continue;
            }
            let image = facts.frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64;
            if self.log.read_at(&mut head, image)? == head.len()
                && let Some(rules) = rules(&head)
            {
                return Ok(Some(rules));
            }
        }
        Ok(None)
    }

    /// Reads the image of a frame; whether it is there.
    pub(in crate::log) fn read_image(
        &self,
        frame: FrameNo,
        image: &mut [u8],
    ) -> Result<bool, Error> {
        let slot = frame.offset_bytes(self.shape.page_size());
        Ok(self.log.read_at(image, slot + FRAME_HEADER_BYTES as u64)? == image.len())
    }

    /// The frame after a hole, if that belongs to this generation.
    fn successor_of<'h>(&self, hole: &'h Hole) -> Option<&'h FrameFacts> {
        let current =
            |next: &&FrameFacts| next.header.salts == self.shape.salts && next.header.page.0 != 0;
        hole.successor.as_ref().filter(current)
    }

    /// Solves for the first two words of the header. Any image and any successor have a solution;
    /// that its page number and commit size are possible says that it may be right, and that
    /// another image of the page begins in the same way, that the first words of this one are not
    /// wrong as well.
    fn header(&self, hole: &Hole, image: &[u8], most_pages: u32) -> Result<Option<Cured>, Error> {
        let successor = self.successor_of(hole).filter(|_| hole.header_may_be_lost);
        let Some(successor) = successor else { return Ok(None) };
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
        if !possible {
            return Ok(None);
        }
        let header = FrameHeader { page, commit_size_pages, salts: self.shape.salts, checksum };
        let proof = match self.begins_as_another(hole, page, image)? {
            true => Proof::Evidence,
            false => Proof::Likelihood,
        };
        Ok(Some(Cured { cure: Cure::Header, header, chance: None, proof, rivals: 1 }))
    }

    /// Whether another image of `page` has the same first words, and is like this one elsewhere.
    fn begins_as_another(&self, hole: &Hole, page: Pgno, image: &[u8]) -> Result<bool, Error> {
        let frames = hole.all_images.get(&page).copied().unwrap_or_default();
        let in_log = frames.iter().flatten().map(|frame| ImageSource::Frame(*frame));
        let own = splice::words(image, self.shape.order);
        let mut other = vec![0; image.len()];
        for source in in_log.chain([ImageSource::Database]) {
            if !self.read_source(source, page, &mut other)? {
                continue;
            }
            let words = splice::words(&other, self.shape.order);
            let begins = own.iter().zip(&words).take(FIRST_WORDS).all(|(one, other)| one == other);
            let is_blank = words.iter().take(FIRST_WORDS).all(|word| *word == 0);
            let equal = own.iter().zip(&words).filter(|(one, other)| one == other).count();
            if begins && !is_blank && equal * 2 >= own.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where both the header and a part of the image are lost: the page and the commit size with
    /// which a part of another image of that page leads to the frame after.
    fn header_and_image(
        &self,
        hole: &Hole,
        image: &[u8],
        commits: &BTreeSet<u32>,
    ) -> Result<Option<Cured>, Error> {
        // Right salts: the header is there, and the search is long.
        let lost = hole.header_may_be_lost && hole.facts.header.salts != self.shape.salts;
        let Some(successor) = self.successor_of(hole).filter(|_| lost) else { return Ok(None) };
        let (joiner, order, salts) = (self.shape.joiner(), self.shape.order, self.shape.salts);
        let checksum = joiner.sum_before(successor);
        let page_size = self.shape.page_size();
        let over_image = Advance::over_pairs(page_size.bytes() / 8);
        let effects = Effects::of(page_size.bytes() / 4);
        let damaged = splice::words(image, order);
        let mut other = vec![0; image.len()];
        let mut tried = 0_u32;
        let in_file = self.file_pages()?.min(MOST_PAGES);
        let pages: BTreeSet<Pgno> =
            hole.all_images.keys().copied().chain((1..=in_file).map(Pgno)).collect();
        for page in pages {
            let frames = hole.all_images.get(&page).copied().unwrap_or_default();
            let in_log = frames.iter().flatten().map(|frame| ImageSource::Frame(*frame));
            for source in in_log.chain([ImageSource::Database]) {
                if !self.read_source(source, page, &mut other)? {
                    continue;
                }
                let words = splice::words(&other, order);
                let possible = commits.iter().copied().filter(|&size| size >= page.0);
                for commit_size_pages in std::iter::once(0).chain(possible) {
                    let header = FrameHeader { page, commit_size_pages, salts, checksum };
                    let head = header.sum_from(hole.before, order, &[]);
                    let wanted = checksum.minus(over_image.apply(head));
                    let difference = wanted.minus(Checksum::ZERO.update(order, image));
                    tried += 1;
                    let parts = splice::splices(&damaged, &words, difference, &effects);
                    let Some(part) = parts.first() else { continue };
                    let Some(cure) = Cure::of_part(source, part) else { continue };
                    let is_shown = splice::is_beyond_models(part)
                        && !splice::may_add_nothing(part, damaged.len(), &effects);
                    let proof = match is_shown {
                        true => Proof::Checksum,
                        false => Proof::Likelihood,
                    };
                    let pairs = f64::from(page_size.bytes() / 8);
                    let chance = f64::from(tried) * 2.0 * pairs * pairs / 2_f64.powi(64);
                    let chance = Some(chance).filter(|_| proof == Proof::Checksum);
                    return Ok(Some(Cured { cure, header, chance, proof, rivals: 0 }));
                }
            }
        }
        Ok(None)
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

    /// Whole pages of the database file.
    fn file_pages(&self) -> Result<u32, Error> {
        let pages = match self.database {
            Some(database) => database.size()? / self.shape.page_size().bytes_u64(),
            None => 0,
        };
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }
}
