//! Frames that are read by a thread of their own, before whoever goes back through the states of a
//! log asks for them. Which they are is known beforehand: those of each transaction, and those that
//! they are compared with.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::format::{FRAME_HEADER_BYTES, FrameNo, PageSize};
use crate::log::LogShape;
use crate::storage::File;
use crate::storage::shared::SharedFile;

use super::committed::CommittedFrames;

/// Bytes of a batch. Where a transaction has more, the rest of it is not read ahead.
const BATCH_BYTES: usize = 1 << 21;
/// Batches that are read before the one that is in use has been gone through.
const AHEAD: usize = 3;

/// The thread, and what it has read.
pub(super) struct ReadAhead {
    /// `None` once there is nothing more to ask for.
    wanted: Option<SyncSender<Batch>>,
    filled: Receiver<Batch>,
    reader: Option<JoinHandle<()>>,
    /// Batches that were asked for and have not come.
    waiting: usize,
    /// The last transaction of the next batch.
    next_txn: u32,
    most_slots: usize,
    page_size: PageSize,
    current: Batch,
    /// Room of a batch that has been gone through.
    spare: Vec<u8>,
}

/// The frames of some transactions.
#[derive(Default)]
struct Batch {
    /// The first of the transactions.
    first_txn: u32,
    /// Frames that are next to each other in the log, in the order in which their slots are in
    /// `bytes`.
    runs: Vec<RangeInclusive<u32>>,
    /// How many these are; one that is compared and changed again may be there twice.
    slots: usize,
    /// Where each frame is in `bytes`, counted in slots.
    places: HashMap<u32, usize, foldhash::fast::RandomState>,
    bytes: Vec<u8>,
}

impl ReadAhead {
    /// Begins to read what going back from transaction `last_txn` asks for. `None` where the file
    /// cannot be shared with a thread, or there is none.
    pub(super) fn begin(log: &dyn File, shape: &LogShape, last_txn: u32) -> Option<Self> {
        let log = log.shared()?;
        let page_size = shape.page_size();
        let slot_bytes = FRAME_HEADER_BYTES + page_size.in_memory();
        let (wanted, to_read) = sync_channel(AHEAD);
        let (to_use, filled) = sync_channel(AHEAD);
        let read = move || {
            for mut batch in to_read {
                Batch::read(&mut batch, &log, page_size);
                if to_use.send(batch).is_err() {
                    break;
                }
            }
        };
        let reader = thread::Builder::new().spawn(read).ok()?;
        Some(Self {
            wanted: Some(wanted),
            filled,
            reader: Some(reader),
            waiting: 0,
            next_txn: last_txn,
            most_slots: BATCH_BYTES / slot_bytes,
            page_size,
            current: Batch { first_txn: u32::MAX, ..Batch::default() },
            spare: Vec::new(),
        })
    }

    /// Comes to a transaction: takes up the frames that were read for it.
    pub(super) fn come_to(&mut self, txn: u32, frames: &CommittedFrames) {
        while txn < self.current.first_txn {
            self.ask(frames);
            if self.waiting == 0 {
                return;
            }
            // The reader ends only after the last of them.
            let Ok(batch) = self.filled.recv() else { return };
            self.waiting -= 1;
            self.spare = std::mem::replace(&mut self.current, batch).bytes;
        }
        self.ask(frames);
    }

    /// The image in `frame`, if it has been read.
    pub(super) fn image(&self, frame: FrameNo) -> Option<&[u8]> {
        let slot_bytes = FRAME_HEADER_BYTES + self.page_size.in_memory();
        let start = self.current.places.get(&frame.0)? * slot_bytes;
        self.current.bytes.get(start + FRAME_HEADER_BYTES..start + slot_bytes)
    }

    fn ask(&mut self, frames: &CommittedFrames) {
        while self.waiting < AHEAD
            && self.next_txn > 0
            && let Some(wanted) = &self.wanted
        {
            let mut batch = Batch::plan(&mut self.next_txn, self.most_slots, frames);
            batch.bytes = std::mem::take(&mut self.spare);
            if wanted.send(batch).is_err() {
                self.next_txn = 0;
                return;
            }
            self.waiting += 1;
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.wanted = None;
        // So that a batch that nobody takes does not stop it.
        while self.filled.recv().is_ok() {}
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Batch {
    /// What the transactions up to `next_txn` need, as many of them as have room. `next_txn` is the
    /// one before them afterwards.
    fn plan(next_txn: &mut u32, most_slots: usize, frames: &CommittedFrames) -> Self {
        let mut batch = Self { first_txn: *next_txn, ..Self::default() };
        let most_frames = u32::try_from(most_slots / 2).unwrap_or(u32::MAX).max(1);
        while *next_txn > 0 {
            let own = frames.frames(*next_txn);
            let is_full = batch.slots + 2 * own.clone().count() > most_slots;
            if is_full && batch.slots > 0 {
                break;
            }
            let first = (*own.start()).max(own.end().saturating_sub(most_frames - 1));
            let own = first..=*own.end();
            batch.add(own.clone());
            for before in own.filter_map(|frame| frames.before(FrameNo(frame))) {
                if !batch.places.contains_key(&before.0) {
                    batch.add(before.0..=before.0);
                }
            }
            batch.first_txn = *next_txn;
            *next_txn -= 1;
        }
        batch
    }

    fn add(&mut self, run: RangeInclusive<u32>) {
        self.places.extend(run.clone().zip(self.slots..));
        self.slots += run.clone().count();
        self.runs.push(run);
    }

    /// Reads them. What cannot be read is left to whoever asks for it, who is told why.
    fn read(&mut self, log: &SharedFile, page_size: PageSize) {
        let slot_bytes = FRAME_HEADER_BYTES + page_size.in_memory();
        self.bytes.resize(self.slots * slot_bytes, 0);
        let mut rest = self.bytes.as_mut_slice();
        for run in &self.runs {
            let count = run.clone().count();
            let Some((slots, after)) = rest.split_at_mut_checked(count * slot_bytes) else { break };
            let offset_bytes = FrameNo(*run.start()).offset_bytes(page_size);
            let read = log.read_at(slots, offset_bytes).unwrap_or(0);
            for frame in run.clone().skip(read / slot_bytes) {
                self.places.remove(&frame);
            }
            rest = after;
        }
    }
}
