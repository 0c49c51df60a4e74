//! Signals that ask to stop: they are noted, a command stops at its next safe point, and the
//! process then dies of the signal itself, so that shells and their loops see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;

use crate::storage::process::is_ignored;

/// The signal that has come, if one has.
#[derive(Clone, Debug)]
pub(super) struct Interrupt {
    /// 0 for none.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Listens from now on. What our parent ignores (`nohup`, a shell's background job) stays
    /// ignored.
    pub(super) fn listen() -> Self {
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            if is_ignored(number) {
                continue;
            }
            // Without the handler a signal still ends the process, only less politely.
            let value = usize::try_from(number).unwrap_or_default();
            let _ = signal_hook::flag::register_usize(number, Arc::clone(&signal), value);
        }
        Self { signal }
    }

    /// Whether a signal has come.
    pub(super) fn has_come(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// Dies of the signal that has come; returns where none has.
    pub(super) fn die_of_it(&self) {
        let signal = self.signal.load(Ordering::Relaxed);
        if let (1.., Ok(signal)) = (signal, i32::try_from(signal)) {
            // Where this fails, the exit code still says it.
            let _ = emulate_default_handler(signal);
        }
    }
}
