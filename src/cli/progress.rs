//! The progress bar and the interrupt, behind the scan's [`Watch`].

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::scan::Watch;

/// A bar appears when a scan has run this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far a scan is, on a terminal only, and carries Ctrl-C to it.
pub struct Progress {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
}

impl Progress {
    /// A bar on stderr; `hidden` shows none.
    pub fn new(hidden: bool) -> Self {
        let bar = ProgressBar::hidden();
        let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if hidden {
            bar.finish();
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        // Without the handler Ctrl-C still ends the process, only less politely.
        let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
        Self { bar, interrupted }
    }

    /// Takes the bar off the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Progress {
    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn scanned(&self, done_bytes: u64, total_bytes: u64) -> ControlFlow<()> {
        if self.is_interrupted() {
            return ControlFlow::Break(());
        }
        if !self.bar.is_finished() {
            // Hidden until it pays; indicatif draws on terminals only.
            if self.bar.is_hidden() && self.bar.elapsed() > PATIENCE {
                self.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            self.bar.set_length(total_bytes);
            self.bar.set_position(done_bytes);
        }
        ControlFlow::Continue(())
    }
}
