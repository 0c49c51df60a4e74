//! Transactions of our engine that SQLite can read: stamps in rows that SQLite has made.
//!
//! The oracle's `prepare` makes a table `ours(id INTEGER PRIMARY KEY, v BLOB)` whose blobs hold a
//! marker, the row's number and a stamp of 8 bytes. A transaction overwrites stamps in place, so
//! the pages stay what SQLite wrote, except for the stamps. Row 0 counts the transactions.

#![allow(dead_code, reason = "each program that includes this uses a part of it")]

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use walsmith::engine::Result;
use walsmith::engine::connection::Connection;
use walsmith::engine::wal::Page;
use walsmith::format::Pgno;

const MARKER: &[u8; 8] = b"walsmith";

/// Where a stamp lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub page: Pgno,
    pub offset: usize,
}

/// The places of all stamps; they never move.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    pub places: Vec<Place>,
}

/// Page images that a transaction changes.
pub(crate) type Images = BTreeMap<Pgno, Vec<u8>>;

impl Stamps {
    /// Finds the stamps in the pages that `read` gives.
    pub(crate) fn find(pages: u32, mut read: impl FnMut(Pgno) -> Vec<u8>) -> Self {
        let mut places = BTreeMap::new();
        for page in (1..=pages).map(Pgno) {
            let image = read(page);
            for cell in leaf_cells(page, &image) {
                // A blob is a few bytes into its cell, after varints.
                let head = image[cell..].windows(MARKER.len()).take(16);
                let Some(at) = head.enumerate().find(|(_, window)| window == MARKER) else {
                    continue;
                };
                let at = cell + at.0;
                let id = u64::from_be_bytes(image[at + 8..at + 16].try_into().unwrap());
                places.insert(id, Place { page, offset: at + 16 });
            }
        }
        assert!(places.keys().copied().eq(0..places.len() as u64), "rows from 0, without a gap");
        Self { places: places.into_values().collect() }
    }

    /// Finds the stamps in the newest snapshot of `connection`.
    pub(crate) fn of(connection: &mut Connection<'_>) -> Result<Self> {
        connection.begin_read()?;
        let page_len = connection.page_size()?.in_memory();
        let pages = connection.db_size_pages()?;
        let stamps = Self::find(pages, |page| {
            let mut image = vec![0; page_len];
            connection.read_page(page, &mut image).unwrap();
            image
        });
        connection.end_read()?;
        Ok(stamps)
    }

    /// Rows beside the counter.
    pub(crate) fn rows(&self) -> usize {
        self.places.len() - 1
    }

    /// The stamp of row `id` in this snapshot.
    pub(crate) fn read(&self, connection: &mut Connection<'_>, id: usize) -> Result<u64> {
        let mut image = vec![0; connection.page_size()?.in_memory()];
        let place = self.places[id];
        connection.read_page(place.page, &mut image)?;
        Ok(stamp_at(&image, place.offset))
    }

    /// Every stamp of this snapshot, page by page.
    pub(crate) fn read_all(&self, connection: &mut Connection<'_>) -> Result<Vec<u64>> {
        let mut images = Images::new();
        for place in &self.places {
            load(connection, &mut images, place.page)?;
        }
        let stamp = |place: &Place| stamp_at(&images[&place.page], place.offset);
        Ok(self.places.iter().map(stamp).collect())
    }

    /// Puts `stamp` on row `id` in `images`, reading the page first where it is not there yet.
    pub(crate) fn put(
        &self,
        connection: &mut Connection<'_>,
        images: &mut Images,
        id: usize,
        stamp: u64,
    ) -> Result<()> {
        let Place { page, offset } = self.places[id];
        let image = load(connection, images, page)?;
        image[offset..offset + 8].copy_from_slice(&stamp.to_be_bytes());
        Ok(())
    }
}

/// The image of `page`, read where it is not there yet.
fn load<'i>(
    connection: &mut Connection<'_>,
    images: &'i mut Images,
    page: Pgno,
) -> Result<&'i mut Vec<u8>> {
    match images.entry(page) {
        Entry::Occupied(there) => Ok(there.into_mut()),
        Entry::Vacant(free) => {
            let mut image = vec![0; connection.page_size()?.in_memory()];
            connection.read_page(page, &mut image)?;
            Ok(free.insert(image))
        }
    }
}

/// Offsets of the cells of a table leaf; free space holds old copies of cells, too.
fn leaf_cells(page: Pgno, image: &[u8]) -> Vec<usize> {
    let head = if page == Pgno::FIRST { 100 } else { 0 };
    let word = |at: usize| usize::from(u16::from_be_bytes([image[at], image[at + 1]]));
    let cells = if image[head] == 13 { word(head + 3) } else { 0 };
    (0..cells).map(|cell| word(head + 8 + 2 * cell)).collect()
}

fn stamp_at(image: &[u8], offset: usize) -> u64 {
    u64::from_be_bytes(image[offset..offset + 8].try_into().unwrap())
}

/// The images as pages to write.
pub(crate) fn pages(images: &Images) -> Vec<Page<'_>> {
    images.iter().map(|(&pgno, image)| Page { pgno, image }).collect()
}
