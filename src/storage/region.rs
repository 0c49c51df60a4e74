//! One region of a wal-index: 32 KiB that several processes write and read at once.
//!
//! Only atomics reach the memory. The first half holds 32-bit words (headers and page numbers), the
//! second half 16-bit hash slots; no byte is ever accessed in two widths.

use std::collections::TryReserveError;
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

use memmap2::MmapRaw;

/// Bytes of a region (`WALINDEX_PGSZ`).
pub const REGION_BYTES: usize = 32_768;
/// Words in the first half.
const WORDS: usize = 4096;
/// Hash slots in the second half.
const SLOTS: usize = 8192;

/// A region and whatever keeps its memory alive.
pub struct Region {
    start: NonNull<u8>,
    _memory: Memory,
}

/// Who owns the memory. Held for its drop only.
enum Memory {
    Mapped { _map: MmapRaw },
    Shared { _cells: Rc<Cells> },
    Heap { _cells: Vec<AtomicU64> },
    Foreign,
}

/// Memory of a region that several handles of one process share.
pub(super) struct Cells(Vec<AtomicU64>);

impl Cells {
    /// Zeroed memory of one region.
    pub(super) fn zeroed() -> Result<Self, TryReserveError> {
        let mut cells = Vec::new();
        cells.try_reserve_exact(REGION_BYTES / 8)?;
        cells.extend((0..REGION_BYTES / 8).map(|_| AtomicU64::new(0)));
        Ok(Self(cells))
    }

    fn start(&self) -> NonNull<u8> {
        start_of(&self.0)
    }
}

fn start_of(cells: &[AtomicU64]) -> NonNull<u8> {
    NonNull::from(cells).cast()
}

impl Region {
    /// A zeroed region in private memory.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn heap() -> Result<Self, TryReserveError> {
        let Cells(cells) = Cells::zeroed()?;
        Ok(Self { start: start_of(&cells), _memory: Memory::Heap { _cells: cells } })
    }

    pub(super) fn shared(cells: Rc<Cells>) -> Self {
        Self { start: cells.start(), _memory: Memory::Shared { _cells: cells } }
    }

    /// The region that begins `offset` bytes into `map`.
    pub(super) fn mapped(map: MmapRaw, offset: usize) -> Self {
        assert!(offset + REGION_BYTES <= map.len(), "a region lies inside its mapping");
        assert!(offset.is_multiple_of(8), "a region is aligned");
        // SAFETY: the assertion above keeps the pointer inside the mapping, which is not null.
        let start = unsafe { NonNull::new_unchecked(map.as_mut_ptr().add(offset)) };
        Self { start, _memory: Memory::Mapped { _map: map } }
    }

    /// A region in memory that somebody else owns, such as SQLite's own VFS.
    ///
    /// # Safety
    /// `start` must be aligned to 8 bytes and point to [`REGION_BYTES`] readable bytes that stay
    /// valid as long as the region lives and are accessed by others as atomics or through other
    /// mappings only. They must be writable, unless the region is only read.
    #[must_use]
    pub unsafe fn foreign(start: NonNull<u8>) -> Self {
        Self { start, _memory: Memory::Foreign }
    }

    /// The 4096 words of the first half.
    #[must_use]
    pub fn words(&self) -> &[AtomicU32] {
        // SAFETY: `start` is aligned to 8 and has REGION_BYTES valid bytes while `self` lives, by
        // its constructors; every access to them in this process goes through these atomics.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast::<AtomicU32>(), WORDS) }
    }

    /// The 8192 hash slots of the second half.
    #[must_use]
    pub fn slots(&self) -> &[AtomicU16] {
        // SAFETY: as for `words`; the second half begins after 4 * WORDS bytes.
        unsafe {
            slice::from_raw_parts(self.start.as_ptr().add(4 * WORDS).cast::<AtomicU16>(), SLOTS)
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").finish_non_exhaustive()
    }
}
