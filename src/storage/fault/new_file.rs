//! A file in the making, with faults.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Fate, State};
use crate::storage::{Error, Existing, NewFile, Result, Verb};

/// A file in the making; a power loss leaves nothing of one that was not published.
#[derive(Debug)]
pub(super) struct FaultNewFile {
    inner: Box<dyn NewFile>,
    target: PathBuf,
    state: Rc<State>,
}

impl FaultNewFile {
    pub(super) fn new(inner: Box<dyn NewFile>, target: &Path, state: Rc<State>) -> Self {
        Self { inner, target: target.to_owned(), state }
    }
}

impl NewFile for FaultNewFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        match self.state.call(Verb::Write, &self.target)? {
            Fate::Works => self.inner.write_at(bytes, offset),
            Fate::Short(short) => {
                self.inner.write_at(bytes.get(..short).unwrap_or(bytes), offset)?;
                let full = io::ErrorKind::StorageFull.into();
                Err(Error::at(Verb::Write, self.target.as_path(), offset, full))
            }
        }
    }

    fn truncate(&self, size_bytes: u64) -> Result<()> {
        self.state.call(Verb::Truncate, &self.target)?;
        self.inner.truncate(size_bytes)
    }

    fn publish(self: Box<Self>, existing: Existing, like: Option<&Path>) -> Result<()> {
        self.state.call(Verb::Sync, &self.target)?;
        self.state.call(Verb::Rename, &self.target)?;
        self.inner.publish(existing, like)
    }
}
