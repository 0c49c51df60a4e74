//! What may have happened to one damaged frame, and how sure that is.
//!
//! The sums alone never show which words of an image are wrong (see [`super::rivals`]). What else
//! can tell is another image of the page, in the log or in the database file, and the rules of a
//! b-tree page. An explanation is *proven* where the sums leave no other that any model of faults
//! knows, *evident* where a witness excludes the others, and *likely* where it is only the
//! simplest.

use crate::database::check::{PageRules, Soundness};
use crate::format::{Checksum, FrameHeader, Pgno};
use crate::log::LogShape;
use crate::log::correction::{self, Correction, StoredSum, Word};
use crate::log::effects::Effects;
use crate::log::proof::Proof;
use crate::scan::{FrameFacts, Joiner};

use super::rivals::Models;
use super::splice::{self, WordChange};
use super::witness::{Differences, OtherImage, agree_around, changed, distance, goes_on};
use super::{Cure, Cured};

/// Single words that are tried.
const MOST_WORDS: usize = 64;
/// Rivals of one explanation that are asked about.
const MOST_RIVALS: usize = 256;

/// A damaged frame before which the sum is known.
pub(super) struct Case<'a> {
    pub facts: &'a FrameFacts,
    pub before: Checksum,
    pub stored: StoredSum,
    pub image: &'a [u8],
    /// Other images of the page that it names, the nearest first.
    pub images: Vec<OtherImage>,
    /// Other images of each page that it may have been to write instead.
    pub images_instead: Vec<(Pgno, Vec<OtherImage>)>,
}

/// Explains damaged frames of one log.
pub(super) struct Explainer<'a> {
    pub shape: &'a LogShape,
    pub joiner: Joiner,
    pub effects: Effects,
    pub models: Models,
    /// What a b-tree page must look like; `None` where page 1 does not tell.
    pub rules: Option<PageRules>,
    /// No state of the database can have more pages.
    pub most_pages: u32,
    /// No state that an intact commit shows, nor the file, has more.
    pub known_pages: u32,
}

/// One explanation.
#[derive(Clone, Debug)]
struct Explanation {
    /// The single word that is wrong, if it is one.
    word: Option<Word>,
    /// What is added to words of the image.
    changes: Vec<WordChange>,
    cure: Cure,
    header: FrameHeader,
    /// Another image has the changed words as they are with it.
    is_witnessed: bool,
    soundness: Soundness,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(
        shape: &'a LogShape,
        rules: Option<PageRules>,
        most_pages: u32,
        known_pages: u32,
    ) -> Self {
        let joiner = shape.joiner();
        let words = shape.page_size().bytes() / 4;
        let effects = Effects::of(words + 2);
        let models = Models::new(words as usize, &effects);
        Self { shape, joiner, effects, models, rules, most_pages, known_pages }
    }

    /// The page that a frame may have been to write, if a single word of it is wrong: its page
    /// number.
    pub(super) fn page_instead(
        &self,
        facts: &FrameFacts,
        before: Checksum,
        stored: StoredSum,
    ) -> Option<Pgno> {
        let computed = self.joiner.sum(facts, before);
        correction::plausible(facts, computed, stored, &self.joiner)
            .take(MOST_WORDS)
            .filter(|one| one.word == Word::PageNumber)
            .map(|one| correction::corrected_header(facts, one, self.shape.order).page)
            .find(|page| self.can_be_page(*page))
    }

    /// The best explanation, with how sure it is. `None` where there is none.
    pub(super) fn explain(&self, case: &Case<'_>) -> Option<Cured> {
        let damaged = splice::words(case.image, self.shape.order);
        let mut all = self.explanations(case, &damaged);
        if let Some(by_header) = self.by_impossible_header(case, &all) {
            return Some(by_header);
        }
        let best_soundness = all.iter().map(|one| one.soundness).max()?;
        // What makes a page unsound is refuted where something else does not.
        all.retain(|one| one.soundness == best_soundness || one.soundness != Soundness::Unsound);
        let witnessed: Vec<&Explanation> = all.iter().filter(|one| one.is_witnessed).collect();
        match witnessed.as_slice() {
            [] => self.unwitnessed(case, &damaged, &all),
            [only] => {
                let proof = self.witnessed_proof(case, &damaged, only);
                Some(self.cured(case, only, proof, all.len()))
            }
            many => {
                let beyond: Vec<&&Explanation> =
                    many.iter().filter(|one| splice::is_beyond_models(&one.changes)).collect();
                let is_shown =
                    |one: &Explanation| !self.differences(case).leave_open(&damaged, &one.changes);
                let (best, proof) = match beyond.as_slice() {
                    [only] if is_shown(only) => (**only, Proof::Evidence),
                    _ => (
                        *many.iter().max_by_key(|one| (one.soundness, one.changes.len()))?,
                        Proof::Likelihood,
                    ),
                };
                Some(self.cured(case, best, proof, all.len()))
            }
        }
    }

