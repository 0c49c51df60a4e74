//! SQLite's own SQL over states of a database that are held: a read-only VFS gives SQLite their
//! pages.
//!
//! SQLite's code never sees a real file: a [`Session`] shows it the [`Pages`] that it was given,
//! and nothing else has a name there. Only what SQLite sorts or keeps for a statement goes to
//! unnamed files of its own, through its ordinary VFS. The files are taken for hostile: views,
//! triggers and virtual tables may not use what has effects, and the schema is believed as little
//! as SQLite can be told to. All `unsafe` of this floor is in `vfs`, `hooks` and
//! `statement`, but for the call in `session` that begins to listen.
//!
//! [`Pages`]: crate::database::Pages

mod error;
mod functions;
mod hooks;
mod host;
mod session;
mod statement;
mod vfs;

pub use error::Error;
pub use host::{NamedState, Patience};
pub use session::{Event, Session};
