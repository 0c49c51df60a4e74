//! Examines a log: reads it, and judges what it holds.

use std::collections::BTreeMap;

use crate::format::{FRAME_HEADER_BYTES, FrameHeader, FrameNo, Salts, WAL_HEADER_BYTES, WalHeader};
use crate::scan::{self, KnownFrames, Watch};
use crate::storage::{self, File};

use super::cure::{Cures, Sources};
use super::examination::{Examination, HeaderStatus, Verdict};
use super::forecast::{self, Forecast};
use super::guess;
use super::link::{Link, Links};
use super::prefix::{Prefix, PrefixFold, StopReason};
use super::shift::Displacement;
use super::spill::{self, Spill};
use super::tail::{Break, Tail, TailFold};
use super::{LogShape, rolled_back};

mod off_grid;
mod undo;

/// Why a log could not be examined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error(transparent)]
    Scan(#[from] scan::Error),
    /// More frames than SQLite can number.
    #[error(
        "{path}: {file_bytes} bytes hold more than 2^31 frames of {page_size_bytes}-byte pages"
    )]
    TooLong {
        /// The log.
        path: String,
        /// Its size.
        file_bytes: u64,
        /// The page size in its header.
        page_size_bytes: u32,
    },
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Scan(error.into())
    }
}

/// What an examination may look at beside the log, and what it keeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExamineOptions<'a> {
    /// The database, whose pages are witnesses of what the log should have.
    pub database: Option<&'a dyn File>,
    /// Frames of the prefix that are kept in [`Examination::known`] at most.
    pub known_frames: usize,
}

/// Examines the log in `file` by itself; see [`examine_with`].
///
/// # Errors
/// As [`examine_with`].
pub fn examine(file: &dyn File, watch: &dyn Watch) -> Result<Examination, Error> {
    examine_with(file, ExamineOptions::default(), watch)
}

