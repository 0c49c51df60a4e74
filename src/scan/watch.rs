//! Who watches a scan.

use std::ops::ControlFlow;

/// Who watches a scan: shows progress and may stop it.
pub trait Watch {
    /// Called between chunks; `Break` stops the scan with [`super::Error::Interrupted`].
    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()>;

    /// Whether whoever watches wants to stop: for work that has no bytes to count.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Watches nothing and never stops a scan.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Watch for Nobody {
    fn scanned(&self, _done_bytes: u64, _total_bytes: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
