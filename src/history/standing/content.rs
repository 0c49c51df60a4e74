//! Images and rows of the log that are in the file, too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::database::{Error, Pages};
use crate::format::btree::BtreeHeader;
use crate::format::record::{self, Value};
use crate::format::{Checksum, FRAME_HEADER_BYTES, FrameNo, PageKind, PageSize, Pgno};
use crate::history::image_sums::ImageSums;
use crate::scan::Watch;

use super::beginning::Beginning;
use super::{Evidence, MAX_FRAMES, MAX_PAGES, Pair, Reason, SpeaksFor};

/// Shortest record that two databases do not have in common by chance.
const MIN_RECORD_BYTES: usize = 12;

/// Different bytes in such a record, and in a page that is compared as a whole.
const MIN_RECORD_VALUES: usize = 8;
const MIN_PAGE_VALUES: usize = 24;

/// Fewest bytes of common rows that say something.
const MIN_COMMON_BYTES: usize = 48;

/// So many common rows are not by chance: the pages after them are not read.
const ENOUGH_ROWS: u64 = 1000;

/// Fewest rows that say something where they are on other pages.
const MIN_MOVED_ROWS: u64 = 4;

/// Bytes of the row id before a payload; zeros in indexes.
const ROW_ID_BYTES: usize = 8;

/// A page that is in both.
pub(super) struct Page {
    /// The sum of its image in the file.
    in_file: Checksum,
    /// Its first and its last frame.
    pub first: FrameNo,
    last: FrameNo,
    /// A frame that equals it.
    pub equal: Option<FrameNo>,
    /// Such a frame is of the log's generation, and one before it is not: the file has what only
    /// this log has written.
    is_copied: bool,
    /// The newest of the log's generation equals it.
    is_newest: bool,
    /// That frame; 0 where there is none.
    pub newest: FrameNo,
}

/// What was compared.
pub(super) struct Compared {
    /// What images and rows say.
    pub reasons: Vec<Reason>,
    /// The pages that are in both, but page 1.
    pub pages: BTreeMap<Pgno, Page>,
    /// What the log says of the state that it was written on.
    pub beginning: Beginning,
    /// Pages whose newest frame is an interior page; `None` where not all frames were looked at.
    pub interior: Option<BTreeSet<Pgno>>,
}

/// How much is compared.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub pages: usize,
    pub frames: u32,
}

impl Limit {
    pub(super) const ALL: Self = Self { pages: MAX_PAGES, frames: MAX_FRAMES };
    /// Of a large database of which the log holds every page: nothing of the file is left, so that
    /// not much depends on it.
    pub(super) const FEW: Self = Self { pages: 64, frames: 1024 };
}

/// What images and rows say, and what the log says of its beginning.
pub(super) fn compare(pair: &Pair, limit: Limit, watch: &dyn Watch) -> Result<Compared, Error> {
    let Seen { pages, beginning, interior } = pages(pair, limit, watch)?;
    let mut image = vec![0; pair.shape.page_size().in_memory()];
    let mut reasons = Vec::new();
    // Where every page is its newest frame the log changes nothing.
    let is_whole = pair.shape.extent.slot_frames <= limit.frames && pages.len() < limit.pages;
    let all_are_copied = is_whole && pages.values().all(|page| page.is_newest);
    // A page that the copy of another one passed over may have a later image.
    let copied = pages.values().filter(|page| page.is_copied);
    let copied_to = copied.filter_map(|page| page.equal).max();
    let is_passed_over =
        pages.values().any(|page| !page.is_newest && Some(page.newest) <= copied_to);
    let (mut copied, mut equal) = (Vec::new(), Vec::new());
    for (&page, found) in &pages {
        let Some(frame) = found.equal else { continue };
        pair.file.read(page, &mut image)?;
        if says_something(page, pair.shape.page_size(), &image) {
            let is_copied = (found.is_copied && !is_passed_over && is_whole) || all_are_copied;
            let all = if is_copied { &mut copied } else { &mut equal };
            all.push((page, frame));
        }
    }
    for (evidence, all) in [(Evidence::Images, copied), (Evidence::EqualImages, equal)] {
        let Some((page, frame)) = all.first() else { continue };
        reasons.push(Reason {
            speaks_for: SpeaksFor::Same,
            evidence,
            table: None,
            page: None,
            count: all.len() as u64,
            example: format!("page {page} of the file is the image in frame {frame}"),
        });
    }
    reasons.extend(rows(pair, &pages)?);
    Ok(Compared { reasons, pages, beginning, interior })
}