    /// Whether the image breaks the rules of its page: then it is damaged, and no frame before it
    /// is missing. (That it differs where the images before and after agree shows nothing: a value
    /// may have been changed and changed back.)
    pub(super) fn is_shown_damaged(&self, case: &Case<'_>) -> bool {
        let words = splice::words(case.image, self.shape.order);
        self.soundness(case.facts.header.page, &words, &[]) == Soundness::Unsound
    }

    fn explanations(&self, case: &Case<'_>, damaged: &[u32]) -> Vec<Explanation> {
        let Case { facts, before, stored, .. } = *case;
        let computed = self.joiner.sum(facts, before);
        let difference = facts.header.checksum.minus(computed);
        let header = FrameHeader { salts: self.shape.salts, ..facts.header };
        let mut all: Vec<Explanation> = Vec::new();
        if self.can_be_header(&header) {
            for other in &case.images {
                let parts = splice::splices(damaged, &other.words, difference, &self.effects);
                for changes in parts {
                    if all.iter().any(|one| one.changes == changes) {
                        continue;
                    }
                    let Some(cure) = Cure::of_part(other.source, &changes) else { continue };
                    let soundness = self.soundness(header.page, damaged, &changes);
                    let (word, is_witnessed) = (None, true);
                    all.push(Explanation { word, changes, cure, header, is_witnessed, soundness });
                }
            }
        }
        let singles = correction::plausible(facts, computed, stored, &self.joiner);
        for Correction { word, delta } in singles.take(MOST_WORDS) {
            let only = Correction { word, delta };
            let corrected = correction::corrected_header(facts, only, self.shape.order);
            let corrected = FrameHeader { salts: self.shape.salts, ..corrected };
            if !self.can_be_header(&corrected) {
                continue;
            }
            let (cure, changes) = match word {
                Word::Image(index) => {
                    (Cure::Word(only), vec![WordChange { word: index as usize, delta }])
                }
                _ => (Cure::Field(word), Vec::new()),
            };
            if !changes.is_empty() && all.iter().any(|one| one.changes == changes) {
                continue;
            }
            let soundness = self.soundness(corrected.page, damaged, &changes);
            let (word, header, is_witnessed) = (Some(word), corrected, false);
            all.push(Explanation { word, changes, cure, header, is_witnessed, soundness });
        }
        all
    }

    /// The correction of a page number or a commit size that cannot be as it is: whatever else is
    /// wrong, that word is, and it alone explains the sums.
    fn by_impossible_header(&self, case: &Case<'_>, all: &[Explanation]) -> Option<Cured> {
        let found = &case.facts.header;
        if self.is_known_header(found) {
            return None;
        }
        let impossible = match found.page.0 <= self.known_pages && self.can_be_page(found.page) {
            false => Word::PageNumber,
            true => Word::CommitSize,
        };
        let one = all.iter().find(|one| one.word == Some(impossible))?;
        if !self.is_known_header(&one.header) {
            return None;
        }
        // Beyond what intact commits show, but not beyond every possible growth.
        let number = match impossible {
            Word::PageNumber => found.page.0,
            _ => found.commit_size_pages,
        };
        let is_beyond_all = number == 0 || number > self.most_pages;
        let proof = if is_beyond_all { Proof::Checksum } else { Proof::Evidence };
        Some(self.cured(case, one, proof, 1))
    }

