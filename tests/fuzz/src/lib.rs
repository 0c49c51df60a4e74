//! What the fuzz targets share: logs and databases of real SQLite from `fixtures/`, and edits to
//! them that an input names.
//!
//! An input is a short list of edits and not the files themselves: it stays small, and most edits
//! leave a log that is still deep enough to be worth a look. Where checksums must be right again,
//! an edit of its own makes them so.

pub mod fixture;
pub mod log;

use walsmith::storage::memory::MemoryFile;

/// A file in memory that holds `bytes`.
#[must_use]
pub fn file(bytes: &[u8]) -> MemoryFile {
    MemoryFile::with_bytes(bytes.to_vec())
}

/// Overwrites `bytes` at `at`, as far as there is something to overwrite.
pub fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    let behind = bytes.get_mut(at..).unwrap_or_default();
    behind.iter_mut().zip(with).for_each(|(to, from)| *to = *from);
}
