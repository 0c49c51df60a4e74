//! What can be recovered, and how: plans, and their replay into a database, with a way back; and
//! the way back in time beside running processes.

pub mod copy;
pub mod offline;
pub mod plan;
pub mod replay;
pub mod rewind;
pub mod undo;
