//! Plans into actions: replaying a log into a database, and undoing what was done in place.

pub mod offline;
pub mod replay;
pub mod undo;
