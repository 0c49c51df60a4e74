//! Payloads: a part on a b-tree page, the rest in a chain of overflow pages (fileformat2.html
//! section 1.6).

use crate::format::Pgno;
use crate::format::btree::Cell;

use super::{Error, PageLayout, Pages};

/// Passes the payload of `cell`, of which `local` is on its page, to `take`, part by part with the
/// overflow page that it is on, up to `limit_bytes`; returns whether it was all there. `image` is
/// room for a page.
pub(super) fn read_payload(
    (pages, layout): (&dyn Pages, PageLayout),
    (cell, local): (&Cell, &[u8]),
    limit_bytes: u64,
    image: &mut Vec<u8>,
    mut take: impl FnMut(Option<Pgno>, &[u8]),
) -> Result<bool, Error> {
    take(None, local);
    let mut done_bytes = local.len() as u64;
    let wanted_bytes = cell.payload_bytes;
    let Some(mut next) = cell.overflow else { return Ok(done_bytes == wanted_bytes) };
    let room = layout.usable - 4;
    image.resize(layout.page_size.in_memory(), 0);
    // A chain that goes round ends at the length of the payload, or after all pages.
    let size_pages = pages.size_pages()?;
    let mut count = 0;
    while done_bytes < wanted_bytes.min(limit_bytes) && count < size_pages {
        if next.0 == 0 || next.0 > size_pages {
            break;
        }
        pages.read(next, image)?;
        let (link, content) = image.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let rest = usize::try_from(wanted_bytes - done_bytes).unwrap_or(usize::MAX);
        let here = content.get(..rest.min(room)).unwrap_or_default();
        take(Some(next), here);
        done_bytes += here.len() as u64;
        next = Pgno(u32::from_be_bytes(*link));
        count += 1;
    }
    Ok(done_bytes == wanted_bytes)
}
