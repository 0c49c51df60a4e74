//! walsmith: inspects and repairs SQLite write-ahead logs.
//!
//! The library is the engine and everything that the commands use. It is built in floors; a floor
//! uses only those below it, and there is no cycle inside a floor. From the ground up:
//!
//! - [`format`](mod@format): bytes to values and back. No files, no clock, no locks.
//! - [`storage`]: the outside world behind SQLite's own verbs (open, read, write, sync, lock, map).
//! - [`scan`]: the one place that reads frames from a log, and the pure judgement of one frame.
//! - [`engine`]: SQLite's WAL algorithms on those traits: recover, read, write, checkpoint, strict
//!   and beside running SQLite processes.
//! - [`analysis`]: read-only; accepts any damage and returns facts: states, verdict, loss.
//! - [`repair`]: plans into actions: replay of a log, and the undo set.
//! - [`access`]: how commands come to files: readings, attaching, rails, exit codes.
//! - [`output`]: tables, JSON, CSV and hex dumps. Knows nothing of the rest.
//! - [`commands`]: one file a command: its arguments, its report, its run function.
//! - [`cli`]: the clap tree, dispatch, exit codes, errors on the terminal, progress, interrupt.

pub mod access;
pub mod analysis;
pub mod cli;
pub mod commands;
pub mod engine;
pub mod format;
pub mod output;
pub mod repair;
pub mod scan;
pub mod storage;
