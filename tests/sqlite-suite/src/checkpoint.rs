//! `sqlite3WalCheckpoint` of wal.h.

use std::ffi::{c_int, c_void};

use walsmith::engine::wal::{Busy, CheckpointMode, Request, Verify};

use crate::sqlite::*;
use crate::{Handle, Interrupts, page_size, sync_flags};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalCheckpoint(
    handle: &mut Handle,
    connection: *mut Database,
    mode: c_int,
    busy: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    busy_context: *mut c_void,
    flags: c_int,
    buffer_bytes: c_int,
    _buffer: *mut u8,
    log_frames: *mut c_int,
    checkpointed_frames: *mut c_int,
) -> c_int {
    let Some(page_size) = page_size(buffer_bytes) else { return CORRUPT };
    let mode = match mode {
        -1 => CheckpointMode::Noop,
        0 => CheckpointMode::Passive,
        1 => CheckpointMode::Full,
        2 => CheckpointMode::Restart,
        _ => CheckpointMode::Truncate,
    };
    let mut ask = busy.map(|busy| {
        // SAFETY: the connection's own busy handler with its own context.
        move || match unsafe { busy(busy_context) } {
            0 => Busy::GiveUp,
            _ => Busy::Retry,
        }
    });
    let watch = Interrupts(connection);
    let mut request = Request {
        mode,
        page_size,
        sync: sync_flags(flags),
        verify: Verify::Nothing,
        mend: None,
        busy: ask.as_mut().map(|ask| ask as &mut dyn FnMut() -> Busy),
        watch: &watch,
    };
    // SAFETY: no page of the database is fetched while its connection runs a checkpoint.
    unsafe { ws_unfetch((*handle.database).file) };
    let done = handle.wal.checkpoint(&mut request);
    handle.log_recovery();
    match done {
        Ok(done) => {
            let number = |frames: u32| c_int::try_from(frames).unwrap_or(c_int::MAX);
            // SAFETY: null, or places for a number each.
            unsafe {
                let places = [
                    (log_frames, done.log_frames),
                    (checkpointed_frames, done.checkpointed_frames),
                ];
                for (place, frames) in places {
                    if let (Some(place), Some(frames)) = (place.as_mut(), frames) {
                        *place = number(frames);
                    }
                }
            }
            if done.busy { BUSY } else { OK }
        }
        failed => watch.code(&failed),
    }
}
