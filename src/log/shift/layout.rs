//! The bytes of a shifted log in their places: a piece for each run of frames, and what is left of
//! the frames between them.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::format::{Checksum, FRAME_HEADER_BYTES, FrameHeader, FrameNo, Pgno, WAL_HEADER_BYTES};
use crate::log::{LogShape, Prefix};
use crate::scan::{Error, Watch};
use crate::storage::File;
use crate::storage::rearranged::Arrangement;

use super::runs::{self, FoundRuns, Run};
use super::splice::{self, Mended, WantedFrame};
use super::window::ByteWindow;
use super::{Displacement, Shift};

/// Frames that are tried to be put together again.
const MOST_MENDS: u32 = 256;
/// Bytes inserted in one frame that are looked for.
const MOST_INSERTED_BYTES: u64 = 1 << 20;
/// Whole slots between two runs that are kept as they are.
const MOST_BETWEEN: u64 = 1 << 20;

/// A log with its frames back on the grid.
pub(in crate::log) struct Realigned {
    pub arrangement: Arrangement,
    pub displacement: Displacement,
}

/// What a layout is made of.
pub(in crate::log) struct Broken<'a> {
    pub file: &'a dyn File,
    pub database: Option<&'a dyn File>,
    pub shape: &'a LogShape,
    /// What follows from frame to frame from the first on. The search begins where it ends.
    pub chain: &'a Prefix,
    pub watch: &'a dyn Watch,
}

impl Broken<'_> {
    /// Looks for intact frames off the grid; `None` when there are none.
    ///
    /// # Errors
    /// When a file cannot be read, or the watcher stops it.
    pub(crate) fn lay_out(&self) -> Result<Option<Realigned>, Error> {
        let from = self.chain.stop.offset_bytes;
        let FoundRuns { mut runs, likely, is_cut_short } =
            runs::find(self.file, self.shape, from, self.chain.end_sum, self.watch)?;
        let slot_bytes = self.shape.page_size().slot_bytes();
        let is_off = |offset: u64| !(offset - from).is_multiple_of(slot_bytes);
        let is_shifted = |runs: &[Run]| runs.iter().any(|run| is_off(run.offset));
        if is_shifted(&runs) {
            self.drop_copies(&mut runs)?;
        }
        if !is_shifted(&runs) && !likely.iter().any(|offset| is_off(*offset)) {
            return Ok(None);
        }
        let mut layout = Realigned {
            arrangement: Arrangement::default(),
            displacement: Displacement { is_cut_short, ..Displacement::default() },
        };
        layout.arrangement.take(0..from);
        let end = self.shape.extent.file_bytes;
        let mut gaps = Gaps::new(self, &runs, &likely);
        let (mut at, mut sum) = (from, self.chain.end_sum);
        for run in &runs {
            gaps.fill(at..run.offset, sum, Some(run.before), &mut layout)?;
            layout.run(run, slot_bytes);
            at = run.offset + u64::from(run.frames) * slot_bytes;
            sum = run.after;
        }
        gaps.fill(at..end, sum, None, &mut layout)?;
        Ok(Some(layout).filter(|layout| !layout.displacement.is_none()))
    }

    /// Runs that the log has once more before the stop: a copy of its own bytes.
    fn drop_copies(&self, runs: &mut Vec<Run>) -> Result<(), Error> {
        let ends: HashSet<Checksum> = runs.iter().map(|run| run.after).collect();
        let mut known = HashSet::new();
        let mut window = ByteWindow::new(self.file, self.chain.stop.offset_bytes);
        for frame in 1..self.chain.stop.frame.0 {
            let offset = FrameNo(frame).offset_bytes(self.shape.page_size());
            let head = window.at(offset, FRAME_HEADER_BYTES)?.first_chunk();
            let sum = head.map(|head| FrameHeader::decode(head).checksum);
            known.extend(sum.filter(|sum| ends.contains(sum)));
        }
        runs.retain(|run| !known.contains(&run.after));
        Ok(())
    }
}

impl Realigned {
    fn run(&mut self, run: &Run, slot_bytes: u64) {
        let place = self.arrangement.bytes();
        let end = run.offset + u64::from(run.frames) * slot_bytes;
        self.arrangement.take(run.offset..end);
        let number = (place - WAL_HEADER_BYTES as u64) / slot_bytes + 1;
        let shift = i64::try_from(run.offset)
            .ok()
            .zip(i64::try_from(place).ok())
            .map_or(0, |(offset, place)| offset - place);
        if shift == 0 {
            return;
        }
        if let Some(last) = self.displacement.shifts.last_mut()
            && last.shift_bytes == shift
        {
            last.frames += run.frames;
            last.commits += run.commits;
            return;
        }
        self.displacement.shifts.push(Shift {
            offset_bytes: run.offset,
            shift_bytes: shift,
            first_frame: FrameNo(u32::try_from(number).unwrap_or(u32::MAX)),
            frames: run.frames,
            commits: run.commits,
        });
    }
}

