//! Was a damaged log copied into the database past the damage?
//!
//! If it was, the old frames before the damage override newer pages of the file, and SQLite sees a
//! mixture of two times. Told by comparing page images, never by the wal-index alone.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::format::{Checksum, FrameNo, Pgno};
use crate::log::correction::{Corrections, Word};
use crate::log::cure::{Cure, Cured};
use crate::log::link::{FrameFault, Judged, Link};
use crate::log::{Examination, LogShape};
use crate::scan::{self, FrameFacts, Watch};
use crate::storage::File;

use super::image_sums::ImageSums;

/// What SQLite will see of a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SqliteSees {
    /// The state of the last commit before the damage.
    Prefix,
    /// Pages of that state over newer pages of the file.
    Mixture,
    /// The newest state: everything after the damage is already in the file.
    Complete,
    /// Nothing: the database is empty or not there, and SQLite deletes the log unread.
    Nothing,
    /// The database is not at hand, or the comparison tells nothing.
    Unknown,
}

/// What is known of one page that has frames after the stop.
struct RewrittenPage {
    in_database: Option<Checksum>,
    before_stop: Option<Checksum>,
    newest: Checksum,
    newest_frame: FrameNo,
    any_equals_database: bool,
}

/// The last commit after the stop up to which the database file has all that the log holds: the
/// log was copied that far before it was damaged, and no frame up to there is needed. `None` where
/// the comparison does not show that.
///
/// # Errors
/// When a file cannot be read.
pub fn copied_to(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<Option<FrameNo>, scan::Error> {
    let (Some(shape), Some(last)) = (examination.shape, examination.tail.last_lost_commit) else {
        return Ok(None);
    };
    let walk = |last: FrameNo| {
        let mut copied = Copied::new(log, database, (&shape, examination))?;
        for slot in examination.slots(log, last, watch) {
            copied.push(&slot?.judged)?;
        }
        Ok::<_, scan::Error>(copied)
    };
    let Some(to) = walk(last)?.to else { return Ok(None) };
    // Equal sums do not make equal pages.
    let copied = walk(to)?;
    let pairs = copied.pages.iter().map(|(&page, known)| (page, known.newest));
    let are_equal = copied.images.are_in_database(&Vec::from_iter(pairs), watch)?;
    Ok(are_equal.into_iter().all(|is_equal| is_equal).then_some(to))
}

/// Whether the image in a frame is, or may be, not what was written.
fn has_wrong_image(judged: &Judged) -> bool {
    if let Some(Cured { cure, .. }) = judged.cured {
        return match cure {
            Cure::Image { .. } | Cure::Moved(_) => true,
            Cure::Word(only) => matches!(only.word, Word::Image(_)),
            Cure::Header | Cure::Field(_) | Cure::Unsummed => false,
        };
    }
    match judged.link {
        Link::Linked | Link::Blank => false,
        Link::Broken {
            fault: FrameFault::Salt | FrameFault::Unsummed | FrameFault::ChecksumField,
            ..
        } => false,
        Link::Broken { corrections: Corrections::Unique(only), .. } => {
            matches!(only.word, Word::Image(_))
        }
        Link::Broken { .. } | Link::Unproven | Link::Foreign => true,
    }
}

/// What the database file has of a page.
#[derive(Clone, Copy)]
struct InFile {
    newest: FrameNo,
    sum: Option<Checksum>,
    is_newest: bool,
    is_after_stop: bool,
}

/// Walks over a log and asks at each commit whether the database file has that state.
struct Copied<'a> {
    images: ImageSums<'a>,
    stop: FrameNo,
    /// What the file has of each page.
    pages: BTreeMap<Pgno, InFile>,
    /// Pages of which the file does not have the newest intact frame.
    unlike: usize,
    /// Pages whose newest intact frame is after the stop.
    after_stop: usize,
    /// Pages, frames and sums of the transaction that is being read.
    open: Vec<(Pgno, FrameNo, Option<Checksum>)>,
    to: Option<FrameNo>,
    damage_was_copied: bool,
}

impl<'a> Copied<'a> {
    fn new(
        log: &'a dyn File,
        database: &'a dyn File,
        (shape, examination): (&LogShape, &Examination),
    ) -> Result<Self, scan::Error> {
        Ok(Self {
            images: ImageSums::of(log, shape, database, None)?,
            stop: examination.tail.stop,
            pages: BTreeMap::new(),
            unlike: 0,
            after_stop: 0,
            open: Vec::new(),
            to: None,
            damage_was_copied: false,
        })
    }

    /// Whether the file has the very image of a damaged frame.
    fn file_has_damage(&self, facts: &FrameFacts) -> Result<bool, scan::Error> {
        let page = facts.header.page;
        if facts.blank || page.0 == 0 {
            return Ok(false);
        }
        Ok(self.images.of_page(page)? == Some(self.images.of_frame(facts)?))
    }

