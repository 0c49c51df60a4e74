//! Who holds which lock of a database and its wal-index, and what that keeps from happening.

use anyhow::Result;
use humantime::format_rfc3339_seconds;
use serde::Serialize;

use crate::format::lock_bytes::{
    PENDING_BYTE, RESERVED_BYTE, SHARED_BYTES, SHM_LOCK_BYTES, SHM_LOCK_NAMES,
};
use crate::format::{PageSize, WalIndexHeader};
use crate::log::index_file::valid_header;
use crate::output::quantity::{bytes, counted, grouped};
use crate::output::text::escaped;
use crate::output::{Heading, Outside, Paint, Room, Table};
use crate::storage::lock_list::{HeldLock, Holder, held_locks};
use crate::storage::process::{brief, command_of, started_at, user_of};
use crate::storage::{File, LockMode};

use super::Context;
use super::files::Files;

/// A lock with its holder, or a mark without one.
#[derive(Clone, Debug, Serialize)]
pub struct Blocker {
    /// The lock's name.
    pub lock: &'static str,
    /// Its byte in the wal-index or the database.
    pub byte: u64,
    /// How it is held.
    pub held: HeldAs,
    /// By which process.
    pub pid: Option<i32>,
    /// Why that is not known.
    pub pid_unknown_because: Option<&'static str>,
    /// Its command line.
    pub command: Option<Outside>,
    /// Its user.
    pub user: Option<Outside>,
    /// When the process was started: since when it holds the lock, the system does not tell.
    pub since: Option<String>,
    /// The frame that a reader's slot protects.
    pub read_mark_frame: Option<u32>,
    /// Frames that cannot be copied until it ends.
    pub pinned_frames: Option<u32>,
    /// Their bytes.
    pub pinned_bytes: Option<u64>,
    /// What it blocks.
    pub blocks: Vec<Blocked>,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldAs {
    /// With others.
    Shared,
    /// Alone.
    Exclusive,
    /// Not at all: a mark that its reader left behind.
    None,
}

/// What a lock keeps from happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blocked {
    /// A checkpoint cannot copy everything.
    Checkpoint,
    /// The log cannot start again from its beginning.
    Reset,
    /// Nobody else can write.
    Write,
    /// The wal-index cannot be rebuilt.
    Recovery,
}

/// The wal-index header, if it is valid, and everybody who holds a lock.
pub fn find(files: &Files, context: &Context) -> Result<(Option<WalIndexHeader>, Vec<Blocker>)> {
    let index = read_index(files, context)?;
    let mut blockers = Vec::new();
    if let Some(shm) = files.open_shm(context.vfs)? {
        blockers.extend(in_index(shm.as_ref(), index.as_ref())?);
    }
    if let Some(database) = files.open_database(context.vfs)? {
        blockers.extend(in_database(database.as_ref())?);
    }
    Ok((index, blockers))
}

/// The wal-index header, if it is valid.
pub fn read_index(files: &Files, context: &Context) -> Result<Option<WalIndexHeader>> {
    let Some(shm) = files.open_shm(context.vfs)? else { return Ok(None) };
    Ok(valid_header(shm.as_ref())?)
}

