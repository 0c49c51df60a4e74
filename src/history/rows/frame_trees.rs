//! The b-tree that the page of each frame is of, as of the transaction of the frame.

use std::collections::HashMap;

use crate::database::Pages;
use crate::format::{FrameNo, Pgno};
use crate::history::past::Past;
use crate::scan::{self, Watch};

use super::Error;
use super::owners::{Between, Owners};
use super::table::Catalog;
use super::transactions::BackwardStates;
use super::tree_of::{TreeName, name_of};

/// The b-trees of the frames of a log.
#[derive(Debug, Default)]
pub struct FrameTrees {
    /// Each one once.
    names: Vec<TreeName>,
    /// By frame, from frame 1 on: one more than the place of its name, or 0.
    of: Vec<u32>,
}

impl FrameTrees {
    /// The b-trees of the frames of transactions from `first_txn` on, as far back as pages are
    /// there that tell them.
    ///
    /// # Errors
    /// When the newest state cannot be read, or `watch` stops it.
    pub fn learn(past: &Past<'_>, first_txn: u32, watch: &dyn Watch) -> Result<Self, Error> {
        let mut states = BackwardStates::new(past)?;
        let mut trees = Naming::default();
        let mut known = State::of(&states.pages(), &mut trees)?;
        let frames = past.frames();
        let last = frames.commit(states.txn).map_or(0, |commit| commit.last_frame.0);
        let mut of = vec![0; last as usize];
        while states.txn >= first_txn.max(1) {
            if watch.is_interrupted() {
                return Err(scan::Error::Interrupted.into());
            }
            let frames_of_txn = frames.frames(states.txn);
            for frame in frames_of_txn.map(FrameNo) {
                let place = of.get_mut((frame.0 as usize).wrapping_sub(1));
                if let (Some(place), Some(page)) = (place, frames.page(frame)) {
                    *place = known.place_of(page);
                }
            }
            let went = states.back(&mut |before, after, changed| {
                let between = Between { from: after, to: before, changed };
                if known.owners.changes_schema(&between, &known.catalog)? {
                    known = State::of(before, &mut trees)?;
                } else {
                    known.owners.step(&between)?;
                }
                Ok::<_, Error>(())
            });
            // What is gone or damaged tells nothing of what was before.
            if went.is_err() {
                break;
            }
        }
        Ok(Self { names: trees.names, of })
    }

    /// The b-tree of the page in `frame`; `None` where it is not known, or of none: overflow pages
    /// are not looked up.
    #[must_use]
    pub fn of(&self, frame: FrameNo) -> Option<&TreeName> {
        let place = *self.of.get((frame.0 as usize).checked_sub(1)?)?;
        self.names.get((place as usize).checked_sub(1)?)
    }

    /// Characters of the longest name.
    #[must_use]
    pub fn longest_name(&self) -> usize {
        self.names.iter().map(|tree| tree.name.chars().count()).max().unwrap_or_default()
    }
}

/// Names that were given a place.
#[derive(Default)]
struct Naming {
    names: Vec<TreeName>,
    places: HashMap<TreeName, u32>,
}

impl Naming {
    /// One more than the place of `name`.
    fn place_of(&mut self, name: TreeName) -> u32 {
        let next = u32::try_from(self.names.len() + 1).unwrap_or_default();
        *self.places.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            next
        })
    }
}

/// What is known of one state.
struct State {
    catalog: Catalog,
    owners: Owners,
    /// By tree.
    places: Vec<u32>,
}

impl State {
    fn of(pages: &dyn Pages, naming: &mut Naming) -> Result<Self, Error> {
        let catalog = Catalog::read(pages)?;
        let owners = Owners::learn(pages, &catalog)?;
        let mut place = |tree| name_of(tree, &catalog).map_or(0, |name| naming.place_of(name));
        let places = owners.trees.iter().map(&mut place).collect();
        Ok(Self { catalog, owners, places })
    }

    fn place_of(&self, page: Pgno) -> u32 {
        let tree = self.owners.tree_of(page);
        tree.and_then(|tree| self.places.get(tree.place())).copied().unwrap_or_default()
    }
}
