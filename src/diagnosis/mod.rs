//! What a set of files suffers from: findings, by one table of rules.
//!
//! [`diagnose`](fn@diagnose) puts together what [`judge`](fn@judge) and the [`probe`]s find, and a
//! [`forecast`] of what SQLite does. [`rails`] are the findings that keep a command from writing;
//! [`users`] looks at processes that no lock shows.

mod diagnose;
pub mod finding;
pub mod forecast;
mod judge;
pub mod page_checksums;
pub mod probe;
pub mod rails;
pub mod rights;
pub mod rule;
mod together;
pub mod users;

pub use diagnose::{Diagnosis, Options, diagnose};
pub use judge::{Judged, judge};
pub use together::{
    Doubt, Doubted, MAY_BE_NEWER, NOTHING_PROVES, PairProof, StateDoubt, doubt_about_states,
    doubt_of_states, is_its_log_up_to, is_open_in_time, newest_can_be_told, states_can_be_told,
};
