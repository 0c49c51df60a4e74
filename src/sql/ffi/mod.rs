//! SQLite's C interface: all `unsafe` of this floor. What leaves it is safe.

use rusqlite::{Connection, OpenFlags};

use super::Error;
use super::host::Host;
use statement::prepare;
pub(super) use statement::{Refusal, Statement};
use vfs::StateVfs;

mod hooks;
mod statement;
mod vfs;

/// A connection that finds the states of a host, and no file.
pub(super) struct StateConnection<'p> {
    // Fields are dropped in their order: it is closed before its VFS goes.
    connection: Connection,
    vfs: StateVfs<'p>,
}

impl<'p> StateConnection<'p> {
    /// Opens the first state of `host`.
    ///
    /// # Errors
    /// When SQLite has no memory, or refuses the file.
    pub(super) fn open(host: Host<'p>) -> Result<Self, Error> {
        let vfs = StateVfs::register(host).ok_or(Error::OutOfMemory)?;
        let (file, flags) = (Host::file_name(0), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let file = file.to_string_lossy();
        let opened = Connection::open_with_flags_and_vfs(file.as_ref(), flags, vfs.name());
        let connection = opened.map_err(|error| vfs.host().not_opened("main", &error))?;
        Ok(Self { connection, vfs })
    }

    /// From now on the host is asked whether a statement is allowed, and whether it goes on; no
    /// further state is attached.
    pub(super) fn close_to_others(&self) {
        // SAFETY: the connection is dropped before the VFS.
        unsafe { hooks::listen(&self.connection, &self.vfs) };
        self.host().close();
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What the callbacks find.
    pub(super) fn host(&self) -> &Host<'p> {
        self.vfs.host()
    }

    /// Prepares the first statement of `sql`; with the bytes of its text. `None` where there is
    /// only space and comments.
    pub(super) fn prepare(&self, sql: &str) -> Result<(Option<Statement<'_>>, usize), Refusal> {
        prepare(&self.connection, sql)
    }
}
