//! Pages that threads judge by themselves, before the walk comes to them.

use std::collections::HashMap;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use crate::database::{PageLayout, Pages};
use crate::format::Pgno;

use super::Entries;
use super::page::{self, Checked};
use super::problem::StructureFault;

/// Pages that are given to the threads at once.
pub(super) const BATCH: usize = 32;

/// Bytes of the children of one page that are given away before the walk comes to them.
const AHEAD_BYTES: usize = 1 << 20;

/// After so long without an answer it is asked whether a thread has panicked.
const PATIENCE: Duration = Duration::from_millis(200);

/// Pages with their images.
pub(super) type Batch = Vec<(Pgno, Vec<u8>)>;

/// A page, and what it is by itself.
#[derive(Debug)]
pub(super) struct Judged {
    pub image: Vec<u8>,
    pub checked: Result<Checked, StructureFault>,
}

/// The threads, and the pages that they have.
#[derive(Debug)]
pub(super) struct Ahead {
    layout: PageLayout,
    entries: Entries,
    /// `None` once there is nothing more to judge.
    wanted: Option<Sender<Batch>>,
    /// What no thread has begun.
    waiting: Receiver<Batch>,
    judged: Receiver<Vec<(Pgno, Judged)>>,
    judges: Vec<JoinHandle<()>>,
    /// Pages that were given away and not taken back; `None` until they are judged.
    pages: HashMap<Pgno, Option<Judged>, foldhash::fast::RandomState>,
}

impl Judged {
    /// Judges `page` of `image`, as far as `entries` are asked for.
    pub(super) fn new(page: Pgno, layout: PageLayout, entries: Entries, image: Vec<u8>) -> Self {
        let checked = page::check(page, layout, &image);
        let checked = match entries {
            Entries::Compared => checked,
            Entries::LeftOut => checked.map(Checked::summarized),
        };
        Self { image, checked }
    }
}

impl Ahead {
    /// Starts the threads for a database of so many pages; `None` where the caller works alone.
    pub(super) fn begin(
        pages: &dyn Pages,
        (layout, entries): (PageLayout, Entries),
        size_pages: u32,
    ) -> Option<Self> {
        let bytes = u64::from(size_pages) * layout.page_size.bytes_u64();
        let threads = pages.spread()?.threads(bytes);
        let (wanted, waiting) = unbounded::<Batch>();
        let (to_use, judged) = unbounded();
        let hire = |_| {
            let (waiting, to_use) = (waiting.clone(), to_use.clone());
            let work = move || {
                for batch in waiting {
                    if to_use.send(judge(batch, layout, entries)).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new().spawn(work).ok()
        };
        let judges: Vec<JoinHandle<()>> = (1..threads).map_while(hire).collect();
        (!judges.is_empty()).then(|| Self {
            layout,
            entries,
            wanted: Some(wanted),
            waiting,
            judged,
            judges,
            pages: HashMap::default(),
        })
    }

    /// How many children of a page are given away before the walk comes to them.
    pub(super) fn pages_ahead(&self) -> usize {
        (AHEAD_BYTES / self.layout.page_size.in_memory()).max(BATCH)
    }

    /// Whether a thread has `page`, or has judged it.
    pub(super) fn has(&self, page: Pgno) -> bool {
        self.pages.contains_key(&page)
    }

    /// Gives pages to the threads.
    pub(super) fn give(&mut self, batch: Batch) {
        let pages: Vec<Pgno> = batch.iter().map(|(page, _)| *page).collect();
        if let Some(wanted) = &self.wanted
            && wanted.send(batch).is_ok()
        {
            self.pages.extend(pages.into_iter().map(|page| (page, None)));
        }
    }

    /// Takes a page that was given; `None` where it was not, or a thread is gone. Judges what no
    /// thread has begun while it waits.
    pub(super) fn take(&mut self, page: Pgno) -> Option<Judged> {
        loop {
            if self.pages.get(&page)?.is_some() {
                return self.pages.remove(&page)?;
            }
            let done = if let Ok(done) = self.judged.try_recv() {
                done
            } else if let Ok(batch) = self.waiting.try_recv() {
                judge(batch, self.layout, self.entries)
            } else {
                match self.judged.recv_timeout(PATIENCE) {
                    Ok(done) => done,
                    // They wait for more as long as they live.
                    Err(RecvTimeoutError::Timeout)
                        if !self.judges.iter().any(JoinHandle::is_finished) =>
                    {
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                        self.pages.clear();
                        return None;
                    }
                }
            };
            for (page, judged) in done {
                if let Some(place) = self.pages.get_mut(&page) {
                    *place = Some(judged);
                }
            }
        }
    }
}

fn judge(batch: Batch, layout: PageLayout, entries: Entries) -> Vec<(Pgno, Judged)> {
    let one = |(page, image)| (page, Judged::new(page, layout, entries, image));
    batch.into_iter().map(one).collect()
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.wanted = None;
        // Nobody begins what is still waiting.
        while self.waiting.try_recv().is_ok() {}
        for judge in self.judges.drain(..) {
            // What it has judged is of no use any more, and a panic was told already.
            let _ = judge.join();
        }
    }
}
