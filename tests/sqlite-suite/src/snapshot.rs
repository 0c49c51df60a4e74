//! The snapshot functions of wal.h.

use std::ffi::c_int;
use std::ptr;

use walsmith::engine::wal::{SnapshotMark, SnapshotRequest};
use walsmith::format::IndexHeader;

use crate::memory::try_box;
use crate::sqlite::*;
use crate::{Handle, code};

/// `sqlite3_snapshot`: the 48 bytes of a header.
type SnapshotWords = [u32; 12];

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSnapshotGet(
    handle: &mut Handle,
    snapshot: &mut *mut SnapshotWords,
) -> c_int {
    *snapshot = ptr::null_mut();
    let got = handle.wal.get_snapshot();
    if let Ok(got) = &got {
        match try_box(got.header().to_words()) {
            Ok(words) => *snapshot = Box::into_raw(words),
            Err(_) => return NOMEM,
        }
    }
    code(&got)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSnapshotOpen(
    handle: &mut Handle,
    snapshot: *const SnapshotWords,
) {
    // SAFETY: null, or a snapshot of sqlite3WalSnapshotGet.
    let request = match unsafe { snapshot.as_ref() }.map(|words| IndexHeader::from_words(*words)) {
        None => SnapshotRequest::Newest,
        Some(header) if header.version == 0 => SnapshotRequest::Nameable,
        Some(header) => SnapshotRequest::At(SnapshotMark::of(header)),
    };
    handle.wal.open_snapshot(request);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSnapshotRecover(handle: &mut Handle) -> c_int {
    code(&handle.wal.recover_snapshots())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSnapshotCheck(
    handle: &mut Handle,
    snapshot: &SnapshotWords,
) -> c_int {
    let snapshot = SnapshotMark::of(IndexHeader::from_words(*snapshot));
    code(&handle.wal.check_snapshot(&snapshot))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3WalSnapshotUnlock(handle: &mut Handle) {
    handle.wal.unlock_snapshot();
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_snapshot_cmp(one: &SnapshotWords, two: &SnapshotWords) -> c_int {
    // The first salt as a native word, then mxFrame, as wal.c compares them.
    let age = |words: &SnapshotWords| (words[8], words[4]);
    age(one).cmp(&age(two)) as c_int
}
