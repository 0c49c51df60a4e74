//! A log whose bytes are not where they should be is examined once more, with the bytes in their
//! places.

use std::sync::Arc;

use crate::format::{FrameNo, Salts, WAL_HEADER_BYTES, WalHeader};
use crate::log::cure::Sources;
use crate::log::examination::{Examination, HeaderStatus, ShiftUndone, Verdict};
use crate::log::forecast::{self, Forecast, Recoverable};
use crate::log::link::Link;
use crate::log::prefix::{Prefix, PrefixFold, StopReason};
use crate::log::shift::layout::{Broken, Realigned};
use crate::log::shift::{Displacement, Layer, Layers, Shift, front};
use crate::log::tail::{Break, Certainty};
use crate::log::{LogShape, guess, rolled_back};
use crate::scan::{Extent, KnownFrames, Watch};
use crate::storage::File;
use crate::storage::line_ends::{LineEnds, Untranslated};

use super::{Error, cured_tail, off_grid};

/// Looks for the bytes of a log that is broken, and examines it with them in their places.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn with_shift_undone(
    found: Examination,
    file: &dyn File,
    database: Option<&dyn File>,
    watch: &dyn Watch,
) -> Result<Examination, Error> {
    let is_leftover = match found.shape {
        Some(shape) => rolled_back::is_of_older_generations(file, &shape, &found.tail, watch)?,
        None => true,
    };
    if !may_be_shifted(&found) && is_leftover {
        return Ok(found);
    }
    let undo = ShiftSearch { file, database, watch, found: &found };
    let found = match undo.run()? {
        Some(undone) => {
            let inner = &undone.examination;
            Examination {
                verdict: inner.verdict,
                damaged: inner.damaged.clone(),
                lost: inner.lost.clone(),
                displacement: inner.displacement.clone(),
                undone: Some(Box::new(undone)),
                ..found
            }
        }
        None => found,
    };
    off_grid::with_commits(found, file, watch)
}

/// Whether something after the prefix is neither the end of the log nor left over from an older
/// generation. Only then the rest of the file is searched.
fn may_be_shifted(found: &Examination) -> bool {
    let end = found.shape.map(|shape| shape.extent);
    let is_read = |end: &Extent| found.tail.last_current == Some(FrameNo(end.slot_frames));
    let is_whole = end.is_some_and(|end| end.trailing_bytes == 0 && is_read(&end));
    let is_own = found.verdict == Verdict::Damaged && found.prefix.later.is_none();
    if is_own && is_whole && found.tail.is_explained {
        return false;
    }
    let is_broken = found.verdict == Verdict::BadHeader || found.tail.broken != Break::None;
    if is_broken || found.prefix.later.is_some() {
        return true;
    }
    match found.tail.stop_link {
        Some(Link::Broken { .. } | Link::Unproven | Link::Blank) => true,
        Some(Link::Foreign) => found.tail.stop_is_unsummed,
        Some(Link::Linked) | None => false,
    }
}

/// What a log was found to be before.
struct ShiftSearch<'a> {
    file: &'a dyn File,
    database: Option<&'a dyn File>,
    watch: &'a dyn Watch,
    found: &'a Examination,
}

/// A log in a view of the file.
struct Log<'a> {
    file: &'a dyn File,
    shape: LogShape,
    header: WalHeader,
    layers: Layers,
    displacement: Displacement,
    /// Its first frame is proven to be that.
    is_proven: bool,
    /// Bytes of the file before the view begins.
    offset_bytes: u64,
}

