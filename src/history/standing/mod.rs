//! Does this log belong to this database?
//!
//! Nothing in the format says so, and a foreign log of the same page size destroys the database
//! (`engine/PROTOCOL.md`, Whose log is it?). What is known is weighed here: whether the log's
//! pages, put over the file, give a sound database; whether page 1 of both speaks of the same
//! database; whether images and rows of the log are in the file. `foreign` needs two
//! contradictions of different kinds, tables or pages, and nothing that speaks for a pair. What the
//! file is by itself is no contradiction: only problems that it does not have alone are counted.
//!
//! Of a log that holds every page nothing of the file is left. Then it matters whether the file is
//! a later one, which its earlier states and the rows tell (`effects`, `tails`).
//!
//! Cost: images and rows are compared on at most [`MAX_PAGES`] pages and over [`MAX_FRAMES`]
//! frames. The whole is checked only up to [`MAX_CHECKED_BYTES`]; of larger databases at most
//! [`MAX_PAGES`] references from pages of the log to pages of the file are followed (`links`), and
//! as many from pages of the file to pages of the log (`parents`).

use std::ops::Range;

use crate::database::{self, FilePages, Schema, check, opaque};
use crate::format::database_header::DATABASE_HEADER_BYTES;
use crate::format::{DatabaseHeader, FRAME_HEADER_BYTES, FrameNo};
use crate::history::snapshot::{self, Snapshot, Target, snapshot_of};
use crate::history::view::View;
use crate::log::LogShape;
use crate::scan::{self, FrameFacts, Watch};
use crate::storage::File;

use beginning::Beginning;
use content::Compared;
use effects::Effects;
pub use order::Order;
use own_fault::OwnFaults;
pub use pairing::{Belonging, Evidence, Pairing, Reason, SpeaksFor};

mod beginning;
mod columns;
mod content;
mod effects;
mod header;
mod links;
pub mod newer;
mod order;
mod own_fault;
mod pairing;
mod parents;
mod problem;
mod seen_frames;
mod structure;
mod tails;

/// Most pages whose content is compared, and most references that are followed.
pub const MAX_PAGES: usize = 4096;

/// Most frames whose images are compared with the file.
pub const MAX_FRAMES: u32 = 65_536;

/// Largest database that is checked as a whole.
pub const MAX_CHECKED_BYTES: u64 = 64 << 20;

/// A log over a database file.
#[derive(Clone, Copy)]
struct Pair<'a> {
    log: &'a dyn File,
    shape: &'a LogShape,
    snapshot: &'a Snapshot,
    base: &'a dyn File,
    /// The file alone.
    file: FilePages<'a>,
    /// The log over the file.
    both: &'a View<'a>,
    /// Pages of that.
    size_pages: u32,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only a foreign log matters: one thing that speaks for the pair on the first pages is enough,
    /// and the rest is not read. Then, and of a log that holds every page, nothing is judged.
    Foreign,
    /// The structure of the newest state counts.
    Newest,
    /// Earlier states of the log over the file, too.
    States,
}

/// Judges whether the log of `view` belongs to its base; `None` when one of them holds nothing.
///
/// # Errors
/// When a file cannot be read, or the watcher stops it.
pub fn judge(view: &View, depth: Depth, watch: &dyn Watch) -> Result<Option<Pairing>, scan::Error> {
    match depth {
        Depth::Foreign => judge_quickly(view, watch),
        Depth::Newest | Depth::States => {
            Pair::of(view)?.map(|pair| pair.judge(depth, watch)).transpose()
        }
    }
}

/// The image in a frame; `None` where the log ends in it.
fn frame_image(pair: &Pair, frame: FrameNo) -> Result<Option<Vec<u8>>, scan::Error> {
    let page_size = pair.shape.page_size();
    let mut image = vec![0; page_size.in_memory()];
    let at = frame.offset_bytes(page_size) + FRAME_HEADER_BYTES as u64;
    let is_whole = pair.log.read_at(&mut image, at)? == image.len();
    Ok(is_whole.then_some(image))
}

