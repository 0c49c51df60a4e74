//! The machine's own file system, with several threads for a long read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::os::{OsFile, OsVfs};
use super::shared::Spread;
use super::{File, FileType, NewFile, OpenMode, Result, SyncDirectory, Vfs};

/// The file system of the machine, with files whose long reads are spread over threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadedVfs {
    /// How.
    pub spread: Spread,
}

impl Vfs for ThreadedVfs {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Box<dyn File>> {
        Ok(Box::new(OsFile::open(path, mode)?.spread_reads(self.spread)))
    }

    fn delete(&self, path: &Path, sync: SyncDirectory) -> Result<()> {
        OsVfs.delete(path, sync)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        OsVfs.rename(from, to)
    }

    fn new_file(&self, target: &Path) -> Result<Box<dyn NewFile>> {
        OsVfs.new_file(target)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        OsVfs.exists(path)
    }

    fn file_type(&self, path: &Path) -> Result<Option<FileType>> {
        OsVfs.file_type(path)
    }

    fn full_path(&self, path: &Path) -> Result<PathBuf> {
        OsVfs.full_path(path)
    }

    fn randomness(&self, buffer: &mut [u8]) -> Result<()> {
        OsVfs.randomness(buffer)
    }

    fn sleep(&self, duration: Duration) {
        OsVfs.sleep(duration);
    }

    fn now(&self) -> Duration {
        OsVfs.now()
    }
}
