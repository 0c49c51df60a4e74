//! The progress bar, and the interrupt as the scan's [`Watch`].

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::scan::Watch;

use super::interrupt::Interrupt;

/// A bar appears when a scan has run this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far a scan is, on a terminal only, and carries Ctrl-C to it.
pub(super) struct Progress {
    hidden: bool,
    started: Instant,
    /// Made when it pays: most runs end before.
    bar: OnceCell<ProgressBar>,
    interrupt: Interrupt,
}

impl Progress {
    /// A bar on stderr; `hidden` shows none.
    pub(super) fn new(hidden: bool, interrupt: Interrupt) -> Self {
        Self { hidden, started: Instant::now(), bar: OnceCell::new(), interrupt }
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// Draws on terminals only.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Watch for Progress {
    fn is_interrupted(&self) -> bool {
        self.interrupt.has_come()
    }

    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        if self.is_interrupted() {
            return ControlFlow::Break(());
        }
        if !self.hidden && (self.bar.get().is_some() || self.started.elapsed() > PATIENCE) {
            let bar = self.bar.get_or_init(bar);
            bar.set_length(total_bytes);
            bar.set_position(done_bytes);
        }
        ControlFlow::Continue(())
    }
}
