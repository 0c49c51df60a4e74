//! walsmith: inspects and repairs SQLite write-ahead logs.
//!
//! SQLite's formats are described in [`format`](mod@format), its protocol in [`engine`].
#![doc = include_str!("ARCHITECTURE.md")]

pub mod access;
pub mod cli;
pub mod commands;
pub mod database;
pub mod diagnosis;
pub mod engine;
pub mod format;
pub mod history;
pub mod log;
pub mod output;
pub mod repair;
pub mod scan;
#[cfg(feature = "sql")]
pub mod sql;
pub mod storage;
