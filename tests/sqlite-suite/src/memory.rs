//! SQLite's allocator is that of the engine, so that SQLite's tests of exhausted memory reach it.

use std::alloc::{GlobalAlloc, Layout, System, alloc};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sqlite::{ws_free, ws_malloc};

/// `sqlite3_malloc`, which aligns to 8 bytes.
struct SqliteMemory;

/// While it is set, memory that is never given back comes from the system.
static FOR_EVER: AtomicBool = AtomicBool::new(false);

// SAFETY: sqlite3_malloc64 returns null or memory of that size, aligned to 8 bytes; larger
// alignments are refused with null. Memory of the system is handed out under FOR_EVER only, and
// never freed.
unsafe impl GlobalAlloc for SqliteMemory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if FOR_EVER.load(Ordering::Relaxed) {
            // SAFETY: the caller keeps the rules of GlobalAlloc.
            return unsafe { System.alloc(layout) };
        }
        if layout.align() > 8 {
            return ptr::null_mut();
        }
        // SAFETY: no condition beyond those of malloc.
        unsafe { ws_malloc(layout.size() as u64) }.cast()
    }

    unsafe fn dealloc(&self, memory: *mut u8, _layout: Layout) {
        // SAFETY: it came from ws_malloc; what came from the system is never given back.
        unsafe { ws_free(memory.cast()) };
    }
}

#[global_allocator]
static MEMORY: SqliteMemory = SqliteMemory;

/// Runs `make`, whose allocations live as long as the process and never fail.
pub fn for_ever<T>(make: impl FnOnce() -> T) -> T {
    FOR_EVER.store(true, Ordering::Relaxed);
    let made = make();
    FOR_EVER.store(false, Ordering::Relaxed);
    made
}

/// A box, or the value back when there is no memory.
pub fn try_box<T>(value: T) -> Result<Box<T>, T> {
    // SAFETY: the layouts that are passed here are not empty.
    let memory = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if memory.is_null() {
        return Err(value);
    }
    // SAFETY: the memory has the layout of T and is owned by nobody else; it is written before the
    // box is made.
    unsafe {
        memory.write(value);
        Ok(Box::from_raw(memory))
    }
}
