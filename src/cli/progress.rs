//! The progress bar and the interrupt, behind the scan's [`Watch`].

use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::scan::Watch;

/// A bar appears when a scan has run this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how far a scan is, on a terminal only, and carries Ctrl-C to it.
pub struct Progress {
    hidden: bool,
    started: Instant,
    /// Made when it pays: most runs end before.
    bar: OnceCell<ProgressBar>,
    interrupted: Arc<AtomicBool>,
}

impl Progress {
    /// A bar on stderr; `hidden` shows none.
    pub fn new(hidden: bool) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Without the handler a signal still ends the process, only less politely.
            let _ = signal_hook::flag::register(signal, Arc::clone(&interrupted));
        }
        Self { hidden, started: Instant::now(), bar: OnceCell::new(), interrupted }
    }

    /// Takes the bar off the terminal.
    pub fn clear(&self) {
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
        self.interrupted.load(Ordering::Relaxed)
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
