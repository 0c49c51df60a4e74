//! Pages that are neighbours in a file go there in one write.

use std::collections::TryReserveError;

/// Collects pages until one comes that is no neighbour, or the run is full.
#[derive(Debug)]
pub struct Runs {
    buffer: Vec<u8>,
    page_len: usize,
    /// Where the first collected page belongs.
    start: u64,
    collected: usize,
}

impl Runs {
    /// For pages of `page_len` bytes, in writes of at most `most_bytes` or else one page.
    ///
    /// # Errors
    /// When there is no memory for a run.
    pub fn new(page_len: usize, most_bytes: usize) -> Result<Self, TryReserveError> {
        let len = (most_bytes / page_len.max(1)).max(1) * page_len;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(len)?;
        buffer.resize(len, 0);
        Ok(Self { buffer, page_len, start: 0, collected: 0 })
    }

    /// The memory for the page at `offset`, to be filled before the next call. If it does not
    /// prolong the run, `write` takes what was collected to its offset first.
    ///
    /// # Errors
    /// What `write` reports.
    pub fn page<E>(
        &mut self,
        offset: u64,
        write: impl FnOnce(&[u8], u64) -> Result<(), E>,
    ) -> Result<&mut [u8], E> {
        let is_neighbour = offset == self.start + self.collected as u64;
        if !is_neighbour || self.collected == self.buffer.len() {
            self.finish(write)?;
        }
        if self.collected == 0 {
            self.start = offset;
        }
        let page = self.collected..self.collected + self.page_len;
        self.collected = page.end;
        Ok(self.buffer.get_mut(page).unwrap_or_default())
    }

    /// Writes what was collected.
    ///
    /// # Errors
    /// What `write` reports.
    pub fn finish<E>(&mut self, write: impl FnOnce(&[u8], u64) -> Result<(), E>) -> Result<(), E> {
        let collected = std::mem::take(&mut self.collected);
        match self.buffer.get(..collected) {
            Some(run) if !run.is_empty() => write(run, self.start),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_write_and_others_do_not() {
        let mut writes: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut write = |bytes: &[u8], offset| {
            writes.push((offset, bytes.to_vec()));
            Ok::<(), ()>(())
        };
        let mut runs = Runs::new(2, 7).unwrap();
        for (page, offset) in [(1, 4), (2, 6), (3, 8), (4, 10), (5, 20), (6, 0)] {
            runs.page(offset, &mut write).unwrap().fill(page);
        }
        runs.finish(&mut write).unwrap();
        runs.finish(&mut write).unwrap();
        let wanted =
            [(4, vec![1, 1, 2, 2, 3, 3]), (10, vec![4, 4]), (20, vec![5, 5]), (0, vec![6, 6])];
        assert_eq!(writes, wanted);
    }

    #[test]
    fn a_page_is_written_whole_even_where_less_is_asked_for() {
        let mut runs = Runs::new(4, 0).unwrap();
        let mut lengths = Vec::new();
        for offset in [0, 4, 8] {
            runs.page(offset, |run, _| {
                lengths.push(run.len());
                Ok::<(), ()>(())
            })
            .unwrap();
        }
        assert_eq!(lengths, [4, 4]);
    }
}