impl ShiftSearch<'_> {
    fn run(&self) -> Result<Option<ShiftUndone>, Error> {
        if let Some(undone) = self.line_ends()? {
            return Ok(Some(undone));
        }
        if let (Some(salts), Some(header), Some(shape)) =
            (self.found.prefix.later, self.found.header, self.found.shape)
        {
            return self.later(salts, &header, &shape);
        }
        let Some(header) = self.found.header else { return Ok(None) };
        let (shape, certainty) = match self.found.verdict {
            Verdict::BadHeader => match guess::guess(self.file, &header, self.found.file_bytes)? {
                Some(guess) => (guess.shape, guess.certainty),
                None => return self.front(),
            },
            _ => match self.found.shape {
                Some(shape) => (shape, Certainty::Proven),
                None => return Ok(None),
            },
        };
        let log = Log {
            file: self.file,
            shape,
            header,
            layers: Layers::default(),
            displacement: Displacement::default(),
            is_proven: certainty == Certainty::Proven,
            offset_bytes: 0,
        };
        let chain = self.chain(&log)?;
        if self.found.verdict == Verdict::BadHeader
            && let Some(salts) = self.later_than(&log, &chain)?
        {
            return self.later(salts, &header, &log.shape);
        }
        self.examine(log, &chain)
    }

    /// The salts of a later generation than that of the frames with which a log begins.
    fn later_than(&self, log: &Log<'_>, chain: &Prefix) -> Result<Option<Salts>, Error> {
        let mut fold = PrefixFold::new(&log.shape);
        for facts in log.shape.facts(log.file, chain.stop.frame..log.shape.extent.end(), self.watch)
        {
            fold.push(&facts?);
        }
        Ok(fold.finish(&log.shape).later)
    }

    /// The log of a generation whose header is not the one that the file has: that of a generation
    /// before is there, from an old copy or because a write was lost.
    fn later(
        &self,
        salts: Salts,
        old: &WalHeader,
        shape: &LogShape,
    ) -> Result<Option<ShiftUndone>, Error> {
        // The same connection counts the sequence on; where it was another, frame 1 does not
        // follow.
        let later_by = salts.salt1.wrapping_sub(shape.salts.salt1);
        let sequence = old.checkpoint_seq.wrapping_add(later_by);
        let header = WalHeader::new(shape.order, shape.page_size(), sequence, salts);
        let log = Log {
            file: self.file,
            shape: LogShape { salts, start: header.checksum, ..*shape },
            header,
            layers: Layers::default(),
            displacement: Displacement { header_is_older: true, ..Displacement::default() },
            is_proven: false,
            offset_bytes: 0,
        };
        let examination = self.examine_view(&log)?;
        Ok(Some(ShiftUndone { examination, layers: log.layers }))
    }

    /// The log before its line ends were translated, if more of it is valid.
    fn line_ends(&self) -> Result<Option<ShiftUndone>, Error> {
        let line_ends = LineEnds::of(self.file, &|| !self.watch.is_interrupted())?;
        if self.watch.is_interrupted() {
            return Err(crate::scan::Error::Interrupted.into());
        }
        let Some(line_ends) = line_ends else { return Ok(None) };
        let line_ends = Arc::new(line_ends);
        let view = Untranslated::over(self.file, Arc::clone(&line_ends));
        let (file_bytes, mut bytes) = (view.size()?, [0; WAL_HEADER_BYTES]);
        if view.read_at(&mut bytes, 0)? < bytes.len() {
            return Ok(None);
        }
        let header = WalHeader::decode(&bytes);
        let shape = Some(header).filter(|header| header.validate().is_ok());
        let shape = shape.and_then(|header| LogShape::of(&header, file_bytes));
        let Some(shape) = shape else { return Ok(None) };
        let mut log = Log {
            file: &view,
            shape,
            header,
            layers: Layers { layers: vec![Layer::LineEnds(Arc::clone(&line_ends))] },
            displacement: Displacement {
                line_ends: Some(line_ends.added()),
                ..Displacement::default()
            },
            is_proven: true,
            offset_bytes: 0,
        };
        let chain = self.chain(&log)?;
        let seen = &self.found.prefix;
        if chain.valid_frames <= seen.valid_frames {
            return Ok(None);
        }
        log.displacement.shifts.push(Shift {
            offset_bytes: seen.stop.offset_bytes,
            shift_bytes: i64::try_from(line_ends.added()).unwrap_or(i64::MAX),
            first_frame: seen.stop.frame,
            frames: chain.valid_frames - seen.valid_frames,
            commits: chain.transactions.saturating_sub(seen.transactions),
        });
        self.examine(log, &chain)
    }

    /// The log that begins elsewhere in the file.
    fn front(&self) -> Result<Option<ShiftUndone>, Error> {
        let Some(front) = front::find(self.file, self.found.file_bytes, self.watch)? else {
            return Ok(None);
        };
        let view = front.view(self.file);
        let place = front.first_frame.offset_bytes(front.shape.page_size());
        let mut log = Log {
            file: &view,
            shape: front.shape,
            header: front.header,
            layers: Layers { layers: vec![Layer::Pieces(Arc::clone(&front.arrangement))] },
            displacement: Displacement {
                frames_missing: !front.is_proven,
                ..Displacement::default()
            },
            is_proven: front.is_proven,
            offset_bytes: front.offset_bytes.saturating_sub(place),
        };
        let shift = i64::try_from(front.offset_bytes).unwrap_or(i64::MAX)
            - i64::try_from(place).unwrap_or(i64::MAX);
        let chain = self.chain(&log)?;
        if shift != 0 {
            let run = self.run_from(&log, front.first_frame)?;
            log.displacement.shifts.push(Shift {
                offset_bytes: front.offset_bytes,
                shift_bytes: shift,
                first_frame: front.first_frame,
                frames: run.valid_frames,
                commits: run.transactions,
            });
        }
        self.examine(log, &chain)
    }

    /// What follows from frame to frame in a view, from the first on.
    fn chain(&self, log: &Log<'_>) -> Result<Prefix, Error> {
        let mut fold = PrefixFold::new(&log.shape);
        let end = log.shape.extent.end();
        for facts in log.shape.facts(log.file, FrameNo::FIRST..end, self.watch) {
            if !fold.push(&facts?) {
                break;
            }
        }
        Ok(fold.finish(&log.shape))
    }

    /// The same from `first` on, whatever it follows from.
    fn run_from(&self, log: &Log<'_>, first: FrameNo) -> Result<Prefix, Error> {
        let joiner = log.shape.joiner();
        let mut run = Prefix::none(log.shape.start, StopReason::Eof);
        let mut after = None;
        for facts in log.shape.facts(log.file, first..log.shape.extent.end(), self.watch) {
            let facts = facts?;
            let follows = after.is_none_or(|after| joiner.follows(&facts, after));
            if facts.header.salts != log.shape.salts || facts.header.page.0 == 0 || !follows {
                break;
            }
            after = Some(facts.header.checksum);
            run.valid_frames += 1;
            run.transactions += u32::from(facts.commit_size_pages().is_some());
        }
        Ok(run)
    }

    /// Looks for frames off the grid of a view, and examines what there is. `None` where neither
    /// shows anything that the file as it is does not.
    fn examine(&self, mut log: Log<'_>, chain: &Prefix) -> Result<Option<ShiftUndone>, Error> {
        let broken = Broken {
            file: log.file,
            database: self.database,
            shape: &log.shape,
            chain,
            watch: self.watch,
        };
        let Some(layout) = broken.lay_out()? else {
            if log.layers.layers.is_empty() {
                return Ok(None);
            }
            return Ok(Some(ShiftUndone {
                examination: self.examine_view(&log)?,
                layers: log.layers,
            }));
        };
        let Realigned { arrangement, displacement } = layout;
        let before = log.offset_bytes;
        log.displacement.shifts.extend(displacement.shifts.into_iter().map(|shift| Shift {
            offset_bytes: shift.offset_bytes.saturating_add(before),
            shift_bytes: shift.shift_bytes.saturating_add(i64::try_from(before).unwrap_or(0)),
            ..shift
        }));
        log.displacement.frames_missing |= displacement.frames_missing;
        log.displacement.mended_frames = displacement.mended_frames;
        log.displacement.is_cut_short = displacement.is_cut_short;
        log.displacement.chance = displacement.chance;
        let layer = Layer::Pieces(Arc::new(arrangement));
        let view = layer.over(log.file);
        log.layers.layers.push(layer);
        let Some(extent) = Extent::of(view.size()?, log.shape.page_size()) else { return Ok(None) };
        let shape = LogShape { extent, ..log.shape };
        let inner = Log { file: view.as_ref(), shape, ..log };
        Ok(Some(ShiftUndone { examination: self.examine_view(&inner)?, layers: inner.layers }))
    }

    /// Examines a view of which SQLite sees the prefix of the file.
    fn examine_view(&self, log: &Log<'_>) -> Result<Examination, Error> {
        let (found, shape) = (self.found, log.shape);
        let is_bad = found.verdict == Verdict::BadHeader;
        let mut prefix = match is_bad {
            true => Prefix::none(shape.start, StopReason::Header),
            // Of this generation SQLite sees nothing.
            false if log.displacement.header_is_older && found.prefix.mx_frame == 0 => {
                Prefix::none(shape.start, StopReason::Salt)
            }
            false => found.prefix,
        };
        // Whatever is at the stop, the rest is read.
        prefix.last_current = Some(FrameNo(shape.extent.slot_frames));
        let (database, watch) = (self.database, self.watch);
        let sources = Sources { log: log.file, database, shape: &shape, prefix: &prefix, watch };
        let mut tail = cured_tail(&sources)?;
        tail.broken = match tail.broken {
            _ if tail.last_lost_commit.is_none() => Break::Torn,
            _ if is_bad && log.is_proven => Break::Losing(Certainty::Proven),
            _ if is_bad => Break::Losing(Certainty::Likely),
            _ if tail.stop_link == Some(Link::Linked) => Break::Losing(Certainty::Proven),
            Break::Losing(certainty) => Break::Losing(certainty),
            Break::None | Break::Torn => Break::Losing(Certainty::Possible),
        };
        let Forecast { damaged, lost } =
            forecast::forecast(log.file, &shape, &prefix, &tail, self.watch)?;
        let mut displacement = log.displacement.clone();
        // Where every sum is right, nothing is missing.
        let is_whole = lost.as_ref().is_some_and(|lost| lost.recoverable == Recoverable::All);
        displacement.frames_missing &= !is_whole;
        let verdict = match tail.broken {
            _ if is_bad => Verdict::BadHeader,
            Break::Losing(_) => Verdict::Damaged,
            Break::Torn | Break::None => Verdict::TornTail,
        };
        Ok(Examination {
            verdict,
            header_status: HeaderStatus::Ok,
            header: Some(log.header),
            file_bytes: shape.extent.file_bytes,
            shape: Some(shape),
            prefix,
            tail,
            damaged,
            lost,
            displacement,
            undone: None,
            known: KnownFrames::default(),
        })
    }
}