/// What one look at the frames gives; see [`Compared`].
struct Seen {
    pages: BTreeMap<Pgno, Page>,
    beginning: Beginning,
    interior: Option<BTreeSet<Pgno>>,
}

/// Pages of which the file has an image and the log has frames. Frames after the snapshot count as
/// well, those of older generations too: a log is reset only when all of it is in the file.
fn pages(pair: &Pair, limit: Limit, watch: &dyn Watch) -> Result<Seen, Error> {
    let shape = pair.shape;
    let images = ImageSums::of(pair.log, shape, pair.base, None)?;
    let mut pages: BTreeMap<Pgno, Page> = BTreeMap::new();
    let mut beginning = Beginning::default();
    let mut interior = BTreeSet::new();
    let first_in_file = images.of_page(Pgno::FIRST)?;
    let end = shape.extent.end().min(FrameNo(limit.frames + 1));
    for facts in pair.facts(FrameNo::FIRST..end, watch) {
        let facts = facts?;
        let page = facts.header.page;
        let is_current = facts.header.salts == shape.salts;
        if is_current {
            beginning.take(&facts, pair.snapshot.to_frame);
        }
        if facts.frame.0 <= pair.snapshot.to_frame {
            match PageKind::of_byte(page, shape.page_size(), facts.kind_byte) {
                PageKind::TableInterior | PageKind::IndexInterior => interior.insert(page),
                _ => interior.remove(&page),
            };
        }
        if page <= Pgno::FIRST {
            if page == Pgno::FIRST && is_current {
                beginning.take_first(&facts, first_in_file == Some(images.of_frame(&facts)?));
            }
            continue;
        }
        if !pages.contains_key(&page) {
            if pages.len() >= limit.pages {
                beginning.leave_out_a_page();
                continue;
            }
            let Some(in_file) = images.of_page(page)? else { continue };
            let (first, last) = (facts.frame, facts.frame);
            let (equal, is_copied, is_newest) = (None, false, !is_current);
            let newest = FrameNo(0);
            pages.insert(page, Page { in_file, first, last, equal, is_copied, is_newest, newest });
        }
        if let Some(found) = pages.get_mut(&page) {
            found.last = facts.frame;
            if found.equal.is_none() || is_current {
                let is_equal = images.of_frame(&facts)? == found.in_file;
                if is_equal {
                    found.is_copied |=
                        is_current && found.equal.is_none() && found.first < facts.frame;
                    found.equal.get_or_insert(facts.frame);
                }
                if is_current && is_equal {
                    beginning.has_image_of(facts.frame, found.first);
                }
                if is_current {
                    (found.is_newest, found.newest) = (is_equal, facts.frame);
                }
            }
        }
    }
    if shape.extent.end() > end {
        beginning = Beginning::default();
    }
    let is_all = pair.both.fixes.is_empty() && pair.snapshot.to_frame < end.0;
    Ok(Seen { pages, beginning, interior: is_all.then_some(interior) })
}

/// Whether two databases would not have this page in common by chance: no page of the schema, which
/// every database of an application has, and none that is nearly empty.
fn says_something(page: Pgno, page_size: PageSize, image: &[u8]) -> bool {
    let cells = BtreeHeader::decode(page, page_size, image).map(|header| cells(&header, image));
    distinct_values(image) >= MIN_PAGE_VALUES
        && cells.is_none_or(|cells| cells.len() > 1 && !cells.iter().any(|cell| is_schema(cell)))
}

/// How many different values `bytes` have.
pub(super) fn distinct_values(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(value) = seen.get_mut(usize::from(*byte)) {
            *value = true;
        }
    }
    seen.iter().filter(|value| **value).count()
}

