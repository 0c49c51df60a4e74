//! What a power loss leaves of a file: what a sync has made durable, and what was on its way to the
//! disk.

use crate::storage::{File, Result};

/// Bytes that a disk writes at once: a write is torn at their borders only.
pub const SECTOR_BYTES: u64 = 512;

/// Which of the writes that no sync has made durable a power loss leaves on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// None.
    Lost,
    /// All: the process died, the system lived.
    Kept,
    /// Each for itself, by chance: writes reach the disk in any order.
    Reordered {
        /// Seed of the choice.
        seed: u64,
    },
    /// Each sector of each for itself, by chance.
    Torn {
        /// Seed of the choice.
        seed: u64,
    },
}

/// A change that may not have reached the disk.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate { size_bytes: u64 },
}

/// A file as the disk has it, and what is on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Its name is on the disk.
    pub(super) named: bool,
    /// It was deleted, and the deletion is not on the disk yet.
    pub(super) deleted: bool,
}

impl Disk {
    /// A file that was there before any call: all of it is on the disk.
    pub(super) fn adopt(&mut self, file: &dyn File) -> Result<()> {
        if !self.named && self.durable.is_empty() && self.pending.is_empty() {
            self.named = true;
            self.durable = vec![0; usize::try_from(file.size()?).unwrap_or(0)];
            let read = file.read_at(&mut self.durable, 0)?;
            self.durable.truncate(read);
        }
        Ok(())
    }

    pub(super) fn change(&mut self, change: Change) {
        self.pending.push(change);
    }

    /// Everything reaches the disk.
    pub(super) fn settle(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable, &mut Chance::Always);
        }
    }

    /// The bytes after a power loss; `None` where the file is not there then.
    pub(super) fn after_crash(&self, chance: &mut Chance) -> Option<Vec<u8>> {
        let is_there = match (self.named, self.deleted) {
            (true, false) => true,
            (false, _) => !self.deleted && chance.keeps(),
            (true, true) => !chance.keeps(),
        };
        is_there.then(|| {
            let mut bytes = self.durable.clone();
            for change in &self.pending {
                change.apply(&mut bytes, chance);
            }
            bytes
        })
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, chance: &mut Chance) {
        match self {
            Self::Truncate { size_bytes } => {
                if chance.keeps() {
                    to.resize(usize::try_from(*size_bytes).unwrap_or(usize::MAX), 0);
                }
            }
            Self::Write { offset, bytes } => {
                for (offset, part) in chance.split(*offset, bytes) {
                    if chance.keeps() {
                        let start = usize::try_from(offset).unwrap_or(usize::MAX);
                        let end = start + part.len();
                        if to.len() < end {
                            to.resize(end, 0);
                        }
                        if let Some(target) = to.get_mut(start..end) {
                            target.copy_from_slice(part);
                        }
                    }
                }
            }
        }
    }
}

/// Decides what reached the disk.
pub(super) enum Chance {
    Always,
    Never,
    Each(u64),
    EachSector(u64),
}

impl Chance {
    pub(super) fn of(unsynced: Unsynced) -> Self {
        // An odd start, so that the generator never stays the same.
        match unsynced {
            Unsynced::Lost => Self::Never,
            Unsynced::Kept => Self::Always,
            Unsynced::Reordered { seed } => Self::Each(seed.wrapping_mul(2).wrapping_add(1)),
            Unsynced::Torn { seed } => Self::EachSector(seed.wrapping_mul(2).wrapping_add(1)),
        }
    }

    fn keeps(&mut self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Each(state) | Self::EachSector(state) => {
                // xorshift64*, enough for choices that only have to differ.
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 63 == 1
            }
        }
    }

    /// The parts of a write that reach the disk for themselves.
    fn split<'b>(&self, offset: u64, bytes: &'b [u8]) -> Vec<(u64, &'b [u8])> {
        if !matches!(self, Self::EachSector(_)) {
            return vec![(offset, bytes)];
        }
        let mut parts = Vec::new();
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let room = usize::try_from(SECTOR_BYTES - offset % SECTOR_BYTES).unwrap_or(1);
            let (part, behind) = rest.split_at(room.min(rest.len()));
            parts.push((offset, part));
            offset += part.len() as u64;
            rest = behind;
        }
        parts
    }
}
