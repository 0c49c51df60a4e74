//! The damaged frames that a round of the search looks at, and what the log has beside them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::format::{Checksum, FrameNo, Pgno};
use crate::log::correction::{Corrections, StoredSum};
use crate::log::link::{Judged, Link, Links, Seed};
use crate::log::proof::Proof;
use crate::log::tail::Tail;
use crate::scan::{Error, FrameFacts};

use super::explain::Explainer;
use super::sources::Sources;
use super::{Cure, Cured};

/// Damaged frames that one round looks at.
const MOST_HOLES: usize = 4096;
/// Those of them whose header may be lost: each is compared with every page.
const MOST_HEADERLESS: usize = 256;
/// Pages whose images are tried where a frame has lost its header, too.
const MOST_PAGES: usize = 4096;
/// Commit sizes that are tried there.
const MOST_COMMITS: usize = 8;

/// A frame that is to be cured.
pub(super) struct Hole {
    pub facts: FrameFacts,
    /// The right sum before it.
    pub before: Checksum,
    /// What is known of its stored sum.
    pub stored: StoredSum,
    /// The frame after it.
    pub successor: Option<FrameFacts>,
    /// Nothing else explains it: neither a single word, nor is only its image wrong.
    pub header_may_be_lost: bool,
    /// The page that it was to write, if only its page number is wrong.
    pub page_instead: Option<Pgno>,
    /// Where the nearest images of all pages are, before and after, if its header may be lost.
    pub all_images: BTreeMap<Pgno, [Option<FrameNo>; 2]>,
}

/// What a round finds in the tail of a log.
pub(super) struct Round {
    pub holes: Vec<Hole>,
    /// There were more of them.
    pub is_cut_short: bool,
    /// Sizes that intact frames commit, the largest among them.
    pub commits: BTreeSet<u32>,
}

/// Other frames of the pages that holes name, ascending.
pub(super) type Images = HashMap<Pgno, Vec<FrameNo>>;

impl Hole {
    fn note_image(&mut self, facts: &FrameFacts) {
        let page = facts.header.page;
        if self.all_images.len() >= MOST_PAGES && !self.all_images.contains_key(&page) {
            return;
        }
        let [before, after] = self.all_images.entry(page).or_default();
        if facts.frame < self.facts.frame {
            *before = Some(facts.frame);
        } else {
            *after = after.or(Some(facts.frame));
        }
    }
}

impl Sources<'_> {
    /// Looks for frames up to the last one of this generation whose right bytes are not known,
    /// though the sum before them is.
    pub(super) fn round(&self, tail: &Tail) -> Result<Round, Error> {
        let commits: BTreeSet<u32> = self.prefix.db_size_pages.into_iter().collect();
        let mut round = Round { holes: Vec::new(), is_cut_short: false, commits };
        let last = tail.last_current.max(Some(tail.stop));
        let frames = self.prefix.stop.frame..self.shape.extent.end();
        let facts = self.shape.facts(self.log, frames, self.watch);
        let mut links = Links::new(facts, self.shape, self.prefix.end_sum, tail.cures.clone());
        while let Some(judged) = links.next() {
            round.take(&judged?, links.successor(), last);
        }
        Ok(round)
    }

    /// Collects other images of the holes' pages, and finds frames that are in a wrong slot.
    pub(super) fn look_through_log(
        &self,
        holes: &mut [Hole],
        explainer: &Explainer<'_>,
    ) -> Result<(Images, BTreeMap<FrameNo, Cured>), Error> {
        let joiner = self.shape.joiner();
        let mut images = Images::new();
        let mut by_sum: HashMap<Checksum, Vec<FrameNo>> = HashMap::new();
        for hole in holes.iter_mut() {
            hole.page_instead = explainer.page_instead(&hole.facts, hole.before, hole.stored);
            let pages = [Some(hole.facts.header.page), hole.page_instead];
            pages.into_iter().flatten().for_each(|page| {
                images.entry(page).or_default();
            });
            by_sum.entry(hole.before).or_default().push(hole.facts.frame);
        }
        let headerless: Vec<usize> = (0..holes.len())
            .filter(|&place| holes.get(place).is_some_and(|hole| hole.header_may_be_lost))
            .take(MOST_HEADERLESS)
            .collect();
        let mut moved = BTreeMap::new();
        for facts in self.shape.facts(self.log, FrameNo::FIRST..self.shape.extent.end(), self.watch)
        {
            let facts = facts?;
            let ours = facts.header.salts == self.shape.salts && facts.header.page.0 != 0;
            if let Some(frames) = images.get_mut(&facts.header.page).filter(|_| !facts.blank) {
                frames.push(facts.frame);
            }
            if !ours {
                continue;
            }
            for place in &headerless {
                let other = holes.get_mut(*place).filter(|hole| hole.facts.frame != facts.frame);
                if let Some(hole) = other {
                    hole.note_image(&facts);
                }
            }
            for frame in by_sum.get(&joiner.sum_before(&facts)).into_iter().flatten() {
                if *frame == facts.frame {
                    continue;
                }
                // Any of the other slots would have done.
                let chance = Some(f64::from(self.shape.extent.slot_frames) / 2_f64.powi(64));
                let (cure, header) = (Cure::Moved(facts.frame), facts.header);
                let proof = Proof::Checksum;
                moved.insert(*frame, Cured { cure, header, chance, proof, rivals: 0 });
            }
        }
        Ok((images, moved))
    }
}

impl Round {
    fn take(&mut self, judged: &Judged, successor: Option<FrameFacts>, last: Option<FrameNo>) {
        if judged.link == Link::Linked {
            self.commits.insert(judged.header.commit_size_pages);
            if self.commits.len() > MOST_COMMITS {
                self.commits.pop_first();
            }
        }
        let Seed::Trusted(before) = judged.before else { return };
        let is_open = match judged.link {
            _ if judged.cured.is_some() => false,
            // The sums tell one word, and only a witness tells that it is the right one.
            Link::Broken { corrections: Corrections::Unique(_), .. } => true,
            _ => !judged.is_proven(),
        };
        let residue = judged.link == Link::Foreign && judged.facts.is_in_progress();
        if !is_open || Some(judged.facts.frame) > last || residue {
            return;
        }
        if self.holes.len() >= MOST_HOLES {
            self.is_cut_short = true;
            return;
        }
        let (stored, header_may_be_lost) = match judged.link {
            Link::Broken { corrections, fault } => {
                (fault.stored_sum(), corrections == Corrections::None)
            }
            Link::Foreign | Link::Blank => (StoredSum::Unknown, true),
            Link::Linked | Link::Unproven => (StoredSum::Unknown, false),
        };
        self.holes.push(Hole {
            facts: judged.facts,
            before,
            stored,
            successor,
            header_may_be_lost,
            page_instead: None,
            all_images: BTreeMap::new(),
        });
    }
}