    /// How sure the only explanation is that another image witnesses.
    fn witnessed_proof(&self, case: &Case<'_>, damaged: &[u32], one: &Explanation) -> Proof {
        let corrected = changed(damaged, &one.changes);
        let differences = self.differences(case);
        if one.soundness == Soundness::Unsound || differences.leave_open(damaged, &one.changes) {
            return Proof::Likelihood;
        }
        if splice::is_beyond_models(&one.changes) {
            return Proof::Checksum;
        }
        let goes_on = |other: &OtherImage| goes_on(&corrected, &other.words, &one.changes);
        if case.images.iter().any(goes_on) || differences.may_go_on(&corrected, &one.changes) {
            return Proof::Likelihood;
        }
        let witnesses = case.images.iter().any(|other| {
            one.changes.iter().all(|change| agree_around(&corrected, &other.words, change.word))
        });
        let rivals = self.rivals(case, one);
        let is_contested = differences.contest(damaged, self.difference(case), &one.changes)
            || rivals.iter().filter(|rival| **rival != one.changes).any(|rival| {
                let instead = changed(damaged, rival);
                let is_there =
                    |other: &OtherImage, word| other.words.get(word) == instead.get(word);
                case.images.iter().any(|it| rival.iter().all(|one| is_there(it, one.word)))
            });
        if witnesses && !is_contested { Proof::Evidence } else { Proof::Likelihood }
    }