fn judge_quickly(view: &View, watch: &dyn Watch) -> Result<Option<Pairing>, scan::Error> {
    let Some(pair) = Pair::of(view)? else { return Ok(None) };
    // Of a log that holds every page nothing of the file is left: it is never foreign.
    if pair.is_self_contained() {
        return Ok(None);
    }
    let limit = content::Limit { pages: 64, frames: 512 };
    let speaks_for_it = |reason: &Reason| reason.speaks_for == SpeaksFor::Same;
    if header::page_size(&pair)?.is_none()
        && content::compare(&pair, limit, watch)?.reasons.iter().any(speaks_for_it)
    {
        return Ok(None);
    }
    pair.judge(Depth::Newest, watch).map(Some)
}

impl<'a> Pair<'a> {
    /// The log of `view` and its base; `None` when one of them holds nothing.
    fn of(view: &'a View<'a>) -> Result<Option<Self>, scan::Error> {
        let (Some((log, shape)), Some(base)) = (view.log, view.base) else { return Ok(None) };
        let snapshot = view.snapshot;
        let Some(size_pages) = snapshot.db_size_pages.filter(|_| snapshot.to_frame > 0) else {
            return Ok(None);
        };
        if base.size()? == 0 {
            return Ok(None);
        }
        let file = FilePages::new(base, shape.page_size())?;
        Ok(Some(Self { log, shape, snapshot, base, file, both: view, size_pages }))
    }

    fn judge(&self, depth: Depth, watch: &dyn Watch) -> Result<Pairing, scan::Error> {
        let mut self_contained = self.is_self_contained();
        if opaque::looks_encrypted(&self.file)? && opaque::looks_encrypted(self.both)? {
            // Only whole images can be compared.
            let Compared { reasons, .. } = content::compare(self, content::Limit::ALL, watch)?;
            let is_unsound = false;
            return Ok(Pairing::of(reasons, self_contained, is_unsound, Order::Unknown));
        }
        if let Some(reason) = header::page_size(self)? {
            return Ok(Pairing {
                verdict: Belonging::CannotTell,
                self_contained,
                is_unsound: false,
                is_too_large: false,
                order: Order::Unknown,
                reasons: vec![reason],
            });
        }
        let bytes = u64::from(self.size_pages) * self.shape.page_size().bytes_u64();
        let limit = match self_contained && bytes > MAX_CHECKED_BYTES {
            true => content::Limit::FEW,
            false => content::Limit::ALL,
        };
        let mut compared = content::compare(self, limit, watch)?;
        let mut reasons = std::mem::take(&mut compared.reasons);
        reasons.extend(header::compare(self, &compared.beginning)?);
        let mut is_unsound = false;
        if !self_contained {
            (self_contained, is_unsound) = self.together(&compared, &mut reasons, watch)?;
        }
        if depth == Depth::States {
            reasons.extend(self.early(&reasons, &compared.beginning, watch)?);
        }
        let effects = match depth {
            Depth::States => Effects::of(self, &compared)?,
            Depth::Foreign | Depth::Newest => Effects::default(),
        };
        if !reasons.iter().any(Reason::contradicts) {
            reasons.extend(effects.reason(self, &compared, watch)?);
            if !reasons.iter().any(Reason::contradicts) && depth == Depth::States {
                reasons.extend(effects.to_come());
                reasons.extend(compared.beginning.growth(self)?);
            }
        }
        let is_contradicted = reasons.iter().any(Reason::contradicts);
        if is_contradicted && !reasons.iter().any(Reason::is_in_common) && self.is_small()? {
            reasons.extend(content::moved_rows(self)?);
        }
        let order = match is_contradicted {
            true => order::weigh(self, &compared, &effects, &reasons, watch)?,
            false => Order::Unknown,
        };
        let is_too_large = !self_contained && !self.is_small()?;
        let pairing = Pairing::of(reasons, self_contained, is_unsound, order);
        Ok(Pairing { is_too_large, ..pairing })
    }

