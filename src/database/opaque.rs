//! Pages that nobody can read without a key.
//!
//! Frames, commits, salts and sums of an encrypted log are those of any other, because the sums are
//! over the encrypted pages. Only what is inside of a page is hidden, its b-tree header with it.

use crate::database::Pages;
use crate::format::btree::BtreeHeader;
use crate::format::entropy::looks_random;
use crate::format::{PageSize, Pgno};
use crate::scan::Error;

/// Pages beside page 1 that are looked at.
const SAMPLED_PAGES: u32 = 32;

/// Whether the pages of a database look encrypted: page 1 is no database header and looks random,
/// and no other page that is looked at is of a b-tree.
///
/// # Errors
/// When a page cannot be read.
pub fn looks_encrypted(pages: &dyn Pages) -> Result<bool, Error> {
    let mut image = vec![0; pages.page_size().in_memory()];
    pages.read(Pgno::FIRST, &mut image)?;
    if image.starts_with(b"SQLite format 3\0") || !looks_random(&image) {
        return Ok(false);
    }
    let size_pages = pages.size_pages()?;
    let step = (size_pages / SAMPLED_PAGES).max(1);
    let sampled = (2..=size_pages).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    for page in sampled.map(Pgno) {
        pages.read(page, &mut image)?;
        if is_btree_page(page, pages.page_size(), &image) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_btree_page(page: Pgno, page_size: PageSize, image: &[u8]) -> bool {
    BtreeHeader::decode(page, page_size, image).is_some_and(|header| header.fits(image))
}
