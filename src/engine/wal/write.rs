//! Write transactions (wal.c sqlite3WalBeginWriteTransaction, walFrames, walRestartLog,
//! walRewriteChecksums).

use std::ops::Range;

use super::index::{ALL_READERS, one, reader};
use super::read::image_offset;
use super::snapshot::zeroed;
use super::{SyncFlags, Wal};
use crate::engine::{Error, Result};
use crate::format::lock_bytes::WAL_WRITE_LOCK;
use crate::format::wal_index::block_of;
use crate::format::{
    ByteOrder, Checksum, FRAME_HEADER_BYTES, FrameHeader, FrameNo, PageSize, Pgno, Salts,
    WAL_HEADER_BYTES, WalHeader,
};
use crate::storage::{LockMode, Locked};

/// Bytes of frames that one write takes to the log, at least one frame.
const BATCH_BYTES: usize = 1 << 20;

/// A page to be written.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p> {
    /// Its number.
    pub pgno: Pgno,
    /// Its content, one page long.
    pub image: &'p [u8],
}

/// Why frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// The caller needs memory; the transaction goes on.
    Spill,
    /// The transaction is complete.
    Commit {
        /// Size of the database after it, in pages; not 0.
        db_size_pages: u32,
    },
}

/// What one call writes, and how.
struct Batch<'p> {
    page_size: PageSize,
    pages: &'p [Page<'p>],
    kind: WriteKind,
    sync: SyncFlags,
}

impl Batch<'_> {
    fn is_commit(&self) -> bool {
        matches!(self.kind, WriteKind::Commit { .. })
    }

    /// The commit field of page number `index` of the list.
    fn commit_field(&self, index: usize) -> u32 {
        match self.kind {
            WriteKind::Commit { db_size_pages } if index + 1 == self.pages.len() => db_size_pages,
            WriteKind::Commit { .. } | WriteKind::Spill => 0,
        }
    }
}

/// How many times the last frame of a commit is repeated so that the next one begins in another
/// sector: a later write that is torn can then not take this commit with it.
#[must_use]
pub(super) fn padding_frames(end_bytes: u64, sector_bytes: u32, slot_bytes: u64) -> u64 {
    // pager.c sqlite3SectorSize.
    let sector = u64::from(if sector_bytes < 32 { 512 } else { sector_bytes.min(65_536) });
    (end_bytes.next_multiple_of(sector) - end_bytes).div_ceil(slot_bytes)
}

