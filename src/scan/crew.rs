//! Threads that read and map the chunks of one log together.
//!
//! Chunks are numbered in file order and taken from a counter, by the threads and by the caller
//! itself while the chunk that he needs next is not ready. Nobody runs further ahead of the caller
//! than [`AHEAD`] chunks a thread, so the memory does not grow with the log.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::format::FrameNo;
use crate::storage::shared::SharedFile;

use super::slots::{Error, Extent, SlotBuffer, map_slots};

/// Chunks for each thread that may be mapped and not yet given to the caller.
const AHEAD: usize = 3;

/// What is to be read.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) reader: SharedFile,
    pub(super) extent: Extent,
    /// Frames of the extent, not empty.
    pub(super) frames: Range<FrameNo>,
}

/// A chunk: what its slots map to, up to an error.
type Mapped<T> = (Vec<T>, Option<Error>);

/// The caller's end of a crew.
pub(super) struct Crew<T, M> {
    job: Job,
    map: M,
    board: Arc<Board<T>>,
    threads: Vec<JoinHandle<()>>,
    buffer: SlotBuffer,
    /// The next chunk that the caller wants.
    next: u64,
}

/// Where the crew meets.
struct Board<T> {
    state: Mutex<State<T>>,
    /// A chunk has been mapped.
    mapped: Condvar,
    /// The caller has gone on to the next chunk, or wants no more.
    moved: Condvar,
    chunks: u64,
    ahead: usize,
}

struct State<T> {
    /// The counter: chunks from here on are nobody's yet.
    free: u64,
    /// The chunk that the caller waits for; chunk `first + n` goes to place `n`.
    first: u64,
    ready: VecDeque<Option<Mapped<T>>>,
    /// The caller wants no more.
    stopped: bool,
    /// A thread has panicked; its chunk will not come.
    panicked: bool,
}

impl Job {
    /// Begins with `threads` threads, the caller's among them, or fewer where the system refuses.
    pub(super) fn hire<T, M>(self, threads: usize, map: &M) -> Crew<T, M>
    where
        T: Send + 'static,
        M: Fn(FrameNo, &[u8]) -> T + Clone + Send + 'static,
    {
        let chunks = self.chunks();
        let state =
            State { free: 0, first: 0, ready: VecDeque::new(), stopped: false, panicked: false };
        let board = Arc::new(Board {
            state: Mutex::new(state),
            mapped: Condvar::new(),
            moved: Condvar::new(),
            chunks,
            ahead: AHEAD * threads,
        });
        let hire = |_| {
            let (job, map, board) = (self.clone(), map.clone(), Arc::clone(&board));
            thread::Builder::new().spawn(move || work(&job, &map, &board)).ok()
        };
        let threads = (1..threads.min(usize::try_from(chunks).unwrap_or(threads))).map_while(hire);
        let threads = threads.collect();
        Crew { job: self, map: map.clone(), board, threads, buffer: SlotBuffer::default(), next: 0 }
    }

    fn slots_a_chunk(&self) -> u32 {
        self.extent.slots_in(self.reader.spread.chunk_bytes)
    }

    fn chunks(&self) -> u64 {
        let slots = self.frames.end.0.saturating_sub(self.frames.start.0);
        u64::from(slots.div_ceil(self.slots_a_chunk()))
    }

    /// The frames of chunk `chunk`.
    fn chunk(&self, chunk: u64) -> Range<FrameNo> {
        let slots = u64::from(self.slots_a_chunk());
        let border = |chunk: u64| {
            let frame = u64::from(self.frames.start.0) + chunk * slots;
            u32::try_from(frame).map_or(self.frames.end, FrameNo).min(self.frames.end)
        };
        border(chunk)..border(chunk + 1)
    }

    fn map<T, M>(&self, chunk: u64, map: &M, buffer: &mut SlotBuffer) -> Mapped<T>
    where
        M: Fn(FrameNo, &[u8]) -> T,
    {
        let Range { mut start, end } = self.chunk(chunk);
        let mut mapped = Vec::new();
        while start < end {
            let read = |buffer: &mut [u8], offset| self.reader.read_at(buffer, offset);
            let path = || self.reader.path().display().to_string();
            let filled = buffer.fill(&self.extent, start..end, read, path);
            let done =
                filled.and_then(|slots| map_slots(&self.extent, start, slots, map, &mut mapped));
            if let Err(error) = done {
                return (mapped, Some(error));
            }
            let first = self.chunk(chunk).start.0;
            start = FrameNo(first.saturating_add(u32::try_from(mapped.len()).unwrap_or(u32::MAX)));
        }
        (mapped, None)
    }
}

/// What a thread does until the chunks are at an end or the caller wants no more.
fn work<T, M>(job: &Job, map: &M, board: &Board<T>)
where
    M: Fn(FrameNo, &[u8]) -> T,
{
    let mut buffer = SlotBuffer::default();
    let guard = PanicGuard { board };
    while let Some(chunk) = board.wait_for_work() {
        let mapped = job.map(chunk, map, &mut buffer);
        board.put(chunk, mapped);
    }
    drop(guard);
}

/// Tells the caller when a thread unwinds.
struct PanicGuard<'a, T> {
    board: &'a Board<T>,
}

impl<T> Drop for PanicGuard<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.board.lock().panicked = true;
            self.board.mapped.notify_all();
        }
    }
}

impl<T> Board<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that could panic is done while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next chunk from the counter, if there is one and it is near enough.
    fn try_take(&self, state: &mut State<T>) -> Option<u64> {
        let near = state.free < self.chunks && state.free < state.first + self.ahead as u64;
        let chunk = near.then_some(state.free);
        state.free += u64::from(near);
        chunk
    }

    fn wait_for_work(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.free >= self.chunks {
                return None;
            }
            if let Some(chunk) = self.try_take(&mut state) {
                return Some(chunk);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, chunk: u64, mapped: Mapped<T>) {
        let mut state = self.lock();
        let place = usize::try_from(chunk - state.first).unwrap_or(usize::MAX);
        while state.ready.len() <= place {
            state.ready.push_back(None);
        }
        if let Some(empty) = state.ready.get_mut(place) {
            *empty = Some(mapped);
        }
        if place == 0 {
            self.mapped.notify_one();
        }
    }
}

impl<T, M> Crew<T, M>
where
    M: Fn(FrameNo, &[u8]) -> T,
{
    /// The frame that the next chunk begins with; `None` after the last.
    pub(super) fn position(&self) -> Option<FrameNo> {
        (self.next < self.board.chunks).then(|| self.job.chunk(self.next).start)
    }

    /// The next chunk in file order; empty after the last.
    pub(super) fn take(&mut self) -> Mapped<T> {
        let board = Arc::clone(&self.board);
        let mut state = board.lock();
        while self.next < board.chunks {
            if let Some(Some(_)) = state.ready.front() {
                state.first += 1;
                self.next += 1;
                board.moved.notify_one();
                return state.ready.pop_front().flatten().unwrap_or_default();
            }
            if let Some(chunk) = board.try_take(&mut state) {
                drop(state);
                let mapped = self.job.map(chunk, &self.map, &mut self.buffer);
                board.put(chunk, mapped);
                state = board.lock();
                continue;
            }
            assert!(!state.panicked, "a thread of a scan has panicked");
            state = board.mapped.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Mapped::default()
    }
}

impl<T, M> Drop for Crew<T, M> {
    fn drop(&mut self) {
        self.board.lock().stopped = true;
        self.board.moved.notify_all();
        for thread in self.threads.drain(..) {
            // The caller has seen a panic of a thread already.
            let _ = thread.join();
        }
    }
}
