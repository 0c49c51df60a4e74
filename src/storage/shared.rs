//! One file in the hands of several threads: what they share of it, and how the work is cut.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::{Error, Result, Verb};

/// How a long read of a file is spread over threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Threads that read, the caller's among them; `None` is what the machine has, up to
    /// [`Spread::MOST_THREADS`].
    pub threads: Option<NonZeroUsize>,
    /// Bytes that a thread reads at a time.
    pub chunk_bytes: u64,
    /// What is shorter is read by the caller alone: threads would cost more than they gain.
    pub from_bytes: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { threads: None, chunk_bytes: 1 << 19, from_bytes: 16 << 20 }
    }
}

impl Spread {
    /// More threads than these wait for the memory and not for each other.
    pub const MOST_THREADS: usize = 8;

    /// Threads for a read of `bytes` bytes.
    #[must_use]
    pub fn threads(&self, bytes: u64) -> usize {
        if bytes < self.from_bytes {
            return 1;
        }
        let machine = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or_else(|| machine().min(Self::MOST_THREADS), NonZeroUsize::get)
    }
}

/// An open file as threads share it. It holds no lock of its own, and the file stays open as long
/// as it lives.
#[derive(Clone, Debug)]
pub struct SharedFile {
    pub(super) file: Arc<fs::File>,
    pub(super) path: Arc<Path>,
    /// How its readers divide their work.
    pub spread: Spread,
}

impl SharedFile {
    /// As [`super::File::read_at`].
    ///
    /// # Errors
    /// When the system reports one; the end of the file is not an error.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_fully(&self.file, &self.path, buffer, offset)
    }

    /// As [`super::File::write_at`].
    ///
    /// # Errors
    /// When the system reports one; a part of `bytes` may have been written.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|error| Error::at(Verb::Write, Arc::clone(&self.path), offset, error))
    }

    /// The path it was opened under, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads until `buffer` is full or the file ends.
pub(super) fn read_fully(
    file: &fs::File,
    path: &Arc<Path>,
    buffer: &mut [u8],
    offset: u64,
) -> Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::at(Verb::Read, Arc::clone(path), offset, error)),
        }
    }
    Ok(done)
}