    fn push(&mut self, judged: &Judged) -> Result<(), scan::Error> {
        let (facts, header) = (&judged.facts, &judged.header);
        if has_wrong_image(judged) && self.file_has_damage(facts)? {
            // SQLite copies without looking at sums: the log was damaged before that.
            self.damage_was_copied = true;
        }
        if judged.link == Link::Linked {
            let sum = self.images.of_frame(facts)?;
            self.open.push((header.page, facts.frame, Some(sum)));
        } else if judged.is_proven() || judged.page_without_image().is_some() {
            // What this page should hold is not at hand without its correction.
            self.open.push((header.page, facts.frame, None));
        }
        if !judged.is_proven() || header.commit_size_pages == 0 {
            return Ok(());
        }
        for (page, newest, sum) in std::mem::take(&mut self.open) {
            let before = self.remove(page);
            let Some(sum) = sum else { continue };
            let in_file = match before {
                Some(before) => before.sum,
                None => self.images.of_page(page)?,
            };
            let (is_newest, is_after_stop) = (in_file == Some(sum), newest >= self.stop);
            self.unlike += usize::from(!is_newest);
            self.after_stop += usize::from(is_after_stop);
            self.pages.insert(page, InFile { newest, sum: in_file, is_newest, is_after_stop });
        }
        while let Some((&last, _)) = self.pages.last_key_value()
            && last.0 > header.commit_size_pages
        {
            self.remove(last);
        }
        let sure = self.unlike == 0 && !self.damage_was_copied;
        if facts.frame >= self.stop && sure && self.after_stop > 0 {
            self.to = Some(facts.frame);
        }
        Ok(())
    }

    fn remove(&mut self, page: Pgno) -> Option<InFile> {
        let before = self.pages.remove(&page)?;
        self.unlike -= usize::from(!before.is_newest);
        self.after_stop -= usize::from(before.is_after_stop);
        Some(before)
    }
}

/// Compares the pages after the stop of a damaged log with those in `database`.
///
/// # Errors
/// When a file cannot be read.
pub fn sqlite_sees(
    log: &dyn File,
    database: &dyn File,
    examination: &Examination,
    watch: &dyn Watch,
) -> Result<SqliteSees, scan::Error> {
    let Some(shape) = examination.shape else { return Ok(SqliteSees::Unknown) };
    let Some(last) = examination.tail.last_lost_commit else { return Ok(SqliteSees::Prefix) };
    let images = ImageSums::of(log, &shape, database, None)?;
    let mut pages = pages_after_stop(log, &images, examination, last, watch)?;
    let committed = FrameNo::FIRST..FrameNo(examination.prefix.mx_frame + 1);
    for facts in shape.facts(log, committed, watch) {
        let facts = facts?;
        if let Some(page) = pages.get_mut(&facts.header.page) {
            page.before_stop = Some(images.of_frame(&facts)?);
        }
    }
    let sees = weigh(pages.values());
    if sees != SqliteSees::Complete {
        return Ok(sees);
    }
    // Equal sums do not make equal pages.
    let mut pairs = Vec::from_iter(pages.iter().map(|(&page, known)| (page, known.newest_frame)));
    pairs.sort_unstable();
    let are_there = images.are_in_database(&pairs, watch)?.into_iter().all(|is_there| is_there);
    Ok(if are_there { sees } else { SqliteSees::Unknown })
}

fn pages_after_stop(
    log: &dyn File,
    images: &ImageSums,
    examination: &Examination,
    last: FrameNo,
    watch: &dyn Watch,
) -> Result<HashMap<Pgno, RewrittenPage>, scan::Error> {
    let mut pages: HashMap<Pgno, RewrittenPage> = HashMap::new();
    for slot in examination.slots_after_prefix(log, last, watch) {
        let judged = slot?.judged;
        if judged.link != Link::Linked {
            continue;
        }
        let sum = images.of_frame(&judged.facts)?;
        let pgno = judged.header.page;
        if let Some(page) = pages.get_mut(&pgno) {
            (page.newest, page.newest_frame) = (sum, judged.facts.frame);
            page.any_equals_database |= page.in_database == Some(sum);
        } else {
            let in_database = images.of_page(pgno)?;
            let any_equals_database = in_database == Some(sum);
            let page = RewrittenPage {
                in_database,
                before_stop: None,
                newest: sum,
                newest_frame: judged.facts.frame,
                any_equals_database,
            };
            pages.insert(pgno, page);
        }
    }
    Ok(pages)
}

fn weigh<'a>(pages: impl Iterator<Item = &'a RewrittenPage>) -> SqliteSees {
    let (mut compared, mut newest, mut copied, mut overridden) = (0_u32, 0_u32, 0_u32, 0_u32);
    for page in pages {
        compared += 1;
        newest += u32::from(page.in_database == Some(page.newest));
        copied += u32::from(page.any_equals_database && page.before_stop != page.in_database);
        overridden += u32::from(
            page.any_equals_database
                && page.before_stop.is_some()
                && page.before_stop != page.in_database,
        );
    }
    if overridden > 0 {
        SqliteSees::Mixture
    } else if compared > 0 && newest == compared {
        SqliteSees::Complete
    } else if copied == 0 && compared > 0 {
        SqliteSees::Prefix
    } else {
        SqliteSees::Unknown
    }
}
