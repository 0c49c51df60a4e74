//! A log that does not begin where the file does: something is in front of it, or its first bytes
//! are gone.

use std::sync::Arc;

use memchr::memmem;

use crate::format::{
    ByteOrder, FRAME_HEADER_BYTES, FrameHeader, FrameNo, PageSize, WAL_HEADER_BYTES, WalHeader,
};
use crate::log::LogShape;
use crate::scan::{Error, Extent, FrameFacts, Joiner, Watch};
use crate::storage::File;
use crate::storage::rearranged::{Arrangement, Rearranged};

use super::MOST_LIKELY_PAGES;
use super::window::ByteWindow;

/// The bytes that both magics begin with.
const MAGIC_START: [u8; 3] = [0x37, 0x7f, 0x06];
/// Valid headers that are looked at.
const MOST_HEADERS: usize = 64;
/// Bytes at the front of a file that are searched for frames of which nothing is known.
const SEARCHED_BYTES: u64 = 1 << 22;
/// Bytes of places that are summed in vain, for each page size.
const MOST_SUMMED_BYTES: u64 = 1 << 26;

/// A log that begins elsewhere.
pub(in crate::log) struct Front {
    pub arrangement: Arc<Arrangement>,
    pub shape: LogShape,
    pub header: WalHeader,
    /// Offset in the file of what is at the beginning of the first whole frame.
    pub offset_bytes: u64,
    /// Its slot.
    pub first_frame: FrameNo,
    /// A valid header says so, or one that can be known from the frames.
    pub is_proven: bool,
}

/// Finds the log in a file that does not begin with a valid header of one.
///
/// # Errors
/// When the file cannot be read, or the watcher stops it.
pub(in crate::log) fn find(
    file: &dyn File,
    file_bytes: u64,
    watch: &dyn Watch,
) -> Result<Option<Front>, Error> {
    let front = with_header(file, file_bytes, watch)?;
    match front {
        Some(front) => Ok(Some(front)),
        None => without_header(file, file_bytes),
    }
}

/// The first valid header in the file from which a frame follows.
fn with_header(
    file: &dyn File,
    file_bytes: u64,
    watch: &dyn Watch,
) -> Result<Option<Front>, Error> {
    let mut window = ByteWindow::new(file, file_bytes);
    let finder = memmem::Finder::new(&MAGIC_START);
    let (mut at, mut seen) = (1, 0);
    while at + (WAL_HEADER_BYTES + FRAME_HEADER_BYTES) as u64 <= file_bytes && seen < MOST_HEADERS {
        if watch.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let bytes = window.rest(at, WAL_HEADER_BYTES)?;
        let Some(distance) = finder.find(bytes) else {
            at += (bytes.len() as u64 + 1).saturating_sub(MAGIC_START.len() as u64).max(1);
            continue;
        };
        at += distance as u64;
        let bytes = window.at(at, WAL_HEADER_BYTES)?;
        let header = bytes.first_chunk().map(WalHeader::decode);
        if let Some(header) = header.filter(|header| header.validate().is_ok())
            && let Some(shape) = LogShape::of(&header, file_bytes - at)
        {
            seen += 1;
            let first = at + WAL_HEADER_BYTES as u64;
            let slot = window.at(first, shape.extent.slot_len())?;
            let frame = FrameFacts::judge(FrameNo::FIRST, slot, shape.order);
            let has_frame = slot.len() == shape.extent.slot_len()
                && frame.header.salts == header.salts
                && shape.joiner().follows(&frame, header.checksum);
            if has_frame {
                let mut arrangement = Arrangement::default();
                arrangement.take(at..file_bytes);
                return Ok(Some(Front {
                    arrangement: Arc::new(arrangement),
                    shape,
                    header,
                    offset_bytes: first,
                    first_frame: FrameNo::FIRST,
                    is_proven: true,
                }));
            }
        }
        at += 1;
    }
    Ok(None)
}

/// The first two frames that prove each other, whatever their salts, page size and byte order.
fn without_header(file: &dyn File, file_bytes: u64) -> Result<Option<Front>, Error> {
    let mut window = ByteWindow::new(file, file_bytes);
    let most = SEARCHED_BYTES.min(file_bytes);
    let len = usize::try_from(most).map_err(|_| Error::OutOfMemory)?;
    let bytes = window.at(0, len)?;
    let first = PageSize::ALL.into_iter().filter_map(|page_size| first_pair(bytes, page_size));
    let Some((offset, shape_of)) = first.min_by_key(|(offset, _)| *offset) else {
        return Ok(None);
    };
    Ok(shape_of.front(offset, file_bytes))
}

