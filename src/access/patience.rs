//! How long a command waits.

use std::time::Duration;

use crate::engine::wal::Busy;
use crate::scan::Watch;
use crate::storage::Vfs;

/// How long a command waits for locks: pauses grow as in SQLite's own busy handler
/// (main.c sqliteDefaultBusyCallback).
pub struct Patience<'w> {
    /// Waits by its clock.
    pub(super) vfs: &'w dyn Vfs,
    watch: &'w dyn Watch,
    left: Duration,
    waits: usize,
}

const PAUSES_MS: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

impl<'w> Patience<'w> {
    /// Waits `timeout` in all.
    #[must_use]
    pub fn new(timeout: Duration, vfs: &'w dyn Vfs, watch: &'w dyn Watch) -> Self {
        Self { vfs, watch, left: timeout, waits: 0 }
    }

    /// Waits a little; false when the time is over or the user has interrupted.
    pub fn wait(&mut self) -> bool {
        let pause = PAUSES_MS.get(self.waits).or(PAUSES_MS.last()).copied().unwrap_or_default();
        let pause = Duration::from_millis(pause).min(self.left);
        if pause.is_zero() || self.watch.is_interrupted() {
            return false;
        }
        self.vfs.sleep(pause);
        self.left -= pause;
        self.waits += 1;
        true
    }

    /// The same as an answer to the engine.
    pub fn answer(&mut self) -> Busy {
        if self.wait() { Busy::Retry } else { Busy::GiveUp }
    }
}

/// A duration on the command line: seconds (`5`, `0.5`), or with units (`5s`, `250ms`, `1min 30s`).
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Nobody;
    use crate::storage::memory::MemoryVfs;

    #[test]
    fn patience_ends_with_its_timeout() {
        let vfs = MemoryVfs::default();
        let mut none = Patience::new(Duration::ZERO, &vfs, &Nobody);
        assert!(!none.wait());
        let mut some = Patience::new(Duration::from_millis(40), &vfs, &Nobody);
        let waits = std::iter::from_fn(|| some.wait().then_some(())).count();
        assert_eq!((waits, vfs.now()), (6, Duration::from_millis(40)));
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("0").unwrap(), Duration::ZERO);
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("5").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("0.5").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1min").unwrap(), Duration::from_secs(60));
        for text in ["-1", "nan", "inf", "5 apples", "", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
