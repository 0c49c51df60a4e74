//! Pages in which two databases differ.

use std::collections::HashSet;

use crate::database::Error as ReadError;
use crate::format::Pgno;
use crate::scan::Watch;

use super::table::State;
use super::{ChangedPages, Error};

/// Pages between two looks at the watcher.
const PAGES_A_LOOK: u32 = 1024;

/// The pages that do not have the same image in two databases. Where their pages cannot be compared
/// (another size, other reserved bytes, another encoding), all of them.
///
/// # Errors
/// When a page cannot be read, or the watcher stops it.
pub fn unlike_pages(
    before: State<'_>,
    after: State<'_>,
    watch: &dyn Watch,
) -> Result<ChangedPages, Error> {
    let page_size = before.pages.page_size();
    let layout = |state: State<'_>| {
        let header = &state.catalog.header;
        (state.pages.page_size(), header.reserved_bytes, header.text_encoding)
    };
    if layout(before) != layout(after) {
        return Ok(ChangedPages::All);
    }
    let bytes = page_size.in_memory();
    let compared = ..bytes - usize::from(before.catalog.header.reserved_bytes);
    let (mut ours, mut theirs) = (vec![0; bytes], vec![0; bytes]);
    let [size, other_size] = [before, after].map(|state| state.pages.size_pages());
    let (size, other_size) = (size?, other_size?);
    let mut unlike: HashSet<Pgno> =
        (size.min(other_size) + 1..=size.max(other_size)).map(Pgno).collect();
    for number in 1..=size.min(other_size) {
        if number % PAGES_A_LOOK == 0 && watch.is_interrupted() {
            return Err(crate::scan::Error::Interrupted.into());
        }
        let page = Pgno(number);
        // A free page may never have been written; whoever needs another one reads it again.
        let is_there =
            [(before, &mut ours), (after, &mut theirs)].map(|(state, image)| {
                match state.pages.read(page, image) {
                    Err(ReadError::CutOff { .. }) => Ok(false),
                    read => read.map(|()| true),
                }
            });
        let [is_in_before, is_in_after] = is_there;
        let is_in_both = is_in_before? && is_in_after?;
        if !is_in_both || ours.get(compared) != theirs.get(compared) {
            unlike.insert(page);
        }
    }
    Ok(ChangedPages::These(unlike))
}
