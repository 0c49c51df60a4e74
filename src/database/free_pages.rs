//! The pages of the freelist (fileformat2.html section 1.5).

use std::collections::HashSet;

use crate::format::Pgno;

use super::{Error, Pages};

/// Pages of the freelist whose first trunk is `first_trunk` that `is_wanted` chooses; as far as its
/// trunks can be followed, and at most `most_trunks` of them. The second value is whether that is
/// the whole list.
///
/// # Errors
/// When a page cannot be read.
pub fn free_pages(
    pages: &dyn Pages,
    first_trunk: Pgno,
    most_trunks: usize,
    is_wanted: impl Fn(Pgno) -> bool,
) -> Result<(Vec<Pgno>, bool), Error> {
    let size_pages = pages.size_pages()?;
    let mut image = vec![0; pages.page_size().in_memory()];
    let (mut found, mut seen, mut trunk) = (Vec::new(), HashSet::new(), first_trunk);
    while (1..=size_pages).contains(&trunk.0) && seen.len() < most_trunks && seen.insert(trunk) {
        pages.read(trunk, &mut image)?;
        let mut words = image.as_chunks::<4>().0.iter().map(|&word| u32::from_be_bytes(word));
        let next = words.next().unwrap_or_default();
        let count = usize::try_from(words.next().unwrap_or_default()).unwrap_or(usize::MAX);
        found.extend(std::iter::once(trunk).filter(|page| is_wanted(*page)));
        found.extend(words.take(count).map(Pgno).filter(|page| is_wanted(*page)));
        trunk = Pgno(next);
    }
    Ok((found, trunk.0 == 0))
}
