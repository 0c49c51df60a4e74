//! The one place that reads frames from a log, and long runs of pages from a database file.
//!
//! A scan is a map and a fold. The map ([`FrameFacts::judge`]) looks at one slot alone, pure and in
//! no order; folds run in file order over the small facts it returns. Reading is chunked and
//! positional: memory does not grow with the log. Chunks of a long log go to several threads,
//! because a frame is judged without the one before it. Source: wal.c walIndexRecover.

mod crew;
mod facts;
mod frames;
mod image_runs;
mod images;
mod known;
mod pages;
mod slots;
mod watch;

pub use facts::{FrameFacts, Joiner};
pub use frames::{Chunks, Frames, Scan};
pub use image_runs::ImageRuns;
pub use images::Images;
pub use known::{Chain, KnownFrames};
pub use pages::map_pages;
pub use slots::{Error, Extent};
pub use watch::{Nobody, Watch};
