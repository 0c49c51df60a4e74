//! The copy of a wal-index that attached processes keep.
//!
//! It changes with every commit. The copy is the index as of one header: the header is read first,
//! and the blocks after it have every frame that it counts, since they are written before (wal.c
//! walIndexAppend, walIndexWriteHdr). SQLite itself rebuilds an index that nobody keeps, so it is
//! evidence, and not needed to open the copies.

use std::time::Duration;

use crate::access::Context;
use crate::format::wal_index::{WAL_INDEX_HEADER_BYTES, block_of};
use crate::format::{Pgno, WalIndexHeader};
use crate::log::index_file::{IndexBlock, valid_header};
use crate::repair::copy::{self, Error, Meter};
use crate::storage::{self, File};

/// Looks at a header that is being written, before it is taken as it is.
const MAX_LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// A copy of a kept index.
pub(super) struct KeptIndex {
    header: WalIndexHeader,
}

/// Copies an index as of the moment at which its header is read. Without a valid header, byte by
/// byte, as any other file.
///
/// # Errors
/// As [`copy::copy`].
pub(super) fn copy(
    from: &dyn File,
    to: &dyn File,
    meter: &Meter<'_>,
    context: &Context,
) -> Result<(u64, Option<KeptIndex>), Error> {
    for look in 0..MAX_LOOKS {
        if look > 0 {
            context.vfs.sleep(PAUSE);
        }
        let mut bytes = [0; WAL_INDEX_HEADER_BYTES];
        let read = from.read_at(&mut bytes, 0).map_err(Error::Source)?;
        let header = WalIndexHeader::decode(&bytes);
        if read == bytes.len() && header.validate().is_ok() {
            let copied = copy::copy(from, to, meter)?;
            to.write_at(&bytes, 0).map_err(Error::Target)?;
            let copied = copied.max(bytes.len() as u64);
            return Ok((copied, Some(KeptIndex { header })));
        }
    }
    copy::copy(from, to, meter).map(|copied| (copied, None))
}

impl KeptIndex {
    /// The header of the copy.
    pub(super) fn header(&self) -> WalIndexHeader {
        self.header
    }

    /// Whether the copy is the index as of its header: it leads to every frame that it counts, and
    /// the index still has them.
    pub(super) fn judge(&self, from: &dyn File, to: &dyn File) -> Result<Option<String>, String> {
        let unread = |error: storage::Error| format!("it could not be read again: {error}");
        let changed = || "its log was reset while it was copied".to_owned();
        let is_later = (0..MAX_LOOKS).find_map(|_| {
            let now = valid_header(from).ok().flatten()?;
            Some(now.salts == self.header.salts && now.mx_frame >= self.header.mx_frame)
        });
        if is_later != Some(true) {
            return Err(changed());
        }
        let last = self.header.mx_frame;
        for number in 0..=block_of(last.max(1)) {
            if last == 0 {
                break;
            }
            let copied = IndexBlock::read(to, number).map_err(unread)?;
            let kept = IndexBlock::read(from, number).map_err(unread)?;
            let (Some(copied), Some(kept)) = (copied, kept) else {
                return Err("it is shorter than what it counts".to_owned());
            };
            let counted = copied.frames().take_while(|&frame| frame <= last);
            for frame in counted {
                let page = copied.page_of(frame);
                if kept.page_of(frame) != page {
                    return Err(changed());
                }
                if page == Pgno(0) || copied.check(frame, page).is_err() {
                    return Err(format!("it does not lead to frame {frame}, which it counts"));
                }
            }
        }
        let frames = format!("as of {}", crate::output::quantity::counted(last.into(), "frame"));
        Ok(Some(frames))
    }
}
