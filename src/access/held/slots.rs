//! The locks of a reader, and what the wal-index says beside those who keep it.

use crate::access::files::{Files, open_if_readable};
use crate::access::patience::Patience;
use crate::access::{Context, Failure};
use crate::format::lock_bytes::{DEAD_MAN_SWITCH, SHARED_BYTES, WAL_READ_LOCK_0};
use crate::format::{WAL_HEADER_BYTES, WalHeader, WalIndexHeader};
use crate::log::index_file::valid_header;
use crate::output::text::command;
use crate::storage::{File, LockLevel, LockMode, Locked};
use anyhow::Result;
use std::ops::Range;
use std::time::Duration;

/// Looks at a wal-index that counts more frames as copied than it has, before that is believed: a
/// reset publishes its header first and clears the count afterwards.
const MAX_LOOKS: u32 = 20;

/// Whether SHARED is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Locks {
    Held,
    None,
}

pub(super) fn take_shared(database: &dyn File, patience: &mut Patience<'_>) -> Result<Locks> {
    loop {
        match database.lock(LockLevel::Shared) {
            Ok(Locked::Granted) => return Ok(Locks::Held),
            Ok(Locked::Busy) if patience.wait() => {}
            Ok(Locked::Busy) => {
                let holder = database.lock_holder(SHARED_BYTES, LockMode::Shared)?;
                let why = "somebody has it in exclusive mode, or is writing it";
                return Err(Failure::busy(database.path(), why, holder).into());
            }
            // A file system without locks: the files are watched instead.
            Err(_) => return Ok(Locks::None),
        }
    }
}

/// A transaction with a rollback journal writes its pages into the file before it commits (pager.c
/// pagerStress), under EXCLUSIVE until it ends: no number shows them to be uncommitted.
pub(super) fn nobody_writes_it(
    database: &dyn File,
    files: &Files,
    context: &Context,
) -> Result<()> {
    let journal = files.journal.as_deref();
    let Some(journal) = open_if_readable(context.vfs, journal) else { return Ok(()) };
    let writer = database.lock_holder(SHARED_BYTES, LockMode::Shared)?;
    match writer {
        Some(_) if journal.size()? > 0 => {
            let why =
                "a transaction with a rollback journal is writing it, and no lock is waited for";
            Err(Failure::busy(database.path(), why, writer).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Who keeps the wal-index right.
pub(super) enum IndexKeeper {
    Nobody,
    /// Somebody does, and no lock is held.
    Seen(WalIndexHeader),
    /// Somebody does, and a reader's locks are held through the handle.
    Slots(WalIndexHeader, Box<dyn File>),
}

pub(super) const SWITCH: Range<u64> = DEAD_MAN_SWITCH..DEAD_MAN_SWITCH + 1;

pub(super) fn slot(number: u64) -> Range<u64> {
    WAL_READ_LOCK_0 + number..WAL_READ_LOCK_0 + number + 1
}

/// Takes the locks of a reader who needs slot 0 and the log: nobody copies, and nobody resets.
pub(super) fn take_slots(
    shm: Box<dyn File>,
    files: &Files,
    patience: &mut Patience<'_>,
    context: &Context,
) -> Result<IndexKeeper> {
    let mut looks = 0;
    loop {
        // Only where somebody else holds the switch already: alone, it would make SQLite trust an
        // index that nobody keeps.
        let Ok(others) = shm.lock_holder(SWITCH, LockMode::Exclusive) else {
            return look(shm.as_ref(), context);
        };
        if others.is_none() {
            return Ok(IndexKeeper::Nobody);
        }
        let all = [SWITCH, slot(0)];
        let mut granted = all.iter().map(|bytes| is_granted(shm.as_ref(), bytes.clone()));
        if granted.all(|granted| granted)
            && (1..=4).rev().any(|number| is_granted(shm.as_ref(), slot(number)))
            && shm.lock_holder(SWITCH, LockMode::Exclusive)?.is_some()
            && let Some(index) = settled_index(shm.as_ref())?
            && log_is_that_of(&index, files, context)?
        {
            looks += 1;
            if index.backfill <= index.mx_frame || looks == MAX_LOOKS {
                return Ok(IndexKeeper::Slots(index, shm));
            }
        }
        shm.unlock_bytes(WAL_READ_LOCK_0..DEAD_MAN_SWITCH + 1)?;
        if !patience.wait() {
            return Err(why_no_slot(shm.as_ref(), files, context)?.into());
        }
    }
}

pub(super) fn is_granted(shm: &dyn File, bytes: Range<u64>) -> bool {
    shm.lock_bytes(bytes, LockMode::Shared).is_ok_and(|locked| locked == Locked::Granted)
}

/// The index header, if it is valid and two looks agree: the second would show a reset or a
/// checkpoint that came between.
pub(super) fn settled_index(shm: &dyn File) -> Result<Option<WalIndexHeader>> {
    let (Some(first), Some(second)) = (valid_header(shm)?, valid_header(shm)?) else {
        return Ok(None);
    };
    let same = first.salts == second.salts
        && first.mx_frame <= second.mx_frame
        && first.backfill == second.backfill
        && first.backfill_attempted == second.backfill_attempted;
    Ok(same.then_some(first))
}

/// Whether the log at the path is the one that `index` describes. With no frame in the log, the new
/// salts are in the index first.
pub(super) fn log_is_that_of(
    index: &WalIndexHeader,
    files: &Files,
    context: &Context,
) -> Result<bool> {
    if index.mx_frame == 0 {
        return Ok(true);
    }
    let Some(log) = files.open_wal(context.vfs)? else { return Ok(false) };
    let mut bytes = [0; WAL_HEADER_BYTES];
    let whole = log.read_at(&mut bytes, 0)? == bytes.len();
    // A header that is damaged is another matter.
    let header = WalHeader::decode(&bytes);
    Ok(whole && (header.salts == index.salts || header.validate().is_err()))
}

/// Why the locks could not be taken in time.
pub(super) fn why_no_slot(shm: &dyn File, files: &Files, context: &Context) -> Result<Failure> {
    let path = files.database.as_deref().unwrap_or(&files.wal);
    if let Some(index) = settled_index(shm)?
        && !log_is_that_of(&index, files, context)?
    {
        let why = format!(
            "the log at {} is not the one that the attached processes use",
            files.wal.display()
        );
        let hint = command("blockers", path);
        return Ok(Failure::refused(path, why, format!("who they are: {hint}")));
    }
    let holder = shm.lock_holder(slot(0), LockMode::Shared)?;
    Ok(Failure::busy(path, "no read slot was free in time", holder))
}

/// The same without a lock.
pub(super) fn look(shm: &dyn File, context: &Context) -> Result<IndexKeeper> {
    if shm.lock_holder(SWITCH, LockMode::Exclusive).is_ok_and(|holder| holder.is_none()) {
        return Ok(IndexKeeper::Nobody);
    }
    for look in 0..MAX_LOOKS {
        if look > 0 {
            context.vfs.sleep(Duration::from_millis(1));
        }
        if let Some(index) = settled_index(shm)?.filter(|index| index.backfill <= index.mx_frame) {
            return Ok(IndexKeeper::Seen(index));
        }
    }
    Ok(IndexKeeper::Nobody)
}
