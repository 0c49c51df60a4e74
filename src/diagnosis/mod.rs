//! What a set of files suffers from: findings, by one table of rules.
//!
//! [`rails`] are the findings that keep a command from writing; [`users`] looks at processes that
//! no lock shows.

pub mod finding;
pub mod rails;
pub mod rule;
pub mod users;
