//! Plays a history, and keeps each state.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;

use rusqlite::backup::Backup;
use rusqlite::{Connection, ffi};

use super::History;
use crate::see::open;
use crate::session::Session;
use crate::shims::reserve;

const WAL_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

pub(super) struct Player {
    // Before the connection: it is closed first. With the commit that it began after, and the
    // version of the schema: what DROP TABLE takes away is not recorded.
    session: Option<(Session, u32, i64)>,
    pub(super) connection: Connection,
    /// Keeps the log from being reset, and with the commit that it reads.
    reader: Option<(Connection, u32)>,
    directory: PathBuf,
    /// Where the log's last commit ends, and which commit it is.
    end: u64,
    commits: u32,
}

impl Player {
    pub(super) fn new(directory: &Path, history: &History) -> Self {
        let connection = open(&directory.join("x.db"));
        if history.reserved > 0 {
            reserve(&connection, history.reserved);
        }
        connection.execute_batch(&history.settings).unwrap();
        let directory = directory.to_owned();
        let player = Self {
            session: None,
            connection,
            reader: None,
            directory,
            end: WAL_HEADER_BYTES,
            commits: 0,
        };
        if !history.first_in_file {
            player.keep();
        }
        player
    }

    /// Does one step; one that SQLite refuses changes nothing.
    pub(super) fn step(&mut self, step: &str) {
        if step == "-- record" {
            let session = Session::recording(&self.connection);
            self.session = Some((session, self.commits, self.schema_version()));
        } else if step == "-- reader" {
            self.read();
        } else if step == "-- later reader" {
            // One that reads where everything is copied already would not keep the log.
            if self.reader.as_ref().is_some_and(|it| it.1 < self.commits) {
                self.reader = None;
            }
            self.read();
        } else if step == "-- checkpoint" {
            self.checkpoint();
        } else if let Some(place) = step.strip_prefix("-- blob ") {
            self.write_blob(place);
        } else if let Err(error) = self.connection.execute_batch(step)
            && std::env::var("WALSMITH_SHOW").is_ok()
        {
            println!("{error}: {step}");
        }
        // A session keeps what it first knew of a table, though a savepoint takes that back.
        let version = self.schema_version();
        self.session.take_if(|session| session.2 != version);
        self.look();
    }

    /// Begins to read, and goes on with it to the end.
    fn read(&mut self) {
        if self.reader.is_none() {
            let reader = open(&self.directory.join("x.db"));
            reader.execute_batch("BEGIN").unwrap();
            let sql = "SELECT count(*) FROM sqlite_schema";
            reader.query_row(sql, [], |_| Ok(())).unwrap();
            self.reader = Some((reader, self.commits));
        }
    }

    /// Copies what the reader does not need any more into the file.
    fn checkpoint(&mut self) {
        self.read();
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        self.connection.query_row(sql, [], |_| Ok(())).unwrap();
        let copied = self.reader.as_ref().map_or(0, |it| it.1);
        fs::write(self.directory.join("copied"), copied.to_string()).unwrap();
    }

    /// Ends a transaction. The first one may have to go into the file.
    pub(super) fn end(&mut self, into_file: bool) {
        if !self.connection.is_autocommit() && self.connection.execute_batch("COMMIT").is_err() {
            self.connection.execute_batch("ROLLBACK").unwrap();
        }
        if into_file {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            self.connection.query_row(sql, [], |_| Ok(())).unwrap();
            (self.end, self.commits, self.session) = (WAL_HEADER_BYTES, 0, None);
            for entry in fs::read_dir(&self.directory).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().is_some_and(|name| name.to_str() != Some("x.db"))
                    && path.extension().is_some_and(|it| it == "db" || it == "changeset")
                {
                    fs::remove_file(path).unwrap();
                }
            }
            self.keep();
            return;
        }
        self.look();
        let Some((session, commits, version)) = self.session.take() else { return };
        let is_one = self.commits == commits + 1 && self.schema_version() == version;
        if let Some(changeset) = session.changeset().filter(|_| is_one) {
            let path = self.directory.join(format!("{}.changeset", self.commits));
            fs::write(path, changeset).unwrap();
        }
    }

    fn schema_version(&self) -> i64 {
        self.connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap()
    }

    /// Keeps the state if a commit has been written.
    fn look(&mut self) {
        let before = self.commits;
        self.count();
        if self.commits > before {
            self.keep();
        }
    }

    /// Counts the commits that the log has now. No lock lies on that file.
    fn count(&mut self) {
        let Ok(log) = File::open(self.directory.join("x.db-wal")) else { return };
        let mut header = [0; 32];
        if log.read_exact_at(&mut header, 0).is_err() {
            return;
        }
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let slot = FRAME_HEADER_BYTES + u64::from(word(8));
        let (mut at, mut frame) = (self.end, [0; 24]);
        while log.read_exact_at(&mut frame, at).is_ok() && frame[8..16] == header[16..24] {
            at += slot;
            if frame[4..8] != [0; 4] {
                (self.end, self.commits) = (at, self.commits + 1);
            }
        }
    }

    /// Copies this state with SQLite's backup, page by page.
    fn keep(&self) {
        let path = self.directory.join(format!("{}.db", self.commits));
        let mut to = Connection::open(path).unwrap();
        to.execute_batch("PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF").unwrap();
        Backup::new(&self.connection, &mut to).unwrap().step(-1).unwrap();
    }

    fn write_blob(&self, place: &str) {
        let place: (String, String, i64, i32, String) = serde_json::from_str(place).unwrap();
        let (table, column, row, offset, hex) = place;
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        let (table, column) = (CString::new(table).unwrap(), CString::new(column).unwrap());
        let mut blob = null_mut();
        // SAFETY: the names end in NUL, and the blob is closed whatever happens.
        unsafe {
            let main = c"main".as_ptr();
            let db = self.connection.handle();
            let (table, column) = (table.as_ptr(), column.as_ptr());
            ffi::sqlite3_blob_open(db, main, table, column, row, 1, &raw mut blob);
            if !blob.is_null() {
                let length = i32::try_from(bytes.len()).unwrap();
                ffi::sqlite3_blob_write(blob, bytes.as_ptr().cast(), length, offset);
            }
            ffi::sqlite3_blob_close(blob);
        }
    }
}