/// Rows on the same page of the file and of its first or last frame.
fn rows(pair: &Pair, pages: &BTreeMap<Pgno, Page>) -> Result<Option<Reason>, Error> {
    let page_size = pair.shape.page_size();
    let (mut ours, mut theirs) = (vec![0; page_size.in_memory()], vec![0; page_size.in_memory()]);
    let (mut count, mut common_bytes, mut example) = (0_u64, 0_usize, None);
    for (&page, found) in pages {
        if count >= ENOUGH_ROWS {
            break;
        }
        pair.file.read(page, &mut ours)?;
        let ours = records(page, page_size, &ours);
        let (mut shared, mut shared_bytes) = (0_usize, 0_usize);
        for frame in [found.first, found.last] {
            let offset_bytes = frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64;
            if pair.log.read_at(&mut theirs, offset_bytes)? == theirs.len() {
                let theirs = records(page, page_size, &theirs);
                let both = ours.intersection(&theirs);
                shared = shared.max(both.clone().count());
                let bytes = |record: &Vec<u8>| record.len() - ROW_ID_BYTES;
                shared_bytes = shared_bytes.max(both.map(bytes).sum());
            }
        }
        count += shared as u64;
        common_bytes += shared_bytes;
        if shared > 0 && example.is_none() {
            example = Some(format!("{shared} rows on page {page} are in the file and in the log"));
        }
    }
    let enough = common_bytes >= MIN_COMMON_BYTES;
    Ok(example.filter(|_| enough).map(|example| Reason {
        speaks_for: SpeaksFor::Same,
        evidence: Evidence::Rows,
        table: None,
        page: None,
        count,
        example,
    }))
}

/// Rows of the log that the file has, too, on whatever page: VACUUM moves them. Asked where no page
/// has any.
pub(super) fn moved_rows(pair: &Pair) -> Result<Option<Reason>, Error> {
    let page_size = pair.shape.page_size();
    let mut image = vec![0; page_size.in_memory()];
    let mut of_log = HashMap::new();
    for &page in pair.snapshot.pages.keys().take(MAX_PAGES) {
        pair.both.read(page, &mut image)?;
        of_log.extend(records(page, page_size, &image).into_iter().map(|row| (row, page)));
    }
    let (mut count, mut common_bytes, mut example) = (0, 0, None);
    for page in (1..=pair.file.size_pages()?).map(Pgno) {
        pair.file.read(page, &mut image)?;
        for row in records(page, page_size, &image) {
            if let Some(in_log) = of_log.get(&row) {
                count += 1;
                common_bytes += row.len() - ROW_ID_BYTES;
                let text = || format!("a row on page {page} is on page {in_log} of the log");
                example = example.or_else(|| Some(text()));
            }
        }
    }
    let enough = count >= MIN_MOVED_ROWS && common_bytes >= MIN_COMMON_BYTES;
    Ok(example.filter(|_| enough).map(|example| Reason {
        speaks_for: SpeaksFor::Same,
        evidence: Evidence::Rows,
        table: None,
        page: None,
        count,
        example,
    }))
}

/// The cells of a leaf that say something, as bytes.
pub(super) fn records(page: Pgno, page_size: PageSize, image: &[u8]) -> HashSet<Vec<u8>> {
    let Some(header) = BtreeHeader::decode(page, page_size, image) else { return HashSet::new() };
    // Entries of an index may be a common word and a small number.
    let shortest = match header.kind {
        PageKind::TableLeaf => MIN_RECORD_BYTES,
        PageKind::IndexLeaf => 2 * MIN_RECORD_BYTES,
        PageKind::TableInterior
        | PageKind::IndexInterior
        | PageKind::LockByte
        | PageKind::Other => return HashSet::new(),
    };
    let telling = |cell: &Vec<u8>| {
        let payload = cell.get(ROW_ID_BYTES..).unwrap_or_default();
        let says = distinct_values(payload) >= MIN_RECORD_VALUES;
        payload.len() >= shortest && says && !is_schema(cell)
    };
    cells(&header, image).into_iter().filter(telling).collect()
}

/// The payloads on a page, each after its row id.
fn cells(header: &BtreeHeader, image: &[u8]) -> Vec<Vec<u8>> {
    let bytes = image.len();
    let payload = |offset| {
        let cell = header.cell(image, offset, bytes)?;
        let mut payload = cell.row_id.unwrap_or_default().to_be_bytes().to_vec();
        payload.extend_from_slice(image.get(cell.local)?);
        Some(payload)
    };
    header.cell_offsets(image).into_iter().take(bytes / 6).filter_map(payload).collect()
}

/// Whether a cell is a row of the schema.
fn is_schema(cell: &[u8]) -> bool {
    let values = record::values(cell.get(ROW_ID_BYTES..).unwrap_or_default());
    match values.as_slice() {
        [Value::Text { bytes, .. }, _, _, Value::Int(_) | Value::Null, _] => {
            // In UTF-16 every second byte is zero.
            let word: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != 0).collect();
            ["table", "index", "view", "trigger"].iter().any(|kind| kind.as_bytes() == word)
        }
        _ => false,
    }
}