/// What is between the runs.
struct Gaps<'a> {
    broken: &'a Broken<'a>,
    window: ByteWindow<'a>,
    runs: &'a [Run],
    likely: &'a [u64],
    /// Where the intact frames of each page are, ascending; `None` until they are asked for.
    images: Option<HashMap<Pgno, Vec<u64>>>,
    mends: u32,
    slot_bytes: u64,
}

impl<'a> Gaps<'a> {
    fn new(broken: &'a Broken<'a>, runs: &'a [Run], likely: &'a [u64]) -> Self {
        Self {
            broken,
            window: ByteWindow::new(broken.file, broken.shape.extent.file_bytes),
            runs,
            likely,
            images: None,
            mends: 0,
            slot_bytes: broken.shape.page_size().slot_bytes(),
        }
    }

    /// Fills the slots between a run that ends with the sum `before` and one that follows from
    /// `after`; `None` where the file ends.
    fn fill(
        &mut self,
        gap: Range<u64>,
        before: Checksum,
        after: Option<Checksum>,
        layout: &mut Realigned,
    ) -> Result<(), Error> {
        // Nothing is missing: what is in between was inserted. Or nothing shows that anything is.
        if Some(before) == after || gap.is_empty() {
            return Ok(());
        }
        let at_end = after.is_none();
        let is_whole = (gap.end - gap.start).is_multiple_of(self.slot_bytes);
        let mut parts = Vec::new();
        let mut before = Some(before);
        let mut pieces = self.pieces(&gap);
        let one_is_longer = gap.end - gap.start > self.slot_bytes;
        if let (Some(before), true, false) = (before, pieces.len() > 1 && one_is_longer, at_end)
            && let Some(mended) = self.mend(gap.clone(), before, after)?
        {
            // What looks like frames was inserted in one.
            layout.add(vec![Part::Mended(mended, gap.end..gap.end)]);
            pieces.clear();
        }
        for piece in pieces {
            let after = after.filter(|_| piece.end == gap.end);
            let filled = self.fill_piece(&piece, before, after, at_end && piece.end == gap.end)?;
            let Some((part, sum)) = filled else {
                if is_whole {
                    // Nothing shows that anything is not where it should be.
                    layout.arrangement.take(gap);
                    return Ok(());
                }
                layout.add(parts);
                if at_end {
                    layout.arrangement.take(piece.start..gap.end);
                    return Ok(());
                }
                parts = Vec::new();
                before = self.place(piece, after, layout)?;
                continue;
            };
            parts.push(part);
            before = sum;
        }
        layout.add(parts);
        Ok(())
    }

