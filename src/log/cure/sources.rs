//! What the search for cures reads.

use crate::log::{LogShape, Prefix};
use crate::scan::Watch;
use crate::storage::File;

/// A log with the valid prefix that is known of it, and its database.
pub(in crate::log) struct Sources<'a> {
    pub log: &'a dyn File,
    pub database: Option<&'a dyn File>,
    pub shape: &'a LogShape,
    pub prefix: &'a Prefix,
    pub watch: &'a dyn Watch,
}
