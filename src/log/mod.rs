//! Facts about a log, whatever its damage. Read-only; a corrupt log is an ordinary answer here.
//!
//! [`examine`] gives a log its verdict; [`state`] gives every slot its state in a second, streaming
//! pass; [`cure`] looks for the right bytes of damaged frames; [`shift`] finds frames that are not
//! where they should be.

pub mod correction;
pub mod cure;
mod effects;
mod examination;
mod examine;
mod forecast;
mod guess;
pub mod index_file;
pub mod link;
mod prefix;
pub mod proof;
mod rolled_back;
mod shape;
pub mod shift;
mod spill;
pub mod state;
mod tail;
pub mod transactions;

pub use examination::{Examination, HeaderStatus, ShiftUndone, Verdict};
pub use examine::{Error, ExamineOptions, examine, examine_with};
pub use forecast::{DamagedFrame, Lost, Recoverable};
pub use prefix::{Prefix, Stop, StopReason};
pub use shape::LogShape;
pub use tail::{Break, Certainty, Tail};
