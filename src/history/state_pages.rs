//! The pages of one state of a database, by the frames that have them.

use std::collections::HashMap;

use crate::database::Pages;
use crate::format::{FrameNo, PageSize, Pgno};
use crate::scan::Error;
use crate::storage::shared::Spread;

use super::page_map::PageMap;
use super::past::Past;
use super::snapshot::Snapshot;

/// The pages of one state.
pub struct StatePages<'a> {
    past: &'a Past<'a>,
    frames: FramesOf<'a>,
    size_pages: u32,
}

/// Which frame has a page.
enum FramesOf<'a> {
    Snapshot(&'a Snapshot),
    /// That of a state, but for pages of which another frame, or the file, is meant.
    Changed(&'a PageMap<FrameNo>, &'a HashMap<Pgno, Option<FrameNo>>),
}

impl<'a> Past<'a> {
    /// The pages of the state of a snapshot.
    ///
    /// # Errors
    /// When the size of the file cannot be read.
    pub fn state(&'a self, snapshot: &'a Snapshot) -> Result<StatePages<'a>, Error> {
        let size_pages = match snapshot.db_size_pages {
            Some(pages) => pages,
            None => self.size_pages()?,
        };
        Ok(StatePages { past: self, frames: FramesOf::Snapshot(snapshot), size_pages })
    }

    /// The pages of a state that has the frames of `newest`, but for those in `changed`.
    pub(super) fn changed_state(
        &'a self,
        newest: &'a PageMap<FrameNo>,
        changed: &'a HashMap<Pgno, Option<FrameNo>>,
        size_pages: u32,
    ) -> StatePages<'a> {
        StatePages { past: self, frames: FramesOf::Changed(newest, changed), size_pages }
    }
}

impl StatePages<'_> {
    /// The frame of a page; `None` where it is that of the file.
    fn frame_of(&self, page: Pgno) -> Option<FrameNo> {
        match &self.frames {
            FramesOf::Snapshot(snapshot) => snapshot.pages.get(&page).copied(),
            FramesOf::Changed(newest, changed) => match changed.get(&page) {
                Some(frame) => *frame,
                None => newest.get(page).copied(),
            },
        }
    }
}

impl Pages for StatePages<'_> {
    fn page_size(&self) -> PageSize {
        self.past.page_size()
    }

    fn size_pages(&self) -> Result<u32, Error> {
        Ok(self.size_pages)
    }

    fn read(&self, page: Pgno, image: &mut [u8]) -> Result<(), Error> {
        // No page of this state, whatever refers to it: nothing of it can be gone.
        if page.0 > self.size_pages {
            image.fill(0);
            return Ok(());
        }
        self.past.read(page, self.frame_of(page), image)
    }

    fn spread(&self) -> Option<Spread> {
        self.past.spread()
    }

    fn show(&self, page: Pgno, look: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        if page.0 > self.size_pages {
            look(&vec![0; self.page_size().in_memory()]);
            return Ok(());
        }
        self.past.show(page, self.frame_of(page), look)
    }
}
