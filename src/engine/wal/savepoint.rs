//! The way back inside a write transaction: to its beginning, or to a savepoint (wal.c
//! sqlite3WalUndo, sqlite3WalSavepoint, sqlite3WalSavepointUndo).

use super::Wal;
use crate::engine::Result;
use crate::format::wal_index::block_of;
use crate::format::{Checksum, Pgno};

/// A point inside a write transaction to which it can go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    /// Frames in the log.
    pub mx_frame: u32,
    /// Checksum of the last.
    pub frame_checksum: Checksum,
    /// The generation of the log.
    pub checkpoint_seq: u32,
}

impl Wal<'_> {
    /// Forgets the frames that this transaction has written; `undone` gets the page of each
    /// (sqlite3WalUndo).
    ///
    /// # Errors
    /// What `undone` reports; the log has gone back then, too.
    pub fn undo(&mut self, mut undone: impl FnMut(Pgno) -> Result<()>) -> Result<()> {
        if !self.write_lock {
            return Ok(());
        }
        let written = self.header.mx_frame;
        self.header = self.live()?.header();
        self.rechecksum_from = None;
        let committed = self.header.mx_frame;
        let mut result = Ok(());
        for frame in committed.saturating_add(1)..=written {
            let page = Pgno(self.mapped_block(block_of(frame))?.page_of(frame));
            result = result.and_then(|()| undone(page));
        }
        if written != committed {
            self.clean_hash()?;
        }
        result
    }

    /// Removes index entries after the last frame (walCleanupHash).
    fn clean_hash(&self) -> Result<()> {
        let mx_frame = self.header.mx_frame;
        if mx_frame > 0 {
            self.mapped_block(block_of(mx_frame))?.remove_after(mx_frame);
        }
        Ok(())
    }

    /// The present point of the write transaction (sqlite3WalSavepoint).
    #[must_use]
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            mx_frame: self.header.mx_frame,
            frame_checksum: self.header.frame_checksum,
            checkpoint_seq: self.checkpoint_seq,
        }
    }

    /// Goes back to `savepoint` (sqlite3WalSavepointUndo); to the beginning of the log if it was
    /// reset since, and `savepoint` says so afterwards.
    ///
    /// # Errors
    /// When the wal-index is not attached.
    pub fn undo_to(&mut self, savepoint: &mut Savepoint) -> Result<()> {
        assert!(self.write_lock, "savepoints live in write transactions");
        if savepoint.checkpoint_seq != self.checkpoint_seq {
            savepoint.mx_frame = 0;
            savepoint.checkpoint_seq = self.checkpoint_seq;
        }
        if savepoint.mx_frame < self.header.mx_frame {
            self.header.mx_frame = savepoint.mx_frame;
            self.header.frame_checksum = savepoint.frame_checksum;
            self.clean_hash()?;
            self.rechecksum_from =
                self.rechecksum_from.filter(|&frame| frame <= self.header.mx_frame);
        }
        Ok(())
    }
}
