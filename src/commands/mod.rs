//! The commands: each file has its arguments, its report and its run function. No command prints;
//! reports go to an [`Output`], and errors to whoever called.

pub mod blockers;
pub mod completions;
pub mod context;
pub mod dump;
pub mod failure;
pub mod files;
pub mod frame_list;
pub mod info;
pub mod live;
pub mod replay;
pub mod txn_list;
pub mod undo;
pub mod verify_checksums;

pub use context::Context;
pub use failure::{Exit, Failure};
