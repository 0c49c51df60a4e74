//! Pages that a thread judges by themselves, before the walk comes to them.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::database::{PageLayout, Pages};
use crate::format::Pgno;

use super::page::{self, Checked};
use super::problem::StructureFault;

/// Pages that are given to the thread at once. As many again are on their way.
pub(super) const BATCH: usize = 64;

/// Pages with their images.
pub(super) type Batch = Vec<(Pgno, Vec<u8>)>;

/// A page, and what it is by itself.
#[derive(Debug)]
pub(super) struct Judged {
    pub image: Vec<u8>,
    pub checked: Result<Checked, StructureFault>,
}

/// The thread, and the pages that it has.
#[derive(Debug)]
pub(super) struct Ahead {
    /// `None` once there is nothing more to judge.
    wanted: Option<Sender<Batch>>,
    judged: Receiver<Vec<(Pgno, Judged)>>,
    judge: Option<JoinHandle<()>>,
    /// Pages that were given away and not taken back; `None` while the thread has them.
    pages: HashMap<Pgno, Option<Judged>, foldhash::fast::RandomState>,
}

impl Ahead {
    /// Starts the thread for a database of so many pages; `None` where the caller works alone.
    pub(super) fn begin(pages: &dyn Pages, layout: PageLayout, size_pages: u32) -> Option<Self> {
        let bytes = u64::from(size_pages) * layout.page_size.bytes_u64();
        pages.spread().filter(|spread| spread.threads(bytes) > 1)?;
        let (wanted, to_judge) = channel::<Batch>();
        let (to_use, judged) = channel();
        let judge = move || {
            for batch in to_judge {
                let one = |(page, image): (Pgno, Vec<u8>)| {
                    let checked = page::check(page, layout, &image);
                    (page, Judged { image, checked })
                };
                if to_use.send(batch.into_iter().map(one).collect()).is_err() {
                    break;
                }
            }
        };
        let judge = thread::Builder::new().spawn(judge).ok()?;
        Some(Self { wanted: Some(wanted), judged, judge: Some(judge), pages: HashMap::default() })
    }

    /// Whether the thread has `page`, or has judged it.
    pub(super) fn has(&self, page: Pgno) -> bool {
        self.pages.contains_key(&page)
    }

    /// Gives pages to the thread.
    pub(super) fn give(&mut self, batch: Batch) {
        let pages: Vec<Pgno> = batch.iter().map(|(page, _)| *page).collect();
        if let Some(wanted) = &self.wanted
            && wanted.send(batch).is_ok()
        {
            self.pages.extend(pages.into_iter().map(|page| (page, None)));
        }
    }

    /// Takes a page that was given; `None` where it was not, or the thread is gone.
    pub(super) fn take(&mut self, page: Pgno) -> Option<Judged> {
        loop {
            if self.pages.get(&page)?.is_some() {
                return self.pages.remove(&page)?;
            }
            let Ok(batch) = self.judged.recv() else {
                self.pages.clear();
                return None;
            };
            for (page, judged) in batch {
                if let Some(place) = self.pages.get_mut(&page) {
                    *place = Some(judged);
                }
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.wanted = None;
        if let Some(judge) = self.judge.take() {
            // What it has judged is of no use any more, and a panic was told already.
            let _ = judge.join();
        }
    }
}