    /// A gap, cut where a frame seems to begin.
    fn pieces(&self, gap: &Range<u64>) -> Vec<Range<u64>> {
        let first = self.likely.partition_point(|offset| *offset <= gap.start);
        let inside = self.likely.iter().skip(first).take_while(|offset| **offset < gap.end);
        let mut starts = vec![gap.start];
        for &offset in inside {
            let nearest = starts.last().map_or(0, |start| start + self.slot_bytes / 2);
            if offset >= nearest {
                starts.push(offset);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([gap.end]);
        starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
    }

    /// What is in the slot of a frame, and the sum after it, if it is known. `None` where the sums
    /// do not show that.
    fn fill_piece(
        &mut self,
        piece: &Range<u64>,
        before: Option<Checksum>,
        after: Option<Checksum>,
        at_end: bool,
    ) -> Result<Option<(Part, Option<Checksum>)>, Error> {
        let (bytes, slot) = (piece.end - piece.start, self.slot_bytes);
        if bytes == slot {
            let stored = self.header(piece.start)?.map(|header| header.checksum);
            return Ok(Some((Part::File(piece.clone()), stored)));
        }
        let Some(before) = before else { return Ok(None) };
        // At the end, what comes after the frame is not known to begin there. Bytes that are
        // missing there may never have been written.
        let end = match at_end {
            true if bytes < slot => return Ok(None),
            true => piece.start + slot + bytes % slot,
            false => piece.end,
        };
        let Some(mended) = self.mend(piece.start..end, before, after)? else { return Ok(None) };
        let stored = mended.slot.first_chunk().map(|head| FrameHeader::decode(head).checksum);
        Ok(Some((Part::Mended(mended, end..piece.end), stored)))
    }

    /// The header at an offset, if its salts are current.
    fn header(&mut self, offset: u64) -> Result<Option<FrameHeader>, Error> {
        let head = self.window.at(offset, FRAME_HEADER_BYTES)?.first_chunk();
        let header = head.map(FrameHeader::decode);
        let salts = self.broken.shape.salts;
        Ok(header.filter(|header| header.salts == salts && header.page.0 != 0))
    }

    /// The one frame that is there, if putting it together again gives the sums that it must have.
    fn mend(
        &mut self,
        piece: Range<u64>,
        before: Checksum,
        after: Option<Checksum>,
    ) -> Result<Option<Mended>, Error> {
        let bytes = piece.end - piece.start;
        if self.mends >= MOST_MENDS || bytes > self.slot_bytes + MOST_INSERTED_BYTES {
            return Ok(None);
        }
        self.mends += 1;
        let len = usize::try_from(bytes).map_err(|_| Error::OutOfMemory)?;
        let found = self.window.at(piece.start, len)?.to_vec();
        let wanted = WantedFrame { shape: self.broken.shape, before, after };
        if bytes > self.slot_bytes {
            return Ok(splice::without_inserted(&found, &wanted));
        }
        let Some(head) = found.first_chunk::<FRAME_HEADER_BYTES>() else { return Ok(None) };
        let header = FrameHeader::decode(head);
        if header.salts != self.broken.shape.salts {
            return Ok(None);
        }
        let others = self.other_images(header.page, piece.start)?;
        Ok(splice::with_missing(&found, &wanted, &others))
    }

    /// The image of `page` in the database, the newest before `offset` in the log, and the first
    /// after.
    fn other_images(&mut self, page: Pgno, offset: u64) -> Result<Vec<Vec<u8>>, Error> {
        let page_size = self.broken.shape.page_size();
        let mut images = Vec::new();
        if let Some(database) = self.broken.database {
            let mut image = vec![0; page_size.in_memory()];
            if database.read_at(&mut image, page.offset_bytes(page_size))? == image.len() {
                images.push(image);
            }
        }
        if self.images.is_none() {
            self.images = Some(self.all_images()?);
        }
        let places = self.images.as_ref().and_then(|images| images.get(&page));
        let places = places.map_or(&[][..], Vec::as_slice);
        let older = places.partition_point(|place| *place < offset);
        let nearest = [older.checked_sub(1), Some(older)].map(|index| places.get(index?).copied());
        for place in nearest.into_iter().flatten() {
            let place = place + FRAME_HEADER_BYTES as u64;
            images.push(self.window.at(place, page_size.in_memory())?.to_vec());
        }
        Ok(images)
    }

    /// Where the intact frames of each page are.
    fn all_images(&self) -> Result<HashMap<Pgno, Vec<u64>>, Error> {
        let mut window = ByteWindow::new(self.broken.file, self.broken.shape.extent.file_bytes);
        let mut images: HashMap<Pgno, Vec<u64>> = HashMap::new();
        let chain = (WAL_HEADER_BYTES as u64, self.broken.chain.valid_frames);
        let runs = self.runs.iter().map(|run| (run.offset, run.frames));
        for (start, frames) in std::iter::once(chain).chain(runs) {
            for number in 0..u64::from(frames) {
                let place = start + number * self.slot_bytes;
                let head = window.at(place, FRAME_HEADER_BYTES)?.first_chunk();
                if let Some(header) = head.map(FrameHeader::decode) {
                    images.entry(header.page).or_default().push(place);
                }
            }
        }
        Ok(images)
    }

    /// Puts what is there into as many slots as there seem to have been, at least. The sum after
    /// it, if it may be right.
    fn place(
        &mut self,
        piece: Range<u64>,
        after: Option<Checksum>,
        layout: &mut Realigned,
    ) -> Result<Option<Checksum>, Error> {
        let (bytes, slot) = (piece.end - piece.start, self.slot_bytes);
        let header = self.header(piece.start)?;
        if bytes.is_multiple_of(slot) {
            layout.arrangement.take(piece);
            return Ok(None);
        }
        let part = bytes.min(slot);
        if let Some(header) = header {
            layout.arrangement.take(piece.start..piece.start + part);
            layout.arrangement.take_zeros(slot - part);
            if after == Some(header.checksum) || after.is_none() {
                // The frame after it follows from it, or is not proven itself.
                return Ok(Some(header.checksum));
            }
        }
        layout.displacement.frames_missing = true;
        let nearest = ((bytes + slot / 2) / slot).clamp(1, MOST_BETWEEN);
        let at_end = self.header(piece.end - part)?.filter(|_| part == slot);
        // A frame that is there after others of which nobody knows how many were before it.
        let between = nearest - 1 - u64::from(header.is_some() && nearest > 1);
        layout.arrangement.take_zeros(slot * between.max(u64::from(at_end.is_some())));
        // The end of the gap is the end of a frame whose header is not there any more.
        layout.arrangement.take_zeros(slot - part);
        layout.arrangement.take(piece.end - part..piece.end);
        Ok(None)
    }
}

/// What is in a slot.
enum Part {
    /// What the file has there.
    File(Range<u64>),
    /// A frame that was put together again, and what the file has after it.
    Mended(Mended, Range<u64>),
}

impl Realigned {
    fn add(&mut self, parts: Vec<Part>) {
        for part in parts {
            match part {
                Part::File(range) => self.arrangement.take(range),
                Part::Mended(mended, rest) => {
                    self.arrangement.take_bytes(mended.slot);
                    self.arrangement.take(rest);
                    self.displacement.mended_frames += 1;
                    self.displacement.chance += mended.chance;
                }
            }
        }
    }
}
