//! The commands: each file has its arguments, its report and its run function. No command prints;
//! reports go to an `Output`, and errors to whoever called.

pub mod bisect;
pub mod blockers;
pub mod check;
pub mod checkpoint_now;
pub mod completions;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod frame_list;
pub mod index_dump;
pub mod index_rebuild;
pub mod info;
pub mod log;
pub mod query;
pub mod repair;
pub mod replay;
pub mod rescue;
pub mod rewind;
pub mod txn_list;
pub mod undo;
pub mod verify_checksums;