/// Examines the log in `file`.
///
/// The size is sampled first and nothing beyond it is judged.
///
/// # Errors
/// When reading fails, the file is cut meanwhile, or the watcher stops it. Damage is no error.
pub fn examine_with(
    file: &dyn File,
    options: ExamineOptions<'_>,
    watch: &dyn Watch,
) -> Result<Examination, Error> {
    let ExamineOptions { database, known_frames } = options;
    let file_bytes = file.size()?;
    let mut bytes = [0; WAL_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    let header = (read == WAL_HEADER_BYTES).then(|| WalHeader::decode(&bytes));
    let Some(parsed) = header.filter(|_| file_bytes > WAL_HEADER_BYTES as u64) else {
        return Ok(empty(header, file_bytes));
    };
    if parsed.validate().is_err() {
        let found = bad_header(file, database, &parsed, file_bytes, watch)?;
        return undo::with_shift_undone(found, file, database, watch);
    }
    let shape = LogShape::of(&parsed, file_bytes).ok_or_else(|| Error::TooLong {
        path: file.path().display().to_string(),
        file_bytes,
        page_size_bytes: parsed.page_size_bytes,
    })?;
    let mut fold = PrefixFold::new(&shape);
    let mut known = KnownFrames::up_to(known_frames);
    known.expect(shape.extent.slot_frames);
    for facts in shape.facts(file, FrameNo::FIRST..shape.extent.end(), watch) {
        let facts = facts?;
        if fold.push(&facts) {
            known.push(&facts);
        }
    }
    let prefix = fold.finish(&shape);
    let sources = Sources { log: file, database, shape: &shape, prefix: &prefix, watch };
    let mut tail = cured_tail(&sources)?;
    if tail.broken == Break::Torn {
        let plain = read_tail(file, &shape, &prefix, &Cures::default(), watch)?;
        let sources = Sources { log: file, database, shape: &shape, prefix: &prefix, watch };
        if rolled_back::explains(&sources, &tail, &plain)? {
            tail = Tail { broken: Break::None, ..plain };
        }
    }
    // Frames of an open transaction, and something that ends in the middle of a slot.
    let ends_inside = tail.inside_transaction && shape.extent.trailing_bytes > 0;
    if tail.broken == Break::None
        && (ends_inside || rolled_back::no_frame_follows(file, &shape, &tail, watch)?)
    {
        tail.broken = Break::Torn;
    }
    let Forecast { damaged, lost } = match tail.broken {
        Break::None => Forecast::default(),
        Break::Torn | Break::Losing(_) => forecast::forecast(file, &shape, &prefix, &tail, watch)?,
    };
    let found = Examination {
        verdict: verdict(&prefix, &tail),
        header_status: HeaderStatus::Ok,
        header,
        file_bytes,
        shape: Some(shape),
        prefix,
        tail,
        damaged,
        lost,
        displacement: Displacement::default(),
        undone: None,
        known,
    };
    undo::with_shift_undone(found, file, database, watch)
}

fn verdict(prefix: &Prefix, tail: &Tail) -> Verdict {
    match tail.broken {
        Break::Losing(_) => Verdict::Damaged,
        Break::Torn => Verdict::TornTail,
        Break::None if prefix.valid_frames > prefix.mx_frame => Verdict::UncommittedTail,
        Break::None if prefix.valid_frames == 0 => Verdict::Empty,
        Break::None => Verdict::Clean,
    }
}

fn empty(header: Option<WalHeader>, file_bytes: u64) -> Examination {
    let shape = header.filter(|h| h.validate().is_ok()).and_then(|h| LogShape::of(&h, file_bytes));
    let reason = match file_bytes {
        0 | 32 => StopReason::Eof,
        _ => StopReason::Short,
    };
    let start = header.map(|header| header.checksum).unwrap_or_default();
    let prefix = Prefix::none(start, reason);
    let salts = header.map_or(Salts { salt1: 0, salt2: 0 }, |header| header.salts);
    Examination {
        verdict: Verdict::Empty,
        header_status: header.map_or(HeaderStatus::Short, |header| HeaderStatus::of(&header)),
        header,
        file_bytes,
        shape,
        prefix,
        tail: TailFold::new(&prefix, salts, Cures::default()).finish(None),
        damaged: Vec::new(),
        lost: None,
        displacement: Displacement::default(),
        undone: None,
        known: KnownFrames::default(),
    }
}

fn bad_header(
    file: &dyn File,
    database: Option<&dyn File>,
    header: &WalHeader,
    file_bytes: u64,
    watch: &dyn Watch,
) -> Result<Examination, Error> {
    let guess = guess::guess(file, header, file_bytes)?;
    let start = guess.map_or(header.checksum, |guess| guess.shape.start);
    let mut prefix = Prefix::none(start, StopReason::Header);
    let mut tail = TailFold::new(&prefix, header.salts, Cures::default()).finish(None);
    let mut forecast = Forecast::default();
    if let Some(guess) = guess {
        let shape = &guess.shape;
        let facts = shape.facts(file, FrameNo::FIRST..shape.extent.end(), watch);
        prefix.later_frame = PrefixFold::later_frame_of(shape, facts)?;
        tail = cured_tail(&Sources { log: file, database, shape, prefix: &prefix, watch })?;
        if tail.last_lost_commit.is_some() {
            tail.broken = Break::Losing(guess.certainty);
        }
        forecast = forecast::forecast(file, &guess.shape, &prefix, &tail, watch)?;
    }
    Ok(Examination {
        verdict: Verdict::BadHeader,
        header_status: HeaderStatus::of(header),
        header: Some(*header),
        file_bytes,
        shape: guess.map(|guess| guess.shape).or_else(|| LogShape::of(header, file_bytes)),
        prefix,
        tail,
        damaged: forecast.damaged,
        lost: forecast.lost,
        displacement: Displacement::default(),
        undone: None,
        known: KnownFrames::default(),
    })
}

/// The tail, with every cure that can be found where the log is broken.
fn cured_tail(sources: &Sources<'_>) -> Result<Tail, Error> {
    let Sources { log, shape, prefix, watch, .. } = *sources;
    let read = |cures: &Cures| read_tail(log, shape, prefix, cures, watch);
    let (unsummed, is_torn) = match spill::find(log, shape, prefix, watch)? {
        Spill::None => (BTreeMap::new(), false),
        Spill::Whole(unsummed) => (unsummed, false),
        Spill::Torn => (BTreeMap::new(), true),
    };
    let tail = read(&Cures::default().with(unsummed))?;
    let mut tail = sources.search(tail, read)?;
    if is_torn && tail.broken == Break::None {
        tail.broken = Break::Torn;
    }
    Ok(tail)
}

fn read_tail(
    file: &dyn File,
    shape: &LogShape,
    prefix: &Prefix,
    cures: &Cures,
    watch: &dyn Watch,
) -> Result<Tail, scan::Error> {
    let stop = prefix.stop.frame;
    let mut fold = TailFold::new(prefix, shape.salts, cures.clone());
    let facts = shape.facts(file, stop..shape.extent.end(), watch);
    for judged in Links::new(facts, shape, prefix.end_sum, cures.clone()) {
        let judged = judged?;
        fold.push(&judged);
        // Nothing of this generation after the stop: the rest is older, and already counted.
        let tied = judged.link != Link::Foreign;
        if judged.facts.frame == stop && !tied && prefix.last_current.is_none() {
            break;
        }
    }
    Ok(fold.finish(partial_salts(file, shape)?))
}

/// The salts of the partial slot at the end, if it is long enough to show them.
fn partial_salts(file: &dyn File, shape: &LogShape) -> Result<Option<Salts>, scan::Error> {
    if shape.extent.trailing_bytes < 16 {
        return Ok(None);
    }
    let mut bytes = [0; FRAME_HEADER_BYTES];
    let read = file.read_at(&mut bytes, shape.extent.end().offset_bytes(shape.page_size()))?;
    Ok((read >= 16).then(|| FrameHeader::decode(&bytes).salts))
}