    /// What contradicts in earlier states of the log over the file, where nothing does in the last.
    fn early(
        &self,
        reasons: &[Reason],
        beginning: &Beginning,
        watch: &dyn Watch,
    ) -> Result<Option<Reason>, scan::Error> {
        match reasons.iter().any(Reason::contradicts) || !self.is_small()? {
            true => Ok(None),
            false => beginning.problems(self, watch),
        }
    }

    /// The facts of the slots `frames`, in file order.
    fn facts(
        &self,
        frames: Range<FrameNo>,
        watch: &'a dyn Watch,
    ) -> impl Iterator<Item = Result<FrameFacts, scan::Error>> + use<'a> {
        self.shape.facts_beside(self.both.known, self.log, frames, watch)
    }

    /// The database header in a frame of page 1; `None` where the log ends in it.
    fn header_in(&self, frame: FrameNo) -> Result<Option<DatabaseHeader>, scan::Error> {
        let mut bytes = [0; DATABASE_HEADER_BYTES];
        let at = frame.offset_bytes(self.shape.page_size()) + FRAME_HEADER_BYTES as u64;
        let is_whole = self.log.read_at(&mut bytes, at)? == bytes.len();
        Ok(is_whole.then(|| DatabaseHeader::decode(&bytes)))
    }

    /// The state at `commit`; `None` where the frames do not give it.
    fn snapshot_at(
        &self,
        commit: FrameNo,
        watch: &dyn Watch,
    ) -> Result<Option<Snapshot>, scan::Error> {
        let facts = self.facts(FrameNo::FIRST..commit.next(), watch);
        match snapshot_of(facts, Target::Frame(commit)) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(snapshot::Error::Scan(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Whether the database may be checked as a whole.
    fn is_small(&self) -> Result<bool, scan::Error> {
        let bytes = u64::from(self.size_pages) * self.shape.page_size().bytes_u64();
        Ok(bytes.max(self.base.size()?) <= MAX_CHECKED_BYTES)
    }

    /// Judges the database that the log over the file is; returns whether nothing of it comes from
    /// the file, and whether it is unsound, as far as that is known.
    fn together(
        &self,
        compared: &Compared,
        reasons: &mut Vec<Reason>,
        watch: &dyn Watch,
    ) -> Result<(bool, bool), scan::Error> {
        let beginning = &compared.beginning;
        let schema = Schema::read(self.both)?;
        let file = Schema::read(&self.file)?;
        let is_small = self.is_small()?;
        if let Some(reason) = columns::schemas(&file, &schema)
            && !beginning.has_a_table_of(&file, self, watch)?
            && !(is_small && beginning.replaces_all_tables_of(&file, self, watch)?)
        {
            reasons.push(reason);
        }
        if !is_small {
            reasons.extend(structure::growth_at_least(self, &database::header(&self.file)?)?);
            reasons.extend(links::follow(self, compared.interior.as_ref(), watch)?);
            reasons.extend(parents::hold(self, &schema, watch)?);
            return Ok((false, false));
        }
        let both = check(self.both, watch)?;
        let mut is_unsound = !both.is_sound();
        reasons.extend(columns::records(self, &both, &schema, watch)?);
        reasons.extend(structure::growth(self, &both, &database::header(&self.file)?)?);
        // What contradicts itself gives no sound database over any file.
        if !both.is_sound() && !header::log_contradicts_itself(self)? {
            let former_names = columns::former_names(&file, &schema);
            let alone = check(&self.file, watch)?;
            let problems = |own: &OwnFaults| structure::problems(&both, &alone, &former_names, own);
            let mut found = problems(&OwnFaults::default());
            if !found.is_empty() {
                let newest = FrameNo(self.snapshot.to_frame);
                let states = beginning.known_states(self, alone.is_sound(), newest);
                found = problems(&OwnFaults::find(self, states, watch)?);
                is_unsound = !found.is_empty();
            }
            reasons.extend(found);
        }
        Ok((structure::is_self_contained(self, &both), is_unsound))
    }

    /// Every page of the result but the one of the lock bytes has a frame.
    fn is_self_contained(&self) -> bool {
        !self.snapshot.takes_pages_from_file(self.shape.page_size())
    }
}
