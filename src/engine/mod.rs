//! SQLite's WAL algorithms on the storage traits: strict, and beside running SQLite processes.
//!
//! [`wal`] has exactly the surface of wal.c, on a database file that is open already.
//! [`connection`] does what pager.c does around it: database locks, first open, last close;
//! [`rollback`] plays a hot rollback journal back.
//! Every storage call and every allocation that depends on a file may fail, and leaves a state from
//! which the caller can go on or roll back.
#![doc = include_str!("PROTOCOL.md")]

pub mod connection;
mod error;
pub mod page_checksum;
pub mod rollback;
pub mod wal;

pub use error::{Corruption, Error, Result};
