//! Probes: each looks at one thing, and says what it found.

pub mod log;
pub mod permissions;
pub mod places;
pub mod readers;
pub mod sqlite;
