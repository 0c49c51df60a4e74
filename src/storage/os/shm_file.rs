//! The file of a wal-index on the machine: its locks, and its regions as mappings.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memmap2::MmapOptions;

use crate::storage::lock::{LockHolder, LockMode, Locked, RangeLocks};
use crate::storage::shm::ShmFile;
use crate::storage::{Access, REGION_BYTES, Region};

/// The `-shm` of the machine.
#[derive(Debug)]
pub(super) struct OsShm {
    file: fs::File,
    access: Access,
}

impl OsShm {
    pub(super) fn new(file: fs::File, access: Access) -> Self {
        Self { file, access }
    }
}

impl RangeLocks for OsShm {
    fn set(&self, bytes: &Range<u64>, mode: Option<LockMode>) -> io::Result<Locked> {
        self.file.set(bytes, mode)
    }

    fn holder(&self, bytes: &Range<u64>, wanted: LockMode) -> io::Result<Option<LockHolder>> {
        self.file.holder(bytes, wanted)
    }
}

impl ShmFile for OsShm {
    fn access(&self) -> Access {
        self.access
    }

    fn size(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    fn truncate(&self, size_bytes: u64) -> io::Result<()> {
        self.file.set_len(size_bytes)
    }

    fn grow(&self, size_bytes: u64) -> io::Result<()> {
        // One byte for every page of 4096 bytes, as os_unix.c does: a hole would not be allocated.
        const PAGE: u64 = 4096;
        for page in self.size()? / PAGE..size_bytes.div_ceil(PAGE) {
            self.file.write_all_at(&[0], page * PAGE + PAGE - 1)?;
        }
        Ok(())
    }

    fn map(&self, region: u32) -> io::Result<Region> {
        let start = u64::from(region) * REGION_BYTES as u64;
        let page = page_bytes();
        let inner = start % page;
        let inner_len = usize::try_from(inner).map_err(io::Error::other)?;
        let mut options = MmapOptions::new();
        options.offset(start - inner).len(inner_len + REGION_BYTES);
        let map = match self.access {
            Access::ReadWrite => options.map_raw(&self.file)?,
            Access::ReadOnly => options.map_raw_read_only(&self.file)?,
        };
        Ok(Region::mapped(map, inner_len))
    }
}

/// Bytes of a page of memory; mappings begin at its multiples.
fn page_bytes() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| bytes.is_power_of_two())
        .unwrap_or(65_536)
}
