//! What a command gets from the outside.

use std::cell::RefCell;

use crate::output::Output;
use crate::scan::Watch;
use crate::storage::Vfs;

/// The outside world of one run.
pub struct Context<'a> {
    /// The file system.
    pub vfs: &'a dyn Vfs,
    /// Shows progress and carries interrupts.
    pub watch: &'a dyn Watch,
    /// Where the report goes.
    pub output: Output<'a>,
    /// Sentences for stderr, beside the report.
    pub warnings: RefCell<Vec<String>>,
}

impl Context<'_> {
    /// Says `sentence` on stderr when the command ends, unless only what is wrong is wanted.
    pub fn note(&self, sentence: impl Into<String>) {
        if !self.output.quiet {
            self.warn(sentence);
        }
    }

    /// Says `sentence` on stderr when the command ends.
    pub fn warn(&self, sentence: impl Into<String>) {
        self.warnings.borrow_mut().push(sentence.into());
    }
}
