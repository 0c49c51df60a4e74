//! What the callbacks of SQLite find on our side: the states, how long it may take, and what went
//! wrong there.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::database::Pages;
use crate::format::Pgno;
use crate::scan::{self, Watch};
use crate::storage::Vfs;

use super::Error;

/// Where page 1 has the versions of the file format: 2 is WAL mode, for which SQLite would look for
/// a log (fileformat2.html section 1.3.3).
const FORMAT_VERSIONS: [usize; 2] = [18, 19];
/// A database with a log.
const WAL_MODE: u8 = 2;
/// One without.
const ROLLBACK_MODE: u8 = 1;

/// A state, under the name of its schema.
#[derive(Clone, Copy)]
pub struct NamedState<'p> {
    /// The name: `main` for the first.
    pub name: &'p str,
    /// Its pages.
    pub pages: &'p dyn Pages,
}

/// How long statements may take.
#[derive(Clone, Copy)]
pub struct Patience<'p> {
    /// Tells the time.
    pub clock: &'p dyn Vfs,
    /// Whether the user has had enough.
    pub watch: &'p dyn Watch,
    /// All statements together; `None` without a limit.
    pub limit: Option<Duration>,
    /// When they began, by the clock.
    pub began: Duration,
}

/// The pages of a state as SQLite reads a file.
struct StateFile<'p> {
    pages: &'p dyn Pages,
    page_bytes: u64,
    size_bytes: u64,
}

/// What the callbacks find.
pub(super) struct Host<'p> {
    files: Vec<StateFile<'p>>,
    patience: Patience<'p>,
    failed: RefCell<Option<Error>>,
    denied: RefCell<Option<Denied>>,
    is_closed: Cell<bool>,
}

/// What a statement asked for that it may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// To attach a file, or to detach a state.
    Attach,
    /// To set this pragma.
    Pragma(String),
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    Whole,
    /// After the end of the file there are zeros.
    Short,
    /// The reason is kept.
    Failed,
}

impl<'p> Host<'p> {
    pub(super) fn new(states: &[NamedState<'p>], patience: Patience<'p>) -> Result<Self, Error> {
        let file = |state: &NamedState<'p>| {
            let page_size = state.pages.page_size();
            Ok(StateFile {
                pages: state.pages,
                page_bytes: page_size.bytes_u64(),
                size_bytes: u64::from(state.pages.size_pages()?) * page_size.bytes_u64(),
            })
        };
        Ok(Self {
            files: states.iter().map(file).collect::<Result<_, Error>>()?,
            patience,
            failed: RefCell::default(),
            denied: RefCell::default(),
            is_closed: Cell::new(false),
        })
    }

    /// The name of the file that has the state at `place`.
    pub(super) fn file_name(place: usize) -> CString {
        CString::new(format!("state-{place}")).unwrap_or_default()
    }

    /// The place of the state whose file has the name.
    pub(super) fn place_of(&self, file_name: &[u8]) -> Option<usize> {
        (0..self.files.len()).find(|&place| Self::file_name(place).as_bytes() == file_name)
    }

    /// Bytes of the state at `place`.
    pub(super) fn size_bytes(&self, place: usize) -> u64 {
        self.files.get(place).map_or(0, |file| file.size_bytes)
    }

    /// Fills `bytes` with those at `offset` of a state, and zeros after its end. Where it fails,
    /// any of them may be as they were.
    pub(super) fn read(&self, place: usize, bytes: &mut [MaybeUninit<u8>], offset: u64) -> ReadEnd {
        let Some(file) = self.files.get(place) else { return ReadEnd::Failed };
        if self.is_over() {
            return ReadEnd::Failed;
        }
        let in_file = usize::try_from(file.size_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (there, after) = bytes.split_at_mut(in_file.min(bytes.len()));
        after.fill(MaybeUninit::new(0));
        match file.read(there, offset) {
            Ok(()) if after.is_empty() => ReadEnd::Whole,
            Ok(()) => ReadEnd::Short,
            Err(error) => {
                self.fail(error.into());
                ReadEnd::Failed
            }
        }
    }

    /// Keeps the first reason for which a statement cannot go on.
    fn fail(&self, error: Error) {
        self.failed.borrow_mut().get_or_insert(error);
    }

    /// Whether the statement must end: the user has had enough, or the time is over.
    pub(super) fn is_over(&self) -> bool {
        let Patience { clock, watch, limit, began } = self.patience;
        if watch.is_interrupted() {
            self.fail(scan::Error::Interrupted.into());
            return true;
        }
        match limit {
            Some(limit) if clock.now().saturating_sub(began) >= limit => {
                self.fail(Error::TimedOut(limit));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Keeps what a statement asked for that it may not have.
    pub(super) fn deny(&self, what: Denied) {
        self.denied.borrow_mut().get_or_insert(what);
    }

    /// Whether the states are all attached: from now on nothing else can be.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Attaches no more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
    }

    /// Why the last statement failed, where it is for a reason of ours.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failed.borrow_mut().take()
    }

    /// Why SQLite has not opened the state `name`.
    pub(super) fn not_opened(&self, name: &str, error: &rusqlite::Error) -> Error {
        if let Some(failure) = self.take_failure() {
            return failure;
        }
        let message = match error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            other => other.to_string(),
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::OutOfMemory) => Error::OutOfMemory,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::Damaged { message: format!("the state {name}: {message}"), statement: None }
            }
            _ => Error::NotOpened { name: name.to_owned(), message },
        }
    }

    /// What was not allowed to the last statement.
    pub(super) fn take_denied(&self) -> Option<Denied> {
        self.denied.borrow_mut().take()
    }
}

impl StateFile<'_> {
    /// Fills `bytes`, all of which are in the file.
    fn read(&self, bytes: &mut [MaybeUninit<u8>], offset: u64) -> Result<(), scan::Error> {
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            let page = Pgno(u32::try_from(at / self.page_bytes + 1).unwrap_or(u32::MAX));
            let from = usize::try_from(at % self.page_bytes).unwrap_or_default();
            let after = usize::try_from(self.page_bytes - at % self.page_bytes);
            let (now, later) = rest.split_at_mut(after.unwrap_or_default().min(rest.len()));
            let part = from..from + now.len();
            self.pages.show(page, &mut |image| {
                if let Some(part) = image.get(part.clone()) {
                    let written = now.write_copy_of_slice(part);
                    if page == Pgno::FIRST {
                        without_log(written, from);
                    }
                }
            })?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }
}

/// Where `bytes`, from byte `from` of page 1 on, have a version of the format that is WAL mode, it
/// becomes the one without a log.
fn without_log(bytes: &mut [u8], from: usize) {
    for at in FORMAT_VERSIONS {
        let version = at.checked_sub(from).and_then(|place| bytes.get_mut(place));
        if let Some(version) = version.filter(|version| **version == WAL_MODE) {
            *version = ROLLBACK_MODE;
        }
    }
}