/// What the frames tell of a log.
struct Told {
    page_size: PageSize,
    order: ByteOrder,
    facts: FrameFacts,
}

fn first_pair(bytes: &[u8], page_size: PageSize) -> Option<(usize, Told)> {
    let slot_len = page_size.in_memory() + FRAME_HEADER_BYTES;
    let joiners = [ByteOrder::Little, ByteOrder::Big].map(|order| Joiner::new(page_size, order));
    let mut summed = 0;
    for offset in 0..(bytes.len() + 1).saturating_sub(2 * slot_len) {
        let salts = |offset: usize| bytes.get(offset + 8..offset + 16);
        let (Some(one), Some(two)) = (salts(offset), salts(offset + slot_len)) else { break };
        if one != two {
            continue;
        }
        let slot = |offset: usize| bytes.get(offset..offset + slot_len);
        let (Some(one), Some(two)) = (slot(offset), slot(offset + slot_len)) else { break };
        if !is_likely_header(one) || !is_likely_header(two) {
            continue;
        }
        for joiner in &joiners {
            let facts = FrameFacts::judge(FrameNo::FIRST, one, joiner.order());
            let next = FrameFacts::judge(FrameNo::FIRST, two, joiner.order());
            if joiner.follows(&next, facts.header.checksum) {
                return Some((offset, Told { page_size, order: joiner.order(), facts }));
            }
        }
        summed += page_size.bytes_u64();
        if summed > MOST_SUMMED_BYTES {
            break;
        }
    }
    None
}

fn is_likely_header(slot: &[u8]) -> bool {
    let Some(header) = slot.first_chunk().map(FrameHeader::decode) else { return false };
    let FrameHeader { page, commit_size_pages, salts, .. } = header;
    page.0 != 0
        && page.0.max(commit_size_pages) <= MOST_LIKELY_PAGES
        && (salts.salt1, salts.salt2) != (0, 0)
}

impl Told {
    /// The log whose first whole frames are at `offset`.
    fn front(&self, offset: usize, file_bytes: u64) -> Option<Front> {
        let Self { page_size, order, facts } = self;
        let start = Joiner::new(*page_size, *order).sum_before(facts);
        let salts = facts.header.salts;
        let offset = u64::try_from(offset).ok()?;
        // The checkpoint sequence is private to a connection, and small.
        let headers = (0..=u32::from(u16::MAX))
            .map(|sequence| WalHeader::new(*order, *page_size, sequence, salts));
        let proven = headers.clone().find(|header| header.checksum == start);
        // Where frames before it are lost, most logs are a first generation.
        let header = proven.or_else(|| headers.clone().next())?;
        let mut arrangement = Arrangement::default();
        arrangement.take_bytes(header.encode().to_vec());
        let on_grid = offset.checked_sub(WAL_HEADER_BYTES as u64);
        let on_grid = on_grid.filter(|bytes| bytes.is_multiple_of(page_size.slot_bytes()));
        let first_frame = match (proven, on_grid) {
            (Some(_), _) => {
                arrangement.take(offset..file_bytes);
                FrameNo::FIRST
            }
            // The frames before it are there, and damaged.
            (None, Some(bytes)) if bytes > 0 => {
                arrangement.take(WAL_HEADER_BYTES as u64..file_bytes);
                FrameNo(u32::try_from(bytes / page_size.slot_bytes()).ok()?).next()
            }
            (None, _) => {
                arrangement.take_zeros(page_size.slot_bytes());
                arrangement.take(offset..file_bytes);
                FrameNo::FIRST.next()
            }
        };
        let extent = Extent::of(arrangement.bytes(), *page_size)?;
        let shape = LogShape { extent, order: *order, salts, start: header.checksum };
        let (offset_bytes, is_proven) = (offset, proven.is_some());
        let arrangement = Arc::new(arrangement);
        Some(Front { arrangement, shape, header, offset_bytes, first_frame, is_proven })
    }
}

impl Front {
    /// The log from there on.
    pub(crate) fn view<'a>(&self, file: &'a dyn File) -> Rearranged<'a> {
        Rearranged::over(file, Arc::clone(&self.arrangement))
    }
}
