//! What is known of pages while the frames of a long log are folded.

use std::collections::HashMap;

use crate::format::Pgno;

/// Pages for each entry that was made, up to which the array is made longer.
const PAGES_AN_ENTRY: usize = 2;

/// A map by page: an array as long as pages are not many more than entries, and a hash map for the
/// pages after it. Most logs are of databases that are not much longer than they are, and hashing
/// would be the slowest part of a fold over them.
#[derive(Clone)]
pub(super) struct PageMap<T> {
    near: Vec<Option<T>>,
    far: HashMap<Pgno, T, foldhash::fast::RandomState>,
    inserted: usize,
}

impl<T> Default for PageMap<T> {
    fn default() -> Self {
        Self { near: Vec::new(), far: HashMap::default(), inserted: 0 }
    }
}

impl<T> PageMap<T> {
    /// Enters what is known of `page`, in place of what was, which it returns.
    pub(super) fn insert(&mut self, page: Pgno, value: T) -> Option<T> {
        self.inserted += 1;
        match self.near.get_mut(page.0 as usize) {
            Some(entry) => entry.replace(value),
            None => self.insert_after_array(page, value),
        }
    }

    fn insert_after_array(&mut self, page: Pgno, value: T) -> Option<T> {
        let at = page.0 as usize;
        if at / PAGES_AN_ENTRY < self.inserted {
            self.lengthen(at + 1);
        }
        match self.near.get_mut(at) {
            Some(entry) => entry.replace(value),
            None => self.far.insert(page, value),
        }
    }

    /// Forgets what is known of `page`, and returns it.
    pub(super) fn remove(&mut self, page: Pgno) -> Option<T> {
        match self.near.get_mut(page.0 as usize) {
            Some(entry) => entry.take(),
            None => self.far.remove(&page),
        }
    }

    /// Makes the array `len` pages long, or else twice as long as it is, and moves to it what is
    /// before its end.
    fn lengthen(&mut self, len: usize) {
        self.near.resize_with(len.max(2 * self.near.len()), || None);
        let end = self.near.len();
        for (page, value) in self.far.extract_if(|page, _| (page.0 as usize) < end) {
            if let Some(entry) = self.near.get_mut(page.0 as usize) {
                *entry = Some(value);
            }
        }
    }

    /// What is known of `page`.
    pub(super) fn get(&self, page: Pgno) -> Option<&T> {
        match self.near.get(page.0 as usize) {
            Some(entry) => entry.as_ref(),
            None => self.far.get(&page),
        }
    }

    /// As [`PageMap::get`], to be changed.
    pub(super) fn get_mut(&mut self, page: Pgno) -> Option<&mut T> {
        match self.near.get_mut(page.0 as usize) {
            Some(entry) => entry.as_mut(),
            None => self.far.get_mut(&page),
        }
    }

    /// All pages: those of the array ascend, and the others come after them in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Pgno, &T)> {
        let near = (0..).map(Pgno).zip(&self.near);
        let near = near.filter_map(|(page, entry)| Some((page, entry.as_ref()?)));
        near.chain(self.far.iter().map(|(page, value)| (*page, value)))
    }

    /// What is known of all pages.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_page_has_the_last_value_whether_it_is_near_or_far() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let last_page = 1 << random.u32(0..32);
            let (mut map, mut model) = (PageMap::default(), BTreeMap::new());
            for value in 0..random.u32(0..500) {
                let page = match random.bool() {
                    true => Pgno(random.u32(0..=last_page)),
                    false => Pgno(value),
                };
                assert_eq!(map.get_mut(page).copied(), model.get(&page).copied(), "seed {seed}");
                assert_eq!(map.insert(page, value), model.insert(page, value), "seed {seed}");
                assert_eq!(map.get(page), Some(&value), "seed {seed}");
            }
            let all = BTreeMap::from_iter(map.iter().map(|(page, value)| (page, *value)));
            assert_eq!(all, model, "seed {seed}");
            assert_eq!(map.values().count(), model.len(), "seed {seed}");
            assert!(map.near.len() <= 2 * PAGES_AN_ENTRY * map.inserted, "seed {seed}");
        }
    }

    #[test]
    fn one_entry_far_out_takes_no_room_for_the_pages_before_it() {
        let mut map = PageMap::default();
        map.insert(Pgno(u32::MAX), ());
        assert_eq!((map.near.len(), map.far.len()), (0, 1));
    }
}