impl Wal<'_> {
    /// Begins a write transaction inside the read transaction (sqlite3WalBeginWriteTransaction).
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody else writes; [`Error::BusySnapshot`] when somebody has
    /// committed since the read began, so that only a new read transaction helps;
    /// [`Error::ReadOnly`].
    pub fn begin_write(&mut self) -> Result<()> {
        assert!(self.read_slot.is_some(), "a write transaction is part of a read transaction");
        assert!(!self.write_lock, "one write transaction at a time");
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        self.lock_exclusive(one(WAL_WRITE_LOCK))?;
        self.write_lock = true;
        match self.is_current() {
            Ok(true) => Ok(()),
            other => {
                self.end_write();
                other.and(Err(Error::BusySnapshot))
            }
        }
    }

    /// Whether a write transaction is open.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.write_lock
    }

    /// Ends the write transaction; what was not committed must have been undone
    /// (sqlite3WalEndWriteTransaction).
    pub fn end_write(&mut self) {
        if self.forget_write() {
            self.unlock(one(WAL_WRITE_LOCK), LockMode::Exclusive);
        }
    }

    /// Forgets the write transaction; whether there was one, and so a lock to drop.
    pub(super) fn forget_write(&mut self) -> bool {
        self.rechecksum_from = None;
        self.truncate_on_commit = false;
        std::mem::take(&mut self.write_lock)
    }

    /// Begins the log again if everything is in the database and nobody reads from it, and moves
    /// from slot 0 to a slot of the log (walRestartLog). Acts at the first write of a transaction
    /// only.
    fn restart_log(&mut self) -> Result<()> {
        if self.read_slot != Some(0) {
            return Ok(());
        }
        if self.live()?.backfill() > 0 {
            let mut salt = [0; 4];
            self.vfs.randomness(&mut salt)?;
            if self.lock(ALL_READERS, LockMode::Exclusive)? == Locked::Granted {
                let restarted = self.restart_header(u32::from_be_bytes(salt));
                self.unlock(ALL_READERS, LockMode::Exclusive);
                restarted?;
            }
        }
        self.unlock(reader(0), LockMode::Shared);
        self.read_slot = None;
        self.begin_as_writer()
    }

    /// A new generation, in the wal-index only (walRestartHdr). W and the locks of all readers of
    /// the log are held.
    pub(super) fn restart_header(&mut self, salt2: u32) -> Result<()> {
        self.checkpoint_seq = self.checkpoint_seq.wrapping_add(1);
        self.header.mx_frame = 0;
        self.header.salts = Salts { salt1: self.header.salts.salt1.wrapping_add(1), salt2 };
        self.publish_header()?;
        self.live()?.reset_checkpoint_info();
        Ok(())
    }

    /// Writes pages to the log (sqlite3WalFrames). A page that this transaction has written before
    /// is overwritten in its frame, except the last of a commit, which always gets a new one.
    /// A commit is published to other connections when this returns, and durable as `sync` says.
    ///
    /// # Errors
    /// [`Corruption::PageSize`](crate::engine::Corruption::PageSize), or what the storage reports.
    /// The transaction must be undone then: nobody else has seen anything of it.
    pub fn frames(
        &mut self,
        page_size: PageSize,
        pages: &[Page<'_>],
        kind: WriteKind,
        sync: SyncFlags,
    ) -> Result<()> {
        assert!(self.write_lock, "frames are written in write transactions");
        assert!(kind != WriteKind::Commit { db_size_pages: 0 }, "a database has pages");
        assert!(
            pages.iter().all(|page| page.image.len() == page_size.in_memory() && page.pgno.0 != 0),
            "images have the size of a page"
        );
        let batch = Batch { page_size, pages, kind, sync };
        // Frames from here on were written by this transaction, if there are any.
        let own_from =
            if self.is_current()? { None } else { Some(self.live()?.header().mx_frame + 1) };
        self.restart_log()?;
        if self.header.mx_frame == 0 {
            self.write_log_header(&batch)?;
        }
        self.agree_on_page_size(page_size)?;
        let mut appended = Vec::new();
        appended.try_reserve_exact(pages.len())?;
        let last = self.write_pages(&batch, own_from, &mut appended)?;
        let last = self.make_durable(&batch, last)?;
        self.enter_frames(&appended, last)?;
        self.header.page_size_field = page_size.to_wal_index_field();
        self.header.mx_frame = last;
        if let WriteKind::Commit { db_size_pages } = kind {
            self.header.change = self.header.change.wrapping_add(1);
            self.header.db_size_pages = db_size_pages;
            self.publish_header()?;
            self.committed_frames = Some(last);
        }
        Ok(())
    }

    /// The header of a new generation goes to the disk before any frame overwrites one of the old.
    fn write_log_header(&mut self, batch: &Batch<'_>) -> Result<()> {
        if self.checkpoint_seq == 0 {
            let mut salts = [0; 8];
            self.vfs.randomness(&mut salts)?;
            let [a, b, c, d, e, f, g, h] = salts;
            self.header.salts = Salts {
                salt1: u32::from_be_bytes([a, b, c, d]),
                salt2: u32::from_be_bytes([e, f, g, h]),
            };
        }
        let order = ByteOrder::NATIVE;
        let header = WalHeader::new(order, batch.page_size, self.checkpoint_seq, self.header.salts);
        self.page_size = Some(batch.page_size);
        self.header.big_endian_checksum = u8::from(order == ByteOrder::Big);
        self.header.frame_checksum = header.checksum;
        self.truncate_on_commit = true;
        self.log.write_at(&header.encode(), 0)?;
        if !self.database.device_characteristics().sequential
            && let Some(kind) = batch.sync.checkpoint
        {
            self.log.sync(kind)?;
        }
        Ok(())
    }

    /// Writes every page and returns the last frame. New frames are collected and go to the log in
    /// long writes.
    fn write_pages(
        &mut self,
        batch: &Batch<'_>,
        own_from: Option<u32>,
        appended: &mut Vec<Pgno>,
    ) -> Result<u32> {
        let slot_len = batch.page_size.in_memory() + FRAME_HEADER_BYTES;
        let slots = (BATCH_BYTES / slot_len).clamp(1, batch.pages.len().max(1));
        let mut staged = Vec::new();
        staged.try_reserve_exact(slots * slot_len)?;
        let mut last = self.header.mx_frame;
        let mut first_staged = last.saturating_add(1);
        for (index, page) in batch.pages.iter().enumerate() {
            let commit_field = batch.commit_field(index);
            if commit_field == 0
                && let Some(own_from) = own_from
                && let Some(frame) = self.find_frame(page.pgno)?.filter(|frame| frame.0 >= own_from)
            {
                self.log.write_at(page.image, image_offset(frame, batch.page_size))?;
                let from = self.rechecksum_from.map_or(frame.0, |from| from.min(frame.0));
                self.rechecksum_from = Some(from);
                continue;
            }
            last = last.saturating_add(1);
            let head = self.next_header(page, commit_field);
            staged.extend_from_slice(&head.encode());
            staged.extend_from_slice(page.image);
            appended.push(page.pgno);
            if staged.len() == slots * slot_len {
                self.log.write_at(&staged, FrameNo(first_staged).offset_bytes(batch.page_size))?;
                staged.clear();
                first_staged = last.saturating_add(1);
            }
        }
        if !staged.is_empty() {
            self.log.write_at(&staged, FrameNo(first_staged).offset_bytes(batch.page_size))?;
        }
        Ok(last)
    }

    /// The header of the next frame (walEncodeFrame). Salts and sum stay zero while an earlier
    /// frame waits for its checksum.
    fn next_header(&mut self, page: &Page<'_>, commit_field: u32) -> FrameHeader {
        let mut head = FrameHeader {
            page: page.pgno,
            commit_size_pages: commit_field,
            salts: Salts { salt1: 0, salt2: 0 },
            checksum: Checksum::ZERO,
        };
        if self.rechecksum_from.is_none() {
            head.salts = self.header.salts;
            let order = self.header.byte_order();
            head.checksum = head.sum_from(self.header.frame_checksum, order, page.image);
            self.header.frame_checksum = head.checksum;
        }
        head
    }

    /// What a commit does between its last frame and its publication; returns the last frame, that
    /// of the padding included.
    fn make_durable(&mut self, batch: &Batch<'_>, last: u32) -> Result<u32> {
        if !batch.is_commit() {
            return Ok(last);
        }
        if let Some(from) = self.rechecksum_from {
            self.rewrite_checksums(batch.page_size, from..last.saturating_add(1))?;
        }
        let mut end = last;
        if let Some(kind) = batch.sync.commit {
            if !self.database.device_characteristics().powersafe_overwrite {
                end = self.pad(batch, last)?;
            }
            self.log.sync(kind)?;
        }
        if self.truncate_on_commit
            && let Some(limit) = self.journal_size_limit_bytes
        {
            let end_bytes = FrameNo(end).next().offset_bytes(batch.page_size);
            self.cut_log(limit.max(end_bytes));
            self.truncate_on_commit = false;
        }
        Ok(end)
    }

    /// Repeats the commit frame until the sector in which it ends is full.
    fn pad(&mut self, batch: &Batch<'_>, last: u32) -> Result<u32> {
        let Some(page) = batch.pages.last() else { return Ok(last) };
        let end_bytes = FrameNo(last).next().offset_bytes(batch.page_size);
        let repeats =
            padding_frames(end_bytes, self.log.sector_bytes(), batch.page_size.slot_bytes());
        let mut frame = last;
        for _ in 0..repeats {
            frame = frame.saturating_add(1);
            let head = self.next_header(page, batch.commit_field(batch.pages.len() - 1));
            let offset = FrameNo(frame).offset_bytes(batch.page_size);
            self.log.write_at(&head.encode(), offset)?;
            self.log.write_at(page.image, image_offset(FrameNo(frame), batch.page_size))?;
        }
        Ok(frame)
    }

    /// Computes salts and sums of `frames` again, in order (walRewriteChecksums).
    fn rewrite_checksums(&mut self, page_size: PageSize, frames: Range<u32>) -> Result<()> {
        self.header.frame_checksum = self.stored_sum_before(frames.start, page_size)?;
        self.rechecksum_from = None;
        let mut slot = zeroed(page_size.in_memory() + FRAME_HEADER_BYTES)?;
        for frame in frames {
            let offset_bytes = FrameNo(frame).offset_bytes(page_size);
            if self.log.read_at(&mut slot, offset_bytes)? < slot.len() {
                return Err(Error::ShortRead { frame: FrameNo(frame), offset_bytes });
            }
            let Some((head, image)) = slot.split_first_chunk::<FRAME_HEADER_BYTES>() else {
                return Err(Error::ShortRead { frame: FrameNo(frame), offset_bytes });
            };
            let FrameHeader { page, commit_size_pages, .. } = FrameHeader::decode(head);
            let head = self.next_header(&Page { pgno: page, image }, commit_size_pages);
            self.log.write_at(&head.encode(), offset_bytes)?;
        }
        Ok(())
    }

    /// The checksum that `frame` continues: that of the frame before it, or of the header.
    pub(super) fn stored_sum_before(&self, frame: u32, page_size: PageSize) -> Result<Checksum> {
        let (before, offset_bytes) = match frame.saturating_sub(1) {
            0 => (FrameNo(0), WAL_HEADER_BYTES as u64 - 8),
            before => (FrameNo(before), FrameNo(before).offset_bytes(page_size) + 16),
        };
        let mut sum = [0; 8];
        if self.log.read_at(&mut sum, offset_bytes)? < sum.len() {
            return Err(Error::ShortRead { frame: before, offset_bytes });
        }
        let [a, b, c, d, e, f, g, h] = sum;
        let a = u32::from_be_bytes([a, b, c, d]);
        Ok(Checksum { a, b: u32::from_be_bytes([e, f, g, h]) })
    }

    /// Enters the frames up to `last` in the wal-index: one for each page of `appended`, the rest
    /// repeat the last page.
    fn enter_frames(&mut self, appended: &[Pgno], last: u32) -> Result<()> {
        let mx_frame = self.header.mx_frame;
        let Some(&repeated) = appended.last() else { return Ok(()) };
        let pages = appended.iter().copied().chain(std::iter::repeat(repeated));
        for (frame, page) in (mx_frame.saturating_add(1)..=last).zip(pages) {
            self.block(block_of(frame))?.insert(frame, page.0, mx_frame)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_the_sector_in_which_a_commit_ends() {
        // A frame of 512 bytes ends at 568; the sector of 4096 has room for seven more, and an
        // eighth crosses its end.
        assert_eq!(padding_frames(568, 4096, 536), 7);
        assert_eq!(padding_frames(4096, 4096, 536), 0);
        assert_eq!(padding_frames(4097, 4096, 4120), 1);
        assert_eq!(padding_frames(1000, 0, 536), 1);
    }
}
