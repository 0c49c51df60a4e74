//! How commands come to files: which files a PATH means, truthful readings of what may change, how
//! to attach, and the one place that maps errors to exit codes.

pub mod accept;
pub mod attach;
pub mod classify;
pub mod context;
pub mod differences;
pub mod error_kind;
pub mod exit;
pub mod failure;
pub mod files;
mod frame_row;
pub mod generation;
pub mod held;
pub mod holders;
pub mod journal;
pub mod kind;
pub mod live;
pub mod missing;
mod number_range;
pub mod patience;
pub mod rescue;
pub mod row_text;
pub mod states;
pub mod stream;
pub mod touched;

pub use context::Context;
pub use error_kind::ErrorKind;
pub use exit::Exit;
pub use failure::Failure;
pub use frame_row::FrameRow;
pub use number_range::NumberRange;