fn in_index(shm: &dyn File, index: Option<&WalIndexHeader>) -> Result<Vec<Blocker>> {
    let listed = held_locks(shm.path())?;
    let mut rows = Vec::new();
    for (byte, name) in SHM_LOCK_BYTES.zip(SHM_LOCK_NAMES) {
        let slot = usize::try_from(byte).ok().and_then(|byte| byte.checked_sub(123));
        let mark = slot
            .filter(|&slot| slot > 0)
            .and_then(|slot| index.and_then(|index| index.read_marks.get(slot).copied().flatten()));
        let holders = holders(shm, &listed, byte)?;
        if holders.is_empty() && mark.is_some() {
            rows.push(Blocker { read_mark_frame: mark, ..Blocker::nobody(name, byte) });
        }
        for lock in &holders {
            let mut row = Blocker::of(name, byte, lock);
            row.pin(slot, mark, index);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn in_database(database: &dyn File) -> Result<Vec<Blocker>> {
    let listed = held_locks(database.path())?;
    let names = [
        ("db-pending", PENDING_BYTE),
        ("db-reserved", RESERVED_BYTE),
        ("db-shared", SHARED_BYTES.start),
    ];
    let mut rows = Vec::new();
    for (name, byte) in names {
        let holders = holders(database, &listed, byte)?;
        rows.extend(holders.iter().map(|lock| Blocker::of(name, byte, lock)));
    }
    Ok(rows)
}

/// Who holds `byte` by the kernel's list. Some file systems are listed under a device that their
/// files do not show; there a lock query still tells that somebody does.
fn holders(file: &dyn File, listed: &[HeldLock], byte: u64) -> Result<Vec<HeldLock>> {
    let holders: Vec<HeldLock> =
        listed.iter().filter(|lock| lock.bytes.contains(&byte)).cloned().collect();
    if !holders.is_empty() {
        return Ok(holders);
    }
    let asked = file.lock_holder(byte..byte + 1, LockMode::Exclusive)?;
    let unknown = Holder::Unknown("the kernel's lock list does not name this file");
    Ok(asked
        .map(|found| HeldLock {
            mode: found.mode,
            bytes: byte..=byte,
            holder: found.pid.map_or(unknown, Holder::Process),
        })
        .into_iter()
        .collect())
}

impl Blocker {
    /// A lock that nobody holds.
    #[must_use]
    pub fn nobody(lock: &'static str, byte: u64) -> Self {
        Self {
            lock,
            byte,
            held: HeldAs::None,
            pid: None,
            pid_unknown_because: None,
            command: None,
            user: None,
            since: None,
            read_mark_frame: None,
            pinned_frames: None,
            pinned_bytes: None,
            blocks: Vec::new(),
        }
    }

    fn of(name: &'static str, byte: u64, lock: &HeldLock) -> Self {
        let (pid, pid_unknown_because) = match lock.holder {
            Holder::Process(pid) => (Some(pid), None),
            Holder::Unknown(why) => (None, Some(why)),
        };
        let held = match lock.mode {
            LockMode::Shared => HeldAs::Shared,
            LockMode::Exclusive => HeldAs::Exclusive,
        };
        Self {
            held,
            pid,
            pid_unknown_because,
            command: pid.and_then(command_of).map(Outside::from),
            user: pid.and_then(user_of).map(Outside::from),
            since: pid.and_then(started_at).map(|time| format_rfc3339_seconds(time).to_string()),
            blocks: blocks(name, held),
            ..Self::nobody(name, byte)
        }
    }

    /// What a reader in slot `slot` keeps from being copied: everything after its mark, and in
    /// slot 0 everything that is not in the database yet.
    fn pin(&mut self, slot: Option<usize>, mark: Option<u32>, index: Option<&WalIndexHeader>) {
        let (Some(slot), Some(index), HeldAs::Shared) = (slot.filter(|&s| s < 5), index, self.held)
        else {
            return;
        };
        let copied = if slot == 0 { Some(index.backfill) } else { mark };
        self.read_mark_frame = mark;
        self.pinned_frames = copied.map(|copied| index.mx_frame.saturating_sub(copied));
        let slot_bytes = index.page_size().map_or(0, PageSize::slot_bytes);
        self.pinned_bytes = self.pinned_frames.map(|frames| u64::from(frames) * slot_bytes);
        if self.pinned_frames > Some(0) {
            self.blocks.push(Blocked::Checkpoint);
        }
        if slot > 0 {
            self.blocks.push(Blocked::Reset);
        }
    }
}

/// What a lock blocks by itself; readers are judged by their marks.
fn blocks(name: &str, held: HeldAs) -> Vec<Blocked> {
    match (name, held) {
        ("write", HeldAs::Exclusive) => vec![Blocked::Write, Blocked::Reset, Blocked::Recovery],
        ("checkpoint", HeldAs::Exclusive) => vec![Blocked::Checkpoint, Blocked::Recovery],
        ("recover", HeldAs::Exclusive) => {
            vec![Blocked::Checkpoint, Blocked::Write, Blocked::Recovery]
        }
        ("db-shared", HeldAs::Exclusive) => {
            vec![Blocked::Checkpoint, Blocked::Reset, Blocked::Write, Blocked::Recovery]
        }
        _ => Vec::new(),
    }
}

impl Blocked {
    fn word(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Reset => "reset",
            Self::Write => "write",
            Self::Recovery => "recovery",
        }
    }
}

/// Holders as a table.
pub fn rows_table(rows: &[Blocker], paint: &Paint, width: Option<u16>) -> String {
    let mut table = Table::new([
        Heading::text("lock", Room::Always),
        Heading::text("pid", Room::Always),
        Heading::text("command", Room::Cut),
        Heading::text("mark", Room::IfWide(0)),
        Heading::text("pinned", Room::Broken),
        Heading::text("blocks", Room::Broken),
    ]);
    rows.iter().for_each(|row| table.row(row.cells()));
    table.draw(paint, width)
}

impl Blocker {
    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let pinned = match (self.pinned_frames, self.pinned_bytes) {
            (Some(frames), Some(size)) => {
                format!("{} ({})", counted(frames.into(), "frame"), bytes(size))
            }
            _ => dash(),
        };
        let blocks: Vec<&str> = self.blocks.iter().map(|blocked| blocked.word()).collect();
        let blocks = match self.held {
            HeldAs::None => "nothing: stale mark, its reader has gone".to_owned(),
            HeldAs::Shared | HeldAs::Exclusive => blocks.join(", "),
        };
        vec![
            self.lock.to_owned(),
            self.pid.map_or_else(dash, |pid| pid.to_string()),
            self.command
                .as_ref()
                .map(|command| escaped(&brief(command.raw())).into_owned())
                .or(self.pid_unknown_because.map(str::to_owned))
                .unwrap_or_else(dash),
            self.read_mark_frame.map_or_else(dash, |mark| grouped(mark.into())),
            pinned,
            blocks,
        ]
    }
}
