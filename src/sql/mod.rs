//! SQLite's own SQL over states of a database that are held: a read-only VFS gives SQLite their
//! pages.
//!
//! SQLite's code never sees a real file: a [`Session`] shows it the [`Pages`] that it was given,
//! and nothing else has a name there. Only what SQLite sorts or keeps for a statement goes to
//! unnamed files of its own, through its ordinary VFS. The files are taken for hostile: views,
//! triggers and virtual tables may not use what has effects, and the schema is believed as little
//! as SQLite can be told to. All `unsafe` of this floor is in `ffi`.
//!
//! [`Pages`]: crate::database::Pages

#![deny(unsafe_code)]

mod error;
#[expect(unsafe_code, reason = "it calls SQLite's C interface, and is called by it")]
mod ffi;
mod functions;
mod host;
mod session;

pub use error::Error;
pub use host::{NamedState, Patience};
pub use session::{Event, Session};