    fn differences<'b>(&'b self, case: &'b Case<'_>) -> Differences<'b> {
        Differences { images: &case.images, effects: &self.effects }
    }

    /// What the sum of the frame lacks.
    fn difference(&self, case: &Case<'_>) -> Checksum {
        case.facts.header.checksum.minus(self.joiner.sum(case.facts, case.before))
    }

    /// The simplest of the explanations that no other image witnesses.
    fn unwitnessed(&self, case: &Case<'_>, damaged: &[u32], all: &[Explanation]) -> Option<Cured> {
        let found_page = case.facts.header.page;
        let is_nearer = |page: Pgno| self.is_nearer(case, damaged, page);
        let best = all.iter().max_by_key(|one| {
            let moves = one.header.page != found_page;
            let nearer = moves && is_nearer(one.header.page);
            (nearer, one.soundness, std::cmp::Reverse(self.weight(case, one)))
        })?;
        let proof = match best.word {
            Some(Word::Image(_)) | None => {
                let excluded = best.soundness == Soundness::Sound
                    && self.soundness(found_page, damaged, &[]) != Soundness::Sound
                    && self.rivals(case, best).iter().all(|rival| {
                        self.soundness(best.header.page, damaged, rival) != Soundness::Sound
                    })
                    && all.iter().all(|other| {
                        std::ptr::eq(other, best) || other.soundness != Soundness::Sound
                    })
                    && !self.differences(case).contest(
                        damaged,
                        self.difference(case),
                        &best.changes,
                    );
                if excluded { Proof::Evidence } else { Proof::Likelihood }
            }
            Some(Word::PageNumber) if is_nearer(best.header.page) => Proof::Evidence,
            Some(Word::PageNumber) => Proof::Likelihood,
            Some(Word::CommitSize | Word::StoredA | Word::StoredB) => {
                let page = best.header.page;
                let is_sound = self.soundness(page, damaged, &[]) == Soundness::Sound;
                let is_excluded = |rival: &[WordChange]| {
                    let is_there = rival.iter().any(|change| {
                        case.images
                            .iter()
                            .any(|other| agree_around(damaged, &other.words, change.word))
                    });
                    is_there
                        || (is_sound && self.soundness(page, damaged, rival) != Soundness::Sound)
                };
                let others = all.iter().filter(|other| !std::ptr::eq(*other, best));
                let excluded = self.rivals(case, best).iter().all(|rival| is_excluded(rival))
                    && others
                        .into_iter()
                        .all(|other| !other.changes.is_empty() && is_excluded(&other.changes))
                    && !self.differences(case).contest(
                        damaged,
                        self.difference(case),
                        &best.changes,
                    );
                if excluded { Proof::Evidence } else { Proof::Likelihood }
            }
        };
        Some(self.cured(case, best, proof, all.len()))
    }

    /// What the models of faults put beside a correction of one word.
    fn rivals(&self, case: &Case<'_>, one: &Explanation) -> Vec<Vec<WordChange>> {
        let difference = self.difference(case);
        let places: Vec<isize> = match one.word {
            Some(Word::PageNumber) => vec![-2],
            Some(Word::CommitSize) => vec![-1],
            Some(Word::StoredA | Word::StoredB) => return Vec::new(),
            // Of a part of another image: its ends and its middle.
            Some(Word::Image(_)) | None => {
                let (all, middle) = (&one.changes, one.changes.len() / 2);
                let three = [all.first(), all.get(middle), all.last()].into_iter().flatten();
                let mut places: Vec<isize> =
                    three.filter_map(|change| isize::try_from(change.word).ok()).collect();
                places.dedup();
                places
            }
        };
        places
            .into_iter()
            .flat_map(|place| self.models.rivals(place, difference, MOST_RIVALS))
            .collect()
    }

    /// Whether the image is nearly that of `page`, and not nearly one of the page that the frame
    /// names.
    fn is_nearer(&self, case: &Case<'_>, damaged: &[u32], page: Pgno) -> bool {
        let instead = case.images_instead.iter().find(|(of, _)| *of == page);
        let far = distance(damaged, &case.images).unwrap_or(damaged.len());
        instead
            .and_then(|(_, images)| distance(damaged, images))
            .is_some_and(|near| near <= damaged.len() / 8 && far >= 4 * near + 16)
    }

    /// How much a fault has changed: words, bytes, bits.
    fn weight(&self, case: &Case<'_>, one: &Explanation) -> (usize, usize, u32) {
        let words = splice::words(case.image, self.shape.order);
        let bits = |from: u32, to: u32| from ^ to;
        let faults: Vec<u32> = match one.word {
            Some(Word::PageNumber) => vec![bits(case.facts.header.page.0, one.header.page.0)],
            Some(Word::CommitSize) => {
                vec![bits(case.facts.header.commit_size_pages, one.header.commit_size_pages)]
            }
            Some(Word::StoredA) => vec![bits(case.facts.header.checksum.a, one.header.checksum.a)],
            Some(Word::StoredB) => vec![bits(case.facts.header.checksum.b, one.header.checksum.b)],
            Some(Word::Image(_)) | None => {
                let all = one.changes.iter().map(|change| {
                    let from = words.get(change.word).copied().unwrap_or_default();
                    bits(from, from.wrapping_add(change.delta))
                });
                all.collect()
            }
        };
        let bytes = faults.iter().flat_map(|fault| fault.to_ne_bytes());
        let bits = faults.iter().map(|fault| fault.count_ones()).sum();
        (faults.len(), bytes.filter(|byte| *byte != 0).count(), bits)
    }

    fn soundness(&self, page: Pgno, damaged: &[u32], changes: &[WordChange]) -> Soundness {
        let Some(rules) = self.rules else { return Soundness::Other };
        let words = changed(damaged, changes);
        let order = self.shape.order;
        let image: Vec<u8> = words.iter().flat_map(|word| order.bytes(*word)).collect();
        rules.soundness(page, &image)
    }

    fn can_be_page(&self, page: Pgno) -> bool {
        (1..=self.most_pages).contains(&page.0) && page != self.shape.page_size().lock_byte_page()
    }

    /// Whether a state that intact commits show can have the header.
    fn is_known_header(&self, header: &FrameHeader) -> bool {
        self.can_be_header(header)
            && header.page.0 <= self.known_pages
            && header.commit_size_pages <= self.known_pages
    }

    fn can_be_header(&self, header: &FrameHeader) -> bool {
        let size = header.commit_size_pages;
        self.can_be_page(header.page)
            && (size == 0 || (header.page.0..=self.most_pages).contains(&size))
    }

    fn cured(&self, case: &Case<'_>, one: &Explanation, proof: Proof, all: usize) -> Cured {
        let others = u32::try_from(all.saturating_sub(1)).unwrap_or(u32::MAX);
        let models = match (proof, one.word) {
            (Proof::Checksum, _) => 0,
            _ => u32::try_from(self.rivals(case, one).len()).unwrap_or(u32::MAX),
        };
        let chance = match proof {
            Proof::Checksum if one.changes.is_empty() => Some(1.0 / 2_f64.powi(32)),
            Proof::Checksum => {
                let images = f64::from(u32::try_from(case.images.len()).unwrap_or(u32::MAX));
                Some(images * 2.0 * f64::from(self.joiner.pairs()).powi(2) / 2_f64.powi(64))
            }
            Proof::Evidence | Proof::Likelihood => None,
        };
        let rivals = others.saturating_add(models);
        Cured { cure: one.cure, header: one.header, chance, proof, rivals }
    }
}
