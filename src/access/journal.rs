//! What is missing of a rollback journal, in the words that every command uses.

use crate::engine::rollback::Contents;
use crate::output::quantity::{counted, grouped};

/// What is wrong with a journal and how many pages it lacks; `None` for one that is whole, as far
/// as its bytes tell.
#[must_use]
pub fn damage(contents: &Contents) -> Option<String> {
    let flaw = contents.flaw?.words();
    let missing = contents.missing_pages();
    if missing == 0 {
        return Some(flaw);
    }
    let valid = contents.pages.len() as u64;
    Some(format!(
        "{flaw}; its headers count {}, and {} {} valid: {} {} missing",
        counted(contents.counted_records, "page"),
        grouped(valid),
        if valid == 1 { "is" } else { "are" },
        grouped(missing),
        if missing == 1 { "is" } else { "are" }
    ))
}

/// What is wrong with the page count of a journal beside a database of `file_bytes`: more pages
/// than the two have. SQLite makes the file as large, and zeros are all that can be there.
#[must_use]
pub fn excess(contents: &Contents, file_bytes: u64) -> Option<String> {
    let nowhere = contents.pages_nowhere(file_bytes);
    (nowhere > 0).then(|| {
        format!(
            "of the {} that it counts, {} are neither in it nor in the file, and are zeros",
            counted(contents.db_size_pages.unwrap_or_default().into(), "page"),
            grouped(nowhere)
        )
    })
}
